/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/route/attempt.h"
#include "machine/base/text.h"

#define MAX_SECONDS 86400

enum attempt_next attempt_after(enum err_code code, bool from_provider)
{
	switch (code) {
	case ERR_UPSTREAM:
	case ERR_UPSTREAM_UNREACHABLE:
	case ERR_UPSTREAM_TIMEOUT:
	case ERR_UPSTREAM_INVALID:
	case ERR_UPSTREAM_INTERRUPTED:
		return ATTEMPT_AGAIN;
	case ERR_RATE_LIMITED:
	case ERR_OVERLOADED:
	case ERR_INTERNAL:
		return from_provider ? ATTEMPT_AGAIN : ATTEMPT_STOP;
	case ERR_UPSTREAM_AUTH:
	case ERR_CONTEXT_LENGTH:
	case ERR_UNSUPPORTED_PARAM:
	case ERR_NO_OPERATION:
	case ERR_MODEL_NOT_FOUND:
	case ERR_NOT_FOUND:
	case ERR_FORBIDDEN:
	case ERR_UNSUPPORTED:
		return ATTEMPT_NEXT;
	case ERR_PAYMENT: /* the provider's account is empty, or our own limit is reached */
		return from_provider ? ATTEMPT_NEXT : ATTEMPT_STOP;
	case ERR_BAD_REQUEST:
	case ERR_TOO_LARGE:
		return from_provider ? ATTEMPT_OTHER_PROVIDER : ATTEMPT_STOP;
	default:
		return ATTEMPT_STOP;
	}
}

int attempt_wait_ms(int n, enum err_code code, int64_t retry_after_ms, uint64_t chance)
{
	int64_t wait = ATTEMPT_FIRST_WAIT_MS;

	for (int i = 1; i < n && wait < ATTEMPT_MAX_WAIT_MS; i++)
		wait *= 2;
	if (wait > ATTEMPT_MAX_WAIT_MS)
		wait = ATTEMPT_MAX_WAIT_MS;
	wait += wait * ((int64_t)(chance % 2001) - 1000) / 10000;
	if (code == ERR_RATE_LIMITED) {
		wait *= 2;
		if (wait < retry_after_ms)
			wait = retry_after_ms;
	}
	return wait > ATTEMPT_LONG_WAIT_MS ? -1 : (int)wait;
}

int64_t attempt_retry_after_ms(struct span seconds, struct span milliseconds)
{
	uint64_t n;

	if (text_u64(milliseconds, &n) && n <= MAX_SECONDS * 1000u)
		return (int64_t)n;
	if (text_u64(seconds, &n))
		return (int64_t)(n <= MAX_SECONDS ? n : MAX_SECONDS) * 1000;
	return 0;
}
