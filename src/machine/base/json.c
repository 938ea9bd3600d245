/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json.h"
#include <stdio.h>
#include <stdlib.h>
#include "machine/base/json_scan.h"
#include "machine/base/text.h"

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
		g->too_deep = json_is_deeper(g->text, JSON_MAX_DEPTH);
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

static yyjson_doc *read_strict(const struct json_scratch *scratch, struct span text,
	yyjson_read_flag flags, struct err *err)
{
	struct failure f;
	yyjson_doc *doc;

	if (text.n == 0) {
		err_set(err, ERR_BAD_JSON, "line 1 column 1: there is nothing to read");
		return NULL;
	}
	doc = read_with(scratch, text, flags, &f);
	if (doc == NULL)
		explain(text, &f, err);
	return doc;
}

yyjson_doc *json_read(const struct json_scratch *scratch, struct span text, struct err *err)
{
	return read_strict(scratch, text, YYJSON_READ_NOFLAG, err);
}

/* Escapes of half a surrogate pair become U+FFFD, in place. False: there were none. */
static bool mend_surrogates(char *p, const char *end)
{
	bool mended = false;

	while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL && end - p > 1) {
		int c = json_code_unit(p, end), next;

		if (c < 0xd800 || c > 0xdfff) {
			p += 2;
			continue;
		}
		next = c < 0xdc00 ? json_code_unit(p + 6, end) : -1;
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

static yyjson_doc *read_loose(const struct json_scratch *scratch, struct span text,
	yyjson_read_flag flags, struct err *err)
{
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

yyjson_doc *json_read_loose(const struct json_scratch *scratch, struct span text, struct err *err)
{
	return read_loose(scratch, text, YYJSON_READ_ALLOW_INVALID_UNICODE, err);
}

yyjson_doc *json_read_raw(
	const struct json_scratch *scratch, struct span text, bool loose, struct err *err)
{
	if (loose)
		return read_loose(scratch, text,
			YYJSON_READ_ALLOW_INVALID_UNICODE | YYJSON_READ_NUMBER_AS_RAW, err);
	return read_strict(scratch, text, YYJSON_READ_NUMBER_AS_RAW, err);
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

/*
 * yyjson keeps the strings where they stood in its copy of the text. Where the first key stands in
 * both tells where the copy begins; the text itself says whether that is true.
 */
struct span json_place(yyjson_val *root, struct span text, yyjson_val *string)
{
	const char *open = text.n > 0 ? memchr(text.p, '"', text.n) : NULL, *at;
	const struct span none = {NULL, 0};
	size_t n = yyjson_get_len(string);
	ptrdiff_t offset;

	if (!yyjson_is_obj(root) || unsafe_yyjson_get_len(root) == 0 || open == NULL ||
		!yyjson_is_str(string))
		return none;
	offset = (char *)unsafe_yyjson_get_str(string) -
		 (char *)unsafe_yyjson_get_str(unsafe_yyjson_get_first(root));
	offset += open + 1 - text.p;
	if (offset < 1 || (size_t)offset > text.n || text.n - (size_t)offset <= n)
		return none;
	at = text.p + offset;
	if (at[-1] != '"' || at[n] != '"' || memcmp(at, unsafe_yyjson_get_str(string), n) != 0)
		return none;
	return (struct span){at - 1, n + 2};
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
	int64_t n;

	if (!json_int(v, &n) || n < 0 || n > (int64_t)1 << 40)
		return false;
	*out = n;
	return true;
}

struct span json_number(yyjson_val *v)
{
	if (!yyjson_is_raw(v))
		return (struct span){NULL, 0};
	return (struct span){unsafe_yyjson_get_str(v), unsafe_yyjson_get_len(v)};
}

bool json_int(yyjson_val *v, int64_t *out)
{
	if (yyjson_is_raw(v))
		return text_i64(json_number(v), out);
	if (!yyjson_is_int(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX))
		return false;
	*out = yyjson_get_sint(v);
	return true;
}

static bool write_scalar(struct buf *b, yyjson_val *v)
{
	char number[40];
	size_t n;

	switch (yyjson_get_type(v)) {
	case YYJSON_TYPE_STR:
		return text_json_string(
			b, (struct span){unsafe_yyjson_get_str(v), unsafe_yyjson_get_len(v)});
	case YYJSON_TYPE_RAW:
		return buf_append(
			b, (struct span){unsafe_yyjson_get_str(v), unsafe_yyjson_get_len(v)});
	case YYJSON_TYPE_BOOL:
		return buf_append_cstr(b, unsafe_yyjson_is_true(v) ? "true" : "false");
	case YYJSON_TYPE_NUM:
		if (yyjson_is_uint(v))
			return buf_append_u64(b, unsafe_yyjson_get_uint(v));
		if (yyjson_is_sint(v))
			return buf_append_i64(b, unsafe_yyjson_get_sint(v));
		n = (size_t)snprintf(number, sizeof(number), "%.17g", unsafe_yyjson_get_real(v));
		return buf_append(b, (struct span){number, n});
	default:
		return buf_append_cstr(b, "null");
	}
}

bool json_write(struct buf *b, yyjson_val *v)
{
	size_t i, max;
	yyjson_val *key, *item;

	if (yyjson_is_arr(v)) {
		buf_append_char(b, '[');
		yyjson_arr_foreach(v, i, max, item)
		{
			if (i > 0)
				buf_append_char(b, ',');
			json_write(b, item);
		}
		return buf_append_char(b, ']');
	}
	if (!yyjson_is_obj(v))
		return write_scalar(b, v);
	buf_append_char(b, '{');
	yyjson_obj_foreach(v, i, max, key, item)
	{
		if (i > 0)
			buf_append_char(b, ',');
		write_scalar(b, key);
		buf_append_char(b, ':');
		json_write(b, item);
	}
	return buf_append_char(b, '}');
}
