/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/read.h"
#include "machine/base/json_put.h"
#include "machine/base/text.h"

bool read_wrong(const char *param, const char *wanted, struct err *err)
{
	err_param(err, param);
	return err_set(err, ERR_BAD_REQUEST, "'%s' must be %s", param, wanted);
}

static bool is_given(yyjson_val *v)
{
	return v != NULL && !yyjson_is_null(v);
}

bool read_str(yyjson_val *v, const char *param, struct span *out, struct err *err)
{
	if (!is_given(v))
		return true;
	if (!yyjson_is_str(v))
		return read_wrong(param, "a string", err);
	*out = text_of(v);
	return true;
}

/* 100.0 and 1e2 are whole numbers to JSON, and some languages write them so. */
static bool whole_number(struct span text, int64_t *out)
{
	size_t n = 0;

	while (n < text.n && text.p[n] != '.')
		n++;
	for (size_t i = n + 1; i < text.n; i++)
		if (text.p[i] != '0')
			return false;
	return text_i64(span_head(text, n), out);
}

bool read_int(yyjson_val *v, const char *param, int64_t *out, struct err *err)
{
	if (!is_given(v))
		return true;
	if (json_int(v, out) || (yyjson_is_raw(v) && whole_number(json_number(v), out)))
		return true;
	return read_wrong(param, "an integer", err);
}

bool read_bool(yyjson_val *v, const char *param, bool *out, struct err *err)
{
	if (!is_given(v))
		return true;
	if (!yyjson_is_bool(v))
		return read_wrong(param, "true or false", err);
	*out = yyjson_get_bool(v);
	return true;
}

bool read_maybe(yyjson_val *v, const char *param, enum llm_maybe *out, struct err *err)
{
	bool yes = false;

	if (!is_given(v))
		return true;
	if (!read_bool(v, param, &yes, err))
		return false;
	*out = yes ? LLM_YES : LLM_NO;
	return true;
}

bool read_number(yyjson_val *v, const char *param, struct span *out, struct err *err)
{
	if (!is_given(v))
		return true;
	if (!yyjson_is_raw(v))
		return read_wrong(param, "a number", err);
	*out = json_number(v);
	return true;
}

bool read_object(yyjson_val *v, const char *param, yyjson_val **out, struct err *err)
{
	if (!is_given(v))
		return true;
	if (!yyjson_is_obj(v))
		return read_wrong(param, "an object", err);
	*out = v;
	return true;
}

bool read_names(
	yyjson_val *v, const char *param, struct arena *a, struct llm_name **out, struct err *err)
{
	size_t i, max;
	yyjson_val *item;

	if (!is_given(v))
		return true;
	if (yyjson_is_str(v)) {
		llm_add_name(a, out, text_of(v));
		return true;
	}
	if (!yyjson_is_arr(v) || yyjson_arr_size(v) > 64)
		return read_wrong(param, "a string or a short list of strings", err);
	yyjson_arr_foreach(v, i, max, item)
	{
		if (!yyjson_is_str(item))
			return read_wrong(param, "a string or a short list of strings", err);
		llm_add_name(a, out, text_of(item));
	}
	return true;
}

enum llm_cache_mark read_cache_control(yyjson_val *object)
{
	yyjson_val *control = json_get(object, "cache_control");

	if (!span_is(text_in(control, "type"), "ephemeral"))
		return LLM_CACHE_NONE;
	return span_is(text_in(control, "ttl"), "1h") ? LLM_CACHE_1H : LLM_CACHE_5M;
}

struct span text_json(struct arena *a, yyjson_val *v)
{
	struct span made = {NULL, 0};
	struct buf b;

	buf_init(&b, a->cap_bytes);
	if (json_write(&b, v))
		made = arena_copy(a, buf_span(&b));
	else
		a->failed = true;
	buf_done(&b);
	return made;
}

void keep_native_stop(struct reading *r, struct span word)
{
	word = span_head(word, sizeof(r->native_stop) - 1);
	if (word.n > 0)
		memcpy(r->native_stop, word.p, word.n);
	r->native_stop[word.n] = '\0';
}

void put_free_text(struct buf *b, const char *key, struct span piece)
{
	struct buf quoted;
	struct span inside;

	buf_init(&quoted, b->max_bytes);
	text_json_string(&quoted, piece);
	inside = buf_span(&quoted);
	json_put_str(b, key, inside.n > 2 ? (struct span){inside.p + 1, inside.n - 2} : SPAN(""));
	b->failed |= quoted.failed;
	buf_done(&quoted);
}

bool put_args(struct buf *b, const char *key, struct span args, bool custom)
{
	yyjson_doc *doc;
	bool object;

	if (custom) {
		json_put_open(b, key, '{');
		json_put_str(b, "input", args);
		buf_append_char(b, '}');
		return true;
	}
	args = span_trim(args);
	if (args.n == 0) {
		json_put_raw(b, key, SPAN("{}"));
		return true;
	}
	doc = json_read_raw(NULL, args, false, NULL);
	object = yyjson_is_obj(yyjson_doc_get_root(doc));
	if (object && span_find_char(args, '\n') < 0 && span_find_char(args, '\r') < 0) {
		json_put_raw(b, key, args);
	} else if (object) {
		json_put_val(b, key, yyjson_doc_get_root(doc)); /* an event is one line */
	} else {
		json_put_open(b, key, '{');
		json_put_str(b, "_raw", args);
		buf_append_char(b, '}');
	}
	json_free(doc);
	return object;
}
