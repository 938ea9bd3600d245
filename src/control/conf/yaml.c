/* SPDX-License-Identifier: Apache-2.0 */
#include "control/conf/yaml.h"
#include <libfyaml.h>
#include "machine/base/buf.h"
#include "machine/base/text.h"

struct reading {
	struct arena *arena;
	const char *file;
	struct fy_parser *parser;
	struct fy_diag *diag;
	struct span text;
	struct err *err;
};

struct place {
	int line, column;
};

static bool fail(struct reading *r, struct place at, const char *what)
{
	return err_set(r->err, ERR_CONFIG, "%s:%d:%d: %s", r->file, at.line, at.column, what);
}

bool yaml_is_null(const struct yaml_node *n)
{
	return n->kind == YAML_SCALAR && n->plain &&
	       (n->text.n == 0 || span_is(n->text, "~") || span_is(n->text, "null"));
}

/* ---- characters ---- */

static bool is_control(unsigned char c)
{
	return (c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7f;
}

/* What no parser should have to see. */
static bool check_bytes(struct reading *r, struct span text)
{
	struct place at = {1, 1};
	size_t line_start = 0;

	for (size_t i = 0; i < text.n; i++) {
		bool ends = text.p[i] == '\n';

		if (is_control((unsigned char)text.p[i])) {
			at.column = (int)(i - line_start) + 1;
			return fail(r, at, "a control character is not allowed here");
		}
		if (!ends && i + 1 < text.n)
			continue;
		if (!text_is_utf8((struct span){text.p + line_start, i + 1 - line_start}))
			return fail(r, at, "this line is not UTF-8");
		line_start = i + 1;
		at.line += ends;
	}
	return true;
}

/* ---- events ---- */

static struct place place_of(const struct fy_mark *mark)
{
	if (mark == NULL)
		return (struct place){1, 1};
	return (struct place){mark->line + 1, mark->column + 1};
}

/* The parser's mark of a quoted text stands behind its quote. */
static struct place event_place(struct fy_event *e)
{
	struct fy_token *token = e->type == FYET_SCALAR ? fy_event_get_token(e) : NULL;
	enum fy_scalar_style style = token != NULL ? fy_token_scalar_style(token) : FYSS_PLAIN;
	struct place at = place_of(fy_event_start_mark(e));

	if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && at.column > 1)
		at.column--;
	return at;
}

/* The parser's own message, or that it ran out of memory. */
static bool fail_syntax(struct reading *r)
{
	void *at = NULL;
	const struct fy_diag_error *e = fy_diag_errors_iterate(r->diag, &at);

	if (e == NULL || e->msg == NULL)
		return err_set(r->err, ERR_CONFIG, "%s: this is not YAML", r->file);
	return err_set(r->err, ERR_CONFIG, "%s:%d:%d: %s", r->file, e->line > 0 ? e->line : 1,
		e->column > 0 ? e->column : 1, e->msg);
}

static const char *forbidden(struct fy_event *e)
{
	if (e->type == FYET_ALIAS)
		return "aliases (*name) are not supported";
	if (e->type != FYET_SCALAR && e->type != FYET_MAPPING_START &&
		e->type != FYET_SEQUENCE_START)
		return NULL;
	if (fy_event_get_anchor_token(e) != NULL)
		return "anchors (&name) are not supported";
	if (fy_event_get_tag_token(e) != NULL)
		return "tags (!name) are not supported";
	return NULL;
}

static struct fy_event *next_event(struct reading *r)
{
	struct fy_event *e = fy_parser_parse(r->parser);
	const char *why;

	if (e == NULL) {
		fail_syntax(r);
		return NULL;
	}
	why = forbidden(e);
	if (why != NULL) {
		fail(r, place_of(fy_event_start_mark(e)), why);
		fy_parser_event_free(r->parser, e);
		return NULL;
	}
	return e;
}

static bool expect(struct reading *r, enum fy_event_type type)
{
	struct fy_event *e = next_event(r);
	bool ok = e != NULL && e->type == type;

	if (e != NULL && !ok)
		fail(r, place_of(fy_event_start_mark(e)), "one document only");
	if (e != NULL)
		fy_parser_event_free(r->parser, e);
	return ok;
}

/* ---- nodes ---- */

static struct yaml_node *read_node(struct reading *r, struct fy_event *e, int depth);

/*
 * The scalar's text, escapes resolved. Piece by piece: asked for the whole text at once, libfyaml
 * 0.7 loses memory on text with many escapes.
 */
static bool put_text(struct fy_token *token, struct buf *out)
{
	struct fy_token_iter *iter = fy_token_iter_create(token);
	const struct fy_iter_chunk *chunk = NULL;
	int failed = 0;

	if (iter == NULL)
		return false;
	while ((chunk = fy_token_iter_chunk_next(iter, chunk, &failed)) != NULL)
		buf_append(out, (struct span){chunk->str, chunk->len});
	fy_token_iter_destroy(iter);
	return failed == 0 && !out->failed;
}

/*
 * One line, and no two escaped quotes in a row: on other texts libfyaml 0.7 loses blanks, line ends
 * or the rest, and says nothing. No value here needs them.
 */
static bool check_scalar(struct reading *r, struct fy_event *e, struct fy_token *token)
{
	const struct fy_mark *from = fy_token_start_mark(token), *to = fy_token_end_mark(token);
	enum fy_scalar_style style = fy_token_scalar_style(token);
	struct place at = event_place(e);
	struct span raw = SPAN("");

	if (from != NULL && to != NULL)
		raw = span_skip(span_head(r->text, to->input_pos), from->input_pos);
	if (style == FYSS_LITERAL || style == FYSS_FOLDED || span_find_char(raw, '\n') >= 0 ||
		span_find_char(raw, '\r') >= 0)
		return fail(r, at, "a value must stand on one line");
	if (style == FYSS_SINGLE_QUOTED && span_find(raw, SPAN("''''")) >= 0)
		return fail(r, at, "write a text with several quotes in a row in double quotes");
	return true;
}

static bool read_scalar(struct reading *r, struct fy_event *e, struct yaml_node *n)
{
	struct fy_token *token = fy_event_get_token(e);
	struct buf text;

	if (token != NULL && !check_scalar(r, e, token))
		return false;
	n->kind = YAML_SCALAR;
	n->plain = token == NULL || fy_token_scalar_style(token) == FYSS_PLAIN;
	buf_init(&text, 2 * r->text.n + 64);
	if (token == NULL || put_text(token, &text))
		n->text = arena_copy(r->arena, buf_span(&text));
	buf_done(&text);
	return n->text.p != NULL || err_set(r->err, ERR_NO_MEMORY, NULL);
}

static bool check_key(struct reading *r, const struct yaml_node *map, const struct yaml_node *key)
{
	struct place at = {key->line, key->column};

	if (key->kind != YAML_SCALAR)
		return fail(r, at, "a key must be a plain name");
	if (yaml_is_null(key))
		return fail(r, at, "a key is missing in front of the colon");
	if (key->plain && span_is(key->text, "<<"))
		return fail(r, at, "merge keys (<<) are not supported");
	for (const struct yaml_node *m = map->first; m != NULL; m = m->next)
		if (span_eq(m->key, key->text))
			return err_set(r->err, ERR_CONFIG,
				"%s:%d:%d: \"%.*s\" is there twice; it was first in line %d",
				r->file, at.line, at.column, SPAN_ARG(span_head(key->text, 64)),
				m->key_line);
	return true;
}

static bool read_members(struct reading *r, struct yaml_node *parent, int depth)
{
	enum fy_event_type end = parent->kind == YAML_MAP ? FYET_MAPPING_END : FYET_SEQUENCE_END;
	struct yaml_node **tail = &parent->first;

	for (;;) {
		struct fy_event *e = next_event(r);
		struct yaml_node *n, *key = NULL;
		bool is_end = e != NULL && e->type == end;

		if (e == NULL)
			return false;
		if (is_end) {
			fy_parser_event_free(r->parser, e);
			return true;
		}
		if (parent->n++ == YAML_MAX_MEMBERS) {
			fail(r, place_of(fy_event_start_mark(e)), "too many entries");
			fy_parser_event_free(r->parser, e);
			return false;
		}
		n = read_node(r, e, depth);
		if (n != NULL && parent->kind == YAML_MAP) {
			key = n;
			n = NULL;
			if (check_key(r, parent, key) && (e = next_event(r)) != NULL)
				n = read_node(r, e, depth);
		}
		if (n == NULL)
			return false;
		if (key != NULL) {
			/* What is not written has no place of its own. */
			if (n->kind == YAML_SCALAR && n->plain && n->text.n == 0) {
				n->line = key->line;
				n->column = key->column;
			}
			n->key = key->text;
			n->key_line = key->line;
			n->key_column = key->column;
		}
		*tail = n;
		tail = &n->next;
	}
}

/* Takes the event. */
static struct yaml_node *read_node(struct reading *r, struct fy_event *e, int depth)
{
	struct place at = event_place(e);
	struct yaml_node *n = ARENA_NEW(r->arena, struct yaml_node);
	enum fy_event_type type = e->type;
	bool ok = n != NULL || err_set(r->err, ERR_NO_MEMORY, NULL);

	if (ok && type == FYET_SCALAR)
		ok = read_scalar(r, e, n);
	fy_parser_event_free(r->parser, e);
	if (!ok)
		return NULL;
	n->line = at.line;
	n->column = at.column;
	if (type == FYET_SCALAR)
		return n;
	if (type != FYET_MAPPING_START && type != FYET_SEQUENCE_START) {
		fail(r, at, "a value is expected here");
		return NULL;
	}
	n->kind = type == FYET_MAPPING_START ? YAML_MAP : YAML_LIST;
	if (depth >= YAML_MAX_DEPTH) {
		fail(r, at, "nested too deeply");
		return NULL;
	}
	return read_members(r, n, depth + 1) ? n : NULL;
}

/* ---- documents ---- */

static bool check_directives(struct reading *r, struct fy_event *e)
{
	struct fy_document_state *state = e->document_start.document_state;

	if (state != NULL && (fy_document_state_version_explicit(state) ||
				     fy_document_state_tags_explicit(state)))
		return fail(r, place_of(fy_event_start_mark(e)),
			"directives (%YAML, %TAG) are not supported");
	return true;
}

static struct yaml_node *read_document(struct reading *r)
{
	struct fy_event *e;
	struct yaml_node *n = NULL;
	bool ok;

	if (!expect(r, FYET_STREAM_START))
		return NULL;
	e = next_event(r);
	if (e == NULL)
		return NULL;
	if (e->type == FYET_STREAM_END) { /* blank, or comments alone */
		fy_parser_event_free(r->parser, e);
		n = ARENA_NEW(r->arena, struct yaml_node);
		if (n == NULL)
			err_set(r->err, ERR_NO_MEMORY, NULL);
		else
			*n = (struct yaml_node){.kind = YAML_MAP, .line = 1, .column = 1};
		return n;
	}
	ok = e->type == FYET_DOCUMENT_START && check_directives(r, e);
	fy_parser_event_free(r->parser, e);
	e = ok ? next_event(r) : NULL;
	if (e != NULL)
		n = read_node(r, e, 0);
	if (n == NULL || !expect(r, FYET_DOCUMENT_END) || !expect(r, FYET_STREAM_END))
		return NULL;
	if (yaml_is_null(n))
		n->kind = YAML_MAP;
	if (n->kind != YAML_MAP) {
		fail(r, (struct place){n->line, n->column},
			"the file must be a mapping: lines of the form \"name: value\"");
		return NULL;
	}
	return n;
}

static void swallow(struct fy_diag *diag, void *user, const char *text, size_t n)
{
}

struct yaml_node *yaml_read(struct arena *a, const char *file, struct span text, struct err *err)
{
	struct fy_diag_cfg diag_cfg;
	struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_DEFAULT_VERSION_1_2 |
					    FYPCF_JSON_NONE | FYPCF_DISABLE_RECYCLING};
	struct reading r = {.arena = a, .file = file, .err = err};
	struct yaml_node *n = NULL;

	if (span_starts(text, SPAN("\xef\xbb\xbf")))
		text = span_skip(text, 3);
	r.text = text;
	if (!check_bytes(&r, text))
		return NULL;
	fy_diag_cfg_default(&diag_cfg);
	diag_cfg.fp = NULL;
	diag_cfg.output_fn = swallow;
	r.diag = fy_diag_create(&diag_cfg);
	if (r.diag != NULL) {
		fy_diag_set_collect_errors(r.diag, true);
		cfg.diag = r.diag;
		r.parser = fy_parser_create(&cfg);
	}
	if (r.parser == NULL ||
		fy_parser_set_string(r.parser, text.n > 0 ? text.p : "", text.n) != 0)
		err_set(err, ERR_NO_MEMORY, NULL);
	else
		n = read_document(&r);
	if (r.parser != NULL)
		fy_parser_destroy(r.parser);
	if (r.diag != NULL)
		fy_diag_destroy(r.diag);
	return n;
}
