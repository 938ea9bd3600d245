/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * answers - what clients were answered, kept while it is made and for a time after, to be given
 * again.
 *
 * The first request with a key writes the answer; others with that key read it, from its beginning,
 * also while it is being written and from any thread. All memory, of answers and of what is only
 * known about them, is within one bound: the bytes of the oldest answers go first, then what is
 * known of the oldest. The table is shared by all threads and outlives writers and readers.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/err.h"
#include "machine/base/id.h"
#include "machine/loop/mailbox.h"

#define ANSWERS_DIGEST_BYTES 32
#define ANSWERS_MAX_NAME 127

struct answers;       /* the table */
struct answer;        /* the writer's side of one */
struct answer_reader; /* a reader's side */

struct answers *answers_new(struct err *err);
void answers_free(struct answers *t); /* no writer and no reader may be left */
/* All memory; one answer at most. Holds from now on. */
void answers_set_bounds(struct answers *t, int64_t max_bytes, int64_t max_answer_bytes);
int64_t answers_bytes(struct answers *t);

/* What is known of an answer beside its bytes. */
struct answer_about {
	struct id request; /* that made it */
	int status;
	bool stream; /* its head went out before its end was known */
	char type[ANSWERS_MAX_NAME + 1], provider[ANSWERS_MAX_NAME + 1],
		model[2 * ANSWERS_MAX_NAME + 1];
	int64_t cost_nusd; /* COST_UNKNOWN: not known. Once it is settled */
};

enum answers_claim {
	ANSWERS_MINE,   /* write it: *writer */
	ANSWERS_THEIRS, /* read it: *reader */
	ANSWERS_OTHER,  /* the key was used with another body; about->request says by whom */
	ANSWERS_SPENT,  /* it was given and paid for, its bytes are gone; *about says more */
	ANSWERS_FAILED  /* no memory */
};

struct answers_ask {
	uint8_t key[ANSWERS_DIGEST_BYTES], body[ANSWERS_DIGEST_BYTES];
	struct id request;
	int64_t now_ms;
	/* Of a reader: its loop's mailbox, and what is called there when there is more to read. */
	struct mailbox *mailbox;
	void (*ready)(void *user);
	void *user;
};

enum answers_claim answers_claim(struct answers *t, const struct answers_ask *ask,
	struct answer **writer, struct answer_reader **reader, struct answer_about *about);

/*
 * The writer. Begin (status and the names of *about; once, before the first byte), bytes, end. What
 * is over a bound is no longer kept: readers learn that it is lost, the writer goes on as if it
 * were.
 */
void answer_begin(struct answer *a, const struct answer_about *about);
void answer_write(struct answer *a, const struct span *v, int n);
/* Its readers wait for it: whoever writes goes on for their sake. */
bool answer_is_wanted(struct answer *a);

enum answer_end {
	ANSWER_WHOLE, /* kept until until_ms */
	ANSWER_CUT,   /* the same; it stays visibly incomplete when it is read again */
	ANSWER_VOID   /* readers get it as far as it came, whole; the key is free again */
};
/* Ends the writer's use of `a`. Without answer_begin it is lost to its readers. */
void answer_end(struct answer *a, enum answer_end how, int64_t cost_nusd, int64_t until_ms);

enum answer_part {
	ANSWER_WAIT,   /* nothing yet: `ready` will be called, once */
	ANSWER_PART,   /* *bytes, good until the reader's next call */
	ANSWER_ENDS,   /* all was read */
	ANSWER_BREAKS, /* all was read; the answer was cut there */
	ANSWER_LOST    /* it could not be kept, or was never made */
};
/* *about is filled once the answer began; the cost with the end. */
enum answer_part answer_read(
	struct answer_reader *r, struct answer_about *about, struct span *bytes);
void answer_reader_close(
	struct answer_reader *r); /* on its loop's thread; `ready` is not called any more */
