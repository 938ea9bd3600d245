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
#include "meaning/dialect/gemini/gemini.h"
#include "meaning/dialect/case_file_test.h"
#include "meaning/dialect/test_neutral.h"
#include "meaning/llm/names.h"

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
		print_error("%s\nWANTED %.*s\nACTUAL %.*s\n", name, SPAN_ARG(buf_span(&text)),
			SPAN_ARG(buf_span(actual)));
	buf_done(&text);
	return ok;
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
	buf_init(&body, 4 << 20);
	if (codec_gemini.write_request(q, &target, &arena, &body, &notes, &err))
		json_put_raw(out, "body", buf_span(&body));
	else
		case_put_error(out, &err, 0);
	case_put_notes(out, &notes);
	buf_done(&body);
}

static void run_answer(yyjson_val *root, struct buf *out)
{
	struct llm_quirks quirks = {0};
	struct llm_model facts = {0};
	struct llm_target target;
	struct reading r = {.arena = &arena, .scratch = &scratch, .target = &target};
	struct llm_request *q = neutral_read(&arena, json_get(root, "request"));
	yyjson_val *events = json_get(root, "events"), *item;
	struct neutral_log log;
	bool ok = true;
	size_t i, max;

	neutral_target(json_get(root, "target"), &target, &quirks, &facts);
	neutral_log_init(&log);
	r.flow = (struct flow){.arena = &arena,
		.request = q,
		.sink = neutral_log_add,
		.user = &log,
		.max_held_bytes = 1 << 20,
		.err = &r.err};
	flow_init(&r.flow);
	yyjson_arr_foreach(events, i, max, item)
	{
		struct buf text;

		buf_init(&text, 1 << 20);
		json_write(&text, item);
		ok = ok && gemini_read_event(&r, (struct span){NULL, 0}, buf_span(&text));
		buf_done(&text);
	}
	ok = ok && (events != NULL ? gemini_read_end(&r)
				   : gemini_read_answer(&r, json_get(root, "answer")));
	neutral_log_done(&log, out, "read");
	if (!ok)
		case_put_error(out, &r.err, r.error_status);
	flow_done(&r.flow);
}

static void run_error(yyjson_val *root, struct buf *out)
{
	struct err err = {0};
	char type[64], code[64];
	struct buf body;
	int64_t status = 0;

	json_int(json_get(root, "status"), &status);
	buf_init(&body, 1 << 20);
	json_write(&body, json_get(root, "error_body"));
	dialect_gemini.read_error((int)status, buf_span(&body), &scratch, &err, type, code);
	case_put_error(out, &err, dialect_gemini.status(&err));
	json_put_cstr(out, "native_type", type);
	buf_done(&body);
}

static void run_schema(yyjson_val *root, struct buf *out)
{
	struct gemini_model model;
	struct span name = {NULL, 0};

	json_get_str(root, "model", &name);
	gemini_model_read(name, &model);
	gemini_put_schema(out, "json", "reduced", json_get(root, "schema"), &model);
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
	if (json_get(root, "schema") != NULL)
		run_schema(root, &out);
	else if (json_get(root, "error_body") != NULL)
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

	snprintf(folder, sizeof(folder), "%s/src/meaning/dialect/gemini/cases",
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

static void names_and_generations(void **state)
{
	static const struct {
		const char *name;
		int generation;
		bool flash, lite, pro, signature;
	} rows[] = {
		{"gemini-2.5-flash", 25, true, false, false, false},
		{"gemini-2.5-flash-lite-preview-09-2025", 25, true, true, false, false},
		{"gemini-2.0-flash", 20, true, false, false, false},
		{"publishers/google/models/gemini-3-pro-preview", 30, false, false, true, true},
		{"gemini-3.1-pro-preview", 31, false, false, true, true},
		{"gemini-10-pro", 100, false, false, true, true},
		{"gemini-flash-latest", 25, true, false, false, true},
		{"gemma-3-27b-it", 20, false, false, false, false},
		{"something-else", 25, false, false, false, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct gemini_model m;

		gemini_model_read(span_of(rows[i].name), &m);
		assert_int_equal(m.generation, rows[i].generation);
		assert_int_equal(m.flash, rows[i].flash);
		assert_int_equal(m.lite, rows[i].lite);
		assert_int_equal(m.pro, rows[i].pro);
		assert_int_equal(m.needs_signature, rows[i].signature);
	}
}

static void tool_names_come_back(void **state)
{
	static const char *const names[] = {"plain", "1st_tool", "-dash", "with.dots/and more",
		"a_very_long_name_that_goes_on_and_on_until_it_is_over_sixty_four_characters",
		"0_very_long_name_that_goes_on_and_on_until_it_is_over_sixty_four_characters"};

	arena_init(&arena, 1 << 20);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct llm_request *q = llm_request_new(&arena);
		struct llm_tool *t = llm_add_tool(&arena, q, LLM_TOOL_FUNCTION);
		struct span fitted = gemini_fit_name(&arena, span_of(names[i]));
		struct span back;

		t->name = span_of(names[i]);
		assert_true(fitted.n > 0 && fitted.n <= 64);
		assert_true(*fitted.p == '_' || (*fitted.p | 0x20) >= 'a');
		back = gemini_real_name(&arena, q, fitted);
		assert_ptr_equal(llm_find_fitted(q, back), t);
	}
	arena_done(&arena);
}

static void a_longer_history_begins_with_the_shorter(void **state)
{
	static const char text[] =
		"{\"turns\":[{\"role\":\"system\",\"blocks\":[{\"text\":\"s\"}]},"
		"{\"role\":\"user\",\"blocks\":[{\"text\":\"a\"}]},"
		"{\"role\":\"assistant\",\"blocks\":[{\"text\":\"b\"}]},"
		"{\"role\":\"user\",\"blocks\":[{\"text\":\"c\"}]}],"
		"\"tools\":[{\"name\":\"f\"}],\"temperature\":0.5}";
	struct llm_quirks quirks = {0};
	struct llm_target target = {.model = SPAN("gemini-2.5-pro"), .quirks = &quirks};
	struct llm_notes notes = {.n = 0};
	struct err err = {0};
	struct buf all, head;
	yyjson_doc *doc = json_read_raw(NULL, SPAN(text), false, &err);
	struct llm_request *q;

	arena_init(&arena, 1 << 20);
	buf_init(&all, 1 << 20);
	buf_init(&head, 1 << 20);
	q = neutral_read(&arena, yyjson_doc_get_root(doc));
	assert_true(codec_gemini.write_request(q, &target, &arena, &all, &notes, &err));
	q->turns->next->next = NULL;
	assert_true(codec_gemini.write_request(q, &target, &arena, &head, &notes, &err));
	head.n -= 2; /* "]}" */
	assert_true(span_starts(buf_span(&all), buf_span(&head)));
	buf_done(&all);
	buf_done(&head);
	arena_done(&arena);
	json_free(doc);
}

/* A schema that doubles with every reference ends. */
static void references_that_multiply_end(void **state)
{
	struct gemini_model model = {.generation = 20};
	struct buf text, out;
	yyjson_doc *doc;

	buf_init(&text, 1 << 20);
	buf_init(&out, 64 << 20);
	buf_append_cstr(&text, "{\"$ref\":\"#/$defs/a0\",\"$defs\":{");
	for (int i = 0; i < 40; i++)
		buf_printf(&text,
			"%s\"a%d\":{\"type\":\"object\",\"properties\":{\"x\":{\"$ref\":\"#/$defs/"
			"a%d\"},\"y\":{\"$ref\":\"#/$defs/a%d\"}}}",
			i > 0 ? "," : "", i, i + 1, i + 1);
	buf_append_cstr(&text, "}}");
	doc = json_read_raw(NULL, buf_span(&text), false, NULL);
	assert_non_null(doc);
	buf_append_char(&out, '{');
	gemini_put_schema(&out, "json", "reduced", yyjson_doc_get_root(doc), &model);
	buf_append_char(&out, '}');
	assert_false(out.failed);
	json_free(doc);
	doc = json_read_raw(NULL, buf_span(&out), false, NULL);
	assert_non_null(doc);
	json_free(doc);
	buf_done(&text);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case_holds),
		cmocka_unit_test(names_and_generations),
		cmocka_unit_test(tool_names_come_back),
		cmocka_unit_test(a_longer_history_begins_with_the_shorter),
		cmocka_unit_test(references_that_multiply_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
