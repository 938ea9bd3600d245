/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/loop/mailbox.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

enum { THREADS = 4, MAILS = 20000 };

struct letter {
	struct mail mail;
	int thread, number;
};

static struct loop *loop;
static struct mailbox *box;
static int seen[THREADS], total;
static pthread_t loop_thread;

static int make_box(void **state)
{
	loop = loop_new(&sys_real, NULL);
	box = loop != NULL ? mailbox_new(loop, NULL) : NULL;
	total = 0;
	for (int i = 0; i < THREADS; i++)
		seen[i] = 0;
	loop_thread = pthread_self();
	return box != NULL ? 0 : -1;
}

static int free_box(void **state)
{
	mailbox_free(box);
	loop_free(loop);
	return 0;
}

static void on_letter(struct mail *m)
{
	struct letter *l = (struct letter *)m;

	assert_true(pthread_equal(pthread_self(), loop_thread));
	assert_int_equal(l->number, seen[l->thread]);
	seen[l->thread]++;
	free(l);
	if (++total == THREADS * MAILS)
		loop_stop(loop);
}

static struct letter *letter_new(int thread, int number)
{
	struct letter *l = malloc(sizeof(*l));

	if (l == NULL)
		abort();
	*l = (struct letter){.mail.run = on_letter, .thread = thread, .number = number};
	return l;
}

static void *post_many(void *arg)
{
	int thread = (int)(intptr_t)arg;

	for (int i = 0; i < MAILS; i++) {
		mailbox_post(box, &letter_new(thread, i)->mail);
		if (i % 1000 == 0)
			usleep(100);
	}
	return NULL;
}

static void mails_of_each_thread_arrive_once_and_in_order(void **state)
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, post_many, (void *)(intptr_t)i), 0);
	loop_run(loop);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(seen[i], MAILS);
	}
}

static void on_reply(struct mail *m)
{
	struct letter *l = (struct letter *)m;

	if (l->number-- > 0)
		mailbox_post(box, m);
	else
		loop_stop(loop);
}

static void a_mail_may_post_itself_again(void **state)
{
	struct letter l = {.mail.run = on_reply, .number = 1000};

	mailbox_post(box, &l.mail);
	loop_run(loop);
	assert_int_equal(l.number, -1);
}

static void mails_left_inside_are_run_when_the_box_is_freed(void **state)
{
	for (int i = 0; i < 3; i++)
		mailbox_post(box, &letter_new(0, i)->mail);
	mailbox_free(box);
	box = NULL;
	assert_int_equal(seen[0], 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			mails_of_each_thread_arrive_once_and_in_order, make_box, free_box),
		cmocka_unit_test_setup_teardown(a_mail_may_post_itself_again, make_box, free_box),
		cmocka_unit_test_setup_teardown(
			mails_left_inside_are_run_when_the_box_is_freed, make_box, free_box),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
