/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "meaning/dialect/embedding.h"

/* One exchange, from the client's body to the client's answer. */
struct trip {
	struct arena a;
	struct embed_request q;
	struct embed_answer answer;
	struct err err;
	struct buf body, out;
	yyjson_doc *docs[4];
	int n_docs;
};

static yyjson_val *parse(struct trip *x, const char *text)
{
	struct err err = {0};
	yyjson_doc *doc = json_read_raw(NULL, span_of(text), false, &err);

	if (doc == NULL)
		fail_msg("%s: %s", text, err.text);
	assert_true(x->n_docs < 4);
	x->docs[x->n_docs++] = doc;
	return yyjson_doc_get_root(doc);
}

static void begin(struct trip *x)
{
	*x = (struct trip){.n_docs = 0};
	arena_init(&x->a, 1 << 20);
	buf_init(&x->body, 1 << 20);
	buf_init(&x->out, 1 << 20);
}

static void end(struct trip *x)
{
	for (int i = 0; i < x->n_docs; i++)
		json_free(x->docs[i]);
	buf_done(&x->body);
	buf_done(&x->out);
	arena_done(&x->a);
}

static bool ask(struct trip *x, const char *client)
{
	begin(x);
	return embed_read_request(parse(x, client), &x->a, &x->q, &x->err);
}

static bool put(struct trip *x, const struct embed_format *format, const char *model)
{
	return format->write_request(
		&x->q, x->q.inputs, x->q.n_inputs, span_of(model), &x->body, &x->err);
}

static bool read(struct trip *x, const struct embed_format *format, const char *answer)
{
	return format->read_answer(parse(x, answer), &x->q, &x->a, &x->answer, &x->err);
}

static bool answer(struct trip *x, const char *cost)
{
	return embed_write_answer(&x->q, &x->answer, SPAN("p/m"), span_of(cost), &x->out, &x->err);
}

#define assert_text(b, wanted)                                                                     \
	do {                                                                                       \
		if (!span_is(buf_span(b), wanted))                                                 \
			fail_msg("%.*s", SPAN_ARG(buf_span(b)));                                   \
	} while (0)

static void four_shapes_of_input(void **state)
{
	static const struct {
		const char *input;
		int n;
		bool tokens;
	} rows[] = {{"\"a\"", 1, false}, {"[\"a\",\"\",\"c\"]", 3, false}, {"[1,2,3]", 1, true},
		{"[[1,2],[3]]", 2, true}};
	struct trip x;
	char text[128];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "{\"model\":\"m\",\"input\":%s}", rows[i].input);
		assert_true(ask(&x, text));
		assert_int_equal(x.q.n_inputs, rows[i].n);
		assert_int_equal(x.q.inputs->tokens != NULL, rows[i].tokens);
		assert_false(x.q.base64);
		assert_int_equal(x.q.dimensions, -1);
		assert_true(put(&x, &embed_openai, "m"));
		if (rows[i].tokens) {
			assert_false(put(&x, &embed_gemini, "m"));
			assert_int_equal(x.err.code, ERR_UNSUPPORTED_PARAM);
			assert_string_equal(x.err.param, "input");
		}
		end(&x);
	}
}

static void bad_bodies_name_the_member(void **state)
{
	static const char *const rows[][2] = {{"[]", ""}, {"{}", "input"},
		{"{\"input\":[]}", "input"}, {"{\"input\":[1,\"a\"]}", "input"},
		{"{\"input\":[[1],[]]}", "input"}, {"{\"input\":[1.5]}", "input"},
		{"{\"input\":[-1]}", "input"}, {"{\"input\":{}}", "input"},
		{"{\"input\":\"a\",\"dimensions\":0}", "dimensions"},
		{"{\"input\":\"a\",\"dimensions\":\"3\"}", "dimensions"},
		{"{\"input\":\"a\",\"encoding_format\":\"hex\"}", "encoding_format"},
		{"{\"input\":\"a\",\"user\":1}", "user"},
		{"{\"input\":\"a\",\"input\":\"b\"}", "input"}};
	struct trip x;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_false(ask(&x, rows[i][0]));
		assert_int_equal(x.err.code, ERR_BAD_REQUEST);
		assert_string_equal(x.err.param, rows[i][1]);
		end(&x);
	}
}

static void each_provider_is_asked_in_its_way(void **state)
{
	static const struct {
		const struct embed_format *format;
		const char *body;
	} rows[] = {
		{&embed_openai,
			"{\"model\":\"m\",\"input\":[\"a\\n\",\"b\"],\"dimensions\":8,"
			"\"encoding_format\":\"base64\",\"user\":\"u\",\"input_type\":\"search_"
			"query\"}"},
		{&embed_gemini,
			"{\"requests\":[{\"model\":\"models/m\",\"content\":{\"parts\":[{\"text\":"
			"\"a\\n\"}]},\"taskType\":\"RETRIEVAL_QUERY\",\"outputDimensionality\":8},"
			"{\"model\":\"models/m\",\"content\":{\"parts\":[{\"text\":\"b\"}]},"
			"\"taskType\":\"RETRIEVAL_QUERY\",\"outputDimensionality\":8}]}"},
		{&embed_vertex,
			"{\"instances\":[{\"content\":\"a\\n\",\"task_type\":\"RETRIEVAL_QUERY\"},"
			"{\"content\":\"b\",\"task_type\":\"RETRIEVAL_QUERY\"}],\"parameters\":{"
			"\"outputDimensionality\":8}}"},
		{&embed_cohere,
			"{\"model\":\"m\",\"texts\":[\"a\\n\",\"b\"],\"input_type\":\"search_"
			"query\",\"embedding_types\":[\"float\"],\"output_dimension\":8}"},
		{&embed_bedrock_cohere,
			"{\"texts\":[\"a\\n\",\"b\"],\"input_type\":\"search_query\",\"embedding_"
			"types\":[\"float\"],\"output_dimension\":8}"},
		{&embed_titan, "{\"inputText\":\"a\\n\",\"dimensions\":8}"},
		{&embed_nova, "{\"taskType\":\"SINGLE_EMBEDDING\",\"singleEmbeddingParams\":{"
			      "\"embeddingPurpose\":\"GENERIC_RETRIEVAL\",\"embeddingDimension\":8,"
			      "\"text\":{\"truncationMode\":\"NONE\",\"value\":\"a\\n\"}}}"},
	};
	struct trip x;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(ask(&x,
			"{\"model\":\"p/m\",\"input\":[\"a\\n\",\"b\"],\"dimensions\":8,\"encoding_"
			"format\":\"base64\",\"user\":\"u\",\"input_type\":\"search_query\"}"));
		assert_true(put(&x, rows[i].format, "m"));
		assert_text(&x.body, rows[i].body);
		end(&x);
	}
	assert_int_equal(embed_titan.max_inputs(SPAN("m")), 1);
	assert_int_equal(embed_vertex.max_inputs(SPAN("gemini-embedding-001")), 1);
}

/* E17: floats stay as they were spelled; bytes are made of them, and the other way round. */
static void both_forms_from_every_provider(void **state)
{
	static const struct {
		const struct embed_format *format;
		const char *answer;
		int tokens; /* -1: not said */
	} rows[] = {
		{&embed_openai,
			"{\"data\":[{\"index\":1,\"embedding\":[1.0]},{\"index\":0,\"embedding\":["
			"0."
			"50,-2e0]}],\"usage\":{\"prompt_tokens\":6,\"total_tokens\":6}}",
			6},
		{&embed_openai,
			"{\"data\":[{\"index\":0,\"embedding\":\"AAAAPwAAAMA=\"},{\"index\":1,"
			"\"embedding\":\"AACAPw==\"}],\"usage\":{\"prompt_tokens\":6}}",
			6},
		{&embed_gemini,
			"{\"embeddings\":[{\"values\":[0.50,-2e0]},{\"values\":[1.0]}],"
			"\"usageMetadata\":{\"promptTokenCount\":6}}",
			6},
		{&embed_gemini, "{\"embeddings\":[{\"values\":[0.50,-2e0]},{\"values\":[1.0]}]}",
			-1},
		{&embed_vertex,
			"{\"predictions\":[{\"embeddings\":{\"values\":[0.50,-2e0],\"statistics\":{"
			"\"token_count\":2}}},{\"embeddings\":{\"values\":[1.0],\"statistics\":{"
			"\"token_count\":4.0}}}]}",
			6},
		{&embed_cohere,
			"{\"embeddings\":{\"float\":[[0.50,-2e0],[1.0]]},\"meta\":{\"billed_"
			"units\":{\"input_tokens\":6}}}",
			6},
		{&embed_bedrock_cohere, "{\"embeddings\":[[0.50,-2e0],[1.0]]}", -1},
	};
	char wanted[512];
	struct trip x;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int base64 = 0; base64 < 2; base64++) {
			bool bytes = i == 1;
			const char *first = base64  ? "\"AAAAPwAAAMA=\""
					    : bytes ? "[0.5,-2]"
						    : "[0.50,-2e0]";
			const char *second = base64 ? "\"AACAPw==\"" : bytes ? "[1]" : "[1.0]";
			int tokens = rows[i].tokens < 0 ? 0 : rows[i].tokens;

			assert_true(
				ask(&x, base64 ? "{\"model\":\"p/m\",\"input\":[\"a\",\"b\"],"
						 "\"encoding_format\":\"base64\"}"
					       : "{\"model\":\"p/m\",\"input\":[\"a\",\"b\"]}"));
			assert_true(read(&x, rows[i].format, rows[i].answer));
			assert_int_equal(x.answer.tokens_unknown, rows[i].tokens < 0);
			assert_true(answer(&x, "0.00000012"));
			snprintf(wanted, sizeof(wanted),
				"{\"object\":\"list\",\"data\":[{\"object\":\"embedding\","
				"\"index\":"
				"0,\"embedding\":%s},{\"object\":\"embedding\",\"index\":1,"
				"\"embedding\":%s}],\"model\":\"p/m\",\"usage\":{\"prompt_tokens\":"
				"%d,\"total_tokens\":%d,\"cost\":0.00000012}}",
				first, second, tokens, tokens);
			assert_text(&x.out, wanted);
			end(&x);
		}
}

static void several_calls_make_one_answer(void **state)
{
	struct trip x;

	assert_true(ask(&x, "{\"model\":\"m\",\"input\":[\"a\",\"b\"]}"));
	assert_true(read(&x, &embed_titan, "{\"embedding\":[0.1],\"inputTextTokenCount\":2}"));
	assert_false(answer(&x, ""));
	assert_int_equal(x.err.code, ERR_UPSTREAM_INVALID);
	x.err = (struct err){0};
	buf_clear(&x.out);
	assert_true(read(&x, &embed_titan,
		"{\"embeddingsByType\":{\"float\":[0.2]},\"inputTextTokenCount\":3}"));
	assert_true(answer(&x, ""));
	assert_text(&x.out, "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
			    "\"embedding\":[0.1]},{\"object\":\"embedding\",\"index\":1,"
			    "\"embedding\":[0.2]}],\"model\":\"p/m\",\"usage\":{\"prompt_tokens\":"
			    "5,\"total_tokens\":5}}");
	end(&x);
}

/* Cut to fewer dimensions, Gemini's vectors are not of length 1; others' stay as they are. */
static void cut_vectors_get_their_length(void **state)
{
	struct trip x;

	assert_true(ask(&x, "{\"model\":\"m\",\"input\":\"a\",\"dimensions\":2}"));
	assert_true(read(&x, &embed_gemini, "{\"embeddings\":[{\"values\":[3,4]}]}"));
	assert_true(answer(&x, ""));
	assert_true(span_find(buf_span(&x.out), SPAN("\"embedding\":[0.60000002,0.80000001]")) > 0);
	end(&x);
	assert_true(ask(&x, "{\"model\":\"m\",\"input\":\"a\",\"dimensions\":2}"));
	assert_true(read(&x, &embed_gemini, "{\"embeddings\":[{\"values\":[0.60,0.80]}]}"));
	assert_true(answer(&x, ""));
	assert_true(span_find(buf_span(&x.out), SPAN("\"embedding\":[0.60,0.80]")) > 0);
	end(&x);
}

static void answers_without_vectors_are_refused(void **state)
{
	static const struct {
		const struct embed_format *format;
		const char *answer;
		enum err_code code;
		bool read;
	} rows[] = {
		{&embed_openai, "{}", ERR_UPSTREAM_INVALID, false},
		{&embed_openai, "[]", ERR_UPSTREAM_INVALID, false},
		{&embed_openai, "{\"data\":[{\"index\":1,\"embedding\":[1]}]}",
			ERR_UPSTREAM_INVALID, false},
		{&embed_openai, "{\"data\":[{\"index\":0}]}", ERR_UPSTREAM_INVALID, false},
		{&embed_openai, "{\"data\":[{\"index\":0,\"embedding\":[\"a\"]}]}",
			ERR_UPSTREAM_INVALID, true},
		{&embed_openai, "{\"data\":[{\"index\":0,\"embedding\":\"AAA\"}]}",
			ERR_UPSTREAM_INVALID, true},
		{&embed_openai, "{\"data\":[{\"index\":0,\"embedding\":\"AAAA\"}]}",
			ERR_UPSTREAM_INVALID, true},
		{&embed_openai, "{\"data\":[{\"index\":0,\"embedding\":\"AADAfw==\"}]}",
			ERR_UPSTREAM_INVALID, true},
		{&embed_openai, "{\"data\":[{\"index\":0,\"embedding\":[1e400]}]}",
			ERR_UPSTREAM_INVALID, true},
		{&embed_gemini, "{\"embeddings\":[{}]}", ERR_UPSTREAM_INVALID, false},
		{&embed_gemini,
			"{\"error\":{\"code\":429,\"message\":\"slow\",\"status\":\"RESOURCE_"
			"EXHAUSTED\"}}",
			ERR_RATE_LIMITED, false},
		{&embed_vertex, "{\"predictions\":[{}]}", ERR_UPSTREAM_INVALID, false},
		{&embed_cohere, "{\"embeddings\":{\"int8\":[[1]]}}", ERR_UPSTREAM_INVALID, false},
		{&embed_titan, "{\"embedding\":1}", ERR_UPSTREAM_INVALID, false},
		{&embed_nova, "{\"embeddings\":[{}]}", ERR_UPSTREAM_INVALID, false},
	};
	struct trip x;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(ask(&x, "{\"model\":\"m\",\"input\":\"a\"}"));
		assert_int_equal(read(&x, rows[i].format, rows[i].answer), rows[i].read);
		if (rows[i].read)
			assert_false(answer(&x, ""));
		assert_int_equal(x.err.code, rows[i].code);
		end(&x);
	}
}

/* ---- recorded exchanges ---- */

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

static const struct embed_format *format_of(struct span path)
{
	static const struct {
		const char *part;
		const struct embed_format *format;
	} rows[] = {{":batchEmbedContents", &embed_gemini}, {"/v2/embed", &embed_cohere},
		{"/model/cohere.embed", &embed_bedrock_cohere},
		{"/model/amazon.titan-embed", &embed_titan},
		{"/model/amazon.nova-2-multimodal-embed", &embed_nova},
		{"/v1/embeddings", &embed_openai}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (span_find(path, span_of(rows[i].part)) >= 0)
			return rows[i].format;
	return NULL;
}

static struct span first_number(struct span text)
{
	ptrdiff_t at = span_find(text, SPAN("\"embedding\":["));
	struct span rest = span_skip(text, (size_t)(at + 13));
	size_t n = 0;

	if (at < 0)
		return (struct span){NULL, 0};
	while (n < rest.n && rest.p[n] != ',' && rest.p[n] != ']')
		n++;
	return span_head(rest, n);
}

/* Every vector comes through, the numbers as they were spelled. */
static bool check_record(yyjson_val *record)
{
	const struct embed_format *format;
	struct span path = {NULL, 0}, number;
	struct embed_answer made = {.n_vectors = 0};
	struct embed_request q = {.dimensions = -1};
	struct buf out, raw;
	struct err err = {0};
	struct arena a;
	int64_t status = 0;

	json_get_str(record, "path", &path);
	json_get_count(record, "status", &status);
	format = format_of(path);
	if (format == NULL || status != 200)
		return false;
	arena_init(&a, 1 << 20);
	buf_init(&out, 16 << 20);
	buf_init(&raw, 16 << 20);
	if (!format->read_answer(json_get(record, "response"), &q, &a, &made, &err))
		fail_msg("%.*s: %s", SPAN_ARG(path), err.text);
	assert_true(made.n_vectors > 0);
	for (q.base64 = false;; q.base64 = true) {
		q.n_inputs = made.n_vectors;
		buf_clear(&out);
		if (!embed_write_answer(&q, &made, SPAN("m"), SPAN("0"), &out, &err))
			fail_msg("%.*s: %s", SPAN_ARG(path), err.text);
		if (q.base64)
			break;
		number = first_number(buf_span(&out));
		json_write(&raw, json_get(record, "response"));
		assert_true(
			made.vectors->numbers == NULL || span_find(buf_span(&raw), number) >= 0);
	}
	buf_done(&out);
	buf_done(&raw);
	arena_done(&a);
	return true;
}

static void recorded_embeddings(void **state)
{
	static const char *const files[] = {"gemini", "cohere", "bedrock", "openai"};
	int n = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct buf text;
		struct span rest;

		buf_init(&text, 64 << 20);
		if (!open_recorded(files[i], &text)) {
			buf_done(&text);
			print_message("the recorded exchanges are not here\n");
			skip();
		}
		rest = buf_span(&text);
		while (rest.n > 0) {
			struct span line = span_cut(&rest, '\n');
			yyjson_doc *doc = NULL;

			if (span_find(line, SPAN("mbed")) >= 0)
				doc = json_read_raw(NULL, line, true, NULL);
			n += doc != NULL && check_record(yyjson_doc_get_root(doc));
			json_free(doc);
		}
		buf_done(&text);
	}
	assert_true(n >= 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_shapes_of_input),
		cmocka_unit_test(bad_bodies_name_the_member),
		cmocka_unit_test(each_provider_is_asked_in_its_way),
		cmocka_unit_test(both_forms_from_every_provider),
		cmocka_unit_test(several_calls_make_one_answer),
		cmocka_unit_test(cut_vectors_get_their_length),
		cmocka_unit_test(answers_without_vectors_are_refused),
		cmocka_unit_test(recorded_embeddings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
