/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * health - how the targets of policies did lately. Inside this folder.
 *
 * A worker's own: each learns from its requests alone, without a lock on the path. As many targets
 * as fit are remembered; one that is pushed out by another is as good as new.
 */
#include "machine/base/span.h"
#include "meaning/route/breaker.h"

#define HEALTH_SLOTS 1024

struct health_slot {
	uint64_t target; /* hash of "provider/model"; 0: empty */
	struct breaker breaker;
};

struct health {
	struct health_slot *slots; /* NULL until the first failure */
};

void health_done(struct health *h);
/* Not to be asked now. */
bool health_is_out(const struct health *h, struct span target, int64_t now_ms);
void health_enter(struct health *h, struct span target, int64_t now_ms);
void health_note(struct health *h, struct span target, bool failed, int64_t now_ms);
