/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cases of the folder, a file each: what a request is written as, what an answer is read as.
 * cases/README.md says how they look.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "machine/base/json_put.h"
#include "meaning/dialect/bedrock/bedrock.h"
#include "meaning/dialect/case_file_test.h"
#include "meaning/dialect/test_neutral.h"

static struct arena arena;
static char scratch_mem[256 * 1024];
static const struct json_scratch scratch = {scratch_mem, sizeof(scratch_mem)};

/* The actual outcome in the case's own form; on a difference both are shown. */
static bool same(const char *name, yyjson_val *wanted, struct buf *actual)
{
	struct buf text;
	bool ok;

	buf_init(&text, 4 << 20);
	json_write(&text, wanted);
	ok = span_eq(buf_span(&text), buf_span(actual));
	if (!ok)
		fprintf(stderr, "%s\nWANTED %.*s\nACTUAL %.*s\n", name, SPAN_ARG(buf_span(&text)),
			SPAN_ARG(buf_span(actual)));
	buf_done(&text);
	return ok;
}

/* What was written is read and written again: nothing of it may get lost. */
static void write_again(yyjson_val *root, const struct llm_target *t, bool stream,
	const struct buf *body, struct buf *out)
{
	struct llm_request *q = llm_request_new(&arena);
	struct llm_notes notes = {.n = 0};
	struct err err = {0};
	yyjson_doc *doc = json_read_raw(NULL, buf_span(body), false, &err);
	struct buf again;

	buf_init(&again, 4 << 20);
	q->stream = stream;
	if (doc == NULL || !bedrock_read_request(yyjson_doc_get_root(doc), &arena, q, &err) ||
		!codec_bedrock.write_request(q, t, &arena, &again, &notes, &err))
		case_put_error(out, &err, 0);
	else if (json_get(root, "changes") == NULL && !span_eq(buf_span(body), buf_span(&again)))
		json_put_raw(out, "again", buf_span(&again));
	buf_done(&again);
	json_free(doc);
}

static void run_request(yyjson_val *root, struct buf *out)
{
	struct llm_quirks quirks = {0};
	struct llm_model facts = {0};
	struct llm_target target;
	struct llm_notes notes = {.n = 0};
	struct llm_request *q = neutral_read(&arena, json_get(root, "request"));
	struct err err = {0};
	struct buf body;

	neutral_target(json_get(root, "target"), &target, &quirks, &facts);
	q->stream = neutral_bool(json_get(root, "request"), "stream");
	for (struct llm_tool *t = q->tools; t != NULL; t = t->next)
		if (span_ends(t->description, SPAN("(cached)")))
			t->cache = LLM_CACHE_1H;
	buf_init(&body, 4 << 20);
	if (codec_bedrock.write_request(q, &target, &arena, &body, &notes, &err)) {
		json_put_raw(out, "body", buf_span(&body));
		write_again(root, &target, q->stream, &body, out);
	} else {
		case_put_error(out, &err, 0);
	}
	case_put_notes(out, &notes);
	buf_done(&body);
}

/* ---- answers: read, written, and read again ---- */

struct through {
	struct neutral_log log;
	struct llm_message message;
	struct writing w;
	struct buf lines; /* the events written */
};

static bool log_event(void *user, const struct llm_event *ev)
{
	struct through *t = user;
	struct buf *b = &t->log.b;
	const struct llm_usage *u = ev->usage;

	assert_true(message_add(&t->message, ev));
	assert_true(bedrock_write_event(&t->w, ev, &t->lines));
	if (ev->kind != LLM_EVENT_USAGE && ev->stop_sequence.n == 0)
		return neutral_log_add(&t->log, ev);
	json_put_open(b, NULL, '[');
	if (ev->kind == LLM_EVENT_USAGE) {
		json_put_cstr(b, NULL, "usage");
		json_put_int(b, NULL, u->input_uncached);
		json_put_int(b, NULL, u->cache_read);
		json_put_int(b, NULL, u->cache_write_5m);
		json_put_int(b, NULL, u->cache_write_1h);
		json_put_int(b, NULL, u->output);
	} else {
		json_put_cstr(b, NULL, "stop");
		json_put_str(b, NULL, ev->native_stop);
		json_put_str(b, NULL, ev->stop_sequence);
	}
	buf_append_char(b, ']');
	return true;
}

static void through_init(struct through *t, const struct llm_request *q)
{
	neutral_log_init(&t->log);
	message_init(&t->message, &arena, 1 << 20);
	t->w = (struct writing){.arena = &arena, .request = q, .message = &t->message};
	buf_init(&t->lines, 4 << 20);
}

static void through_done(struct through *t)
{
	message_done(&t->message);
	buf_done(&t->log.b);
	buf_done(&t->lines);
}

/* An event is an object with one member: its name and its payload. */
static bool read_union(struct reading *r, yyjson_val *item)
{
	size_t i, max;
	yyjson_val *k, *v;
	bool ok = true;

	yyjson_obj_foreach(item, i, max, k, v)
	{
		struct buf text;

		buf_init(&text, 1 << 20);
		json_write(&text, v);
		ok = bedrock_read_event(
			r, (struct span){yyjson_get_str(k), yyjson_get_len(k)}, buf_span(&text));
		buf_done(&text);
	}
	return ok;
}

static bool read_lines(struct reading *r, struct span lines)
{
	bool ok = true;

	while (lines.n > 0 && ok) {
		yyjson_doc *doc = json_read_raw(NULL, span_cut(&lines, '\n'), false, NULL);

		assert_non_null(doc);
		ok = read_union(r, yyjson_doc_get_root(doc));
		json_free(doc);
	}
	return ok && bedrock_read_end(r);
}

static void reading_init(struct reading *r, const struct llm_target *target,
	const struct llm_request *q, struct through *t)
{
	*r = (struct reading){.arena = &arena, .scratch = &scratch, .target = target};
	r->flow = (struct flow){.arena = &arena,
		.request = q,
		.sink = log_event,
		.user = t,
		.max_held_bytes = 1 << 20,
		.err = &r->err};
	flow_init(&r->flow);
}

static bool read_first(struct reading *r, yyjson_val *root)
{
	yyjson_val *events = json_get(root, "events"), *item;
	size_t i, max;

	if (events == NULL)
		return bedrock_read_answer(r, json_get(root, "answer"));
	yyjson_arr_foreach(events, i, max, item)
	{
		if (!read_union(r, item))
			return false;
	}
	return bedrock_read_end(r);
}

/* Both forms of what was read say the same as it did. */
static void read_again(const struct llm_target *target, const struct llm_request *q,
	struct through *first, bool streamed, struct buf *out)
{
	struct through second;
	struct reading r;
	struct buf text;
	yyjson_doc *doc;

	through_init(&second, q);
	reading_init(&r, target, q, &second);
	buf_init(&text, 4 << 20);
	assert_true(bedrock_write_answer(&first->w, &first->message, &text));
	doc = json_read_raw(NULL, buf_span(&text), false, NULL);
	assert_non_null(doc);
	if (streamed)
		assert_true(read_lines(&r, buf_span(&first->lines)));
	else
		assert_true(bedrock_read_answer(&r, yyjson_doc_get_root(doc)));
	if (!span_eq(buf_span(&first->log.b), buf_span(&second.log.b))) {
		buf_append_char(&second.log.b, ']');
		json_put_raw(out, "again", buf_span(&second.log.b));
	}
	json_free(doc);
	flow_done(&r.flow);
	buf_done(&text);
	through_done(&second);
}

static void run_answer(yyjson_val *root, struct buf *out)
{
	struct llm_quirks quirks = {0};
	struct llm_model facts = {0};
	struct llm_target target;
	struct llm_request *q = neutral_read(&arena, json_get(root, "request"));
	struct through t;
	struct reading r;
	bool ok;

	neutral_target(json_get(root, "target"), &target, &quirks, &facts);
	through_init(&t, q);
	reading_init(&r, &target, q, &t);
	ok = read_first(&r, root);
	flow_done(&r.flow);
	json_put_key(out, "read");
	buf_append(out, buf_span(&t.log.b));
	buf_append_char(out, ']');
	if (!ok)
		case_put_error(out, &r.err, r.error_status);
	else if (json_get(root, "changes") == NULL)
		read_again(&target, q, &t, json_get(root, "events") != NULL, out);
	through_done(&t);
}

static void run_error(yyjson_val *root, struct buf *out)
{
	struct err err = {0};
	char type[64] = "", code[64] = "";
	struct buf body;
	int64_t status = 0;
	struct span text = {NULL, 0};

	json_int(json_get(root, "status"), &status);
	buf_init(&body, 1 << 20);
	if (json_get_str(root, "error_body", &text))
		buf_append(&body, text);
	else
		json_write(&body, json_get(root, "error_body"));
	dialect_bedrock.read_error((int)status, buf_span(&body), &scratch, &err, type, code);
	case_put_error(out, &err, dialect_bedrock.status(&err));
	json_put_cstr(out, "native_type", type);
	buf_done(&body);
}

static bool run_case(const char *folder, const char *name)
{
	char path[1400];
	struct buf out;
	yyjson_doc *doc;
	yyjson_val *root;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	doc = case_read(path);
	assert_non_null(doc);
	root = yyjson_doc_get_root(doc);
	if (json_get(root, "to") != NULL) { /* between formats: cases_test.c */
		json_free(doc);
		return true;
	}
	arena_init(&arena, 64 << 20);
	buf_init(&out, 4 << 20);
	buf_append_char(&out, '{');
	if (json_get(root, "error_body") != NULL)
		run_error(root, &out);
	else if (json_get(root, "events") != NULL || json_get(root, "answer") != NULL)
		run_answer(root, &out);
	else
		run_request(root, &out);
	buf_append_char(&out, '}');
	ok = same(name, json_get(root, "expect"), &out);
	buf_done(&out);
	arena_done(&arena);
	json_free(doc);
	return ok;
}

static int is_case(const struct dirent *e)
{
	return span_ends(span_of(e->d_name), SPAN(".json"));
}

static void every_case_holds(void **state)
{
	const char *source = getenv("SLUICE_SOURCE");
	struct dirent **list;
	char folder[1024];
	int n, bad = 0;

	snprintf(folder, sizeof(folder), "%s/src/meaning/dialect/bedrock/cases",
		source != NULL ? source : ".");
	n = scandir(folder, &list, is_case, alphasort);
	assert_true(n >= 30);
	for (int i = 0; i < n; i++) {
		bad += !run_case(folder, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	assert_int_equal(bad, 0);
}

/* ---- what no file can say ---- */

static void names_and_families(void **state)
{
	static const struct {
		const char *name;
		enum bedrock_family family;
		int version;
	} rows[] = {
		{"anthropic.claude-3-5-sonnet-20240620-v1:0", BEDROCK_CLAUDE, 305},
		{"us.anthropic.claude-sonnet-4-20250514-v1:0", BEDROCK_CLAUDE, 400},
		{"eu.anthropic.claude-sonnet-4-5-20250929-v1:0", BEDROCK_CLAUDE, 405},
		{"anthropic.claude-opus-4-6-v1", BEDROCK_CLAUDE, 406},
		{"global.anthropic.claude-opus-4-8", BEDROCK_CLAUDE, 408},
		{"anthropic.claude-sonnet-5", BEDROCK_CLAUDE, 500},
		{"anthropic.claude-v2", BEDROCK_CLAUDE, 0},
		{"arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-haiku-4-5-x",
			BEDROCK_CLAUDE, 405},
		{"arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", BEDROCK_OPAQUE,
			0},
		{"amazon.nova-lite-v1:0", BEDROCK_NOVA, 0},
		{"us.amazon.nova-2-lite-v1:0", BEDROCK_NOVA, 200},
		{"openai.gpt-oss-120b-1:0", BEDROCK_OPENAI, 0},
		{"qwen.qwen3-32b-v1:0", BEDROCK_QWEN, 0},
		{"deepseek.v3-v1:0", BEDROCK_QWEN, 0},
		{"us.deepseek.r1-v1:0", BEDROCK_OTHER, 0},
		{"mistral.pixtral-large-2502-v1:0", BEDROCK_MISTRAL, 0},
		{"us.meta.llama4-scout-17b-instruct-v1:0", BEDROCK_PLAIN, 0},
		{"zai.glm-5", BEDROCK_OTHER, 0},
		{"", BEDROCK_OTHER, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bedrock_model m;

		bedrock_model_read(span_of(rows[i].name), &m);
		if (m.family != rows[i].family || m.version != rows[i].version)
			fail_msg("%s: family %d, version %d", rows[i].name, m.family, m.version);
	}
}

static void a_longer_history_begins_with_the_shorter(void **state)
{
	static const char text[] =
		"{\"turns\":[{\"role\":\"system\",\"blocks\":[{\"text\":\"s\"}]},"
		"{\"role\":\"user\",\"blocks\":[{\"text\":\"a\"},{\"kind\":\"media\","
		"\"media\":{\"kind\":\"document\",\"from\":\"text\",\"data\":\"d\"}}]},"
		"{\"role\":\"assistant\",\"blocks\":[{\"text\":\"b\"}]},"
		"{\"role\":\"user\",\"blocks\":[{\"text\":\"c\"}]}],"
		"\"tools\":[{\"name\":\"f\"}],\"temperature\":0.5}";
	struct llm_quirks quirks = {0};
	struct llm_target target = {
		.model = SPAN("anthropic.claude-sonnet-4-5-v1:0"), .quirks = &quirks};
	struct llm_notes notes = {.n = 0};
	struct err err = {0};
	struct buf all, head;
	yyjson_doc *doc = json_read_raw(NULL, SPAN(text), false, &err);
	struct llm_request *q;

	arena_init(&arena, 1 << 20);
	buf_init(&all, 1 << 20);
	buf_init(&head, 1 << 20);
	q = neutral_read(&arena, yyjson_doc_get_root(doc));
	assert_true(codec_bedrock.write_request(q, &target, &arena, &all, &notes, &err));
	q->turns->next->next = NULL;
	assert_true(codec_bedrock.write_request(q, &target, &arena, &head, &notes, &err));
	head.n -= 2; /* "]}" */
	assert_true(span_starts(buf_span(&all), buf_span(&head)));
	buf_done(&all);
	buf_done(&head);
	arena_done(&arena);
	json_free(doc);
}

/* A stream that is cut anywhere is no answer, and one that goes on behind its end is not read. */
static void only_a_whole_stream_is_an_answer(void **state)
{
	static const char *const events[][2] = {{"messageStart", "{\"role\":\"assistant\"}"},
		{"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"a\"}}"},
		{"contentBlockStop", "{\"contentBlockIndex\":0}"},
		{"messageStop", "{\"stopReason\":\"end_turn\"}"},
		{"metadata", "{\"usage\":{\"inputTokens\":1,\"outputTokens\":2}}"},
		{"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"b\"}}"}};
	const struct llm_quirks quirks = {0};
	const struct llm_target target = {.model = SPAN("m"), .quirks = &quirks};

	for (int n = 0; n <= 6; n++) {
		struct through t;
		struct reading r;

		arena_init(&arena, 1 << 20);
		through_init(&t, NULL);
		reading_init(&r, &target, NULL, &t);
		for (int i = 0; i < n; i++)
			assert_true(bedrock_read_event(
				&r, span_of(events[i][0]), span_of(events[i][1])));
		assert_int_equal(bedrock_read_end(&r), n >= 4);
		assert_int_equal(r.err.code, n >= 4 ? ERR_OK : ERR_UPSTREAM_INTERRUPTED);
		assert_int_equal(r.flow.ended, n >= 4);
		assert_int_equal(t.message.usage.output, n >= 5 ? 2 : 0);
		assert_int_equal(t.message.bytes, n >= 2 ? 1 : 0);
		flow_done(&r.flow);
		through_done(&t);
		arena_done(&arena);
	}
}

/* Errors that are not modelled are words alone, and no JSON. */
static void an_error_may_be_words_alone(void **state)
{
	static const char *const names[] = {
		"InternalFailure", "SomeStreamFailure", "BadThing.Error", "newException"};
	const struct llm_quirks quirks = {0};
	const struct llm_target target = {.model = SPAN("m"), .quirks = &quirks};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct through t;
		struct reading r;

		arena_init(&arena, 1 << 20);
		through_init(&t, NULL);
		reading_init(&r, &target, NULL, &t);
		assert_false(bedrock_read_event(&r, span_of(names[i]), SPAN("it broke")));
		assert_int_equal(r.err.code, ERR_UPSTREAM);
		assert_string_equal(r.err.text, "it broke");
		assert_true(r.from_provider);
		flow_done(&r.flow);
		through_done(&t);
		arena_done(&arena);
	}
}

/* ---- documents that are not as they should be ---- */

static const char whole_request[] =
	"{\"system\":[{\"text\":\"s\"},{\"cachePoint\":{\"ttl\":\"1h\"}}],\"messages\":[{\"role\":"
	"\"user\",\"content\":[{\"document\":{\"format\":\"pdf\",\"name\":\"a\",\"source\":{"
	"\"bytes\":\"aGk=\"}}},{\"text\":\"q\"}]},{\"role\":\"assistant\",\"content\":[{"
	"\"reasoningContent\":{\"redactedContent\":\"aGk=\"}},{\"toolUse\":{\"toolUseId\":\"t\","
	"\"name\":\"f\",\"input\":{\"a\":[1]}}}]},{\"role\":\"user\",\"content\":[{\"toolResult\":{"
	"\"toolUseId\":\"t\",\"content\":[{\"json\":{}},{\"image\":{\"format\":\"png\",\"source\":{"
	"\"bytes\":\"aGk=\"}}}],\"status\":\"error\"}}]}],\"toolConfig\":{\"tools\":[{\"toolSpec\":"
	"{"
	"\"name\":\"f\",\"inputSchema\":{\"json\":{\"type\":\"object\"}}}}],\"toolChoice\":{"
	"\"tool\":"
	"{\"name\":\"f\"}}},\"inferenceConfig\":{\"maxTokens\":9,\"stopSequences\":[\"x\"]},"
	"\"additionalModelRequestFields\":{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":5}}"
	"}";
static const char whole_answer[] =
	"{\"output\":{\"message\":{\"content\":[{\"reasoningContent\":{\"reasoningText\":{\"text\":"
	"\"w\",\"signature\":\"S\"}}},{\"citationsContent\":{\"content\":[{\"text\":\"x\"}],"
	"\"citations\":[{\"location\":{\"web\":{\"url\":\"u\"}},\"sourceContent\":[{\"text\":\"y\"}"
	"]}]"
	"}},{\"toolUse\":{\"toolUseId\":\"t\",\"name\":\"f\",\"input\":{\"a\":1}}}]}},"
	"\"stopReason\":"
	"\"tool_use\",\"usage\":{\"inputTokens\":1,\"outputTokens\":2,\"cacheDetails\":[{\"ttl\":"
	"\"1h\",\"inputTokens\":1}],\"cacheWriteInputTokens\":1}}";
static const char some_events[] =
	"{\"messageStart\":{}}\n{\"contentBlockStart\":{\"contentBlockIndex\":0,\"start\":{"
	"\"toolUse\":{\"toolUseId\":\"t\",\"name\":\"f\"}}}}\n{\"contentBlockDelta\":{"
	"\"contentBlockIndex\":0,\"delta\":{\"toolUse\":{\"input\":\"{}\"}}}}\n{"
	"\"contentBlockDelta\":"
	"{\"contentBlockIndex\":1,\"delta\":{\"reasoningContent\":{\"redactedContent\":\"aGk=\"}}}}"
	"\n"
	"{\"contentBlockStop\":{\"contentBlockIndex\":1}}\n{\"messageStop\":{\"stopReason\":"
	"\"tool_use\"}}\n{\"metadata\":{\"usage\":{\"inputTokens\":1,\"outputTokens\":1}}}";

static uint64_t next_random(uint64_t *x)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return *x >> 33;
}

/* A few bytes are others, or values of another type. */
static struct span spoil(const char *text, char *mem, uint64_t *x)
{
	static const char *const values[] = {"null", "[]", "{}", "1e9", "-1", "\"\"", "true"};
	size_t n = strlen(text), at = next_random(x) % n;
	struct span rest = {text + at, n - at};
	ptrdiff_t colon = span_find_char(rest, ':');

	memcpy(mem, text, n);
	if (colon > 0 && next_random(x) % 4 > 0) {
		const char *value = values[next_random(x) % 7];
		size_t from = at + (size_t)colon + 1, end = from;
		int deep = 0;

		/* The whole value goes. */
		while (end < n && !(deep == 0 && (text[end] == ',' || text[end] == '}'))) {
			deep += (text[end] == '{' || text[end] == '[') -
				(text[end] == '}' || text[end] == ']');
			end++;
		}
		memcpy(mem + from, value, strlen(value));
		memcpy(mem + from + strlen(value), text + end, n - end);
		return (struct span){mem, from + strlen(value) + n - end};
	}
	mem[at] = "{}[]\":,0a\\"[next_random(x) % 10];
	return (struct span){mem, n};
}

static void read_spoiled(struct span text, int what)
{
	const struct llm_quirks quirks = {0};
	const struct llm_target target = {
		.model = SPAN("anthropic.claude-x"), .provider = SPAN("aws"), .quirks = &quirks};
	yyjson_doc *doc = what < 2 ? json_read_raw(NULL, text, true, NULL) : NULL;
	struct llm_request *q = llm_request_new(&arena);
	struct llm_notes notes = {.n = 0};
	struct err err = {0};
	struct through t;
	struct reading r;
	struct buf out;
	bool ok = true;

	buf_init(&out, 1 << 20);
	through_init(&t, NULL);
	reading_init(&r, &target, NULL, &t);
	if (what == 0 && doc != NULL)
		ok = bedrock_read_request(yyjson_doc_get_root(doc), &arena, q, &err) &&
		     codec_bedrock.write_request(q, &target, &arena, &out, &notes, &err);
	else if (what == 1 && doc != NULL)
		ok = bedrock_read_answer(&r, yyjson_doc_get_root(doc));
	while (what == 2 && text.n > 0 && ok) {
		struct span line = span_cut(&text, '\n'), name = span_skip(line, 2), rest = line;
		ptrdiff_t end = span_find_char(name, '"');

		name = span_head(name, end > 0 ? (size_t)end : 0);
		span_cut(&rest, ':');
		ok = bedrock_read_event(&r, name, span_head(rest, rest.n > 0 ? rest.n - 1 : 0));
	}
	/* Each failure has its reason. */
	assert_true(ok || (what == 0 ? err.code : r.err.code) != ERR_OK);
	flow_done(&r.flow);
	through_done(&t);
	buf_done(&out);
	json_free(doc);
}

static void spoiled_documents_do_no_harm(void **state)
{
	static const char *const texts[] = {whole_request, whole_answer, some_events};
	char mem[4096];
	uint64_t x = 1;

	for (int i = 0; i < 6000; i++) {
		arena_init(&arena, 4 << 20);
		read_spoiled(spoil(texts[i % 3], mem, &x), i % 3);
		arena_done(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case_holds),
		cmocka_unit_test(names_and_families),
		cmocka_unit_test(a_longer_history_begins_with_the_shorter),
		cmocka_unit_test(only_a_whole_stream_is_an_answer),
		cmocka_unit_test(an_error_may_be_words_alone),
		cmocka_unit_test(spoiled_documents_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
