/* SPDX-License-Identifier: Apache-2.0 */
#include "main/boot.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "control/manage/manage.h"
#include "main/budgets.h"
#include "machine/net/socket.h"
#include "main/dev.h"
#include "main/worker.h"

#define MAX_WORKERS 256

struct process {
	const struct serve_options *options;
	struct sys *sys;
	struct log *log;
	int log_fd;
	struct snapshot *snapshot;
	struct tls_context *tls;
	struct store store;
	struct ingest *ingest;
	struct auth_table *auth;
	struct budget *budget;
	struct answers *answers;
	struct metrics_registry *registry;
	struct metrics *metrics; /* the boot thread's own */
	struct manage *manage;
	struct worker *workers[MAX_WORKERS];
	int n_workers;
	struct dev dev;
	int64_t epoch;
	struct {
		pthread_mutex_t lock;
		pthread_cond_t done;
		uint64_t asked, answered; /* how often, by the control side */
		bool is_closed;           /* nobody reloads any more */
		struct err why;           /* of the last one */
	} asking;
};

static void complain(const struct process *p, const char *what, const struct err *err)
{
	struct log_field f = LOG_FIELD_TEXT("err", span_of(err->text));

	if (p->log != NULL)
		log_write(p->log, LOG_ERROR, what, "", &f, 1);
	else
		fprintf(stderr, "sluice: %s\n", err->text);
}

/* ---- start ---- */

static struct conf *read_conf(struct process *p, struct err *err)
{
	const struct serve_options *o = p->options;

	return o->dev ? conf_dev(p->sys, o->config, p->dev.sim_url, err)
		      : conf_read_file(p->sys, o->config, err);
}

static const char *listen_address(const struct process *p)
{
	return p->options->listen != NULL ? p->options->listen : p->snapshot->conf->listen;
}

static bool open_log(struct process *p, const struct conf *c, struct err *err)
{
	enum log_format format = LOG_AUTO;
	enum log_level level = LOG_INFO;

	p->log_fd = STDERR_FILENO;
	if (c->log_file != NULL) {
		p->log_fd = open(c->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (p->log_fd < 0)
			return err_set_errno(err, ERR_CONFIG, c->log_file);
	}
	if (strcmp(c->log_format, "json") == 0)
		format = LOG_JSON;
	else if (strcmp(c->log_format, "human") == 0)
		format = LOG_HUMAN;
	if (strcmp(c->log_level, "debug") == 0)
		level = LOG_DEBUG;
	else if (strcmp(c->log_level, "warn") == 0)
		level = LOG_WARN;
	else if (strcmp(c->log_level, "error") == 0)
		level = LOG_ERROR;
	p->log = log_new(p->log_fd, format, level, err);
	return p->log != NULL;
}

static bool read_tls(const struct conf *c, struct tls_context **tls, struct err *err)
{
	*tls = NULL;
	if (c->tls_cert == NULL)
		return true;
	*tls = tls_context_server(c->tls_cert, c->tls_key, err);
	return *tls != NULL;
}

static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* On the store thread: the main thread reloads when a HUP comes, whoever sent it. */
static bool ask_reload(void *user, struct err *err)
{
	struct process *p = user;
	uint64_t mine;

	pthread_mutex_lock(&p->asking.lock);
	mine = ++p->asking.asked;
	kill(getpid(), SIGHUP);
	while (p->asking.answered < mine && !p->asking.is_closed)
		pthread_cond_wait(&p->asking.done, &p->asking.lock);
	if (p->asking.answered < mine)
		err_set(err, ERR_SHUTTING_DOWN, NULL);
	else if (p->asking.why.code != ERR_OK)
		*err = p->asking.why;
	pthread_mutex_unlock(&p->asking.lock);
	return err->code == ERR_OK;
}

static struct manage_env manage_of(struct process *p)
{
	return (struct manage_env){.sys = p->sys,
		.auth = p->auth,
		.budget = p->budget,
		.ingest = p->ingest,
		.log = p->log,
		.data_dir = p->snapshot->conf->data_dir,
		.reload = ask_reload,
		.reload_user = p};
}

static bool start_workers(struct process *p, struct err *err)
{
	const struct conf *c = p->snapshot->conf;
	const struct manage_env manage = manage_of(p);
	struct worker_spec spec = {.sys = p->sys,
		.listen = listen_address(p),
		.data_dir = c->data_dir,
		.epoch = p->epoch,
		.workers = c->workers < MAX_WORKERS ? c->workers : MAX_WORKERS,
		.snapshot = p->snapshot,
		.tls = p->tls,
		.auth = p->auth,
		.budget = p->budget,
		.answers = p->answers,
		.ingest = p->ingest,
		.log = p->log,
		.registry = p->registry,
		.manage = &manage};
	char bound[300];

	if (!listener_is_free(spec.listen, err))
		return false;
	for (int i = 0; i < spec.workers; i++) {
		struct span host;
		int port;

		spec.number = i;
		spec.first = i > 0 ? p->workers[0] : NULL;
		p->workers[i] = worker_new(&spec, err);
		if (p->workers[i] == NULL)
			return false;
		p->n_workers++;
		/* The others join the port that the first one got. */
		if (i == 0 && socket_split_address(span_of(spec.listen), &host, &port) &&
			port == 0) {
			snprintf(bound, sizeof(bound),
				memchr(host.p, ':', host.n) ? "[%.*s]:%d" : "%.*s:%d",
				SPAN_ARG(host), worker_port(p->workers[0]));
			spec.listen = bound;
		}
	}
	for (int i = 0; i < p->n_workers; i++)
		if (!worker_start(p->workers[i], err))
			return false;
	return true;
}

static void bound_answers(struct process *p, const struct conf *c)
{
	answers_set_bounds(p->answers, c->answers_max_bytes, c->answer_max_bytes);
}

static bool start_state(struct process *p, struct err *err)
{
	const char *data_dir = p->snapshot->conf->data_dir;

	if (!store_open_alone(&p->store, p->sys,
		    &(struct store_place){data_dir, p->snapshot->conf->database}, err))
		return false;
	p->auth = auth_table_new(err);
	if (p->auth == NULL || !auth_table_load(p->auth, &p->store, err)) {
		store_close(&p->store);
		return false;
	}
	p->budget = budget_new(err);
	p->answers = p->budget != NULL ? answers_new(err) : NULL;
	if (p->answers == NULL) {
		store_close(&p->store);
		return false;
	}
	bound_answers(p, p->snapshot->conf);
	p->ingest = ingest_start(p->sys, &p->store, data_dir, p->epoch, p->log, err);
	if (p->ingest != NULL)
		ingest_keep_minutes(p->ingest, p->snapshot->conf->minutes_ms);
	return p->ingest != NULL;
}

static bool check_database(const struct conf *c, struct err *err)
{
	const struct store_place place = {c->data_dir, c->database};

	return store_is_sqlite(&place) || db_check_url(c->database, err);
}

static bool start(struct process *p, struct err *err)
{
	struct conf *conf = read_conf(p, err);
	struct span version = span_of(SLUICE_VERSION);
	struct manage_env manage;

	if (conf == NULL)
		return false;
	if (!check_database(conf, err) || !open_log(p, conf, err) ||
		!read_tls(conf, &p->tls, err)) {
		conf_free(conf);
		return false;
	}
	p->snapshot = snapshot_new(p->sys, conf, p->log, err);
	if (p->snapshot == NULL)
		return false;
	if (p->options->check)
		return true;
	p->registry = metrics_registry_new(err);
	p->metrics = p->registry != NULL ? metrics_new(p->registry) : NULL;
	if (p->metrics == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	metric_set(metric_series(p->metrics, METRIC_BUILD_INFO, &version), 1);
	metric_set(metric_series(p->metrics, METRIC_CONFIG_RELOAD, NULL), 1);
	if (!start_state(p, err) ||
		(p->options->dev && !dev_first_keys(&p->dev, p->sys, p->ingest, p->auth, err)) ||
		!budgets_load(p->budget, p->sys, p->ingest, err) || !start_workers(p, err))
		return false;
	manage = manage_of(p);
	p->manage = manage_start(&manage, err);
	return p->manage != NULL;
}

/* ---- reload ---- */

static bool differs(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a != b : strcmp(a, b) != 0;
}

/* What is made at start from these is not made again. */
static bool is_bound_to_start(const struct conf *was, const struct conf *is)
{
	return differs(was->data_dir, is->data_dir) || differs(was->listen, is->listen) ||
	       differs(was->database, is->database) || differs(was->log_level, is->log_level) ||
	       differs(was->log_format, is->log_format) || differs(was->log_file, is->log_file) ||
	       was->workers != is->workers || was->durability_power != is->durability_power ||
	       (was->tls_cert == NULL) != (is->tls_cert == NULL);
}

static void reload(struct process *p, struct err *err)
{
	struct conf *conf = read_conf(p, err);
	struct tls_context *tls = NULL;
	struct snapshot *made = NULL;

	if (conf != NULL && !read_tls(conf, &tls, err)) {
		conf_free(conf);
		conf = NULL;
	}
	if (conf != NULL)
		made = snapshot_new(p->sys, conf, p->log, err);
	metric_set(metric_series(p->metrics, METRIC_CONFIG_RELOAD, NULL), made != NULL);
	if (made == NULL) {
		tls_context_unref(tls);
		complain(p, "reload_failed", err);
		return;
	}
	if (is_bound_to_start(p->snapshot->conf, made->conf))
		log_write(p->log, LOG_WARN, "reload_partial",
			"listen, data_dir, database, workers, durability, log, and tls on or off "
			"take effect "
			"at the next start",
			NULL, 0);
	for (int i = 0; i < p->n_workers; i++)
		worker_reload(p->workers[i], snapshot_ref(made),
			tls != NULL ? tls_context_ref(tls) : NULL);
	bound_answers(p, made->conf);
	ingest_keep_minutes(p->ingest, made->conf->minutes_ms);
	snapshot_unref(p->snapshot);
	p->snapshot = made;
	tls_context_unref(p->tls);
	p->tls = tls;
	log_write(p->log, LOG_INFO, "reloaded", "", NULL, 0);
}

/* One answer for all who asked before it began. */
static void reload_for_all(struct process *p)
{
	struct err err = {0};
	uint64_t asked;

	pthread_mutex_lock(&p->asking.lock);
	asked = p->asking.asked;
	pthread_mutex_unlock(&p->asking.lock);
	reload(p, &err);
	pthread_mutex_lock(&p->asking.lock);
	p->asking.answered = asked;
	p->asking.why = err;
	pthread_cond_broadcast(&p->asking.done);
	pthread_mutex_unlock(&p->asking.lock);
}

/* Who waits for a reload while the process ends waits no longer. */
static void close_asking(struct process *p)
{
	pthread_mutex_lock(&p->asking.lock);
	p->asking.is_closed = true;
	pthread_cond_broadcast(&p->asking.done);
	pthread_mutex_unlock(&p->asking.lock);
}

/* ---- end ---- */

static bool all_idle(const struct process *p)
{
	for (int i = 0; i < p->n_workers; i++)
		if (!worker_is_idle(p->workers[i]))
			return false;
	return true;
}

/* A second TERM or INT ends the waiting. */
static void drain(struct process *p, const sigset_t *signals)
{
	const struct timespec step = {.tv_nsec = 20 * 1000000};
	int64_t until = p->sys->mono_us(p->sys) + (int64_t)p->snapshot->conf->drain_ms * 1000;
	int number;

	log_write(p->log, LOG_INFO, "draining", "", NULL, 0);
	for (int i = 0; i < p->n_workers; i++)
		worker_drain(p->workers[i]);
	while (!all_idle(p) && p->sys->mono_us(p->sys) < until) {
		number = sigtimedwait(signals, NULL, &step);
		if (number == SIGTERM || number == SIGINT)
			break;
	}
}

static void stop(struct process *p)
{
	manage_stop(p->manage);
	for (int i = 0; i < p->n_workers; i++)
		worker_stop(p->workers[i]);
	if (p->ingest != NULL)
		ingest_stop(p->ingest);
	if (p->auth != NULL)
		auth_table_free(p->auth);
	budget_free(p->budget);
	answers_free(p->answers);
	if (p->registry != NULL)
		metrics_registry_free(p->registry);
	dev_stop(&p->dev);
	snapshot_unref(p->snapshot);
	tls_context_unref(p->tls);
	if (p->log != NULL)
		log_free(p->log);
	if (p->log_fd > STDERR_FILENO)
		close(p->log_fd);
}

static int exit_code(const struct err *err)
{
	switch (err->code) {
	case ERR_CONFIG:
		return CLI_CONFIG;
	case ERR_CONFLICT:
		return CLI_CONFLICT;
	default:
		return CLI_FAILED;
	}
}

static void wait_for_signals(struct process *p, const sigset_t *signals)
{
	for (;;) {
		int number = sigwaitinfo(signals, NULL);

		if (number == SIGHUP)
			reload_for_all(p);
		else if (number == SIGCHLD)
			dev_reap(&p->dev, p->log);
		else if (number == SIGTERM || number == SIGINT)
			return;
	}
}

int boot_serve(const struct serve_options *o)
{
	struct process p = {.options = o, .sys = &sys_real, .log_fd = -1};
	struct err err = {0};
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file at its size limit is an error to report, no death */
	raise_descriptors();
	p.epoch = p.sys->wall_ms(p.sys);
	pthread_mutex_init(&p.asking.lock, NULL);
	pthread_cond_init(&p.asking.done, NULL);
	dev_init(&p.dev);
	if ((o->dev && !o->check && !dev_start_sim(&p.dev, o->program, &err)) || !start(&p, &err)) {
		stop(&p);
		fprintf(stderr, "sluice: %s\n", err.text);
		return exit_code(&err);
	}
	if (o->check) {
		stop(&p);
		printf("The configuration is valid.\n");
		return CLI_DONE;
	}
	if (o->dev) {
		dev_banner(&p.dev, o->program, listen_address(&p), worker_port(p.workers[0]),
			p.tls != NULL);
	} else {
		struct log_field f[2] = {LOG_FIELD_TEXT("listen", span_of(listen_address(&p))),
			LOG_FIELD_INT("port", worker_port(p.workers[0]))};

		log_write(p.log, LOG_INFO, "ready", "", f, 2);
	}
	wait_for_signals(&p, &signals);
	close_asking(&p);
	drain(&p, &signals);
	stop(&p);
	return CLI_DONE;
}
