/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/crypto/hash.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void sha256_follows_fips_180_4(void **state)
{
	static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41,
		0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
		0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
	uint8_t out[HASH_SHA256_BYTES];

	hash_sha256(SPAN("abc"), out);
	assert_memory_equal(out, abc, sizeof(abc));
}

static void crc32c_follows_rfc_3720(void **state)
{
	uint8_t zeros[32] = {0};

	assert_int_equal(hash_crc32c(0, SPAN("123456789")), 0xe3069283u);
	assert_int_equal(hash_crc32c(0, span_from(zeros, 32)), 0x8a9136aau);
	/* In parts it is the same. */
	assert_int_equal(hash_crc32c(hash_crc32c(0, SPAN("12345")), SPAN("6789")), 0xe3069283u);
}

static void compares_and_wipes(void **state)
{
	char a[] = "secret", b[] = "secreT";

	assert_true(hash_eq(a, "secret", 6));
	assert_false(hash_eq(a, b, 6));
	hash_wipe(a, sizeof(a));
	assert_memory_equal(a, "\0\0\0\0\0\0", 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_follows_fips_180_4),
		cmocka_unit_test(crc32c_follows_rfc_3720),
		cmocka_unit_test(compares_and_wipes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
