/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "meaning/prices/decimal.h"
#include "meaning/prices/rows.h"
#include "meaning/provider/provider.h"

#define TODAY SPAN("2026-11-23")
#define U LLM_PRICE_UNKNOWN

static void decimals_are_exact(void **state)
{
	static const struct {
		const char *text;
		int shift;
		int64_t value;
	} good[] = {{"1.5e-07", 15, 150000000}, {"0.15", 9, 150000000}, {"15E-8", 15, 150000000},
		{"0", 15, 0}, {"-0", 9, 0}, {"0e5", 9, 0}, {"3", 9, 3000000000}, {"1e+3", 0, 1000},
		{"128000.0", 0, 128000}, {"1E-15", 15, 1}, {"0.000000001", 9, 1},
		{"0.10", 9, 100000000},
		{"0.0000000000000000000000000000000000000000000000001e49", 0, 1},
		/* As doubles print them. */
		{"1.0000000000000001e-07", 15, 100000000},
		{"2.9999999999999997e-06", 15, 3000000000}, {"0.30000000000000004", 9, 300000000}};
	static const struct {
		const char *text;
		int shift;
		enum decimal result;
	} bad[] = {{"", 9, DECIMAL_NONE}, {"-", 9, DECIMAL_NONE}, {"1e", 9, DECIMAL_NONE},
		{".5", 9, DECIMAL_NONE}, {"1.", 9, DECIMAL_NONE}, {"0x1", 9, DECIMAL_NONE},
		{"1,5", 9, DECIMAL_NONE}, {"NaN", 9, DECIMAL_NONE}, {"-1e-7", 15, DECIMAL_NEGATIVE},
		{"1e30", 9, DECIMAL_LARGE}, {"1e999999999999", 9, DECIMAL_LARGE},
		{"9000000000", 9, DECIMAL_LARGE}, {"1e-10", 9, DECIMAL_FINE},
		{"1e-999999999999", 9, DECIMAL_FINE}, {"1.5", 0, DECIMAL_FINE}};
	int64_t v;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		v = -7;
		if (decimal_read(span_of(good[i].text), good[i].shift, &v) != DECIMAL_OK ||
			v != good[i].value)
			fail_msg("%s: %lld", good[i].text, (long long)v);
	}
	v = -7;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (decimal_read(span_of(bad[i].text), bad[i].shift, &v) != bad[i].result)
			fail_msg("%s", bad[i].text);
	assert_int_equal(v, -7);
}

static struct prices_list list;

static void read_ok(const char *json)
{
	struct err err = {0};

	prices_list_done(&list);
	if (!prices_list_read(span_of(json), TODAY, &list, &err))
		fail_msg("%s", err.text);
}

static const struct prices_entry *entry(const char *id)
{
	for (int i = 0; i < list.n; i++)
		if (span_is(list.v[i].id, id))
			return &list.v[i];
	fail_msg("%s is not there", id);
	return NULL;
}

static void assert_row(const struct llm_price *p, int64_t above, int64_t input, int64_t output,
	int64_t read, int64_t write)
{
	assert_int_equal(p->above_tokens, above);
	assert_int_equal(p->input, input);
	assert_int_equal(p->output, output);
	assert_int_equal(p->cache_read, read);
	assert_int_equal(p->cache_write_5m, write);
}

static void reads_litellm(void **state)
{
	const struct prices_entry *e;

	read_ok("{\"sample_spec\":{\"litellm_provider\":\"one of\",\"max_tokens\":\"text\"},"
		"\"gpt-x\":{\"litellm_provider\":\"openai\",\"mode\":\"chat\","
		"\"input_cost_per_token\":1.5e-07,\"output_cost_per_token\":6e-07,"
		"\"cache_read_input_token_cost\":7.5e-08,\"max_input_tokens\":272000,"
		"\"max_output_tokens\":16384,\"max_tokens\":16384,"
		"\"input_cost_per_token_batches\":1,\"input_cost_per_token_priority\":9,"
		"\"input_cost_per_audio_token\":1e-5,"
		"\"supports_vision\":true,\"supports_function_calling\":false,"
		"\"supports_response_schema\":true},"
		"\"gemini/g\":{\"litellm_provider\":\"gemini\",\"input_cost_per_token\":1e-06,"
		"\"output_cost_per_token\":2e-06,\"input_cost_per_token_above_200k_tokens\":2e-06,"
		"\"output_cost_per_token_above_200k_tokens\":4e-06,"
		"\"input_cost_per_token_above_200k_tokens_priority\":8e-06},"
		"\"claude-x\":{\"litellm_provider\":\"anthropic\",\"input_cost_per_token\":3e-06,"
		"\"output_cost_per_token\":1.5e-05,\"cache_creation_input_token_cost\":3.75e-06,"
		"\"cache_creation_input_token_cost_above_1hr\":6e-06,"
		"\"cache_read_input_token_cost\":3e-07,\"supports_response_schema\":true},"
		"\"vertex_ai/claude-x@1\":{\"litellm_provider\":\"vertex_ai-anthropic_models\","
		"\"input_cost_per_token\":3e-06,\"output_cost_per_token\":1.5e-05},"
		"\"openai/e\":{\"litellm_provider\":\"openai\",\"mode\":\"embedding\","
		"\"input_cost_per_token\":2e-08,\"max_input_tokens\":8191}}");
	assert_int_equal(list.format, PRICES_LITELLM);
	assert_int_equal(list.n, 5);
	e = entry("openai/gpt-x");
	assert_int_equal(e->wrong.n, 0);
	assert_int_equal(e->n_rows, 1);
	assert_row(&e->rows[0], 0, 150000000, 600000000, 75000000, U);
	assert_int_equal(e->rows[0].input_audio, 10000000000);
	assert_true(e->context_window == 272000 && e->is_input_window && e->max_output == 16384);
	assert_int_equal(
		e->can, LLM_CAN_SEE | LLM_CAN_CACHE | LLM_CAN_JSON_SCHEMA | LLM_CAN_JSON_OBJECT);
	assert_int_equal(e->says, e->can | LLM_CAN_CALL_TOOLS);
	assert_true(e->data_retention);
	e = entry("google/g");
	assert_int_equal(e->n_rows, 2);
	assert_row(&e->rows[1], 200000, 2000000000, 4000000000, U, U);
	e = entry("anthropic/claude-x");
	assert_row(&e->rows[0], 0, 3000000000, 15000000000, 300000000, 3750000000);
	assert_int_equal(e->rows[0].cache_write_1h, 6000000000);
	assert_false(e->can & LLM_CAN_JSON_OBJECT);
	entry("vertex/claude-x@1");
	e = entry("openai/e");
	assert_true(span_is(e->api, "embedding"));
	assert_row(&e->rows[0], 0, 20000000, 0, U, U);
}

static void reads_genai(void **state)
{
	const struct prices_entry *e;

	read_ok("[{\"id\":\"anthropic\",\"models\":[{\"id\":\"claude-a\",\"name\":\"A\","
		"\"match\":{\"or\":[{\"starts_with\":\"claude-a\"},{\"equals\":\"claude-a-1\"}]},"
		"\"context_window\":200000,\"prices\":[{\"prices\":{\"input_mtok\":9,"
		"\"output_mtok\":9}},{\"constraint\":{\"start_date\":\"2026-03-13\"},\"prices\":{"
		"\"input_mtok\":{\"base\":3,\"tiers\":[{\"start\":200000,\"price\":6}]},"
		"\"cache_write_mtok\":3.75,\"cache_write_1h_mtok\":6,\"cache_read_mtok\":0.3,"
		"\"output_mtok\":{\"base\":15,\"tiers\":[{\"start\":200000,\"price\":22.5}]}}},"
		"{\"constraint\":{\"start_date\":\"2027-01-01\"},\"prices\":{\"input_mtok\":1,"
		"\"output_mtok\":1}}]}]},"
		"{\"id\":\"aws\",\"models\":[{\"id\":\"eu.amazon.nova\",\"prices\":{"
		"\"input_mtok\":0.06,\"output_mtok\":0.24}}]},"
		"{\"id\":\"deepseek\",\"models\":[{\"id\":\"d\",\"prices\":[{\"constraint\":{"
		"\"start_time\":\"00:30:00Z\",\"end_time\":\"16:30:00Z\"},\"prices\":{"
		"\"input_mtok\":1,\"output_mtok\":1}}]}]},"
		"{\"id\":\"perplexity\",\"models\":[{\"id\":\"s\",\"prices\":{\"input_mtok\":1,"
		"\"output_mtok\":1,\"requests_kcount\":5}}]},"
		"{\"id\":\"xai\",\"models\":[]},{\"id\":\"minimax\",\"models\":[{\"id\":\"r\","
		"\"prices\":{\"input_mtok\":1,"
		"\"output_mtok\":1,\"output_reasoning_mtok\":2}}]},"
		"{\"id\":\"avian\",\"models\":[{\"id\":\"x\",\"prices\":{}},{\"id\":\"y\"}]}]");
	assert_int_equal(list.format, PRICES_GENAI);
	assert_int_equal(list.n, 3);
	e = entry("anthropic/claude-a");
	assert_true(span_is(e->name, "A") && e->context_window == 200000 && !e->is_input_window);
	assert_int_equal(e->n_rows, 2);
	assert_row(&e->rows[0], 0, 3000000000, 15000000000, 300000000, 3750000000);
	assert_row(&e->rows[1], 200000, 6000000000, 22500000000, 300000000, 3750000000);
	assert_int_equal(e->rows[0].cache_write_1h, 6000000000);
	entry("anthropic/claude-a-1");
	assert_true(span_is(entry("bedrock/eu.amazon.nova")->geolocation, "eu"));
	assert_int_equal(list.skipped[PRICES_SKIP_OTHER_PRICE], 3);
	assert_int_equal(list.skipped[PRICES_SKIP_PROVIDER], 2);
}

static void reads_models_dev(void **state)
{
	const struct prices_entry *e;

	read_ok("{\"google\":{\"id\":\"google\",\"models\":{\"gemini-x\":{\"name\":\"X\","
		"\"release_date\":\"2025-06-17\",\"tool_call\":true,\"reasoning\":false,"
		"\"structured_output\":true,\"modalities\":{\"input\":[\"text\",\"image\"],"
		"\"output\":[\"text\"]},\"limit\":{\"context\":1048576,\"output\":65536},"
		"\"cost\":{\"input\":1.25,\"output\":10,\"cache_read\":0.125,\"cache_write\":0,"
		"\"tiers\":[{\"tier\":{\"type\":\"context\",\"size\":200000},\"input\":2.5,"
		"\"output\":15,\"cache_read\":0.25}]}}}},"
		"\"mistral\":{\"models\":{\"m\":{\"limit\":{\"context\":1000,\"output\":100},"
		"\"cost\":{\"input\":0,\"output\":0,\"context_over_200k\":{\"input\":1,"
		"\"output\":2}}}}},"
		"\"openai\":{\"models\":{\"old\":{\"status\":\"deprecated\",\"cost\":{\"input\":1,"
		"\"output\":1}},\"free\":{},\"thinks\":{\"cost\":{\"input\":1,\"output\":1,"
		"\"reasoning\":3}},\"speaks\":{\"modalities\":{\"output\":[\"audio\"]},"
		"\"cost\":{\"input\":1,\"output\":1}}}},"
		"\"requesty\":{\"models\":{\"a\":{},\"b\":{}}}}");
	assert_int_equal(list.format, PRICES_MODELS_DEV);
	assert_int_equal(list.n, 2);
	e = entry("google/gemini-x");
	assert_int_equal(e->created, 1750118400);
	assert_true(e->context_window == 1048576 && e->max_output == 65536);
	assert_int_equal(e->can, LLM_CAN_SEE | LLM_CAN_CALL_TOOLS | LLM_CAN_CACHE |
					 LLM_CAN_JSON_SCHEMA | LLM_CAN_JSON_OBJECT);
	assert_int_equal(e->says, e->can | LLM_CAN_REASON | LLM_CAN_MAKE_IMAGES);
	assert_row(&e->rows[0], 0, 1250000000, 10000000000, 125000000, U);
	assert_row(&e->rows[1], 200000, 2500000000, 15000000000, 250000000, U);
	e = entry("mistral/m");
	assert_true(span_is(e->geolocation, "eu") && e->n_rows == 2);
	assert_row(&e->rows[1], 200000, 1000000000, 2000000000, U, U);
	assert_int_equal(list.skipped[PRICES_SKIP_RETIRED], 1);
	assert_int_equal(list.skipped[PRICES_SKIP_NO_PRICE], 1);
	assert_int_equal(list.skipped[PRICES_SKIP_OTHER_PRICE], 1);
	assert_int_equal(list.skipped[PRICES_SKIP_KIND], 1);
	assert_int_equal(list.skipped[PRICES_SKIP_PROVIDER], 2);
}

/* One model of LiteLLM's list, so that each case shows its member alone. */
static void read_one(const char *name, const char *provider, const char *members)
{
	char json[2048];

	snprintf(json, sizeof(json), "{\"%s\":{\"litellm_provider\":\"%s\",%s}}", name, provider,
		members);
	read_ok(json);
}

static void leaves_out_what_has_no_place(void **state)
{
	static const struct {
		const char *name, *provider, *members;
		enum prices_skip why;
	} rows[] = {
		{"m", "acme", "\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-6",
			PRICES_SKIP_PROVIDER},
		{"m", "openai",
			"\"deprecation_date\":\"2026-11-23\",\"input_cost_per_token\":1e-6,"
			"\"output_cost_per_token\":1e-6",
			PRICES_SKIP_RETIRED},
		{"m", "openai", "\"mode\":\"audio_speech\",\"input_cost_per_token\":1e-6",
			PRICES_SKIP_KIND},
		{"azure/eu/m", "azure",
			"\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-6",
			PRICES_SKIP_VARIANT},
		{"m", "openai", "\"input_cost_per_character\":1", PRICES_SKIP_NO_PRICE},
		{"m", "openai", "\"input_cost_per_token\":1e-6,\"output_cost_per_token\":null",
			PRICES_SKIP_NO_PRICE},
		{"m", "openai",
			"\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-6,"
			"\"output_cost_per_reasoning_token\":2e-6",
			PRICES_SKIP_OTHER_PRICE},
		{"m", "openai",
			"\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-6,"
			"\"output_cost_per_image_token\":2e-6",
			PRICES_SKIP_OTHER_PRICE},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		read_one(rows[i].name, rows[i].provider, rows[i].members);
		if (list.n != 0 || list.skipped[rows[i].why] != 1)
			fail_msg("%s", rows[i].members);
	}
	read_one("m", "openai",
		"\"deprecation_date\":\"2026-11-24\",\"input_cost_per_token\":1e-6,"
		"\"output_cost_per_token\":1e-6");
	assert_int_equal(list.n, 1);
	read_ok("{\"m\":{\"litellm_provider\":\"xai\",\"input_cost_per_token\":1e-6,"
		"\"output_cost_per_token\":1e-6},\"xai/m\":{\"litellm_provider\":\"xai\","
		"\"input_cost_per_token\":2e-6,\"output_cost_per_token\":1e-6}}");
	assert_int_equal(list.n, 1);
	assert_int_equal(list.skipped[PRICES_SKIP_TWICE], 1);
	assert_int_equal(list.v[0].rows[0].input, 1000000000);
}

static void names_what_is_wrong(void **state)
{
#define GOOD "\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-6,"
	static const struct {
		const char *members, *words;
	} rows[] = {
		{"\"input_cost_per_token\":-1e-6,\"output_cost_per_token\":1e-6",
			"input_cost_per_token: -1e-6 is below 0"},
		{"\"input_cost_per_token\":\"free\",\"output_cost_per_token\":1e-6",
			"input_cost_per_token: free is not a number"},
		{"\"input_cost_per_token\":1e99,\"output_cost_per_token\":1e-6",
			"input_cost_per_token: 1e99 is too large"},
		{"\"input_cost_per_token\":1e-17,\"output_cost_per_token\":1e-6",
			"input_cost_per_token: 1e-17 has too many decimals"},
		{GOOD "\"max_input_tokens\":0", "max_input_tokens: 0 is below 1"},
		{GOOD "\"max_output_tokens\":-5", "max_output_tokens: -5 is below 0"},
		{GOOD "\"max_input_tokens\":{}", "max_input_tokens: it is not a number"},
		{GOOD "\"input_cost_per_token_above_1k_tokens\":1,"
		      "\"input_cost_per_token_above_2k_tokens\":1,"
		      "\"input_cost_per_token_above_3k_tokens\":1,"
		      "\"input_cost_per_token_above_4k_tokens\":1",
			"price: more than 4 rows by length"},
	};
#undef GOOD
	char name[300];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		read_one("m", "openai", rows[i].members);
		assert_int_equal(list.n, 1);
		if (!span_is(list.v[0].wrong, rows[i].words))
			fail_msg("%.*s", SPAN_ARG(list.v[0].wrong));
	}
	read_ok("[{\"id\":\"openai\",\"models\":[{\"id\":\"m\",\"prices\":{\"input_mtok\":{"
		"\"base\":1,"
		"\"tiers\":[{\"start\":100000001,\"price\":2}]},\"output_mtok\":1}}]}]");
	assert_true(span_is(list.v[0].wrong, "price: a row above 100000001 tokens"));
	memset(name, 'x', sizeof(name));
	name[250] = '\0';
	read_one(name, "openai", "\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-6");
	assert_true(list.v[0].wrong.n > 0 && list.v[0].id.n < 220);
	read_one("a b", "openai", "\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-6");
	assert_true(list.v[0].wrong.n > 0);
}

static void refuses(const char *json, const char *words)
{
	struct err err = {0};

	prices_list_done(&list);
	assert_false(prices_list_read(span_of(json), TODAY, &list, &err));
	if (strstr(err.text, words) == NULL)
		fail_msg("%s", err.text);
}

static void refuses_what_is_no_list(void **state)
{
	refuses("", "nothing to read");
	refuses("{\n \"a\":}", "line 2 column 6");
	refuses("[]", "no price list");
	refuses("{}", "no price list");
	refuses("7", "no price list");
	refuses("null", "no price list");
	refuses("[{\"id\":7,\"models\":[]}]", "no price list");
	refuses("{\"models\":[{\"id\":\"a/b\"}]}", "no price list");
}

/* Each provider type with models of its own in the catalogue has a row, and no row is without. */
static void rows_are_the_provider_types(void **state)
{
	const char *prefixes[PRICES_MAX_PREFIXES + 1];
	int found = 0;

	prices_prefixes(prefixes);

	for (int i = 0; prefixes[i] != NULL; i++) {
		bool is_there = false;
		char slash[64];

		snprintf(slash, sizeof(slash), "%s/", prefixes[i]);
		for (int k = 0; provider_type_names[k] != NULL; k++) {
			const char *own =
				provider_type_find(span_of(provider_type_names[k]))->catalog_prefix;

			is_there = is_there || (own != NULL && strcmp(own, slash) == 0);
		}
		if (!is_there)
			fail_msg("%s is no type's prefix", prefixes[i]);
	}
	for (int k = 0; provider_type_names[k] != NULL; k++) {
		const char *own =
			provider_type_find(span_of(provider_type_names[k]))->catalog_prefix;
		bool is_there = own == NULL || strcmp(own, "sim/") == 0;

		for (int i = 0; prefixes[i] != NULL; i++)
			is_there = is_there || (span_starts(span_of(own), span_of(prefixes[i])) &&
						       strlen(own) == strlen(prefixes[i]) + 1);
		if (!is_there)
			fail_msg("%s has no row", own);
		found++;
	}
	assert_true(found > 10);
}

static int done(void **state)
{
	prices_list_done(&list);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decimals_are_exact),
		cmocka_unit_test(reads_litellm),
		cmocka_unit_test(reads_genai),
		cmocka_unit_test(reads_models_dev),
		cmocka_unit_test(leaves_out_what_has_no_place),
		cmocka_unit_test(names_what_is_wrong),
		cmocka_unit_test(refuses_what_is_no_list),
		cmocka_unit_test(rows_are_the_provider_types),
	};

	return cmocka_run_group_tests(tests, NULL, done);
}
