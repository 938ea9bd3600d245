/* SPDX-License-Identifier: Apache-2.0 */
#include "main/worker.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "control/manage/port.h"

#define IDLE_CHECK_MS 20
#define STOP_MS 2000

struct worker {
	struct loop *loop;
	struct mailbox *mailbox;
	struct resolver *resolver;
	struct exchange_env env;
	struct manage_port *port;
	struct metric_series *dropped, *backlog, *journal_written;
	uint64_t dropped_seen, journal_seen;
	int number, workers;
	pthread_t thread;
	bool has_env, running;
	struct timer idle_check;
	atomic_bool idle;
};

struct order {
	struct mail mail;
	struct worker *worker;
	struct snapshot *snapshot;
	struct tls_context *tls;
};

static struct http_server_limits server_limits(const struct conf *c, int workers)
{
	return (struct http_server_limits){.head_ms = c->head_ms,
		.idle_ms = c->idle_ms,
		.body_stall_ms = c->body_stall_ms,
		.body_floor = 64,
		.write_stall_ms = c->write_stall_ms,
		.max_connections =
			c->max_connections / workers > 0 ? c->max_connections / workers : 1,
		.max_pending_bytes = c->max_memory_bytes / workers};
}

static void free_worker(struct worker *w)
{
	if (w->env.server != NULL)
		http_server_free(w->env.server);
	if (w->env.client != NULL)
		http_client_free(w->env.client);
	if (w->resolver != NULL)
		resolver_free(w->resolver);
	if (w->env.journal != NULL)
		journal_close(w->env.journal);
	if (w->has_env)
		exchange_env_done(&w->env);
	snapshot_unref(w->env.snapshot);
	manage_port_close(w->port);
	if (w->mailbox != NULL)
		mailbox_free(w->mailbox);
	if (w->loop != NULL)
		loop_free(w->loop);
	free(w);
}

static void serve_management(void *user, struct http_request *r, const struct auth_identity *who)
{
	manage_port_request(user, r, who);
}

static bool open_worker(struct worker *w, const struct worker_spec *spec, struct err *err)
{
	const struct conf *c = spec->snapshot->conf;
	struct http_server_limits limits = server_limits(c, spec->workers);
	const struct http_client_limits client_limits = {
		.max_idle_per_origin = 64, .idle_ms = 55000};

	w->loop = loop_new(spec->sys, err);
	if (w->loop == NULL)
		return false;
	w->mailbox = mailbox_new(w->loop, err);
	w->resolver = w->mailbox != NULL ? resolver_new(w->loop) : NULL;
	w->env.loop = w->loop;
	w->env.mailbox = w->mailbox;
	w->port = w->mailbox != NULL ? manage_port_open(spec->manage, w->mailbox, err) : NULL;
	w->env.manage = serve_management;
	w->env.manage_user = w->port;
	if (w->resolver == NULL || w->port == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	w->env.client = http_client_new(w->loop, w->resolver, &client_limits);
	w->env.server = http_server_new(w->loop, &limits, &exchange_service, &w->env);
	if (w->env.client == NULL || w->env.server == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	w->env.journal = journal_open(
		w->loop, spec->data_dir, spec->epoch, spec->number, c->durability_power, err);
	if (w->env.journal == NULL)
		return false;
	w->has_env = exchange_env_init(&w->env, err);
	if (!w->has_env)
		return false;
	if (spec->tls != NULL)
		http_server_set_tls(w->env.server, spec->tls);
	if (spec->first != NULL)
		return http_server_listen_with(
			w->env.server, spec->first->env.server, spec->listen, err);
	return http_server_listen(w->env.server, spec->listen, err);
}

/* What belongs to the process is shown by its first worker. */
static void sample(struct worker *w)
{
	uint64_t written = journal_bytes(w->env.journal), dropped;

	metric_add(w->journal_written, (int64_t)(written - w->journal_seen));
	w->journal_seen = written;
	if (w->number != 0)
		return;
	dropped = log_dropped(w->env.log);
	metric_add(w->dropped, (int64_t)(dropped - w->dropped_seen));
	w->dropped_seen = dropped;
	metric_set(w->backlog, ingest_backlog_bytes(w->env.ingest));
}

static void on_idle_check(struct timer *t)
{
	struct worker *w = LIST_ITEM(t, struct worker, idle_check);

	sample(w);
	if (w->env.draining)
		atomic_store(&w->idle, http_server_active(w->env.server) == 0 &&
					       w->env.n_exchanges == 0 &&
					       http_server_pending(w->env.server) == 0);
	timer_start(t, w->env.draining ? IDLE_CHECK_MS : 1000);
}

struct worker *worker_new(const struct worker_spec *spec, struct err *err)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL) {
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	w->number = spec->number;
	w->workers = spec->workers;
	w->env.snapshot = snapshot_ref(spec->snapshot);
	w->env.auth = spec->auth;
	w->env.budget = spec->budget;
	w->env.answers = spec->answers;
	w->env.ingest = spec->ingest;
	w->env.log = spec->log;
	w->env.registry = spec->registry;
	w->env.max_buffered_bytes = spec->snapshot->conf->max_memory_bytes / spec->workers;
	w->env.metrics = metrics_new(spec->registry);
	if (w->env.metrics == NULL || !open_worker(w, spec, err)) {
		err_set(err, ERR_NO_MEMORY, NULL);
		free_worker(w);
		return NULL;
	}
	w->dropped = metric_series(w->env.metrics, METRIC_LOG_DROPPED, NULL);
	w->backlog = metric_series(w->env.metrics, METRIC_JOURNAL_BACKLOG, NULL);
	w->journal_written = metric_series(w->env.metrics, METRIC_JOURNAL_BYTES, NULL);
	timer_init(&w->idle_check, w->loop, on_idle_check);
	timer_start(&w->idle_check, 1000);
	return w;
}

int worker_port(const struct worker *w)
{
	return http_server_port(w->env.server);
}

static void *run(void *arg)
{
	struct worker *w = arg;

	loop_run(w->loop);
	return NULL;
}

bool worker_start(struct worker *w, struct err *err)
{
	char name[16];

	if (pthread_create(&w->thread, NULL, run, w) != 0)
		return err_set(err, ERR_NO_MEMORY, "No thread for a worker");
	w->running = true;
	snprintf(name, sizeof(name), "worker-%d", w->number % 1000);
	pthread_setname_np(w->thread, name);
	return true;
}

static struct order *order_new(struct worker *w, void (*run_it)(struct mail *m))
{
	struct order *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->worker = w;
	o->mail.run = run_it;
	return o;
}

static void apply_limits(struct worker *w)
{
	const struct conf *c = w->env.snapshot->conf;
	struct http_server_limits limits = server_limits(c, w->workers);

	http_server_set_limits(w->env.server, &limits);
	w->env.max_buffered_bytes = c->max_memory_bytes / w->workers;
}

static void do_reload(struct mail *m)
{
	struct order *o = LIST_ITEM(m, struct order, mail);
	struct exchange_env *env = &o->worker->env;

	snapshot_unref(env->snapshot);
	env->snapshot = o->snapshot;
	apply_limits(o->worker);
	if (o->tls != NULL) {
		http_server_set_tls(env->server, o->tls);
		tls_context_unref(o->tls);
	}
	http_client_close_idle(env->client);
	free(o);
}

void worker_reload(struct worker *w, struct snapshot *snapshot, struct tls_context *tls)
{
	struct order *o = order_new(w, do_reload);

	if (o == NULL) { /* it goes on with the old one */
		snapshot_unref(snapshot);
		tls_context_unref(tls);
		return;
	}
	o->snapshot = snapshot;
	o->tls = tls;
	mailbox_post(w->mailbox, &o->mail);
}

static void do_drain(struct mail *m)
{
	struct order *o = LIST_ITEM(m, struct order, mail);
	struct worker *w = o->worker;

	w->env.draining = true;
	http_server_drain(w->env.server);
	timer_start(&w->idle_check, 0);
	free(o);
}

void worker_drain(struct worker *w)
{
	struct order *o = order_new(w, do_drain);

	if (o != NULL)
		mailbox_post(w->mailbox, &o->mail);
}

bool worker_is_idle(const struct worker *w)
{
	return atomic_load(&w->idle);
}

struct stopping {
	struct mail mail;
	struct worker *worker;
	struct loop_hook hook;
	int64_t until_ms;
};

/*
 * A turn after the exchanges were told to end, the journal has their records; their clients get
 * some time for the last bytes. The idle check makes turns when nothing else does.
 */
static void on_turn(struct loop_hook *h)
{
	struct stopping *s = LIST_ITEM(h, struct stopping, hook);
	struct worker *w = s->worker;

	if ((w->env.n_exchanges > 0 || http_server_pending(w->env.server) > 0) &&
		loop_now_ms(w->loop) < s->until_ms)
		return;
	loop_hook_remove(h);
	timer_done(&w->idle_check);
	loop_stop(w->loop);
}

static void do_stop(struct mail *m)
{
	struct stopping *s = LIST_ITEM(m, struct stopping, mail);
	struct worker *w = s->worker;

	http_server_drain(w->env.server);
	exchange_shutdown_all(&w->env);
	s->until_ms = loop_now_ms(w->loop) + STOP_MS;
	s->hook.run = on_turn;
	loop_hook_add(w->loop, &s->hook);
	timer_start(&w->idle_check, 0);
}

void worker_stop(struct worker *w)
{
	struct stopping s = {.worker = w, .mail.run = do_stop};

	if (w == NULL)
		return;
	if (w->running) {
		mailbox_post(w->mailbox, &s.mail);
		pthread_join(w->thread, NULL);
	} else {
		timer_done(&w->idle_check);
	}
	free_worker(w);
}
