/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/route/policy.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define MEMBERS(...)                                                                               \
	.members = (struct policy_member[])                                                        \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

static const struct policy *const *known;

static const struct policy *find(void *user, struct span name)
{
	(void)user;
	for (int i = 0; known != NULL && known[i] != NULL; i++)
		if (span_eq(known[i]->name, name))
			return known[i];
	return NULL;
}

static void assert_refused(const struct policy *p, const char *words)
{
	struct err err = {0};

	assert_false(policy_check(p, find, NULL, &err));
	assert_int_equal(err.code, ERR_CONFIG);
	if (strstr(err.text, words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, err.text);
}

static void names(void **state)
{
	static const char *const good[] = {"a", "0", "fast", "eu-1.b_c"};
	static const char *const bad[] = {"", "A", "-a", ".a", "a b", "a/b", "ü", "a\"b"};
	char text[80];

	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(policy_name_is_valid(span_of(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(policy_name_is_valid(span_of(bad[i])));
	assert_true(policy_name_is_valid((struct span){text, POLICY_MAX_NAME}));
	assert_false(policy_name_is_valid((struct span){text, POLICY_MAX_NAME + 1}));
	assert_true(span_is(policy_name_in(SPAN("policy/fast")), "fast"));
	assert_null(policy_name_in(SPAN("openai/policy/fast")).p);
}

static void kinds_are_words(void **state)
{
	enum policy_kind k;

	for (int i = 0; i < POLICY_KINDS; i++) {
		assert_true(policy_kind_read(span_of(policy_kind_name((enum policy_kind)i)), &k));
		assert_int_equal(k, i);
	}
	assert_false(policy_kind_read(SPAN("random"), &k));
}

static void members_have_bounds(void **state)
{
	struct policy p = {.name = SPAN("p"), MEMBERS({SPAN("a/b"), 10, 1}), .n = 1};
	struct err err = {0};

	assert_true(policy_check(&p, find, NULL, &err));
	p.members[0].retries = 11;
	assert_refused(&p, "retries of member \"a/b\" must be 0 to 10");
	p.members[0] = (struct policy_member){SPAN("gpt"), 0, 1};
	assert_refused(&p, "provider/model or policy/name");
	p.members[0] = (struct policy_member){SPAN("a/b"), 0, -1};
	assert_refused(&p, "weight");
	p.members[0] = (struct policy_member){SPAN("a/b"), 0, 0};
	p.kind = POLICY_LOAD_BALANCE;
	assert_refused(&p, "all weights are 0");
	p.n = 0;
	assert_refused(&p, "0 models");
	p.n = POLICY_MAX_MEMBERS + 1;
	assert_refused(&p, "21 models");
	p = (struct policy){.name = SPAN("P"), MEMBERS({SPAN("a/b"), 0, 1}), .n = 1};
	assert_refused(&p, "a policy's name");
}

static void nesting_ends(void **state)
{
	struct policy d = {.name = SPAN("d"), MEMBERS({SPAN("x/y"), 0, 1}), .n = 1};
	struct policy c = {.name = SPAN("c"), MEMBERS({SPAN("x/y"), 0, 1}), .n = 1};
	struct policy b = {.name = SPAN("b"), MEMBERS({SPAN("policy/c"), 0, 1}), .n = 1};
	struct policy a = {
		.name = SPAN("a"), MEMBERS({SPAN("x/y"), 0, 1}, {SPAN("policy/b"), 0, 1}), .n = 2};
	const struct policy *const all[] = {&a, &b, &c, &d, NULL};
	struct err err = {0};

	known = all;
	assert_true(policy_check(&a, find, NULL, &err));
	c.members[0].model = SPAN("policy/d");
	assert_refused(&a, "nested more than 3 deep: a -> b -> c -> d");
	c.members[0].model = SPAN("policy/a");
	assert_refused(&a, "leads back to itself: a -> b -> c -> a");
	c.members[0].model = SPAN("policy/none");
	assert_refused(&a, "there is no policy \"none\"");
	c.members[0].model = SPAN("policy/N O");
	assert_refused(&c, "\"policy/N O\" is no name of a policy");
	b.members[0].retries = 1;
	assert_refused(&b, "its own members have retries");
	known = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(kinds_are_words),
		cmocka_unit_test(members_have_bounds),
		cmocka_unit_test(nesting_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
