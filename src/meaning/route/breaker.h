/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * breaker - a target that fails again and again is left alone for a while, then tried once.
 *
 * Plain data; the owner locks where it must, and gives the time. Closed: requests pass. After
 * FAILURES failures without a success between them, the first no longer than WINDOW ago, it opens:
 * for PAUSE nothing passes. Then one request may try (half open); its success closes the breaker,
 * its failure, or its silence for TRIAL, opens it again.
 */
#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES 5
#define BREAKER_WINDOW_MS 30000
#define BREAKER_PAUSE_MS 30000
#define BREAKER_TRIAL_MS 60000

struct breaker {
	int failures;
	int64_t first_ms; /* of these failures */
	int64_t until_ms; /* open until then; 0: closed */
	int64_t trial_ms; /* the one that tries began then; 0: nobody tries */
};

/* Whether it would let a request pass. Changes nothing. */
bool breaker_is_open(const struct breaker *b, int64_t now_ms);
/* A request goes to the target: where it is half open, this is the one that tries. */
void breaker_enter(struct breaker *b, int64_t now_ms);
void breaker_success(struct breaker *b);
void breaker_failure(struct breaker *b, int64_t now_ms);
