/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/obs/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "machine/obs/line.h"
#include "machine/sys/sys.h"

#define BATCH_BYTES ((size_t)512 << 10) /* two of them are the queue */
#define GATHER_US 20000                 /* from the first line in an empty queue to its writing */
#define DRAIN_US 2000000                /* what log_free waits at most */
#define RETRY_US 250000                 /* between attempts on a full disk */
#define REPORT_US 1000000               /* between two reports of dropped lines */
#define REPORT_AGAIN_US 10000000        /* when the report itself did not get out */
#define PIECE_BYTES 4096 /* a pipe that poll calls writable takes this much without blocking */

struct batch {
	char *mem;
	size_t n;
};

struct log {
	enum line_style style;
	enum log_level level;
	int fd;
	bool is_file; /* never makes a writer wait for a reader */
	_Atomic uint64_t dropped;

	pthread_t thread;
	pthread_mutex_t lock; /* guards all that follows */
	pthread_cond_t wake;  /* to the writer: lines came, or the end */
	pthread_cond_t ended; /* from the writer: it is done */
	struct batch filling; /* whole lines */
	bool is_idle;         /* the writer sleeps until the first line */
	bool is_stopping, has_ended, is_abandoned;
	int64_t deadline_us; /* of the last drain */

	/* The writer's own. */
	struct batch writing;
	uint64_t reported; /* of `dropped` */
	int64_t report_at_us;
};

static int64_t now_us(void)
{
	return sys_real.mono_us(&sys_real);
}

static void destroy(struct log *l)
{
	pthread_cond_destroy(&l->wake);
	pthread_cond_destroy(&l->ended);
	pthread_mutex_destroy(&l->lock);
	free(l->filling.mem);
	free(l->writing.mem);
	free(l);
}

/* Under the lock: sleeps until woken or until then on the monotonic clock (0: no end). */
static void sleep_until(struct log *l, pthread_cond_t *cond, int64_t until_us)
{
	const struct timespec t = {until_us / 1000000, until_us % 1000000 * 1000};

	if (until_us == 0)
		pthread_cond_wait(cond, &l->lock);
	else
		pthread_cond_timedwait(cond, &l->lock, &t);
}

/* Whether the writer has to give up what is left. */
static bool is_over(struct log *l)
{
	bool over;

	pthread_mutex_lock(&l->lock);
	over = l->is_abandoned || (l->is_stopping && now_us() >= l->deadline_us);
	pthread_mutex_unlock(&l->lock);
	return over;
}

/*
 * What to do about a failed write. A sink that can come back (no space, a reader that is slow) is
 * waited for and the bytes are kept, so that no line is cut in two; one that nobody reads any
 * more, or that never was a sink, is not. Returns whether to try again.
 */
static bool may_retry(struct log *l, int error)
{
	switch (error) {
	case EINTR:
	case EAGAIN:
		return !is_over(l);
	case ENOSPC:
	case EDQUOT:
	case ENOMEM:
	case ENOBUFS:
	case EIO:
		if (is_over(l))
			return false;
		pthread_mutex_lock(&l->lock);
		sleep_until(l, &l->wake, now_us() + RETRY_US);
		pthread_mutex_unlock(&l->lock);
		return !is_over(l);
	default:
		return false;
	}
}

/* Waits until a pipe, socket or terminal takes bytes. false: it is over. */
static bool wait_writable(struct log *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLOUT};

	while (poll(&p, 1, 50) <= 0) {
		if (is_over(l))
			return false;
	}
	return true;
}

/* Returns how many bytes got out. Never called under the lock. */
static size_t write_out(struct log *l, const char *p, size_t n)
{
	size_t written = 0;

	while (written < n) {
		size_t piece = n - written;
		ssize_t done;

		if (!l->is_file && piece > PIECE_BYTES)
			piece = PIECE_BYTES;
		if (!l->is_file && !wait_writable(l))
			break;
		done = sys_real.write(&sys_real, l->fd, p + written, piece);
		if (done > 0)
			written += (size_t)done;
		else if (done == 0 || !may_retry(l, errno))
			break;
	}
	return written;
}

static void write_batch(struct log *l)
{
	struct batch *b = &l->writing;
	uint64_t lost = 0;

	for (size_t i = write_out(l, b->mem, b->n); i < b->n; i++)
		lost += b->mem[i] == '\n';
	atomic_fetch_add_explicit(&l->dropped, lost, memory_order_relaxed);
	b->n = 0;
}

/* Says at the place where lines are missing how many. */
static void report_dropped(struct log *l, bool now_or_never)
{
	char text[LINE_MAX_BYTES];
	uint64_t dropped = log_dropped(l);
	const struct log_field count = LOG_FIELD_INT("count", (int64_t)(dropped - l->reported));
	struct line_head head = {.level = LOG_WARN, .event = "log_dropped"};
	size_t n;

	if (dropped == l->reported || (!now_or_never && now_us() < l->report_at_us))
		return;
	head.wall_ms = sys_real.wall_ms(&sys_real);
	head.msg = "the sink was too slow for these lines; they are gone";
	n = line_write(text, l->style, &head, &count, 1);
	if (write_out(l, text, n) == n) {
		l->reported = dropped;
		l->report_at_us = now_us() + REPORT_US;
	} else {
		l->report_at_us = now_us() + REPORT_AGAIN_US;
	}
}

/* Under the lock. Returns when there is something to do, be it only a report. */
static void wait_for_lines(struct log *l)
{
	int64_t until_us = l->reported != log_dropped(l) ? l->report_at_us + 1 : 0;

	while (l->filling.n == 0 && !l->is_stopping && (until_us == 0 || now_us() < until_us)) {
		l->is_idle = true;
		sleep_until(l, &l->wake, until_us);
	}
	l->is_idle = false;
	/* A wake-up costs more than a line: let more come. */
	until_us = now_us() + GATHER_US;
	while (l->filling.n > 0 && l->filling.n < BATCH_BYTES / 2 && !l->is_stopping &&
		now_us() < until_us)
		sleep_until(l, &l->wake, until_us);
}

static void *run(void *arg)
{
	struct log *l = arg;
	bool is_last = false, is_mine;

	while (!is_last) {
		pthread_mutex_lock(&l->lock);
		wait_for_lines(l);
		struct batch empty = l->writing;
		l->writing = l->filling;
		l->filling = empty;
		is_last = l->is_stopping;
		pthread_mutex_unlock(&l->lock);
		write_batch(l);
		report_dropped(l, is_last);
	}
	pthread_mutex_lock(&l->lock);
	l->has_ended = true;
	is_mine = l->is_abandoned;
	pthread_cond_signal(&l->ended);
	pthread_mutex_unlock(&l->lock);
	if (is_mine)
		destroy(l);
	return NULL;
}

static enum line_style style_of(int fd, enum log_format format)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool is_terminal = isatty(fd) == 1;

	if (format == LOG_JSON || (format == LOG_AUTO && !is_terminal))
		return LINE_JSON;
	if (!is_terminal || (no_color != NULL && no_color[0] != '\0') || term == NULL ||
		strcmp(term, "dumb") == 0)
		return LINE_HUMAN;
	return LINE_COLOUR;
}

/* Signals are other threads' business; a blocked SIGPIPE leaves EPIPE. */
static int start(struct log *l)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&l->thread, NULL, run, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

struct log *log_new(int fd, enum log_format format, enum log_level level, struct err *err)
{
	struct log *l = calloc(1, sizeof(*l));
	pthread_condattr_t attr;
	struct stat st;
	int error;

	if (l == NULL) {
		err_set(err, ERR_NO_MEMORY, "no memory for the log");
		return NULL;
	}
	l->fd = fd;
	l->style = style_of(fd, format);
	l->level = level;
	l->is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->wake, &attr);
	pthread_cond_init(&l->ended, &attr);
	pthread_condattr_destroy(&attr);
	l->filling.mem = malloc(BATCH_BYTES);
	l->writing.mem = malloc(BATCH_BYTES);
	if (l->filling.mem == NULL || l->writing.mem == NULL) {
		destroy(l);
		err_set(err, ERR_NO_MEMORY, "no memory for the queue of the log");
		return NULL;
	}
	error = start(l);
	if (error != 0) {
		destroy(l);
		errno = error;
		err_set_errno(err, ERR_INTERNAL, "the log's thread does not start");
		return NULL;
	}
	return l;
}

void log_free(struct log *l)
{
	bool ended;

	if (l == NULL)
		return;
	pthread_mutex_lock(&l->lock);
	l->is_stopping = true;
	l->deadline_us = now_us() + DRAIN_US;
	pthread_cond_signal(&l->wake);
	while (!l->has_ended && now_us() < l->deadline_us + RETRY_US)
		sleep_until(l, &l->ended, l->deadline_us + RETRY_US);
	ended = l->has_ended;
	/* Stuck inside the system: the thread cleans up when it comes back, if ever. */
	l->is_abandoned = !ended;
	pthread_t thread = l->thread;
	pthread_mutex_unlock(&l->lock);
	if (ended) {
		pthread_join(thread, NULL);
		destroy(l);
	} else {
		pthread_detach(thread);
	}
}

void log_write(struct log *l, enum log_level level, const char *event, const char *msg,
	const struct log_field *fields, int n_fields)
{
	/* Written up to n only; clearing it first would cost as much as the line. */
	char text[LINE_MAX_BYTES] __attribute__((uninitialized));
	struct line_head head = {.level = level, .event = event, .msg = msg};
	bool must_wake;
	size_t n;

	if (l == NULL || level < l->level)
		return;
	head.wall_ms = sys_real.wall_ms(&sys_real);
	n = line_write(text, l->style, &head, fields, n_fields);
	pthread_mutex_lock(&l->lock);
	if (n > BATCH_BYTES - l->filling.n) {
		pthread_mutex_unlock(&l->lock);
		atomic_fetch_add_explicit(&l->dropped, 1, memory_order_relaxed);
		return;
	}
	memcpy(l->filling.mem + l->filling.n, text, n);
	must_wake = l->is_idle ||
		    (l->filling.n < BATCH_BYTES / 2 && l->filling.n + n >= BATCH_BYTES / 2);
	l->is_idle = false;
	l->filling.n += n;
	pthread_mutex_unlock(&l->lock);
	if (must_wake)
		pthread_cond_signal(&l->wake);
}

uint64_t log_dropped(const struct log *l)
{
	return l == NULL ? 0 : atomic_load_explicit(&l->dropped, memory_order_relaxed);
}
