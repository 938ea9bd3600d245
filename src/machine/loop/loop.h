/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * loop - one thread's event loop (libuv), its clock, timers, and the end of a turn.
 *
 * Everything that belongs to a loop is touched by its thread alone; the one exception is the
 * mailbox (mailbox.h). A turn is: timers, wake-ups of sockets, then the turn hooks.
 */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>
#include "machine/base/err.h"
#include "machine/base/list.h"
#include "machine/sys/sys.h"

#define LOOP_READ_BYTES 65536

struct loop {
	uv_loop_t uv;
	struct sys *sys;
	uv_prepare_t prepare;
	uv_check_t check;
	struct list hooks;
	char *read_buf; /* LOOP_READ_BYTES; every socket reads into it, one at a time */
	bool stopping;
};

struct loop *loop_new(struct sys *sys, struct err *err);
void loop_run(struct loop *l);  /* until loop_stop */
void loop_stop(struct loop *l); /* from its own thread */
void loop_free(struct loop *l); /* runs what closes; asserts that nothing is left open */

int64_t loop_now_ms(const struct loop *l); /* monotonic, cached once a turn */
int64_t loop_now_us(const struct loop *l); /* monotonic, read now */

/*
 * A turn hook runs after the sockets of a turn and again before the loop sleeps: what a turn
 * collected (journal events, log lines) is written there once.
 */
struct loop_hook {
	struct list node;
	void (*run)(struct loop_hook *h);
};
void loop_hook_add(struct loop *l, struct loop_hook *h);
void loop_hook_remove(struct loop_hook *h);

/* Embedded in its owner. After timer_stop or once fired it is idle; timer_done before freeing. */
struct timer {
	struct list node;
	struct loop *loop;
	int64_t due_ms; /* 0: idle */
	void (*fire)(struct timer *t);
};
/* Lists sorted by wheel slot inside; starting and stopping are O(1) and cost no system call. */
void timer_init(struct timer *t, struct loop *l, void (*fire)(struct timer *t));
void timer_start(struct timer *t, int64_t delay_ms); /* restarts; never earlier than asked, at most 16 ms later */
void timer_stop(struct timer *t);
static inline void timer_done(struct timer *t)
{
	timer_stop(t);
}
