/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/crypto/hash.h"
/*
 * SHA-256 by the library's older calls: they take no memory, look up no provider and so cannot
 * fail, where one EVP digest costs two to seven times as much and may be refused its context. The
 * code beneath is the same. Every request passes here.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/sha.h>

void hash_sha256(struct span text, uint8_t out[HASH_SHA256_BYTES])
{
	SHA256_CTX c;

	SHA256_Init(&c);
	SHA256_Update(&c, text.p, text.n);
	SHA256_Final(out, &c);
	OPENSSL_cleanse(&c, sizeof(c)); /* it holds the last block, which may be a key's end */
}

/* By the calls above for their reason: the library's own HMAC takes memory. */
void hash_hmac_sha256(struct span key, struct span text, uint8_t out[HASH_SHA256_BYTES])
{
	uint8_t pad[SHA256_CBLOCK] = {0}, inner[HASH_SHA256_BYTES];
	SHA256_CTX c;

	if (key.n > sizeof(pad))
		hash_sha256(key, pad);
	else if (key.n > 0)
		memcpy(pad, key.p, key.n);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36;
	SHA256_Init(&c);
	SHA256_Update(&c, pad, sizeof(pad));
	SHA256_Update(&c, text.p, text.n);
	SHA256_Final(inner, &c);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	SHA256_Init(&c);
	SHA256_Update(&c, pad, sizeof(pad));
	SHA256_Update(&c, inner, sizeof(inner));
	SHA256_Final(out, &c);
	OPENSSL_cleanse(pad, sizeof(pad));
	OPENSSL_cleanse(inner, sizeof(inner));
	OPENSSL_cleanse(&c, sizeof(c));
}

bool hash_eq(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

void hash_wipe(void *p, size_t n)
{
	OPENSSL_cleanse(p, n);
}

/* Reflected polynomial 0x82f63b78 of RFC 3720 appendix B.4, four bits a step. */
static const uint32_t crc_rows[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc,
	0x5125dad3, 0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};

uint32_t hash_crc32c_plain(uint32_t seed, struct span bytes)
{
	uint32_t crc = ~seed;

	for (size_t i = 0; i < bytes.n; i++) {
		crc ^= (unsigned char)bytes.p[i];
		crc = crc >> 4 ^ crc_rows[crc & 15];
		crc = crc >> 4 ^ crc_rows[crc & 15];
	}
	return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t seed, struct span bytes)
{
	const char *p = bytes.p;
	size_t n = bytes.n;
	uint64_t wide = ~seed;
	uint32_t crc;

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	while (n-- > 0)
		crc = __builtin_ia32_crc32qi(crc, (unsigned char)*p++);
	return ~crc;
}
#endif

uint32_t hash_crc32c(uint32_t seed, struct span bytes)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return crc_sse42(seed, bytes);
#endif
	return hash_crc32c_plain(seed, bytes);
}
