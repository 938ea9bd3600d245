/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "control/cli/admin.h"
#include "control/cli/command.h"
#include "control/cli/table.h"
#include "control/conf/conf.h"
#include "machine/base/text.h"
#include "machine/crypto/hash.h"

#define MAX_OUTPUT_BYTES (256u << 20)
#define MAX_EXPIRY_DAYS 36500

/* ---- where ---- */

/* A directory that is made is named: a relative data_dir depends on where one stands. */
static bool open_dir(
	const struct call *c, struct admin *a, const char *dir, bool make, struct err *err)
{
	bool was_there = access(dir, F_OK) == 0;
	char *path;

	if (!admin_open(a, c, dir, make, err))
		return false;
	path = was_there ? NULL : realpath(dir, NULL);
	if (path != NULL)
		fprintf(stderr, "Made the data directory %s.\n", path);
	free(path);
	return true;
}

/* The directory of `serve --dev` is not made by a command that somebody gave elsewhere. */
static bool open_admin(const struct call *c, struct admin *a, bool make, struct err *err)
{
	char dir[4096];
	bool named;

	return call_data_dir(c, dir, sizeof(dir), &named, err) &&
	       open_dir(c, a, dir, make && named, err);
}

static const char *where_todo(const struct err *err)
{
	return err->code == ERR_NOT_FOUND ? "name it: -c FILE or --data-dir DIR" : NULL;
}

/* ---- showing ---- */

/* A text without special characters, or null. */
static void write_text(const char *text, struct buf *out)
{
	if (text[0] != '\0')
		buf_printf(out, "\"%s\"", text);
	else
		buf_append_cstr(out, "null");
}

static void write_json(const struct key_info *k, struct buf *out)
{
	buf_printf(out, "{\"id\":\"%s\",\"name\":", k->id);
	text_json_string(out, span_of(k->name));
	buf_append_cstr(out, ",\"public_id\":");
	text_json_string(out, span_of(k->public_id));
	buf_printf(out, ",\"permissions\":{\"manage\":\"%s\",\"completions\":\"%s\"}", k->manage,
		k->completions);
	buf_printf(out, ",\"created_at\":\"%s\",\"expires_at\":", k->created);
	write_text(k->expires, out);
	buf_append_cstr(out, ",\"drop_params\":");
	write_text(k->drop, out);
	buf_append_char(out, '}');
}

static void write_rows(const struct key_list *list, bool aligned, struct buf *out)
{
	static const char *const columns[] = {
		"NAME", "ID", "KEY", "COMPLETIONS", "MANAGE", "CREATED", "EXPIRES", NULL};
	struct table t;

	table_init(&t, columns);
	for (int i = 0; i < list->n; i++) {
		const struct key_info *k = &list->v[i];
		char start[40];

		snprintf(start, sizeof(start), "sk-sluice-%s-...", k->public_id);
		table_cell(&t, span_of(k->name));
		table_cell(&t, span_of(k->id));
		table_cell(&t, span_of(start));
		table_cell(&t, span_of(k->completions));
		table_cell(&t, span_of(k->manage));
		table_cell(&t, span_of(k->created));
		table_cell(&t, span_of(k->expires[0] != '\0' ? k->expires : "never"));
	}
	if (!table_write(&t, aligned, out))
		out->failed = true;
	table_done(&t);
}

int run_keys_list(struct call *c)
{
	struct admin a;
	struct err err = {0};
	struct key_list list;
	struct buf out;
	int code;

	if (!open_admin(c, &a, false, &err))
		return call_fail(c, "the keys cannot be shown", &err, where_todo(&err));
	if (!admin_list_keys(&a, &list, &err)) {
		admin_close(&a);
		return call_fail(c, "the keys cannot be shown", &err, NULL);
	}
	admin_close(&a);
	buf_init(&out, MAX_OUTPUT_BYTES);
	if (c->output == OUTPUT_JSON) {
		buf_append_cstr(&out, "{\"data\":[");
		for (int i = 0; i < list.n; i++) {
			if (i > 0)
				buf_append_char(&out, ',');
			write_json(&list.v[i], &out);
		}
		buf_append_cstr(&out, "],\"next\":null}\n");
	} else {
		write_rows(&list,
			c->output == OUTPUT_TABLE ||
				(c->output == OUTPUT_AUTO && isatty(STDOUT_FILENO)),
			&out);
	}
	free(list.v);
	if (out.failed) {
		err_set(&err, ERR_NO_MEMORY, NULL);
		code = call_fail(c, "the keys cannot be shown", &err, NULL);
	} else {
		code = call_put(c, buf_span(&out));
	}
	buf_done(&out);
	return code;
}

/* ---- create ---- */

static bool read_right(
	const struct call *c, const char *flag, enum permission *out, struct err *err)
{
	const char *text = call_flag(c, flag);

	if (text == NULL || permission_read(span_of(text), out))
		return true;
	return err_set(err, ERR_USAGE, "--%s is none, read or write, not \"%.40s\"", flag, text);
}

static bool read_drop(const struct call *c, enum llm_drop *out, struct err *err)
{
	const char *text = call_flag(c, "drop-params");

	if (text == NULL || llm_drop_read(span_of(text), out))
		return true;
	return err_set(
		err, ERR_USAGE, "--drop-params is harmless, all or none, not \"%.40s\"", text);
}

static bool read_expiry(const struct call *c, int64_t *expires_ms, struct err *err)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}};
	const char *given = call_flag(c, "expires");
	struct span text = span_of(given);
	int64_t n;

	if (given == NULL || strcmp(given, "never") == 0)
		return true;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!span_ends(text, span_of(units[i].unit)) ||
			!text_i64(span_head(text, text.n - 1), &n))
			continue;
		if (n <= 0 || n > MAX_EXPIRY_DAYS * (units[0].ms / units[i].ms))
			return err_set(err, ERR_USAGE, "--expires is 1s to %dd", MAX_EXPIRY_DAYS);
		*expires_ms = sys_real.wall_ms(&sys_real) + n * units[i].ms;
		return true;
	}
	return err_set(err, ERR_USAGE, "--expires is a number with s, m, h or d, such as 90d");
}

static bool read_name(const struct call *c, const char **name, struct err *err)
{
	const char *text = call_flag(c, "name");

	if (text == NULL)
		return err_set(err, ERR_USAGE, "--name NAME is missing");
	if (text[0] == '\0' || strlen(text) > 128 || !text_is_utf8(span_of(text)))
		return err_set(err, ERR_USAGE, "a name is a text of 1 to 128 bytes");
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return err_set(err, ERR_USAGE, "a name has no control characters");
	*name = text;
	return true;
}

static int put_created(const struct call *c, const struct key_info *k, const char *text)
{
	struct buf out;
	int code;

	buf_init(&out, 8192);
	if (c->output == OUTPUT_JSON) {
		buf_printf(&out, "{\"api_key_id\":\"%s\",\"api_key\":\"%s\",\"key\":", k->id, text);
		write_json(k, &out);
		buf_append_cstr(&out, "}\n");
	} else {
		buf_printf(&out, "%s\n", text);
	}
	if (c->output != OUTPUT_JSON && call_flag(c, "secret-only") == NULL)
		fprintf(stderr,
			"Key \"%s\" is made (completions %s, manage %s, expires %s). It is shown "
			"this "
			"once:\n",
			k->name, k->completions, k->manage,
			k->expires[0] != '\0' ? k->expires : "never");
	code = call_put(c, buf_span(&out));
	if (out.mem != NULL)
		hash_wipe(out.mem, out.cap);
	buf_done(&out);
	return code;
}

int run_keys_create(struct call *c)
{
	struct key_wanted wanted = {.completions = PERMISSION_WRITE};
	char text[AUTH_KEY_CHARS + 1], todo[256];
	struct key_info made;
	struct err err = {0};
	struct admin a;
	bool ok;
	int code;

	if (!read_name(c, &wanted.name, &err) || !read_right(c, "manage", &wanted.manage, &err) ||
		!read_right(c, "completions", &wanted.completions, &err) ||
		!read_expiry(c, &wanted.expires_ms, &err) || !read_drop(c, &wanted.drop, &err))
		return call_fail(c, "wrong use", &err, "sluice keys create --help");
	if (!open_admin(c, &a, true, &err))
		return call_fail(c, "no key was made", &err, where_todo(&err));
	ok = admin_create_key(&a, &wanted, &made, text, &err);
	admin_close(&a);
	if (!ok) {
		snprintf(todo, sizeof(todo), "choose another name, or: sluice keys delete '%.128s'",
			wanted.name);
		return call_fail(
			c, "no key was made", &err, err.code == ERR_CONFLICT ? todo : NULL);
	}
	code = put_created(c, &made, text);
	hash_wipe(text, sizeof(text));
	return code;
}

/* ---- delete ---- */

static const struct key_info *find_key(const struct key_list *list, const char *what)
{
	for (int i = 0; i < list->n; i++)
		if (span_eq_nocase(span_of(list->v[i].id), span_of(what)) ||
			strcmp(list->v[i].name, what) == 0)
			return &list->v[i];
	return NULL;
}

static int fail_not_found(const struct call *c, const struct key_list *list)
{
	const char **names = calloc((size_t)list->n + 1, sizeof(*names)), *near = NULL;
	char todo[256] = "sluice keys list";
	struct err err = {0};

	for (int i = 0; names != NULL && i < list->n; i++)
		names[i] = list->v[i].name;
	if (names != NULL)
		near = text_nearest(span_of(c->args[0]), names);
	if (near != NULL)
		snprintf(todo, sizeof(todo), "did you mean \"%.128s\"?", near);
	free(names);
	err_set(&err, ERR_NOT_FOUND, "there is no key with the id or name \"%.128s\"", c->args[0]);
	return call_fail(c, "nothing was deleted", &err, todo);
}

/* Only a person is asked; a script said what it wants. */
static bool is_agreed(const struct call *c, const struct key_info *k)
{
	char line[16];

	if (call_flag(c, "yes") != NULL || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return true;
	fprintf(stderr, "Delete key \"%s\" (%s)? Whoever uses it is refused at once. [y/N] ",
		k->name, k->id);
	return fgets(line, sizeof(line), stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

static int put_deleted(const struct call *c, const struct key_info *k)
{
	struct buf out;
	int code = CLI_DONE;

	buf_init(&out, 8192);
	if (c->output == OUTPUT_JSON) {
		buf_printf(&out, "{\"id\":\"%s\",\"deleted\":true}\n", k->id);
		code = call_put(c, buf_span(&out));
	} else {
		fprintf(stderr, "Key \"%s\" is deleted.\n", k->name);
	}
	buf_done(&out);
	return code;
}

int run_keys_delete(struct call *c)
{
	const struct key_info *k;
	struct key_list list;
	struct err err = {0};
	struct admin a;
	int code;

	if (!open_admin(c, &a, false, &err))
		return call_fail(c, "nothing was deleted", &err, where_todo(&err));
	if (!admin_list_keys(&a, &list, &err)) {
		admin_close(&a);
		return call_fail(c, "nothing was deleted", &err, NULL);
	}
	/* While somebody thinks about the question, a server may start or end. */
	admin_close(&a);
	k = find_key(&list, c->args[0]);
	if (k == NULL) {
		code = fail_not_found(c, &list);
	} else if (!is_agreed(c, k)) {
		fprintf(stderr, "Nothing was deleted.\n");
		code = CLI_FAILED;
	} else if (!open_admin(c, &a, false, &err)) {
		code = call_fail(c, "nothing was deleted", &err, NULL);
	} else {
		code = admin_delete_key(&a, k->id, &err)
			       ? put_deleted(c, k)
			       : call_fail(c, "nothing was deleted", &err, NULL);
		admin_close(&a);
	}
	free(list.v);
	return code;
}
