/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/anthropic/anthropic.h"

static enum tap_verdict fail(struct tap *t, int status, const char *native_type, struct buf *out)
{
	t->error_status = status;
	buf_append_cstr(out, "event: error\ndata: ");
	anthropic_write_error(&t->error, "provider", t->request_id, native_type, NULL, out);
	buf_append_cstr(out, "\n\n");
	return TAP_REPLACE;
}

static enum tap_verdict fail_garbage(struct tap *t, struct buf *out)
{
	tap_garbage(t);
	return fail(t, err_row(t->error.code)->status, NULL, out);
}

static enum tap_verdict fail_said(struct tap *t, yyjson_val *root, struct buf *out)
{
	char native_type[64];
	struct said said;
	int status;

	said_read(root, &said);
	/* The envelope's own "type" says only that this is an error. */
	if (span_is(said.type, "error"))
		said.type = (struct span){NULL, 0};
	status = said_status(&said);
	said_keep(status, &said, &t->error, native_type, NULL);
	return fail(t, status, native_type, out);
}

static void count(struct tap *t, yyjson_val *block)
{
	t->output_bytes += anthropic_count_bytes(block);
	t->content = true;
}

/* Puts the cost into the usage object of the event. */
static enum tap_verdict add_cost(
	struct span name, struct span data, struct span cost, struct buf *out)
{
	struct cuts cuts;
	struct json_member m;
	size_t at = 0;

	cuts.text = data;
	cuts.n = 0;
	cuts.mem_bytes = 0;
	cuts.failed = false;
	while (json_next(data, &at, &m))
		if (m.key.p != NULL && json_key_is(m.key, "usage") && *m.value.p == '{')
			cut_set(&cuts, m.value, "cost", cost);
	if (cuts.n == 0)
		return TAP_PASS;
	event_write(out, name, &cuts);
	return TAP_REPLACE;
}

static enum tap_verdict read_message_delta(
	struct tap *t, yyjson_val *root, struct span name, struct span data, struct buf *out)
{
	yyjson_val *usage = json_get(root, "usage");
	struct span cost = {NULL, 0};
	char text[32];

	if (yyjson_is_str(json_get(json_get(root, "delta"), "stop_reason")))
		t->finished = t->content = true;
	anthropic_read_usage(usage, &t->usage);
	if (!yyjson_is_obj(usage) || !t->usage.present)
		return TAP_PASS;
	t->final_usage = t->finished;
	if (t->final_usage && t->cost != NULL && !t->hide_usage)
		cost = t->cost(t->user, &t->usage, text);
	return cost.n > 0 ? add_cost(name, data, cost, out) : TAP_PASS;
}

static enum tap_verdict read_event(
	struct tap *t, yyjson_val *root, struct span name, struct span data, struct buf *out)
{
	struct span type = name;
	int64_t had_bytes = t->output_bytes;

	json_get_str(root, "type", &type);
	if (span_is(type, "content_block_delta")) {
		count(t, json_get(root, "delta"));
		template_learn(t, name, data, t->output_bytes - had_bytes, TAP_PASS,
			(struct span){NULL, 0});
	} else if (span_is(type, "content_block_start")) {
		count(t, json_get(root, "content_block"));
	} else if (span_is(type, "message_start")) {
		anthropic_read_usage(json_get(json_get(root, "message"), "usage"), &t->usage);
	} else if (span_is(type, "message_delta")) {
		return read_message_delta(t, root, name, data, out);
	} else if (span_is(type, "message_stop")) {
		t->terminal = true;
	} else if (span_is(type, "error") || yyjson_is_obj(json_get(root, "error"))) {
		return fail_said(t, root, out);
	}
	return TAP_PASS;
}

enum tap_verdict anthropic_tap(struct tap *t, struct span name, struct span data, struct buf *out)
{
	enum tap_verdict verdict;
	yyjson_doc *doc;

	t->final_usage = false;
	data = span_trim(data);
	if (data.n == 0)
		return TAP_PASS;
	if (template_match(t, name, data, out, &verdict))
		return verdict;
	doc = json_read_loose(t->scratch, data, &t->error);
	if (doc == NULL)
		return fail_garbage(t, out);
	if (yyjson_is_obj(yyjson_doc_get_root(doc)))
		verdict = read_event(t, yyjson_doc_get_root(doc), name, data, out);
	else
		verdict = fail_garbage(t, out);
	json_free(doc);
	return verdict;
}
