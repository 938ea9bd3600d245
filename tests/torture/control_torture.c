/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "control/conf/conf.h"
#include "meaning/prices/merge.h"
#include "torture.h"

static const struct span good = SPAN(
	"listen: 127.0.0.1:4100\n"
	"data_dir: ${TORTURE_DIR:-./data}\n"
	"providers:\n"
	"  openai: {type: openai, api_key: \"${TORTURE_KEY:-x}\"}\n"
	"  local: {type: compatible, base_url: \"http://127.0.0.1:8000/v1\", api_key: y}\n"
	"models:\n"
	"  local/llama: {context_window: 131072, input_price: \"0.10\", output_price: \"0.4\"}\n");

/* All of it or nothing. A text that got no memory may be called too long, at its place. */
static bool read_conf(const void *arg)
{
	struct err err = {0};
	struct conf *c = conf_read(&sys_real, "torture.yaml", good, &err);
	bool is_there = c != NULL;

	if (is_there) {
		assert_string_equal(c->listen, "127.0.0.1:4100");
		assert_string_equal(c->data_dir, "./data");
		assert_int_equal(c->n_providers, 2);
		assert_int_equal(c->n_models, 1);
		assert_string_equal(c->models[0].output_price, "0.4");
	} else {
		assert_true(err.code == ERR_NO_MEMORY || err.code == ERR_CONFIG);
	}
	conf_free(c);
	return is_there;
}

/* A wrong file is refused with or without memory. */
static bool refuse_conf(const void *arg)
{
	struct err err = {0};

	assert_null(conf_read(&sys_real, "torture.yaml",
		SPAN("listen: 127.0.0.1:4100\nworkers: 2\nwrokers: 3\n"), &err));
	if (err.code != ERR_NO_MEMORY)
		assert_int_equal(err.code, ERR_CONFIG);
	return err.code == ERR_CONFIG;
}

static bool show_conf(const void *arg)
{
	struct conf *c;
	struct buf out;
	bool ok;

	torture_pause();
	c = conf_read(&sys_real, "torture.yaml", good, NULL);
	assert_non_null(c);
	torture_resume();
	buf_init(&out, 1 << 20);
	ok = conf_show(c, true, &out);
	buf_clear(&out);
	ok &= conf_template(&out);
	buf_done(&out);
	conf_free(c);
	return ok;
}

static bool read_catalog(const void *arg)
{
	struct catalog *c = catalog_new();
	struct llm_model model = {.id = SPAN("local/llama"), .n_tiers = 1};
	struct err err = {0};
	bool ok = c != NULL && catalog_read(c, catalog_embedded, &err) &&
		  catalog_put(c, &model, &err);

	if (ok) {
		assert_true(catalog_count(c) > 100);
		assert_non_null(catalog_find(c, SPAN("local/llama")));
	} else {
		assert_true(c == NULL || err.code == ERR_NO_MEMORY);
	}
	catalog_free(c);
	return ok;
}

static bool merge_prices(const void *arg)
{
	static const char held_text[] =
		"{\"models\":[{\"id\":\"xai/m\",\"price\":[{\"input\":\"1\","
		"\"output\":\"1\"}]}]}";
	static const char list_text[] =
		"{\"openai\":{\"models\":{\"n\":{\"name\":\"N\",\"cost\":{\"input\":1,\"output\":2}"
		"},"
		"\"bad\":{\"cost\":{\"input\":-1,\"output\":2}}}},"
		"\"xai\":{\"models\":{\"m\":{\"cost\":{\"input\":2,\"output\":2}}}}}";
	struct catalog *held = catalog_new();
	struct prices_list list = {0};
	struct prices_merge merge = {0};
	struct err err = {0};
	struct buf out;
	bool ok = held != NULL && catalog_read(held, span_of(held_text), &err) &&
		  prices_list_read(span_of(list_text), SPAN("2026-11-23"), &list, &err) &&
		  prices_merge(held, &list, SPAN(""), false, &merge, &err);

	buf_init(&out, 65536);
	if (ok) {
		assert_int_equal(merge.n, 3);
		assert_int_equal(merge.counts[PRICES_REFUSED], 1);
		ok = catalog_write(held, &out);
	} else {
		assert_true(held == NULL || err.code == ERR_NO_MEMORY);
	}
	buf_done(&out);
	prices_merge_done(&merge);
	prices_list_done(&list);
	catalog_free(held);
	return ok;
}

static bool merge_catalogs(const void *arg)
{
	struct catalog *a = catalog_new(), *b = catalog_new();
	struct llm_override o = {.id = SPAN("x/y"), .context_window = 7, .max_output = -1};
	struct err err = {0};
	bool ok = a != NULL && b != NULL &&
		  catalog_read(a, SPAN("{\"models\":[{\"id\":\"a/a\"}]}"), &err) &&
		  catalog_read(b, SPAN("{\"models\":[{\"id\":\"a/b\"}]}"), &err) &&
		  catalog_merge(a, b, &err) && catalog_override(a, &o, &err);

	if (ok)
		assert_int_equal(catalog_count(a), 3);
	else
		assert_true(a == NULL || b == NULL || err.code == ERR_NO_MEMORY);
	catalog_free(a);
	catalog_free(b);
	return ok;
}

static void conf_survives(void **state)
{
	unsetenv("TORTURE_DIR");
	unsetenv("TORTURE_KEY");
	torture("conf", read_conf, NULL);
	torture("conf, refused", refuse_conf, NULL);
	torture("conf shown", show_conf, NULL);
}

static void catalog_survives(void **state)
{
	torture("catalog", read_catalog, NULL);
	torture("catalogs", merge_catalogs, NULL);
	torture("prices", merge_prices, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conf_survives),
		cmocka_unit_test(catalog_survives),
	};

	return cmocka_run_group_tests_name("torture/control", tests, NULL, NULL);
}
