/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_chat/openai_chat.h"
#include "meaning/dialect/openai_media/openai_media.h"

static enum tap_verdict fail(struct tap *t, struct buf *out)
{
	if (t->error_status == 0)
		t->error_status = err_row(t->error.code)->status;
	openai_write_stream_error(&t->error, "provider", t->request_id, 0, out);
	return TAP_REPLACE;
}

static enum tap_verdict garbage(struct tap *t, struct buf *out)
{
	tap_garbage(t);
	return fail(t, out);
}

/* The cost stands beside the counts, as in an answer that is not streamed. */
static enum tap_verdict show_cost(
	struct tap *t, yyjson_val *usage, struct span name, struct span data, struct buf *out)
{
	struct cuts c = {.text = data};
	struct span object = json_raw(data, "usage"), cost;
	char text[32];

	media_read_usage(usage, &t->usage);
	if (!t->usage.present)
		return TAP_PASS;
	t->final_usage = true;
	if (t->cost == NULL)
		return TAP_PASS;
	cost = t->cost(t->user, &t->usage, text);
	if (cost.n == 0 || object.n == 0)
		return TAP_PASS;
	cut_set(&c, object, "cost", cost);
	if (c.failed)
		return TAP_PASS;
	event_write(out, name, &c);
	return TAP_REPLACE;
}

static bool is_last(struct span type)
{
	return span_ends(type, SPAN(".done")) || span_ends(type, SPAN(".completed"));
}

static enum tap_verdict read_event(
	struct tap *t, yyjson_val *root, struct span name, struct span data, struct buf *out)
{
	struct span type = {NULL, 0}, piece = {NULL, 0};
	yyjson_val *usage = json_get(root, "usage");
	struct said said;

	json_get_str(root, "type", &type);
	if (json_get(root, "error") != NULL || span_is(type, "error")) {
		if (!said_read(root, &said))
			return garbage(t, out);
		t->error_status = said_status(&said);
		said_keep(t->error_status, &said, &t->error, NULL, NULL);
		return fail(t, out);
	}
	t->content = true;
	if (json_get_str(root, "delta", &piece))
		t->output_bytes += (int64_t)piece.n;
	if (!is_last(type))
		return TAP_PASS;
	t->finished = true;
	return yyjson_is_obj(usage) ? show_cost(t, usage, name, data, out) : TAP_PASS;
}

enum tap_verdict media_tap(struct tap *t, struct span name, struct span data, struct buf *out)
{
	enum tap_verdict verdict;
	yyjson_doc *doc;

	t->final_usage = false;
	data = span_trim(data);
	if (data.n == 0)
		return TAP_PASS;
	if (span_starts(data, SPAN("[DONE]"))) {
		t->terminal = true;
		return TAP_PASS;
	}
	doc = json_read_loose(t->scratch, data, &t->error);
	if (!yyjson_is_obj(yyjson_doc_get_root(doc)))
		verdict = garbage(t, out);
	else
		verdict = read_event(t, yyjson_doc_get_root(doc), name, data, out);
	json_free(doc);
	return verdict;
}
