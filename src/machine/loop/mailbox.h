/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * mailbox - the only way from one thread to another's loop.
 *
 * mailbox_post may be called by any thread; mails run on the loop's thread in order of posting,
 * many for one wake-up. A mail is owned by the poster until posted, then by the mailbox until
 * `run` is called, then by `run`.
 */
#include "machine/loop/loop.h"

struct mail {
	struct mail *next;
	void (*run)(struct mail *m);
};

struct mailbox;

struct mailbox *mailbox_new(struct loop *l, struct err *err);
void mailbox_free(struct mailbox *b); /* on the loop's thread, when nobody posts any more; mails
					 inside are run first */
void mailbox_post(struct mailbox *b, struct mail *m);
