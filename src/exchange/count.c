/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"
#include "machine/base/json_put.h"
#include "meaning/llm/tokens.h"

/*
 * Reads the request as a client's own format and counts what it holds; the answer needs no call.
 */
static bool count(struct exchange *x, struct arena *a, yyjson_doc *doc)
{
	struct llm_request *q = llm_request_new(a);

	if (q == NULL)
		return err_set(&x->err, ERR_NO_MEMORY, NULL);
	if (!x->dialect->codec->read_request(yyjson_doc_get_root(doc), a, q, &x->err))
		return false;
	buf_append_char(&x->held, '{');
	json_put_int(&x->held, "input_tokens", llm_tokens_of_request(q, x->name.full));
	buf_append_char(&x->held, '}');
	if (a->failed || x->held.failed)
		return err_set(&x->err, ERR_NO_MEMORY, NULL);
	return true;
}

bool count_locally(struct exchange *x)
{
	struct arena a;
	yyjson_doc *doc = json_read_raw(NULL, buf_span(&x->body), false, &x->err);
	bool ok;

	if (doc == NULL)
		return false;
	arena_init(&a, 64u << 20);
	ok = count(x, &a, doc);
	arena_done(&a);
	json_free(doc);
	if (!ok)
		return false;
	x->local = true;
	x->answer = ANSWER_PLAIN;
	return true;
}
