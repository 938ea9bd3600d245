/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/journal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "state/ledger/file.h"
#include "state/ledger/test_rows.h"

static void a_row_comes_back_equal(void **state)
{
	struct request_row in = test_row(77), out;
	struct buf b;
	bool final;

	in.cost_nusd = COST_UNKNOWN;
	in.user_id = SPAN("someone");
	buf_init(&b, 1 << 20);
	for (int f = 0; f < 2; f++) {
		buf_clear(&b);
		assert_true(record_write(&in, f, &b));
		assert_true(record_read(buf_span(&b), &out, &final));
		assert_int_equal(final, f);
		assert_memory_equal(&in.usage, &out.usage, sizeof(in.usage));
		assert_int_equal(out.cost_nusd, COST_UNKNOWN);
		assert_int_equal(out.first_token_us, -1);
		assert_true(span_is(out.user_id, "someone"));
		assert_true(span_eq(out.extra, in.extra));
		assert_int_equal(out.title.n, 0);
		assert_true(out.stream);
	}
	buf_done(&b);
}

static void no_prefix_and_no_longer_text_is_a_record(void **state)
{
	struct request_row in = test_row(1), out;
	struct buf b;
	bool final;

	buf_init(&b, 1 << 20);
	record_write(&in, true, &b);
	for (size_t n = 0; n < b.n; n++)
		assert_false(record_read(span_head(buf_span(&b), n), &out, &final));
	buf_append_char(&b, 'x');
	assert_false(record_read(buf_span(&b), &out, &final));
	buf_done(&b);
}

static void a_changed_bit_never_passes_the_frame(void **state)
{
	struct request_row in = test_row(1), out;
	unsigned char head[JOURNAL_HEAD_BYTES];
	struct span payload;
	struct buf b;
	size_t used;
	bool final;

	buf_init(&b, 1 << 20);
	buf_append(&b, span_from("12345678", 8));
	record_write(&in, true, &b);
	journal_write_head(head, span_skip(buf_span(&b), 8), b.n - 8);
	memcpy(b.mem, head, 8);
	assert_int_equal(journal_read_frame(buf_span(&b), &payload, &used), JOURNAL_WHOLE);
	assert_int_equal(used, b.n);
	for (size_t bit = 0; bit < b.n * 8; bit++) {
		b.mem[bit / 8] ^= (char)(1 << (bit % 8));
		assert_int_not_equal(
			journal_read_frame(buf_span(&b), &payload, &used), JOURNAL_WHOLE);
		if (bit >= 64) /* and the reader stands whatever comes */
			record_read(span_skip(buf_span(&b), 8), &out, &final);
		b.mem[bit / 8] ^= (char)(1 << (bit % 8));
	}
	buf_done(&b);
}

static void names_are_read_strictly(void **state)
{
	static const char *const bad[] = {"1-2.journal", "1-2-3-4.journal", "1-2-3.journal.damaged",
		"a-2-3.journal", "-1-2-3.journal", "1-2-.journal", ".journal", "lock", NULL};
	struct journal_name n;

	assert_true(journal_read_name("1795396623004-1-12.journal", &n));
	assert_int_equal(n.epoch, 1795396623004);
	assert_int_equal(n.worker, 1);
	assert_int_equal(n.number, 12);
	for (int i = 0; bad[i] != NULL; i++)
		assert_false(journal_read_name(bad[i], &n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_comes_back_equal),
		cmocka_unit_test(no_prefix_and_no_longer_text_is_a_record),
		cmocka_unit_test(a_changed_bit_never_passes_the_frame),
		cmocka_unit_test(names_are_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
