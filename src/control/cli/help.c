/* SPDX-License-Identifier: Apache-2.0 */
#include "control/cli/command.h"
#include <stdio.h>
#include "control/conf/conf.h"
#include "machine/base/text.h"

static void pad(struct buf *out, size_t used, size_t width)
{
	do
		buf_append_char(out, ' ');
	while (++used < width);
}

static void write_examples(const char *examples, struct buf *out)
{
	struct span rest = span_of(examples);

	while (rest.n > 0) {
		struct span line = span_cut(&rest, '\n');

		buf_printf(out, "  %.*s\n", SPAN_ARG(line));
	}
}

static void write_flag(const struct flag *f, struct buf *out)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%c%c%c --%s%s%s", f->letter ? '-' : ' ',
		f->letter ? f->letter : ' ', f->letter ? ',' : ' ', f->name,
		f->value != NULL ? " " : "", f->value != NULL ? f->value : "");

	buf_printf(out, "  %s", text);
	pad(out, (size_t)n, 26);
	buf_printf(out, "%s\n", f->help);
}

bool help_of(const struct command *c, struct buf *out)
{
	static const struct flag help_flag = {"help", 'h', NULL, "This text"};

	buf_printf(out, "%s.\n\nExamples:\n", c->summary);
	write_examples(c->examples, out);
	buf_printf(out, "\nUsage: sluice %s%s%s%s\n", c->name, c->flags != NULL ? " [FLAGS]" : "",
		c->arguments[0] != '\0' ? " " : "", c->arguments);
	if (c->about != NULL)
		buf_printf(out, "\n%s\n", c->about);
	buf_append_cstr(out, "\nFlags:\n");
	for (const struct flag *f = c->flags; f != NULL && f->name != NULL; f++)
		if (f->help != NULL)
			write_flag(f, out);
	write_flag(&help_flag, out);
	return !out->failed;
}

static void write_row(const struct command *c, struct buf *out)
{
	buf_printf(out, "  %s", c->name);
	pad(out, strlen(c->name), 18);
	buf_printf(out, "%s\n", c->summary);
}

bool help_overview(struct buf *out)
{
	buf_append_cstr(out, "Sluice, a gateway between programs and language models.\n\n"
			     "  sluice serve --dev                try it: nothing needed\n"
			     "  sluice init                       write sluice.yaml\n"
			     "  sluice serve                      run with it\n"
			     "  sluice keys create --name alice   a key for a person or program\n"
			     "\nCommands:\n");
	for (const struct command *c = commands; c->name != NULL; c++)
		write_row(c, out);
	buf_append_cstr(out,
		"\nTopics: sluice help exit-codes, sluice help env, sluice help config\n"
		"A command's flags and examples: sluice COMMAND --help\n");
	return !out->failed;
}

bool help_of_group(struct span group, struct buf *out)
{
	bool found = false;

	for (const struct command *c = commands; c->name != NULL; c++) {
		struct span rest = span_of(c->name), first = span_cut(&rest, ' ');

		if (rest.n == 0 || !span_eq(first, group))
			continue;
		if (!found)
			buf_append_cstr(out, "Commands:\n");
		found = true;
		write_row(c, out);
	}
	return found;
}

static void write_exit_codes(struct buf *out)
{
	buf_append_cstr(out,
		"    0  done\n"
		"    1  failed\n"
		"    2  wrong use of the command\n"
		"    3  the configuration is not valid\n"
		"    4  not authenticated or not allowed\n"
		"    5  not found\n"
		"    6  conflict: it is there already, or in use\n"
		"    7  unreachable or timed out\n"
		"    8  ran well, but found problems\n"
		"  130  interrupted\n"
		"\nA reader of the output that ends early (| head) is no failure: 0.\n");
}

static void write_environment(struct buf *out)
{
	buf_append_cstr(
		out, "These beat the configuration file; an empty one counts as not set.\n\n");
	conf_environment(out);
	buf_append_cstr(out,
		"\nRead by `serve --dev`: OPENAI_API_KEY and ANTHROPIC_API_KEY switch "
		"those providers on.\n"
		"A configuration's ${NAME} may name any variable; ${file:NAME} looks into "
		"$CREDENTIALS_DIRECTORY.\n");
}

static bool write_topic(struct span name, struct buf *out)
{
	const struct command *c = command_find(name);

	if (c != NULL)
		return help_of(c, out);
	if (span_is(name, "exit-codes"))
		write_exit_codes(out);
	else if (span_is(name, "env"))
		write_environment(out);
	else if (span_is(name, "config"))
		conf_reference(out);
	else
		return help_of_group(name, out);
	return true;
}

int run_help(struct call *c)
{
	char name[128] = "";
	struct buf out;
	struct err err = {0};
	int code;

	buf_init(&out, 1 << 20);
	if (c->n_args == 0)
		help_overview(&out);
	else
		snprintf(name, sizeof(name), c->n_args > 1 ? "%.60s %.60s" : "%.60s", c->args[0],
			c->n_args > 1 ? c->args[1] : "");
	if (c->n_args > 0 && !write_topic(span_of(name), &out)) {
		err_set(&err, ERR_USAGE, "there is no help on \"%s\"", name);
		code = call_fail(c, "unknown topic", &err, "sluice help");
	} else {
		code = call_put(c, buf_span(&out));
	}
	buf_done(&out);
	return code;
}
