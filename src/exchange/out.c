/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"
#include <string.h>

static void name(char *out, size_t max, struct span text)
{
	size_t n = text.n < max - 1 ? text.n : 0; /* what is longer is left out, not cut */

	if (n > 0)
		memcpy(out, text.p, n);
	out[n] = '\0';
}

static void keep_head(struct exchange *x, const struct reply *reply, bool stream)
{
	struct answer_about about = {.status = reply->http.status, .stream = stream};

	name(about.type, sizeof(about.type), span_of(reply->http.content_type));
	if (x->provider != NULL) {
		name(about.provider, sizeof(about.provider), x->provider->name);
		name(about.model, sizeof(about.model), x->target);
	}
	answer_begin(x->writer, &about);
}

void out_begin(struct exchange *x, const struct reply *reply)
{
	if (x->writer != NULL)
		keep_head(x, reply, true);
	if (x->request != NULL)
		request_begin(x->request, &reply->http);
}

void out_write(struct exchange *x, struct span bytes)
{
	if (x->writer != NULL)
		answer_write(x->writer, &bytes, 1);
	if (x->request != NULL)
		request_write(x->request, &bytes, 1);
}

void out_end(struct exchange *x, struct span bytes)
{
	if (x->writer != NULL)
		answer_write(x->writer, &bytes, 1);
	if (x->request != NULL)
		request_write_end(x->request, &bytes, bytes.n > 0 ? 1 : 0);
	x->request = NULL;
}

void out_abort(struct exchange *x)
{
	x->out_cut = true;
	if (x->request != NULL)
		request_abort(x->request);
	x->request = NULL;
}

void out_answer_spans(struct exchange *x, const struct reply *reply, const struct span *body, int n)
{
	if (x->writer != NULL) {
		keep_head(x, reply, false);
		answer_write(x->writer, body, n);
	}
	if (x->request != NULL)
		request_answer_spans(x->request, &reply->http, body, n);
	x->request = NULL;
}

void out_answer(struct exchange *x, const struct reply *reply, struct span body)
{
	out_answer_spans(x, reply, &body, 1);
}
