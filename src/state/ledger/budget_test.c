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
	assert_true(budget_open(b, &one, NULL, &(struct limits){.nusd = {limit}}, NOV_23, &err));
	budget_recall(b, PERIOD_MONTH, &one, 1, spent, NOV_23);
	return b;
}

static void set(struct budget *b, const struct id *scope, const char *name, struct limits l)
{
	struct err err = {0};

	assert_true(budget_open(b, scope, name, &l, NOV_23, &err));
}

static void assert_period(enum limit_period p, int64_t at, int64_t from, int64_t to)
{
	struct budget_span s = budget_period(p, at);

	assert_int_equal(s.from_ms, from);
	assert_int_equal(s.to_ms, to);
}

static void periods_are_those_of_the_calendar(void **state)
{
	const int64_t day = 86400000;

	assert_period(PERIOD_MONTH, NOV_23, NOV_1, DEC_1);
	assert_period(PERIOD_MONTH, DEC_1 - 1, NOV_1, DEC_1);
	assert_period(PERIOD_MONTH, DEC_1, DEC_1, DEC_1 + 31 * day);
	assert_period(PERIOD_MONTH, 0, 0, 31 * day);
	assert_period(PERIOD_MONTH, 1709164800000, 1706745600000, 1709251200000); /* 2024-02-29 */
	assert_period(PERIOD_WEEK, NOV_23, NOV_23, NOV_23 + 7 * day);             /* a Monday */
	assert_period(PERIOD_WEEK, NOV_23 - 1, NOV_23 - 7 * day, NOV_23);
	assert_period(PERIOD_WEEK, 0, -3 * day, 4 * day);
	assert_period(PERIOD_DAY, NOV_23 + 5, NOV_23, NOV_23 + day);
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
	set(b, &one, NULL, (struct limits){.nusd = {10}});
	assert_false(budget_hold(b, &one, 1, 1, NOV_23, &h, &s));
	assert_true(budget_hold(b, &one, 1, 0, NOV_23, &h, &s));
	set(b, &one, NULL, (struct limits){.nusd = {5}}); /* below what is spent already */
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

	for (int i = 0; i < 5000; i++) {
		struct id id = {{7, (uint8_t)(i >> 8), (uint8_t)i, [15] = (uint8_t)(i % 16)}};

		set(b, &id, NULL, (struct limits){.nusd = {i + 1}});
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
/* In the periods of its request alone, up and down, never below nothing. */
static void a_correction_counts_in_the_periods_of_its_request(void **state)
{
	struct budget *b = fresh(100, 40);

	budget_correct(b, &one, 1, 25, NOV_23, NOV_23);
	assert_int_equal(budget_look(b, &one, NOV_23).settled, 65);
	budget_correct(b, &one, 1, 25, NOV_23 - 40ll * 86400000, NOV_23);
	assert_int_equal(budget_look(b, &one, NOV_23).settled, 65);
	budget_correct(b, &one, 1, -70, NOV_23, NOV_23);
	assert_int_equal(budget_look(b, &one, NOV_23).settled, 0);
	budget_free(b);
}

static void the_tightest_of_several_decides(void **state)
{
	const struct id both[] = {one, two, {{9}}}; /* the third is not open: it does not count */
	struct budget *b = fresh(100, 0);
	struct budget_hold h, more;
	struct budget_state s;

	set(b, &two, "Group \"x\"", (struct limits){.nusd = {50}});
	budget_recall(b, PERIOD_MONTH, &two, 1, 20, NOV_23);
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
	set(b, &two, NULL, (struct limits){.requests = 0});
	assert_int_equal(budget_tightest(b, both, 3, NOV_23).limit, 100);
	set(b, &one, NULL, (struct limits){.requests = 0});
	assert_int_equal(budget_tightest(b, both, 3, NOV_23).limit, 0);
	assert_int_equal(budget_tightest(b, both + 2, 1, NOV_23).limit, 0);
	budget_close(b, &two);
	budget_free(b);
}

static void each_period_has_its_limit(void **state)
{
	struct budget *b = fresh(0, 0);
	struct budget_hold h, more;
	struct budget_state s;
	const int64_t day = 86400000;

	set(b, &one, NULL, (struct limits){.nusd = {100, 50, 20}});
	assert_true(budget_hold(b, &one, 1, 20, NOV_23, &h, &s));
	assert_int_equal(s.period, PERIOD_DAY);
	assert_false(budget_hold(b, &one, 1, 1, NOV_23, &more, &s));
	assert_int_equal(s.resets_ms, NOV_23 + day);
	budget_settle(b, &h, 20);
	budget_spend(b, &one, 1, 20, NOV_23 + day);
	s = budget_tightest(b, &one, 1, NOV_23 + 2 * day);
	assert_int_equal(s.period, PERIOD_WEEK); /* 10 are left of it, 20 of the day */
	assert_int_equal(s.settled, 40);
	assert_int_equal(s.resets_ms, NOV_23 + 7 * day);
	assert_int_equal(budget_look(b, &one, NOV_23 + 2 * day).settled, 40);
	assert_false(budget_hold(b, &one, 1, 11, NOV_23 + 2 * day, &h, &s));
	assert_true(budget_hold(b, &one, 1, 10, NOV_23 + 2 * day, &h, &s));
	budget_settle(b, &h, 10);
	assert_true(budget_hold(b, &one, 1, 20, NOV_23 + 7 * day, &h, &s));
	assert_string_equal(limit_period_name(s.period), "daily");
	budget_free(b);
}

static void rates_fill_steadily(void **state)
{
	struct budget *b = fresh(0, 0);
	struct budget_rates r;
	struct budget_pass p;

	assert_true(budget_admit(b, &one, 1, 1000, NOV_23, &p, &r));
	assert_false(p.open); /* nothing to give back */
	assert_int_equal(r.requests.limit, 0);
	set(b, &one, "The group \"g\"", (struct limits){.requests = 6, .tokens = 600});
	for (int i = 0; i < 6; i++)
		assert_true(budget_admit(b, &one, 1, 10, NOV_23, &p, &r));
	assert_int_equal(r.requests.remaining, 0);
	assert_int_equal(r.requests.reset_ms, 60000);
	assert_int_equal(r.tokens.remaining, 540);
	assert_false(budget_admit(b, &one, 1, 10, NOV_23, &p, &r));
	assert_int_equal(r.refused, RATE_REQUESTS);
	assert_int_equal(r.retry_ms, 10000);
	assert_int_equal(r.limit, 6);
	assert_string_equal(r.name, "The group \"g\"");
	assert_false(budget_admit(b, &one, 1, 10, NOV_23 + 9999, &p, &r));
	assert_true(budget_admit(b, &one, 1, 10, NOV_23 + 10000, &p, &r));
	budget_leave(b, &p, 800, NOV_23 + 10000); /* it was more than a minute has */
	budget_leave(b, &p, 800, NOV_23 + 10000); /* once */
	assert_false(budget_admit(b, &one, 1, 1, NOV_23 + 20000, &p, &r));
	assert_int_equal(r.refused, RATE_TOKENS);
	assert_true(budget_admit(b, &one, 1, 1, NOV_23 + 20000 + r.retry_ms, &p, &r));
	/* After an hour it is full, and no fuller; one that asks for more than that may. */
	assert_true(budget_admit(b, &one, 1, 5000, NOV_23 + 3600000, &p, &r));
	assert_int_equal(r.requests.remaining, 5);
	assert_int_equal(r.tokens.remaining, 0);
	assert_false(budget_admit(b, &one, 1, 1, NOV_23 + 3600000 + 60000, &p, &r));
	budget_close(b, &one);
	budget_free(b);
}

static void so_many_run_at_once(void **state)
{
	const struct id both[] = {one, two};
	struct budget *b = fresh(0, 0);
	struct budget_pass p[4];
	struct budget_rates r;

	set(b, &one, NULL, (struct limits){.in_flight = 3});
	set(b, &two, NULL, (struct limits){.in_flight = 2, .requests = 100});
	assert_true(budget_admit(b, both, 2, 1, NOV_23, &p[0], &r));
	assert_true(budget_admit(b, both, 2, 1, NOV_23, &p[1], &r));
	assert_false(budget_admit(b, both, 2, 1, NOV_23, &p[2], &r));
	assert_int_equal(r.refused, RATE_IN_FLIGHT);
	assert_int_equal(r.limit, 2);
	assert_true(budget_admit(b, both, 1, 1, NOV_23, &p[2], &r)); /* nothing was taken of it */
	assert_false(budget_admit(b, both, 1, 1, NOV_23, &p[3], &r));
	budget_leave(b, &p[0], 1, NOV_23);
	assert_true(budget_admit(b, both, 2, 1, NOV_23, &p[3], &r));
	for (int i = 1; i < 4; i++)
		budget_leave(b, &p[i], 1, NOV_23);
	assert_true(budget_admit(b, both, 2, 1, NOV_23, &p[0], &r));
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
		cmocka_unit_test(periods_are_those_of_the_calendar),
		cmocka_unit_test(what_is_held_cannot_be_held_twice),
		cmocka_unit_test(without_a_limit_all_fits_and_counts),
		cmocka_unit_test(a_new_month_begins_with_nothing_spent),
		cmocka_unit_test(many_scopes_come_and_go),
		cmocka_unit_test(a_correction_counts_in_the_periods_of_its_request),
		cmocka_unit_test(the_tightest_of_several_decides),
		cmocka_unit_test(each_period_has_its_limit),
		cmocka_unit_test(rates_fill_steadily),
		cmocka_unit_test(so_many_run_at_once),
		cmocka_unit_test(exactly_so_many_are_admitted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
