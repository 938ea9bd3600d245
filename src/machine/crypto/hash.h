/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * hash - SHA-256, HMAC and CRC-32C, and a compare that takes the same time for every input.
 *
 * None of them takes memory, so none can fail. Any thread.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/span.h"

#define HASH_SHA256_BYTES 32

void hash_sha256(struct span text, uint8_t out[HASH_SHA256_BYTES]);
/* HMAC-SHA-256, RFC 2104. `out` may be the key's own bytes. */
void hash_hmac_sha256(struct span key, struct span text, uint8_t out[HASH_SHA256_BYTES]);
uint32_t hash_crc32c(uint32_t seed, struct span bytes); /* Castagnoli; seed 0 to begin */
uint32_t hash_crc32c_plain(
	uint32_t seed, struct span bytes); /* the same, without the processor's help */
bool hash_eq(const void *a, const void *b, size_t n);
void hash_wipe(void *p, size_t n); /* not removed by the compiler */
