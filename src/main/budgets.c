/* SPDX-License-Identifier: Apache-2.0 */
#include "main/budgets.h"
#include <pthread.h>
#include "machine/base/list.h"

struct load {
	struct ingest_job job;
	struct budget *budget;
	enum limit_period period; /* whose spendings are read */
	int64_t now_ms;
	bool ok, done;
	struct err err;
	pthread_mutex_t lock;
	pthread_cond_t ready;
};

static bool open_key(void *user, const struct key_row *k)
{
	struct load *l = user;

	l->ok = budget_open(l->budget, &k->id, NULL, &k->limits, l->now_ms, &l->err);
	return l->ok;
}

static bool open_scope(void *user, const struct scope_row *r)
{
	struct load *l = user;

	l->ok = budget_open_scope(l->budget, r, l->now_ms, &l->err);
	return l->ok;
}

static bool add_spent(void *user, const struct id *key_id, const struct key_owners *o, int64_t nusd)
{
	const struct id scopes[] = {scope_org_id, o->group_id, o->project_id, o->user_id, *key_id};
	struct load *l = user;

	budget_recall(l->budget, l->period, scopes, BUDGET_MAX_SCOPES, nusd, l->now_ms);
	return true;
}

static void load(struct ingest_job *job, struct store *store)
{
	struct load *l = LIST_ITEM(job, struct load, job);

	l->ok = true;
	l->ok = key_each(store, open_key, l, &l->err) && l->ok &&
		scope_each(store, SCOPE_END, open_scope, l, &l->err) && l->ok;
	for (int p = 0; p < PERIOD_COUNT && l->ok; p++) {
		l->period = (enum limit_period)p;
		l->ok = usage_spent(
			store, budget_period(l->period, l->now_ms).from_ms, add_spent, l, &l->err);
	}
	pthread_mutex_lock(&l->lock);
	l->done = true;
	pthread_cond_signal(&l->ready);
	pthread_mutex_unlock(&l->lock);
}

bool budgets_load(struct budget *b, struct sys *sys, struct ingest *ingest, struct err *err)
{
	struct load l = {.job.run = load, .budget = b, .now_ms = sys->wall_ms(sys)};

	pthread_mutex_init(&l.lock, NULL);
	pthread_cond_init(&l.ready, NULL);
	ingest_post(ingest, &l.job);
	pthread_mutex_lock(&l.lock);
	while (!l.done)
		pthread_cond_wait(&l.ready, &l.lock);
	pthread_mutex_unlock(&l.lock);
	pthread_cond_destroy(&l.ready);
	pthread_mutex_destroy(&l.lock);
	if (!l.ok)
		*err = l.err;
	return l.ok;
}
