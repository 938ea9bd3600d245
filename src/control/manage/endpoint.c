/* SPDX-License-Identifier: Apache-2.0 */
#include "control/manage/endpoint.h"
#include "machine/base/text.h"

static bool live(struct manage_call *call, struct err *err)
{
	return buf_append_cstr(call->answer, "{\"status\":\"live\"}");
}

static const struct manage_endpoint endpoints[] = {
	{HTTP_GET, "/livez", RIGHT_NONE, live},
	{HTTP_GET, "/v1/manage/apikey", RIGHT_READ, manage_key_list},
	{HTTP_POST, "/v1/manage/apikey", RIGHT_WRITE, manage_key_create},
	{HTTP_DELETE, "/v1/manage/apikey/{id}", RIGHT_WRITE, manage_key_delete},
};

static bool fits(const char *pattern, struct span path, struct span *id)
{
	struct span p = span_of(pattern), before;

	*id = (struct span){NULL, 0};
	if (!span_ends(p, SPAN("{id}")))
		return span_eq(p, path);
	before = span_head(p, p.n - 4);
	if (!span_starts(path, before) || path.n == before.n)
		return false;
	*id = span_skip(path, before.n);
	return span_find_char(*id, '/') < 0;
}

const struct manage_endpoint *manage_endpoint_find(
	enum http_method method, struct span path, struct span *id, struct err *err)
{
	bool known = false;

	for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
		if (!fits(endpoints[i].path, path, id))
			continue;
		if (endpoints[i].method == method)
			return &endpoints[i];
		known = true;
	}
	err_set(err, known ? ERR_METHOD : ERR_NOT_FOUND, NULL);
	return NULL;
}

void manage_write_error(const struct err *err, struct buf *out)
{
	const struct err_row *row = err_row(err->code);

	buf_append_cstr(out, "{\"error\":{\"origin\":\"router\",\"message\":");
	text_json_string(out, span_of(err->text));
	buf_printf(out, ",\"type\":\"%s\",\"param\":", row->type);
	if (err->param[0] != '\0')
		text_json_string(out, span_of(err->param));
	else
		buf_append_cstr(out, "null");
	if (row->code[0] != '\0')
		buf_printf(out, ",\"code\":\"%s\"}}", row->code);
	else
		buf_append_cstr(out, ",\"code\":null}}");
}
