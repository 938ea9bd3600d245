/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/bill.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "machine/base/json.h"
#include "sim/last.h"

static uint64_t one(struct bill *b, enum outcome outcome, int64_t in, int64_t out)
{
	struct bill_entry *e = bill_open(b, SPAN("/v1/x"), SPAN("m"), SPAN("sk-12345"));
	uint64_t seq;

	assert_non_null(e);
	assert_string_equal(e->key, "2345");
	seq = e->seq;
	bill_close(b, seq, outcome,
		&(struct bill_cost){.input_tokens = in, .output_tokens = out, .ms = 3});
	return seq;
}

static yyjson_doc *read(struct bill *b, uint64_t since, uint64_t limit)
{
	struct buf out;
	yyjson_doc *doc;
	struct err err = {0};

	buf_init(&out, 64 << 20);
	bill_write(b, since, limit, &out);
	assert_false(out.failed);
	doc = json_read(NULL, buf_span(&out), &err);
	assert_non_null(doc);
	buf_done(&out);
	return doc;
}

static int64_t total(yyjson_doc *doc, const char *name)
{
	int64_t n = -1;

	assert_true(json_get_count(json_get(yyjson_doc_get_root(doc), "totals"), name, &n));
	return n;
}

static void test_totals_and_entries(void **state)
{
	struct bill b;
	yyjson_doc *doc;
	yyjson_val *entries;
	struct span s;

	bill_init(&b);
	one(&b, OUTCOME_COMPLETED, 10, 5);
	one(&b, OUTCOME_CANCELLED, 7, 1);
	bill_open(&b, SPAN("/p"), SPAN("q\"uote"), SPAN(""));
	doc = read(&b, 1, 1000);
	assert_int_equal(total(doc, "input_tokens"), 17);
	assert_int_equal(total(doc, "output_tokens"), 6);
	assert_int_equal(total(doc, "open"), 1);
	assert_int_equal(total(doc, "cancelled"), 1);
	entries = json_get(yyjson_doc_get_root(doc), "entries");
	assert_int_equal(yyjson_arr_size(entries), 2);
	assert_true(json_get_str(yyjson_arr_get(entries, 0), "outcome", &s));
	assert_true(span_is(s, "cancelled"));
	assert_true(json_get_str(yyjson_arr_get(entries, 1), "model", &s));
	assert_true(span_is(s, "q\"uote"));
	json_free(doc);
	bill_done(&b);
}

static void test_reset_keeps_what_is_open(void **state)
{
	struct bill b;
	uint64_t open;
	yyjson_doc *doc;

	bill_init(&b);
	one(&b, OUTCOME_COMPLETED, 10, 5);
	open = bill_open(&b, SPAN("/p"), SPAN("m"), SPAN("k"))->seq;
	bill_reset(&b);
	assert_null(bill_find(&b, open));
	bill_close(&b, open, OUTCOME_COMPLETED, &(struct bill_cost){.input_tokens = 3});
	doc = read(&b, 0, 1000);
	assert_int_equal(total(doc, "input_tokens"), 3);
	assert_int_equal(total(doc, "open"), 0);
	assert_int_equal(yyjson_arr_size(json_get(yyjson_doc_get_root(doc), "entries")), 0);
	json_free(doc);
	assert_true(one(&b, OUTCOME_COMPLETED, 1, 1) > open);
	bill_done(&b);
}

static void test_ring_wraps(void **state)
{
	struct bill b;
	yyjson_doc *doc;
	yyjson_val *entries;
	int64_t seq;

	bill_init(&b);
	for (int i = 0; i < BILL_MAX_ENTRIES + 100; i++)
		one(&b, OUTCOME_COMPLETED, 1, 2);
	assert_int_equal(b.n_ring, BILL_MAX_ENTRIES);
	assert_null(bill_find(&b, 100));
	assert_non_null(bill_find(&b, 101));
	doc = read(&b, 0, 5);
	assert_int_equal(total(doc, "output_tokens"), 2 * (BILL_MAX_ENTRIES + 100));
	entries = json_get(yyjson_doc_get_root(doc), "entries");
	assert_int_equal(yyjson_arr_size(entries), 5);
	assert_true(json_get_count(yyjson_arr_get(entries, 0), "seq", &seq));
	assert_int_equal(seq, 101);
	json_free(doc);
	bill_done(&b);
}

static void test_last_keeps_sixteen(void **state)
{
	struct last l;
	struct buf out;
	yyjson_doc *doc;
	yyjson_val *list;
	struct span s;
	int64_t n;

	last_init(&l);
	for (uint64_t i = 1; i <= 20; i++)
		last_keep(&l, i, SPAN("POST / HTTP/1.1\r\n\r\n"),
			i == 20 ? SPAN("\xff") : SPAN("{\"a\":1}"));
	buf_init(&out, 1 << 20);
	last_write(&l, 100, &out);
	doc = json_read(NULL, buf_span(&out), NULL);
	assert_non_null(doc);
	list = json_get(yyjson_doc_get_root(doc), "requests");
	assert_int_equal(yyjson_arr_size(list), LAST_REQUESTS);
	assert_true(json_get_count(yyjson_arr_get(list, 0), "seq", &n));
	assert_int_equal(n, 5);
	assert_true(json_get_str(yyjson_arr_get(list, 0), "body", &s));
	assert_true(span_is(s, "{\"a\":1}"));
	assert_true(json_get_str(yyjson_arr_get(list, 15), "body_base64", &s));
	assert_true(span_is(s, "/w=="));
	json_free(doc);
	buf_done(&out);
	last_done(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_totals_and_entries),
		cmocka_unit_test(test_reset_keeps_what_is_open),
		cmocka_unit_test(test_ring_wraps),
		cmocka_unit_test(test_last_keeps_sixteen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
