/* SPDX-License-Identifier: Apache-2.0 */
/* {chosenCandidates: [{token, logProbability}], topCandidates: [{candidates: [...]}]} */
#include "machine/base/json_put.h"
#include "meaning/dialect/gemini/gemini.h"

#define MAX_BYTES (4u << 20)

static void put_token(struct buf *b, yyjson_val *v)
{
	struct span token = {NULL, 0}, number = json_number(json_get(v, "logProbability"));

	json_get_str(v, "token", &token);
	json_put_str(b, "token", token);
	json_put_raw(b, "logprob", number.n > 0 ? number : SPAN("-9999.0")); /* OpenAI's "tiny" */
	json_put_open(b, "bytes", '[');
	for (size_t i = 0; i < token.n; i++)
		json_put_int(b, NULL, (unsigned char)token.p[i]);
	buf_append_char(b, ']');
}

static void put_entry(struct buf *b, yyjson_val *chosen, yyjson_val *top)
{
	size_t i, n;
	yyjson_val *v;

	json_put_open(b, NULL, '{');
	put_token(b, chosen);
	json_put_open(b, "top_logprobs", '[');
	yyjson_arr_foreach(json_get(top, "candidates"), i, n, v)
	{
		json_put_open(b, NULL, '{');
		put_token(b, v);
		buf_append_char(b, '}');
	}
	buf_append_cstr(b, "]}");
}

bool gemini_read_logprobs(struct reading *r, yyjson_val *result)
{
	yyjson_val *chosen = json_get(result, "chosenCandidates"), *v;
	yyjson_val *top = json_get(result, "topCandidates");
	yyjson_doc *doc;
	struct buf b;
	size_t i, n;
	bool ok;

	if (yyjson_arr_size(chosen) == 0)
		return true;
	buf_init(&b, MAX_BYTES);
	buf_append_char(&b, '[');
	yyjson_arr_foreach(chosen, i, n, v) put_entry(&b, v, yyjson_arr_get(top, i));
	buf_append_char(&b, ']');
	doc = b.failed ? NULL : json_read_raw(NULL, buf_span(&b), true, NULL);
	ok = doc == NULL || flow_logprobs(&r->flow, yyjson_doc_get_root(doc));
	json_free(doc);
	buf_done(&b);
	return ok;
}
