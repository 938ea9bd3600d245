/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* test_provider - what the tests of this folder share: a provider set up, and a call made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "meaning/provider/provider.h"

struct test {
	struct provider_setup setup;
	struct provider_ask ask;
	const char *version, *beta, *script; /* the client's fields */
	struct arena arena;
	struct provider_call call;
	struct err err;
};

static inline struct span test_field(void *user, const char *name)
{
	const struct test *t = user;

	if (strcmp(name, "anthropic-version") == 0)
		return span_of(t->version);
	if (strcmp(name, "anthropic-beta") == 0)
		return span_of(t->beta);
	if (strcmp(name, "x-sim") == 0)
		return span_of(t->script);
	fail_msg("asked for %s", name);
	return SPAN("");
}

static inline struct test test_of(const char *type, const char *base_path, const char *key)
{
	struct test t = {
		.setup = {.type = provider_type_find(span_of(type)), .api_key = span_of(key)},
		.ask = {.base_path = span_of(base_path), .client = test_field}};

	assert_non_null(t.setup.type);
	arena_init(&t.arena, 1 << 16);
	return t;
}

static inline void test_done(struct test *t)
{
	arena_done(&t->arena);
}

static inline bool test_prepare(struct test *t, enum llm_op op, const char *model)
{
	t->ask.op = op;
	t->ask.model = span_of(model);
	t->ask.user = t;
	t->err = (struct err){0};
	return provider_prepare(&t->setup, &t->ask, &t->arena, &t->call, &t->err);
}

static inline void assert_target(
	struct test *t, enum llm_op op, const char *model, const char *target)
{
	assert_true(test_prepare(t, op, model));
	assert_string_equal(t->call.target.p, target);
}

/* NULL: there is none. */
static inline void assert_field(const struct test *t, const char *name, const char *value)
{
	struct span found = {NULL, 0};

	for (int i = 0; i < t->call.n; i++)
		if (span_is(t->call.fields[i].name, name))
			found = t->call.fields[i].value;
	if (value == NULL)
		assert_null(found.p);
	else
		assert_true(span_is(found, value));
}
