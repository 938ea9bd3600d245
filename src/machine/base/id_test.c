/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/id.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void order_is_time(void **state)
{
	const uint8_t zeros[10] = {0},
		      ones[10] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
	struct id a, b;
	char ta[ID_REQUEST_CHARS + 1], tb[ID_REQUEST_CHARS + 1];

	id_make(&a, 1000, ones);
	id_make(&b, 1001, zeros);
	assert_true(memcmp(a.bytes, b.bytes, 16) < 0);
	id_write_request(&a, ta);
	id_write_request(&b, tb);
	assert_true(strcmp(ta, tb) < 0);
}

static void texts_read_back(void **state)
{
	const uint8_t random[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
	char uuid[ID_UUID_CHARS + 1], request[ID_REQUEST_CHARS + 1];
	struct id a, b;

	id_make(&a, 1795396623004, random);
	id_write_uuid(&a, uuid);
	assert_int_equal(uuid[14], '7');
	assert_true(id_read_uuid(span_of(uuid), &b));
	assert_memory_equal(&a, &b, sizeof(a));
	id_write_request(&a, request);
	memset(&b, 0, sizeof(b));
	assert_true(id_read_request(span_of(request), &b));
	assert_memory_equal(&a, &b, sizeof(a));
	assert_false(id_read_uuid(SPAN("0192-"), &b));
	uuid[8] = 'x';
	assert_false(id_read_uuid(span_of(uuid), &b));
	request[4] = 'z';
	assert_false(id_read_request(span_of(request), &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_is_time),
		cmocka_unit_test(texts_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
