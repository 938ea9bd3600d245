/* SPDX-License-Identifier: Apache-2.0 */
#include "control/cli/cli.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "control/cli/command.h"
#include "control/conf/conf.h"
#include "machine/base/text.h"

#define DEFAULT_FILE "sluice.yaml"
#define MAX_NAMES 64

const struct command *command_find(struct span name)
{
	for (const struct command *c = commands; c->name != NULL; c++)
		if (span_is(name, c->name))
			return c;
	return NULL;
}

/* ---- output ---- */

int exit_code_of(const struct err *err)
{
	switch (err->code) {
	case ERR_OK:
		return CLI_DONE;
	case ERR_USAGE:
	case ERR_BAD_REQUEST:
		return CLI_USAGE;
	case ERR_CONFIG:
		return CLI_CONFIG;
	case ERR_UNAUTHENTICATED:
	case ERR_KEY_MALFORMED:
	case ERR_KEY_REFUSED:
	case ERR_FORBIDDEN:
		return CLI_DENIED;
	case ERR_NOT_FOUND:
		return CLI_NOT_FOUND;
	case ERR_CONFLICT:
		return CLI_CONFLICT;
	case ERR_UPSTREAM_UNREACHABLE:
	case ERR_UPSTREAM_TIMEOUT:
	case ERR_UPSTREAM_INTERRUPTED:
		return CLI_UNREACHABLE;
	default:
		return CLI_FAILED;
	}
}

/* What comes from a file or the store must not drive the terminal. */
static void put_plain(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_append_char(out, (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? '?' : s.p[i]);
}

static void write_error(const struct call *c, const char *what, const struct err *err,
	const char *todo, struct buf *out)
{
	const struct err_row *row = err_row(err->code);

	if (c->output == OUTPUT_JSON) {
		buf_append_cstr(out, "{\"error\":{\"message\":");
		text_json_string(out, span_of(err->text));
		buf_append_cstr(out, ",\"type\":");
		text_json_string(
			out, row->type[0] != '\0' ? span_of(row->type) : SPAN("cli_error"));
		buf_append_cstr(out, ",\"param\":");
		if (err->param[0] != '\0')
			text_json_string(out, span_of(err->param));
		else
			buf_append_cstr(out, "null");
		buf_append_cstr(out, ",\"code\":");
		if (row->code[0] != '\0')
			text_json_string(out, span_of(row->code));
		else
			buf_append_cstr(out, "null");
		buf_append_cstr(out, "}}\n");
		return;
	}
	buf_append_cstr(out, "sluice: ");
	put_plain(out, span_of(what));
	buf_append_cstr(out, "\n  why: ");
	put_plain(out, span_of(err->text));
	buf_append_char(out, '\n');
	if (todo != NULL) {
		buf_append_cstr(out, "  do:  ");
		put_plain(out, span_of(todo));
		buf_append_char(out, '\n');
	}
}

static bool write_all(int fd, struct span bytes)
{
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes = span_skip(bytes, (size_t)n);
	}
	return true;
}

int call_fail(const struct call *c, const char *what, const struct err *err, const char *todo)
{
	struct buf out;

	buf_init(&out, 8192);
	write_error(c, what, err, todo, &out);
	write_all(STDERR_FILENO, buf_span(&out));
	buf_done(&out);
	return exit_code_of(err);
}

int call_put(const struct call *c, struct span bytes)
{
	struct err err = {0};

	if (write_all(STDOUT_FILENO, bytes) || errno == EPIPE)
		return CLI_DONE;
	err_set_errno(&err, ERR_IO, "standard output");
	return call_fail(c, "the output could not be written", &err, NULL);
}

/* ---- flags ---- */

static int find_flag(const struct command *command, struct span name, char letter)
{
	const struct flag *f = command->flags;

	for (int i = 0; f != NULL && f[i].name != NULL; i++)
		if (letter != 0 ? f[i].letter == letter : span_is(name, f[i].name))
			return i;
	return -1;
}

const char *call_flag(const struct call *c, const char *name)
{
	int i = find_flag(c->command, span_of(name), 0);

	return i >= 0 ? c->values[i] : NULL;
}

static bool fail_flag(const struct call *c, struct span name, struct err *err)
{
	const char *names[COMMAND_MAX_FLAGS + 2] = {"help"};
	const struct flag *f = c->command->flags;
	const char *near;
	int n = 1;

	for (; f != NULL && f->name != NULL; f++)
		if (f->help != NULL)
			names[n++] = f->name;
	near = text_nearest(name, names);
	if (near != NULL)
		return err_set(err, ERR_USAGE, "--%.*s is unknown; did you mean --%s?",
			SPAN_ARG(span_head(name, 40)), near);
	return err_set(err, ERR_USAGE, "--%.*s is unknown", SPAN_ARG(span_head(name, 40)));
}

static bool read_output(struct call *c, const char *text, struct err *err)
{
	if (strcmp(text, "json") == 0)
		c->output = OUTPUT_JSON;
	else if (strcmp(text, "table") == 0)
		c->output = OUTPUT_TABLE;
	else if (strcmp(text, "tsv") == 0)
		c->output = OUTPUT_TSV;
	else
		return err_set(err, ERR_USAGE, "-o takes json, table or tsv");
	return true;
}

static bool set_flag(struct call *c, int i, const char *value, struct err *err)
{
	const struct flag *f = &c->command->flags[i];

	if (c->values[i] != NULL)
		return err_set(err, ERR_USAGE, "--%s is given twice", f->name);
	c->values[i] = value;
	return strcmp(f->name, "output") != 0 || read_output(c, value, err);
}

/*
 * One argument that begins with '-'. *next is the one behind it, or NULL; set to NULL when it was
 * used as the value.
 */
static bool read_flag(
	struct call *c, const char *text, const char **next, bool *help, struct err *err)
{
	bool is_long = text[1] == '-';
	struct span rest = span_of(is_long ? text + 2 : text + 1);
	struct span name = is_long ? span_cut(&rest, '=') : rest;
	const char *value = is_long ? rest.p : (text[2] != '\0' ? text + 2 : NULL);
	const struct flag *f;
	int i;

	if (is_long ? span_is(name, "help") : strcmp(text, "-h") == 0) {
		*help = true;
		return true;
	}
	i = is_long ? find_flag(c->command, name, 0) : find_flag(c->command, name, text[1]);
	if (i < 0 && !is_long)
		return err_set(err, ERR_USAGE, "-%c is unknown", text[1]);
	if (i < 0)
		return fail_flag(c, name, err);
	f = &c->command->flags[i];
	if (f->value == NULL) {
		if (value != NULL)
			return err_set(err, ERR_USAGE, "--%s takes no value", f->name);
		return set_flag(c, i, "", err);
	}
	if (value == NULL) {
		value = *next;
		*next = NULL;
	}
	if (value == NULL || (value[0] == '\0' && strcmp(f->name, "name") != 0))
		return err_set(err, ERR_USAGE, "--%s needs a value: %s", f->name, f->value);
	return set_flag(c, i, value, err);
}

static bool read_arguments(struct call *c, int argc, char **argv, bool *help, struct err *err)
{
	bool only_arguments = false;

	for (int i = 0; i < argc; i++) {
		const char *next = i + 1 < argc ? argv[i + 1] : NULL;
		bool had_next = next != NULL;

		if (!only_arguments && strcmp(argv[i], "--") == 0) {
			only_arguments = true;
			continue;
		}
		if (!only_arguments && argv[i][0] == '-' && argv[i][1] != '\0') {
			if (!read_flag(c, argv[i], &next, help, err))
				return false;
			i += had_next && next == NULL;
			continue;
		}
		if (c->n_args == c->command->max_args)
			return err_set(
				err, ERR_USAGE, "\"%.60s\" is one argument too many", argv[i]);
		c->args[c->n_args++] = argv[i];
	}
	if (!*help && c->n_args < c->command->min_args)
		return err_set(err, ERR_USAGE, "%s is missing", c->command->arguments);
	return true;
}

/* ---- commands ---- */

static void add_name(const char **names, int *n, const char *name)
{
	if (*n < MAX_NAMES)
		names[(*n)++] = name;
	names[*n] = NULL;
}

static int fail_unknown(const struct call *c, int argc, char **argv)
{
	const char *names[MAX_NAMES + 1] = {NULL}, *near;
	char both[128], todo[256] = "sluice help";
	struct err err = {0};
	struct buf known;
	int n = 0;

	buf_init(&known, 65536);
	for (const struct command *k = commands; k->name != NULL; k++)
		add_name(names, &n, k->name);
	snprintf(both, sizeof(both), "%s %s", argv[1], argc > 2 ? argv[2] : "");
	near = argc > 2 && argv[2][0] != '-' ? text_nearest(span_of(both), names) : NULL;
	if (near == NULL)
		near = text_nearest(span_of(argv[1]), names);
	if (near == NULL) {
		/* A group that is nearly right: "key". */
		const char *groups[] = {"keys", "models", "config", NULL};

		near = text_nearest(span_of(argv[1]), groups);
	}
	if (near != NULL)
		snprintf(todo, sizeof(todo), "did you mean: sluice %s", near);
	if (help_of_group(span_of(argv[1]), &known) && argc > 2)
		err_set(&err, ERR_USAGE, "there is no command \"%.100s\"", both);
	else
		err_set(&err, ERR_USAGE, "there is no command \"%.60s\"", argv[1]);
	buf_done(&known);
	return call_fail(c, "unknown command", &err, todo);
}

/* "sluice keys", "sluice keys frob". */
static int run_group(const struct call *c, int argc, char **argv)
{
	struct buf out;
	struct err err = {0};
	int code;

	buf_init(&out, 65536);
	if (!help_of_group(span_of(argv[1]), &out)) {
		buf_done(&out);
		return fail_unknown(c, argc, argv);
	}
	if (argc > 2 && argv[2][0] != '-') {
		buf_done(&out);
		return fail_unknown(c, argc, argv);
	}
	if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
		code = call_put(c, buf_span(&out));
	} else {
		err_set(&err, ERR_USAGE, "%.40s needs to be told what to do", argv[1]);
		code = call_fail(c, "incomplete command", &err, NULL);
		write_all(STDERR_FILENO, buf_span(&out));
	}
	buf_done(&out);
	return code;
}

static int run_command(struct call *c, int argc, char **argv)
{
	struct err err = {0};
	char todo[128];
	bool help = false;
	struct buf out;
	int code;

	if (!read_arguments(c, argc, argv, &help, &err)) {
		snprintf(todo, sizeof(todo), "sluice %s --help", c->command->name);
		return call_fail(c, "wrong use", &err, todo);
	}
	if (!help)
		return c->command->run(c);
	buf_init(&out, 65536);
	help_of(c->command, &out);
	code = call_put(c, buf_span(&out));
	buf_done(&out);
	return code;
}

/* Errors are written as JSON as soon as somebody asked for JSON, also for a wrong flag before it.
 */
static enum output wanted_output(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *next = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--") == 0)
			break;
		if (strcmp(argv[i], "-ojson") == 0 || strcmp(argv[i], "--output=json") == 0)
			return OUTPUT_JSON;
		if ((strcmp(argv[i], "-o") == 0 || strcmp(argv[i], "--output") == 0) &&
			strcmp(next, "json") == 0)
			return OUTPUT_JSON;
	}
	return OUTPUT_AUTO;
}

int cli_main(int argc, char **argv, const struct cli_hooks *hooks)
{
	struct call c = {.hooks = hooks, .program = argc > 0 ? argv[0] : "sluice"};
	char both[128];

	signal(SIGPIPE, SIG_IGN);
	c.output = wanted_output(argc, argv);
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		c.command = command_find(SPAN("help"));
		return c.command->run(&c);
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		c.command = command_find(SPAN("version"));
		return run_command(&c, argc - 2, argv + 2);
	}
	if (argc > 2) {
		snprintf(both, sizeof(both), "%s %s", argv[1], argv[2]);
		c.command = command_find(span_of(both));
		if (c.command != NULL)
			return run_command(&c, argc - 3, argv + 3);
	}
	c.command = command_find(span_of(argv[1]));
	if (c.command == NULL)
		return run_group(&c, argc, argv);
	return run_command(&c, argc - 2, argv + 2);
}

const char *call_config(const struct call *c, struct err *err)
{
	const char *file = call_flag(c, "config");

	if (file != NULL)
		return file;
	if (access(DEFAULT_FILE, F_OK) == 0)
		return DEFAULT_FILE;
	err_set(err, ERR_CONFIG, "there is no -c FILE, and no " DEFAULT_FILE " in this directory");
	return NULL;
}

bool call_data_dir(const struct call *c, char *dir, size_t size, bool *named, struct err *err)
{
	const char *given = call_flag(c, "data-dir"), *file = call_flag(c, "config");
	const char *variable = getenv("SLUICE_DATA_DIR");
	struct err none = {0};

	*named = true;
	if (given != NULL) {
		if (snprintf(dir, size, "%s", given) >= (int)size)
			return err_set(err, ERR_USAGE, "--data-dir is too long");
		return true;
	}
	if (file == NULL)
		file = call_config(c, &none);
	*named = file != NULL || (variable != NULL && variable[0] != '\0');
	return conf_find(&sys_real, file, "data_dir", dir, size, err);
}

bool call_database(const struct call *c, char *database, size_t size, struct err *err)
{
	const char *file = call_flag(c, "config");
	struct err none = {0};

	database[0] = '\0';
	if (file == NULL)
		file = call_config(c, &none);
	return conf_find(&sys_real, file, "database", database, size, err);
}
