/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real exchanges with providers, from a folder beside the project that is not part of it: every
 * stream and body of the two formats goes through tap and readers. Skips where the folder is
 * absent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "machine/base/buf.h"
#include "meaning/dialect/shared.h"

static const char *const files[] = {"openai", "anthropic", "groq", "deepseek", "mistral",
	"openrouter", "huggingface", "zai", "azure"};

static char scratch_mem[1024 * 1024];
static const struct json_scratch scratch = {scratch_mem, sizeof(scratch_mem)};

struct record {
	struct span name, line;
	int64_t status;
	const struct dialect *dialect;
	enum llm_op op;
	bool text; /* the response is text, as received */
	yyjson_val *root;
};

typedef void (*on_record)(const struct record *r);

static bool open_recorded(const char *name, struct buf *text)
{
	const char *shared = getenv("SLUICE_SHARED"), *source = getenv("SLUICE_SOURCE");
	char path[1024];
	size_t n;
	FILE *f;

	if (shared != NULL)
		snprintf(path, sizeof(path), "%s/recorded/%s.jsonl", shared, name);
	else
		snprintf(path, sizeof(path), "%s/../shared/recorded/%s.jsonl",
			source != NULL ? source : ".", name);
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

static bool classify(struct span path, struct record *r)
{
	struct span bare = span_cut(&path, '?');

	bare = span_cut(&bare, '#');
	r->op = LLM_OP_COUNT;
	if (span_ends(bare, SPAN("/chat/completions")))
		r->op = LLM_OP_CHAT;
	else if (span_ends(bare, SPAN("/embeddings")))
		r->op = LLM_OP_EMBEDDINGS;
	else if (span_ends(bare, SPAN("/messages")))
		r->op = LLM_OP_MESSAGES;
	else if (span_ends(bare, SPAN("/count_tokens")))
		r->op = LLM_OP_COUNT_TOKENS;
	if (r->op == LLM_OP_COUNT)
		return false;
	r->dialect = dialect_of(r->op);
	return true;
}

/* Calls `on` for every record of the two formats; returns how many there were. */
static int each_record(on_record on)
{
	int n = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct buf text;
		struct span rest;

		buf_init(&text, 64 << 20);
		if (!open_recorded(files[i], &text)) {
			buf_done(&text);
			continue;
		}
		rest = buf_span(&text);
		while (rest.n > 0) {
			struct record r = {.line = span_cut(&rest, '\n')};
			yyjson_doc *doc = r.line.n > 0 ? json_read(NULL, r.line, NULL) : NULL;
			struct span path = {NULL, 0}, encoding = {NULL, 0};

			r.root = yyjson_doc_get_root(doc);
			json_get_str(r.root, "path", &path);
			json_get_str(r.root, "name", &r.name);
			json_get_str(r.root, "encoding", &encoding);
			json_get_count(r.root, "status", &r.status);
			r.text = span_is(encoding, "text");
			if (classify(path, &r)) {
				on(&r);
				n++;
			}
			json_free(doc);
		}
		buf_done(&text);
	}
	return n;
}

/* ---- what the records say, read in the plainest way ---- */

struct said_usage {
	bool any;
	int64_t in[3], out;
};

static void note(yyjson_val *usage, const char *key, int64_t *out)
{
	if (yyjson_is_uint(yyjson_obj_get(usage, key)))
		*out = (int64_t)yyjson_get_uint(yyjson_obj_get(usage, key));
}

static void note_usage(const struct record *r, yyjson_val *usage, struct said_usage *s)
{
	if (!yyjson_is_obj(usage))
		return;
	s->any = true;
	if (r->dialect == &dialect_openai_chat) {
		note(usage, "prompt_tokens", &s->in[0]);
		note(usage, "completion_tokens", &s->out);
		return;
	}
	note(usage, "input_tokens", &s->in[0]);
	note(usage, "cache_creation_input_tokens", &s->in[1]);
	note(usage, "cache_read_input_tokens", &s->in[2]);
	note(usage, "output_tokens", &s->out);
}

static void same_usage(
	const struct record *r, const struct said_usage *s, const struct llm_usage *u)
{
	if (s->any != u->present || s->in[0] + s->in[1] + s->in[2] != llm_usage_input(u) ||
		s->out != u->output)
		fail_msg("%.*s: usage %lld/%lld read as %lld/%lld", SPAN_ARG(r->name),
			(long long)(s->in[0] + s->in[1] + s->in[2]), (long long)s->out,
			(long long)llm_usage_input(u), (long long)u->output);
}

/* ---- streams ---- */

struct event {
	struct span name, data;
};

static bool next_event(struct span *rest, struct event *e)
{
	ptrdiff_t end = span_find(*rest, SPAN("\n\n"));
	struct span raw = end >= 0 ? span_head(*rest, (size_t)end) : *rest;

	if (rest->n == 0)
		return false;
	*rest = span_skip(*rest, raw.n + 2);
	*e = (struct event){{NULL, 0}, {NULL, 0}};
	while (raw.p != NULL) {
		struct span line = span_cut(&raw, '\n');

		if (span_starts(line, SPAN("event: ")))
			e->name = span_trim(span_skip(line, 7));
		if (span_starts(line, SPAN("data: ")))
			e->data = span_skip(line, 6);
	}
	return true;
}

/* The event's JSON without null usage and null tool_calls. */
static yyjson_mut_doc *without_nulls(struct span data)
{
	yyjson_doc *doc = yyjson_read(data.p, data.n, 0);
	yyjson_mut_doc *mut = yyjson_doc_mut_copy(doc, NULL);
	yyjson_mut_val *root = yyjson_mut_doc_get_root(mut), *choice;
	size_t i, max;

	yyjson_doc_free(doc);
	if (yyjson_mut_is_null(yyjson_mut_obj_get(root, "usage")))
		yyjson_mut_obj_remove_key(root, "usage");
	yyjson_mut_arr_foreach(yyjson_mut_obj_get(root, "choices"), i, max, choice)
	{
		yyjson_mut_val *delta = yyjson_mut_obj_get(choice, "delta");

		if (yyjson_mut_is_null(yyjson_mut_obj_get(delta, "tool_calls")))
			yyjson_mut_obj_remove_key(delta, "tool_calls");
	}
	return mut;
}

static void same_but_nulls(const struct record *r, const struct event *e, struct span out)
{
	ptrdiff_t at = span_find(out, SPAN("data: "));
	yyjson_mut_doc *want = without_nulls(e->data);
	yyjson_doc *doc;
	yyjson_mut_doc *got;

	assert_true(at >= 0 && span_ends(out, SPAN("\n\n")));
	out = span_skip(out, (size_t)at + 6);
	doc = yyjson_read(out.p, out.n, 0);
	assert_non_null(doc);
	got = yyjson_doc_mut_copy(doc, NULL);
	if (!yyjson_mut_equals(yyjson_mut_doc_get_root(want), yyjson_mut_doc_get_root(got)))
		fail_msg("%.*s: %.*s", SPAN_ARG(r->name), SPAN_ARG(out));
	/* Only whole members went: what is left stands in the original in the same order. */
	assert_true(out.n - 2 < e->data.n);
	yyjson_mut_doc_free(want);
	yyjson_mut_doc_free(got);
	yyjson_doc_free(doc);
}

static bool has_null(struct span data)
{
	return span_find(data, SPAN("\"usage\":null")) >= 0 ||
	       span_find(data, SPAN("\"usage\": null")) >= 0 ||
	       span_find(data, SPAN("\"tool_calls\":null")) >= 0 ||
	       span_find(data, SPAN("\"tool_calls\": null")) >= 0;
}

static void note_event(const struct record *r, struct span data, struct said_usage *s)
{
	yyjson_doc *doc = yyjson_read(data.p, data.n, 0);
	yyjson_val *root = yyjson_doc_get_root(doc);

	note_usage(r, yyjson_obj_get(root, "usage"), s);
	note_usage(r, yyjson_obj_get(yyjson_obj_get(root, "message"), "usage"), s);
	note_usage(r, yyjson_obj_get(yyjson_obj_get(root, "x_groq"), "usage"), s);
	yyjson_doc_free(doc);
}

static int n_streams, n_events, n_bodies, n_scanned, n_errors;

static void check_stream(const struct record *r)
{
	struct tap t = {.op = r->op, .scratch = &scratch};
	struct said_usage said = {0};
	struct span rest = {NULL, 0};
	struct event e;
	struct buf out;

	if (!r->text || r->status != 200)
		return;
	json_get_str(r->root, "response", &rest);
	buf_init(&out, 1 << 24);
	while (next_event(&rest, &e)) {
		enum tap_verdict verdict;

		if (e.data.p == NULL)
			continue;
		note_event(r, e.data, &said);
		buf_clear(&out);
		verdict = r->dialect->tap(&t, e.name, e.data, &out);
		n_events++;
		if (t.error.code != ERR_OK) {
			assert_true(t.error.text[0] != '\0' && t.error_status >= 400);
			break;
		}
		assert_int_equal(verdict, has_null(e.data) ? TAP_REPLACE : TAP_PASS);
		if (verdict == TAP_REPLACE)
			same_but_nulls(r, &e, buf_span(&out));
	}
	if (t.error.code == ERR_OK && (!t.finished || !t.terminal || !t.content))
		fail_msg("%.*s: finished %d terminal %d content %d", SPAN_ARG(r->name), t.finished,
			t.terminal, t.content);
	same_usage(r, &said, &t.usage);
	buf_done(&out);
	n_streams++;
}

static void recorded_streams(void **state)
{
	each_record(check_stream);
	print_message("%d streams, %d events\n", n_streams, n_events);
	assert_true(n_streams >= 20 && n_events >= 1000);
}

/* Hiding takes usage out of every event, and shows nothing else changed. */
static void check_hidden(const struct record *r)
{
	struct tap t = {.op = r->op, .scratch = &scratch, .hide_usage = true};
	struct span rest = {NULL, 0};
	struct event e;
	struct buf out;

	if (!r->text || r->status != 200 || r->dialect != &dialect_openai_chat)
		return;
	json_get_str(r->root, "response", &rest);
	buf_init(&out, 1 << 24);
	while (next_event(&rest, &e) && t.error.code == ERR_OK) {
		struct span shown = e.data;
		enum tap_verdict verdict;
		yyjson_doc *doc;

		if (e.data.p == NULL)
			continue;
		buf_clear(&out);
		verdict = r->dialect->tap(&t, e.name, e.data, &out);
		if (verdict == TAP_DROP || t.error.code != ERR_OK)
			continue;
		if (verdict == TAP_REPLACE)
			shown = span_skip(buf_span(&out),
				(size_t)span_find(buf_span(&out), SPAN("data: ")) + 6);
		doc = yyjson_read(shown.p, shown.n, 0);
		assert_null(yyjson_obj_get(yyjson_doc_get_root(doc), "usage"));
		yyjson_doc_free(doc);
	}
	buf_done(&out);
}

static void recorded_streams_with_hidden_usage(void **state)
{
	each_record(check_hidden);
}

/* ---- bodies ---- */

/* All members but `usage` have the same raw bytes after the edit. */
static void same_members(const struct record *r, struct span before, struct span after)
{
	struct json_member a, b;
	size_t at = 0, at_after = 0;

	while (json_next(before, &at, &a)) {
		assert_true(json_next(after, &at_after, &b));
		assert_true(span_eq(a.key, b.key));
		if (!span_is(a.key, "usage") && !span_eq(a.value, b.value))
			fail_msg("%.*s: %.*s changed", SPAN_ARG(r->name), SPAN_ARG(a.key));
	}
	assert_false(json_next(after, &at_after, &b));
}

static void check_cost(const struct record *r, struct span body, const struct llm_answer *answer)
{
	struct span spans[8];
	struct json_edit e;
	struct arena a;
	struct buf out;
	int n;

	arena_init(&a, 1 << 16);
	buf_init(&out, 1 << 24);
	json_edit_init(&e, &a, body);
	r->dialect->edit_answer(r->op, answer, SPAN("0.000123"), &e);
	n = json_edit_spans(&e, spans, 8);
	for (int i = 0; i < n; i++)
		buf_append(&out, spans[i]);
	if (answer->usage.present)
		assert_true(span_is(json_raw(buf_span(&out), "usage.cost"), "0.000123"));
	else
		assert_true(span_eq(buf_span(&out), body));
	same_members(r, body, buf_span(&out));
	buf_done(&out);
	arena_done(&a);
}

static void check_body(const struct record *r)
{
	struct span body = json_raw(r->line, "response");
	struct said_usage said = {0};
	struct llm_answer answer, scanned;
	struct err err = {0};
	yyjson_doc *doc;

	if (r->text || r->status != 200)
		return;
	if (r->dialect->scan_answer(r->op, body, &scratch, &scanned))
		n_scanned++;
	doc = json_read(&scratch, body, &err);
	assert_non_null(doc);
	if (!r->dialect->read_answer(r->op, yyjson_doc_get_root(doc), &answer, &err))
		fail_msg("%.*s: %s", SPAN_ARG(r->name), err.text);
	if (r->op != LLM_OP_COUNT_TOKENS)
		note_usage(r, yyjson_obj_get(yyjson_doc_get_root(doc), "usage"), &said);
	same_usage(r, &said, &answer.usage);
	if (scanned.usage.present)
		assert_memory_equal(&scanned.usage, &answer.usage, sizeof(answer.usage));
	check_cost(r, body, &answer);
	json_free(doc);
	n_bodies++;
}

static void recorded_bodies(void **state)
{
	each_record(check_body);
	print_message("%d bodies, %d of them by a scan\n", n_bodies, n_scanned);
	assert_true(n_bodies >= 200);
	assert_true(n_scanned >= n_bodies * 9 / 10);
}

static void check_error(const struct record *r)
{
	struct span body = json_raw(r->line, "response"), message = {NULL, 0};
	yyjson_val *error = yyjson_obj_get(yyjson_obj_get(r->root, "response"), "error");
	char type[64], code[64];
	struct err err = {0};

	if (r->status < 400)
		return;
	r->dialect->read_error((int)r->status, body, &scratch, &err, type, code);
	json_get_str(error, "message", &message);
	assert_int_not_equal(err.code, ERR_OK);
	assert_true(span_starts(message, span_of(err.text)));
	if (r->status == 429)
		assert_int_equal(err.code, ERR_RATE_LIMITED);
	else
		assert_true(err.code == ERR_BAD_REQUEST || err.code == ERR_MODEL_NOT_FOUND);
	n_errors++;
}

static void recorded_errors(void **state)
{
	each_record(check_error);
	print_message("%d errors\n", n_errors);
	assert_true(n_errors >= 5);
}

/* Requests as clients really send them are read, and only what must be is changed. */
static void check_request(const struct record *r)
{
	struct span body = json_raw(r->line, "request"), spans[32];
	struct pass_edit edit = {.model = SPAN("another"), .ask_usage = true};
	struct llm_facts facts;
	struct llm_metadata meta;
	struct err err = {0};
	struct json_member a, b;
	struct json_edit e;
	struct arena arena;
	struct buf out;
	size_t at = 0, at_after = 0;
	yyjson_doc *doc;
	int n;

	if (r->status != 200 || body.n == 0 || *body.p != '{')
		return;
	arena_init(&arena, 1 << 20);
	buf_init(&out, 1 << 24);
	doc = json_read(&scratch, body, NULL);
	assert_non_null(doc);
	if (!r->dialect->read_facts(
		    r->op, yyjson_doc_get_root(doc), body, &arena, &facts, &meta, &err))
		fail_msg("%.*s: %s", SPAN_ARG(r->name), err.text);
	json_edit_init(&e, &arena, body);
	r->dialect->edit_request(r->op, &facts, &edit, &e);
	n = json_edit_spans(&e, spans, 32);
	assert_true(n > 0);
	for (int i = 0; i < n; i++)
		buf_append(&out, spans[i]);
	assert_true(span_is(json_raw(buf_span(&out), "model"), "\"another\""));
	while (json_next(body, &at, &a)) {
		assert_true(json_next(buf_span(&out), &at_after, &b));
		assert_true(span_eq(a.key, b.key));
		assert_true(span_is(a.key, "model") || span_is(a.key, "stream_options") ||
			    span_eq(a.value, b.value));
	}
	json_free(doc);
	buf_done(&out);
	arena_done(&arena);
}

static void recorded_requests(void **state)
{
	each_record(check_request);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_requests),
		cmocka_unit_test(recorded_streams),
		cmocka_unit_test(recorded_streams_with_hidden_usage),
		cmocka_unit_test(recorded_bodies),
		cmocka_unit_test(recorded_errors),
	};
	struct buf probe;

	buf_init(&probe, 64 << 20);
	if (!open_recorded(files[0], &probe)) {
		puts("no recorded exchanges here ($SLUICE_SHARED/recorded, ../shared/recorded): "
		     "skipped");
		return 77;
	}
	buf_done(&probe);

	return cmocka_run_group_tests(tests, NULL, NULL);
}
