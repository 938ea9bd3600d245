/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * plan - a policy for one request: the targets in the order in which they are tried.
 *
 * Pure: the same policy and the same facts give the same order, on every machine and after every
 * restart. Nested policies are put in their member's place. A model that the key may not use is
 * never in the order.
 */
#include "machine/base/arena.h"
#include "meaning/route/policy.h"

#define PLAN_MAX_TARGETS 128

struct plan_ask {
	/* What a request is known by: the first that is not empty chooses among weights. */
	struct span trace_id, user_id, request_id;
	policy_find find; /* of nested policies */
	/* May the key use this model ("provider/model")? */
	bool (*allows)(void *user, struct span model);
	void *user; /* of both */
};

struct plan_target {
	struct span model;
	int retries;
};

struct plan {
	struct plan_target *targets; /* arena */
	int n;
	int n_refused; /* models that were left out because the key may not use them */
};

/* false: no memory. A plan without targets is one whose models are all refused, or drained. */
bool plan_make(
	const struct policy *p, const struct plan_ask *ask, struct arena *a, struct plan *out);
