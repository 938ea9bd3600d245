/* SPDX-License-Identifier: Apache-2.0 */
#include "state/cache/answers.h"
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/*
 * One lock for all: it is held to hang a piece on an answer or to look one up, never while bytes
 * are copied to a client. A piece's bytes do not move or change once they are counted in `n`, so
 * that readers use them without the lock.
 */

#define PIECE_BYTES 16384
#define FIRST_BUCKETS 256

struct piece {
	struct piece *next;
	size_t n, cap;
	char bytes[];
};

enum state { RUNNING, WHOLE, CUT, LOST };

struct answer {
	struct answers *table;
	struct answer *chain; /* of its bucket; not for what is out of the table */
	struct list node;     /* in table->kept or table->spent once it ended */
	struct list readers;
	uint8_t key[ANSWERS_DIGEST_BYTES], body[ANSWERS_DIGEST_BYTES];
	enum state state;
	bool begun, written; /* written: its writer ended */
	bool listed;         /* in the table */
	int64_t until_ms;
	size_t bytes; /* of its pieces, with their heads */
	struct piece *first, *last;
	struct answer_about about;
};

struct answer_reader {
	struct list node;
	struct answer *answer;
	struct mail mail;
	struct mailbox *mailbox;
	void (*ready)(void *user);
	void *user;
	struct piece *piece; /* where it reads; NULL: at the beginning */
	size_t at;
	bool waiting, posted, closed;
};

struct answers {
	pthread_mutex_t lock;
	struct answer **buckets;
	size_t n_buckets, n;
	struct list kept, spent; /* ended, oldest first; spent: without their bytes */
	int64_t bytes, max_bytes, max_answer_bytes;
};

struct answers *answers_new(struct err *err)
{
	struct answers *t = calloc(1, sizeof(*t));

	if (t != NULL) {
		t->n_buckets = FIRST_BUCKETS;
		t->buckets = calloc(t->n_buckets, sizeof(*t->buckets));
	}
	if (t == NULL || t->buckets == NULL) {
		free(t);
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	pthread_mutex_init(&t->lock, NULL);
	list_init(&t->kept);
	list_init(&t->spent);
	return t;
}

/* ---- the table; the lock is held ---- */

static size_t bucket_of(const struct answers *t, const uint8_t *key)
{
	uint64_t bits;

	memcpy(&bits, key, sizeof(bits)); /* a digest: all its bits are as good */
	return (size_t)(bits & (t->n_buckets - 1));
}

static struct answer *find(const struct answers *t, const uint8_t *key)
{
	struct answer *a = t->buckets[bucket_of(t, key)];

	while (a != NULL && memcmp(a->key, key, sizeof(a->key)) != 0)
		a = a->chain;
	return a;
}

/* Without memory the chains grow longer, which is slower and nothing else. */
static void grow(struct answers *t)
{
	size_t n = t->n_buckets;
	struct answer **old = t->buckets, **wider = calloc(n * 2, sizeof(*wider));

	if (wider == NULL)
		return;
	t->buckets = wider;
	t->n_buckets = n * 2;
	for (size_t i = 0; i < n; i++) {
		while (old[i] != NULL) {
			struct answer *a = old[i];
			size_t to = bucket_of(t, a->key);

			old[i] = a->chain;
			a->chain = wider[to];
			wider[to] = a;
		}
	}
	free(old);
}

static void enlist(struct answers *t, struct answer *a)
{
	size_t i;

	if (t->n >= t->n_buckets)
		grow(t);
	i = bucket_of(t, a->key);
	a->chain = t->buckets[i];
	t->buckets[i] = a;
	a->listed = true;
	t->n++;
}

static void delist(struct answers *t, struct answer *a)
{
	struct answer **p = &t->buckets[bucket_of(t, a->key)];

	if (!a->listed)
		return;
	while (*p != a)
		p = &(*p)->chain;
	*p = a->chain;
	a->listed = false;
	t->n--;
}

/* Nobody reads them: a->readers is empty. */
static void drop_pieces(struct answers *t, struct answer *a)
{
	t->bytes -= (int64_t)a->bytes;
	a->bytes = 0;
	while (a->first != NULL) {
		struct piece *p = a->first;

		a->first = p->next;
		free(p);
	}
	a->last = NULL;
}

/* Frees what nobody needs any more. */
static void let_go(struct answers *t, struct answer *a)
{
	if (!list_empty(&a->readers))
		return;
	if (a->state == LOST)
		drop_pieces(t, a);
	if (!a->written || a->listed)
		return;
	drop_pieces(t, a);
	list_remove(&a->node);
	t->bytes -= (int64_t)sizeof(*a);
	free(a);
}

/* What is known of it is all that is left: it can still not be made twice. */
static void spend(struct answers *t, struct answer *a)
{
	a->state = LOST;
	drop_pieces(t, a);
	list_remove(&a->node);
	list_add_back(&t->spent, &a->node);
}

static struct answer *oldest_unread(struct list *of)
{
	LIST_EACH(node, of)
	{
		struct answer *a = LIST_ITEM(node, struct answer, node);

		if (list_empty(&a->readers))
			return a;
	}
	return NULL;
}

static bool make_room(struct answers *t, size_t n)
{
	struct answer *a;

	while (t->bytes + (int64_t)n > t->max_bytes) {
		a = oldest_unread(&t->kept);
		if (a != NULL) {
			spend(t, a);
			continue;
		}
		a = oldest_unread(&t->spent);
		if (a == NULL)
			return false;
		delist(t, a);
		let_go(t, a);
	}
	return true;
}

static void forget_old(struct answers *t, struct list *of, int64_t now_ms)
{
	struct answer *a;

	while ((a = oldest_unread(of)) != NULL && a->until_ms <= now_ms) {
		delist(t, a);
		let_go(t, a);
	}
}

void answers_free(struct answers *t)
{
	if (t == NULL)
		return;
	t->max_bytes = 0;
	make_room(t, 1);
	assert(t->n == 0 && t->bytes == 0);
	pthread_mutex_destroy(&t->lock);
	free(t->buckets);
	free(t);
}

void answers_set_bounds(struct answers *t, int64_t max_bytes, int64_t max_answer_bytes)
{
	pthread_mutex_lock(&t->lock);
	t->max_bytes = max_bytes;
	t->max_answer_bytes = max_answer_bytes;
	make_room(t, 0);
	pthread_mutex_unlock(&t->lock);
}

int64_t answers_bytes(struct answers *t)
{
	int64_t bytes;

	pthread_mutex_lock(&t->lock);
	bytes = t->bytes;
	pthread_mutex_unlock(&t->lock);
	return bytes;
}

/* ---- claims ---- */

static void on_mail(struct mail *m)
{
	struct answer_reader *r = LIST_ITEM(m, struct answer_reader, mail);
	pthread_mutex_t *lock = &r->answer->table->lock;
	bool closed;

	pthread_mutex_lock(lock);
	r->posted = false;
	closed = r->closed;
	if (closed) {
		struct answer *a = r->answer;

		list_remove(&r->node);
		let_go(a->table, a);
	}
	pthread_mutex_unlock(lock);
	if (closed)
		free(r);
	else
		r->ready(r->user);
}

static void wake(struct answer *a)
{
	LIST_EACH(node, &a->readers)
	{
		struct answer_reader *r = LIST_ITEM(node, struct answer_reader, node);

		if (!r->waiting || r->posted || r->closed)
			continue;
		r->waiting = false;
		r->posted = true;
		mailbox_post(r->mailbox, &r->mail);
	}
}

static enum answers_claim claim_new(
	struct answers *t, const struct answers_ask *ask, struct answer **writer)
{
	struct answer *a = NULL;

	if (make_room(t, sizeof(*a)))
		a = calloc(1, sizeof(*a));
	if (a == NULL)
		return ANSWERS_FAILED;
	a->table = t;
	memcpy(a->key, ask->key, sizeof(a->key));
	memcpy(a->body, ask->body, sizeof(a->body));
	a->about.request = ask->request;
	list_init(&a->node);
	list_init(&a->readers);
	enlist(t, a);
	t->bytes += (int64_t)sizeof(*a);
	*writer = a;
	return ANSWERS_MINE;
}

static enum answers_claim claim_read(
	struct answer *a, const struct answers_ask *ask, struct answer_reader **reader)
{
	struct answer_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return ANSWERS_FAILED;
	*r = (struct answer_reader){.answer = a,
		.mail.run = on_mail,
		.mailbox = ask->mailbox,
		.ready = ask->ready,
		.user = ask->user};
	list_add_back(&a->readers, &r->node);
	*reader = r;
	return ANSWERS_THEIRS;
}

static enum answers_claim claim(struct answers *t, const struct answers_ask *ask,
	struct answer **writer, struct answer_reader **reader, struct answer_about *about)
{
	struct answer *a;

	forget_old(t, &t->kept, ask->now_ms);
	forget_old(t, &t->spent, ask->now_ms);
	a = find(t, ask->key);
	if (a != NULL && a->written && a->until_ms <= ask->now_ms) {
		delist(t, a);
		let_go(t, a);
		a = NULL;
	}
	if (a == NULL)
		return claim_new(t, ask, writer);
	*about = a->about;
	if (memcmp(a->body, ask->body, sizeof(a->body)) != 0)
		return ANSWERS_OTHER;
	return a->state == LOST ? ANSWERS_SPENT : claim_read(a, ask, reader);
}

enum answers_claim answers_claim(struct answers *t, const struct answers_ask *ask,
	struct answer **writer, struct answer_reader **reader, struct answer_about *about)
{
	enum answers_claim found;

	pthread_mutex_lock(&t->lock);
	found = claim(t, ask, writer, reader, about);
	pthread_mutex_unlock(&t->lock);
	return found;
}

/* ---- the writer ---- */

void answer_begin(struct answer *a, const struct answer_about *about)
{
	struct id request = a->about.request;

	pthread_mutex_lock(&a->table->lock);
	a->about = *about;
	a->about.request = request;
	a->begun = true;
	wake(a);
	pthread_mutex_unlock(&a->table->lock);
}

static bool add_piece(struct answer *a, size_t n)
{
	struct answers *t = a->table;
	size_t cap = n < PIECE_BYTES ? PIECE_BYTES : n;
	struct piece *p = NULL;

	/* The first piece of a short answer is as large as it. */
	if (a->first == NULL && !a->about.stream)
		cap = n;
	if ((int64_t)(a->bytes + sizeof(*p) + cap) <= t->max_answer_bytes &&
		make_room(t, sizeof(*p) + cap))
		p = malloc(sizeof(*p) + cap);
	if (p == NULL)
		return false;
	*p = (struct piece){.cap = cap};
	if (a->last != NULL)
		a->last->next = p;
	else
		a->first = p;
	a->last = p;
	a->bytes += sizeof(*p) + cap;
	t->bytes += (int64_t)(sizeof(*p) + cap);
	return true;
}

static bool append(struct answer *a, struct span s)
{
	while (s.n > 0) {
		struct piece *p = a->last;
		size_t n = p != NULL ? p->cap - p->n : 0;

		if (n == 0) {
			if (!add_piece(a, s.n))
				return false;
			continue;
		}
		if (n > s.n)
			n = s.n;
		memcpy(p->bytes + p->n, s.p, n);
		p->n += n;
		s = span_skip(s, n);
	}
	return true;
}

void answer_write(struct answer *a, const struct span *v, int n)
{
	struct answers *t = a->table;

	pthread_mutex_lock(&t->lock);
	assert(a->begun && !a->written);
	for (int i = 0; i < n && a->state == RUNNING; i++)
		if (!append(a, v[i]))
			a->state = LOST;
	if (a->state == LOST)
		let_go(t, a);
	wake(a);
	pthread_mutex_unlock(&t->lock);
}

bool answer_is_wanted(struct answer *a)
{
	bool wanted;

	pthread_mutex_lock(&a->table->lock);
	wanted = !list_empty(&a->readers);
	pthread_mutex_unlock(&a->table->lock);
	return wanted;
}

void answer_end(struct answer *a, enum answer_end how, int64_t cost_nusd, int64_t until_ms)
{
	struct answers *t = a->table;

	pthread_mutex_lock(&t->lock);
	a->about.cost_nusd = cost_nusd;
	a->until_ms = until_ms;
	a->written = true;
	if (!a->begun)
		a->state = LOST;
	if (a->state == RUNNING)
		a->state = how == ANSWER_CUT ? CUT : WHOLE;
	if (how == ANSWER_VOID)
		delist(t, a);
	else
		list_add_back(a->state == LOST ? &t->spent : &t->kept, &a->node);
	wake(a);
	let_go(t, a);
	pthread_mutex_unlock(&t->lock);
}

/* ---- readers ---- */

/* More bytes where the reader stands. */
static bool next_bytes(struct answer_reader *r, struct span *bytes)
{
	if (r->piece == NULL)
		r->piece = r->answer->first;
	while (r->piece != NULL && r->at == r->piece->n && r->piece->next != NULL) {
		r->piece = r->piece->next;
		r->at = 0;
	}
	if (r->piece == NULL || r->at == r->piece->n)
		return false;
	*bytes = (struct span){r->piece->bytes + r->at, r->piece->n - r->at};
	r->at = r->piece->n;
	return true;
}

static enum answer_part read_part(struct answer_reader *r, struct span *bytes)
{
	const struct answer *a = r->answer;

	if (a->state == LOST)
		return ANSWER_LOST;
	if (next_bytes(r, bytes))
		return ANSWER_PART;
	if (a->state == RUNNING) {
		r->waiting = true;
		return ANSWER_WAIT;
	}
	return a->state == CUT ? ANSWER_BREAKS : ANSWER_ENDS;
}

enum answer_part answer_read(
	struct answer_reader *r, struct answer_about *about, struct span *bytes)
{
	pthread_mutex_t *lock = &r->answer->table->lock;
	enum answer_part part;

	pthread_mutex_lock(lock);
	part = read_part(r, bytes);
	if (r->answer->begun)
		*about = r->answer->about;
	pthread_mutex_unlock(lock);
	return part;
}

void answer_reader_close(struct answer_reader *r)
{
	struct answer *a = r->answer;
	struct answers *t = a->table;
	bool posted;

	pthread_mutex_lock(&t->lock);
	posted = r->posted;
	r->closed = true;
	if (!posted) {
		list_remove(&r->node);
		let_go(t, a);
	}
	pthread_mutex_unlock(&t->lock);
	if (!posted)
		free(r);
}
