/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/loop/loop.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static struct loop *loop;

static int make_loop(void **state)
{
	loop = loop_new(&sys_real, NULL);
	return loop != NULL ? 0 : -1;
}

static int free_loop(void **state)
{
	loop_free(loop);
	return 0;
}

struct probe {
	struct timer t;
	int64_t asked_us, fired_us;
	int *left;
};

static void on_probe(struct timer *t)
{
	struct probe *p = (struct probe *)t;

	p->fired_us = loop_now_us(t->loop);
	if (--*p->left == 0)
		loop_stop(t->loop);
}

static void timers_are_never_early(void **state)
{
	enum { N = 200 };
	struct probe p[N];
	int left = N;

	srand(3);
	for (int i = 0; i < N; i++) {
		int delay_ms = rand() % 300;

		timer_init(&p[i].t, loop, on_probe);
		p[i].left = &left;
		p[i].asked_us = loop_now_us(loop) + delay_ms * 1000;
		timer_start(&p[i].t, delay_ms);
		/* The cached clock of the turn falls behind here. */
		if (i % 20 == 0)
			usleep(2000);
	}
	loop_run(loop);
	for (int i = 0; i < N; i++) {
		assert_true(p[i].fired_us >= p[i].asked_us);
		/* 16 ms by contract; the rest is for a machine busy with something else. */
		assert_true(p[i].fired_us <= p[i].asked_us + 2000000);
		timer_done(&p[i].t);
	}
}

static void on_stop(struct timer *t)
{
	loop_stop(t->loop);
}

static void on_never(struct timer *t)
{
	fail();
}

static void a_stopped_timer_is_silent_and_a_restarted_one_late(void **state)
{
	struct timer stopped, end;
	struct probe p;
	int left = 1;

	timer_init(&stopped, loop, on_never);
	timer_start(&stopped, 5);
	timer_stop(&stopped);
	timer_stop(&stopped);
	assert_int_equal(stopped.due_ms, 0);
	timer_init(&p.t, loop, on_probe);
	p.left = &left;
	timer_start(&p.t, 1);
	p.asked_us = loop_now_us(loop) + 60000;
	timer_start(&p.t, 60);
	timer_init(&end, loop, on_stop);
	timer_start(&end, 5000);
	loop_run(loop);
	assert_true(p.fired_us >= p.asked_us);
	assert_true(end.due_ms > 0);
	timer_done(&end);
	timer_done(&stopped);
	timer_done(&p.t);
}

static void an_idle_loop_has_no_timer_armed(void **state)
{
	struct timer end, t;

	timer_init(&end, loop, on_stop);
	timer_start(&end, 20);
	loop_run(loop);
	assert_int_equal(uv_backend_timeout(&loop->uv), -1);
	timer_init(&t, loop, on_never);
	timer_start(&t, 1000);
	timer_stop(&t);
	timer_start(&end, 600);
	loop_run(loop);
	timer_done(&t);
	assert_true(end.due_ms == 0);
}

struct note {
	struct loop_hook hook;
	struct loop_task task;
	int hooks, tasks;
	bool removes;
};

static void on_hook(struct loop_hook *h)
{
	struct note *n = (struct note *)h;

	n->hooks++;
	if (n->removes)
		loop_hook_remove(h);
}

static void hooks_run_each_turn_until_removed(void **state)
{
	struct note a = {.hook.run = on_hook}, b = {.hook.run = on_hook, .removes = true};
	struct timer end;

	loop_hook_add(loop, &b.hook);
	loop_hook_add(loop, &a.hook);
	timer_init(&end, loop, on_stop);
	timer_start(&end, 10);
	loop_run(loop);
	assert_true(a.hooks >= 2);
	assert_int_equal(b.hooks, 1);
	loop_hook_remove(&a.hook);
}

static int64_t task_ran_us;

static void on_task(struct loop_task *t)
{
	struct note *n = (struct note *)((char *)t - offsetof(struct note, task));

	task_ran_us = loop_now_us(loop);
	if (++n->tasks < 3)
		loop_task_post(loop, t);
	else
		loop_stop(loop);
}

static void on_post(struct timer *t)
{
	struct note *n = (struct note *)((char *)t + sizeof(*t));

	loop_task_post(loop, &n->task);
}

static void tasks_run_soon_and_once(void **state)
{
	struct {
		struct timer t;
		struct note n;
	} x = {.n.tasks = 0};
	struct note cancelled = {.tasks = 0};
	struct timer guard;
	int64_t start_us;

	loop_task_init(&x.n.task, on_task);
	loop_task_init(&cancelled.task, on_task);
	loop_task_post(loop, &cancelled.task);
	loop_task_post(loop, &cancelled.task);
	loop_task_cancel(&cancelled.task);
	loop_task_cancel(&cancelled.task);
	timer_init(&guard, loop, on_stop);
	timer_start(&guard, 10000);
	timer_init(&x.t, loop, on_post);
	timer_start(&x.t, 1);
	start_us = loop_now_us(loop);
	loop_run(loop);
	/* Three posts, none of which waited for the guard to wake the loop. */
	assert_int_equal(x.n.tasks, 3);
	assert_int_equal(cancelled.tasks, 0);
	assert_true(task_ran_us - start_us < 5000000);
	timer_done(&guard);
}

static void on_hook_posts(struct loop_hook *h)
{
	struct note *n = (struct note *)h;

	if (n->hooks++ == 0)
		loop_task_post(loop, &n->task);
}

static void a_task_posted_by_a_hook_keeps_the_loop_awake(void **state)
{
	struct note n = {.hook.run = on_hook_posts, .tasks = 2};
	struct timer guard;

	loop_task_init(&n.task, on_task);
	loop_hook_add(loop, &n.hook);
	timer_init(&guard, loop, on_stop);
	timer_start(&guard, 10000);
	loop_run(loop);
	assert_int_equal(n.tasks, 3);
	assert_true(guard.due_ms > 0);
	timer_done(&guard);
	loop_hook_remove(&n.hook);
}

static int64_t fake_us = 1000000;

static int64_t fake_mono_us(struct sys *sys)
{
	return fake_us;
}

static void on_jump(struct loop_hook *h)
{
	fake_us += 30000000;
}

static void timers_follow_a_clock_that_is_moved_by_hand(void **state)
{
	struct sys sys = sys_real;
	struct loop *l;
	struct loop_hook jump = {.run = on_jump};
	struct timer t, nudge;

	sys.mono_us = fake_mono_us;
	l = loop_new(&sys, NULL);
	assert_non_null(l);
	loop_hook_add(l, &jump);
	timer_init(&nudge, l, on_probe);
	timer_init(&t, l, on_stop);
	timer_start(&t, 45000);
	assert_int_equal(loop_now_ms(l), 1000);
	/* The loop sleeps by real time; something has to wake it. */
	uv_run(&l->uv, UV_RUN_NOWAIT);
	uv_run(&l->uv, UV_RUN_NOWAIT);
	assert_int_equal(t.due_ms, 0);
	loop_hook_remove(&jump);
	loop_free(l);
}

static void sigpipe_is_ignored(void **state)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	assert_int_equal(write(ends[1], "x", 1), -1);
	close(ends[1]);
}

static void scratch_is_kept(void **state)
{
	char *a = loop_scratch(loop, LOOP_SCRATCH_PLAIN);

	assert_non_null(a);
	a[LOOP_READ_BYTES - 1] = 1;
	assert_ptr_equal(loop_scratch(loop, LOOP_SCRATCH_PLAIN), a);
	assert_ptr_not_equal(loop_scratch(loop, LOOP_SCRATCH_CIPHER), a);
}

#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, make_loop, free_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(timers_are_never_early),
		LOOP_TEST(a_stopped_timer_is_silent_and_a_restarted_one_late),
		LOOP_TEST(an_idle_loop_has_no_timer_armed),
		LOOP_TEST(hooks_run_each_turn_until_removed),
		LOOP_TEST(tasks_run_soon_and_once),
		LOOP_TEST(a_task_posted_by_a_hook_keeps_the_loop_awake),
		LOOP_TEST(timers_follow_a_clock_that_is_moved_by_hand),
		LOOP_TEST(sigpipe_is_ignored),
		LOOP_TEST(scratch_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
