/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/route/breaker.h"

bool breaker_is_open(const struct breaker *b, int64_t now_ms)
{
	if (b->until_ms == 0)
		return false;
	if (now_ms < b->until_ms)
		return true;
	return b->trial_ms != 0 && now_ms < b->trial_ms + BREAKER_TRIAL_MS;
}

void breaker_enter(struct breaker *b, int64_t now_ms)
{
	if (b->until_ms != 0 && now_ms >= b->until_ms)
		b->trial_ms = now_ms;
}

void breaker_success(struct breaker *b)
{
	*b = (struct breaker){0};
}

static void open_it(struct breaker *b, int64_t now_ms)
{
	*b = (struct breaker){.until_ms = now_ms + BREAKER_PAUSE_MS};
}

void breaker_failure(struct breaker *b, int64_t now_ms)
{
	if (b->until_ms != 0) {
		/* The trial's; those of requests that were on their way when it opened say nothing
		 * new. */
		if (b->trial_ms != 0)
			open_it(b, now_ms);
		return;
	}
	if (b->failures == 0 || now_ms > b->first_ms + BREAKER_WINDOW_MS) {
		b->failures = 0;
		b->first_ms = now_ms;
	}
	if (++b->failures >= BREAKER_FAILURES)
		open_it(b, now_ms);
}
