/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/crypto/hash.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "machine/base/text.h"

static void sha256_follows_fips_180_4(void **state)
{
	static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41,
		0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
		0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
	uint8_t out[HASH_SHA256_BYTES];

	hash_sha256(SPAN("abc"), out);
	assert_memory_equal(out, abc, sizeof(abc));
}

/* Lengths around the block's end, where the padding changes its form. */
static void sha256_is_right_around_a_block(void **state)
{
	static const struct {
		size_t n;
		const char *hex;
	} rows[] = {
		{0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{1, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},
		{55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
		{56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
		{63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
		{64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
		{65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0"},
		{72, "d66304b6180365e47c858f6c84d3da065caf4b3350c9f45277a1af82e3dbb055"},
		{119, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb"},
		{120, "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c"},
		{200, "c2a908d98f5df987ade41b5fce213067efbcc21ef2240212a41e54b5e7c28ae5"},
	};
	char text[200];

	memset(text, 'a', sizeof(text));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t out[HASH_SHA256_BYTES];
		char hex[2 * HASH_SHA256_BYTES + 1] = {0};

		hash_sha256(span_from(text, rows[i].n), out);
		text_hex(hex, out, sizeof(out));
		assert_string_equal(hex, rows[i].hex);
	}
}

static void crc32c_follows_rfc_3720(void **state)
{
	uint8_t zeros[32] = {0};

	assert_int_equal(hash_crc32c(0, SPAN("123456789")), 0xe3069283u);
	assert_int_equal(hash_crc32c(0, span_from(zeros, 32)), 0x8a9136aau);
	/* In parts it is the same. */
	assert_int_equal(hash_crc32c(hash_crc32c(0, SPAN("12345")), SPAN("6789")), 0xe3069283u);
}

static void both_ways_to_a_crc_agree(void **state)
{
	char bytes[257];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 167 + 13);
	assert_int_equal(hash_crc32c_plain(0, SPAN("123456789")), 0xe3069283u);
	for (size_t at = 0; at < 9; at++)
		for (size_t n = 0; at + n <= sizeof(bytes); n++)
			assert_int_equal(hash_crc32c((uint32_t)n, span_from(bytes + at, n)),
				hash_crc32c_plain((uint32_t)n, span_from(bytes + at, n)));
}

static void compares_and_wipes(void **state)
{
	char a[] = "secret", b[] = "secreT";

	assert_true(hash_eq(a, "secret", 6));
	assert_false(hash_eq(a, b, 6));
	hash_wipe(a, sizeof(a));
	assert_memory_equal(a, "\0\0\0\0\0\0", 7);
}

/* RFC 4231, test cases 1, 2 and 6 (a key longer than a block); and no key at all. */
static void hmac_follows_rfc_4231(void **state)
{
	static char long_key[131];
	const struct {
		struct span key, text;
		const char *mac;
	} rows[] = {
		{SPAN("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"
		      "\x0b\x0b"),
			SPAN("Hi There"),
			"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{SPAN("Jefe"), SPAN("what do ya want for nothing?"),
			"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{{long_key, sizeof(long_key)},
			SPAN("Test Using Larger Than Block-Size Key - Hash Key First"),
			"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
		{{NULL, 0}, {NULL, 0},
			"b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
	};

	memset(long_key, 0xaa, sizeof(long_key));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t wanted[HASH_SHA256_BYTES], out[HASH_SHA256_BYTES];

		assert_true(text_unhex(wanted, sizeof(wanted), span_of(rows[i].mac)));
		hash_hmac_sha256(rows[i].key, rows[i].text, out);
		assert_memory_equal(out, wanted, sizeof(out));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_follows_fips_180_4),
		cmocka_unit_test(sha256_is_right_around_a_block),
		cmocka_unit_test(hmac_follows_rfc_4231),
		cmocka_unit_test(crc32c_follows_rfc_3720),
		cmocka_unit_test(both_ways_to_a_crc_agree),
		cmocka_unit_test(compares_and_wipes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
