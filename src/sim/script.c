/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/script.h"
#include <stdlib.h>
#include "machine/base/text.h"

#define CACHE_SCRIPTS 64

enum kind { FLAG, NUM, TEXT };

static const struct row {
	const char *name;
	enum kind kind;
	int64_t min, max;
	const char *group, *help;
} rows[OPT_COUNT] = {
#define OPT(id, name, kind, min, max, group, help) [OPT_##id] = {name, kind, min, max, group, help},
#include "sim/options.def"
#undef OPT
};

static const char *const names[OPT_COUNT + 1] = {
#define OPT(id, name, kind, min, max, group, help) name,
#include "sim/options.def"
#undef OPT
	NULL};

static bool find(struct span name, enum opt *out)
{
	for (int i = 0; i < OPT_COUNT; i++) {
		if (span_is(name, rows[i].name)) {
			*out = (enum opt)i;
			return true;
		}
	}
	return false;
}

/* Decodes %XX; `to` has room for the value's own length. */
static bool decode(struct span from, char *to, struct span *out)
{
	size_t n = 0;

	for (size_t i = 0; i < from.n; i++) {
		if (from.p[i] != '%') {
			to[n++] = from.p[i];
			continue;
		}
		if (!text_unhex(to + n, 1, span_head(span_skip(from, i + 1), 2)))
			return false;
		n++;
		i += 2;
	}
	*out = span_from(to, n);
	return true;
}

static bool set_number(struct script *s, enum opt o, struct span value, struct err *err)
{
	const struct row *row = &rows[o];
	int64_t n;

	if (value.n > 0 && value.p[0] == '+')
		value = span_skip(value, 1);
	if (!text_i64(value, &n) || n < row->min || n > row->max)
		return err_set(err, ERR_BAD_REQUEST,
			"sim option %s: a number from %lld to %lld is expected", row->name,
			(long long)row->min, (long long)row->max);
	s->v[o].n = n;
	return true;
}

static bool set(struct script *s, struct span name, bool has_value, struct span value, char *mem,
	struct err *err)
{
	enum opt o;
	const char *nearest;

	if (!find(name, &o)) {
		nearest = text_nearest(name, names);
		return err_set(err, ERR_BAD_REQUEST, "unknown sim option \"%.*s\"%s%s%s",
			SPAN_ARG(span_head(name, 60)), nearest != NULL ? "; the nearest is \"" : "",
			nearest != NULL ? nearest : "", nearest != NULL ? "\"" : "");
	}
	s->given[o] = true;
	s->v[o].n = 1;
	switch (rows[o].kind) {
	case FLAG:
		return !has_value || set_number(s, o, value, err);
	case NUM:
		/* A number that may be 1 can stand alone: "bad_chunk" is "bad_chunk=1". */
		if (!has_value && rows[o].min <= 1 && rows[o].max > 1)
			return true;
		return set_number(s, o, value, err);
	case TEXT:
		if (value.n > (size_t)rows[o].max || !decode(value, mem, &s->v[o].text))
			return err_set(err, ERR_BAD_REQUEST,
				"sim option %s: at most %lld bytes are expected, with %%XX for "
				"special ones",
				rows[o].name, (long long)rows[o].max);
		return true;
	}
	return true;
}

static bool choose(
	const struct script *s, enum opt o, const char *const *choices, int *out, struct err *err)
{
	if (!s->given[o])
		return true;
	for (int i = 0; choices[i] != NULL; i++) {
		if (span_is(s->v[o].text, choices[i])) {
			*out = i;
			return true;
		}
	}
	return err_set(err, ERR_BAD_REQUEST, "sim option %s: \"%.*s\" is none of its values",
		rows[o].name, SPAN_ARG(span_head(s->v[o].text, 40)));
}

static bool conclude(struct script *s, struct err *err)
{
	static const char *const frames[] = {"usual", "length", "chunked", "close", NULL};
	static const char *const bodies[] = {
		"usual", "html", "empty", "text", "json_array", "string", "detail", NULL};
	static const char *const bills[] = {"sent", "full", "none", NULL};
	static const enum opt shapes[] = {OPT_CHUNK, OPT_CHUNK_GAP, OPT_HEAD_RATE, OPT_BODY_RATE,
		OPT_CUT_BYTES, OPT_RST_BYTES};
	static const enum opt dresses[] = {OPT_CRLF, OPT_CR, OPT_COMMENTS, OPT_PAD, OPT_BOM,
		OPT_NO_LAST_LINE, OPT_JUNK_AFTER_DONE};
	static const enum opt framings[] = {OPT_EXTRA, OPT_BAD_CHUNK, OPT_NO_CHUNK_CRLF,
		OPT_CHUNK_EXT, OPT_BAD_TRAILER, OPT_NO_END};
	int frame = 0, body = 0, bill = 0;

	if (!choose(s, OPT_FRAME, frames, &frame, err) ||
		!choose(s, OPT_ERROR_BODY, bodies, &body, err) ||
		!choose(s, OPT_BILL, bills, &bill, err))
		return false;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		s->shaped |= s->given[shapes[i]];
	for (size_t i = 0; i < sizeof(dresses) / sizeof(dresses[0]); i++)
		s->dressed |= s->given[dresses[i]];
	for (size_t i = 0; i < sizeof(framings) / sizeof(framings[0]); i++)
		s->framed |= s->given[framings[i]];
	/* These faults have no meaning but in chunked framing. */
	if (frame == FRAME_USUAL &&
		(script_has(s, OPT_BAD_CHUNK) || script_has(s, OPT_NO_CHUNK_CRLF) ||
			script_has(s, OPT_CHUNK_EXT) || script_is(s, OPT_BAD_TRAILER) ||
			script_is(s, OPT_NO_END) || script_is(s, OPT_LENGTH_AND_CHUNKED)))
		frame = FRAME_CHUNKED;
	if (frame == FRAME_USUAL &&
		(script_has(s, OPT_WRONG_LENGTH) || script_is(s, OPT_TWO_LENGTHS)))
		frame = FRAME_LENGTH;
	s->frame = (enum frame)frame;
	s->error_body = (enum error_body)body;
	s->bill = (enum bill_rule)bill;
	return true;
}

static struct span next_option(struct span *rest)
{
	size_t n = 0;
	struct span item;

	while (n < rest->n && rest->p[n] != '+' && rest->p[n] != ';')
		n++;
	/* "wrong_length=+7": the sign belongs to the number. */
	if (n > 0 && n < rest->n && rest->p[n] == '+' && rest->p[n - 1] == '=') {
		n++;
		while (n < rest->n && rest->p[n] != '+' && rest->p[n] != ';')
			n++;
	}
	item = span_head(*rest, n);
	*rest = span_skip(*rest, n + 1);
	return item;
}

struct script *script_parse(struct span text, struct err *err)
{
	struct script *s;
	struct span rest;

	if (text.n > SCRIPT_MAX_BYTES) {
		err_set(err, ERR_BAD_REQUEST, "a sim script has at most %d bytes",
			SCRIPT_MAX_BYTES);
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (s != NULL)
		s->mem = malloc(2 * text.n + 1);
	if (s == NULL || s->mem == NULL) {
		free(s);
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	list_init(&s->node);
	s->refs = 1;
	if (text.n > 0)
		memcpy(s->mem, text.p, text.n);
	s->text = rest = span_from(s->mem, text.n);
	while (rest.n > 0) {
		struct span value = next_option(&rest), name;
		bool has_value = span_find_char(value, '=') >= 0;

		name = span_trim(span_cut(&value, '='));
		value = span_trim(value);
		if (name.n == 0 && !has_value)
			continue;
		/* A decoded value is never longer, so the same offset of the second half holds it.
		 */
		if (!set(s, name, has_value, value,
			    has_value && value.p != NULL ? s->mem + text.n + (value.p - s->mem)
							 : s->mem + text.n,
			    err))
			goto fail;
	}
	if (conclude(s, err))
		return s;
fail:
	script_unref(s);
	return NULL;
}

struct script *script_ref(struct script *s)
{
	s->refs++;
	return s;
}

void script_unref(struct script *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	free(s->mem);
	free(s);
}

void script_cache_init(struct script_cache *c)
{
	list_init(&c->used);
	c->n = 0;
}

static void drop(struct script_cache *c, struct list *node)
{
	list_remove(node);
	c->n--;
	script_unref(LIST_ITEM(node, struct script, node));
}

void script_cache_done(struct script_cache *c)
{
	LIST_EACH_SAFE(pos, &c->used)
	drop(c, pos);
}

struct script *script_cache_get(struct script_cache *c, struct span text, struct err *err)
{
	struct script *s;

	LIST_EACH(pos, &c->used)
	{
		s = LIST_ITEM(pos, struct script, node);
		if (!span_eq(s->text, text))
			continue;
		if (c->used.next != pos) {
			list_remove(pos);
			list_add_front(&c->used, pos);
		}
		return script_ref(s);
	}
	s = script_parse(text, err);
	if (s == NULL)
		return NULL;
	if (c->n >= CACHE_SCRIPTS)
		drop(c, c->used.prev);
	list_add_front(&c->used, &s->node);
	c->n++;
	return script_ref(s);
}

struct span script_split(struct span model, struct span *text)
{
	ptrdiff_t at = span_find_char(model, '+');

	*text = (struct span){NULL, 0};
	if (at <= 0)
		return model;
	*text = span_skip(model, (size_t)at + 1);
	return span_head(model, (size_t)at);
}

void script_write_docs(struct buf *out)
{
	static const char *const kinds[] = {"", "=N", "=TEXT"};
	const char *group = "";

	for (int i = 0; i < OPT_COUNT; i++) {
		const struct row *r = &rows[i];

		if (strcmp(group, r->group) != 0) {
			buf_printf(out, "\n### %s\n\n| option | what it does |\n|---|---|\n",
				r->group);
			group = r->group;
		}
		buf_printf(out, "| `%s%s` | %s |\n", r->name, kinds[r->kind], r->help);
	}
}
