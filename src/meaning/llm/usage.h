/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * usage - the counts of one answer in the normal form, whatever the provider calls them.
 *
 * Input classes are disjoint: their sum is the whole input. `output` is everything generated;
 * reasoning and output_audio are parts of it. Never negative. What is charged by another measure
 * than tokens has that one: the length of the sound that was listened to, the characters that were
 * spoken, the pictures that were made.
 */
#include <stdbool.h>
#include <stdint.h>

#define LLM_MAX_COUNT ((int64_t)1 << 40)

struct llm_usage {
	bool present; /* the provider reported it */
	int64_t input_uncached, cache_read, cache_write_5m, cache_write_1h, input_audio;
	int64_t output, reasoning, output_audio;
	int64_t sound_ms, characters, pictures;
};

static inline int64_t llm_usage_input(const struct llm_usage *u)
{
	return u->input_uncached + u->cache_read + u->cache_write_5m + u->cache_write_1h +
	       u->input_audio;
}
