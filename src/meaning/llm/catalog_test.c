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

static bool known_and_above(int64_t price, int64_t limit)
{
	return price != LLM_PRICE_UNKNOWN && limit != LLM_PRICE_UNKNOWN && price > limit;
}

/* What stands in catalog/models.json makes sense. */
static void the_embedded_catalogue_is_sane(void **state)
{
	struct catalog *c = read_ok(catalog_embedded);

	for (int i = 0; i < catalog_count(c); i++) {
		const struct llm_model *m = catalog_at(c, i);

		if (m->max_output > m->context_window && m->context_window > 0)
			fail_msg("%.*s: max_output above its window", SPAN_ARG(m->id));
		if (!span_is(m->api, "chat") && !span_is(m->api, "embedding") &&
			!span_is(m->api, "image"))
			fail_msg("%.*s: api", SPAN_ARG(m->id));
		for (int k = 0; k < m->n_tiers; k++) {
			const struct llm_price *p = &m->price[k];

			if (p->input == LLM_PRICE_UNKNOWN || p->output == LLM_PRICE_UNKNOWN)
				fail_msg("%.*s: input and output have a price", SPAN_ARG(m->id));
			if (known_and_above(p->cache_read, p->input))
				fail_msg("%.*s: cache_read above input", SPAN_ARG(m->id));
			if (known_and_above(p->cache_write_5m, p->cache_write_1h))
				fail_msg("%.*s: cache_write_5m above 1h", SPAN_ARG(m->id));
			if (p->input > 1000000000000 || p->output > 1000000000000)
				fail_msg("%.*s: above 1000 USD a million", SPAN_ARG(m->id));
		}
	}
	assert_true(catalog_count(c) >= 150);
	assert_non_null(catalog_find(c, SPAN("sim/gpt")));
	assert_non_null(catalog_find(c, SPAN("sim/claude")));
	assert_non_null(catalog_find(c, SPAN("sim/echo")));
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
		cmocka_unit_test(the_embedded_catalogue_is_sane),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
