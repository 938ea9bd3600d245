/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Translation between formats. The first byte says which format is read and what the rest is: the
 * events of a provider's stream (name, 0x1f, data, 0x1e), its whole answer, or a client's request.
 *
 * Whatever comes: the events keep the order of event.h; what is read is written in every format,
 * and says there, streamed and whole, the same text, reasoning and calls; an answer that failed
 * looks complete in none. A request is written as one JSON document, and twice as the same bytes.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include "machine/base/text.h"
#include "meaning/dialect/translate_test_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_OUT ((size_t)64 << 20)

static const struct llm_quirks no_quirks;
static const struct llm_model facts = {
	.max_output = 64000, .can = LLM_CAN_REASON | LLM_CAN_SEARCH | LLM_CAN_CACHE};

/* Ends with what was wrong, and where. */
static void must(bool ok, const struct kit_answer *k, const struct kit_format *to, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s: %s: %s %s\n", to->dialect->name, what, k->r.err.text,
		k->broken != NULL ? k->broken : "");
	abort();
}

static void assert_usage(const struct llm_usage *u)
{
	const int64_t counts[] = {u->input_uncached, u->cache_read, u->cache_write_5m,
		u->cache_write_1h, u->input_audio, u->output, u->reasoning, u->output_audio};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		assert(counts[i] >= 0 && counts[i] <= 4 * LLM_MAX_COUNT);
}

static bool has_media(const struct llm_message *m)
{
	for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
		if (p->kind == LLM_BLOCK_MEDIA)
			return true;
	return false;
}

static bool is_utf8; /* the input; what is not becomes U+FFFD where it is written */

/* What was written in a format is read there as the same. */
static void assert_same(
	const struct kit_answer *k, const struct kit_answer *again, const struct kit_format *to)
{
	struct kit_said first, second;

	if (!is_utf8)
		return;
	kit_said_init(&first);
	kit_said_init(&second);
	kit_said_take(&first, &k->whole, to);
	kit_said_take(&second, &again->whole, to);
	must(span_eq(buf_span(&first.text), buf_span(&second.text)) ||
			(!to->keeps_media && has_media(&k->whole)),
		again, to, "another text");
	must(span_eq(buf_span(&first.reasoning), buf_span(&second.reasoning)), again, to,
		"other reasoning");
	if (!span_eq(buf_span(&first.calls), buf_span(&second.calls)))
		fprintf(stderr, "%.*s\nthen\n%.*s\n", SPAN_ARG(buf_span(&first.calls)),
			SPAN_ARG(buf_span(&second.calls)));
	must(span_eq(buf_span(&first.calls), buf_span(&second.calls)), again, to, "other calls");
	kit_said_done(&first);
	kit_said_done(&second);
}

static void check_whole(struct kit_answer *k, const struct kit_format *to)
{
	struct kit_answer again;
	struct buf body;

	buf_init(&body, MAX_OUT);
	must(kit_write_whole(k, to, &body), k, to, "is not written");
	kit_begin(&again, to, NULL, SPAN("m"), false);
	must(kit_whole(&again, buf_span(&body)) && again.broken == NULL, &again, to,
		"the whole answer is not read");
	assert_same(k, &again, to);
	kit_done(&again);
	buf_done(&body);
}

static void check_stream(struct kit_answer *k, const struct kit_format *to)
{
	struct kit_answer again;

	kit_begin(&again, to, NULL, SPAN("m"), false);
	must(kit_read_stream(&again, buf_span(&k->outputs[to - kit_formats].stream)), &again, to,
		"the stream is not read");
	assert_same(k, &again, to);
	kit_done(&again);
}

/* With its failure behind it, as the exchange writes it. */
static void check_failed(struct kit_answer *k, const struct kit_format *to)
{
	struct kit_output *o = &k->outputs[to - kit_formats];
	struct kit_answer again;

	if (!to->is_client)
		return;
	if (to->dialect->codec->write_failure != NULL)
		to->dialect->codec->write_failure(
			&o->w, &k->r.err, "provider", "req_1", &o->stream);
	else
		to->dialect->write_stream_error(&k->r.err, "provider", "req_1", 0, &o->stream);
	kit_begin(&again, to, NULL, SPAN("m"), false);
	must(!kit_read_stream(&again, buf_span(&o->stream)) && !again.ended, &again, to,
		"what failed looks complete");
	must(again.broken == NULL, &again, to, "the stream is not read");
	kit_done(&again);
}

static bool feed_stream(struct kit_answer *k, struct span rest)
{
	while (rest.n > 0) {
		struct span data = span_cut(&rest, 0x1e), name = {NULL, 0};

		if (span_find_char(data, 0x1f) >= 0)
			name = span_cut(&data, 0x1f);
		if (!kit_event(k, name, data))
			return false;
		if (k->ended)
			return true; /* what comes behind the end is not read */
	}
	return kit_end(k);
}

static void answer(const struct kit_format *from, bool streamed, struct span text)
{
	struct kit_answer k;
	bool ok;

	kit_begin(&k, from, NULL, SPAN("m"), true);
	ok = streamed ? feed_stream(&k, text) : kit_whole(&k, text);
	assert(k.broken == NULL);
	assert(ok || k.r.err.code != ERR_OK);
	assert_usage(&k.whole.usage);
	for (int i = 0; i < KIT_FORMATS; i++) {
		if (!ok) {
			check_failed(&k, &kit_formats[i]);
			continue;
		}
		check_stream(&k, &kit_formats[i]);
		check_whole(&k, &kit_formats[i]);
	}
	kit_done(&k);
}

static bool write(const struct llm_request *q, const struct kit_format *to, struct arena *a,
	struct buf *out, struct err *err)
{
	static const struct span models[KIT_FORMATS] = {SPAN("gpt-5.2"), SPAN("gpt-5.2"),
		SPAN("claude-sonnet-4-5"), SPAN("gemini-2.5-flash"),
		SPAN("anthropic.claude-sonnet-4-5-20250929-v1:0"), SPAN("command-a-03-2025")};
	const struct llm_target target = {.model = models[to - kit_formats],
		.provider = SPAN("p"),
		.facts = &facts,
		.quirks = &no_quirks};
	struct llm_notes notes = {.n = 0};

	return to->dialect->codec->write_request(q, &target, a, out, &notes, err);
}

static void check_written(const struct llm_request *q, const struct kit_format *to, struct arena *a)
{
	struct buf first, second;
	struct err err = {0};
	yyjson_doc *doc;

	buf_init(&first, MAX_OUT);
	buf_init(&second, MAX_OUT);
	if (write(q, to, a, &first, &err)) {
		doc = json_read(NULL, buf_span(&first), NULL);
		assert(yyjson_is_obj(yyjson_doc_get_root(doc)));
		json_free(doc);
		assert(write(q, to, a, &second, &err));
		assert(span_eq(buf_span(&first), buf_span(&second)));
	} else {
		assert(err.code != ERR_OK && err.text[0] != '\0');
	}
	buf_done(&first);
	buf_done(&second);
}

static void request(const struct kit_format *from, struct span text)
{
	yyjson_doc *doc = json_read_raw(NULL, text, false, NULL);
	struct llm_request *q;
	struct err err = {0};
	struct arena a;

	if (doc == NULL)
		return;
	arena_init(&a, MAX_OUT);
	q = llm_request_new(&a);
	if (from->dialect->codec->read_request(yyjson_doc_get_root(doc), &a, q, &err)) {
		for (int i = 0; i < KIT_FORMATS; i++)
			check_written(q, &kit_formats[i], &a);
	} else {
		assert(err.code != ERR_OK && err.text[0] != '\0');
	}
	arena_done(&a);
	json_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kit_format *format;
	struct span rest;

	if (size < 2 || size > 65536)
		return 0;
	format = &kit_formats[data[0] % KIT_FORMATS];
	rest = span_from(data + 1, size - 1);
	is_utf8 = text_is_utf8(rest);
	switch (data[0] / KIT_FORMATS % 3) {
	case 0:
		answer(format, true, rest);
		break;
	case 1:
		answer(format, false, rest);
		break;
	default:
		request(format, rest);
		break;
	}
	return 0;
}
