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

struct loop_wheel; /* the timers */

/* Memory for one step inside one callback; a sub-step uses the next one. */
enum loop_scratch_use {
	LOOP_SCRATCH_PLAIN,
	LOOP_SCRATCH_GATHER,
	LOOP_SCRATCH_CIPHER,
	LOOP_SCRATCH_COUNT
};

struct loop {
	uv_loop_t uv;
	struct sys *sys;
	uv_prepare_t prepare;
	uv_check_t check;
	uv_idle_t idle; /* active while tasks wait, so that the loop does not sleep */
	struct list hooks, tasks;
	struct loop_wheel *wheel;
	char *read_buf; /* LOOP_READ_BYTES; every socket reads into it, one at a time */
	char *scratch[LOOP_SCRATCH_COUNT]; /* see loop_scratch */
	int closing; /* objects that end by themselves; loop_free waits for them */
	int stuck;   /* work of other threads that nobody can stop; waited for 1 s */
	bool stopping;
};

struct loop *loop_new(struct sys *sys, struct err *err);
void loop_run(struct loop *l);  /* until loop_stop */
void loop_stop(struct loop *l); /* from its own thread */
/*
 * Runs what closes, and asserts that nothing is left open. When another thread is stuck in work for
 * the loop (a question to DNS), the loop's memory is left to it: the process is about to end.
 */
void loop_free(struct loop *l);

int64_t loop_now_ms(const struct loop *l); /* monotonic, cached once a turn */
int64_t loop_now_us(const struct loop *l); /* monotonic, read now */

/* LOOP_READ_BYTES that the loop keeps for this use, or NULL without memory. */
char *loop_scratch(struct loop *l, enum loop_scratch_use use);

/*
 * A task runs once, from the loop: after the sockets of this turn, or before the loop sleeps. It is
 * how a function reports what it must not report from inside itself. Embedded in its owner;
 * posting what is already posted changes nothing; cancelling what is not posted is allowed.
 */
struct loop_task {
	struct list node;
	void (*run)(struct loop_task *t);
};
void loop_task_init(struct loop_task *t, void (*run)(struct loop_task *t));
void loop_task_post(struct loop *l, struct loop_task *t);
void loop_task_cancel(struct loop_task *t);

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
void timer_start(struct timer *t,
	int64_t delay_ms); /* restarts; never earlier than asked, at most 16 ms later */
void timer_stop(struct timer *t);
static inline void timer_done(struct timer *t)
{
	timer_stop(t);
}
