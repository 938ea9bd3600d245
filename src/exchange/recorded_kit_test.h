/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * recorded_kit_test - the recorded exchanges with providers, from a folder beside the project that
 * is not part of it ($SLUICE_SHARED/recorded, else ../shared/recorded).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "machine/base/base64.h"
#include "meaning/dialect/translate_test_kit.h"

static const char *const record_files[] = {"anthropic", "azure", "bedrock", "cohere", "deepseek",
	"gemini", "groq", "huggingface", "mistral", "openai", "openrouter", "vertex", "zai"};
#define N_RECORD_FILES (sizeof(record_files) / sizeof(record_files[0]))

struct record {
	const char *file;
	struct span name, path, model;
	int64_t status;
	const struct kit_format *format;
	bool stream, binary;
	yyjson_val *request, *response;
	struct buf body; /* the response as it was sent */
};

typedef void (*on_record)(const struct record *r);
static on_record on_other; /* those that are no answer of a model; NULL: passed over */

static int n_failed;

static inline bool open_recorded(const char *name, struct buf *text)
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

/* By an older address, or an answer that is asked for again. */
static inline enum llm_op other_address(struct span path)
{
	if (span_find(path, SPAN("anthropic.")) >= 0 && span_ends(path, SPAN("/invoke")))
		return LLM_OP_MESSAGES;
	return span_find(path, SPAN("/responses/resp_")) >= 0 ? LLM_OP_RESPONSES : LLM_OP_COUNT;
}

/* Which call of which format a path is. */
static inline bool classify(struct record *r)
{
	static const struct {
		const char *end;
		enum llm_op op;
	} rows[] = {{"/chat/completions", LLM_OP_CHAT}, {"/responses", LLM_OP_RESPONSES},
		{"/messages", LLM_OP_MESSAGES}, {":generateContent", LLM_OP_GENERATE},
		{":streamGenerateContent", LLM_OP_GENERATE}, {"/converse", LLM_OP_CONVERSE},
		{"/converse-stream", LLM_OP_CONVERSE}, {"/v2/chat", LLM_OP_COHERE}};
	struct span rest = r->path, bare = span_cut(&rest, '?'), head;
	ptrdiff_t at;

	bare = span_cut(&bare, '#');
	at = span_find(bare, SPAN("/model"));
	head = at >= 0 ? span_skip(bare, (size_t)at + 1) : (struct span){NULL, 0};
	if (head.n > 0)
		span_cut(&head, '/');
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (span_ends(bare, span_of(rows[i].end))) {
			r->format = kit_format_of(rows[i].op);
			r->model = span_head(head,
				head.n > strlen(rows[i].end) ? head.n - strlen(rows[i].end) : 0);
			return true;
		}
	r->format = kit_format_of(other_address(bare));
	return r->format != NULL;
}

/* A body stands in the record as a document, as its text, or as bytes in base64. */
static inline bool read_record(yyjson_val *root, struct record *r)
{
	struct span encoding = {NULL, 0}, type = {NULL, 0}, text = {NULL, 0};

	json_get_str(root, "name", &r->name);
	json_get_str(root, "path", &r->path);
	json_get_str(root, "encoding", &encoding);
	json_get_str(root, "content_type", &type);
	json_get_count(root, "status", &r->status);
	if (!classify(r))
		return false;
	r->request = json_get(root, "request");
	json_get_str(r->request, "model", &r->model);
	r->response = json_get(root, "response");
	r->binary = span_is(encoding, "base64");
	r->stream = r->binary || span_starts(type, SPAN("text/event-stream"));
	json_get_str(root, "response", &text);
	if (r->binary)
		assert_true(base64_read(&r->body, text));
	else if (span_is(encoding, "text"))
		buf_append(&r->body, text);
	else
		json_write(&r->body, r->response);
	return true;
}

/* Some bodies of requests were kept as text. */
static inline yyjson_doc *read_sent(struct record *r)
{
	yyjson_doc *doc;

	if (!yyjson_is_str(r->request))
		return NULL;
	doc = json_read_raw(NULL,
		(struct span){yyjson_get_str(r->request), yyjson_get_len(r->request)}, true, NULL);
	r->request = yyjson_doc_get_root(doc);
	return doc;
}

static inline void run_line(const char *file, struct span line, on_record on)
{
	yyjson_doc *doc = line.n > 0 ? json_read_raw(NULL, line, true, NULL) : NULL, *sent;
	struct record r = {.file = file};

	buf_init(&r.body, 64 << 20);
	if (doc != NULL && read_record(yyjson_doc_get_root(doc), &r)) {
		sent = read_sent(&r);
		on(&r);
		json_free(sent);
	} else if (line.n > 0 && on_other != NULL) {
		on_other(&r);
	}
	buf_done(&r.body);
	json_free(doc);
}

static inline void each_record(on_record on)
{
	n_failed = 0;
	for (size_t i = 0; i < N_RECORD_FILES; i++) {
		struct buf text;
		struct span rest;

		buf_init(&text, 64 << 20);
		if (!open_recorded(record_files[i], &text))
			print_message("no records of %s\n", record_files[i]);
		rest = buf_span(&text);
		while (rest.n > 0)
			run_line(record_files[i], span_cut(&rest, '\n'), on);
		buf_done(&text);
	}
	assert_int_equal(n_failed, 0);
}

/* Goes on, so that one run shows all. */
__attribute__((format(printf, 2, 3))) static inline void failed(
	const struct record *r, const char *form, ...)
{
	char text[2048];
	va_list args;

	va_start(args, form);
	vsnprintf(text, sizeof(text), form, args);
	va_end(args);
	print_error("%s: %.*s: %s\n", r->file, SPAN_ARG(r->name), text);
	n_failed++;
}

static inline bool has_records(void)
{
	struct buf probe;
	bool any;

	buf_init(&probe, 64 << 20);
	any = open_recorded(record_files[0], &probe);
	buf_done(&probe);
	if (!any)
		puts("no recorded exchanges here ($SLUICE_SHARED/recorded, ../shared/recorded): "
		     "skipped");
	return any;
}
