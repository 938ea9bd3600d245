/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_responses/openai_responses.h"
#include "meaning/dialect/read.h"

static enum tap_verdict fail(struct tap *t, int status, const char *native_type,
	const char *native_code, struct buf *out)
{
	t->error_status = status;
	responses_put_error_event(
		&t->error, "provider", t->request_id, native_type, native_code, t->sequence, out);
	return TAP_REPLACE;
}

static enum tap_verdict fail_garbage(struct tap *t, struct buf *out)
{
	tap_garbage(t);
	return fail(t, err_row(t->error.code)->status, NULL, NULL, out);
}

/* Puts the cost into the usage object inside the response. */
static enum tap_verdict add_cost(
	struct span name, struct span data, struct span cost, struct buf *out)
{
	struct cuts cuts;
	struct json_member m, inner;
	size_t at = 0, inner_at;

	cuts.text = data;
	cuts.n = 0;
	cuts.mem_bytes = 0;
	cuts.failed = false;
	while (json_next(data, &at, &m)) {
		if (m.key.p == NULL || !json_key_is(m.key, "response"))
			continue;
		for (inner_at = 0; json_next(m.value, &inner_at, &inner);)
			if (inner.key.p != NULL && json_key_is(inner.key, "usage") &&
				*inner.value.p == '{')
				cut_set(&cuts, inner.value, "cost", cost);
	}
	if (cuts.n == 0)
		return TAP_PASS;
	event_write(out, name, &cuts);
	return TAP_REPLACE;
}

static enum tap_verdict read_last(
	struct tap *t, yyjson_val *response, struct span name, struct span data, struct buf *out)
{
	struct span cost = {NULL, 0};
	struct llm_usage now;
	char text[32];

	t->content = t->finished = t->terminal = true;
	responses_read_usage(json_get(response, "usage"), &now);
	if (!now.present)
		return TAP_PASS;
	usage_take(&t->usage, &now);
	t->final_usage = true;
	if (t->cost != NULL)
		cost = t->cost(t->user, &t->usage, text);
	return cost.n > 0 ? add_cost(name, data, cost, out) : TAP_PASS;
}

static enum tap_verdict read_failed(
	struct tap *t, yyjson_val *root, yyjson_val *response, struct buf *out)
{
	char native_type[64], native_code[64];
	struct llm_usage now;
	int status;

	responses_read_usage(json_get(response, "usage"), &now);
	if (now.present)
		usage_take(&t->usage, &now);
	responses_read_failure(
		response != NULL ? response : root, &status, &t->error, native_type, native_code);
	return fail(t, status, native_type, native_code, out);
}

static enum tap_verdict read_event(
	struct tap *t, yyjson_val *root, struct span name, struct span data, struct buf *out)
{
	struct span type = text_in(root, "type"), delta;
	yyjson_val *response = json_get(root, "response");
	int64_t sequence = usage_count(root, "sequence_number");

	if (type.n == 0)
		type = name;
	if (sequence >= t->sequence)
		t->sequence = sequence;
	if (span_is(type, "response.completed") || span_is(type, "response.incomplete"))
		return read_last(t, response, name, data, out);
	if (span_is(type, "response.failed") || span_is(type, "error"))
		return read_failed(t, root, response, out);
	if (response == NULL && yyjson_is_obj(json_get(root, "error")))
		return read_failed(t, root, NULL, out);
	t->sequence += sequence >= 0; /* what failed is replaced, and keeps its number */
	delta = text_in(root, "delta");
	t->output_bytes += (int64_t)delta.n;
	/* Until an item begins nothing of the answer was seen. */
	t->content |= delta.n > 0 || json_get(root, "item") != NULL;
	return TAP_PASS;
}

enum tap_verdict responses_tap(struct tap *t, struct span name, struct span data, struct buf *out)
{
	enum tap_verdict verdict;
	yyjson_doc *doc;

	t->final_usage = false;
	data = span_trim(data);
	if (data.n == 0 || span_is(data, "[DONE]"))
		return TAP_PASS;
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
