/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/route/plan.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MEMBERS(...)                                                                               \
	.members = (struct policy_member[])                                                        \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define REQUESTS 10000

static const struct policy *const *known;
static const char *refused; /* what a refused model begins with */
static struct arena arena;

static const struct policy *find(void *user, struct span name)
{
	for (int i = 0; known != NULL && known[i] != NULL; i++)
		if (span_eq(known[i]->name, name))
			return known[i];
	return NULL;
}

static bool allows(void *user, struct span model)
{
	return refused == NULL || !span_starts(model, span_of(refused));
}

static struct plan plan_for(const struct policy *p, const char *trace, const char *request)
{
	const struct plan_ask ask = {.trace_id = span_of(trace),
		.request_id = span_of(request),
		.find = find,
		.allows = allows};
	struct plan plan;

	arena_done(&arena);
	arena_init(&arena, 1 << 20);
	assert_true(plan_make(p, &ask, &arena, &plan));
	return plan;
}

/* "model*retries model ..." */
static void assert_order(const struct plan *plan, const char *want)
{
	char text[512] = "";

	for (int i = 0, n = 0; i < plan->n; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%.*s*%d", i > 0 ? " " : "",
			SPAN_ARG(plan->targets[i].model), plan->targets[i].retries);
	assert_string_equal(text, want);
}

static void a_fallback_is_its_order(void **state)
{
	struct policy inner = {
		.name = SPAN("inner"), MEMBERS({SPAN("b/1"), 3, 1}, {SPAN("c/1"), 0, 1}), .n = 2};
	struct policy p = {.name = SPAN("p"),
		MEMBERS({SPAN("a/1"), 2, 1}, {SPAN("policy/inner"), 0, 1}, {SPAN("d/1"), 1, 1}),
		.n = 3};
	const struct policy *const all[] = {&inner, NULL};
	struct plan plan;

	known = all;
	plan = plan_for(&p, "", "r");
	assert_order(&plan, "a/1*2 b/1*3 c/1*0 d/1*1");
	refused = "b/";
	plan = plan_for(&p, "", "r");
	assert_order(&plan, "a/1*2 c/1*0 d/1*1");
	assert_int_equal(plan.n_refused, 1);
	known = NULL;
	refused = NULL;
}

static struct policy weighted(int64_t a, int64_t b, int64_t c, struct policy_member out[3])
{
	out[0] = (struct policy_member){SPAN("a/1"), 0, a};
	out[1] = (struct policy_member){SPAN("b/1"), 0, b};
	out[2] = (struct policy_member){SPAN("c/1"), 0, c};
	return (struct policy){
		.name = SPAN("w"), .kind = POLICY_LOAD_BALANCE, .members = out, .n = 3};
}

static int chosen(const struct policy *p, int request)
{
	char id[32];
	struct plan plan;

	snprintf(id, sizeof(id), "req_%d", request);
	plan = plan_for(p, "", id);
	assert_int_equal(plan.n, 1);
	return *plan.targets[0].model.p - 'a';
}

static void weights_are_held(void **state)
{
	static const int64_t weights[][3] = {{50, 25, 25}, {1, 1, 1}, {90, 9, 1}, {0, 3, 1}};

	for (size_t i = 0; i < sizeof(weights) / sizeof(weights[0]); i++) {
		struct policy_member m[3];
		struct policy p = weighted(weights[i][0], weights[i][1], weights[i][2], m);
		int64_t sum = weights[i][0] + weights[i][1] + weights[i][2];
		int seen[3] = {0};

		for (int r = 0; r < REQUESTS; r++)
			seen[chosen(&p, r)]++;
		for (int k = 0; k < 3; k++) {
			double want = (double)weights[i][k] / (double)sum;
			double off = (double)seen[k] / REQUESTS - want;

			if (off > 0.015 || off < -0.015 || (weights[i][k] == 0 && seen[k] > 0))
				fail_msg("member %d: %d of %d", k, seen[k], REQUESTS);
		}
	}
}

/* From 50/25/25 to 60/25/25 moves what the first gains: about 0.545 - 0.5. */
static void a_small_change_moves_little(void **state)
{
	struct policy_member m[3], n[3];
	struct policy p = weighted(50, 25, 25, m), q = weighted(60, 25, 25, n);
	int moved = 0;

	for (int r = 0; r < REQUESTS; r++) {
		int before = chosen(&p, r), after = chosen(&q, r);

		moved += before != after;
		assert_true(before == after || after == 0);
	}
	assert_in_range(moved, REQUESTS * 3 / 100, REQUESTS * 6 / 100);
}

/* Over restarts and machines: these are not to change. */
static void a_trace_stays_where_it_is(void **state)
{
	struct policy_member m[3];
	struct policy p = weighted(1, 1, 1, m);
	char order[9] = "";

	for (int i = 0; i < 8; i++) {
		char trace[16];
		struct plan one, two;

		snprintf(trace, sizeof(trace), "trace-%d", i);
		one = plan_for(&p, trace, "r1");
		order[i] = *one.targets[0].model.p;
		two = plan_for(&p, trace, "r2");
		assert_int_equal(order[i], *two.targets[0].model.p);
	}
	assert_string_equal(order, "bcaacabc");
}

static void others_stand_in_when_told(void **state)
{
	struct policy_member m[3];
	struct policy p = weighted(1, 1, 0, m);
	struct plan plan;

	p.next_on_error = true;
	plan = plan_for(&p, "t", "r");
	assert_int_equal(plan.n, 2);
	assert_false(span_eq(plan.targets[0].model, plan.targets[1].model));
	/* What the key may not use is not chosen at all. */
	p.next_on_error = false;
	refused = "a/";
	for (int r = 0; r < 50; r++)
		assert_int_equal(chosen(&p, r), 1);
	refused = "";
	plan = plan_for(&p, "t", "r");
	assert_int_equal(plan.n, 0);
	assert_int_equal(plan.n_refused, 2);
	refused = NULL;
}

/* Random policies: whatever they are, nothing refused is in the order, and it is bounded. */
static void nothing_refused_is_ever_planned(void **state)
{
	static char names[8][8], models[26][8];
	struct policy_member members[8][POLICY_MAX_MEMBERS];
	struct policy all[8];
	const struct policy *list[9] = {NULL};

	srand(7);
	known = list;
	for (int i = 0; i < 26; i++)
		snprintf(models[i], sizeof(models[i]), "%c/m", 'a' + i);
	for (int round = 0; round < 500; round++) {
		for (int i = 0; i < 8; i++) {
			all[i] = (struct policy){
				.kind = rand() % 2 ? POLICY_FALLBACK : POLICY_LOAD_BALANCE,
				.next_on_error = rand() % 2,
				.members = members[i],
				.n = 1 + rand() % POLICY_MAX_MEMBERS};
			snprintf(names[i], sizeof(names[i]), "p%d", i);
			all[i].name = span_of(names[i]);
			list[i] = &all[i];
			for (int k = 0; k < all[i].n; k++)
				members[i][k] = (struct policy_member){
					rand() % 4 == 0 ? SPAN("policy/p3")
							: span_of(models[rand() % 26]),
					rand() % 3, rand() % 5};
		}
		refused = models[rand() % 26];
		for (int i = 0; i < 8; i++) {
			struct plan plan = plan_for(&all[i], "", names[rand() % 8]);

			assert_in_range(plan.n, 0, PLAN_MAX_TARGETS);
			for (int k = 0; k < plan.n; k++)
				assert_false(span_eq(plan.targets[k].model, span_of(refused)));
		}
	}
	known = NULL;
	refused = NULL;
}

static int end(void **state)
{
	arena_done(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fallback_is_its_order),
		cmocka_unit_test(weights_are_held),
		cmocka_unit_test(a_small_change_moves_little),
		cmocka_unit_test(a_trace_stays_where_it_is),
		cmocka_unit_test(others_stand_in_when_told),
		cmocka_unit_test(nothing_refused_is_ever_planned),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
