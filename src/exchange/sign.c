/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"

/* Bodies are one piece but for edits of pass mode. */
static bool hash_body(struct exchange *x, uint8_t out[HASH_SHA256_BYTES])
{
	struct buf joined;
	bool ok;

	if (x->n_body == 1) {
		hash_sha256(x->body_spans[0], out);
		return true;
	}
	buf_init(&joined, SIZE_MAX);
	for (int i = 0; i < x->n_body; i++)
		buf_append(&joined, x->body_spans[i]);
	ok = !joined.failed || err_set(&x->err, ERR_NO_MEMORY, NULL);
	hash_sha256(buf_span(&joined), out);
	buf_done(&joined);
	return ok;
}

bool sign_call(
	struct exchange *x, const struct provider_call *call, struct http_field *fields, int *n)
{
	struct sys *sys = x->env->loop->sys;
	struct sign_v4_field added[SIGN_V4_MAX_ADDED];
	struct span path = call->target, query = {NULL, 0};
	ptrdiff_t at = span_find_char(path, '?');
	struct sign_v4 in;
	int n_added;

	if (at >= 0) {
		query = span_skip(path, (size_t)at + 1);
		path = span_head(path, (size_t)at);
	}
	in = (struct sign_v4){.method = SPAN("POST"),
		.host = span_of(x->place->origin->authority),
		.path = path,
		.query = query,
		.access_key = call->sign.access_key_id,
		.secret = call->sign.secret_access_key,
		.session_token = call->sign.session_token,
		.region = call->sign.region,
		.service = call->sign.service,
		.wall_ms = sys->wall_ms(sys)};
	if (!hash_body(x, in.body_sha256))
		return false;
	n_added = sign_v4(&in, &x->arena, added, &x->err);
	for (int i = 0; i < n_added; i++)
		fields[(*n)++] = (struct http_field){added[i].name, added[i].value};
	return n_added > 0;
}
