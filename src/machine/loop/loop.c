/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/loop/loop.h"
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include "machine/loop/wheel.h"

#define STUCK_WAIT_MS 1000

/* libuv writes with writev; without this a peer that left would end the process. */
static void ignore_sigpipe(void)
{
	struct sigaction now;

	if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL) {
		now.sa_handler = SIG_IGN;
		sigaction(SIGPIPE, &now, NULL);
	}
}

static int64_t exact_ms(const struct loop *l)
{
	return l->sys->mono_us(l->sys) / 1000;
}

static void arm(struct loop *l, int64_t now_ms);

static void on_uv_timer(uv_timer_t *uv)
{
	struct loop *l = uv->data;
	int64_t now_ms = exact_ms(l);

	l->wheel->armed_ms = INT64_MAX;
	wheel_run(l->wheel, now_ms);
	arm(l, now_ms);
}

/* libuv's own clock may lag behind by part of a turn; waking early is seen and waited out. */
static void arm(struct loop *l, int64_t now_ms)
{
	struct loop_wheel *w = l->wheel;
	int64_t wake_ms = wheel_next_ms(w);

	if (wake_ms >= w->armed_ms)
		return;
	w->armed_ms = wake_ms;
	uv_timer_start(&w->uv, on_uv_timer, wake_ms > now_ms ? (uint64_t)(wake_ms - now_ms) : 0, 0);
}

/* What is posted meanwhile waits for the next round. */
static void run_tasks(struct loop *l)
{
	struct list due, *node;

	if (list_empty(&l->tasks))
		return;
	list_init(&due);
	while ((node = list_take_front(&l->tasks)) != NULL)
		list_add_back(&due, node);
	while ((node = list_take_front(&due)) != NULL) {
		struct loop_task *t = LIST_ITEM(node, struct loop_task, node);

		t->run(t);
	}
}

/* A hook may remove itself and others. */
static void run_hooks(struct loop *l)
{
	struct list due, *node;

	if (list_empty(&l->hooks))
		return;
	list_init(&due);
	while ((node = list_take_front(&l->hooks)) != NULL)
		list_add_back(&due, node);
	while ((node = list_take_front(&due)) != NULL) {
		struct loop_hook *h = LIST_ITEM(node, struct loop_hook, node);

		list_add_back(&l->hooks, node);
		h->run(h);
	}
}

static void on_idle(uv_idle_t *uv)
{
}

/* Before the loop sleeps. */
static void on_prepare(uv_prepare_t *uv)
{
	struct loop *l = uv->data;

	/* A clock that a test moves by hand is not seen by libuv's timer. */
	if (l->sys != &sys_real && wheel_next_ms(l->wheel) <= exact_ms(l))
		on_uv_timer(&l->wheel->uv);
	run_tasks(l);
	run_hooks(l);
	if (list_empty(&l->tasks))
		uv_idle_stop(&l->idle);
	else
		uv_idle_start(&l->idle, on_idle);
}

/* After the sockets. */
static void on_check(uv_check_t *uv)
{
	struct loop *l = uv->data;

	run_tasks(l);
	run_hooks(l);
}

struct loop *loop_new(struct sys *sys, struct err *err)
{
	struct loop *l = calloc(1, sizeof(*l));
	struct loop_wheel *wheel = malloc(sizeof(*wheel));
	char *read_buf = malloc(LOOP_READ_BYTES);
	int status =
		l != NULL && wheel != NULL && read_buf != NULL ? uv_loop_init(&l->uv) : UV_ENOMEM;

	if (status < 0) {
		err_set(err, status == UV_ENOMEM ? ERR_NO_MEMORY : ERR_IO, "event loop: %s",
			uv_strerror(status));
		free(read_buf);
		free(wheel);
		free(l);
		return NULL;
	}
	ignore_sigpipe();
	l->sys = sys;
	l->wheel = wheel;
	l->read_buf = read_buf;
	list_init(&l->hooks);
	list_init(&l->tasks);
	wheel_init(wheel, exact_ms(l));
	uv_prepare_init(&l->uv, &l->prepare);
	uv_check_init(&l->uv, &l->check);
	uv_idle_init(&l->uv, &l->idle);
	uv_timer_init(&l->uv, &wheel->uv);
	l->prepare.data = l->check.data = l->idle.data = wheel->uv.data = l;
	uv_prepare_start(&l->prepare, on_prepare);
	uv_check_start(&l->check, on_check);
	return l;
}

void loop_run(struct loop *l)
{
	while (!l->stopping)
		uv_run(&l->uv, UV_RUN_DEFAULT);
	l->stopping = false;
}

void loop_stop(struct loop *l)
{
	l->stopping = true;
	uv_stop(&l->uv);
}

static void on_waited(struct timer *t)
{
}

/* False: the work goes on, and when it is done it will touch the loop. */
static bool wait_for_stuck(struct loop *l)
{
	struct timer wake;

	timer_init(&wake, l, on_waited);
	timer_start(&wake, STUCK_WAIT_MS);
	while (l->stuck > 0 && wake.due_ms != 0)
		uv_run(&l->uv, UV_RUN_ONCE);
	timer_done(&wake);
	return l->stuck == 0;
}

void loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	while (l->closing > 0 || !list_empty(&l->tasks))
		uv_run(&l->uv, UV_RUN_ONCE);
	if (!wait_for_stuck(l))
		return;
	uv_close((uv_handle_t *)&l->prepare, NULL);
	uv_close((uv_handle_t *)&l->check, NULL);
	uv_close((uv_handle_t *)&l->idle, NULL);
	uv_close((uv_handle_t *)&l->wheel->uv, NULL);
	uv_run(&l->uv, UV_RUN_NOWAIT);
	if (uv_loop_close(&l->uv) != 0) {
		uv_print_all_handles(&l->uv, stderr);
		assert(!"loop_free: something on the loop was left open");
	}
	for (int i = 0; i < LOOP_SCRATCH_COUNT; i++)
		free(l->scratch[i]);
	free(l->read_buf);
	free(l->wheel);
	free(l);
}

int64_t loop_now_ms(const struct loop *l)
{
	/* Both count CLOCK_MONOTONIC; libuv has read it when the turn began. */
	return l->sys == &sys_real ? (int64_t)uv_now(&l->uv) : exact_ms(l);
}

int64_t loop_now_us(const struct loop *l)
{
	return l->sys->mono_us(l->sys);
}

char *loop_scratch(struct loop *l, enum loop_scratch_use use)
{
	if (l->scratch[use] == NULL)
		l->scratch[use] = malloc(LOOP_READ_BYTES);
	return l->scratch[use];
}

void loop_hook_add(struct loop *l, struct loop_hook *h)
{
	list_add_back(&l->hooks, &h->node);
}

void loop_hook_remove(struct loop_hook *h)
{
	list_remove(&h->node);
}

void loop_task_init(struct loop_task *t, void (*run)(struct loop_task *t))
{
	list_init(&t->node);
	t->run = run;
}

void loop_task_post(struct loop *l, struct loop_task *t)
{
	if (list_empty(&t->node))
		list_add_back(&l->tasks, &t->node);
}

void loop_task_cancel(struct loop_task *t)
{
	list_remove(&t->node);
}

void timer_init(struct timer *t, struct loop *l, void (*fire)(struct timer *t))
{
	*t = (struct timer){.loop = l, .fire = fire};
	list_init(&t->node);
}

void timer_start(struct timer *t, int64_t delay_ms)
{
	struct loop *l = t->loop;
	int64_t now_us = l->sys->mono_us(l->sys), now_ms = now_us / 1000;

	if (delay_ms < 0)
		delay_ms = 0;
	if (delay_ms > INT64_MAX / 4)
		delay_ms = INT64_MAX / 4;
	list_remove(&t->node);
	/* The turn's cached clock would be early by the turn's age, this one by a millisecond. */
	t->due_ms = now_ms + delay_ms + (now_us % 1000 != 0);
	wheel_add(l->wheel, t, now_ms);
	arm(l, now_ms);
}

void timer_stop(struct timer *t)
{
	list_remove(&t->node);
	t->due_ms = 0;
}
