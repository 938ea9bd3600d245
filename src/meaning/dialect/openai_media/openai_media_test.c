/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_media/openai_media.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static bool read_facts(enum llm_op op, const char *text, struct llm_facts *facts, struct err *err)
{
	yyjson_doc *doc = json_read(NULL, span_of(text), NULL);
	struct llm_metadata meta;
	struct arena a;
	bool ok;

	*err = (struct err){0};
	arena_init(&a, 1 << 16);
	ok = dialect_openai_media.read_facts(
		op, yyjson_doc_get_root(doc), span_of(text), &a, facts, &meta, err);
	arena_done(&a);
	json_free(doc);
	return ok;
}

static void limits_of_the_requests(void **state)
{
	struct llm_facts facts;
	struct err err;
	struct buf text;

	assert_true(read_facts(LLM_OP_IMAGES, "{\"model\":\"a/b\",\"n\":10}", &facts, &err));
	assert_int_equal(facts.choices, 10);
	assert_false(read_facts(LLM_OP_IMAGES, "{\"model\":\"a/b\",\"n\":11}", &facts, &err));
	assert_string_equal(err.param, "n");
	assert_false(read_facts(LLM_OP_IMAGES, "{\"model\":\"a/b\",\"n\":0}", &facts, &err));
	for (int more = 0; more < 2; more++) {
		buf_init(&text, 1 << 20);
		buf_append_cstr(&text, "{\"input\":\"");
		for (int i = 0; i < 4096 + more; i++)
			buf_append_cstr(&text, "\xc3\xa9"); /* two bytes, one character */
		buf_append(&text, SPAN("\"}\0"));
		assert_int_equal(
			read_facts(LLM_OP_SPEECH, buf_span(&text).p, &facts, &err), more == 0);
		buf_done(&text);
	}
	assert_string_equal(err.param, "input");
	assert_true(read_facts(LLM_OP_SPEECH, "{\"stream_format\":\"sse\"}", &facts, &err));
	assert_true(facts.stream);
}

static void usage_of(const char *text, struct llm_usage *u)
{
	yyjson_doc *doc = json_read(NULL, span_of(text), NULL);

	media_read_usage(yyjson_doc_get_root(doc), u);
	json_free(doc);
}

static void usage_in_both_spellings(void **state)
{
	struct llm_usage u;

	usage_of("{\"input_tokens\":50,\"output_tokens\":1000,\"input_tokens_details\":"
		 "{\"text_tokens\":10,\"image_tokens\":40,\"cached_tokens\":5}}",
		&u);
	assert_int_equal(u.input_uncached, 45);
	assert_int_equal(u.cache_read, 5);
	assert_int_equal(u.output, 1000);
	usage_of("{\"type\":\"tokens\",\"input_tokens\":14,\"output_tokens\":45,"
		 "\"input_token_details\":{\"text_tokens\":0,\"audio_tokens\":14}}",
		&u);
	assert_int_equal(u.input_audio, 14);
	assert_int_equal(u.input_uncached, 0);
	usage_of("{\"type\":\"duration\",\"seconds\":3}", &u);
	assert_true(u.present);
	assert_int_equal(u.sound_ms, 3000);
	usage_of("{\"type\":\"duration\",\"seconds\":2.5004}", &u);
	assert_int_equal(u.sound_ms, 2500);
	usage_of("{\"type\":\"duration\",\"seconds\":-1}", &u);
	assert_false(u.present);
	usage_of("{\"type\":\"duration\",\"seconds\":1e300}", &u);
	assert_false(u.present);
}

static struct span dime(void *user, const struct llm_usage *u, char out[32])
{
	return SPAN("0.1");
}

static void a_stream_shows_its_cost(void **state)
{
	struct tap t = {.op = LLM_OP_TRANSCRIPTIONS, .cost = dime};
	struct span none = {NULL, 0};
	struct buf out;

	buf_init(&out, 10000);
	assert_int_equal(
		media_tap(&t, none, SPAN("{\"type\":\"transcript.text.delta\",\"delta\":\"hi\"}"),
			&out),
		TAP_PASS);
	assert_true(t.content && !t.finished && t.output_bytes == 2);
	assert_int_equal(media_tap(&t, none,
				 SPAN("{\"type\":\"transcript.text.done\",\"text\":\"hi\","
				      "\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}"),
				 &out),
		TAP_REPLACE);
	assert_true(t.finished && t.final_usage && t.usage.output == 2);
	assert_true(span_find(buf_span(&out), SPAN("\"output_tokens\":2,\"cost\":0.1}")) > 0);
	buf_clear(&out);
	assert_int_equal(
		media_tap(&t, none, SPAN("{\"error\":{\"message\":\"busy\",\"code\":503}}"), &out),
		TAP_REPLACE);
	assert_int_not_equal(t.error.code, ERR_OK);
	buf_done(&out);
}

static void answers_that_are_none(void **state)
{
	yyjson_doc *doc = json_read(NULL, SPAN("{\"error\":{\"message\":\"no\"}}"), NULL);
	struct llm_answer answer;
	struct err err = {0};

	assert_false(dialect_openai_media.read_answer(
		LLM_OP_IMAGES, yyjson_doc_get_root(doc), &answer, &err));
	assert_int_not_equal(err.code, ERR_UPSTREAM_INVALID);
	json_free(doc);
	err = (struct err){0};
	doc = json_read(NULL, SPAN("{\"text\":\"hi\"}"), NULL);
	assert_true(dialect_openai_media.read_answer(
		LLM_OP_TRANSCRIPTIONS, yyjson_doc_get_root(doc), &answer, &err));
	assert_false(dialect_openai_media.read_answer(
		LLM_OP_IMAGES, yyjson_doc_get_root(doc), &answer, &err));
	assert_int_equal(err.code, ERR_UPSTREAM_INVALID);
	json_free(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_of_the_requests),
		cmocka_unit_test(usage_in_both_spellings),
		cmocka_unit_test(a_stream_shows_its_cost),
		cmocka_unit_test(answers_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
