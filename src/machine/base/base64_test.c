/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/base64.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void follows_the_vectors_of_rfc_4648(void **state)
{
	static const char *const rows[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
		{"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b;

		buf_init(&b, 64);
		assert_true(base64_write(&b, span_of(rows[i][0])));
		assert_true(span_is(buf_span(&b), rows[i][1]));
		buf_clear(&b);
		assert_true(base64_read(&b, span_of(rows[i][1])));
		assert_true(span_is(buf_span(&b), rows[i][0]));
		buf_done(&b);
	}
}

/* The bytes behind those that were there already. */
static void writes_what_an_address_may_hold(void **state)
{
	struct buf b;

	buf_init(&b, 64);
	buf_append_cstr(&b, "+/=.");
	assert_true(base64url_write(&b, SPAN("\xfb\xff\xfe\xff")));
	assert_true(span_is(buf_span(&b), "+/=.-__-_w"));
	assert_true(base64url_write(&b, SPAN("f")));
	assert_true(span_is(buf_span(&b), "+/=.-__-_wZg"));
	buf_done(&b);
}

static void refuses_what_is_not_canonical(void **state)
{
	static const char *const bad[] = {"Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm 9",
		"Zm9v\n", "Zg==Zg==", "-_==", NULL};

	for (int i = 0; bad[i] != NULL; i++) {
		struct buf b;

		buf_init(&b, 64);
		assert_false(base64_read(&b, span_of(bad[i])));
		assert_int_equal(b.n, 0);
		buf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_the_vectors_of_rfc_4648),
		cmocka_unit_test(writes_what_an_address_may_hold),
		cmocka_unit_test(refuses_what_is_not_canonical),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
