/* SPDX-License-Identifier: Apache-2.0 */
#include "main/budgets.h"
#include <pthread.h>
#include "machine/base/list.h"

struct load {
	struct ingest_job job;
	struct budget *budget;
	struct store *store;
	int64_t now_ms;
	bool ok, done;
	struct err err;
	pthread_mutex_t lock;
	pthread_cond_t ready;
};

static bool open_key(void *user, const struct key_row *k)
{
	struct load *l = user;
	int64_t spent;

	l->ok = usage_spent(l->store, &k->id, budget_month(l->now_ms, NULL), &spent, &l->err) &&
		budget_open(l->budget, &k->id, k->limit_nusd, spent, l->now_ms, &l->err);
	return l->ok;
}

static void load(struct ingest_job *job, struct store *store)
{
	struct load *l = LIST_ITEM(job, struct load, job);

	l->store = store;
	l->ok = true;
	l->ok = key_each(store, open_key, l, &l->err) && l->ok;
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
