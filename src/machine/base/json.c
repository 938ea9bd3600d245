/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json.h"
#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/*
 * yyjson guesses the number of values from the size of the text; with this much memory a usual
 * document never asks for more.
 */
#define POOL_BYTES(n) ((n)*4 + 4096)
#define MAX_TEXT_BYTES (SIZE_MAX / 32)

/* What the allocator of a document outside the scratch knows of the text. */
struct guard {
	struct span text;
	bool too_deep;
};

static const char *skip_string(const char *p, const char *end);
static const char *next_mark(const char *p, const char *end);

/* The nesting of text that need not be valid; brackets in strings do not count. */
static bool is_too_deep(struct span text)
{
	const char *p = text.p, *end = text.p + text.n;
	int depth = 0;

	while (p != NULL && (p = next_mark(p, end)) < end) {
		if (*p == '"') {
			p = skip_string(p, end);
			continue;
		}
		depth += (*p++ | 0x20) == '{' ? 1 : -1;
		if (depth > JSON_MAX_DEPTH)
			return true;
	}
	return false;
}

static void *guard_malloc(void *ctx, size_t n)
{
	return malloc(n);
}

/*
 * A document grows beyond the first guess only when its values are very short. Then it is worth
 * a look whether it is a tower of brackets, before it takes sixteen times its size.
 */
static void *guard_realloc(void *ctx, void *p, size_t old, size_t n)
{
	struct guard *g = ctx;

	if (n > old && !g->too_deep)
		g->too_deep = is_too_deep(g->text);
	return g->too_deep ? NULL : realloc(p, n);
}

static void guard_free(void *ctx, void *p)
{
	free(p);
}

/* The values stand in one row; a container knows where it ends. */
static bool fits_depth(yyjson_doc *doc)
{
	yyjson_val *v = yyjson_doc_get_root(doc), *end = unsafe_yyjson_get_next(v);
	yyjson_val *ends[JSON_MAX_DEPTH];
	int depth = 0;

	if (yyjson_doc_get_val_count(doc) <= JSON_MAX_DEPTH)
		return true;
	for (; v < end; v++) {
		while (depth > 0 && v >= ends[depth - 1])
			depth--;
		if (!unsafe_yyjson_is_ctn(v))
			continue;
		if (depth == JSON_MAX_DEPTH)
			return false;
		ends[depth++] = unsafe_yyjson_get_next(v);
	}
	return true;
}

/* Why a document was not read; small, so that reading a good one stays cheap. */
struct failure {
	yyjson_read_err why;
	bool too_deep;
};

static void explain(struct span text, const struct failure *f, struct err *err)
{
	size_t line = 1, column = 1, character = 0;

	if (f->too_deep)
		err_set(err, ERR_BAD_JSON, "line 1 column 1: nested deeper than %d levels",
			JSON_MAX_DEPTH);
	else if (f->why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
		err_set(err, ERR_NO_MEMORY, NULL);
	else if (yyjson_locate_pos(text.p, text.n, f->why.pos, &line, &column, &character))
		err_set(err, ERR_BAD_JSON, "line %zu column %zu: %s", line, column, f->why.msg);
	else
		err_set(err, ERR_BAD_JSON, "%s", f->why.msg);
}

static yyjson_doc *read_with(const struct json_scratch *scratch, struct span text,
	yyjson_read_flag flags, struct failure *f)
{
	struct guard guard = {.text = text};
	yyjson_alc alc = {guard_malloc, guard_realloc, guard_free, &guard};
	yyjson_alc pool;
	yyjson_doc *doc = NULL;

	f->why.code = YYJSON_READ_ERROR_MEMORY_ALLOCATION;
	/* Numbers beyond a double stay text: they are the provider's business, not ours. */
	flags |= YYJSON_READ_BIGNUM_AS_RAW;
	if (text.n > MAX_TEXT_BYTES)
		return NULL;
	if (scratch != NULL && scratch->n >= POOL_BYTES(text.n) &&
		yyjson_alc_pool_init(&pool, scratch->mem, scratch->n))
		doc = yyjson_read_opts((char *)text.p, text.n, flags, &pool, &f->why);
	if (doc == NULL && f->why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
		doc = yyjson_read_opts((char *)text.p, text.n, flags, &alc, &f->why);
	f->too_deep = guard.too_deep;
	if (doc == NULL)
		return NULL;
	/* The guard lives on this stack; what is left to do for the document is to be freed. */
	if (doc->alc.ctx == &guard)
		doc->alc.ctx = NULL;
	if (!fits_depth(doc)) {
		f->too_deep = true;
		json_free(doc);
		return NULL;
	}
	return doc;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

yyjson_doc *json_read(const struct json_scratch *scratch, struct span text, struct err *err)
{
	struct failure f;
	yyjson_doc *doc;

	if (text.n == 0) {
		err_set(err, ERR_BAD_JSON, "line 1 column 1: there is nothing to read");
		return NULL;
	}
	doc = read_with(scratch, text, YYJSON_READ_NOFLAG, &f);
	if (doc == NULL)
		explain(text, &f, err);
	return doc;
}

/* The code unit of the escape \uXXXX at p, or -1. */
static int code_unit(const char *p, const char *end)
{
	int c = 0;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		int digit = hex_digit(p[i]);

		if (digit < 0)
			return -1;
		c = c * 16 + digit;
	}
	return c;
}

/* Escapes of half a surrogate pair become U+FFFD, in place. False: there were none. */
static bool mend_surrogates(char *p, const char *end)
{
	bool mended = false;

	while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL && end - p > 1) {
		int c = code_unit(p, end), next;

		if (c < 0xd800 || c > 0xdfff) {
			p += 2;
			continue;
		}
		next = c < 0xdc00 ? code_unit(p + 6, end) : -1;
		if (next >= 0xdc00 && next <= 0xdfff) {
			p += 12;
			continue;
		}
		memcpy(p + 2, "fffd", 4);
		mended = true;
		p += 6;
	}
	return mended;
}

yyjson_doc *json_read_loose(const struct json_scratch *scratch, struct span text, struct err *err)
{
	const yyjson_read_flag flags = YYJSON_READ_ALLOW_INVALID_UNICODE;
	struct failure f;
	yyjson_doc *doc;
	char *copy;

	if (text.n == 0)
		return json_read(scratch, text, err);
	doc = read_with(scratch, text, flags, &f);
	if (doc != NULL)
		return doc;
	if (f.why.code == YYJSON_READ_ERROR_INVALID_STRING && span_find(text, SPAN("\\u")) >= 0) {
		copy = malloc(text.n);
		if (copy == NULL) {
			err_set(err, ERR_NO_MEMORY, NULL);
			return NULL;
		}
		memcpy(copy, text.p, text.n);
		if (mend_surrogates(copy, copy + text.n))
			doc = read_with(scratch, (struct span){copy, text.n}, flags, &f);
		free(copy);
	}
	if (doc == NULL)
		explain(text, &f, err);
	return doc;
}

void json_free(yyjson_doc *doc)
{
	yyjson_doc_free(doc);
}

yyjson_val *json_get(yyjson_val *object, const char *key)
{
	size_t n = strlen(key), left;
	yyjson_val *k, *found = NULL;

	if (!yyjson_is_obj(object))
		return NULL;
	k = unsafe_yyjson_get_first(object);
	for (left = unsafe_yyjson_get_len(object); left > 0; left--) {
		if (unsafe_yyjson_get_len(k) == n && memcmp(unsafe_yyjson_get_str(k), key, n) == 0)
			found = k + 1;
		k = unsafe_yyjson_get_next(k + 1);
	}
	return found;
}

bool json_get_str(yyjson_val *object, const char *key, struct span *out)
{
	yyjson_val *v = json_get(object, key);

	if (!yyjson_is_str(v))
		return false;
	*out = (struct span){unsafe_yyjson_get_str(v), unsafe_yyjson_get_len(v)};
	return true;
}

bool json_get_bool(yyjson_val *object, const char *key, bool *out)
{
	yyjson_val *v = json_get(object, key);

	if (!yyjson_is_bool(v))
		return false;
	*out = unsafe_yyjson_get_bool(v);
	return true;
}

bool json_get_count(yyjson_val *object, const char *key, int64_t *out)
{
	yyjson_val *v = json_get(object, key);

	if (!yyjson_is_uint(v) || unsafe_yyjson_get_uint(v) > (uint64_t)1 << 40)
		return false;
	*out = (int64_t)unsafe_yyjson_get_uint(v);
	return true;
}

/* ---- the scanner ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_blank(const char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

/* An even run of backslashes before the quote escapes itself, not the quote. */
static bool is_escaped(const char *start, const char *quote)
{
	const char *p = quote;

	while (p > start && p[-1] == '\\')
		p--;
	return (quote - p) % 2 != 0;
}

/* Which of 16 bytes are quotes, and which are quotes or brackets, a bit each. */
#ifdef __SSE2__
#define BLOCK_BYTES 16

static unsigned quotes_in(const char *p)
{
	__m128i x = _mm_loadu_si128((const __m128i *)p);

	return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')));
}

static unsigned marks_in(const char *p)
{
	__m128i x = _mm_loadu_si128((const __m128i *)p);
	/* '[' and ']' differ from '{' and '}' in this one bit. */
	__m128i folded = _mm_or_si128(x, _mm_set1_epi8(0x20));
	__m128i hits = _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')),
		_mm_or_si128(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{')),
			_mm_cmpeq_epi8(folded, _mm_set1_epi8('}'))));

	return (unsigned)_mm_movemask_epi8(hits);
}
#else
#define BLOCK_BYTES 8

static unsigned quotes_in(const char *p)
{
	unsigned hits = 0;

	for (int i = 0; i < BLOCK_BYTES; i++)
		hits |= (unsigned)(p[i] == '"') << i;
	return hits;
}

static unsigned marks_in(const char *p)
{
	unsigned hits = 0;

	for (int i = 0; i < BLOCK_BYTES; i++)
		hits |= (unsigned)(p[i] == '"' || (p[i] | 0x20) == '{' || (p[i] | 0x20) == '}')
			<< i;
	return hits;
}
#endif

/* p at the opening quote; returns what is behind the closing one. */
static const char *skip_string(const char *p, const char *end)
{
	const char *start = ++p;

	for (; end - p >= BLOCK_BYTES; p += BLOCK_BYTES)
		for (unsigned hits = quotes_in(p); hits != 0; hits &= hits - 1) {
			const char *quote = p + __builtin_ctz(hits);

			if (!is_escaped(start, quote))
				return quote + 1;
		}
	for (; p < end; p++)
		if (*p == '"' && !is_escaped(start, p))
			return p + 1;
	return NULL;
}

/* The next quote or bracket, or `end`. */
static const char *next_mark(const char *p, const char *end)
{
	for (; end - p >= BLOCK_BYTES; p += BLOCK_BYTES) {
		unsigned hits = marks_in(p);

		if (hits != 0)
			return p + __builtin_ctz(hits);
	}
	while (p < end && *p != '"' && (*p | 0x20) != '{' && (*p | 0x20) != '}')
		p++;
	return p;
}

static const char *skip_container(const char *p, const char *end)
{
	size_t depth = 0;

	while ((p = next_mark(p, end)) < end) {
		if (*p == '"') {
			p = skip_string(p, end);
			if (p == NULL)
				return NULL;
			continue;
		}
		if ((*p | 0x20) == '{')
			depth++;
		else if (--depth == 0)
			return p + 1;
		p++;
	}
	return NULL;
}

static const char *skip_value(const char *p, const char *end)
{
	if (p == end)
		return NULL;
	if (*p == '"')
		return skip_string(p, end);
	if (*p == '{' || *p == '[')
		return skip_container(p, end);
	while (p < end && *p != ',' && *p != '}' && *p != ']' && !is_blank(*p))
		p++;
	return p;
}

bool json_next(struct span text, size_t *at, struct json_member *m)
{
	const char *end = text.p + text.n, *p = text.p + *at, *behind;

	p = skip_blank(p, end);
	if (*at == 0) {
		if (p == end || (*p != '{' && *p != '['))
			return false;
	} else if (p == end || *p != ',') {
		return false;
	}
	p = skip_blank(p + 1, end);
	if (p == end || *p == '}' || *p == ']')
		return false;
	m->key = (struct span){NULL, 0};
	behind = skip_value(p, end);
	if (behind == NULL || behind == p)
		return false;
	if (*p == '"' && skip_blank(behind, end) < end && *skip_blank(behind, end) == ':') {
		m->key = (struct span){p + 1, (size_t)(behind - p) - 2};
		p = skip_blank(skip_blank(behind, end) + 1, end);
		behind = skip_value(p, end);
		if (behind == NULL || behind == p)
			return false;
	}
	m->value = (struct span){p, (size_t)(behind - p)};
	*at = (size_t)(behind - text.p);
	return true;
}

/* The next character of a raw string, escapes resolved; -1 when it is not plain ASCII. */
static int next_char(const char **p, const char *end)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *s = *p, *known;
	int c;

	if (*s != '\\') {
		*p = s + 1;
		return (unsigned char)*s < 0x80 ? *s : -1;
	}
	if (end - s < 2)
		return -1;
	if (s[1] != 'u') {
		known = memchr(from, s[1], sizeof(from) - 1);
		*p = s + 2;
		return known != NULL ? to[known - from] : -1;
	}
	c = code_unit(s, end);
	*p = s + 6;
	return c < 0x80 ? c : -1;
}

static bool key_eq(struct span raw, struct span key)
{
	const char *p = raw.p, *end = raw.p + raw.n;

	if (raw.n == key.n && memcmp(raw.p, key.p, key.n) == 0)
		return true;
	if (raw.n < key.n + 1 || memchr(raw.p, '\\', raw.n) == NULL)
		return false;
	for (size_t i = 0; i < key.n; i++)
		if (p == end || next_char(&p, end) != (unsigned char)key.p[i])
			return false;
	return p == end;
}

bool json_key_is(struct span raw_key, const char *key)
{
	return key_eq(raw_key, span_of(key));
}

static struct span find_last(struct span object, struct span key)
{
	struct span found = {NULL, 0};
	struct json_member m;
	size_t at = 0;

	while (json_next(object, &at, &m))
		if (m.key.p != NULL && key_eq(m.key, key))
			found = m.value;
	return found;
}

struct span json_raw(struct span text, const char *path)
{
	struct span rest = span_of(path);

	while (rest.p != NULL && text.p != NULL)
		text = find_last(text, span_cut(&rest, '.'));
	return text;
}

bool json_has_twice(struct span text, const char *key)
{
	struct json_member m;
	size_t at = 0;
	int n = 0;

	while (n < 2 && json_next(text, &at, &m))
		n += m.key.p != NULL && json_key_is(m.key, key);
	return n > 1;
}

/* ---- edits ---- */

void json_edit_init(struct json_edit *e, struct arena *a, struct span text)
{
	e->text = text;
	e->arena = a;
	e->n_changes = e->n = 0;
	e->failed = e->made = false;
}

/* The same member, or one that holds it. */
static bool is_above(const struct json_change *top, const struct json_change *c)
{
	if (top->n_keys > c->n_keys)
		return false;
	for (int i = 0; i < top->n_keys; i++)
		if (!span_eq(top->keys[i], c->keys[i]))
			return false;
	return true;
}

static struct span wrap(struct arena *a, struct span key, struct span raw)
{
	char *p = arena_alloc(a, key.n + raw.n + 5);

	if (p == NULL)
		return (struct span){NULL, 0};
	p[0] = '{';
	p[1] = '"';
	memcpy(p + 2, key.p, key.n);
	p[2 + key.n] = '"';
	p[3 + key.n] = ':';
	memcpy(p + 4 + key.n, raw.p, raw.n);
	p[4 + key.n + raw.n] = '}';
	return (struct span){p, key.n + raw.n + 5};
}

/* The raw text below `depth` keys of the change: {"b":raw} for "a.b" below "a". */
static struct span build_below(struct arena *a, const struct json_change *c, int depth)
{
	struct span raw = c->raw;

	for (int i = c->n_keys - 1; i >= depth && raw.p != NULL; i--)
		raw = wrap(a, c->keys[i], raw);
	return raw;
}

static bool flatten(struct json_edit *e, struct span *out)
{
	struct span spans[2 * JSON_MAX_SPLICES + 1];
	size_t size = json_edit_size(e), at = 0;
	int n = json_edit_spans(e, spans, 2 * JSON_MAX_SPLICES + 1);
	char *p = n >= 0 ? arena_alloc(e->arena, size) : NULL;

	if (p == NULL)
		return false;
	for (int i = 0; i < n; i++) {
		memcpy(p + at, spans[i].p, spans[i].n);
		at += spans[i].n;
	}
	*out = (struct span){p, size};
	return true;
}

static void add_change(struct json_edit *e, struct json_change c);

/* A change inside text that an earlier change put there. */
static void change_put(struct json_edit *e, struct json_change *top, const struct json_change *c)
{
	struct json_change below = {.n_keys = c->n_keys - top->n_keys, .raw = c->raw};
	struct json_edit inner;

	if (top->raw.n == 0 || *top->raw.p != '{') {
		if (c->raw.n == 0)
			return;
		top->raw = build_below(e->arena, c, top->n_keys);
		e->failed |= top->raw.p == NULL;
		return;
	}
	for (int i = 0; i < below.n_keys; i++)
		below.keys[i] = c->keys[top->n_keys + i];
	json_edit_init(&inner, e->arena, top->raw);
	add_change(&inner, below);
	if (!flatten(&inner, &top->raw))
		e->failed = true;
}

static void add_change(struct json_edit *e, struct json_change c)
{
	int kept = 0;

	e->made = false;
	for (int i = 0; i < e->n_changes; i++) {
		struct json_change *old = &e->changes[i];

		if (old->n_keys < c.n_keys && is_above(old, &c)) {
			change_put(e, old, &c);
			return;
		}
	}
	for (int i = 0; i < e->n_changes; i++)
		if (!is_above(&c, &e->changes[i]))
			e->changes[kept++] = e->changes[i];
	e->n_changes = kept;
	if (kept == JSON_MAX_SPLICES) {
		e->failed = true;
		return;
	}
	e->changes[e->n_changes++] = c;
}

static void change(struct json_edit *e, const char *path, struct span raw)
{
	struct json_change c = {.raw = raw};
	struct span rest = span_of(path);

	while (rest.p != NULL) {
		if (c.n_keys == JSON_MAX_PATH) {
			e->failed = true;
			return;
		}
		c.keys[c.n_keys++] = span_cut(&rest, '.');
	}
	if (c.n_keys == 0)
		e->failed = true;
	if (!e->failed)
		add_change(e, c);
}

void json_edit_set(struct json_edit *e, const char *path, struct span raw)
{
	if (raw.n == 0)
		e->failed = true;
	else
		change(e, path, raw);
}

void json_edit_remove(struct json_edit *e, const char *path)
{
	change(e, path, (struct span){NULL, 0});
}

static void add_splice(struct json_edit *e, size_t at, size_t cut, struct span put)
{
	int i = e->n;

	if (e->n == JSON_MAX_SPLICES) {
		e->failed = true;
		return;
	}
	for (; i > 0 && e->splices[i - 1].at > at; i--)
		e->splices[i] = e->splices[i - 1];
	e->splices[i] = (struct json_splice){at, cut, put};
	e->n++;
}

/* The changes of one object: which of them, how deep, and where each one's member was found. */
struct level {
	struct span object;
	const struct json_change *changes[JSON_MAX_SPLICES];
	struct span found[JSON_MAX_SPLICES];
	int n, depth;
};

/* Changes of the level that share the key of the first one: they go on below it together. */
static int take_same_key(const struct level *l, int first, struct level *below)
{
	struct span key = l->changes[first]->keys[l->depth];

	below->object = l->found[first];
	below->depth = l->depth + 1;
	below->n = 0;
	for (int i = first; i < l->n; i++)
		if (span_eq(l->changes[i]->keys[l->depth], key) &&
			l->changes[i]->n_keys > below->depth)
			below->changes[below->n++] = l->changes[i];
	return below->n;
}

static bool is_first_of_key(const struct level *l, int i)
{
	for (int k = 0; k < i; k++)
		if (span_eq(l->changes[k]->keys[l->depth], l->changes[i]->keys[l->depth]))
			return false;
	return true;
}

/* One object of the changes below a missing member, as text. */
static struct span build_object(struct json_edit *e, const struct level *below)
{
	struct json_edit inner;
	struct span out;

	json_edit_init(&inner, e->arena, SPAN("{}"));
	for (int i = 0; i < below->n; i++) {
		struct json_change c = {.raw = below->changes[i]->raw};

		for (int k = below->depth; k < below->changes[i]->n_keys; k++)
			c.keys[c.n_keys++] = below->changes[i]->keys[k];
		if (c.raw.n > 0)
			add_change(&inner, c);
	}
	if (inner.n_changes == 0)
		return (struct span){NULL, 0};
	if (!flatten(&inner, &out)) {
		e->failed = true;
		return (struct span){NULL, 0};
	}
	return out;
}

static struct span join_appended(
	struct json_edit *e, struct span put, struct span key, struct span raw, bool comma)
{
	size_t n = put.n + key.n + raw.n + 4, at = 0;
	char *p = arena_alloc(e->arena, n);

	if (p == NULL) {
		e->failed = true;
		return put;
	}
	if (put.n > 0)
		memcpy(p, put.p, put.n);
	at = put.n;
	if (comma)
		p[at++] = ',';
	p[at++] = '"';
	memcpy(p + at, key.p, key.n);
	at += key.n;
	p[at++] = '"';
	p[at++] = ':';
	memcpy(p + at, raw.p, raw.n);
	return (struct span){p, at + raw.n};
}

static void make_level(struct json_edit *e, struct level *l);

/* Replaces, descends or remembers as appended, once a level's members are known. */
static struct span make_values(struct json_edit *e, struct level *l, bool any_kept)
{
	struct span put = {NULL, 0};

	for (int i = 0; i < l->n && !e->failed; i++) {
		const struct json_change *c = l->changes[i];
		struct span raw = c->raw;
		struct level below;

		if (c->n_keys > l->depth + 1) {
			if (!is_first_of_key(l, i))
				continue;
			take_same_key(l, i, &below);
			if (l->found[i].n > 0 && *l->found[i].p == '{') {
				make_level(e, &below);
				continue;
			}
			raw = build_object(e, &below);
		}
		if (raw.n == 0)
			continue;
		if (l->found[i].n > 0)
			add_splice(e, (size_t)(l->found[i].p - e->text.p), l->found[i].n, raw);
		else
			put = join_appended(e, put, c->keys[l->depth], raw, any_kept || put.n > 0);
	}
	return put;
}

/*
 * One walk over the members. A removed run between kept members goes with the commas behind it,
 * one at the end with the comma before it, so what stays keeps its exact bytes.
 */
static void make_level(struct json_edit *e, struct level *l)
{
	const char *base = e->text.p, *kept_end = NULL, *run = NULL, *run_end = NULL;
	struct json_member m;
	struct span put;
	size_t at = 0;

	memset(l->found, 0, sizeof(l->found));
	while (json_next(l->object, &at, &m)) {
		bool removed = false;

		if (m.key.p == NULL)
			break;
		for (int i = 0; i < l->n; i++) {
			if (!key_eq(m.key, l->changes[i]->keys[l->depth]))
				continue;
			l->found[i] = m.value;
			removed |=
				l->changes[i]->raw.n == 0 && l->changes[i]->n_keys == l->depth + 1;
		}
		if (removed) {
			run = run != NULL ? run : m.key.p - 1;
			run_end = m.value.p + m.value.n;
			continue;
		}
		if (run != NULL)
			add_splice(e, (size_t)(run - base), (size_t)(m.key.p - 1 - run),
				(struct span){NULL, 0});
		run = NULL;
		kept_end = m.value.p + m.value.n;
	}
	put = make_values(e, l, kept_end != NULL);
	if (run != NULL && kept_end != NULL)
		run = kept_end;
	if (run != NULL)
		add_splice(e, (size_t)(run - base), (size_t)(run_end - run), put);
	else if (put.n > 0)
		add_splice(e,
			(size_t)((kept_end != NULL ? kept_end
						   : skip_blank(l->object.p,
							     l->object.p + l->object.n) +
							     1) -
				 base),
			0, put);
}

static void make(struct json_edit *e)
{
	struct level top = {.object = e->text, .depth = 0};

	e->n = 0;
	e->made = true;
	for (int i = 0; i < e->n_changes; i++)
		top.changes[top.n++] = &e->changes[i];
	if (top.n > 0)
		make_level(e, &top);
}

size_t json_edit_size(struct json_edit *e)
{
	size_t n = e->text.n;

	if (!e->made && !e->failed)
		make(e);
	if (e->failed)
		return 0;
	for (int i = 0; i < e->n; i++)
		n = n - e->splices[i].cut + e->splices[i].put.n;
	return n;
}

int json_edit_spans(struct json_edit *e, struct span *out, int max)
{
	size_t at = 0;
	int n = 0;

	if (!e->made && !e->failed)
		make(e);
	if (e->failed || max < 2 * e->n + 1)
		return -1;
	for (int i = 0; i < e->n; i++) {
		const struct json_splice *s = &e->splices[i];

		if (s->at > at)
			out[n++] = (struct span){e->text.p + at, s->at - at};
		if (s->put.n > 0)
			out[n++] = s->put;
		at = s->at + s->cut;
	}
	if (at < e->text.n)
		out[n++] = (struct span){e->text.p + at, e->text.n - at};
	return n;
}
