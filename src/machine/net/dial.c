/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/socket.h"
#include <stdio.h>
#include <stdlib.h>
#include "machine/net/address.h"
#include "machine/net/conn.h"
#include "machine/net/guard.h"
#include "machine/net/resolver.h"

_Static_assert(sizeof(((struct stream *)0)->peer) >= ADDRESS_TEXT_BYTES, "a peer fits");

#define STAGGER_MS 250 /* RFC 8305 section 5, "Connection Attempt Delay" */

struct dial {
	struct loop *loop;
	const struct dial_events *events;
	void *user;
	struct resolver_query query;
	struct timer total, stagger;
	struct loop_task fail; /* reports the failure */
	struct list attempts;
	int timeout_ms, port;
	int n, next; /* addresses, and the first one not tried */
	bool resolved, public_only;
	enum dial_failure why;
	struct err err;
	struct address addresses[RESOLVER_MAX_ADDRESSES];
	char host[];
};

/* One connection on its way. Outlives its dial until libuv has let go of it. */
struct attempt {
	struct list node;
	uv_connect_t req;
	struct conn *conn;
	struct dial *dial; /* NULL: nobody waits for it */
};

/* Ends everything but the memory that libuv still holds. */
static void dissolve(struct dial *d)
{
	struct list *node;

	while ((node = list_take_front(&d->attempts)) != NULL) {
		struct attempt *a = LIST_ITEM(node, struct attempt, node);

		a->dial = NULL;
		conn_discard(a->conn);
	}
	resolver_cancel(&d->query);
	timer_done(&d->total);
	timer_done(&d->stagger);
	loop_task_cancel(&d->fail);
}

static void on_fail(struct loop_task *t)
{
	struct dial *d = LIST_ITEM(t, struct dial, fail);

	dissolve(d);
	d->events->fail(d->user, d->why, &d->err);
	free(d);
}

static void fail(struct dial *d, enum dial_failure why, enum err_code code, const char *reason)
{
	d->why = why;
	d->err = (struct err){0};
	if (d->port > 0)
		err_set(&d->err, code, "cannot connect to %s port %d: %s", d->host, d->port,
			reason);
	else
		err_set(&d->err, code, "cannot connect to %s: %s", d->host, reason);
	loop_task_post(d->loop, &d->fail);
}

static void start_next(struct dial *d);

static void note_failure(struct dial *d, int status)
{
	/* A refusal says more than an address family without a route. */
	if (d->err.code != ERR_OK && d->why == DIAL_REFUSED)
		return;
	d->why = status == UV_ECONNREFUSED ? DIAL_REFUSED : DIAL_OTHER;
	d->err = (struct err){0};
	err_set(&d->err, ERR_UPSTREAM_UNREACHABLE, "%s", uv_strerror(status));
}

static void on_connect(uv_connect_t *req, int status)
{
	struct attempt *a = req->data;
	struct dial *d = a->dial;
	struct conn *c = a->conn;

	list_remove(&a->node);
	free(a);
	if (d == NULL)
		return; /* the connection was discarded with the dial */
	if (status < 0) {
		conn_discard(c);
		/* When the failure is already on its way, this one changes nothing. */
		if (list_empty(&d->fail.node)) {
			note_failure(d, status);
			start_next(d);
		}
		return;
	}
	dissolve(d);
	d->events->done(d->user, &c->s);
	free(d);
}

static int connect_to(struct dial *d, const struct address *to)
{
	struct attempt *a = calloc(1, sizeof(*a));
	int status = UV_ENOMEM;

	if (a == NULL)
		return UV_ENOMEM;
	a->conn = conn_new(d->loop, to->any.sa_family, &status);
	if (a->conn == NULL) {
		free(a);
		return status;
	}
	a->dial = d;
	a->req.data = a;
	address_write(to, a->conn->s.peer);
	if (a->conn->tcp) {
		uv_tcp_nodelay(&a->conn->uv.tcp, 1);
		status = uv_tcp_connect(&a->req, &a->conn->uv.tcp, &to->any, on_connect);
	} else {
		uv_pipe_connect(&a->req, &a->conn->uv.pipe, to->un.sun_path, on_connect);
		status = 0;
	}
	if (status < 0) {
		conn_discard(a->conn);
		free(a);
		return status;
	}
	list_add_back(&d->attempts, &a->node);
	return 0;
}

/* Tries the next address that can be tried at all; when there is none and nothing runs, it failed.
 */
static void start_next(struct dial *d)
{
	while (d->next < d->n) {
		int status = connect_to(d, &d->addresses[d->next++]);

		if (status == 0) {
			if (d->next < d->n)
				timer_start(&d->stagger, STAGGER_MS);
			return;
		}
		note_failure(d, status);
	}
	if (list_empty(&d->attempts)) {
		struct err last = d->err;

		fail(d, d->why, last.code, last.text);
	}
}

static void on_stagger(struct timer *t)
{
	start_next(LIST_ITEM(t, struct dial, stagger));
}

/* The addresses are known: every one of them counts, not only the one that would answer. */
static void connect_known(struct dial *d)
{
	for (int i = 0; d->public_only && i < d->n; i++) {
		if (guard_is_public(&d->addresses[i]))
			continue;
		fail(d, DIAL_GUARD, ERR_FORBIDDEN, "its address is not a public one");
		return;
	}
	start_next(d);
}

static void on_total(struct timer *t)
{
	struct dial *d = LIST_ITEM(t, struct dial, total);
	char reason[96];

	snprintf(reason, sizeof(reason), "%s within %d ms",
		d->resolved ? "no answer" : "the name was not resolved", d->timeout_ms);
	fail(d, DIAL_TIMEOUT, ERR_UPSTREAM_TIMEOUT, reason);
}

/* RFC 8305 section 4: the resolver's order, but the families take turns. */
static void set_addresses(struct dial *d, const struct address *a, int n)
{
	int first = 0, other = 0;

	while (d->n < n) {
		bool want_other = d->n % 2 == 1;
		int *at = want_other ? &other : &first;

		while (*at < n && (a[*at].any.sa_family != a[0].any.sa_family) != want_other)
			++*at;
		if (*at == n) {
			at = want_other ? &first : &other;
			while ((a[*at].any.sa_family != a[0].any.sa_family) == want_other)
				++*at;
		}
		address_copy(&d->addresses[d->n++], &a[(*at)++].any, d->port);
	}
	d->resolved = true;
}

static void on_resolved(struct resolver_query *q, const struct address *a, int n, const char *error)
{
	struct dial *d = LIST_ITEM(q, struct dial, query);

	if (n == 0) {
		fail(d, DIAL_DNS, ERR_UPSTREAM_UNREACHABLE, error);
		return;
	}
	set_addresses(d, a, n);
	connect_known(d);
}

static void resolve(struct dial *d, struct resolver *r)
{
	struct address found[RESOLVER_MAX_ADDRESSES];
	int n = 0;

	switch (resolver_ask(r, d->host, &d->query, found, &n)) {
	case RESOLVER_KNOWN:
		set_addresses(d, found, n);
		connect_known(d);
		break;
	case RESOLVER_ASKED:
		break;
	case RESOLVER_NO_MEMORY:
		fail(d, DIAL_OTHER, ERR_NO_MEMORY, "no memory to resolve the name");
		break;
	}
}

struct dial *dial_start(struct loop *l, struct resolver *r, const char *host, int port,
	int timeout_ms, bool public_only, const struct dial_events *events, void *user)
{
	size_t size = strlen(host) + 1;
	struct dial *d = calloc(1, sizeof(*d) + size);

	if (d == NULL)
		return NULL;
	memcpy(d->host, host, size);
	d->loop = l;
	d->events = events;
	d->user = user;
	d->timeout_ms = timeout_ms;
	d->public_only = public_only;
	d->query.done = on_resolved;
	list_init(&d->query.node);
	list_init(&d->attempts);
	loop_task_init(&d->fail, on_fail);
	timer_init(&d->stagger, l, on_stagger);
	timer_init(&d->total, l, on_total);
	timer_start(&d->total, timeout_ms);
	if (span_starts(span_of(host), SPAN("unix:"))) {
		d->resolved = true;
		if (address_read_unix(&d->addresses[0], span_skip(span_of(host), 5))) {
			d->n = 1;
			connect_known(d);
		} else {
			fail(d, DIAL_OTHER, ERR_UPSTREAM_UNREACHABLE, "no usable socket path");
		}
		return d;
	}
	d->port = port;
	if (address_read_ip(&d->addresses[0], span_of(host), port)) {
		d->resolved = true;
		d->n = 1;
		connect_known(d);
	} else {
		resolve(d, r);
	}
	return d;
}

void dial_cancel(struct dial *d)
{
	if (d == NULL)
		return;
	dissolve(d);
	free(d);
}
