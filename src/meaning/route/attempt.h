/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * attempt - what follows on an attempt that failed: the same target again, the next one, or the
 * end.
 *
 * Pure: time and chance are given. The client has had nothing yet; once it has, nothing follows.
 */
#include "machine/base/err.h"

enum attempt_next {
	ATTEMPT_AGAIN, /* it may pass: the same target, if it has retries left, else the next */
	ATTEMPT_NEXT,  /* this target will not take it, another may */
	ATTEMPT_OTHER_PROVIDER, /* only a target of another provider may */
	ATTEMPT_STOP            /* none will: it is the caller's doing, or ours */
};

/*
 * By the class of the error. `from_provider`: the words are the provider's; what the gateway
 * refuses by itself (limits, its own load) is refused for every target alike.
 */
enum attempt_next attempt_after(enum err_code code, bool from_provider);

#define ATTEMPT_FIRST_WAIT_MS 500
#define ATTEMPT_MAX_WAIT_MS 4000
#define ATTEMPT_LONG_WAIT_MS 10000 /* a provider that asks for more is left alone */

/*
 * The wait before retry `n` (1 the first): doubling from FIRST to MAX, 10 % more or less by
 * `chance`; after 429 twice that, or what the provider asked for (retry_after_ms, 0: nothing) when
 * that is more. -1: longer than LONG: on to the next target instead.
 */
int attempt_wait_ms(int n, enum err_code code, int64_t retry_after_ms, uint64_t chance);

/* Retry-After (RFC 9110: seconds; a date is not read) or retry-after-ms; 0: says nothing. */
int64_t attempt_retry_after_ms(struct span seconds, struct span milliseconds);
