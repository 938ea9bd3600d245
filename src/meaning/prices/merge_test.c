/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/prices/merge.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static const char held_json[] =
	"{\"models\":["
	"{\"id\":\"anthropic/claude\",\"context_window\":200000,\"max_output\":64000,"
	"\"can\":[\"cache\",\"computer\",\"search\"],\"price\":[{\"input\":\"3\",\"output\":\"15\","
	"\"cache_read\":\"0.3\",\"cache_write_5m\":\"3.75\",\"cache_write_1h\":\"6\"}]},"
	"{\"id\":\"google/g\",\"price\":[{\"input\":\"1\",\"output\":\"2\",\"cache_read\":\"0.5\"},"
	"{\"above\":200000,\"input\":\"2\",\"output\":\"4\"}]},"
	"{\"id\":\"openai/m\",\"name\":\"M\",\"created\":5,\"context_window\":400000,"
	"\"max_output\":1000,\"can\":[\"tools\",\"developer\"],\"geolocation\":\"eu\","
	"\"price\":[{\"input\":\"1\",\"output\":\"4\",\"cache_read\":\"1\",\"cache_write_5m\":"
	"\"1\"}]},"
	"{\"id\":\"openai/"
	"embed\",\"api\":\"embedding\",\"price\":[{\"input\":\"1\",\"output\":\"0\"}]},"
	"{\"id\":\"openai/no-price\"},"
	"{\"id\":\"vertex/v\"}]}";

static struct catalog *held;
static struct prices_list list;
static struct prices_merge result;

static void done(void)
{
	prices_merge_done(&result);
	prices_list_done(&list);
}

static void merge(const char *json, const char *prefix, bool force)
{
	struct err err = {0};

	done();
	if (!prices_list_read(span_of(json), SPAN("2026-11-23"), &list, &err) ||
		!prices_merge(held, &list, span_of(prefix), force, &result, &err))
		fail_msg("%s", err.text);
}

/* One model of LiteLLM's list. */
static const struct prices_change *one(const char *name, const char *provider, const char *members)
{
	char json[2048];

	snprintf(json, sizeof(json), "{\"%s\":{\"litellm_provider\":\"%s\",%s}}", name, provider,
		members);
	merge(json, "", false);
	return result.n > 0 ? &result.v[0] : NULL;
}

static char seen[4096];

static void on_member(void *user, struct span member, struct span was, struct span becomes)
{
	size_t n = strlen(seen);

	snprintf(seen + n, sizeof(seen) - n, "%.*s:%.*s>%.*s;", SPAN_ARG(member), SPAN_ARG(was),
		SPAN_ARG(becomes));
}

static void assert_diff(const struct prices_change *c, const char *expected)
{
	struct llm_model nothing = llm_model_unknown(SPAN(""));

	assert_non_null(c);
	seen[0] = '\0';
	prices_diff(c->held != NULL ? c->held : &nothing, &c->made, on_member, NULL);
	assert_string_equal(seen, expected);
}

static void what_is_not_said_stays(void **state)
{
	const struct prices_change *c = one("m", "openai",
		"\"input_cost_per_token\":2e-6,\"output_cost_per_token\":4e-6,"
		"\"max_input_tokens\":272000,\"supports_vision\":true");

	assert_int_equal(c->outcome, PRICES_CHANGED);
	/* The cache cost what input does, and still does. */
	assert_diff(c, "can:>see;input:1>2;cache_read:1>2;cache_write_5m:1>2;");
	assert_true(c->made.context_window == 400000 && span_is(c->made.name, "M") &&
		    span_is(c->made.geolocation, "eu") && c->made.created == 5);
	c = one("claude", "anthropic",
		"\"input_cost_per_token\":4e-6,\"output_cost_per_token\":2e-5,"
		"\"cache_creation_input_token_cost\":5e-6,\"cache_read_input_token_cost\":4e-7,"
		"\"supports_computer_use\":false");
	assert_diff(c, "can:computer>;input:3>4;output:15>20;cache_read:0.3>0.4;"
		       "cache_write_5m:3.75>5;cache_write_1h:6>8;");
	c = one("gemini/g", "gemini",
		"\"input_cost_per_token\":4e-7,\"output_cost_per_token\":2e-6");
	assert_diff(c, "input:1>0.4;cache_read:0.5>;input above 200000:2>;"
		       "output above 200000:4>;");
}

static void embeddings_have_no_output(void **state)
{
	assert_null(one("embed", "openai",
		"\"mode\":\"embedding\",\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-"
		"6"));
	assert_int_equal(result.counts[PRICES_UNCHANGED], 1);
	assert_diff(one("embed-2", "openai",
			    "\"mode\":\"embedding\",\"input_cost_per_token\":1e-6,"
			    "\"output_cost_per_token\":1e-6"),
		"api:chat>embedding;input:>1;output:>0;");
}

static void new_models_are_whole(void **state)
{
	const struct prices_change *c = one("n", "openai",
		"\"input_cost_per_token\":1e-6,\"output_cost_per_token\":2e-6,"
		"\"max_input_tokens\":1000,\"max_output_tokens\":5000");

	assert_int_equal(c->outcome, PRICES_ADDED);
	assert_null(c->held);
	assert_diff(c, "context_window:>1000;max_output:>1000;input:>1;output:>2;"
		       "cache_write_5m:>1;");
	assert_true(c->made.data_retention);
	c = one("claude-n", "anthropic",
		"\"input_cost_per_token\":1e-6,\"output_cost_per_token\":2e-6,"
		"\"cache_creation_input_token_cost\":1.25e-6");
	assert_diff(c, "input:>1;output:>2;cache_write_5m:>1.25;cache_write_1h:>2;");
	c = one("claude-n", "anthropic",
		"\"input_cost_per_token\":1e-6,\"output_cost_per_token\":2e-6");
	assert_diff(c, "input:>1;output:>2;");
	/* A price where there was none is no leap, and "@1" is another model than the one without.
	 */
	c = one("no-price", "openai",
		"\"input_cost_per_token\":1e-4,\"output_cost_per_token\":2e-6");
	assert_int_equal(c->outcome, PRICES_CHANGED);
	c = one("vertex_ai/v@1", "vertex_ai",
		"\"input_cost_per_token\":1e-6,\"output_cost_per_token\":2e-6");
	assert_int_equal(c->outcome, PRICES_ADDED);
}

static void what_is_the_same_is_unchanged(void **state)
{
	assert_null(one("m", "openai",
		"\"input_cost_per_token\":1e-6,\"output_cost_per_token\":4e-6,"
		"\"supports_function_calling\":true,\"max_output_tokens\":1000"));
	assert_int_equal(result.counts[PRICES_UNCHANGED], 1);
}

static void bounds_hold(void **state)
{
	static const struct {
		const char *members, *words;
	} rows[] = {
		{"\"input_cost_per_token\":1.1e-3,\"output_cost_per_token\":1e-6",
			"input: 1100 is above 1000"},
		{"\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1",
			"output: 1000000 is above 1000"},
		{"\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-6,"
		 "\"cache_read_input_token_cost\":2e-6",
			"cache_read: 2 is above input, 1"},
		{"\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-6,"
		 "\"cache_creation_input_token_cost\":2e-6,"
		 "\"cache_creation_input_token_cost_above_1hr\":1e-6",
			"cache_write_5m: 2 is above cache_write_1h, 1"},
		{"\"input_cost_per_token\":1e-6,\"output_cost_per_token\":0",
			"output: free, though input is not"},
		{"\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-6,"
		 "\"max_input_tokens\":100000001",
			"context_window: 100000001 is above 100000000"},
		{"\"input_cost_per_token\":1e-6,\"output_cost_per_token\":1e-6,"
		 "\"max_output_tokens\":100000001",
			"max_output: 100000001 is above 100000000"},
		{"\"input_cost_per_token\":-1e-6,\"output_cost_per_token\":1e-6",
			"input_cost_per_token: -1e-6 is below 0"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct prices_change *c = one("n", "openai", rows[i].members);

		assert_int_equal(result.counts[PRICES_REFUSED], 1);
		if (!span_starts(c->why, span_of(rows[i].words)))
			fail_msg("%.*s", SPAN_ARG(c->why));
	}
	one("n", "openai",
		"\"input_cost_per_token\":1e-3,\"output_cost_per_token\":1e-3,"
		"\"max_input_tokens\":100000000");
	assert_int_equal(result.counts[PRICES_ADDED], 1);
}

static void leaps_need_force(void **state)
{
	static const struct {
		const char *input;
		bool leaps;
	} rows[] = {
		{"1e-5", false}, {"1.01e-5", true}, {"1e-7", false}, {"9.9e-8", true}, {"0", true}};
	char json[512];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(json, sizeof(json),
			"{\"m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":%s,"
			"\"output_cost_per_token\":4e-6}}",
			rows[i].input);
		merge(json, "", false);
		assert_int_equal(result.counts[PRICES_REFUSED], rows[i].leaps);
		if (rows[i].leaps)
			assert_true(span_find(result.v[0].why, SPAN("--force")) > 0);
		merge(json, "", true);
		assert_int_equal(result.counts[PRICES_CHANGED], 1);
	}
	/* What makes no sense stays out, with force too. */
	merge("{\"m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":1,"
	      "\"output_cost_per_token\":1}}",
		"", true);
	assert_int_equal(result.counts[PRICES_REFUSED], 1);
}

static void one_provider_alone(void **state)
{
	static const char json[] =
		"{\"openai\":{\"models\":{\"a\":{\"cost\":{\"input\":1,\"output\":2}}}},"
		"\"xai\":{\"models\":{\"b\":{\"cost\":{\"input\":1,\"output\":2}}}}}";

	merge(json, "xai", false);
	assert_int_equal(result.n, 1);
	assert_true(span_is(result.v[0].id, "xai/b"));
	merge(json, "xa", false);
	assert_int_equal(result.n, 0);
	merge(json, "", false);
	assert_int_equal(result.n, 2);
}

static int set_up(void **state)
{
	struct err err = {0};

	held = catalog_new();
	return held != NULL && catalog_read(held, span_of(held_json), &err) ? 0 : -1;
}

static int tear_down(void **state)
{
	done();
	catalog_free(held);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_said_stays),
		cmocka_unit_test(embeddings_have_no_output),
		cmocka_unit_test(new_models_are_whole),
		cmocka_unit_test(what_is_the_same_is_unchanged),
		cmocka_unit_test(bounds_hold),
		cmocka_unit_test(leaps_need_force),
		cmocka_unit_test(one_provider_alone),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
