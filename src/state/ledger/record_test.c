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

	in.owners = (struct key_owners){{{1}}, {{2}}, {{3}}};
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
		assert_memory_equal(&in.owners, &out.owners, sizeof(in.owners));
		assert_true(span_is(out.user_id, "someone"));
		assert_true(span_eq(out.extra, in.extra));
		assert_int_equal(out.title.n, 0);
		assert_true(out.stream);
	}
	buf_done(&b);
}

/*
 * What journals of older versions hold is read after an update: version 1 lacks the last three of
 * 22 integers, 1 and 2 lack the owners, 1 to 3 what follows those integers, and the last text.
 */
static void write_old(struct span now, int version, size_t tool, struct buf *out)
{
	const size_t ids = 2 + 32, owners = ids + 48, ints = owners + 22 * 8;

	buf_append_char(out, (char)version);
	buf_append(out, span_skip(span_head(now, ids), 1));
	if (version >= 3)
		buf_append(out, span_skip(span_head(now, owners), ids));
	buf_append(out, span_skip(span_head(now, ints - (version == 1 ? 3 * 8 : 0)), owners));
	buf_append(out, span_skip(span_head(now, now.n - 2 - tool), ints + 13 * 8));
}

static void records_of_the_versions_before_are_read(void **state)
{
	struct request_row in = test_row(1), out;
	struct buf now, old;
	bool final;

	in.usage.sound_ms = 7;
	in.owners.group_id = (struct id){{2}};
	in.tool = SPAN("a-tool");
	in.overrun = true;
	buf_init(&now, 1 << 20);
	buf_init(&old, 1 << 20);
	record_write(&in, true, &now);
	assert_true(record_read(buf_span(&now), &out, &final));
	assert_true(span_is(out.tool, "a-tool") && out.overrun);
	for (int version = 1; version <= 3; version++) {
		buf_clear(&old);
		write_old(buf_span(&now), version, in.tool.n, &old);
		assert_true(record_read(buf_span(&old), &out, &final) && final);
		assert_int_equal(out.usage.sound_ms, version == 1 ? 0 : 7);
		assert_int_equal(id_is_none(&out.owners.group_id), version < 3);
		assert_int_equal(out.cost_nusd, in.cost_nusd);
		assert_true(span_eq(out.model_served, in.model_served));
		assert_int_equal(out.price_source, LLM_PRICE_NOWHERE);
		assert_true(out.tool.n == 0 && !out.overrun);
	}
	buf_done(&now);
	buf_done(&old);
}

/* Of version 3, as the program before wrote it: byte by byte, not made from what is written now. */
static void a_record_of_version_3_from_its_bytes(void **state)
{
	static const char texts[] =
		"\4\0chat\7\0sim/gpt\3\0sim\3\0gpt\0\0\0\0\0\0\0\0\0\0\0\0\5\0req_7";
	static const int64_t ints[22] = {1700000000000, 5, -1, 3, 200, 1, 1, 0, 1, 1, 10, 20, 30,
		40, 0, 7, 2, 0, 12345, 0, 0, 0};
	struct request_row out;
	struct buf b;
	bool final;

	buf_init(&b, 4096);
	buf_append(&b, span_from("\3\2", 2));
	for (int i = 0; i < 5 * 16; i++)
		buf_append_char(&b, (char)(i / 16 + 1));
	for (int i = 0; i < 22 * 8; i++)
		buf_append_char(&b, (char)((uint64_t)ints[i / 8] >> (8 * (i % 8))));
	buf_append(&b, span_from(texts, sizeof(texts) - 1));
	assert_true(record_read(buf_span(&b), &out, &final) && final);
	assert_true(out.started_ms == 1700000000000 && out.usage.cache_write_1h == 40);
	assert_true(out.cost_nusd == 12345 && out.basis == BASIS_PROVIDER_FINAL);
	assert_true(span_is(out.upstream_id, "req_7") && out.owners.project_id.bytes[0] == 5);
	assert_int_equal(out.price_source, LLM_PRICE_NOWHERE);
	buf_done(&b);
}

static void the_price_comes_back(void **state)
{
	struct request_row in = test_row(1), out;
	struct buf b;
	bool final;

	in.price_source = LLM_PRICE_CONFIGURED;
	in.price = (struct llm_price){200000, 1, 2, -1, 4, 5, -1, 7, 8, 9, INT64_MAX};
	buf_init(&b, 1 << 20);
	assert_true(record_write(&in, true, &b));
	assert_true(record_read(buf_span(&b), &out, &final));
	assert_int_equal(out.price_source, LLM_PRICE_CONFIGURED);
	assert_memory_equal(&out.price, &in.price, sizeof(in.price));
	in.price.input = -2; /* no writer writes that */
	buf_clear(&b);
	assert_true(record_write(&in, true, &b));
	assert_false(record_read(buf_span(&b), &out, &final));
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

/* All members at their longest fit a frame; what is longer is left out whole, the rest stays. */
static void texts_are_bounded(void **state)
{
	static char text[70000];
	struct request_row in = test_row(1), out;
	struct span *const texts[] = {&in.op, &in.model_asked, &in.provider, &in.model_served,
		&in.user_id, &in.trace_id, &in.tags, &in.extra, &in.referer, &in.title,
		&in.upstream_id, &in.tool};
	struct buf b;
	bool final;

	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		*texts[i] = span_from(text, RECORD_MAX_TEXT_BYTES);
	buf_init(&b, 1 << 20);
	assert_true(record_write(&in, true, &b));
	assert_true(b.n < JOURNAL_MAX_PAYLOAD);
	assert_true(record_read(buf_span(&b), &out, &final));
	assert_true(span_eq(out.extra, in.extra));
	for (size_t n = RECORD_MAX_TEXT_BYTES + 1; n <= sizeof(text); n += 1117) {
		in.extra = span_from(text, n);
		buf_clear(&b);
		assert_true(record_write(&in, true, &b));
		assert_true(record_read(buf_span(&b), &out, &final));
		assert_int_equal(out.extra.n, 0);
		assert_true(span_eq(out.title, in.title));
	}
	buf_done(&b);
}

static void extreme_numbers_come_back(void **state)
{
	struct request_row in = test_row(1), out;
	struct buf b;
	bool final;

	in.started_ms = INT64_MAX;
	in.duration_us = INT64_MAX;
	in.overhead_us = INT64_MIN;
	in.usage.output = INT64_MAX;
	in.cost_nusd = INT64_MAX;
	in.status = 999;
	in.attempts = INT32_MAX;
	in.outcome = OUTCOME_COUNT - 1;
	in.basis = BASIS_COUNT - 1;
	buf_init(&b, 1 << 20);
	assert_true(record_write(&in, true, &b));
	assert_true(record_read(buf_span(&b), &out, &final));
	assert_true(out.started_ms == INT64_MAX && out.duration_us == INT64_MAX &&
		    out.overhead_us == INT64_MIN && out.usage.output == INT64_MAX &&
		    out.cost_nusd == INT64_MAX && out.status == 999 && out.attempts == INT32_MAX);
	assert_int_equal(out.outcome, OUTCOME_COUNT - 1);
	assert_int_equal(out.basis, BASIS_COUNT - 1);
	/* What no writer writes is no record, however sound its sum. */
	in.usage.output = -1;
	buf_clear(&b);
	assert_true(record_write(&in, true, &b));
	assert_false(record_read(buf_span(&b), &out, &final));
	in.usage.output = 1;
	in.outcome = OUTCOME_COUNT;
	buf_clear(&b);
	assert_true(record_write(&in, true, &b));
	assert_false(record_read(buf_span(&b), &out, &final));
	buf_done(&b);
}

/* A buffer that is full takes nothing of a record, and what stood before it is whole. */
static void no_room_is_no_record(void **state)
{
	struct request_row in = test_row(1);
	size_t bytes;
	struct buf b;

	buf_init(&b, 1 << 20);
	assert_true(record_write(&in, true, &b));
	bytes = b.n;
	buf_done(&b);
	for (size_t max = 0; max < bytes; max++) {
		buf_init(&b, max + 4);
		assert_true(buf_append_cstr(&b, "abcd"));
		assert_false(record_write(&in, true, &b));
		assert_int_equal(b.n, 4);
		buf_done(&b);
	}
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
		cmocka_unit_test(records_of_the_versions_before_are_read),
		cmocka_unit_test(a_record_of_version_3_from_its_bytes),
		cmocka_unit_test(the_price_comes_back),
		cmocka_unit_test(no_prefix_and_no_longer_text_is_a_record),
		cmocka_unit_test(texts_are_bounded),
		cmocka_unit_test(extreme_numbers_come_back),
		cmocka_unit_test(no_room_is_no_record),
		cmocka_unit_test(a_changed_bit_never_passes_the_frame),
		cmocka_unit_test(names_are_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
