/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/crypto/hash.h"
#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

void hash_sha256(struct span text, uint8_t out[HASH_SHA256_BYTES])
{
	unsigned char *done = SHA256((const unsigned char *)text.p, text.n, out);

	assert(done != NULL);
}

bool hash_eq(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

void hash_wipe(void *p, size_t n)
{
	OPENSSL_cleanse(p, n);
}

/* One table row a byte; reflected polynomial of RFC 3720 appendix B.4. */
#define POLYNOMIAL 0x82f63b78u

static uint32_t crc_plain(uint32_t crc, const unsigned char *p, size_t n)
{
	while (n-- > 0) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (POLYNOMIAL & (0u - (crc & 1u)));
	}
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(
	uint32_t crc, const unsigned char *p, size_t n)
{
	uint64_t wide = crc;

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	while (n-- > 0)
		crc = __builtin_ia32_crc32qi(crc, *p++);
	return crc;
}
#endif

uint32_t hash_crc32c(uint32_t seed, struct span bytes)
{
	const unsigned char *p = (const unsigned char *)bytes.p;

#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc_sse42(~seed, p, bytes.n);
#endif
	return ~crc_plain(~seed, p, bytes.n);
}
