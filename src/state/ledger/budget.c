/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/budget.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS 86400000ll
#define FIRST_SLOTS 64

struct slot {
	struct id scope;
	bool used;
	char *name; /* NULL: a key */
	int64_t limit, settled, held;
	int64_t month_ms, next_ms; /* the month that `settled` counts */
};

struct budget {
	pthread_mutex_t lock;
	struct slot *slots; /* open addressing; a power of two, at most half full */
	size_t n_slots, n;
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

int64_t budget_month(int64_t wall_ms, int64_t *next_ms)
{
	int64_t days = wall_ms / DAY_MS - (wall_ms % DAY_MS < 0), year;
	int month;

	civil(days, &year, &month);
	if (next_ms != NULL)
		*next_ms = DAY_MS * (month == 12 ? days_of(year + 1, 1) : days_of(year, month + 1));
	return days_of(year, month) * DAY_MS;
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

/* A new month begins with nothing spent; what is held stays held until it is settled. */
static void roll(struct slot *s, int64_t now_ms)
{
	if (now_ms < s->next_ms)
		return;
	s->month_ms = budget_month(now_ms, &s->next_ms);
	s->settled = 0;
}

static struct budget_state state_of(const struct slot *s)
{
	struct budget_state state = {s->limit, s->settled, s->held, s->next_ms, ""};

	if (s->name != NULL)
		snprintf(state.name, sizeof(state.name), "%s", s->name);
	return state;
}

/* Written so that nothing overflows: all are at least 0. */
static int64_t room_of(const struct slot *s)
{
	if (s->limit == 0)
		return INT64_MAX;
	return s->settled < s->limit && s->held < s->limit - s->settled
		       ? s->limit - s->settled - s->held
		       : 0;
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

/* ---- what is offered ---- */

bool budget_open(struct budget *b, const struct id *scope, const char *name, int64_t limit_nusd,
	int64_t spent_nusd, int64_t now_ms, struct err *err)
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
		b->n += !s->used;
		if (s->used)
			free(s->name);
		*s = (struct slot){.scope = *scope,
			.used = true,
			.name = copy,
			.limit = limit_nusd,
			.settled = spent_nusd,
			.held = s->used ? s->held : 0};
		s->month_ms = budget_month(now_ms, &s->next_ms);
	} else {
		free(copy);
	}
	pthread_mutex_unlock(&b->lock);
	return ok;
}

bool budget_open_scope(struct budget *b, const struct scope_row *r, int64_t spent_nusd,
	int64_t now_ms, struct err *err)
{
	char name[BUDGET_MAX_NAME];

	snprintf(name, sizeof(name), "The %s \"%s\"", scope_kind_name(r->kind), r->name);
	return budget_open(
		b, &r->id, name, r->enforce ? r->limit_nusd : 0, spent_nusd, now_ms, err);
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

void budget_limit(struct budget *b, const struct id *scope, int64_t limit_nusd)
{
	struct slot *s;

	pthread_mutex_lock(&b->lock);
	s = find(b, scope);
	if (s != NULL)
		s->limit = limit_nusd;
	pthread_mutex_unlock(&b->lock);
}

struct budget_state budget_look(struct budget *b, const struct id *scope, int64_t now_ms)
{
	struct budget_state state = {0};
	struct slot *s;

	pthread_mutex_lock(&b->lock);
	s = find(b, scope);
	if (s != NULL) {
		roll(s, now_ms);
		state = state_of(s);
	}
	pthread_mutex_unlock(&b->lock);
	return state;
}

struct budget_state budget_tightest(
	struct budget *b, const struct id *scopes, int n, int64_t now_ms)
{
	struct budget_state state = {0};
	struct slot *s;

	pthread_mutex_lock(&b->lock);
	s = tightest(b, scopes, n, now_ms);
	if (s != NULL)
		state = state_of(s);
	pthread_mutex_unlock(&b->lock);
	return state;
}

bool budget_hold(struct budget *b, const struct id *scopes, int n, int64_t amount, int64_t now_ms,
	struct budget_hold *out, struct budget_state *state)
{
	struct slot *s;

	*out = (struct budget_hold){.n = n, .amount = amount};
	memcpy(out->scopes, scopes, (size_t)n * sizeof(*scopes));
	*state = (struct budget_state){0};
	pthread_mutex_lock(&b->lock);
	s = tightest(b, scopes, n, now_ms);
	if (s != NULL) {
		out->open = amount <= room_of(s) && (s->limit == 0 || s->settled <= s->limit);
		out->month_ms = s->month_ms;
		for (int i = 0; i < n && out->open; i++) {
			struct slot *each = find(b, &scopes[i]);

			if (each != NULL)
				each->held += amount;
		}
		*state = state_of(s);
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
		if (s->month_ms == hold->month_ms)
			s->settled += spent;
	}
	pthread_mutex_unlock(&b->lock);
}

void budget_spend(struct budget *b, const struct id *scopes, int n, int64_t amount, int64_t now_ms)
{
	pthread_mutex_lock(&b->lock);
	for (int i = 0; i < n; i++) {
		struct slot *s = find(b, &scopes[i]);

		if (s == NULL)
			continue;
		roll(s, now_ms);
		s->settled += amount;
	}
	pthread_mutex_unlock(&b->lock);
}
