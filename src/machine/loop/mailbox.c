/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/loop/mailbox.h"
#include <stdatomic.h>
#include <stdlib.h>

struct mailbox {
	uv_async_t async;
	struct loop *loop;
	_Atomic(struct mail *) newest; /* posted and not taken, newest first */
};

/* Takes all that is there and runs it in the order of posting. */
static bool run_mails(struct mailbox *b)
{
	struct mail *newest = atomic_exchange_explicit(&b->newest, NULL, memory_order_acquire);
	struct mail *oldest = NULL;

	if (newest == NULL)
		return false;
	while (newest != NULL) {
		struct mail *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest != NULL) {
		struct mail *m = oldest;

		oldest = m->next;
		m->next = NULL;
		m->run(m);
	}
	return true;
}

static void on_async(uv_async_t *async)
{
	run_mails(async->data);
}

struct mailbox *mailbox_new(struct loop *l, struct err *err)
{
	struct mailbox *b = calloc(1, sizeof(*b));
	int status = b != NULL ? uv_async_init(&l->uv, &b->async, on_async) : UV_ENOMEM;

	if (status < 0) {
		err_set(err, status == UV_ENOMEM ? ERR_NO_MEMORY : ERR_IO, "mailbox: %s",
			uv_strerror(status));
		free(b);
		return NULL;
	}
	b->async.data = b;
	b->loop = l;
	atomic_init(&b->newest, NULL);
	return b;
}

static void on_closed(uv_handle_t *handle)
{
	struct mailbox *b = handle->data;

	b->loop->closing--;
	free(b);
}

void mailbox_free(struct mailbox *b)
{
	if (b == NULL)
		return;
	while (run_mails(b))
		;
	b->loop->closing++;
	uv_close((uv_handle_t *)&b->async, on_closed);
}

void mailbox_post(struct mailbox *b, struct mail *m)
{
	struct mail *newest = atomic_load_explicit(&b->newest, memory_order_relaxed);

	do
		m->next = newest;
	while (!atomic_compare_exchange_weak_explicit(
		&b->newest, &newest, m, memory_order_release, memory_order_relaxed));
	/* Whoever posted into the empty box has woken the loop for all that follow. */
	if (newest == NULL)
		uv_async_send(&b->async);
}
