/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/resolver.h"
#include <netdb.h>
#include <stdlib.h>

#define SLOTS 64

struct resolver {
	struct loop *loop;
	resolver_lookup lookup;
	struct list names[SLOTS];
	struct list by_age; /* least recently asked for first */
	int n_names;
};

/* A name, what is known of it, and who waits. */
struct entry {
	struct list node, age_node;
	struct resolver *resolver; /* NULL when it went while the system was still asked */
	struct list waiting;
	struct loop_task fail; /* reports what could not even be asked */
	struct timer slow;     /* the system takes long; what is old is used */
	uv_getaddrinfo_t req;
	bool asking;
	int status;                  /* of a question that could not be asked */
	int64_t known_ms, failed_ms; /* failed_ms 0: the last answer was good */
	int n;
	struct address addresses[RESOLVER_MAX_ADDRESSES];
	char name[];
};

struct resolver *resolver_new(struct loop *l)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->loop = l;
	r->lookup = uv_getaddrinfo;
	for (int i = 0; i < SLOTS; i++)
		list_init(&r->names[i]);
	list_init(&r->by_age);
	return r;
}

void resolver_set_lookup(struct resolver *r, resolver_lookup lookup)
{
	r->lookup = lookup;
}

static void remove_entry(struct entry *e)
{
	struct list *node;

	e->resolver->n_names--;
	list_remove(&e->node);
	list_remove(&e->age_node);
	loop_task_cancel(&e->fail);
	timer_done(&e->slow);
	while ((node = list_take_front(&e->waiting)) != NULL)
		;
	if (!e->asking) {
		free(e);
		return;
	}
	/* Nobody can stop getaddrinfo once it runs; the answer finds the entry orphaned. */
	e->resolver = NULL;
	uv_cancel((uv_req_t *)&e->req);
}

void resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	while (!list_empty(&r->by_age))
		remove_entry(LIST_ITEM(r->by_age.next, struct entry, age_node));
	free(r);
}

static struct list *slot_of(struct resolver *r, const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name != '\0'; name++)
		hash = (hash ^ (uint8_t)(*name | 0x20)) * 16777619u;
	return &r->names[hash % SLOTS];
}

static struct entry *find(struct resolver *r, const char *name)
{
	struct list *slot = slot_of(r, name);

	LIST_EACH(node, slot)
	{
		struct entry *e = LIST_ITEM(node, struct entry, node);

		if (span_eq_nocase(span_of(e->name), span_of(name)))
			return e;
	}
	return NULL;
}

static void report(struct entry *e, const char *error)
{
	struct list due, *node;

	/* A callback may cancel other queries, ask again, or free the resolver and with it `e`. */
	list_init(&due);
	while ((node = list_take_front(&e->waiting)) != NULL)
		list_add_back(&due, node);
	if (e->n > 0 && !list_empty(&due)) {
		struct address a[RESOLVER_MAX_ADDRESSES];
		int n = e->n;

		memcpy(a, e->addresses, sizeof(*a) * (size_t)n);
		while ((node = list_take_front(&due)) != NULL) {
			struct resolver_query *q = LIST_ITEM(node, struct resolver_query, node);

			q->done(q, a, n, NULL);
		}
		return;
	}
	while ((node = list_take_front(&due)) != NULL) {
		struct resolver_query *q = LIST_ITEM(node, struct resolver_query, node);

		q->done(q, NULL, 0, error);
	}
}

static void forget_when_old(struct entry *e)
{
	if (e->n > 0 && loop_now_ms(e->resolver->loop) - e->known_ms >= RESOLVER_USABLE_MS)
		e->n = 0;
}

static void note_failure(struct entry *e)
{
	e->failed_ms = loop_now_ms(e->resolver->loop);
	forget_when_old(e);
}

static bool is_known(const struct entry *e, const struct address *a)
{
	for (int i = 0; i < e->n; i++)
		if (memcmp(&e->addresses[i], a, sizeof(*a)) == 0)
			return true;
	return false;
}

static void on_answer(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct entry *e = req->data;
	struct loop *l = LIST_ITEM(req->loop, struct loop, uv);

	l->stuck--;
	e->asking = false;
	if (e->resolver == NULL) {
		uv_freeaddrinfo(found);
		free(e);
		return;
	}
	if (status == 0 && found != NULL) {
		e->n = 0;
		e->failed_ms = 0;
		e->known_ms = loop_now_ms(l);
		for (struct addrinfo *i = found; i != NULL && e->n < RESOLVER_MAX_ADDRESSES;
			i = i->ai_next) {
			struct address a;

			if (address_copy(&a, i->ai_addr, 0) && !is_known(e, &a))
				e->addresses[e->n++] = a;
		}
	} else {
		note_failure(e);
	}
	uv_freeaddrinfo(found);
	timer_stop(&e->slow);
	report(e, status < 0 ? uv_strerror(status) : "the name has no address");
}

static void on_not_asked(struct loop_task *t)
{
	struct entry *e = LIST_ITEM(t, struct entry, fail);

	note_failure(e);
	report(e, uv_strerror(e->status));
}

static void on_slow(struct timer *t)
{
	struct entry *e = LIST_ITEM(t, struct entry, slow);

	forget_when_old(e);
	if (e->n > 0)
		report(e, NULL);
}

static void ask_system(struct entry *e)
{
	struct loop *l = e->resolver->loop;
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

	e->req.data = e;
	e->status = e->resolver->lookup(&l->uv, &e->req, on_answer, e->name, NULL, &hints);
	if (e->status < 0) {
		loop_task_post(l, &e->fail);
		return;
	}
	e->asking = true;
	l->stuck++;
	if (e->n > 0)
		timer_start(&e->slow, RESOLVER_SLOW_MS);
}

/* Room for one more name: the one not asked for the longest time goes, if nobody waits for it. */
static bool make_room(struct resolver *r)
{
	if (r->n_names < RESOLVER_MAX_NAMES)
		return true;
	LIST_EACH(node, &r->by_age)
	{
		struct entry *e = LIST_ITEM(node, struct entry, age_node);

		if (list_empty(&e->waiting)) {
			remove_entry(e);
			return true;
		}
	}
	return false;
}

static struct entry *add(struct resolver *r, const char *name)
{
	size_t n = strlen(name) + 1;
	struct entry *e = make_room(r) ? calloc(1, sizeof(*e) + n) : NULL;

	if (e == NULL)
		return NULL;
	memcpy(e->name, name, n);
	e->resolver = r;
	list_init(&e->waiting);
	list_init(&e->age_node);
	loop_task_init(&e->fail, on_not_asked);
	timer_init(&e->slow, r->loop, on_slow);
	list_add_front(slot_of(r, name), &e->node);
	r->n_names++;
	return e;
}

/* Without waiting: fresh, or the system has been slow or without an answer just now. */
static bool is_usable(const struct entry *e, int64_t now_ms)
{
	if (e->n == 0 || now_ms - e->known_ms >= RESOLVER_USABLE_MS)
		return false;
	return now_ms - e->known_ms < RESOLVER_FRESH_MS || (e->asking && e->slow.due_ms == 0) ||
	       (e->failed_ms != 0 && now_ms - e->failed_ms < RESOLVER_RETRY_MS);
}

enum resolver_answer resolver_ask(
	struct resolver *r, const char *name, struct resolver_query *q, struct address *out, int *n)
{
	struct entry *e = find(r, name);

	list_init(&q->node);
	if (e == NULL && (e = add(r, name)) == NULL)
		return RESOLVER_NO_MEMORY;
	list_remove(&e->age_node);
	list_add_back(&r->by_age, &e->age_node);
	if (is_usable(e, loop_now_ms(r->loop))) {
		memcpy(out, e->addresses, sizeof(*out) * (size_t)e->n);
		*n = e->n;
		return RESOLVER_KNOWN;
	}
	list_add_back(&e->waiting, &q->node);
	if (!e->asking && list_empty(&e->fail.node))
		ask_system(e);
	return RESOLVER_ASKED;
}

void resolver_cancel(struct resolver_query *q)
{
	list_remove(&q->node);
}
