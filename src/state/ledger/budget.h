/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * budget - what may still be spent: limits by calendar month (UTC), counted in memory.
 *
 * An exchange takes a hold before its provider is called, as much as its answer can cost at most,
 * and settles it when the cost is known. settled + held of a scope is never above its limit, at any
 * instant and from any number of threads: both are changed under one lock. What is held when the
 * process dies is in the journal (exchange: the record before dispatch) and counts as spent after
 * the restart. Amounts are nano-USD.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/err.h"
#include "machine/base/id.h"
#include "state/store/store.h"

struct budget;

struct budget *budget_new(struct err *err);
void budget_free(struct budget *b);

/*
 * A scope begins: what it may spend in a month (0: no limit) and has spent in the month of now_ms.
 * `name` as a refusal calls it ("Group \"research\""), NULL for keys. One that is open already
 * keeps what is held.
 */
bool budget_open(struct budget *b, const struct id *scope, const char *name, int64_t limit_nusd,
	int64_t spent_nusd, int64_t now_ms, struct err *err);
/* Of a scope as stored: named after it, its limit where it is enforced. */
bool budget_open_scope(struct budget *b, const struct scope_row *r, int64_t spent_nusd,
	int64_t now_ms, struct err *err);
void budget_close(
	struct budget *b, const struct id *scope); /* holds that are left settle nowhere */
void budget_limit(struct budget *b, const struct id *scope, int64_t limit_nusd);

#define BUDGET_MAX_SCOPES 5
#define BUDGET_MAX_NAME 160

struct budget_state {
	int64_t limit, settled, held; /* limit 0: none */
	int64_t resets_ms;            /* when the month ends */
	char name[BUDGET_MAX_NAME];   /* "": a key */
};
/* All 0 for a scope that is not open. */
struct budget_state budget_look(struct budget *b, const struct id *scope, int64_t now_ms);
/* The scope with the least room, the first of equals; limit 0: none of them has a limit. */
struct budget_state budget_tightest(
	struct budget *b, const struct id *scopes, int n, int64_t now_ms);

struct budget_hold {
	struct id scopes[BUDGET_MAX_SCOPES];
	int n;
	int64_t amount;
	int64_t month_ms; /* of its admission: a later month is not charged */
	bool open;
};

/* Takes `amount` of all of them, or of none: false, and *state is of one where it does not fit. */
bool budget_hold(struct budget *b, const struct id *scopes, int n, int64_t amount, int64_t now_ms,
	struct budget_hold *out, struct budget_state *state);
/* Ends a hold: `spent` counts instead of it, also when it is more. Once; then it is not open. */
void budget_settle(struct budget *b, struct budget_hold *hold, int64_t spent);
/* Spent without a hold: where no scope had a limit. */
void budget_spend(struct budget *b, const struct id *scopes, int n, int64_t amount, int64_t now_ms);

/* The first instant of the month (UTC) of `wall_ms`, and of the next one. */
int64_t budget_month(int64_t wall_ms, int64_t *next_ms);
