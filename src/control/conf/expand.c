/* SPDX-License-Identifier: Apache-2.0 */
#include "control/conf/expand.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NAME 128
#define MAX_PATH 1024

static bool is_name(struct span s)
{
	if (s.n == 0 || s.n > MAX_NAME || (s.p[0] >= '0' && s.p[0] <= '9'))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
			c != '_')
			return false;
	}
	return true;
}

static bool is_file_name(struct span s)
{
	if (s.n == 0 || s.n > MAX_NAME || s.p[0] == '.')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '/')
			return false;
	return true;
}

/* ---- files ---- */

static bool put_file(struct sys *sys, const char *path, struct buf *out, struct err *err)
{
	struct buf text;
	struct span s;
	bool ok;

	buf_init(&text, EXPAND_MAX_BYTES);
	ok = sys_read_file(sys, path, &text, err);
	s = buf_span(&text);
	if (s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	if (s.n > 0 && s.p[s.n - 1] == '\r')
		s.n--;
	if (ok)
		buf_append(out, s);
	if (text.mem != NULL)
		explicit_bzero(text.mem, text.cap);
	buf_done(&text);
	return ok;
}

/* False without an error: the directory has no such file. */
static bool put_file_from(
	struct sys *sys, const char *dir, struct span name, struct buf *out, struct err *err)
{
	char path[MAX_PATH];
	struct err why = {0};
	int n = snprintf(path, sizeof(path), "%s/%.*s", dir, SPAN_ARG(name));

	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(
			err, ERR_CONFIG, "the path of ${file:%.*s} is too long", SPAN_ARG(name));
	if (put_file(sys, path, out, &why))
		return true;
	if (why.code != ERR_NOT_FOUND)
		err_set(err, ERR_CONFIG, "%s", why.text);
	return false;
}

static bool put_secret(struct sys *sys, struct span name, struct buf *out, struct err *err)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	char path[MAX_PATH];
	struct err why = {0};

	if (name.n > 0 && name.p[0] == '/') {
		if (name.n >= sizeof(path))
			return err_set(err, ERR_CONFIG, "the path in ${file:...} is too long");
		memcpy(path, name.p, name.n);
		path[name.n] = '\0';
		return put_file(sys, path, out, &why) || err_set(err, ERR_CONFIG, "%s", why.text);
	}
	if (!is_file_name(name))
		return err_set(err, ERR_CONFIG,
			"${file:%.*s}: a name without '/' or an absolute path is needed",
			SPAN_ARG(span_head(name, 64)));
	if (credentials != NULL && put_file_from(sys, credentials, name, out, &why))
		return true;
	if (why.code == ERR_OK && put_file_from(sys, "/run/secrets", name, out, &why))
		return true;
	if (why.code != ERR_OK)
		return err_set(err, ERR_CONFIG, "%s", why.text);
	return err_set(err, ERR_CONFIG,
		"there is no secret file %.*s in $CREDENTIALS_DIRECTORY or /run/secrets",
		SPAN_ARG(name));
}

/* ---- variables ---- */

static bool put_variable(struct span body, struct buf *out, struct err *err)
{
	ptrdiff_t colon = span_find_char(body, ':');
	struct span name = colon < 0 ? body : span_head(body, (size_t)colon);
	struct span rest = colon < 0 ? SPAN("") : span_skip(body, (size_t)colon + 1);
	char text[MAX_NAME + 1];
	const char *value;

	if (!is_name(name) ||
		(colon >= 0 && (rest.n == 0 || (rest.p[0] != '-' && rest.p[0] != '?'))))
		return err_set(err, ERR_CONFIG,
			"what stands in ${...} is none of NAME, NAME:-default, NAME:?message, "
			"file:NAME; "
			"a plain ${ is written $${");
	memcpy(text, name.p, name.n);
	text[name.n] = '\0';
	value = getenv(text);
	if (value != NULL && (value[0] != '\0' || colon < 0)) {
		buf_append_cstr(out, value);
		return true;
	}
	if (colon < 0)
		return err_set(err, ERR_CONFIG,
			"the environment has no variable %s; set it, or write ${%s:-} for an empty "
			"default",
			text, text);
	if (rest.p[0] == '?')
		return err_set(err, ERR_CONFIG, "the variable %s is not set: %.*s", text,
			SPAN_ARG(span_head(span_skip(rest, 1), 160)));
	buf_append(out, span_skip(rest, 1));
	return true;
}

/* Without the default: it may be a secret. */
static const char *source_of(struct arena *a, struct span body)
{
	struct span rest = body, name = span_cut(&rest, ':');

	return arena_cstr(a, span_head(span_is(name, "file") ? body : name, MAX_NAME));
}

static bool put_all(struct sys *sys, struct arena *a, struct span text, struct expanded *e,
	struct buf *out, struct err *err)
{
	while (text.n > 0) {
		ptrdiff_t at = span_find(text, SPAN("${")), end;
		struct span body;

		if (at < 0) {
			buf_append(out, text);
			break;
		}
		if (at > 0 && text.p[at - 1] == '$') {
			buf_append(out, span_head(text, (size_t)at - 1));
			buf_append(out, SPAN("${"));
			text = span_skip(text, (size_t)at + 2);
			continue;
		}
		buf_append(out, span_head(text, (size_t)at));
		text = span_skip(text, (size_t)at + 2);
		end = span_find_char(text, '}');
		if (end < 0)
			return err_set(err, ERR_CONFIG, "${ without }; a plain ${ is written $${");
		body = span_head(text, (size_t)end);
		text = span_skip(text, (size_t)end + 1);
		if (span_find(body, SPAN("${")) >= 0)
			return err_set(
				err, ERR_CONFIG, "a variable inside a variable is not supported");
		if (e->n++ == 0)
			e->source = source_of(a, body);
		if (!(span_starts(body, SPAN("file:"))
				    ? put_secret(sys, span_skip(body, 5), out, err)
				    : put_variable(body, out, err)))
			return false;
	}
	return true;
}

bool expand(
	struct sys *sys, struct arena *a, struct span text, struct expanded *out, struct err *err)
{
	struct expanded e = {.text = text};
	struct buf made;
	bool ok;

	if (span_find(text, SPAN("${")) < 0) {
		*out = e;
		return true;
	}
	buf_init(&made, EXPAND_MAX_BYTES);
	ok = put_all(sys, a, text, &e, &made, err);
	if (ok && made.failed)
		ok = err_set(err, ERR_CONFIG, "the value is too long");
	if (ok) {
		e.whole = e.n == 1 && span_starts(text, SPAN("${")) &&
			  span_find_char(text, '}') == (ptrdiff_t)text.n - 1;
		e.text = arena_copy(a, buf_span(&made));
		ok = e.text.p != NULL || err_set(err, ERR_NO_MEMORY, NULL);
	}
	if (made.mem != NULL)
		explicit_bzero(made.mem, made.cap);
	buf_done(&made);
	if (ok)
		*out = e;
	return ok;
}
