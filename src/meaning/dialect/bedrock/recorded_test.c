/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real exchanges with Bedrock, from a folder beside the project that is not part of it: what the
 * dialect reads of each is compared with a plain walk over the document. Skips where the folder is
 * absent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "machine/base/base64.h"
#include "meaning/dialect/bedrock/bedrock.h"

static struct arena arena;
static char scratch_mem[1024 * 1024];
static const struct json_scratch scratch = {scratch_mem, sizeof(scratch_mem)};

/* What an answer holds, in the order of the kinds. */
struct seen {
	struct buf text, reasoning, states, calls;
	int64_t in, cached, written, out;
};

static void seen_init(struct seen *s)
{
	*s = (struct seen){.in = 0};
	buf_init(&s->text, 1 << 20);
	buf_init(&s->reasoning, 1 << 20);
	buf_init(&s->states, 1 << 20);
	buf_init(&s->calls, 1 << 20);
}

static void seen_done(struct seen *s)
{
	buf_done(&s->text);
	buf_done(&s->reasoning);
	buf_done(&s->states);
	buf_done(&s->calls);
}

/* ---- the plain walk ---- */

static void put(struct buf *b, yyjson_val *v)
{
	if (yyjson_is_str(v))
		buf_append(b, (struct span){yyjson_get_str(v), yyjson_get_len(v)});
}

static void walk_usage(struct seen *s, yyjson_val *usage)
{
	json_get_count(usage, "inputTokens", &s->in);
	json_get_count(usage, "outputTokens", &s->out);
	json_get_count(usage, "cacheReadInputTokens", &s->cached);
	json_get_count(usage, "cacheWriteInputTokens", &s->written);
}

/* A call is "id name(arguments);". Those of the system's own tools are not the client's. */
static void walk_block(struct seen *s, yyjson_val *block)
{
	yyjson_val *call = json_get(block, "toolUse"), *cited = json_get(block, "citationsContent");
	yyjson_val *reasoning = json_get(block, "reasoningContent"), *item;
	yyjson_val *text = json_get(reasoning, "reasoningText");
	size_t i, max;

	put(&s->text, json_get(block, "text"));
	yyjson_arr_foreach(json_get(cited, "content"), i, max, item)
	{
		put(&s->text, json_get(item, "text"));
	}
	put(&s->reasoning, json_get(text, "text"));
	put(&s->states, json_get(text, "signature"));
	put(&s->states, json_get(reasoning, "redactedContent"));
	if (call == NULL || yyjson_equals_str(json_get(call, "type"), "server_tool_use"))
		return;
	put(&s->calls, json_get(call, "toolUseId"));
	buf_append_char(&s->calls, ' ');
	put(&s->calls, json_get(call, "name"));
	buf_append_char(&s->calls, '(');
	json_write(&s->calls, json_get(call, "input"));
	buf_append_cstr(&s->calls, ");");
}

static void walk_answer(struct seen *s, yyjson_val *root)
{
	yyjson_val *content = json_get(json_get(json_get(root, "output"), "message"), "content");
	yyjson_val *item;
	size_t i, max;

	yyjson_arr_foreach(content, i, max, item) walk_block(s, item);
	walk_usage(s, json_get(root, "usage"));
}

/* Arguments follow the call they belong to: none of the records has calls that interleave. */
static void walk_event(struct seen *s, yyjson_val *root)
{
	yyjson_val *delta = json_get(root, "delta"), *start = json_get(root, "start");
	yyjson_val *reasoning = json_get(delta, "reasoningContent");
	yyjson_val *call = json_get(start, "toolUse");

	put(&s->text, json_get(delta, "text"));
	put(&s->reasoning, json_get(reasoning, "text"));
	put(&s->states, json_get(reasoning, "signature"));
	put(&s->states, json_get(reasoning, "redactedContent"));
	if (call != NULL) {
		put(&s->calls, json_get(call, "toolUseId"));
		buf_append_char(&s->calls, ' ');
		put(&s->calls, json_get(call, "name"));
		buf_append_char(&s->calls, '(');
	}
	put(&s->calls, json_get(json_get(delta, "toolUse"), "input"));
	if (yyjson_equals_str(json_get(root, "stopReason"), "tool_use"))
		buf_append_cstr(&s->calls, ");");
	walk_usage(s, json_get(root, "usage"));
}

/* ---- what the dialect made of it ---- */

static void put_state(struct buf *b, const struct llm_part *p)
{
	struct buf made;
	yyjson_doc *doc;

	if (!p->redacted) {
		buf_append(b, p->state.data);
		return;
	}
	buf_init(&made, 1 << 20);
	buf_append_char(&made, '{');
	bedrock_put_redacted(&made, &p->state);
	buf_append_char(&made, '}');
	doc = json_read(NULL, buf_span(&made), NULL);
	put(b, json_get(yyjson_doc_get_root(doc), "redactedContent"));
	json_free(doc);
	buf_done(&made);
}

static void gather(struct seen *s, const struct llm_message *m)
{
	for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
		if (p->kind == LLM_BLOCK_TEXT)
			buf_append(&s->text, buf_span(&p->text));
		if (p->kind == LLM_BLOCK_THINKING) {
			buf_append(&s->reasoning, buf_span(&p->text));
			put_state(&s->states, p);
		}
		if (p->kind == LLM_BLOCK_TOOL_CALL) {
			buf_append(&s->calls, p->id);
			buf_append_char(&s->calls, ' ');
			buf_append(&s->calls, p->name);
			buf_append_char(&s->calls, '(');
			buf_append(&s->calls, buf_span(&p->text));
			buf_append_cstr(&s->calls, ");");
		}
	}
	s->in = m->usage.input_uncached;
	s->cached = m->usage.cache_read;
	s->written = m->usage.cache_write_5m + m->usage.cache_write_1h;
	s->out = m->usage.output;
}

static void same_text(struct span name, const char *what, const struct buf *a, const struct buf *b)
{
	if (!span_eq(buf_span(a), buf_span(b)))
		fail_msg("%.*s: %s\n%.*s\nread as\n%.*s", SPAN_ARG(name), what,
			SPAN_ARG(buf_span(a)), SPAN_ARG(buf_span(b)));
}

static void same(struct span name, const struct seen *walked, const struct llm_message *m)
{
	struct seen read;

	seen_init(&read);
	gather(&read, m);
	same_text(name, "text", &walked->text, &read.text);
	same_text(name, "reasoning", &walked->reasoning, &read.reasoning);
	same_text(name, "states", &walked->states, &read.states);
	same_text(name, "calls", &walked->calls, &read.calls);
	if (walked->in != read.in || walked->out != read.out || walked->cached != read.cached ||
		walked->written != read.written)
		fail_msg("%.*s: usage", SPAN_ARG(name));
	assert_true(m->ended && m->stopped && m->usage.present);
	seen_done(&read);
}

/* ---- the records ---- */

static bool add_event(void *user, const struct llm_event *ev)
{
	return message_add(user, ev);
}

static const struct llm_quirks quirks;

static struct llm_target target_of(struct span path)
{
	struct llm_target t = {.provider = SPAN("aws"), .quirks = &quirks};
	struct span rest = span_skip(path, sizeof("/model/") - 1);

	t.model = span_cut(&rest, '/');
	return t;
}

static void reading_init(
	struct reading *r, const struct llm_target *target, struct llm_message *message)
{
	*r = (struct reading){.arena = &arena, .scratch = &scratch, .target = target};
	r->flow = (struct flow){.arena = &arena,
		.sink = add_event,
		.user = message,
		.max_held_bytes = 1 << 20,
		.err = &r->err};
	flow_init(&r->flow);
}

static void check_answer(struct span name, const struct llm_target *target, struct span text)
{
	yyjson_doc *doc = json_read_raw(NULL, text, false, NULL);
	struct llm_message m;
	struct reading r;
	struct seen walked;

	assert_non_null(doc);
	message_init(&m, &arena, 1 << 20);
	reading_init(&r, target, &m);
	if (!bedrock_read_answer(&r, yyjson_doc_get_root(doc)))
		fail_msg("%.*s: %s", SPAN_ARG(name), r.err.text);
	seen_init(&walked);
	walk_answer(&walked, yyjson_doc_get_root(doc));
	same(name, &walked, &m);
	seen_done(&walked);
	flow_done(&r.flow);
	message_done(&m);
	json_free(doc);
}

static size_t number_at(struct span s, size_t at)
{
	const unsigned char *p = (const unsigned char *)s.p + at;

	return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

/* The ":event-type" of a frame, which stands first in all of them. */
static struct span name_of(struct span headers)
{
	const struct span key = SPAN("\x0b:event-type\x07");
	size_t n;

	assert_true(span_starts(headers, key));
	n = (size_t)(unsigned char)headers.p[key.n + 1];
	return span_head(span_skip(headers, key.n + 2), n);
}

static void check_stream(struct span name, const struct llm_target *target, struct span frames)
{
	struct llm_message m;
	struct reading r;
	struct seen walked;

	message_init(&m, &arena, 1 << 20);
	reading_init(&r, target, &m);
	seen_init(&walked);
	while (frames.n > 0) {
		size_t total = number_at(frames, 0), headers = number_at(frames, 4);
		struct span payload = {frames.p + 12 + headers, total - headers - 16};
		yyjson_doc *doc = json_read(NULL, payload, NULL);

		walk_event(&walked, yyjson_doc_get_root(doc));
		json_free(doc);
		if (!bedrock_read_event(
			    &r, name_of((struct span){frames.p + 12, headers}), payload))
			fail_msg("%.*s: %s", SPAN_ARG(name), r.err.text);
		frames = span_skip(frames, total);
	}
	assert_true(bedrock_read_end(&r));
	same(name, &walked, &m);
	seen_done(&walked);
	flow_done(&r.flow);
	message_done(&m);
}

static void check_error(struct span name, int status, struct span body)
{
	struct err err = {0};
	char type[64], code[64];
	yyjson_doc *doc = json_read(NULL, body, NULL);
	struct span words = {NULL, 0};

	dialect_bedrock.read_error(status, body, &scratch, &err, type, code);
	if (!json_get_str(yyjson_doc_get_root(doc), "message", &words) ||
		!span_is(words, err.text) || err.code == ERR_OK)
		fail_msg("%.*s: %s", SPAN_ARG(name), err.text);
	json_free(doc);
}

/* Blank texts are left out, and some are put where the format wants something. */
static bool is_filling(yyjson_val *text)
{
	return yyjson_equals_str(text, ".") || yyjson_equals_str(text, "Continue.") ||
	       (yyjson_is_str(text) && bedrock_is_blank(span_of(yyjson_get_str(text))));
}

static void walk_texts(struct buf *b, yyjson_val *messages)
{
	yyjson_val *message, *block;
	size_t i, k, max, all;

	yyjson_arr_foreach(messages, i, max, message)
		yyjson_arr_foreach(json_get(message, "content"), k, all, block)
	{
		if (!is_filling(json_get(block, "text")))
			put(b, json_get(block, "text"));
		put(b, json_get(json_get(block, "toolUse"), "name"));
		put(b, json_get(json_get(block, "toolResult"), "toolUseId"));
	}
}

/* What clients sent is read and written again: texts, calls and results stay, in their order. */
static void check_request(struct span name, const struct llm_target *target, yyjson_val *body)
{
	struct llm_request *q = llm_request_new(&arena);
	struct llm_notes notes = {.n = 0};
	struct err err = {0};
	struct buf text, out, before, after;
	yyjson_doc *raw, *again;

	buf_init(&text, 64 << 20);
	buf_init(&out, 64 << 20);
	buf_init(&before, 1 << 20);
	buf_init(&after, 1 << 20);
	json_write(&text, body);
	raw = json_read_raw(NULL, buf_span(&text), false, NULL);
	if (!bedrock_read_request(yyjson_doc_get_root(raw), &arena, q, &err) ||
		!codec_bedrock.write_request(q, target, &arena, &out, &notes, &err))
		fail_msg("%.*s: %s", SPAN_ARG(name), err.text);
	again = json_read(NULL, buf_span(&out), &err);
	assert_non_null(again);
	walk_texts(&before, json_get(body, "messages"));
	walk_texts(&after, json_get(yyjson_doc_get_root(again), "messages"));
	same_text(name, "request", &before, &after);
	json_free(raw);
	json_free(again);
	buf_done(&text);
	buf_done(&out);
	buf_done(&before);
	buf_done(&after);
}

static void check_response(
	struct span name, const struct llm_target *target, int status, yyjson_val *record)
{
	struct span encoding = {NULL, 0}, text = {NULL, 0};
	struct buf bytes;

	json_get_str(record, "encoding", &encoding);
	json_get_str(record, "response", &text);
	buf_init(&bytes, 16 << 20);
	if (span_is(encoding, "base64"))
		assert_true(base64_read(&bytes, text));
	else if (span_is(encoding, "text"))
		buf_append(&bytes, text);
	else
		json_write(&bytes, json_get(record, "response"));
	if (status != 200)
		check_error(name, status, buf_span(&bytes));
	else if (span_is(encoding, "base64"))
		check_stream(name, target, buf_span(&bytes));
	else
		check_answer(name, target, buf_span(&bytes));
	buf_done(&bytes);
}

/* A body stands in the record as a document, or as its text. */
static void check_sent(struct span name, const struct llm_target *target, yyjson_val *record)
{
	struct span text = {NULL, 0};
	yyjson_doc *doc;

	if (!json_get_str(record, "request", &text)) {
		check_request(name, target, json_get(record, "request"));
		return;
	}
	doc = json_read(NULL, text, NULL);
	check_request(name, target, yyjson_doc_get_root(doc));
	json_free(doc);
}

static bool check_record(yyjson_val *record)
{
	struct span name = {NULL, 0}, path = {NULL, 0};
	struct llm_target target;
	int64_t status = 0;

	json_get_str(record, "name", &name);
	json_get_str(record, "path", &path);
	json_get_count(record, "status", &status);
	if (!span_ends(path, SPAN("/converse")) && !span_ends(path, SPAN("/converse-stream")))
		return false;
	arena_init(&arena, 64 << 20);
	target = target_of(path);
	check_response(name, &target, (int)status, record);
	if (status == 200)
		check_sent(name, &target, record);
	arena_done(&arena);
	return true;
}

static bool open_recorded(struct buf *text)
{
	const char *shared = getenv("SLUICE_SHARED"), *source = getenv("SLUICE_SOURCE");
	char path[1024];
	size_t n;
	FILE *f;

	if (shared != NULL)
		snprintf(path, sizeof(path), "%s/recorded/bedrock.jsonl", shared);
	else
		snprintf(path, sizeof(path), "%s/../shared/recorded/bedrock.jsonl",
			source != NULL ? source : ".");
	f = fopen(path, "rb");
	if (f == NULL)
		return false;
	do {
		char *room = buf_room(text, 1 << 16);

		assert_non_null(room);
		n = fread(room, 1, 1 << 16, f);
		buf_added(text, n);
	} while (n > 0);
	fclose(f);
	return true;
}

static void every_record_is_read_as_it_is(void **state)
{
	struct buf text;
	struct span rest;
	int n = 0;

	buf_init(&text, 64 << 20);
	if (!open_recorded(&text)) {
		buf_done(&text);
		print_message("no recorded exchanges on this machine\n");
		skip();
	}
	rest = buf_span(&text);
	while (rest.n > 0) {
		struct span line = span_cut(&rest, '\n');
		yyjson_doc *doc = line.n > 0 ? json_read(NULL, line, NULL) : NULL;

		n += doc != NULL && check_record(yyjson_doc_get_root(doc));
		json_free(doc);
	}
	buf_done(&text);
	assert_true(n > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_record_is_read_as_it_is)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
