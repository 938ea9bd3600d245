/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/client.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

/* ---- a loop whose clock stands until moved, over real sockets ---- */

static struct sys clock_sys;
static int64_t clock_us;

static int64_t read_clock(struct sys *sys)
{
	(void)sys;
	return clock_us;
}

/* ---- an upstream that does as its script says, one line a connection ---- */

#define MAX_CONNS 8

enum then { KEEP, CLOSE, RESET, CLOSE_AT_ONCE, RESET_AT_ONCE };

struct line {
	const char *replies[3]; /* to the first, second, third request of the connection */
	enum then then;         /* after the last of them */
};

struct upstream_conn {
	struct upstream *up;
	struct stream *s;
	struct buf got;
	const struct line *line;
	int answered, ends;
};

struct upstream {
	struct listener *ls;
	const struct line *script;
	struct upstream_conn conns[MAX_CONNS];
	int n;
};

struct world {
	struct loop *loop;
	struct resolver *resolver;
	struct http_client *client;
	struct http_origin *origin;
	struct upstream up;
	/* What the last call said. */
	struct http_call *call;
	struct buf log;
	int heads, ends, fails;
	struct http_failure failure;
	int status;
	bool pause_at_head, cancel_at_head, cancel_at_body;
	void (*at_end)(struct world *w);
};

static void act(struct upstream_conn *c)
{
	if (c->line->then == CLOSE || c->line->then == CLOSE_AT_ONCE)
		stream_close(c->s);
	else if (c->line->then == RESET || c->line->then == RESET_AT_ONCE)
		stream_reset(c->s);
	else
		return;
	c->s = NULL;
}

/* A request is a head and what its Content-Length says. */
static bool take_request(struct upstream_conn *c)
{
	struct span got = buf_span(&c->got);
	ptrdiff_t end = span_find(got, SPAN("\r\n\r\n"));
	ptrdiff_t at =
		end >= 0 ? span_find(span_head(got, (size_t)end), SPAN("Content-Length: ")) : -1;
	size_t length = at >= 0 ? strtoul(got.p + at + 16, NULL, 10) : 0;

	if (end < 0 || got.n < (size_t)end + 4 + length)
		return false;
	return true;
}

static void upstream_read(void *user, struct span bytes)
{
	struct upstream_conn *c = user;
	const char *reply;

	buf_append(&c->got, bytes);
	if (c->answered >= 3 || !take_request(c))
		return;
	reply = c->line->replies[c->answered];
	if (reply == NULL)
		return;
	c->answered++;
	stream_write(c->s, &(struct span){reply, strlen(reply)}, 1);
	if (c->answered == 3 || c->line->replies[c->answered] == NULL)
		act(c);
	else
		buf_clear(&c->got);
}

static void upstream_end(void *user, const struct err *err)
{
	struct upstream_conn *c = user;

	(void)err;
	c->ends++;
	stream_close(c->s);
	c->s = NULL;
}

static const struct stream_events upstream_events = {.read = upstream_read, .end = upstream_end};

static void upstream_accept(void *user, struct stream *s)
{
	struct upstream *up = user;
	struct upstream_conn *c = &up->conns[up->n];

	assert_true(up->n < MAX_CONNS);
	*c = (struct upstream_conn){.up = up, .s = s, .line = &up->script[up->n]};
	up->n++;
	buf_init(&c->got, 64 << 20);
	stream_bind(s, &upstream_events, c);
	if (c->line->then >= CLOSE_AT_ONCE)
		act(c);
	else
		stream_resume(s);
}

/* ---- the caller ---- */

static void on_head(void *user, const struct http_head *head)
{
	struct world *w = user;

	w->heads++;
	w->status = head->status;
	buf_append_i64(&w->log, head->status);
	buf_append_char(&w->log, ' ');
	if (w->cancel_at_head) {
		http_call_cancel(w->call);
		w->call = NULL;
	} else if (w->pause_at_head) {
		http_call_pause(w->call);
	}
}

static void on_body(void *user, struct span bytes)
{
	struct world *w = user;

	buf_append(&w->log, bytes);
	if (w->cancel_at_body) {
		http_call_cancel(w->call);
		w->call = NULL;
	}
}

static void on_end(void *user)
{
	struct world *w = user;

	w->ends++;
	w->call = NULL;
	if (w->at_end != NULL)
		w->at_end(w);
}

static void on_fail(void *user, const struct http_failure *f)
{
	struct world *w = user;

	w->fails++;
	w->call = NULL;
	w->failure = *f;
	assert_true(f->err.code != ERR_OK);
}

static const struct http_call_events call_events = {
	.head = on_head, .body = on_body, .end = on_end, .fail = on_fail};

static void turn(struct world *w)
{
	uv_run(&w->loop->uv, UV_RUN_NOWAIT);
}

static void spin(struct world *w)
{
	for (int i = 0; i < 30; i++) {
		turn(w);
		usleep(300);
	}
}

static void pass_ms(struct world *w, int64_t ms)
{
	for (int64_t at = 0; at < ms; at += 100) {
		clock_us += (ms - at < 100 ? ms - at : 100) * 1000;
		turn(w);
		turn(w);
	}
	clock_us += 20000;
	spin(w);
}

static void world_open(struct world *w, const struct line *script)
{
	const struct http_client_limits limits = {.max_idle_per_origin = 2, .idle_ms = 55000};
	struct err err = {0};
	char url[64];
	const char *path;

	*w = (struct world){0};
	clock_sys = sys_real;
	clock_sys.mono_us = read_clock;
	clock_us = 1000000000;
	w->loop = loop_new(&clock_sys, &err);
	assert_non_null(w->loop);
	w->resolver = resolver_new(w->loop);
	w->client = http_client_new(w->loop, w->resolver, &limits);
	assert_true(w->resolver != NULL && w->client != NULL);
	w->up.script = script;
	w->up.ls = listener_open(w->loop, "127.0.0.1:0", upstream_accept, &w->up, &err);
	assert_non_null(w->up.ls);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/v1", listener_port(w->up.ls));
	w->origin = http_origin_new(url, NULL, &path, &err);
	assert_non_null(w->origin);
	assert_string_equal(path, "/v1");
	buf_init(&w->log, 64 << 20);
}

static void world_close(struct world *w)
{
	if (w->call != NULL)
		http_call_cancel(w->call);
	http_client_free(w->client);
	for (int i = 0; i < w->up.n; i++) {
		stream_close(w->up.conns[i].s);
		buf_done(&w->up.conns[i].got);
	}
	if (w->up.ls != NULL)
		listener_close(w->up.ls);
	http_origin_unref(w->origin);
	buf_done(&w->log);
	spin(w);
	pass_ms(w, 6000);
	resolver_free(w->resolver);
	loop_free(w->loop);
}

static struct http_call_spec spec_of(struct world *w, const struct span *body, int n)
{
	return (struct http_call_spec){.origin = w->origin,
		.method = n > 0 ? HTTP_POST : HTTP_GET,
		.target = SPAN("/v1/x?y"),
		.body = body,
		.n_body = n,
		.timeouts = {.connect_ms = 3000,
			.head_ms = 60000,
			.idle_ms = 120000,
			.total_ms = 600000}};
}

static void start(struct world *w, const struct http_call_spec *spec)
{
	w->heads = w->ends = w->fails = 0;
	buf_clear(&w->log);
	w->call = http_call_start(w->client, spec, &call_events, w);
	assert_non_null(w->call);
	assert_int_equal(w->heads + w->ends + w->fails, 0); /* nothing from inside */
	spin(w);
}

static void get(struct world *w)
{
	struct http_call_spec spec = spec_of(w, NULL, 0);

	start(w, &spec);
}

static void expect(struct world *w, const char *log)
{
	*buf_room(&w->log, 1) = '\0';
	assert_string_equal(buf_span(&w->log).p, log);
}

static void expect_end(struct world *w, const char *log)
{
	if (w->fails > 0)
		print_error("failed: %s\n", w->failure.err.text);
	expect(w, log);
	assert_int_equal(w->ends, 1);
	assert_int_equal(w->fails, 0);
}

static void expect_fail(
	struct world *w, enum http_failure_kind kind, enum http_phase phase, bool received)
{
	assert_int_equal(w->fails, 1);
	assert_int_equal(w->ends, 0);
	assert_int_equal(w->failure.kind, kind);
	assert_int_equal(w->failure.phase, phase);
	assert_int_equal(w->failure.received, received);
}

#define OK(length, body) "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n" body
#define CHUNKED(body) "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" body

#define TEST(name, ...)                                                                            \
	static void name(void **state)                                                             \
	{                                                                                          \
		static const struct line script[MAX_CONNS] = {__VA_ARGS__};                        \
		struct world w;                                                                    \
		(void)state;                                                                       \
		world_open(&w, script);                                                            \
		name##_in(&w);                                                                     \
		world_close(&w);                                                                   \
	}

/* ---- requests and answers ---- */

static void writes_from_a_template_in(struct world *w)
{
	const struct span body[] = {SPAN("{\"a\":"), SPAN("1}")};
	const struct http_field fields[] = {
		{SPAN("Authorization"), SPAN("Bearer k")}, {SPAN("X"), SPAN("")}};
	struct http_call_spec spec = spec_of(w, body, 2);
	char expected[300];

	spec.fields = fields;
	spec.n = 2;
	start(w, &spec);
	expect_end(w, "200 hi");
	snprintf(expected, sizeof(expected),
		"POST /v1/x?y HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer k\r\nX: \r\n"
		"Accept-Encoding: identity\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
		listener_port(w->up.ls));
	*buf_room(&w->up.conns[0].got, 1) = '\0';
	assert_string_equal(buf_span(&w->up.conns[0].got).p, expected);
}
TEST(writes_from_a_template, {{OK("2", "hi")}, KEEP})

static void never_writes_what_would_split_in(struct world *w)
{
	const struct http_field bad[] = {{SPAN("X"), SPAN("a\r\nY: b")}, {SPAN("X Y"), SPAN("a")},
		{SPAN("X"), SPAN("a\0")}, {SPAN(""), SPAN("a")}};
	struct http_call_spec spec = spec_of(w, NULL, 0);

	for (int i = 0; i < 4; i++) {
		spec.fields = &bad[i];
		spec.n = 1;
		start(w, &spec);
		expect_fail(w, HTTP_FAIL_PROTOCOL, HTTP_PHASE_CONNECT, false);
		assert_false(w->failure.sent);
	}
	spec.n = 0;
	spec.target = SPAN("/a b");
	start(w, &spec);
	expect_fail(w, HTTP_FAIL_PROTOCOL, HTTP_PHASE_CONNECT, false);
	spec.target = SPAN("/a\r\nX: y");
	start(w, &spec);
	expect_fail(w, HTTP_FAIL_PROTOCOL, HTTP_PHASE_CONNECT, false);
	assert_int_equal(w->up.n, 0);
}
TEST(never_writes_what_would_split, {{NULL}, KEEP})

static void reads_every_framing_in(struct world *w)
{
	get(w);
	expect_end(w, "200 hi");
	get(w);
	expect_end(w, "200 abcde");
	assert_int_equal(w->up.n, 1); /* the same connection */
	get(w);
	expect_end(w, "204 ");
	assert_int_equal(w->up.n, 1);
	get(w);
	assert_int_equal(w->up.n, 2);
	expect_end(w, "200 until the end");
	get(w);
	expect_end(w, "200 ok");
	assert_int_equal(w->up.n, 3);
	spin(w);
	get(w);
	expect_end(w, "302 ");        /* never followed */
	assert_int_equal(w->up.n, 4); /* the last one said close */
}
TEST(reads_every_framing,
	{{OK("2", "hi"), CHUNKED("2\r\nab\r\n3;x\r\ncde\r\n0\r\nT: t\r\n\r\n"),
		 "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"},
		KEEP},
	{{"HTTP/1.1 200 OK\r\n\r\nuntil the end"}, CLOSE},
	{{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 "
	  "OK\r\nConnection: close\r\n"
	  "Content-Length: 2\r\n\r\nok"},
		KEEP},
	{{"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"},
		KEEP})

static void head_asks_no_body_in(struct world *w)
{
	struct http_call_spec spec = spec_of(w, NULL, 0);

	spec.method = HTTP_HEAD;
	start(w, &spec);
	expect_end(w, "200 ");
	get(w);
	expect_end(w, "200 hi");
	assert_int_equal(w->up.n, 1);
}
TEST(head_asks_no_body, {{OK("2", ""), OK("2", "hi")}, KEEP})

/* ---- the pool ---- */

static void second_call(struct world *w)
{
	struct http_call_spec spec = spec_of(w, NULL, 0);

	w->at_end = NULL;
	w->call = http_call_start(w->client, &spec, &call_events, w);
}

static void a_call_may_start_at_anothers_end_in(struct world *w)
{
	w->at_end = second_call;
	get(w);
	assert_int_equal(w->ends, 2);
	expect(w, "200 hi200 ho");
	assert_int_equal(w->up.n, 1);
}
TEST(a_call_may_start_at_anothers_end, {{OK("2", "hi"), OK("2", "ho")}, KEEP})

static void surplus_bytes_end_the_connection_in(struct world *w)
{
	get(w);
	expect_end(w, "200 hi");
	assert_int_equal(w->up.conns[0].ends, 1);
	get(w);
	expect_end(w, "200 ho");
	assert_int_equal(w->up.n, 2);
}
TEST(surplus_bytes_end_the_connection, {{OK("2", "hiHTTP/1.1 200 OK\r\n")}, KEEP},
	{{OK("2", "ho")}, KEEP})

static void unasked_bytes_end_an_idle_connection_in(struct world *w)
{
	get(w);
	expect_end(w, "200 hi");
	stream_write(
		w->up.conns[0].s, &SPAN("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), 1);
	spin(w);
	assert_int_equal(w->up.conns[0].ends, 1);
	get(w);
	expect_end(w, "200 ho");
}
TEST(unasked_bytes_end_an_idle_connection, {{OK("2", "hi")}, KEEP}, {{OK("2", "ho")}, KEEP})

static void a_closed_idle_connection_is_noticed_in(struct world *w)
{
	get(w);
	expect_end(w, "200 hi");
	get(w);
	expect_end(w, "200 ho");
	assert_int_equal(w->up.n, 2);
	assert_int_equal(w->up.conns[1].answered, 1);
}
TEST(a_closed_idle_connection_is_noticed, {{OK("2", "hi")}, CLOSE}, {{OK("2", "ho")}, KEEP})

/* The upstream closes when the second request arrives: no fault of the call. */
static void stale(struct world *w)
{
	const struct span body = SPAN("abc");
	struct http_call_spec spec = spec_of(w, &body, 1);

	get(w);
	expect_end(w, "200 hi");
	start(w, &spec);
	expect_end(w, "200 ho");
	assert_int_equal(w->up.n, 2);
	assert_true(span_ends(buf_span(&w->up.conns[1].got), SPAN("\r\n\r\nabc")));
}

static void a_stale_connection_is_retried_in(struct world *w)
{
	stale(w);
}
TEST(a_stale_connection_is_retried, {{OK("2", "hi"), ""}, CLOSE}, {{OK("2", "ho")}, KEEP})

static void a_reset_connection_is_retried_in(struct world *w)
{
	stale(w);
}
TEST(a_reset_connection_is_retried, {{OK("2", "hi"), ""}, RESET}, {{OK("2", "ho")}, KEEP})

static void retries_only_once_in(struct world *w)
{
	get(w);
	expect_end(w, "200 hi");
	get(w);
	expect_fail(w, HTTP_FAIL_CLOSED, HTTP_PHASE_HEAD, false);
	assert_true(w->failure.sent);
	assert_int_equal(w->up.n, 2);
}
TEST(retries_only_once, {{OK("2", "hi"), ""}, CLOSE}, {{""}, CLOSE})

static void a_fresh_connection_is_not_retried_in(struct world *w)
{
	get(w);
	expect_fail(w, HTTP_FAIL_CLOSED, HTTP_PHASE_HEAD, false);
	assert_int_equal(w->up.n, 1);
}
TEST(a_fresh_connection_is_not_retried, {{""}, RESET})

static void nothing_is_retried_after_a_byte_in(struct world *w)
{
	get(w);
	expect_end(w, "200 hi");
	get(w);
	expect_fail(w, HTTP_FAIL_CLOSED, HTTP_PHASE_HEAD, true);
	assert_int_equal(w->up.n, 1);
}
TEST(nothing_is_retried_after_a_byte, {{OK("2", "hi"), "HTTP/1.1 2"}, CLOSE})

static void the_pool_is_bounded_in(struct world *w)
{
	struct http_call *calls[4];
	struct http_call_spec spec = spec_of(w, NULL, 0);

	for (int i = 0; i < 4; i++)
		calls[i] = http_call_start(w->client, &spec, &call_events, w);
	(void)calls;
	w->call = NULL;
	spin(w);
	assert_int_equal(w->ends, 4);
	assert_int_equal(w->up.n, 4);
	assert_int_equal(w->up.conns[0].ends + w->up.conns[1].ends + w->up.conns[2].ends +
				 w->up.conns[3].ends,
		2);
	pass_ms(w, 56000);
	assert_int_equal(w->up.conns[0].ends + w->up.conns[1].ends + w->up.conns[2].ends +
				 w->up.conns[3].ends,
		4);
}
TEST(the_pool_is_bounded, {{OK("2", "hi")}, KEEP}, {{OK("2", "hi")}, KEEP}, {{OK("2", "hi")}, KEEP},
	{{OK("2", "hi")}, KEEP})

/* ---- faults ---- */

static void malformed_answers_fail(void **state)
{
	static const char *const answers[] = {"garbage\r\n\r\n", "<html>hello</html>\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 999999 OK\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 0\n\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct line script[MAX_CONNS] = {{{answers[i]}, KEEP}};
		struct world w;

		world_open(&w, script);
		get(&w);
		expect_fail(&w, HTTP_FAIL_PROTOCOL, HTTP_PHASE_HEAD, true);
		assert_int_equal(w.heads, 0);
		assert_int_equal(w.up.conns[0].ends, 1);
		world_close(&w);
	}
}

static void damaged_bodies_fail(void **state)
{
	static const struct {
		struct line line;
		const char *log;
		enum http_failure_kind kind;
	} rows[] = {
		{{{OK("5", "hi")}, CLOSE}, "200 hi", HTTP_FAIL_CLOSED},
		{{{OK("5", "hi")}, RESET}, NULL, HTTP_FAIL_CLOSED},
		{{{CHUNKED("2\r\nhi\r\n")}, CLOSE}, "200 hi", HTTP_FAIL_CLOSED},
		{{{CHUNKED("2\r\nhi\r\n0\r\n")}, CLOSE}, "200 hi", HTTP_FAIL_CLOSED},
		{{{CHUNKED("2\r\nhi\r\nzz\r\n")}, KEEP}, "200 hi", HTTP_FAIL_PROTOCOL},
		{{{CHUNKED("2\r\nhiX\r\n")}, KEEP}, "200 hi", HTTP_FAIL_PROTOCOL},
		{{{CHUNKED("2\r\nhi\r\n0\r\nbad trailer\r\n\r\n")}, KEEP}, "200 hi",
			HTTP_FAIL_PROTOCOL},
		{{{"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nhi"}, KEEP},
			"", HTTP_FAIL_CODING},
		{{{"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi"},
			 KEEP},
			"200 ", HTTP_FAIL_CODING},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct line script[MAX_CONNS] = {rows[i].line};
		struct world w;

		world_open(&w, script);
		get(&w);
		assert_int_equal(w.fails, 1);
		assert_int_equal(w.failure.kind, rows[i].kind);
		assert_true(w.failure.received || rows[i].line.then == RESET);
		if (rows[i].log != NULL)
			expect(&w, rows[i].log);
		world_close(&w);
	}
}

static void refused_connections_fail_in(struct world *w)
{
	listener_close(w->up.ls);
	w->up.ls = NULL;
	spin(w);
	get(w);
	expect_fail(w, HTTP_FAIL_CONNECT, HTTP_PHASE_CONNECT, false);
	assert_false(w->failure.sent);
}
TEST(refused_connections_fail, {{NULL}, KEEP})

static void the_head_has_its_time_in(struct world *w)
{
	get(w);
	for (int i = 0; i < 59; i++) {
		pass_ms(w, 980);
		stream_write(w->up.conns[0].s,
			&(struct span){&"HTTP/1.1 200 OK\r\nX: "
					"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"[i],
				1},
			1);
		assert_int_equal(w->fails, 0);
	}
	pass_ms(w, 1100); /* a byte a second does not help */
	expect_fail(w, HTTP_FAIL_TIMEOUT, HTTP_PHASE_HEAD, true);
	spin(w);
	assert_int_equal(w->up.conns[0].ends, 1);
}
TEST(the_head_has_its_time, {{NULL}, KEEP})

static void a_silent_body_has_its_time_in(struct world *w)
{
	get(w);
	for (int i = 0; i < 3; i++) {
		pass_ms(w, 119000);
		stream_write(w->up.conns[0].s, &SPAN("1\r\nx\r\n"), 1);
		spin(w);
	}
	expect(w, "200 xxx");
	pass_ms(w, 120000);
	expect_fail(w, HTTP_FAIL_TIMEOUT, HTTP_PHASE_BODY, true);
}
TEST(a_silent_body_has_its_time, {{CHUNKED("")}, KEEP})

static void a_call_has_its_time_in_all_in(struct world *w)
{
	get(w);
	for (int i = 0; i < 5; i++) {
		pass_ms(w, 110000);
		stream_write(w->up.conns[0].s, &SPAN("1\r\nx\r\n"), 1);
		spin(w);
	}
	assert_int_equal(w->fails, 0);
	pass_ms(w, 50000);
	expect_fail(w, HTTP_FAIL_TIMEOUT, HTTP_PHASE_BODY, true);
}
TEST(a_call_has_its_time_in_all, {{CHUNKED("")}, KEEP})

static void an_untaken_request_has_its_time_in(struct world *w)
{
	char *big = calloc(1, 32 << 20);
	struct span body = {big, 32 << 20};
	struct http_call_spec spec = spec_of(w, &body, 1);

	assert_non_null(big);
	w->call = http_call_start(w->client, &spec, &call_events, w);
	for (int i = 0; i < 100 && w->up.n == 0; i++)
		turn(w);
	assert_int_equal(w->up.n, 1);
	stream_pause(w->up.conns[0].s);
	spin(w);
	pass_ms(w, 59000);
	assert_int_equal(w->fails, 0);
	pass_ms(w, 61000);
	expect_fail(w, HTTP_FAIL_TIMEOUT, HTTP_PHASE_SEND, false);
	free(big);
}
TEST(an_untaken_request_has_its_time, {{NULL}, KEEP})

/* U-26: the answer counts, the connection does not. */
static void an_early_answer_is_given_in(struct world *w)
{
	char *big = calloc(1, 32 << 20);
	struct span body = {big, 32 << 20};
	struct http_call_spec spec = spec_of(w, &body, 1);

	assert_non_null(big);
	w->call = http_call_start(w->client, &spec, &call_events, w);
	for (int i = 0; i < 100 && w->up.n == 0; i++)
		turn(w);
	stream_pause(w->up.conns[0].s);
	stream_write(w->up.conns[0].s,
		&SPAN("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"), 1);
	spin(w);
	expect_end(w, "413 no");
	free(big);
	get(w);
	assert_int_equal(w->up.n, 2);
	expect_end(w, "200 hi");
}
TEST(an_early_answer_is_given, {{NULL}, KEEP}, {{OK("2", "hi")}, KEEP})

static void pausing_stops_reading_in(struct world *w)
{
	w->pause_at_head = true;
	get(w);
	expect(w, "200 ");
	stream_write(w->up.conns[0].s, &SPAN("2\r\nhi\r\n"), 1);
	pass_ms(w, 300000); /* the idle timer stops too */
	expect(w, "200 ");
	http_call_resume(w->call);
	spin(w);
	expect(w, "200 hi");
	stream_write(w->up.conns[0].s, &SPAN("0\r\n\r\n"), 1);
	spin(w);
	expect_end(w, "200 hi");
}
TEST(pausing_stops_reading, {{CHUNKED("")}, KEEP})

static void a_pause_holds_the_rest_of_a_read_in(struct world *w)
{
	w->pause_at_head = true;
	get(w);
	expect(w, "200 ");
	assert_int_equal(w->ends, 0);
	http_call_resume(w->call);
	expect(w, "200 "); /* nothing from inside */
	http_call_pause(w->call);
	spin(w);
	expect(w, "200 ");
	http_call_resume(w->call);
	spin(w);
	expect_end(w, "200 hiho");
	get(w);
	expect(w, "200 ");
	assert_int_equal(w->up.n, 1);
	http_call_resume(w->call);
	spin(w);
	expect_end(w, "200 ");
}
TEST(a_pause_holds_the_rest_of_a_read,
	{{CHUNKED("2\r\nhi\r\n2\r\nho\r\n0\r\n\r\n"), OK("0", "")}, KEEP})

static void cancelling_closes_at_once(void **state)
{
	static const struct line script[MAX_CONNS] = {{{CHUNKED("2\r\nhi\r\n2\r\nho\r\n")}, KEEP}};

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct world w;
		struct http_call_spec spec;

		world_open(&w, script);
		spec = spec_of(&w, NULL, 0);
		w.cancel_at_head = i == 1;
		w.cancel_at_body = i == 2;
		w.pause_at_head = i == 3;
		if (i == 0) {
			struct http_call *call = http_call_start(w.client, &spec, &call_events, &w);

			assert_non_null(call);
			http_call_cancel(call);
			spin(&w);
			assert_int_equal(w.heads, 0);
		} else {
			start(&w, &spec);
			if (i >= 3)
				http_call_cancel(w.call);
			w.call = NULL;
			spin(&w);
			expect(&w, i == 2 ? "200 hi" : i == 4 ? "200 hiho" : "200 ");
			assert_int_equal(w.up.conns[0].ends, 1);
		}
		assert_int_equal(w.fails + w.ends, 0);
		world_close(&w);
	}
}

static void decodes_gzip_in(struct world *w)
{
	static const char text[] = "data: hello\n\n";
	unsigned char packed[200];
	char head[200];
	z_stream z = {0};
	struct span v[2];

	deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
	z.next_in = (unsigned char *)text;
	z.avail_in = sizeof(text) - 1;
	z.next_out = packed;
	z.avail_out = sizeof(packed);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	get(w);
	snprintf(head, sizeof(head),
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n",
		(int)(sizeof(packed) - z.avail_out));
	v[0] = span_of(head);
	v[1] = (struct span){(char *)packed, sizeof(packed) - z.avail_out};
	stream_write(w->up.conns[0].s, v, 2);
	spin(w);
	expect_end(w, "200 data: hello\n\n");
}
TEST(decodes_gzip, {{NULL}, KEEP})

/* ---- origins ---- */

static void reads_origins(void **state)
{
	static const struct {
		const char *url, *host, *authority, *path;
		int port;
	} rows[] = {
		{"http://a", "a", "a", "", 80},
		{"HTTP://a.b-c_d:8000/v1", "a.b-c_d", "a.b-c_d:8000", "/v1", 8000},
		{"http://[::1]:1/", "::1", "[::1]:1", "/", 1},
		{"http://[2001:db8::1]", "2001:db8::1", "[2001:db8::1]", "", 80},
		{"unix:/run/x.sock", "unix:/run/x.sock", "localhost", "", 0},
	};
	static const char *const bad[] = {"", "a", "ftp://a", "http://", "http:///x", "http://u@a",
		"http://u:p@a/", "http://a:0", "http://a:65536", "http://a:x", "http://a:+1",
		"http://a:", "http://[::1", "http://[]", "http://[::1]x", "http://[x]",
		"http://a b", "http://a#b", "http://a?b", "http://a/b?c", "http://a,b",
		"http://a/\r\n", "http://a/\xc3\xa9", "https://a" /* without a TLS context */};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = {0};
		const char *path;
		struct http_origin *o = http_origin_new(rows[i].url, NULL, &path, &err);

		assert_non_null(o);
		assert_string_equal(o->host, rows[i].host);
		assert_string_equal(o->authority, rows[i].authority);
		assert_string_equal(path, rows[i].path);
		assert_int_equal(o->port, rows[i].port);
		assert_false(o->tls);
		http_origin_unref(http_origin_ref(o));
		http_origin_unref(o);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = {0};
		const char *path;

		if (http_origin_new(bad[i], NULL, &path, &err) != NULL)
			fail_msg("accepted %s", bad[i]);
		assert_int_equal(err.code, ERR_CONFIG);
		assert_null(strstr(err.text, "u:p"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_from_a_template),
		cmocka_unit_test(never_writes_what_would_split),
		cmocka_unit_test(reads_every_framing),
		cmocka_unit_test(head_asks_no_body),
		cmocka_unit_test(a_call_may_start_at_anothers_end),
		cmocka_unit_test(surplus_bytes_end_the_connection),
		cmocka_unit_test(unasked_bytes_end_an_idle_connection),
		cmocka_unit_test(a_closed_idle_connection_is_noticed),
		cmocka_unit_test(a_stale_connection_is_retried),
		cmocka_unit_test(a_reset_connection_is_retried),
		cmocka_unit_test(retries_only_once),
		cmocka_unit_test(a_fresh_connection_is_not_retried),
		cmocka_unit_test(nothing_is_retried_after_a_byte),
		cmocka_unit_test(the_pool_is_bounded),
		cmocka_unit_test(malformed_answers_fail),
		cmocka_unit_test(damaged_bodies_fail),
		cmocka_unit_test(refused_connections_fail),
		cmocka_unit_test(the_head_has_its_time),
		cmocka_unit_test(a_silent_body_has_its_time),
		cmocka_unit_test(a_call_has_its_time_in_all),
		cmocka_unit_test(an_untaken_request_has_its_time),
		cmocka_unit_test(an_early_answer_is_given),
		cmocka_unit_test(pausing_stops_reading),
		cmocka_unit_test(a_pause_holds_the_rest_of_a_read),
		cmocka_unit_test(cancelling_closes_at_once),
		cmocka_unit_test(decodes_gzip),
		cmocka_unit_test(reads_origins),
	};

	return cmocka_run_group_tests_name("http/client", tests, NULL, NULL);
}
