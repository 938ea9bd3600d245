/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/socket.h"
#include "machine/net/probe_test.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include "machine/net/address.h"
#include "machine/net/conn.h"
#include "machine/net/resolver.h"

/* What a dial reported. */
struct outcome {
	struct stream *s;
	int done, fail;
	enum dial_failure why;
	struct err err;
	void (*then)(struct outcome *o);
};

static struct outcome out;
static bool inside;
static struct resolver *resolver;

static void on_done(void *user, struct stream *s)
{
	struct outcome *o = user;

	assert_false(inside);
	assert_null(s->events);
	o->done++;
	o->s = s;
	if (o->then != NULL)
		o->then(o);
}

static void on_fail(void *user, enum dial_failure why, const struct err *err)
{
	struct outcome *o = user;

	assert_false(inside);
	assert_true(err->code != ERR_OK);
	o->fail++;
	o->why = why;
	o->err = *err;
	if (o->then != NULL)
		o->then(o);
}

static const struct dial_events events = {.done = on_done, .fail = on_fail};

static bool public_only;

static struct dial *dial(const char *host, int port, int timeout_ms)
{
	struct dial *d;

	out = (struct outcome){0};
	inside = true;
	d = dial_start(loop, resolver, host, port, timeout_ms, public_only, &events, &out);
	inside = false;
	assert_non_null(d);
	return d;
}

/* --- a resolver by hand --- */

enum { MAX_LOOKUPS = 8 };

static struct {
	struct loop_task task;
	uv_getaddrinfo_t *req;
	uv_getaddrinfo_cb done;
	char name[64];
} lookups[MAX_LOOKUPS];
static int n_lookups, lookup_status;
static const char *answer; /* literals, separated by blanks */

static void on_lookup(struct loop_task *t)
{
	struct addrinfo *first = NULL, **last = &first;
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
	struct span rest = span_of(answer);
	int i = 0;

	while (&lookups[i].task != t)
		i++;
	while (lookup_status == 0 && rest.n > 0) {
		struct span literal = span_cut(&rest, ' ');
		char text[64];

		snprintf(text, sizeof(text), "%.*s", SPAN_ARG(literal));
		assert_int_equal(getaddrinfo(text, NULL, &hints, last), 0);
		last = &(*last)->ai_next;
	}
	lookups[i].done(lookups[i].req, lookup_status, first);
}

static int lookup(uv_loop_t *uv, uv_getaddrinfo_t *req, uv_getaddrinfo_cb done, const char *name,
	const char *service, const struct addrinfo *hints)
{
	assert_true(n_lookups < MAX_LOOKUPS);
	assert_null(service);
	req->loop = uv;
	lookups[n_lookups].req = req;
	lookups[n_lookups].done = done;
	snprintf(lookups[n_lookups].name, sizeof(lookups[0].name), "%s", name);
	loop_task_init(&lookups[n_lookups].task, on_lookup);
	loop_task_post(loop, &lookups[n_lookups++].task);
	return 0;
}

static int lookup_refused(uv_loop_t *uv, uv_getaddrinfo_t *req, uv_getaddrinfo_cb done,
	const char *name, const char *service, const struct addrinfo *hints)
{
	n_lookups++;
	return UV_ENOMEM;
}

/* --- peers --- */

/* Listens on a literal; port 0: any. Returns the descriptor, and the port. */
static int listen_at(const char *literal, int *port)
{
	struct address a;
	int fd, on = 1;

	assert_true(address_read_ip(&a, span_of(literal), *port));
	fd = socket(a.any.sa_family, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, &a.any, a.n), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, &a.any, &a.n), 0);
	*port = address_port(&a);
	return fd;
}

/* A port on which nothing listens, and which nobody else gets meanwhile. */
static int refused_port(int *keep)
{
	struct address a;

	*keep = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(address_read_ip(&a, SPAN("127.0.0.1"), 0));
	assert_int_equal(bind(*keep, &a.any, a.n), 0);
	assert_int_equal(getsockname(*keep, &a.any, &a.n), 0);
	return address_port(&a);
}

enum { HOLE_CLIENTS = 6 };
static int hole_fds[HOLE_CLIENTS + 1];

/* An address that answers nothing: a listener whose queue is full drops what comes. */
static int open_hole(const char *literal)
{
	struct address a;

	assert_true(address_read_ip(&a, span_of(literal), 0));
	hole_fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(hole_fds[0], &a.any, a.n), 0);
	assert_int_equal(listen(hole_fds[0], 0), 0);
	assert_int_equal(getsockname(hole_fds[0], &a.any, &a.n), 0);
	for (int i = 1; i <= HOLE_CLIENTS; i++) {
		hole_fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(hole_fds[i], &a.any, a.n);
	}
	usleep(20000);
	return address_port(&a);
}

static void close_hole(void)
{
	for (int i = 0; i <= HOLE_CLIENTS; i++)
		close(hole_fds[i]);
}

static int setup(void **state)
{
	if (probe_setup(state) < 0)
		return -1;
	resolver = resolver_new(loop);
	n_lookups = lookup_status = 0;
	return resolver != NULL ? 0 : -1;
}

static int clock_setup(void **state)
{
	if (probe_clock_setup(state) < 0)
		return -1;
	resolver = resolver_new(loop);
	n_lookups = lookup_status = 0;
	return resolver != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	resolver_free(resolver);
	return probe_teardown(state);
}

/* --- connecting --- */

static void a_connection_is_made_and_carries_bytes(void **state)
{
	int port = 0, ls = listen_at("127.0.0.1", &port), fd, on = 0;
	socklen_t n = sizeof(on);
	uv_os_fd_t own_fd;
	struct probe p;
	char text[40];

	dial("127.0.0.1", port, 5000);
	WAIT(out.done == 1);
	snprintf(text, sizeof(text), "127.0.0.1:%d", port);
	assert_string_equal(out.s->peer, text);
	uv_fileno(&((struct conn *)out.s)->uv.handle, &own_fd);
	assert_int_equal(getsockopt(own_fd, IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
	assert_int_equal(on, 1);
	fd = accept(ls, NULL, NULL);
	probe_init(&p, out.s);
	probe_resume(&p);
	assert_int_equal(send(fd, "hello", 5, 0), 5);
	WAIT(p.reads == 1);
	assert_true(probe_write(&p, SPAN("back")));
	assert_int_equal(recv(fd, text, sizeof(text), 0), 4);
	close(fd);
	WAIT(p.ends == 1);
	probe_close(&p);
	probe_done(&p);
	close(ls);
}

static void a_refusal_is_reported_as_one(void **state)
{
	int keep, port = refused_port(&keep);

	dial("127.0.0.1", port, 5000);
	WAIT(out.fail == 1);
	assert_int_equal(out.why, DIAL_REFUSED);
	assert_int_equal(out.err.code, ERR_UPSTREAM_UNREACHABLE);
	assert_non_null(strstr(out.err.text, "127.0.0.1"));
	assert_non_null(strstr(out.err.text, "refused"));
	close(keep);
}

static void a_silent_peer_times_out(void **state)
{
	int port = open_hole("127.0.0.1");
	int64_t start_us = loop_now_us(loop);

	dial("127.0.0.1", port, 120);
	WAIT(out.fail == 1);
	assert_int_equal(out.why, DIAL_TIMEOUT);
	assert_int_equal(out.err.code, ERR_UPSTREAM_TIMEOUT);
	assert_true(loop_now_us(loop) - start_us >= 120000);
	assert_true(loop_now_us(loop) - start_us < 5000000);
	close_hole();
}

static void a_unix_socket_is_dialled_by_its_path(void **state)
{
	struct address a;
	char host[80];
	int ls = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(host, sizeof(host), "unix:/tmp/dial_test_%d", (int)getpid());
	assert_true(address_read_unix(&a, span_skip(span_of(host), 5)));
	unlink(host + 5);
	dial(host, 0, 5000);
	WAIT(out.fail == 1);
	assert_int_equal(out.why, DIAL_OTHER);
	assert_int_equal(bind(ls, &a.any, a.n), 0);
	dial(host, 0, 5000);
	WAIT(out.fail == 1);
	assert_int_equal(out.why, DIAL_REFUSED);
	assert_int_equal(listen(ls, 1), 0);
	dial(host, 0, 5000);
	WAIT(out.done == 1);
	assert_string_equal(out.s->peer, "unix");
	stream_reset(out.s);
	close(ls);
	unlink(host + 5);
	dial("unix:", 0, 5000);
	WAIT(out.fail == 1);
	assert_int_equal(out.why, DIAL_OTHER);
}

/* --- several addresses --- */

static void a_refused_address_gives_way_to_the_next_at_once(void **state)
{
	int port = 0, ls;
	int64_t start_us;

	if (!probe_has_ipv6())
		skip();
	ls = listen_at("127.0.0.1", &port);
	resolver_set_lookup(resolver, lookup);
	answer = "::1 127.0.0.1";
	start_us = loop_now_us(loop);
	dial("dual.test", port, 5000);
	WAIT(out.done == 1);
	assert_true(loop_now_us(loop) - start_us < 200000);
	assert_true(span_starts(span_of(out.s->peer), SPAN("127.0.0.1:")));
	stream_reset(out.s);
	close(ls);
}

static void a_silent_address_is_overtaken_after_250_ms(void **state)
{
	int port = open_hole("127.0.0.2"), ls = listen_at("127.0.0.3", &port);
	int64_t start_us = loop_now_us(loop);

	resolver_set_lookup(resolver, lookup);
	answer = "127.0.0.2 127.0.0.3";
	dial("slow.test", port, 5000);
	WAIT(out.done == 1);
	assert_true(loop_now_us(loop) - start_us >= 250000);
	assert_true(loop_now_us(loop) - start_us < 3000000);
	assert_true(span_starts(span_of(out.s->peer), SPAN("127.0.0.3:")));
	stream_reset(out.s);
	close(ls);
	close_hole();
}

static void all_refused_is_refused(void **state)
{
	int keep, port = refused_port(&keep);

	resolver_set_lookup(resolver, lookup);
	answer = "127.0.0.1 127.0.0.9 127.0.0.8";
	dial("down.test", port, 5000);
	WAIT(out.fail == 1);
	assert_int_equal(out.why, DIAL_REFUSED);
	assert_non_null(strstr(out.err.text, "down.test"));
	close(keep);
}

static void dials_can_be_cancelled_at_any_time(void **state)
{
	int port = 0, ls = listen_at("127.0.0.1", &port);

	/* While resolving. */
	resolver_set_lookup(resolver, lookup);
	answer = "127.0.0.1";
	dial_cancel(dial("name.test", port, 5000));
	probe_turns();
	assert_int_equal(n_lookups, 1);
	/* While connecting. */
	dial_cancel(dial("127.0.0.1", port, 5000));
	/* With the failure on its way. */
	dial_cancel(dial("unix:", 0, 5000));
	probe_turns();
	dial_cancel(NULL);
	assert_int_equal(out.done + out.fail, 0);
	close(ls);
}

static void free_resolver(struct outcome *o)
{
	resolver_free(resolver);
	resolver = NULL;
}

static void the_resolver_may_be_freed_in_a_report(void **state)
{
	resolver_set_lookup(resolver, lookup);
	lookup_status = UV_EAI_NONAME;
	dial("gone.test", 80, 5000);
	out.then = free_resolver;
	WAIT(out.fail == 1);
	assert_null(resolver);
}

/* --- names --- */

static void the_system_resolves_localhost(void **state)
{
	int port = 0, ls = listen_at("127.0.0.1", &port);

	dial("localhost", port, 5000);
	WAIT(out.done == 1);
	stream_reset(out.s);
	close(ls);
}

static void an_unknown_name_is_a_dns_failure(void **state)
{
	resolver_set_lookup(resolver, lookup);
	lookup_status = UV_EAI_NONAME;
	dial("no.such.name.test", 80, 5000);
	WAIT(out.fail == 1);
	assert_int_equal(out.why, DIAL_DNS);
	assert_non_null(strstr(out.err.text, "no.such.name.test"));
	lookup_status = 0;
	answer = "";
	dial("no.address.test", 80, 5000);
	WAIT(out.fail == 1);
	assert_int_equal(out.why, DIAL_DNS);
	resolver_set_lookup(resolver, lookup_refused);
	dial("not.asked.test", 80, 5000);
	WAIT(out.fail == 1);
	assert_int_equal(out.why, DIAL_DNS);
}

/* A question of its own: asks, and counts the answers. */
struct question {
	struct resolver_query q;
	int answered, n;
	struct address a[RESOLVER_MAX_ADDRESSES];
};

static void on_answer(struct resolver_query *q, const struct address *a, int n, const char *error)
{
	struct question *x = (struct question *)q;

	assert_true(n > 0 || error != NULL);
	x->answered++;
	x->n = n;
	if (n > 0)
		memcpy(x->a, a, sizeof(*a) * (size_t)n);
}

static enum resolver_answer ask(struct question *x, const char *name)
{
	*x = (struct question){.q.done = on_answer};
	return resolver_ask(resolver, name, &x->q, x->a, &x->n);
}

static void a_name_is_asked_once_for_all_who_wait(void **state)
{
	struct question x[3];

	resolver_set_lookup(resolver, lookup);
	answer = "127.0.0.1 127.0.0.1 127.0.0.2";
	assert_int_equal(ask(&x[0], "a.test"), RESOLVER_ASKED);
	assert_int_equal(ask(&x[1], "A.test"), RESOLVER_ASKED);
	assert_int_equal(ask(&x[2], "b.test"), RESOLVER_ASKED);
	resolver_cancel(&x[1].q);
	probe_turns();
	assert_int_equal(n_lookups, 2);
	assert_int_equal(x[0].answered, 1);
	assert_int_equal(x[0].n, 2);
	assert_int_equal(x[1].answered, 0);
	assert_int_equal(x[2].answered, 1);
	assert_int_equal(ask(&x[1], "a.TEST"), RESOLVER_KNOWN);
	assert_int_equal(x[1].n, 2);
	assert_int_equal(n_lookups, 2);
}

static void answers_age(void **state)
{
	struct question x;

	resolver_set_lookup(resolver, lookup);
	answer = "127.0.0.1";
	assert_int_equal(ask(&x, "a.test"), RESOLVER_ASKED);
	probe_turns();
	probe_pass_ms(29000);
	assert_int_equal(ask(&x, "a.test"), RESOLVER_KNOWN);
	probe_pass_ms(2000);
	/* Too old: asked again, and the new answer counts. */
	answer = "127.0.0.5 127.0.0.6";
	assert_int_equal(ask(&x, "a.test"), RESOLVER_ASKED);
	probe_turns();
	assert_int_equal(x.n, 2);
	/* The resolver fails: the old answer serves for an hour. */
	lookup_status = UV_EAI_AGAIN;
	probe_pass_ms(3500000);
	assert_int_equal(ask(&x, "a.test"), RESOLVER_ASKED);
	probe_turns();
	assert_int_equal(x.n, 2);
	/* And for some seconds without asking. */
	assert_int_equal(ask(&x, "a.test"), RESOLVER_KNOWN);
	assert_int_equal(x.n, 2);
	probe_pass_ms(200000);
	assert_int_equal(ask(&x, "a.test"), RESOLVER_ASKED);
	probe_turns();
	assert_int_equal(x.answered, 1);
	assert_int_equal(x.n, 0);
	assert_int_equal(n_lookups, 4);
}

static uv_getaddrinfo_t *stuck_req;
static uv_getaddrinfo_cb stuck_done;

static int lookup_stuck(uv_loop_t *uv, uv_getaddrinfo_t *req, uv_getaddrinfo_cb done,
	const char *name, const char *service, const struct addrinfo *hints)
{
	req->loop = uv;
	stuck_req = req;
	stuck_done = done;
	return 0;
}

static void a_slow_resolver_is_not_waited_for_when_an_old_answer_is_there(void **state)
{
	struct question x, y;

	resolver_set_lookup(resolver, lookup);
	answer = "127.0.0.1";
	assert_int_equal(ask(&x, "a.test"), RESOLVER_ASKED);
	probe_turns();
	probe_pass_ms(60000);
	resolver_set_lookup(resolver, lookup_stuck);
	assert_int_equal(ask(&x, "a.test"), RESOLVER_ASKED);
	probe_pass_ms(900);
	assert_int_equal(x.answered, 0);
	probe_pass_ms(200);
	assert_int_equal(x.answered, 1);
	assert_int_equal(x.n, 1);
	assert_int_equal(ask(&y, "a.test"), RESOLVER_KNOWN);
	assert_int_equal(y.n, 1);
	stuck_done(stuck_req, UV_EAI_AGAIN, NULL);
	/* A late answer finds an orphan when everything went meanwhile. */
	assert_int_equal(ask(&y, "b.test"), RESOLVER_ASKED);
	resolver_cancel(&y.q);
	resolver_free(resolver);
	resolver = NULL;
	stuck_done(stuck_req, UV_EAI_AGAIN, NULL);
	assert_int_equal(y.answered, 0);
}

static void a_stuck_resolver_does_not_hold_up_the_end(void **state)
{
	static struct loop *left; /* on purpose */
	struct question x;
	int64_t start_us = loop_now_us(loop);

	resolver_set_lookup(resolver, lookup_stuck);
	assert_int_equal(ask(&x, "a.test"), RESOLVER_ASKED);
	resolver_cancel(&x.q);
	resolver_free(resolver);
	left = loop;
	loop_free(loop);
	assert_true(sys_real.mono_us(&sys_real) - start_us < 10000000);
	/* The answer may still come. */
	stuck_done(stuck_req, UV_EAI_AGAIN, NULL);
	assert_int_equal(left->stuck, 0);
	loop_free(left);
	assert_int_equal(setup(state), 0);
}

static void many_addresses_are_cut(void **state)
{
	char many[2000] = "";
	struct question x;

	for (int i = 1; i <= 64; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "%s127.0.1.%d",
			i > 1 ? " " : "", i);
	resolver_set_lookup(resolver, lookup);
	answer = many;
	assert_int_equal(ask(&x, "many.test"), RESOLVER_ASKED);
	probe_turns();
	assert_int_equal(x.n, RESOLVER_MAX_ADDRESSES);
}

static void the_cache_is_bounded(void **state)
{
	struct question x;
	char name[32];

	resolver_set_lookup(resolver, lookup);
	answer = "127.0.0.1";
	for (int i = 0; i < 2 * RESOLVER_MAX_NAMES; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		n_lookups = 0;
		assert_int_equal(ask(&x, name), RESOLVER_ASKED);
		probe_turns();
		assert_int_equal(x.answered, 1);
	}
	assert_int_equal(ask(&x, name), RESOLVER_KNOWN);
	n_lookups = 0;
	assert_int_equal(ask(&x, "n0.test"), RESOLVER_ASKED);
	probe_turns();
}

#define DIAL_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Every address of the name counts, not only the one that would answer. */
static void a_guarded_dial_goes_to_public_addresses_only(void **state)
{
	static const char *const names[] = {"127.0.0.1", "::1", "unix:/tmp/x", "a.test"};

	resolver_set_lookup(resolver, lookup);
	answer = "8.8.8.8 10.0.0.1";
	public_only = true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		dial(names[i], 80, 1000);
		probe_turns();
		assert_int_equal(out.fail, 1);
		assert_int_equal(out.why, DIAL_GUARD);
	}
	public_only = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIAL_TEST(a_connection_is_made_and_carries_bytes),
		DIAL_TEST(a_refusal_is_reported_as_one),
		DIAL_TEST(a_silent_peer_times_out),
		DIAL_TEST(a_unix_socket_is_dialled_by_its_path),
		DIAL_TEST(a_refused_address_gives_way_to_the_next_at_once),
		DIAL_TEST(a_silent_address_is_overtaken_after_250_ms),
		DIAL_TEST(all_refused_is_refused),
		DIAL_TEST(a_guarded_dial_goes_to_public_addresses_only),
		DIAL_TEST(dials_can_be_cancelled_at_any_time),
		DIAL_TEST(the_resolver_may_be_freed_in_a_report),
		DIAL_TEST(the_system_resolves_localhost),
		DIAL_TEST(an_unknown_name_is_a_dns_failure),
		DIAL_TEST(a_name_is_asked_once_for_all_who_wait),
		cmocka_unit_test_setup_teardown(answers_age, clock_setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_slow_resolver_is_not_waited_for_when_an_old_answer_is_there, clock_setup,
			teardown),
		DIAL_TEST(a_stuck_resolver_does_not_hold_up_the_end),
		DIAL_TEST(many_addresses_are_cut),
		DIAL_TEST(the_cache_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
