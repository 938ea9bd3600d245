/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * wheel - the timers of one loop in a hierarchical timing wheel; private to this folder.
 *
 * Four levels of 64 slots; a tick is 8 ms. A timer far away stands in a coarse slot and is moved
 * to a finer one when the coarse slot's time begins, so each timer is touched at most four times.
 * Pure: the caller brings the clock. A bit that says "occupied" may be stale (stopping a timer does
 * not clear it); that costs one needless wake-up and no more.
 */
#include "machine/loop/loop.h"

#define WHEEL_TICK_MS 8
#define WHEEL_LEVELS 4
#define WHEEL_SLOT_BITS 6
#define WHEEL_SLOTS (1 << WHEEL_SLOT_BITS)

struct loop_wheel {
	int64_t tick; /* all ticks up to this one were run */
	uint64_t used[WHEEL_LEVELS];
	struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
	uv_timer_t uv;
	int64_t armed_ms; /* when the uv timer wakes; INT64_MAX: it does not */
};

void wheel_init(struct loop_wheel *w, int64_t now_ms);

/* The timer (in no list) fires at the first tick that is not before due_ms. */
void wheel_add(struct loop_wheel *w, struct timer *t, int64_t now_ms);

/* When wheel_run has something to do next; INT64_MAX: never. */
int64_t wheel_next_ms(const struct loop_wheel *w);

/* Fires what is due. A timer started meanwhile waits at least for the next tick. */
void wheel_run(struct loop_wheel *w, int64_t now_ms);
