/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/budget.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS 86400000ll
#define FIRST_SLOTS 64
#define PARTS 60000 /* of a request or token: what comes back in a millisecond is whole */

struct slot {
	struct id scope;
	bool used;
	char *name; /* NULL: a key */
	struct limits limits;
	int64_t held;
	int64_t settled[PERIOD_COUNT];
	struct budget_span span[PERIOD_COUNT]; /* what `settled` counts */
	/* Buckets of requests and tokens, in parts of PARTS, as they were at level_ms. */
	int64_t requests, tokens, level_ms;
	int64_t in_flight;
};

struct budget {
	pthread_mutex_t lock;
	struct slot *slots; /* open addressing; a power of two, at most half full */
	size_t n_slots, n;
	atomic_size_t n_rated; /* slots with a limit of rates: without one nothing is looked up */
};

/* Days since 1970 to year and month: Hinnant, "chrono-compatible low-level date algorithms". */
static void civil(int64_t days, int64_t *year, int *month)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = yoe + era * 400 + (*month <= 2);
}

static int64_t days_of(int64_t year, int month)
{
	int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
	int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

struct budget_span budget_period(enum limit_period p, int64_t wall_ms)
{
	int64_t days = wall_ms / DAY_MS - (wall_ms % DAY_MS < 0), year, monday;
	int month;

	switch (p) {
	case PERIOD_DAY:
		return (struct budget_span){days * DAY_MS, (days + 1) * DAY_MS};
	case PERIOD_WEEK:
		monday = days - ((days + 3) % 7 + 7) % 7; /* 1970 began on a Thursday */
		return (struct budget_span){monday * DAY_MS, (monday + 7) * DAY_MS};
	default:
		civil(days, &year, &month);
		return (struct budget_span){days_of(year, month) * DAY_MS,
			DAY_MS * (month == 12 ? days_of(year + 1, 1) : days_of(year, month + 1))};
	}
}

struct budget *budget_new(struct err *err)
{
	struct budget *b = calloc(1, sizeof(*b));

	if (b != NULL)
		b->slots = calloc(FIRST_SLOTS, sizeof(*b->slots));
	if (b == NULL || b->slots == NULL) {
		free(b);
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	b->n_slots = FIRST_SLOTS;
	pthread_mutex_init(&b->lock, NULL);
	return b;
}

void budget_free(struct budget *b)
{
	if (b == NULL)
		return;
	pthread_mutex_destroy(&b->lock);
	for (size_t i = 0; i < b->n_slots; i++)
		if (b->slots[i].used)
			free(b->slots[i].name);
	free(b->slots);
	free(b);
}

/* ---- the table; all below with the lock held ---- */

/* An id has random bits, but not everywhere: a product carries each of them to the top ones. */
static size_t place_of(const struct id *scope, size_t n_slots)
{
	uint64_t half[2];

	memcpy(half, scope->bytes, sizeof(half));
	half[0] = (half[0] ^ (half[1] << 32 | half[1] >> 32)) * 0x9e3779b97f4a7c15u;
	return (size_t)((half[0] ^ half[0] >> 32) * 0x9e3779b97f4a7c15u >> 32) & (n_slots - 1);
}

/* The scope's slot, or the free one where it would stand. */
static struct slot *probe(struct slot *slots, size_t n_slots, const struct id *scope)
{
	size_t at = place_of(scope, n_slots);

	while (slots[at].used && memcmp(&slots[at].scope, scope, sizeof(*scope)) != 0)
		at = (at + 1) & (n_slots - 1);
	return &slots[at];
}

static struct slot *find(struct budget *b, const struct id *scope)
{
	struct slot *s = probe(b->slots, b->n_slots, scope);

	return s->used ? s : NULL;
}

static bool grow(struct budget *b, struct err *err)
{
	size_t n = b->n_slots * 2;
	struct slot *slots;

	if (b->n * 2 < b->n_slots)
		return true;
	slots = calloc(n, sizeof(*slots));
	if (slots == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	for (size_t i = 0; i < b->n_slots; i++)
		if (b->slots[i].used)
			*probe(slots, n, &b->slots[i].scope) = b->slots[i];
	free(b->slots);
	b->slots = slots;
	b->n_slots = n;
	return true;
}

/* A new period begins with nothing spent; what is held stays held until it is settled. */
static void roll(struct slot *s, int64_t now_ms)
{
	for (int p = 0; p < PERIOD_COUNT; p++) {
		if (now_ms < s->span[p].to_ms)
			continue;
		s->span[p] = budget_period((enum limit_period)p, now_ms);
		s->settled[p] = 0;
	}
}

/* Written so that nothing overflows: all are at least 0. */
static int64_t room_in(const struct slot *s, int p)
{
	int64_t limit = s->limits.nusd[p];

	if (limit == 0)
		return INT64_MAX;
	return s->settled[p] < limit && s->held < limit - s->settled[p]
		       ? limit - s->settled[p] - s->held
		       : 0;
}

/* The period with the least room, the longest of equals. */
static int tightest_period(const struct slot *s)
{
	int least = 0;

	for (int p = 1; p < PERIOD_COUNT; p++)
		if (room_in(s, p) < room_in(s, least))
			least = p;
	return least;
}

static int64_t room_of(const struct slot *s)
{
	return room_in(s, tightest_period(s));
}

static struct budget_state state_of(const struct slot *s, int period)
{
	struct budget_state state = {.period = (enum limit_period)period,
		.limit = s->limits.nusd[period],
		.settled = s->settled[period],
		.held = s->held,
		.resets_ms = s->span[period].to_ms};

	if (s->name != NULL)
		snprintf(state.name, sizeof(state.name), "%s", s->name);
	return state;
}

/* NULL: none of them is open. */
static struct slot *tightest(struct budget *b, const struct id *scopes, int n, int64_t now_ms)
{
	struct slot *least = NULL;

	for (int i = 0; i < n; i++) {
		struct slot *s = find(b, &scopes[i]);

		if (s == NULL)
			continue;
		roll(s, now_ms);
		if (least == NULL || room_of(s) < room_of(least))
			least = s;
	}
	return least;
}

static bool is_rated(const struct limits *l)
{
	return l->requests > 0 || l->tokens > 0 || l->in_flight > 0;
}

/* ---- what is offered ---- */

bool budget_open(struct budget *b, const struct id *scope, const char *name,
	const struct limits *limits, int64_t now_ms, struct err *err)
{
	char *copy = name != NULL ? strdup(name) : NULL;
	struct slot *s;
	bool ok;

	if (name != NULL && copy == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	pthread_mutex_lock(&b->lock);
	ok = grow(b, err);
	if (ok) {
		s = probe(b->slots, b->n_slots, scope);
		if (!s->used) {
			b->n++;
			*s = (struct slot){.scope = *scope, .used = true, .level_ms = now_ms};
			roll(s, now_ms);
		}
		free(s->name);
		s->name = copy;
		b->n_rated += (size_t)is_rated(limits) - (size_t)is_rated(&s->limits);
		/* A bucket that is new, or grows, has its new part at once. */
		s->requests += (limits->requests - s->limits.requests) * PARTS;
		s->tokens += (limits->tokens - s->limits.tokens) * PARTS;
		s->limits = *limits;
	} else {
		free(copy);
	}
	pthread_mutex_unlock(&b->lock);
	return ok;
}

bool budget_open_scope(struct budget *b, const struct scope_row *r, int64_t now_ms, struct err *err)
{
	struct limits limits = r->limits;
	char name[BUDGET_MAX_NAME];

	for (int p = 0; p < PERIOD_COUNT && !r->enforce; p++)
		limits.nusd[p] = 0;
	snprintf(name, sizeof(name), "The %s \"%s\"", scope_kind_name(r->kind), r->name);
	return budget_open(b, &r->id, name, &limits, now_ms, err);
}

/* Slots behind a hole are put again, so that they are still found. */
void budget_close(struct budget *b, const struct id *scope)
{
	struct slot *s;
	size_t at;

	pthread_mutex_lock(&b->lock);
	s = find(b, scope);
	if (s != NULL) {
		free(s->name);
		b->n_rated -= is_rated(&s->limits);
		s->used = false;
		b->n--;
		at = ((size_t)(s - b->slots) + 1) & (b->n_slots - 1);
		while (b->slots[at].used) {
			struct slot moved = b->slots[at];

			b->slots[at].used = false;
			*probe(b->slots, b->n_slots, &moved.scope) = moved;
			at = (at + 1) & (b->n_slots - 1);
		}
	}
	pthread_mutex_unlock(&b->lock);
}

struct budget_state budget_look(struct budget *b, const struct id *scope, int64_t now_ms)
{
	struct budget_state state = {.limit = 0};
	struct slot *s;

	pthread_mutex_lock(&b->lock);
	s = find(b, scope);
	if (s != NULL) {
		roll(s, now_ms);
		state = state_of(s, PERIOD_MONTH);
	}
	pthread_mutex_unlock(&b->lock);
	return state;
}

struct budget_state budget_tightest(
	struct budget *b, const struct id *scopes, int n, int64_t now_ms)
{
	struct budget_state state = {.limit = 0};
	struct slot *s;

	pthread_mutex_lock(&b->lock);
	s = tightest(b, scopes, n, now_ms);
	if (s != NULL)
		state = state_of(s, tightest_period(s));
	pthread_mutex_unlock(&b->lock);
	return state;
}

bool budget_hold(struct budget *b, const struct id *scopes, int n, int64_t amount, int64_t now_ms,
	struct budget_hold *out, struct budget_state *state)
{
	struct slot *s;

	*out = (struct budget_hold){.n = n, .amount = amount};
	memcpy(out->scopes, scopes, (size_t)n * sizeof(*scopes));
	*state = (struct budget_state){.limit = 0};
	pthread_mutex_lock(&b->lock);
	s = tightest(b, scopes, n, now_ms);
	if (s != NULL) {
		int period = tightest_period(s);

		*state = state_of(s, period);
		out->open = amount <= room_of(s) &&
			    (state->limit == 0 || state->settled <= state->limit);
		for (int p = 0; p < PERIOD_COUNT; p++)
			out->from_ms[p] = s->span[p].from_ms;
		for (int i = 0; i < n && out->open; i++) {
			struct slot *each = find(b, &scopes[i]);

			if (each != NULL)
				each->held += amount;
		}
		state->held = s->held;
	}
	pthread_mutex_unlock(&b->lock);
	return out->open;
}

void budget_settle(struct budget *b, struct budget_hold *hold, int64_t spent)
{
	if (!hold->open)
		return;
	hold->open = false;
	pthread_mutex_lock(&b->lock);
	for (int i = 0; i < hold->n; i++) {
		struct slot *s = find(b, &hold->scopes[i]);

		if (s == NULL)
			continue;
		s->held = s->held > hold->amount ? s->held - hold->amount : 0;
		for (int p = 0; p < PERIOD_COUNT; p++)
			if (s->span[p].from_ms == hold->from_ms[p])
				s->settled[p] += spent;
	}
	pthread_mutex_unlock(&b->lock);
}

static void spend(struct budget *b, unsigned periods, const struct id *scopes, int n,
	int64_t amount, int64_t now_ms)
{
	pthread_mutex_lock(&b->lock);
	for (int i = 0; i < n; i++) {
		struct slot *s = find(b, &scopes[i]);

		if (s == NULL)
			continue;
		roll(s, now_ms);
		for (int p = 0; p < PERIOD_COUNT; p++)
			if ((periods >> p & 1) != 0)
				s->settled[p] += amount;
	}
	pthread_mutex_unlock(&b->lock);
}

void budget_spend(struct budget *b, const struct id *scopes, int n, int64_t amount, int64_t now_ms)
{
	spend(b, (1u << PERIOD_COUNT) - 1, scopes, n, amount, now_ms);
}

void budget_correct(struct budget *b, const struct id *scopes, int n, int64_t nusd,
	int64_t started_ms, int64_t now_ms)
{
	pthread_mutex_lock(&b->lock);
	for (int i = 0; i < n; i++) {
		struct slot *s = find(b, &scopes[i]);

		if (s == NULL)
			continue;
		roll(s, now_ms);
		for (int p = 0; p < PERIOD_COUNT; p++) {
			if (started_ms < s->span[p].from_ms || started_ms >= s->span[p].to_ms)
				continue;
			s->settled[p] += nusd;
			if (s->settled[p] < 0)
				s->settled[p] = 0;
		}
	}
	pthread_mutex_unlock(&b->lock);
}

void budget_recall(struct budget *b, enum limit_period p, const struct id *scopes, int n,
	int64_t amount, int64_t now_ms)
{
	spend(b, 1u << p, scopes, n, amount, now_ms);
}

/* ---- rates ---- */

static int64_t fill(int64_t level, int64_t limit, int64_t ms)
{
	int64_t full = limit * PARTS;

	if (limit == 0)
		return 0;
	/* A minute fills an empty one; what is owed can take longer. */
	return level < full && ms < (full - level) / limit + 1 ? level + ms * limit : full;
}

static void refill(struct slot *s, int64_t now_ms)
{
	int64_t ms = now_ms > s->level_ms ? now_ms - s->level_ms : 0;

	s->requests = fill(s->requests, s->limits.requests, ms);
	s->tokens = fill(s->tokens, s->limits.tokens, ms);
	s->level_ms = now_ms;
}

/* How long until `need` is there; 0: it is. More than fits waits for a full bucket. */
static int64_t wait_for(int64_t level, int64_t limit, int64_t need)
{
	if (need > limit)
		need = limit;
	need = need * PARTS - level;
	return limit == 0 || need <= 0 ? 0 : (need + limit - 1) / limit;
}

static bool refuse(struct budget_rates *out, const struct slot *s, enum budget_rate_kind kind,
	int64_t limit, int64_t retry_ms)
{
	out->refused = kind;
	out->limit = limit;
	out->retry_ms = retry_ms;
	snprintf(out->name, sizeof(out->name), "%s", s->name != NULL ? s->name : "");
	return false;
}

static bool fits(const struct slot *s, int64_t tokens, struct budget_rates *out)
{
	const struct limits *l = &s->limits;
	int64_t requests_ms = wait_for(s->requests, l->requests, 1);
	int64_t tokens_ms = wait_for(s->tokens, l->tokens, tokens > 0 ? tokens : 1);

	if (l->in_flight > 0 && s->in_flight >= l->in_flight)
		return refuse(out, s, RATE_IN_FLIGHT, l->in_flight, 1000);
	if (requests_ms > 0 && requests_ms >= tokens_ms)
		return refuse(out, s, RATE_REQUESTS, l->requests, requests_ms);
	return tokens_ms == 0 || refuse(out, s, RATE_TOKENS, l->tokens, tokens_ms);
}

/* The fuller one of two is not worth a word. */
static void note(struct budget_rate *r, int64_t limit, int64_t level)
{
	int64_t left = level > 0 ? level / PARTS : 0;

	if (limit > 0 && (r->limit == 0 || left < r->remaining))
		*r = (struct budget_rate){limit, left, (limit * PARTS - level + limit - 1) / limit};
}

bool budget_admit(struct budget *b, const struct id *scopes, int n, int64_t tokens, int64_t now_ms,
	struct budget_pass *out, struct budget_rates *rates)
{
	bool ok = true;

	out->open = false;
	*rates = (struct budget_rates){.retry_ms = 0};
	if (atomic_load_explicit(&b->n_rated, memory_order_relaxed) == 0)
		return true;
	pthread_mutex_lock(&b->lock);
	for (int i = 0; i < n && ok; i++) {
		struct slot *s = find(b, &scopes[i]);

		if (s == NULL || !is_rated(&s->limits))
			continue;
		refill(s, now_ms);
		ok = fits(s, tokens, rates);
	}
	for (int i = 0; i < n; i++) {
		struct slot *s = find(b, &scopes[i]);

		if (s == NULL || !is_rated(&s->limits))
			continue;
		if (ok) {
			s->in_flight++;
			s->requests -= PARTS;
			s->tokens -= tokens * PARTS;
			out->scopes[out->open ? out->n : 0] = scopes[i];
			out->n = out->open ? out->n + 1 : 1;
			out->open = true;
		}
		note(&rates->requests, s->limits.requests, s->requests);
		note(&rates->tokens, s->limits.tokens, s->tokens);
	}
	pthread_mutex_unlock(&b->lock);
	out->tokens = tokens;
	return ok;
}

void budget_leave(struct budget *b, struct budget_pass *pass, int64_t tokens, int64_t now_ms)
{
	if (!pass->open)
		return;
	pass->open = false;
	pthread_mutex_lock(&b->lock);
	for (int i = 0; i < pass->n; i++) {
		struct slot *s = find(b, &pass->scopes[i]);

		if (s == NULL)
			continue;
		refill(s, now_ms);
		s->in_flight -= s->in_flight > 0;
		s->tokens = fill(s->tokens + (pass->tokens - tokens) * PARTS, s->limits.tokens, 0);
	}
	pthread_mutex_unlock(&b->lock);
}
