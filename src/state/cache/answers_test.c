/* SPDX-License-Identifier: Apache-2.0 */
#include "state/cache/answers.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct loop *loop;
static struct mailbox *box;
static struct answers *table;
static int readies;

static int begin(void **state)
{
	loop = loop_new(&sys_real, NULL);
	box = mailbox_new(loop, NULL);
	table = answers_new(NULL);
	answers_set_bounds(table, 1 << 20, 1 << 18);
	readies = 0;
	return 0;
}

static int end(void **state)
{
	mailbox_free(box);
	loop_free(loop);
	answers_free(table);
	return 0;
}

static void on_ready(void *user)
{
	readies++;
}

static struct answers_ask ask(const char *key, const char *body, int64_t now_ms)
{
	struct answers_ask a = {
		.now_ms = now_ms, .mailbox = box, .ready = on_ready, .request.bytes = {7}};

	snprintf((char *)a.key, sizeof(a.key), "%s", key);
	snprintf((char *)a.body, sizeof(a.body), "%s", body);
	return a;
}

static enum answers_claim claim(const char *key, const char *body, int64_t now_ms,
	struct answer **w, struct answer_reader **r)
{
	struct answers_ask a = ask(key, body, now_ms);
	struct answer_about about = {0};

	return answers_claim(table, &a, w, r, &about);
}

static void write_text(struct answer *a, const char *text)
{
	struct span s = span_of(text);

	answer_write(a, &s, 1);
}

static void make(const char *key, const char *text, int64_t until_ms)
{
	const struct answer_about about = {.status = 200, .type = "text/plain"};
	struct answer *w = NULL;

	assert_int_equal(claim(key, "b", 0, &w, NULL), ANSWERS_MINE);
	answer_begin(w, &about);
	write_text(w, text);
	answer_end(w, ANSWER_WHOLE, 5, until_ms);
}

/* All that is there now, behind what `out` has. */
static enum answer_part take(struct answer_reader *r, char *out, struct answer_about *about)
{
	struct span bytes;
	enum answer_part part;

	while ((part = answer_read(r, about, &bytes)) == ANSWER_PART)
		strncat(out, bytes.p, bytes.n);
	return part;
}

static void run_mails(void)
{
	for (int i = 0; i < 3; i++)
		uv_run(&loop->uv, UV_RUN_NOWAIT);
}

static void an_answer_is_read_again_with_all_that_is_known(void **state)
{
	struct answer_reader *r = NULL;
	struct answer_about about = {0};
	char text[100] = "";

	make("k", "hello", 1000);
	assert_int_equal(claim("k", "b", 999, NULL, &r), ANSWERS_THEIRS);
	assert_int_equal(take(r, text, &about), ANSWER_ENDS);
	assert_string_equal(text, "hello");
	assert_int_equal(about.status, 200);
	assert_int_equal(about.cost_nusd, 5);
	assert_int_equal(about.request.bytes[0], 7);
	assert_string_equal(about.type, "text/plain");
	answer_reader_close(r);
}

static void a_reader_follows_a_writer(void **state)
{
	const struct answer_about about = {.status = 200, .stream = true};
	struct answer_reader *early = NULL, *late = NULL;
	struct answer_about known = {0};
	struct answer *w = NULL;
	char one[100] = "", two[100] = "";

	assert_int_equal(claim("k", "b", 0, &w, NULL), ANSWERS_MINE);
	assert_false(answer_is_wanted(w));
	assert_int_equal(claim("k", "b", 0, NULL, &early), ANSWERS_THEIRS);
	assert_true(answer_is_wanted(w));
	assert_int_equal(take(early, one, &known), ANSWER_WAIT);
	answer_begin(w, &about);
	write_text(w, "one ");
	run_mails();
	assert_int_equal(readies, 1); /* once for both */
	assert_int_equal(take(early, one, &known), ANSWER_WAIT);
	assert_string_equal(one, "one ");
	assert_true(known.stream);
	write_text(w, "two");
	assert_int_equal(claim("k", "b", 0, NULL, &late), ANSWERS_THEIRS);
	assert_int_equal(take(late, two, &known), ANSWER_WAIT);
	assert_string_equal(two, "one two");
	answer_end(w, ANSWER_CUT, 0, 10);
	run_mails();
	assert_int_equal(readies, 3);
	assert_int_equal(take(early, one, &known), ANSWER_BREAKS);
	assert_string_equal(one, "one two");
	answer_reader_close(early);
	answer_reader_close(late);
}

static void another_body_is_not_answered(void **state)
{
	struct answer_about about = {0};
	struct answers_ask other = ask("k", "other", 0);

	make("k", "x", 1000);
	assert_int_equal(answers_claim(table, &other, NULL, NULL, &about), ANSWERS_OTHER);
	assert_int_equal(about.request.bytes[0], 7);
}

static void an_answer_is_forgotten_in_time(void **state)
{
	struct answer *w = NULL;

	make("k", "x", 1000);
	assert_int_equal(claim("k", "other", 1000, &w, NULL), ANSWERS_MINE);
	answer_end(w, ANSWER_VOID, 0, 0);
	assert_int_equal(answers_bytes(table), 0);
}

static void a_void_answer_leaves_its_key_free(void **state)
{
	const struct answer_about about = {.status = 503};
	struct answer_reader *r = NULL, *lost = NULL;
	struct answer *w = NULL;
	struct answer_about known;
	char text[100] = "";

	claim("k", "b", 0, &w, NULL);
	claim("k", "b", 0, NULL, &r);
	answer_begin(w, &about);
	write_text(w, "no");
	answer_end(w, ANSWER_VOID, 0, 1000);
	assert_int_equal(claim("k", "b", 0, &w, NULL), ANSWERS_MINE);
	assert_int_equal(take(r, text, &known), ANSWER_ENDS);
	assert_string_equal(text, "no");
	answer_reader_close(r);
	claim("k", "b", 0, NULL, &lost);
	answer_end(w, ANSWER_VOID, 0, 1000); /* never begun */
	assert_int_equal(take(lost, text, &known), ANSWER_LOST);
	answer_reader_close(lost);
	assert_int_equal(answers_bytes(table), 0);
}

static void what_is_too_long_is_known_but_not_kept(void **state)
{
	const struct answer_about about = {.status = 200, .stream = true};
	struct answer_about known = {0};
	struct answer_reader *r = NULL;
	struct answer *w = NULL;
	char piece[10001] = "", text[20000] = "";

	memset(piece, 'x', 10000);
	claim("k", "b", 0, &w, NULL);
	claim("k", "b", 0, NULL, &r);
	answer_begin(w, &about);
	write_text(w, piece);
	assert_int_equal(take(r, text, &known), ANSWER_WAIT);
	for (int i = 0; i < 40; i++)
		write_text(w, piece);
	assert_int_equal(take(r, text, &known), ANSWER_LOST);
	answer_reader_close(r);
	run_mails();
	answer_end(w, ANSWER_WHOLE, 5, 1000);
	assert_in_range(answers_bytes(table), 1, 2000);
	assert_int_equal(claim("k", "b", 0, &w, &r), ANSWERS_SPENT);
}

static void the_oldest_go_when_memory_ends(void **state)
{
	struct answer_reader *r = NULL, *held = NULL;
	struct answer_about about = {0};
	struct answer *w = NULL;
	char key[16], text[20001] = "";

	memset(text, 'x', 20000);
	make("held", "y", 1000);
	claim("held", "b", 0, NULL, &held);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		make(key, text, 1000);
		assert_in_range(answers_bytes(table), 1, 1 << 20);
	}
	assert_int_equal(claim("k0", "b", 0, &w, &r), ANSWERS_SPENT);
	assert_int_equal(claim("k99", "b", 0, &w, &r), ANSWERS_THEIRS);
	answer_reader_close(r);
	text[0] = '\0';
	assert_int_equal(take(held, text, &about), ANSWER_ENDS); /* it is being read */
	assert_string_equal(text, "y");
	answer_reader_close(held);
	answers_set_bounds(table, 100, 100);
	assert_int_equal(answers_bytes(table), 0);
	assert_int_equal(claim("k99", "b", 0, &w, &r), ANSWERS_FAILED);
}

static void a_closed_reader_hears_nothing(void **state)
{
	const struct answer_about about = {.status = 200};
	struct answer_about known = {0};
	struct answer_reader *r = NULL;
	struct answer *w = NULL;
	char text[10] = "";

	claim("k", "b", 0, &w, NULL);
	claim("k", "b", 0, NULL, &r);
	take(r, text, &known);
	answer_begin(w, &about); /* the mail is on its way */
	answer_reader_close(r);
	answer_end(w, ANSWER_VOID, 0, 0);
	run_mails();
	assert_int_equal(readies, 0);
	assert_int_equal(answers_bytes(table), 0);
}

/* ---- threads ---- */

enum { PIECES = 20000, READERS = 3 };

struct follower {
	pthread_t thread;
	struct loop *loop;
	struct mailbox *box;
	struct answer_reader *reader;
	long sum, n;
	bool whole;
};

static void on_more(void *user)
{
	struct follower *f = user;
	struct answer_about about;
	enum answer_part part;
	struct span bytes;

	while ((part = answer_read(f->reader, &about, &bytes)) == ANSWER_PART) {
		for (size_t i = 0; i < bytes.n; i++)
			f->sum += (long)bytes.p[i] * (++f->n % 7);
	}
	if (part == ANSWER_WAIT)
		return;
	f->whole = part == ANSWER_ENDS;
	answer_reader_close(f->reader);
	loop_stop(f->loop);
}

static void *follow(void *arg)
{
	struct follower *f = arg;

	on_more(f);
	loop_run(f->loop);
	return NULL;
}

static void readers_of_many_threads_see_the_same(void **state)
{
	const struct answer_about about = {.status = 200, .stream = true};
	struct follower readers[READERS] = {0};
	struct answer *w = NULL;
	long sum = 0, n = 0;

	claim("k", "b", 0, &w, NULL);
	for (int i = 0; i < READERS; i++) {
		struct answers_ask a = ask("k", "b", 0);
		struct answer_about known;

		readers[i].loop = loop_new(&sys_real, NULL);
		readers[i].box = mailbox_new(readers[i].loop, NULL);
		a.mailbox = readers[i].box;
		a.ready = on_more;
		a.user = &readers[i];
		assert_int_equal(
			answers_claim(table, &a, &w, &readers[i].reader, &known), ANSWERS_THEIRS);
		pthread_create(&readers[i].thread, NULL, follow, &readers[i]);
	}
	answer_begin(w, &about);
	for (int i = 0; i < PIECES; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%d,", i);
		for (const char *c = text; *c != '\0'; c++)
			sum += (long)*c * (++n % 7);
		write_text(w, text);
	}
	answer_end(w, ANSWER_VOID, 0, 0);
	for (int i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		assert_true(readers[i].whole);
		assert_int_equal(readers[i].n, n);
		assert_int_equal(readers[i].sum, sum);
		mailbox_free(readers[i].box);
		loop_free(readers[i].loop);
	}
	assert_int_equal(answers_bytes(table), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {TEST(an_answer_is_read_again_with_all_that_is_known),
		TEST(a_reader_follows_a_writer), TEST(another_body_is_not_answered),
		TEST(an_answer_is_forgotten_in_time), TEST(a_void_answer_leaves_its_key_free),
		TEST(what_is_too_long_is_known_but_not_kept), TEST(the_oldest_go_when_memory_ends),
		TEST(a_closed_reader_hears_nothing), TEST(readers_of_many_threads_see_the_same)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
