/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What providers and clients send, through the dialects. The first byte says which operation, with
 * what settings, and what the rest is: the events of a stream (name, 0x1f, data, 0x1e), a request,
 * an answer or an error. What the dialects write is JSON and well framed, says what it promises,
 * and reads back as it was meant; counts are never negative; neither memory for parsing nor what
 * was learned from the events before changes anything.
 */
#include <assert.h>
#include <stdlib.h>
#include "meaning/dialect/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COST "0.000123"

static char scratch_mem[256 * 1024];
static const struct json_scratch scratch = {scratch_mem, sizeof(scratch_mem)};

static struct span cost(void *user, const struct llm_usage *u, char out[32])
{
	memcpy(out, COST, sizeof(COST));
	return span_of(out);
}

static void assert_usage(const struct llm_usage *u)
{
	const int64_t counts[] = {u->input_uncached, u->cache_read, u->cache_write_5m,
		u->cache_write_1h, u->input_audio, u->output, u->reasoning, u->output_audio};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		assert(counts[i] >= 0 && counts[i] <= 4 * LLM_MAX_COUNT);
	assert(u->reasoning <= u->output && u->output_audio <= u->output);
}

/* One event with its empty line, at the front of what was written. Joins its data lines. */
static bool take_event(struct span *rest, struct buf *data)
{
	bool some = false;

	buf_clear(data);
	while (rest->n > 0) {
		struct span line = span_cut(rest, '\n');

		if (line.n == 0)
			return true;
		if (span_starts(line, SPAN("data: "))) {
			if (some)
				buf_append_char(data, '\n');
			buf_append(data, span_skip(line, 6));
			some = true;
		} else {
			assert(span_starts(line, SPAN("event: ")));
		}
	}
	return false;
}

static void assert_error_json(struct span text)
{
	yyjson_doc *doc = json_read(NULL, text, NULL);
	yyjson_val *error;
	struct span message, type;

	assert(doc != NULL);
	error = json_get(yyjson_doc_get_root(doc), "error");
	assert(json_get_str(error, "message", &message) && message.n > 0);
	assert(json_get_str(error, "type", &type) && type.n > 0);
	json_free(doc);
}

/* The next member that the tap has no business with. */
static bool next_other(struct span text, size_t *at, struct json_member *m)
{
	while (json_next(text, at, m))
		if (!json_key_is(m->key, "usage") && !json_key_is(m->key, "choices") &&
			!json_key_is(m->key, "response"))
			return true;
	return false;
}

static void assert_others_untouched(struct span before, struct span after)
{
	struct json_member a, b;
	size_t at = 0, at_after = 0;

	while (next_other(before, &at, &a)) {
		assert(next_other(after, &at_after, &b));
		assert(span_eq(a.key, b.key) && span_eq(a.value, b.value));
	}
	assert(!next_other(after, &at_after, &b));
}

/* A whole event whose data is JSON, and nothing behind it. */
static void assert_replacement(
	const struct tap *t, const struct dialect *d, struct span before, struct span out)
{
	struct buf data;
	yyjson_doc *doc;
	yyjson_val *usage;
	int64_t n;

	buf_init(&data, 4 << 20);
	assert(take_event(&out, &data) && out.n == 0);
	if (t->error.code != ERR_OK) {
		assert_error_json(buf_span(&data));
		assert(t->error_status >= 400 && t->error_status <= 599);
	} else {
		doc = json_read_loose(NULL, buf_span(&data), NULL);
		assert(doc != NULL && yyjson_is_obj(yyjson_doc_get_root(doc)));
		usage = json_get(yyjson_doc_get_root(doc), "usage");
		if (t->hide_usage && d == &dialect_openai_chat)
			assert(!json_get_count(usage, "prompt_tokens", &n));
		assert_others_untouched(span_trim(before), buf_span(&data));
		json_free(doc);
	}
	buf_done(&data);
}

static void assert_same(const struct tap *a, const struct tap *b)
{
	assert(memcmp(&a->usage, &b->usage, sizeof(a->usage)) == 0);
	assert(a->content == b->content && a->finished == b->finished);
	assert(a->terminal == b->terminal && a->final_usage == b->final_usage);
	assert(a->output_bytes == b->output_bytes && a->error.code == b->error.code);
	assert(a->error_status == b->error_status);
}

/* Two taps on one stream: `plain` has no scratch memory and forgets each event at once. */
struct pair {
	const struct dialect *dialect;
	struct tap t, plain;
	struct buf out, plain_out;
};

static void feed(struct pair *p, struct span name, struct span data)
{
	struct tap *t = &p->t;
	int64_t bytes = t->output_bytes;
	bool content = t->content;
	enum tap_verdict verdict;

	if (t->error.code != ERR_OK)
		return;
	buf_clear(&p->out);
	buf_clear(&p->plain_out);
	p->plain.template.known = false;
	verdict = p->dialect->tap(t, name, data, &p->out);
	assert(verdict == p->dialect->tap(&p->plain, name, data, &p->plain_out));
	/* What is no JSON can be so for two reasons at once. */
	assert(t->error.code == ERR_UPSTREAM_INVALID ||
		span_eq(buf_span(&p->out), buf_span(&p->plain_out)));
	assert_same(t, &p->plain);
	assert_usage(&t->usage);
	assert(t->output_bytes >= bytes && t->content >= content);
	assert((verdict == TAP_REPLACE) == (p->out.n > 0));
	assert(t->error.code == ERR_OK || verdict == TAP_REPLACE);
	assert(!t->final_usage || t->usage.present);
	if (verdict == TAP_REPLACE)
		assert_replacement(t, p->dialect, data, buf_span(&p->out));
}

/* The same event with a little more at some place, as most events of a stream are. */
static void feed_variants(struct pair *p, struct span name, struct span data, uint32_t dice)
{
	static const struct span more[] = {SPAN("a"), SPAN(" and so on"), SPAN("\""), SPAN("\\"),
		SPAN("\\n"), SPAN("\xc3\xa9"), SPAN("\xff"), SPAN("\x01"), SPAN("\",\"x\":\""),
		SPAN("}"), SPAN(",")};
	struct buf text;

	for (int i = 0; i < 4 && data.n > 0; i++) {
		size_t at;

		dice = dice * 1664525u + 1013904223u;
		at = (dice >> 8) % data.n;
		buf_init(&text, 1 << 20);
		buf_append(&text, span_head(data, at));
		buf_append(&text, more[(dice >> 4) % (sizeof(more) / sizeof(more[0]))]);
		buf_append(&text, span_skip(data, at));
		/* Most of these are no JSON: on a tap that goes on without them. */
		struct tap t = p->t, plain = p->plain;

		feed(p, name, buf_span(&text));
		if (p->t.error.code != ERR_OK) {
			p->t = t;
			p->plain = plain;
		}
		buf_done(&text);
	}
}

static void feed_stream(const struct dialect *d, enum llm_op op, uint8_t options, struct span rest)
{
	struct pair p = {.dialect = d,
		.t = {.op = op,
			.hide_usage = (options & 0x10) != 0,
			.scratch = &scratch,
			.cost = (options & 0x20) != 0 ? cost : NULL,
			.request_id = "req_1"}};

	p.plain = p.t;
	p.plain.scratch = NULL;
	buf_init(&p.out, 4 << 20);
	buf_init(&p.plain_out, 4 << 20);
	while (rest.n > 0 && p.t.error.code == ERR_OK) {
		struct span data = span_cut(&rest, 0x1e), name = {NULL, 0};

		if (span_find_char(data, 0x1f) >= 0)
			name = span_cut(&data, 0x1f);
		/* A reader of events never gives these in a name. */
		if (span_find_char(name, '\n') >= 0 || span_find_char(name, '\r') >= 0 ||
			span_find_char(data, '\r') >= 0)
			break;
		feed(&p, name, data);
		if ((options & 0x40) != 0)
			feed_variants(&p, name, data, (uint32_t)(data.n * 2654435761u + rest.n));
	}
	buf_done(&p.out);
	buf_done(&p.plain_out);
}

/* The text after the edits, in `out`; false when there was no memory for them. */
static bool apply(struct json_edit *e, struct buf *out)
{
	struct span spans[2 * JSON_MAX_SPLICES + 1];
	int n = json_edit_spans(e, spans, 2 * JSON_MAX_SPLICES + 1);

	for (int i = 0; i < n; i++)
		assert(buf_append(out, spans[i]));
	return n >= 0;
}

static void assert_edited_request(const struct dialect *d, enum llm_op op,
	const struct llm_facts *before, bool ask, struct span text, struct arena *a)
{
	yyjson_doc *doc = json_read(NULL, text, NULL);
	struct llm_facts after;
	struct llm_metadata meta;
	struct err err = {0};

	assert(doc != NULL);
	assert(d->read_facts(op, yyjson_doc_get_root(doc), text, a, &after, &meta, &err));
	assert(span_is(after.model, "gpt-4o") && !after.has_requesty);
	assert(json_get(yyjson_doc_get_root(doc), "requesty") == NULL);
	assert(after.stream == before->stream && after.max_output == before->max_output);
	assert(after.choices == before->choices && span_eq(after.user, before->user));
	if (ask && after.stream)
		assert(after.wants_usage);
	json_free(doc);
}

static void edit_request(const struct dialect *d, enum llm_op op, bool ask, struct span text)
{
	yyjson_doc *doc = json_read(&scratch, text, NULL);
	const struct pass_edit edit = {.model = SPAN("gpt-4o"), .ask_usage = ask};
	struct llm_facts facts;
	struct llm_metadata meta;
	struct err err = {0};
	struct json_edit e;
	struct arena a;
	struct buf out;

	if (doc == NULL)
		return;
	arena_init(&a, 1 << 20);
	buf_init(&out, 4 << 20);
	if (d->read_facts(op, yyjson_doc_get_root(doc), text, &a, &facts, &meta, &err)) {
		assert(facts.choices >= 1 && facts.max_output >= -1);
		json_edit_init(&e, &a, text);
		d->edit_request(op, &facts, &edit, &e);
		if (apply(&e, &out))
			assert_edited_request(d, op, &facts, ask, buf_span(&out), &a);
	} else {
		assert(err.code == ERR_BAD_REQUEST || err.code == ERR_NO_MEMORY);
	}
	buf_done(&out);
	arena_done(&a);
	json_free(doc);
}

static void edit_answer(const struct dialect *d, enum llm_op op, struct span text)
{
	yyjson_doc *doc = json_read(&scratch, text, NULL), *again;
	struct llm_answer answer, after;
	struct err err = {0};
	struct json_edit e;
	struct arena a;
	struct buf out;

	if (doc == NULL)
		return;
	arena_init(&a, 1 << 20);
	buf_init(&out, 4 << 20);
	if (!d->read_answer(op, yyjson_doc_get_root(doc), &answer, &err)) {
		assert(err.code != ERR_OK);
	} else {
		assert_usage(&answer.usage);
		json_edit_init(&e, &a, text);
		d->edit_answer(op, &answer, SPAN(COST), &e);
		if (apply(&e, &out)) {
			again = json_read(NULL, buf_span(&out), NULL);
			assert(again != NULL);
			assert(d->read_answer(op, yyjson_doc_get_root(again), &after, &err));
			assert(memcmp(&after.usage, &answer.usage, sizeof(after.usage)) == 0);
			assert(!answer.usage.present ||
				span_is(json_raw(buf_span(&out), "usage.cost"), COST));
			json_free(again);
		}
	}
	buf_done(&out);
	arena_done(&a);
	json_free(doc);
}

static void read_error(const struct dialect *d, int status, struct span body)
{
	struct err err = {0};
	char type[64], code[64];
	struct buf out, data;
	struct span rest;

	buf_init(&out, 1 << 20);
	buf_init(&data, 1 << 20);
	d->read_error(status, body, &scratch, &err, type, code);
	assert(err.code != ERR_OK);
	assert(memchr(type, 0, 64) != NULL && memchr(code, 0, 64) != NULL);
	d->write_error(&err, "provider", "req_1", type, code, &out);
	assert(!out.failed);
	assert_error_json(buf_span(&out));
	buf_clear(&out);
	d->write_stream_error(&err, "provider", NULL, 0, &out);
	rest = buf_span(&out);
	assert(take_event(&rest, &data) && rest.n == 0);
	assert_error_json(buf_span(&data));
	assert(d->status(&err) >= 400 && d->status(&err) <= 599);
	buf_done(&out);
	buf_done(&data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* What clients speak. */
	static const enum llm_op ops[] = {LLM_OP_CHAT, LLM_OP_MESSAGES, LLM_OP_COUNT_TOKENS,
		LLM_OP_EMBEDDINGS, LLM_OP_RESPONSES, LLM_OP_IMAGES, LLM_OP_SPEECH,
		LLM_OP_TRANSCRIPTIONS};
	enum llm_op op;
	const struct dialect *d;
	struct span rest;

	if (size < 2 || size > 65536)
		return 0;
	op = ops[data[0] % 4 + ((data[0] & 0x20) != 0 ? 4 : 0)];
	d = dialect_of(op);
	rest = span_from(data + 1, size - 1);
	switch (data[0] / 4 % 4) {
	case 0:
		feed_stream(d, op, data[0], rest);
		break;
	case 1:
		edit_request(d, op, (data[0] & 0x10) != 0, rest);
		break;
	case 2:
		edit_answer(d, op, rest);
		break;
	default:
		read_error(d, 400 + data[0] / 16 * 9, rest);
		break;
	}
	return 0;
}
