/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/last.h"
#include "machine/base/base64.h"
#include "machine/base/text.h"

/* A slot that held a large body does not go on holding its memory for small ones. */
#define KEEP_CAP_BYTES 65536

void last_init(struct last *l)
{
	*l = (struct last){0};
	for (int i = 0; i < LAST_REQUESTS; i++) {
		buf_init(&l->ring[i].head, 65536);
		buf_init(&l->ring[i].body, LAST_MAX_BODY_BYTES);
	}
}

void last_done(struct last *l)
{
	for (int i = 0; i < LAST_REQUESTS; i++) {
		buf_done(&l->ring[i].head);
		buf_done(&l->ring[i].body);
	}
}

void last_reset(struct last *l)
{
	last_done(l);
	last_init(l);
}

void last_keep(struct last *l, uint64_t seq, struct span head, struct span body)
{
	struct last_request *r = &l->ring[l->n++ % LAST_REQUESTS];

	r->seq = seq;
	r->body_bytes = body.n;
	if (r->body.cap > KEEP_CAP_BYTES && body.n < KEEP_CAP_BYTES)
		buf_done(&r->body);
	buf_clear(&r->head);
	buf_clear(&r->body);
	buf_append(&r->head, head);
	buf_append(&r->body, span_head(body, LAST_MAX_BODY_BYTES));
}

static void write_text(struct buf *out, const char *name, struct span s)
{
	bool is_text = text_is_utf8(s);

	buf_printf(out, ",\"%s%s\":", name, is_text ? "" : "_base64");
	if (is_text) {
		text_json_string(out, s);
		return;
	}
	buf_append_char(out, '"');
	base64_write(out, s);
	buf_append_char(out, '"');
}

void last_write(const struct last *l, uint64_t n, struct buf *out)
{
	uint64_t have = l->n < LAST_REQUESTS ? l->n : LAST_REQUESTS;
	const char *comma = "";

	if (n > have)
		n = have;
	buf_append_cstr(out, "{\"requests\":[");
	for (uint64_t i = l->n - n; i < l->n; i++) {
		const struct last_request *r = &l->ring[i % LAST_REQUESTS];

		buf_printf(out, "%s{\"seq\":%llu", comma, (unsigned long long)r->seq);
		write_text(out, "head", buf_span(&r->head));
		write_text(out, "body", buf_span(&r->body));
		buf_printf(out, ",\"body_bytes\":%zu}", r->body_bytes);
		comma = ",";
	}
	buf_append_cstr(out, "]}");
}
