/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/health.h"
#include <stdlib.h>

static uint64_t hash_of(struct span s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3u; /* FNV-1a */
	return h != 0 ? h : 1;
}

static struct health_slot *slot_of(const struct health *h, uint64_t target)
{
	return &h->slots[(target ^ target >> 32) % HEALTH_SLOTS];
}

static struct breaker *find(const struct health *h, struct span target)
{
	uint64_t hash;

	if (h->slots == NULL)
		return NULL;
	hash = hash_of(target);
	return slot_of(h, hash)->target == hash ? &slot_of(h, hash)->breaker : NULL;
}

void health_done(struct health *h)
{
	free(h->slots);
	h->slots = NULL;
}

bool health_is_out(const struct health *h, struct span target, int64_t now_ms)
{
	const struct breaker *b = find(h, target);

	return b != NULL && breaker_is_open(b, now_ms);
}

void health_enter(struct health *h, struct span target, int64_t now_ms)
{
	struct breaker *b = find(h, target);

	if (b != NULL)
		breaker_enter(b, now_ms);
}

void health_note(struct health *h, struct span target, bool failed, int64_t now_ms)
{
	struct breaker *b = find(h, target);
	struct health_slot *slot;

	if (b == NULL && !failed)
		return;
	if (b == NULL) {
		if (h->slots == NULL)
			h->slots = calloc(HEALTH_SLOTS, sizeof(*h->slots));
		if (h->slots == NULL)
			return; /* without memory nothing is known of it */
		slot = slot_of(h, hash_of(target));
		*slot = (struct health_slot){.target = hash_of(target)};
		b = &slot->breaker;
	}
	if (failed)
		breaker_failure(b, now_ms);
	else
		breaker_success(b);
}
