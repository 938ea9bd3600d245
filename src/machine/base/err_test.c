/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/err.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void the_first_reason_stays(void **state)
{
	struct err err = {0};

	assert_false(err_set(&err, ERR_TOO_LARGE, "body of %d bytes", 5));
	err_set(&err, ERR_INTERNAL, NULL);
	err_param(&err, "messages");
	err_param(&err, "model");
	assert_int_equal(err.code, ERR_TOO_LARGE);
	assert_string_equal(err.text, "body of 5 bytes");
	assert_string_equal(err.param, "messages");
	assert_false(err_set(NULL, ERR_INTERNAL, NULL));
}

static void a_cut_text_stays_utf8(void **state)
{
	struct err err = {0};
	char longer[1000];

	for (size_t i = 0; i + 1 < sizeof(longer); i += 2)
		memcpy(longer + i, "\xc3\xa9", 2);
	longer[998] = '\0';
	err_set(&err, ERR_INTERNAL, "x%s", longer);
	assert_int_equal(strlen(err.text) % 2, 1);
	assert_int_equal((unsigned char)err.text[strlen(err.text) - 1], 0xa9);
}

static void every_row_can_be_answered_with(void **state)
{
	for (int i = 1; i < ERR_CODE_COUNT; i++) {
		const struct err_row *row = err_row((enum err_code)i);

		assert_in_range(row->status, 400, 599);
		assert_true(row->text[0] != '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_reason_stays),
		cmocka_unit_test(a_cut_text_stays_utf8),
		cmocka_unit_test(every_row_can_be_answered_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
