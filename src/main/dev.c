/* SPDX-License-Identifier: Apache-2.0 */
#include "main/dev.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "machine/crypto/hash.h"
#include "machine/net/socket.h"

#define SIM_START_MS 5000
#define SIM_LIFE_FD 3

extern char **environ;

void dev_init(struct dev *d)
{
	*d = (struct dev){.life_fd = -1};
}

/* Reads the child's first line, "listening on ADDR:PORT". */
static bool read_address(struct dev *d, int fd, struct err *err)
{
	static const char expected[] = "listening on ";
	char line[128];
	size_t n = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		char *end = memchr(line, '\n', n);
		ssize_t got;

		if (end != NULL) {
			*end = '\0';
			if (strncmp(line, expected, sizeof(expected) - 1) != 0)
				break;
			snprintf(d->sim_url, sizeof(d->sim_url), "http://%.50s",
				line + sizeof(expected) - 1);
			return true;
		}
		if (n == sizeof(line) || poll(&p, 1, SIM_START_MS) <= 0)
			break;
		got = read(fd, line + n, sizeof(line) - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return err_set(err, ERR_INTERNAL, "The simulator did not start");
}

static bool spawn_sim(struct dev *d, const char *program, int out, int life, struct err *err)
{
	char fd_text[] = {'0' + SIM_LIFE_FD, '\0'};
	char *argv[] = {(char *)"sluice", (char *)"sim", (char *)"--listen", (char *)"127.0.0.1:0",
		(char *)"--parent-fd", fd_text, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int failed;

	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	/* A process group of its own: Ctrl-C on the terminal drains the gateway first. */
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, life, SIM_LIFE_FD);
	failed = posix_spawn(&d->sim, program, &actions, &attributes, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (failed == 0)
		return true;
	d->sim = 0;
	errno = failed;
	return err_set_errno(err, ERR_INTERNAL, "The simulator cannot be started");
}

bool dev_start_sim(struct dev *d, const char *program, struct err *err)
{
	int out[2] = {-1, -1}, life[2] = {-1, -1};
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	bool ok;

	if (n > 0) {
		self[n] = '\0';
		program = self;
	}
	/* Above the descriptors that the child is given by number. */
	ok = pipe2(out, O_CLOEXEC) == 0 && pipe2(life, O_CLOEXEC) == 0;
	if (ok && life[0] == SIM_LIFE_FD) {
		int moved = fcntl(life[0], F_DUPFD_CLOEXEC, 10);

		close(life[0]);
		life[0] = moved;
		ok = moved >= 0;
	}
	ok = ok ? spawn_sim(d, program, out[1], life[0], err) : err_set_errno(err, ERR_IO, "pipe");
	if (out[1] >= 0)
		close(out[1]);
	if (life[0] >= 0)
		close(life[0]);
	d->life_fd = life[1];
	ok = ok && read_address(d, out[0], err);
	if (out[0] >= 0)
		close(out[0]);
	return ok;
}

/* ---- keys ---- */

struct first_keys {
	struct ingest_job job;
	struct key_row rows[2];
	bool had_keys, ok;
	struct err err;
	pthread_mutex_t lock;
	pthread_cond_t ready;
	bool done;
};

static bool found_one(void *user, const struct key_row *k)
{
	bool *found = user;

	*found = true;
	return false;
}

static void store_keys(struct ingest_job *job, struct store *store)
{
	struct first_keys *f = LIST_ITEM(job, struct first_keys, job);

	f->ok = key_each(store, found_one, &f->had_keys, &f->err);
	for (int i = 0; f->ok && !f->had_keys && i < 2; i++)
		f->ok = key_insert(store, &f->rows[i], &f->err);
	pthread_mutex_lock(&f->lock);
	f->done = true;
	pthread_cond_signal(&f->ready);
	pthread_mutex_unlock(&f->lock);
}

bool dev_first_keys(struct dev *d, struct sys *sys, struct ingest *ingest, struct auth_table *auth,
	struct err *err)
{
	struct first_keys f = {.job.run = store_keys};

	if (!auth_make(sys, "dev-manage", PERMISSION_WRITE, PERMISSION_NONE, 0, &f.rows[0],
		    d->manage_key, err) ||
		!auth_make(sys, "dev", PERMISSION_NONE, PERMISSION_WRITE, 0, &f.rows[1],
			d->inference_key, err))
		return false;
	pthread_mutex_init(&f.lock, NULL);
	pthread_cond_init(&f.ready, NULL);
	ingest_post(ingest, &f.job);
	pthread_mutex_lock(&f.lock);
	while (!f.done)
		pthread_cond_wait(&f.ready, &f.lock);
	pthread_mutex_unlock(&f.lock);
	pthread_cond_destroy(&f.ready);
	pthread_mutex_destroy(&f.lock);
	if (!f.ok) {
		*err = f.err;
		return false;
	}
	d->made_keys = !f.had_keys;
	return f.had_keys || (auth_add(auth, &f.rows[0], err) && auth_add(auth, &f.rows[1], err));
}

void dev_banner(struct dev *d, const char *program, const char *listen, int port, bool tls)
{
	struct span host = {NULL, 0};
	const char *scheme = tls ? "https" : "http";
	int ignored;

	if (!socket_split_address(span_of(listen), &host, &ignored))
		host = SPAN("127.0.0.1");
	if (span_is(host, "0.0.0.0") || span_is(host, "::"))
		host = SPAN("127.0.0.1");
	printf("\nSluice listens on %s://%.*s:%d (OpenAI clients: append /v1)\n\n", scheme,
		SPAN_ARG(host), port);
	if (d->made_keys) {
		printf("  management key  %s\n  inference key   %s\n\n"
		       "These keys are shown once. Try it:\n\n"
		       "  curl %s://%.*s:%d/v1/chat/completions -H 'Authorization: Bearer %s' "
		       "-H 'Content-Type: application/json' "
		       "-d "
		       "'{\"model\":\"sim/"
		       "echo\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello!\"}]}'\n\n",
			d->manage_key, d->inference_key, scheme, SPAN_ARG(host), port,
			d->inference_key);
	} else {
		printf("The keys were shown at the first start. A new one: %s keys create "
		       "--name NAME\n\n",
			program);
	}
	fflush(stdout);
	hash_wipe(d->manage_key, sizeof(d->manage_key));
	hash_wipe(d->inference_key, sizeof(d->inference_key));
}

void dev_reap(struct dev *d, struct log *log)
{
	int status;

	if (d->sim == 0 || waitpid(d->sim, &status, WNOHANG) != d->sim)
		return;
	d->sim = 0;
	log_write(
		log, LOG_WARN, "simulator_gone", "provider sim does not answer any more", NULL, 0);
}

void dev_stop(struct dev *d)
{
	if (d->life_fd >= 0)
		close(d->life_fd);
	d->life_fd = -1;
	if (d->sim > 0) {
		kill(d->sim, SIGTERM);
		waitpid(d->sim, NULL, 0);
	}
	d->sim = 0;
}
