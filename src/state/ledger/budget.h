/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * budget - what may still be spent, and how fast: limits of money by calendar month, week and day
 * (UTC, weeks from Monday), of requests and tokens a minute, of requests at once; in memory.
 *
 * A request counts for several scopes: its key, and whom the key belongs to. An exchange takes a
 * hold before its provider is called, as much as its answer can cost at most, and settles it when
 * the cost is known. settled + held of a scope is never above its limit, at any instant and from
 * any number of threads: all are changed under one lock, for all scopes or none. What is held when
 * the process dies is in the journal (exchange: the record before dispatch) and counts as spent
 * after the restart. Amounts are nano-USD.
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
 * A scope begins, or its limits change: what it spent, holds and has in flight stays. `name` as a
 * refusal calls it ("The group \"research\""), NULL for keys.
 */
bool budget_open(struct budget *b, const struct id *scope, const char *name,
	const struct limits *limits, int64_t now_ms, struct err *err);
/* Of a scope as stored: named after it, its limits of money where they are enforced. */
bool budget_open_scope(
	struct budget *b, const struct scope_row *r, int64_t now_ms, struct err *err);
void budget_close(
	struct budget *b, const struct id *scope); /* holds that are left settle nowhere */

#define BUDGET_MAX_SCOPES 5
#define BUDGET_MAX_NAME 160

/* ---- money ---- */

struct budget_state {
	enum limit_period period;
	int64_t limit, settled, held; /* limit 0: none */
	int64_t resets_ms;            /* when the period ends */
	char name[BUDGET_MAX_NAME];   /* "": a key */
};
/* Of the month. All 0 for a scope that is not open. */
struct budget_state budget_look(struct budget *b, const struct id *scope, int64_t now_ms);
/* The scope and period with the least room, the first of equals; limit 0: none has a limit. */
struct budget_state budget_tightest(
	struct budget *b, const struct id *scopes, int n, int64_t now_ms);

struct budget_hold {
	struct id scopes[BUDGET_MAX_SCOPES];
	int n;
	int64_t amount;
	int64_t from_ms[PERIOD_COUNT]; /* periods of its admission: later ones are not charged */
	bool open;
};

/* Takes `amount` of all of them, or of none: false, and *state is of one where it does not fit. */
bool budget_hold(struct budget *b, const struct id *scopes, int n, int64_t amount, int64_t now_ms,
	struct budget_hold *out, struct budget_state *state);
/* Ends a hold: `spent` counts instead of it, also when it is more. Once; then it is not open. */
void budget_settle(struct budget *b, struct budget_hold *hold, int64_t spent);
/* Spent without a hold: where no scope had a limit. */
void budget_spend(struct budget *b, const struct id *scopes, int n, int64_t amount, int64_t now_ms);
/*
 * What was settled of a request that began at started_ms was wrong by `nusd` (below 0: too much):
 * in the periods that are still that request's. Never below zero.
 */
void budget_correct(struct budget *b, const struct id *scopes, int n, int64_t nusd,
	int64_t started_ms, int64_t now_ms);
/* Spent in a period before this process began. */
void budget_recall(struct budget *b, enum limit_period p, const struct id *scopes, int n,
	int64_t amount, int64_t now_ms);

struct budget_span {
	int64_t from_ms, to_ms; /* [from, to) */
};
/* The period in which wall_ms lies. */
struct budget_span budget_period(enum limit_period p, int64_t wall_ms);

/* ---- rates ---- */

enum budget_rate_kind { RATE_REQUESTS, RATE_TOKENS, RATE_IN_FLIGHT };

struct budget_rate {
	int64_t limit, remaining; /* limit 0: none */
	int64_t reset_ms;         /* until all of it is there again */
};

struct budget_rates {
	struct budget_rate requests, tokens; /* the tightest of all scopes */
	enum budget_rate_kind refused;       /* when it was: which, whose, and how long to wait */
	int64_t limit, retry_ms;
	char name[BUDGET_MAX_NAME]; /* "": a key */
};

struct budget_pass {
	struct id scopes[BUDGET_MAX_SCOPES];
	int n;
	int64_t tokens;
	bool open; /* false: no scope has a limit of rates */
};

/*
 * One request of about so many tokens comes in: buckets that fill steadily, a minute's limit deep.
 * A request of more tokens than a minute has waits for a full bucket, and leaves it owing. false:
 * not now.
 */
bool budget_admit(struct budget *b, const struct id *scopes, int n, int64_t tokens, int64_t now_ms,
	struct budget_pass *out, struct budget_rates *rates);
/* It is over; `tokens` is what it really was. Once. */
void budget_leave(struct budget *b, struct budget_pass *pass, int64_t tokens, int64_t now_ms);
