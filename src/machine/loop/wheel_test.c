/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/loop/wheel.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct probe {
	struct timer t;
	int64_t asked_ms, fired_ms;
	int fired;
};

static int64_t now_ms;

static void on_fire(struct timer *t)
{
	struct probe *p = (struct probe *)t;

	assert_int_equal(t->due_ms, 0);
	p->fired_ms = now_ms;
	p->fired++;
}

static void add(struct loop_wheel *w, struct probe *p, int64_t delay_ms)
{
	p->t = (struct timer){.fire = on_fire, .due_ms = now_ms + delay_ms};
	list_init(&p->t.node);
	p->asked_ms = p->t.due_ms;
	p->fired = 0;
	wheel_add(w, &p->t, now_ms);
}

/* Follows wheel_next_ms as the loop does, and checks that this alone is enough. */
static void run_until(struct loop_wheel *w, int64_t end_ms)
{
	int64_t next;

	while ((next = wheel_next_ms(w)) <= end_ms) {
		if (next > now_ms)
			now_ms = next;
		wheel_run(w, now_ms);
		assert_true(wheel_next_ms(w) > now_ms - WHEEL_TICK_MS);
	}
	now_ms = end_ms;
	wheel_run(w, now_ms);
}

static void check_fired(const struct probe *p)
{
	assert_int_equal(p->fired, 1);
	assert_true(p->fired_ms >= p->asked_ms);
	assert_true(p->fired_ms < p->asked_ms + 2 * WHEEL_TICK_MS);
}

/* Every delay around the borders of the levels, from every position of the wheel. */
static void fires_on_time_across_levels(void **state)
{
	static const int64_t borders[] = {0, 1, 7, 8, 9, 511, 512, 513, 32767, 32768, 32769,
		2097151, 2097152, 2097160, 134217727, 134217728, 134217800, 400000000};
	struct probe p;

	for (int64_t start = 0; start < 5000; start += 37) {
		for (size_t i = 0; i < sizeof(borders) / sizeof(*borders); i++) {
			struct loop_wheel w;

			now_ms = start;
			wheel_init(&w, now_ms);
			now_ms += start % 11;
			add(&w, &p, borders[i]);
			run_until(&w, now_ms + borders[i] + 100);
			check_fired(&p);
			assert_int_equal(wheel_next_ms(&w), INT64_MAX);
		}
	}
}

static void many_random_timers_fire_once_each(void **state)
{
	enum { N = 5000 };
	struct probe *p = calloc(N, sizeof(*p));
	struct loop_wheel w;
	int64_t start;

	assert_non_null(p);
	srand(7);
	now_ms = start = 123456789;
	wheel_init(&w, now_ms);
	for (int i = 0; i < N; i++) {
		add(&w, &p[i], rand() % (i % 3 == 0 ? 600 : i % 3 == 1 ? 40000 : 3000000));
		if (i % 100 == 0)
			run_until(&w, now_ms + rand() % 50);
	}
	run_until(&w, start + 3200000);
	for (int i = 0; i < N; i++)
		check_fired(&p[i]);
	free(p);
}

/* The loop may be late by any time: a long callback, a suspended machine. */
static void a_late_run_fires_all_that_is_due_in_order(void **state)
{
	struct probe p[4];
	struct loop_wheel w;

	now_ms = 1000;
	wheel_init(&w, now_ms);
	add(&w, &p[0], 10);
	add(&w, &p[1], 700);
	add(&w, &p[2], 50000);
	add(&w, &p[3], 500000);
	now_ms = 100000;
	wheel_run(&w, now_ms);
	assert_int_equal(p[0].fired + p[1].fired + p[2].fired, 3);
	assert_int_equal(p[3].fired, 0);
	run_until(&w, 600000);
	check_fired(&p[3]);
}

static void a_stopped_timer_does_not_fire(void **state)
{
	struct probe p[2];
	struct loop_wheel w;

	now_ms = 0;
	wheel_init(&w, now_ms);
	add(&w, &p[0], 100);
	add(&w, &p[1], 100);
	list_remove(&p[0].t.node);
	run_until(&w, 1000);
	assert_int_equal(p[0].fired, 0);
	check_fired(&p[1]);
}

static struct loop_wheel *again_wheel;
static int again_left;

static void on_again(struct timer *t)
{
	if (--again_left == 0)
		return;
	t->due_ms = now_ms;
	wheel_add(again_wheel, t, now_ms);
}

static void a_timer_started_in_its_callback_waits_for_the_next_tick(void **state)
{
	struct loop_wheel w;
	struct timer t = {.fire = on_again, .due_ms = 50};

	now_ms = 0;
	wheel_init(&w, now_ms);
	again_wheel = &w;
	again_left = 3;
	list_init(&t.node);
	wheel_add(&w, &t, now_ms);
	now_ms = 56;
	wheel_run(&w, now_ms);
	assert_int_equal(again_left, 2);
	now_ms = 64;
	wheel_run(&w, now_ms);
	assert_int_equal(again_left, 1);
	now_ms = 10000;
	wheel_run(&w, now_ms);
	assert_int_equal(again_left, 0);
}

static struct probe *victim;

static void on_kill(struct timer *t)
{
	list_remove(&victim->t.node);
	free(victim);
	victim = NULL;
}

static void a_callback_may_free_another_due_timer(void **state)
{
	struct loop_wheel w;
	struct timer killer = {.fire = on_kill, .due_ms = 20};

	now_ms = 0;
	wheel_init(&w, now_ms);
	list_init(&killer.node);
	wheel_add(&w, &killer, now_ms);
	victim = calloc(1, sizeof(*victim));
	assert_non_null(victim);
	add(&w, victim, 20);
	now_ms = 100;
	wheel_run(&w, now_ms);
	assert_null(victim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fires_on_time_across_levels),
		cmocka_unit_test(many_random_timers_fire_once_each),
		cmocka_unit_test(a_late_run_fires_all_that_is_due_in_order),
		cmocka_unit_test(a_stopped_timer_does_not_fire),
		cmocka_unit_test(a_timer_started_in_its_callback_waits_for_the_next_tick),
		cmocka_unit_test(a_callback_may_free_another_due_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
