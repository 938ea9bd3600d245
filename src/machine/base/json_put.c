/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json_put.h"
#include "machine/base/text.h"

void json_put_next(struct buf *b)
{
	struct span s = buf_span(b);

	if (s.n > 0 && span_find_char(SPAN("{[:,\n"), s.p[s.n - 1]) < 0)
		buf_append_char(b, ',');
}

void json_put_key(struct buf *b, const char *key)
{
	json_put_next(b);
	if (key == NULL)
		return;
	buf_append_char(b, '"');
	buf_append_cstr(b, key);
	buf_append(b, SPAN("\":"));
}

void json_put_open(struct buf *b, const char *key, char bracket)
{
	json_put_key(b, key);
	buf_append_char(b, bracket);
}

void json_put_str(struct buf *b, const char *key, struct span text)
{
	json_put_key(b, key);
	text_json_string(b, text);
}

void json_put_cstr(struct buf *b, const char *key, const char *text)
{
	json_put_str(b, key, span_of(text));
}

void json_put_int(struct buf *b, const char *key, int64_t v)
{
	json_put_key(b, key);
	buf_append_i64(b, v);
}

void json_put_bool(struct buf *b, const char *key, bool v)
{
	json_put_raw(b, key, v ? SPAN("true") : SPAN("false"));
}

void json_put_null(struct buf *b, const char *key)
{
	json_put_raw(b, key, SPAN("null"));
}

void json_put_raw(struct buf *b, const char *key, struct span json)
{
	json_put_key(b, key);
	buf_append(b, json);
}

void json_put_val(struct buf *b, const char *key, yyjson_val *v)
{
	json_put_key(b, key);
	json_write(b, v);
}
