/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/obs/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include <yyjson.h>
#include "machine/base/buf.h"

/* What a reader of the log makes of it. */
struct reading {
	int lines, dropped;
	int by_thread[8];
	struct buf text;
};

static void take_lines(struct reading *r)
{
	for (;;) {
		struct span text = buf_span(&r->text);
		ptrdiff_t end = span_find_char(text, '\n');
		yyjson_doc *doc;
		yyjson_val *root;

		if (end < 0)
			return;
		doc = yyjson_read(text.p, (size_t)end, 0);
		assert_non_null(doc);
		root = yyjson_doc_get_root(doc);
		if (yyjson_equals_str(yyjson_obj_get(root, "event"), "log_dropped")) {
			r->dropped += yyjson_get_int(yyjson_obj_get(root, "count"));
		} else {
			int thread = yyjson_get_int(yyjson_obj_get(root, "thread"));

			/* In the order of each writer; a gap only where lines were dropped. */
			assert_in_range(thread, 0, 7);
			assert_true(
				yyjson_get_int(yyjson_obj_get(root, "i")) >= r->by_thread[thread]);
			r->by_thread[thread] = yyjson_get_int(yyjson_obj_get(root, "i")) + 1;
			r->lines++;
		}
		yyjson_doc_free(doc);
		buf_consume(&r->text, (size_t)end + 1);
	}
}

/* Until the end of the file, or until so many lines are accounted for. */
static void read_lines(struct reading *r, int fd, int until)
{
	ssize_t n = 1;

	while (r->lines + r->dropped < until && n > 0) {
		char *p = buf_room(&r->text, 65536);

		assert_non_null(p);
		n = read(fd, p, 65536);
		assert_true(n >= 0);
		buf_added(&r->text, (size_t)n);
		take_lines(r);
	}
}

static void reading_init(struct reading *r)
{
	*r = (struct reading){0};
	buf_init(&r->text, 1 << 20);
}

static void write_lines(struct log *l, int thread, int n)
{
	for (int i = 0; i < n; i++) {
		const struct log_field fields[] = {LOG_FIELD_INT("thread", thread),
			LOG_FIELD_INT("i", i), LOG_FIELD_TEXT("model", SPAN("openai/gpt-4o"))};

		log_write(l, LOG_INFO, "request", "", fields, 3);
	}
}

struct job {
	struct log *log;
	int thread, n;
};

static void *run_job(void *arg)
{
	const struct job *job = arg;

	write_lines(job->log, job->thread, job->n);
	return NULL;
}

static FILE *temporary(void)
{
	FILE *f = tmpfile();

	assert_non_null(f);
	return f;
}

static void a_line_comes_without_being_asked_for(void **state)
{
	struct reading r;
	struct log *l;
	int fd[2];

	assert_int_equal(pipe(fd), 0);
	l = log_new(fd[1], LOG_AUTO, LOG_DEBUG, NULL);
	assert_non_null(l);
	reading_init(&r);
	for (int i = 1; i <= 3; i++) {
		const struct log_field fields[] = {
			LOG_FIELD_INT("thread", 0), LOG_FIELD_INT("i", i)};

		log_write(l, LOG_DEBUG, "request", "", fields, 2);
		read_lines(&r, fd[0], i);
	}
	log_free(l);
	close(fd[1]);
	read_lines(&r, fd[0], 4);
	assert_int_equal(r.lines, 3);
	assert_int_equal(r.dropped, 0);
	buf_done(&r.text);
	close(fd[0]);
}

static void levels_below_are_not_made(void **state)
{
	FILE *f = temporary();
	struct log *l = log_new(fileno(f), LOG_JSON, LOG_WARN, NULL);
	char text[256];
	ssize_t n;

	log_write(l, LOG_DEBUG, "a", "", NULL, 0);
	log_write(l, LOG_INFO, "b", "", NULL, 0);
	log_write(l, LOG_WARN, "c", "", NULL, 0);
	log_write(NULL, LOG_ERROR, "d", "", NULL, 0);
	log_free(l);
	log_free(NULL);
	n = pread(fileno(f), text, sizeof(text) - 1, 0);
	assert_in_range(n, 10, 200);
	text[n] = '\0';
	assert_non_null(strstr(text, "\"level\":\"warn\",\"event\":\"c\"}\n"));
	assert_int_equal(span_find_char(span_from(text, (size_t)n), '\n'), n - 1);
	fclose(f);
}

static void end_writes_all_that_is_queued(void **state)
{
	FILE *f = temporary();
	struct log *l = log_new(fileno(f), LOG_JSON, LOG_INFO, NULL);
	struct reading r;
	pthread_t threads[4];
	struct job jobs[4];

	for (int i = 0; i < 4; i++) {
		jobs[i] = (struct job){l, i, 20000};
		assert_int_equal(pthread_create(&threads[i], NULL, run_job, &jobs[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	uint64_t dropped = log_dropped(l);

	log_free(l);
	reading_init(&r);
	rewind(f);
	read_lines(&r, fileno(f), 80001);
	assert_int_equal(r.lines + r.dropped, 80000);
	assert_int_equal(r.dropped, dropped);
	assert_int_equal(r.text.n, 0);
	buf_done(&r.text);
	fclose(f);
}

/* Nobody reads while 3 MiB are logged; then somebody does, and learns how much is missing. */
static void what_is_dropped_is_counted(void **state)
{
	struct reading r;
	struct log *l;
	uint64_t dropped;
	int fd[2];

	assert_int_equal(pipe(fd), 0);
	assert_int_equal(fcntl(fd[1], F_SETFL, O_NONBLOCK), 0);
	l = log_new(fd[1], LOG_JSON, LOG_INFO, NULL);
	write_lines(l, 0, 25000);
	dropped = log_dropped(l);
	assert_in_range(dropped, 10000, 24000);
	reading_init(&r);
	read_lines(&r, fd[0], 25000);
	assert_int_equal(r.dropped, dropped);
	assert_int_equal(log_dropped(l), dropped);
	log_free(l);
	buf_done(&r.text);
	close(fd[0]);
	close(fd[1]);
}

static void reader_that_is_gone_is_survived(void **state)
{
	struct reading r;
	struct log *l;
	uint64_t dropped;
	int fd[2];

	assert_int_equal(pipe(fd), 0);
	l = log_new(fd[1], LOG_JSON, LOG_INFO, NULL);
	write_lines(l, 0, 1);
	reading_init(&r);
	read_lines(&r, fd[0], 1);
	close(fd[0]);
	write_lines(l, 0, 10);
	for (int i = 0; i < 500 && log_dropped(l) < 10; i++)
		poll(NULL, 0, 10);
	dropped = log_dropped(l);
	assert_int_equal(dropped, 10);
	log_free(l);
	buf_done(&r.text);
	close(fd[1]);
}

/* A full disk keeps its lines waiting; the end does not wait for it. */
static void full_disk_is_survived(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct log *l;

	if (fd < 0) {
		skip();
		return;
	}
	l = log_new(fd, LOG_JSON, LOG_INFO, NULL);
	write_lines(l, 0, 25000);
	assert_in_range(log_dropped(l), 10000, 24000);
	log_free(l);
	close(fd);
}

static void reader_that_sleeps_does_not_hold_the_end(void **state)
{
	struct log *l;
	int fd[2];

	assert_int_equal(pipe(fd), 0);
	l = log_new(fd[1], LOG_JSON, LOG_INFO, NULL);
	write_lines(l, 0, 5000);
	log_free(l);
	close(fd[0]);
	close(fd[1]);
}

static void formats(void **state)
{
	static const struct {
		enum log_format format;
		const char *start;
	} cases[] = {{LOG_AUTO, "{"}, {LOG_JSON, "{"}, {LOG_HUMAN, "INFO"}};

	for (int i = 0; i < 3; i++) {
		FILE *f = temporary();
		struct log *l = log_new(fileno(f), cases[i].format, LOG_INFO, NULL);
		char text[256] = "";

		log_write(l, LOG_INFO, "start", "hello", NULL, 0);
		log_free(l);
		assert_true(pread(fileno(f), text, sizeof(text) - 1, 0) > 0);
		assert_non_null(strstr(text, cases[i].start));
		/* Not a terminal: no colours, whoever asked for people's format. */
		assert_null(strchr(text, '\033'));
		fclose(f);
	}
}

static void terminal_gets_colours_unless_told(void **state)
{
	for (int round = 0; round < 3; round++) {
		int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
		char text[256] = "", name[64];
		struct log *l;

		if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0 ||
			ptsname_r(master, name, sizeof(name)) != 0) {
			skip();
			return;
		}
		setenv("TERM", round == 2 ? "dumb" : "xterm", 1);
		if (round == 1)
			setenv("NO_COLOR", "1", 1);
		else
			unsetenv("NO_COLOR");
		slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
		assert_true(slave >= 0);
		l = log_new(slave, LOG_AUTO, LOG_INFO, NULL);
		log_write(l, LOG_INFO, "start", "hello", NULL, 0);
		log_free(l);
		assert_true(read(master, text, sizeof(text) - 1) > 0);
		assert_non_null(strstr(text, "hello"));
		assert_int_equal(strchr(text, '\033') != NULL, round == 0);
		close(slave);
		close(master);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_comes_without_being_asked_for),
		cmocka_unit_test(levels_below_are_not_made),
		cmocka_unit_test(end_writes_all_that_is_queued),
		cmocka_unit_test(what_is_dropped_is_counted),
		cmocka_unit_test(reader_that_is_gone_is_survived),
		cmocka_unit_test(full_disk_is_survived),
		cmocka_unit_test(reader_that_sleeps_does_not_hold_the_end),
		cmocka_unit_test(formats),
		cmocka_unit_test(terminal_gets_colours_unless_told),
	};

	return cmocka_run_group_tests_name("obs/log", tests, NULL, NULL);
}
