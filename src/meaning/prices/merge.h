/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * merge - a price list against what we hold: what is new, what changes, what is not believed.
 *
 * A list says only so much of a model: what it does not say stays as we hold it. Bounds of sense:
 * prices up to 1000 USD a million tokens, a cached token no dearer than another, windows up to a
 * hundred million tokens, and without `force` no price that becomes more than ten times another.
 * Pure.
 */
#include "meaning/prices/prices.h"

enum prices_outcome {
	PRICES_ADDED,
	PRICES_CHANGED,
	PRICES_REFUSED,
	PRICES_UNCHANGED,
	PRICES_OUTCOME_COUNT
};

struct prices_change {
	enum prices_outcome outcome;
	struct span id;
	const struct llm_model *held; /* NULL: not held */
	struct llm_model made;        /* what it becomes; nothing when refused */
	struct span why;              /* of a refusal */
};

struct prices_merge {
	struct prices_change *v; /* in order of id; those that are unchanged are counted only */
	int n;
	int counts[PRICES_OUTCOME_COUNT];
	struct arena arena;
};

/*
 * `prefix`: nothing but this provider's models; empty: all. `held` and `list` outlive the result,
 * which is done with prices_merge_done, also after a failure.
 */
bool prices_merge(const struct catalog *held, const struct prices_list *list, struct span prefix,
	bool force, struct prices_merge *out, struct err *err);
void prices_merge_done(struct prices_merge *m);

/*
 * Each member in which two models differ, as text; empty: it says nothing. A price of the second
 * row and on has its row in the name: "input above 200000".
 */
typedef void (*prices_on_member)(
	void *user, struct span member, struct span was, struct span becomes);
void prices_diff(const struct llm_model *was, const struct llm_model *becomes,
	prices_on_member on_member, void *user);
