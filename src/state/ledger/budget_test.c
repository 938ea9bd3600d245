/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/budget.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define NOV_23 1795392000000 /* 2026-11-23T00:00:00Z */
#define NOV_1 1793491200000
#define DEC_1 1796083200000

static const struct id one = {{1, 2, 3}}, two = {{1, 2, 3, [15] = 9}};

static struct budget *fresh(int64_t limit, int64_t spent)
{
	struct err err = {0};
	struct budget *b = budget_new(&err);

	assert_non_null(b);
	assert_true(budget_open(b, &one, NULL, limit, spent, NOV_23, &err));
	return b;
}

static void months_are_calendar_months(void **state)
{
	int64_t next;

	assert_int_equal(budget_month(NOV_23, &next), NOV_1);
	assert_int_equal(next, DEC_1);
	assert_int_equal(budget_month(DEC_1 - 1, &next), NOV_1);
	assert_int_equal(budget_month(DEC_1, &next), DEC_1);
	assert_int_equal(next - DEC_1, 31ll * 86400000);
	assert_int_equal(budget_month(0, &next), 0);
	assert_int_equal(next, 31ll * 86400000);
	budget_month(1709164800000, &next); /* 2024-02-29 */
	assert_int_equal(next, 1709251200000);
}

static void what_is_held_cannot_be_held_twice(void **state)
{
	struct budget *b = fresh(100, 10);
	struct budget_hold first, second;
	struct budget_state s;

	assert_true(budget_hold(b, &one, 1, 60, NOV_23, &first, &s));
	assert_int_equal(s.held, 60);
	assert_false(budget_hold(b, &one, 1, 31, NOV_23, &second, &s));
	assert_int_equal(s.settled, 10);
	assert_int_equal(s.limit, 100);
	assert_int_equal(s.resets_ms, DEC_1);
	assert_false(second.open);
	assert_true(budget_hold(b, &one, 1, 30, NOV_23, &second, &s));
	budget_settle(b, &first, 5);
	s = budget_look(b, &one, NOV_23);
	assert_int_equal(s.settled, 15);
	assert_int_equal(s.held, 30);
	budget_settle(b, &first, 5); /* once */
	assert_int_equal(budget_look(b, &one, NOV_23).settled, 15);
	budget_settle(b, &second, 45); /* more than was held: exact all the same */
	assert_int_equal(budget_look(b, &one, NOV_23).settled, 60);
	assert_int_equal(budget_look(b, &one, NOV_23).held, 0);
	budget_free(b);
}

static void without_a_limit_all_fits_and_counts(void **state)
{
	struct budget *b = fresh(0, 0);
	struct budget_hold h;
	struct budget_state s;

	assert_true(budget_hold(b, &one, 1, INT64_MAX / 4, NOV_23, &h, &s));
	budget_settle(b, &h, 7);
	budget_spend(b, &one, 1, 3, NOV_23);
	assert_int_equal(budget_look(b, &one, NOV_23).settled, 10);
	budget_limit(b, &one, 10);
	assert_false(budget_hold(b, &one, 1, 1, NOV_23, &h, &s));
	assert_true(budget_hold(b, &one, 1, 0, NOV_23, &h, &s));
	budget_limit(b, &one, 5); /* below what is spent already */
	assert_false(budget_hold(b, &one, 1, 1, NOV_23, &h, &s));
	assert_false(budget_hold(b, &two, 1, 1, NOV_23, &h, &s)); /* not open */
	budget_free(b);
}

static void a_new_month_begins_with_nothing_spent(void **state)
{
	struct budget *b = fresh(100, 90);
	struct budget_hold old, h;
	struct budget_state s;

	assert_true(budget_hold(b, &one, 1, 10, NOV_23, &old, &s));
	assert_false(budget_hold(b, &one, 1, 95, DEC_1, &h, &s)); /* 10 are still held */
	assert_int_equal(s.settled, 0);
	assert_true(budget_hold(b, &one, 1, 90, DEC_1, &h, &s));
	budget_settle(b, &old, 10); /* of the month before */
	s = budget_look(b, &one, DEC_1);
	assert_int_equal(s.settled, 0);
	assert_int_equal(s.held, 90);
	budget_free(b);
}

static void many_scopes_come_and_go(void **state)
{
	struct budget *b = fresh(0, 0);
	struct err err = {0};

	for (int i = 0; i < 5000; i++) {
		struct id id = {{7, (uint8_t)(i >> 8), (uint8_t)i, [15] = (uint8_t)(i % 16)}};

		assert_true(budget_open(b, &id, NULL, i + 1, i, NOV_23, &err));
	}
	for (int i = 0; i < 5000; i += 2) {
		struct id id = {{7, (uint8_t)(i >> 8), (uint8_t)i, [15] = (uint8_t)(i % 16)}};

		budget_close(b, &id);
	}
	for (int i = 0; i < 5000; i++) {
		struct id id = {{7, (uint8_t)(i >> 8), (uint8_t)i, [15] = (uint8_t)(i % 16)}};

		assert_int_equal(budget_look(b, &id, NOV_23).limit, i % 2 == 0 ? 0 : i + 1);
	}
	budget_free(b);
}

/* All or none: what one scope refuses is held by no other, and the refusal says which it was. */
static void the_tightest_of_several_decides(void **state)
{
	const struct id both[] = {one, two, {{9}}}; /* the third is not open: it does not count */
	struct budget *b = fresh(100, 0);
	struct err err = {0};
	struct budget_hold h, more;
	struct budget_state s;

	assert_true(budget_open(b, &two, "Group \"x\"", 50, 20, NOV_23, &err));
	s = budget_tightest(b, both, 3, NOV_23);
	assert_string_equal(s.name, "Group \"x\"");
	assert_int_equal(s.limit, 50);
	assert_false(budget_hold(b, both, 3, 31, NOV_23, &h, &s));
	assert_string_equal(s.name, "Group \"x\"");
	assert_int_equal(budget_look(b, &one, NOV_23).held, 0);
	assert_true(budget_hold(b, both, 3, 30, NOV_23, &h, &s));
	assert_int_equal(budget_look(b, &one, NOV_23).held, 30);
	assert_false(budget_hold(b, both, 3, 1, NOV_23, &more, &s));
	budget_settle(b, &h, 25);
	assert_int_equal(budget_look(b, &one, NOV_23).settled, 25);
	assert_int_equal(budget_look(b, &two, NOV_23).settled, 45);
	assert_int_equal(budget_look(b, &two, NOV_23).held, 0);
	budget_spend(b, both, 3, 3, NOV_23);
	assert_int_equal(budget_look(b, &one, NOV_23).settled, 28);
	assert_int_equal(budget_look(b, &two, NOV_23).settled, 48);
	budget_limit(b, &two, 0);
	assert_int_equal(budget_tightest(b, both, 3, NOV_23).limit, 100);
	budget_limit(b, &one, 0);
	assert_int_equal(budget_tightest(b, both, 3, NOV_23).limit, 0);
	assert_int_equal(budget_tightest(b, both + 2, 1, NOV_23).limit, 0);
	budget_close(b, &two);
	budget_free(b);
}

/* L-01's heart: threads take holds of 1 from a budget of K; exactly K get one. */
#define THREADS 8
#define TRIES 2000

struct race {
	struct budget *b;
	int admitted;
};

static void *take(void *arg)
{
	struct race *r = arg;
	struct budget_hold h;
	struct budget_state s;

	for (int i = 0; i < TRIES; i++)
		if (budget_hold(r->b, &one, 1, 10, NOV_23, &h, &s)) {
			assert_true(s.settled + s.held <= s.limit);
			r->admitted++;
			budget_settle(r->b, &h, 10);
		}
	return NULL;
}

static void exactly_so_many_are_admitted(void **state)
{
	static const int wanted[] = {0, 1, 7, 500, 999};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		struct budget *b = fresh(wanted[i] * 10 + 9, 0);
		struct race races[THREADS];
		pthread_t threads[THREADS];
		int admitted = 0;

		for (int t = 0; t < THREADS; t++) {
			races[t] = (struct race){b, 0};
			assert_int_equal(pthread_create(&threads[t], NULL, take, &races[t]), 0);
		}
		for (int t = 0; t < THREADS; t++) {
			pthread_join(threads[t], NULL);
			admitted += races[t].admitted;
		}
		assert_int_equal(admitted, wanted[i]);
		assert_int_equal(budget_look(b, &one, NOV_23).settled, wanted[i] * 10);
		budget_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(months_are_calendar_months),
		cmocka_unit_test(what_is_held_cannot_be_held_twice),
		cmocka_unit_test(without_a_limit_all_fits_and_counts),
		cmocka_unit_test(a_new_month_begins_with_nothing_spent),
		cmocka_unit_test(many_scopes_come_and_go),
		cmocka_unit_test(the_tightest_of_several_decides),
		cmocka_unit_test(exactly_so_many_are_admitted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
