/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/catalog.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct catalog *read_ok(struct span json)
{
	struct catalog *c = catalog_new();
	struct err err = {0};

	assert_non_null(c);
	if (!catalog_read(c, json, &err))
		fail_msg("%s", err.text);
	return c;
}

static void reads_prices_exactly(void **state)
{
	static const struct {
		const char *text;
		int64_t nusd;
	} good[] = {{"0.15", 150000000}, {"0", 0}, {"3", 3000000000}, {"0.000000001", 1},
		{"15.00", 15000000000}, {"1000000", 1000000000000000}, {"00.5", 500000000}};
	static const char *const bad[] = {"", "-1", "+1", ".5", "1.", "1e3", "0.0000000001", "1 ",
		" 1", "1000001", "99999999999999999999", "1,5", "0x1"};
	int64_t n;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(price_read(span_of(good[i].text), &n, NULL));
		assert_int_equal(n, good[i].nusd);
	}
	n = -7;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(price_read(span_of(bad[i]), &n, NULL));
	assert_int_equal(n, -7);
}

static void reads_a_model(void **state)
{
	struct catalog *c =
		read_ok(SPAN("{\"models\":[{\"id\":\"b/"
			     "two\",\"price\":[{\"input\":\"1\",\"output\":\"2\"},{\"above\":"
			     "200000,\"input\":\"2\",\"output\":\"4\",\"cache_read\":\"0.2\"}]},{"
			     "\"id\":\"a/one\",\"api\":"
			     "\"embedding\",\"name\":\"One\",\"description\":\"d\",\"geolocation\":"
			     "\"eu\",\"created\":5,"
			     "\"context_window\":100,\"max_output\":10,\"can\":[\"tools\",\"see\"],"
			     "\"data_retention\":true}]}"));
	const struct llm_model *m = catalog_find(c, SPAN("a/one"));

	assert_int_equal(catalog_count(c), 2);
	assert_ptr_equal(catalog_at(c, 0), m);
	assert_null(catalog_at(c, 2));
	assert_true(span_is(m->api, "embedding") && span_is(m->name, "One") &&
		    span_is(m->geolocation, "eu") && m->created == 5 && m->context_window == 100 &&
		    m->max_output == 10 && m->data_retention);
	assert_int_equal(m->can, LLM_CAN_CALL_TOOLS | LLM_CAN_SEE);
	assert_int_equal(m->n_tiers, 1);
	assert_true(m->price[0].input == LLM_PRICE_UNKNOWN);
	m = catalog_find(c, SPAN("b/two"));
	assert_true(span_is(m->api, "chat") && m->n_tiers == 2);
	assert_int_equal(m->price[1].above_tokens, 200000);
	assert_int_equal(m->price[1].cache_read, 200000000);
	assert_true(m->price[0].cache_read == LLM_PRICE_UNKNOWN);
	catalog_free(c);
}

static void regions_fall_back(void **state)
{
	struct catalog *c = read_ok(SPAN("{\"models\":[{\"id\":\"a/m\"},{\"id\":\"a/m@eu\"}]}"));

	assert_true(span_is(catalog_find(c, SPAN("a/m@eu"))->id, "a/m@eu"));
	assert_true(span_is(catalog_find(c, SPAN("a/m@us"))->id, "a/m"));
	assert_null(catalog_find(c, SPAN("a/M")));
	assert_null(catalog_find(c, SPAN("@eu")));
	assert_null(catalog_find(c, SPAN("")));
	catalog_free(c);
}

static void puts_add_or_replace(void **state)
{
	struct catalog *c = read_ok(SPAN("{\"models\":[{\"id\":\"a/m\",\"context_window\":1}]}"));
	char id[] = "a/n000";
	struct llm_model m = {.id = SPAN("a/m"), .context_window = 2, .n_tiers = 1};

	assert_true(catalog_put(c, &m, NULL));
	assert_int_equal(catalog_count(c), 1);
	assert_int_equal(catalog_find(c, SPAN("a/m"))->context_window, 2);
	for (int i = 199; i >= 0; i--) {
		id[3] = (char)('0' + i / 100);
		id[4] = (char)('0' + i / 10 % 10);
		id[5] = (char)('0' + i % 10);
		m.id = span_of(id);
		assert_true(catalog_put(c, &m, NULL));
	}
	assert_int_equal(catalog_count(c), 201);
	for (int i = 1; i < 201; i++) {
		struct span a = catalog_at(c, i - 1)->id, b = catalog_at(c, i)->id;

		assert_true(memcmp(a.p, b.p, a.n < b.n ? a.n : b.n) < 0);
	}
	catalog_free(c);
	catalog_free(NULL);
}

static void refuses(const char *json, const char *word)
{
	struct catalog *c = catalog_new();
	struct err err = {0};

	assert_false(catalog_read(c, span_of(json), &err));
	if (strstr(err.text, word) == NULL)
		fail_msg("%s", err.text);
	catalog_free(c);
}

static void refuses_slips_of_the_pen(void **state)
{
	refuses("{", "line 1");
	refuses("[]", "models");
	refuses("{\"models\":[{}]}", "id");
	refuses("{\"models\":[{\"id\":\"x\"}]}", "provider/model");
	refuses("{\"models\":[{\"id\":\"a/b\"},{\"id\":\"a/b\"}]}", "twice");
	refuses("{\"models\":[{\"id\":\"a/b\",\"prices\":[]}]}", "prices");
	refuses("{\"models\":[{\"id\":\"a/b\",\"can\":[\"fly\"]}]}", "capability");
	refuses("{\"models\":[{\"id\":\"a/b\",\"price\":[]}]}", "price");
	refuses("{\"models\":[{\"id\":\"a/b\",\"price\":[{\"input\":1}]}]}", "input");
	refuses("{\"models\":[{\"id\":\"a/b\",\"price\":[{\"inptu\":\"1\"}]}]}", "inptu");
	refuses("{\"models\":[{\"id\":\"a/b\",\"price\":[{\"above\":5}]}]}", "above");
	refuses("{\"models\":[{\"id\":\"a/b\",\"price\":[{},{\"above\":0}]}]}", "above");
	refuses("{\"models\":[{\"id\":\"a/b\",\"context_window\":-1}]}", "context_window");
}

static void says_on_which_line(void **state)
{
	refuses("{\"models\":[\n{\"id\":\"a/b\"},\n{\"id\":\"a/c\",\"can\":[\"fly\"]}]}",
		"line 3: model \"a/c\"");
	refuses("{\"models\":[\n{\"id\":\"a/b\",\n\"price\":[{\"input\":\"x\"}]}]}",
		"line 2: model \"a/b\": \"input\": \"x\"");
	refuses("{\"models\":[\n\n{\"id\":\"a/b\"},\n{\"id\":\"a/a\"},\n{\"id\":\"a/b\"}]}",
		"line 3");
	refuses("{\"models\":[\n{\"id\":\"a/b\"}\n{}]}", "line 3 column 1");
	refuses("{\"models\":[7]}", "line 1");
	refuses("{\"models\":{}}", "line 1");
}

static void writes_what_it_reads(void **state)
{
	struct catalog *c = read_ok(catalog_embedded);
	struct buf out;

	buf_init(&out, 16 << 20);
	assert_true(catalog_write(c, &out));
	assert_true(span_eq(buf_span(&out), catalog_embedded));
	catalog_free(c);
	buf_clear(&out);
	c = read_ok(SPAN("{\"models\":[]}"));
	assert_true(catalog_write(c, &out));
	catalog_free(c);
	catalog_free(read_ok(buf_span(&out)));
	buf_done(&out);
}

static void merges_one_into_another(void **state)
{
	struct catalog *c = read_ok(SPAN("{\"models\":[{\"id\":\"a/b\",\"max_output\":1},{\"id\":"
					 "\"a/d\",\"max_output\":1}]}"));
	struct catalog *from =
		read_ok(SPAN("{\"models\":[{\"id\":\"a/a\"},{\"id\":\"a/d\",\"max_output\":2},{"
			     "\"id\":\"a/e\"}]}"));
	struct catalog *none = catalog_new();

	assert_true(catalog_merge(c, from, NULL));
	assert_true(catalog_merge(c, none, NULL));
	catalog_free(from);
	assert_int_equal(catalog_count(c), 4);
	assert_true(span_is(catalog_at(c, 0)->id, "a/a") && span_is(catalog_at(c, 3)->id, "a/e"));
	assert_int_equal(catalog_find(c, SPAN("a/b"))->max_output, 1);
	assert_int_equal(catalog_find(c, SPAN("a/d"))->max_output, 2);
	assert_true(catalog_merge(none, c, NULL));
	assert_int_equal(catalog_count(none), 4);
	assert_null(catalog_find_exact(c, SPAN("a/b@eu")));
	assert_true(llm_model_eq(catalog_at(c, 1), catalog_at(none, 1)));
	assert_false(llm_model_eq(catalog_at(c, 1), catalog_at(c, 2)));
	catalog_free(none);
	catalog_free(c);
}

static void overrides_take_what_they_name(void **state)
{
	struct catalog *c = read_ok(
		SPAN("{\"models\":[{\"id\":\"openai/"
		     "m\",\"context_window\":9,\"max_output\":8,\"price\":[{"
		     "\"input\":\"1\",\"output\":\"2\"},{\"above\":5,\"input\":\"3\"}]}]}"));
	struct llm_override o = {.id = SPAN("mine/m"),
		.like = SPAN("openai/m"),
		.context_window = -1,
		.max_output = 7,
		.cache_read = "0.5"};
	const struct llm_model *m;
	struct err err = {0};

	assert_true(catalog_override(c, &o, NULL));
	m = catalog_find(c, SPAN("mine/m"));
	assert_true(m->context_window == 9 && m->max_output == 7 && m->n_tiers == 2);
	assert_int_equal(m->price[0].cache_read, 500000000);
	o = (struct llm_override){
		.id = SPAN("openai/m"), .context_window = -1, .max_output = -1, .input = "4"};
	assert_true(catalog_override(c, &o, NULL));
	m = catalog_find(c, SPAN("openai/m"));
	assert_true(m->n_tiers == 1 && m->price[0].input == 4000000000 &&
		    m->price[0].output == 2000000000 && m->max_output == 8);
	o.cache_write = "much";
	assert_false(catalog_override(c, &o, &err));
	assert_string_equal(err.param, "caching_price");
	catalog_free(c);
}

static int compare_ids(struct span a, struct span b)
{
	int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static bool is_one_of(struct span text, const char *const *words)
{
	while (*words != NULL && !span_is(text, *words))
		words++;
	return *words != NULL;
}

static bool known_and_above(int64_t price, int64_t limit)
{
	return price != LLM_PRICE_UNKNOWN && limit != LLM_PRICE_UNKNOWN && price > limit;
}

static void assert_sane_row(const struct llm_model *m, const struct llm_price *p)
{
	/* A router that adds its own price to that of the model behind it, and a free model. */
	static const char *const free_output[] = {
		"azure/model-router", "cohere/north-mini-code-1-0", NULL};
	struct llm_price row = *p;
	bool other_measure = p->characters > 0 || p->sound_hour > 0 || p->picture > 0;

	if (other_measure && !span_is(m->api, "chat"))
		return;
	if (p->input == LLM_PRICE_UNKNOWN || p->output == LLM_PRICE_UNKNOWN)
		fail_msg("%.*s: input and output have a price", SPAN_ARG(m->id));
	if (p->output == 0 && !span_is(m->api, "embedding") && !is_one_of(m->id, free_output))
		fail_msg("%.*s: output is free", SPAN_ARG(m->id));
	if (known_and_above(p->cache_read, p->input))
		fail_msg("%.*s: cache_read above input", SPAN_ARG(m->id));
	if (known_and_above(p->cache_write_5m, p->cache_write_1h))
		fail_msg("%.*s: cache_write_5m above 1h", SPAN_ARG(m->id));
	for (int i = 0; llm_price_name(i) != NULL; i++)
		if (*llm_price_at(&row, i) > 1000000000000)
			fail_msg("%.*s: %s above 1000 USD a million", SPAN_ARG(m->id),
				llm_price_name(i));
}

/* What stands in catalog/models.json makes sense. */
static void the_embedded_catalogue_is_sane(void **state)
{
	static const char *const apis[] = {
		"chat", "embedding", "image", "speech", "transcription", NULL};
	static const char *const places[] = {"global", "eu", "us", "ap", NULL};
	struct catalog *c = read_ok(catalog_embedded);

	for (int i = 0; i < catalog_count(c); i++) {
		const struct llm_model *m = catalog_at(c, i);

		if (i > 0 && compare_ids(catalog_at(c, i - 1)->id, m->id) >= 0)
			fail_msg("%.*s: not in order, or there twice", SPAN_ARG(m->id));
		if (m->max_output > m->context_window && m->context_window > 0)
			fail_msg("%.*s: max_output above its window", SPAN_ARG(m->id));
		if (m->context_window > 100000000)
			fail_msg("%.*s: a window of %lld", SPAN_ARG(m->id),
				(long long)m->context_window);
		if (!is_one_of(m->api, apis) || !is_one_of(m->geolocation, places))
			fail_msg("%.*s: api or geolocation", SPAN_ARG(m->id));
		if (m->created != 0 && (m->created < 1577836800 || m->created > 1893456000))
			fail_msg("%.*s: released at %lld", SPAN_ARG(m->id), (long long)m->created);
		for (int k = 0; k < m->n_tiers; k++)
			assert_sane_row(m, &m->price[k]);
	}
	assert_true(catalog_count(c) >= 150);
	assert_non_null(catalog_find(c, SPAN("sim/gpt")));
	assert_non_null(catalog_find(c, SPAN("sim/claude")));
	assert_non_null(catalog_find(c, SPAN("sim/echo")));
	catalog_free(c);
}

/* Each provider that people come with has its models here, with windows and abilities. */
static void the_embedded_catalogue_covers_the_providers(void **state)
{
	static const char *const prefixes[] = {"alibaba/", "anthropic/", "azure/", "bedrock/",
		"cohere/", "deepinfra/", "deepseek/", "fireworks/", "google/", "groq/", "minimaxi/",
		"mistral/", "moonshot/", "nebius/", "novita/", "openai/", "perplexity/",
		"scaleway/", "together/", "vertex/", "xai/"};
	struct catalog *c = read_ok(catalog_embedded);

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		int n = 0, windows = 0, able = 0;

		for (int k = 0; k < catalog_count(c); k++) {
			const struct llm_model *m = catalog_at(c, k);
			bool is_chat = span_is(m->api, "chat");

			if (!span_starts(m->id, span_of(prefixes[i])) || !is_chat)
				continue;
			n++;
			windows += m->context_window > 0;
			able += m->can != 0;
		}
		if (n < 3 || windows * 10 < n * 7 || able * 10 < n * 6)
			fail_msg("%s: %d models, %d with windows, %d with abilities", prefixes[i],
				n, windows, able);
	}
	catalog_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_prices_exactly),
		cmocka_unit_test(reads_a_model),
		cmocka_unit_test(regions_fall_back),
		cmocka_unit_test(puts_add_or_replace),
		cmocka_unit_test(refuses_slips_of_the_pen),
		cmocka_unit_test(says_on_which_line),
		cmocka_unit_test(writes_what_it_reads),
		cmocka_unit_test(merges_one_into_another),
		cmocka_unit_test(overrides_take_what_they_name),
		cmocka_unit_test(the_embedded_catalogue_is_sane),
		cmocka_unit_test(the_embedded_catalogue_covers_the_providers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
