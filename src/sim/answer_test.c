/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/answer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "machine/base/base64.h"
#include "machine/base/text.h"

/* The pieces' JSON strings, without their quotes, one behind the other. */
static void join(const struct answer_text *t, struct buf *out, uint64_t *pieces)
{
	struct answer_cursor c = {0};
	struct buf one;
	uint64_t n;

	buf_init(&one, 1 << 20);
	*pieces = 0;
	for (;;) {
		struct span s;

		buf_clear(&one);
		n = answer_piece(t, &c, &one);
		if (n == 0)
			break;
		s = buf_span(&one);
		assert_true(text_is_utf8(s));
		assert_true(s.n >= n + 2);
		buf_append(out, span_from(s.p + 1, s.n - 2));
		++*pieces;
	}
	assert_int_equal(c.bytes, t->bytes);
	buf_done(&one);
}

static void same_in_pieces(const struct answer_text *t)
{
	struct buf whole, parts;
	struct span s;
	uint64_t n;

	buf_init(&whole, 1 << 20);
	buf_init(&parts, 1 << 20);
	answer_whole(t, &whole);
	join(t, &parts, &n);
	s = buf_span(&whole);
	assert_true(span_eq(span_from(s.p + 1, s.n - 2), buf_span(&parts)));
	assert_true(n == t->pieces || t->fixed.p != NULL || t->bytes == 0);
	buf_done(&whole);
	buf_done(&parts);
}

static void test_tokens(void **state)
{
	assert_int_equal(answer_tokens(0), 1);
	assert_int_equal(answer_tokens(1), 1);
	assert_int_equal(answer_tokens(4), 1);
	assert_int_equal(answer_tokens(5), 2);
}

static void test_hash_differs(void **state)
{
	uint64_t a = answer_hash(0, SPAN("hello world")), b = answer_hash(0, SPAN("hello worle"));

	assert_true(a != b);
	assert_true(a == answer_hash(0, SPAN("hello world")));
	assert_true(answer_hash(0, SPAN("")) != answer_hash(0, (struct span){"\0", 1}));
}

static void test_words(void **state)
{
	struct answer_text t, again;
	struct buf b;

	answer_text_words(&t, 42, 16, 0);
	answer_text_words(&again, 42, 16, 0);
	assert_int_equal(t.pieces, 16);
	assert_int_equal(t.bytes, again.bytes);
	buf_init(&b, 4096);
	answer_whole(&t, &b);
	assert_int_equal(b.n, t.bytes + 2);
	buf_done(&b);
	for (uint64_t pieces = 0; pieces < 200; pieces++) {
		answer_text_words(&t, pieces * 7, 16, pieces);
		same_in_pieces(&t);
	}
}

static void test_bytes(void **state)
{
	for (uint64_t bytes = 1; bytes < 300; bytes++) {
		struct answer_text t;

		answer_text_bytes(&t, 5, bytes, 0);
		assert_int_equal(t.bytes, bytes);
		same_in_pieces(&t);
		answer_text_bytes(&t, 5, bytes, 10);
		same_in_pieces(&t);
	}
}

static void test_fixed(void **state)
{
	static const char *const texts[] = {"", "a", "hello there friend", "  two  blanks  ",
		"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\xf0\x9f\x98\x80 \xe4\xbd\xa0\xe5\xa5\xbd",
		"\"quoted\"\n\tline\\"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		for (uint64_t pieces = 0; pieces < 30; pieces++) {
			struct answer_text t;

			answer_text_fixed(&t, span_of(texts[i]), pieces);
			same_in_pieces(&t);
		}
	}
}

static void test_cap(void **state)
{
	struct answer_text t;

	answer_text_words(&t, 1, 100, 0);
	assert_false(answer_text_cap(&t, 100000));
	assert_true(answer_text_cap(&t, 40));
	assert_int_equal(t.bytes, 40);
	same_in_pieces(&t);
	answer_text_fixed(&t, SPAN("\xf0\x9f\x98\x80\xf0\x9f\x98\x80"), 0);
	assert_true(answer_text_cap(&t, 6));
	assert_int_equal(t.bytes, 4);
	same_in_pieces(&t);
}

static void test_vector(void **state)
{
	struct buf text, packed, raw;
	struct span rest;

	buf_init(&text, 1 << 20);
	buf_init(&packed, 1 << 20);
	buf_init(&raw, 1 << 20);
	answer_vector(9, 257, false, &text);
	answer_vector(9, 257, true, &packed);
	rest = buf_span(&packed);
	assert_true(base64_read(&raw, span_from(rest.p + 1, rest.n - 2)));
	assert_int_equal(raw.n, 4 * 257);
	rest = span_from(buf_span(&text).p + 1, text.n - 2);
	for (int i = 0; i < 257; i++) {
		char number[32] = {0};
		struct span one = span_cut(&rest, ',');
		float f;

		assert_true(one.n > 0 && one.n < sizeof(number));
		memcpy(number, one.p, one.n);
		memcpy(&f, buf_span(&raw).p + 4 * i, 4);
		assert_true(strtof(number, NULL) == f);
	}
	assert_int_equal(rest.n, 0);
	buf_done(&text);
	buf_done(&packed);
	buf_done(&raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_hash_differs),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_fixed),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_vector),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
