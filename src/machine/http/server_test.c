/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/server.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "machine/http/serve.h"
#include "machine/net/pipe.h"

/* ---- a loop whose clock stands until moved ---- */

static struct sys clock_sys;
static int64_t clock_us;

static int64_t read_clock(struct sys *sys)
{
	(void)sys;
	return clock_us;
}

static int64_t read_wall(struct sys *sys)
{
	(void)sys;
	return INT64_C(1795397523004); /* 2026-11-23T01:32:03Z */
}

/* ---- a client that writes down what it is sent, and a service that does as the path says ---- */

struct client {
	struct stream *s;
	struct buf got;
	int ends;
	bool deaf; /* does not read */
};

struct world {
	struct loop *loop;
	struct http_server *server;
	struct client client;
	struct http_request *held; /* of paths that wait for the test */
	struct buf log;
	int requests, drains;
};

static void client_read(void *user, struct span bytes)
{
	struct client *c = user;

	buf_append(&c->got, bytes);
}

static void client_end(void *user, const struct err *err)
{
	struct client *c = user;

	(void)err;
	c->ends++;
}

static const struct stream_events client_events = {.read = client_read, .end = client_end};

static void say(struct world *w, const char *what)
{
	buf_append_cstr(&w->log, what);
	buf_append_char(&w->log, ';');
}

static void on_body(void *user, struct span bytes)
{
	struct world *w = user;

	buf_append(&w->log, bytes);
}

static void answer(struct http_request *r, int status, struct span body)
{
	const struct http_reply reply = {.status = status, .content_type = "text/plain"};

	request_answer(r, &reply, body);
}

static void on_body_end(void *user)
{
	struct world *w = user;
	struct http_request *r = w->held;

	say(w, "");
	if (r != NULL && span_is(request_head(r)->path, "/echo")) {
		w->held = NULL;
		answer(r, 200, SPAN("done"));
	}
}

static void on_gone(void *user, const struct err *why)
{
	struct world *w = user;

	w->held = NULL;
	say(w, err_row(why->code)->name);
}

static void on_drain(void *user)
{
	struct world *w = user;

	w->drains++;
}

static const struct http_request_events request_events = {
	.body = on_body, .body_end = on_body_end, .gone = on_gone, .drain = on_drain};

static void on_request(void *user, struct http_request *r)
{
	struct world *w = user;
	const struct http_head *h = request_head(r);

	w->requests++;
	assert_null(w->held);
	buf_append_cstr(&w->log, http_method_name(h->method));
	buf_append_char(&w->log, ' ');
	buf_append(&w->log, h->path);
	buf_append_char(&w->log, ' ');
	request_bind(r, &request_events, w);
	if (span_is(h->path, "/now")) {
		answer(r, 200, SPAN("hello"));
	} else if (span_is(h->path, "/early")) {
		answer(r, 413, SPAN("no"));
	} else {
		w->held = r;
		if (span_is(h->path, "/echo"))
			request_continue(r);
	}
}

static void on_refuse(void *user, struct span target, const struct err *why,
	struct http_reply *reply, struct buf *body)
{
	buf_append(body, target);
	buf_append_char(body, '|');
	buf_append_cstr(body, err_row(why->code)->name);
}

static const struct http_service service = {.request = on_request, .refuse = on_refuse};

/* ---- steps ---- */

static void spin(struct world *w)
{
	for (int i = 0; i < 20; i++)
		uv_run(&w->loop->uv, UV_RUN_NOWAIT);
}

static void pass_ms(struct world *w, int64_t ms)
{
	for (int64_t at = 0; at < ms; at += 100) {
		clock_us += (ms - at < 100 ? ms - at : 100) * 1000;
		uv_run(&w->loop->uv, UV_RUN_NOWAIT);
		uv_run(&w->loop->uv, UV_RUN_NOWAIT);
	}
	clock_us += 20000; /* a timer is at most 16 ms late */
	spin(w);
}

static void client_open(struct world *w, struct client *c)
{
	struct stream *ends[2];

	assert_true(pipe_open(w->loop, 0, ends));
	*c = (struct client){.s = ends[0]};
	buf_init(&c->got, 64 << 20);
	stream_bind(c->s, &client_events, c);
	stream_resume(c->s);
	http_server_adopt(w->server, ends[1]);
	spin(w);
}

static void client_close(struct client *c)
{
	stream_close(c->s);
	buf_done(&c->got);
	*c = (struct client){0};
}

static void world_open(struct world *w, int max_connections)
{
	const struct http_server_limits limits = {.head_ms = 10000,
		.idle_ms = 75000,
		.body_stall_ms = 30000,
		.body_floor = 64,
		.write_stall_ms = 60000,
		.max_connections = max_connections,
		.max_pending_bytes = 1 << 20};
	struct err err = {0};

	*w = (struct world){0};
	clock_sys = sys_real;
	clock_sys.mono_us = read_clock;
	clock_sys.wall_ms = read_wall;
	clock_us = 1000000000;
	w->loop = loop_new(&clock_sys, &err);
	assert_non_null(w->loop);
	w->server = http_server_new(w->loop, &limits, &service, w);
	assert_non_null(w->server);
	buf_init(&w->log, 1 << 20);
	client_open(w, &w->client);
}

static void world_close(struct world *w)
{
	http_server_free(w->server);
	if (w->client.s != NULL)
		client_close(&w->client);
	pass_ms(w, 6000);
	loop_free(w->loop);
	buf_done(&w->log);
}

static void put(struct world *w, struct span bytes)
{
	assert_true(stream_write(w->client.s, &bytes, 1));
	spin(w);
}

static const char *text(struct buf *b)
{
	*buf_room(b, 1) = '\0';
	return buf_span(b).p;
}

static void expect_log(struct world *w, const char *expected)
{
	assert_string_equal(text(&w->log), expected);
	buf_clear(&w->log);
}

static void expect_got(struct world *w, const char *expected)
{
	assert_string_equal(text(&w->client.got), expected);
	buf_clear(&w->client.got);
}

static bool got_has(struct world *w, const char *part)
{
	return span_find(buf_span(&w->client.got), span_of(part)) >= 0;
}

#define DATE "Date: Mon, 23 Nov 2026 01:32:03 GMT\r\n"
#define PLAIN(status, length, more)                                                                \
	"HTTP/1.1 " status "\r\n" DATE "Content-Type: text/plain\r\n"                              \
	"Content-Length: " length "\r\n" more "\r\n"
#define REFUSAL(status, length)                                                                    \
	"HTTP/1.1 " status "\r\n" DATE "Content-Type: application/json\r\n"                        \
	"Content-Length: " length "\r\nConnection: close\r\n\r\n"
#define GET(path) SPAN("GET " path " HTTP/1.1\r\nHost: a\r\n\r\n")

#define TEST(name)                                                                                 \
	static void name(void **state)                                                             \
	{                                                                                          \
		struct world w;                                                                    \
		(void)state;                                                                       \
		world_open(&w, 100);                                                               \
		name##_in(&w);                                                                     \
		world_close(&w);                                                                   \
	}

/* ---- answers ---- */

static void answers_at_once_in(struct world *w)
{
	put(w, GET("/now"));
	expect_got(w, PLAIN("200 OK", "5", "") "hello");
	expect_log(w, "GET /now ");
	put(w, GET("/wait"));
	assert_int_equal(http_server_active(w->server), 1);
	assert_int_equal(w->client.got.n, 0);
	answer(w->held, 299, SPAN(""));
	w->held = NULL;
	spin(w);
	expect_got(w, PLAIN("299 ", "0", ""));
	assert_int_equal(http_server_active(w->server), 0);
	assert_int_equal(http_server_connections(w->server), 1);
}
TEST(answers_at_once)

static void gives_the_body_to_its_owner_in(struct world *w)
{
	put(w, SPAN("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe"));
	put(w, SPAN("llo"));
	expect_log(w, "POST /echo hello;");
	expect_got(w, PLAIN("200 OK", "4", "") "done");
	put(w, SPAN("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
		    "chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"));
	expect_log(w, "POST /echo ab;");
	expect_got(w, PLAIN("200 OK", "4", "") "done");
}
TEST(gives_the_body_to_its_owner)

static void writes_fields_that_are_safe_in(struct world *w)
{
	const struct http_field fields[] = {{SPAN("X-A"), SPAN("1")},
		{SPAN("X-B"), SPAN("a\r\nX-C: d")}, {SPAN("X D"), SPAN("e")},
		{SPAN("X-E"), SPAN("f\0g")}, {SPAN("content-length"), SPAN("9")},
		{SPAN("Transfer-Encoding"), SPAN("chunked")}, {SPAN("X-F"), SPAN("")}};
	const struct http_reply reply = {.status = 200, .fields = fields, .n = 7};

	put(w, GET("/wait"));
	request_answer(w->held, &reply, SPAN("x"));
	w->held = NULL;
	spin(w);
	expect_got(w, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 1\r\nX-A: 1\r\nX-F: \r\n\r\nx");
}
TEST(writes_fields_that_are_safe)

static void answers_in_pieces_in(struct world *w)
{
	const struct http_reply reply = {.status = 200, .content_type = "text/plain"};
	struct span v[200];

	for (int i = 0; i < 200; i++)
		v[i] = SPAN("ab");
	put(w, GET("/wait"));
	request_answer_spans(w->held, &reply, v, 200);
	w->held = NULL;
	spin(w);
	assert_true(got_has(w, "Content-Length: 400\r\n"));
	assert_true(got_has(w, "\r\n\r\nababab"));
	assert_int_equal(w->client.got.n, strlen(PLAIN("200 OK", "400", "")) + 400);
}
TEST(answers_in_pieces)

static void head_has_length_but_no_body_in(struct world *w)
{
	const struct http_reply reply = {.status = 200, .content_type = "text/plain"};

	put(w, SPAN("HEAD /now HTTP/1.1\r\nHost: a\r\n\r\n"));
	expect_got(w, PLAIN("200 OK", "5", ""));
	put(w, SPAN("HEAD /wait HTTP/1.1\r\nHost: a\r\n\r\n"));
	request_begin(w->held, &reply);
	request_write(w->held, &SPAN("body"), 1);
	request_end(w->held);
	w->held = NULL;
	spin(w);
	expect_got(w, "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/plain\r\n\r\n");
	put(w, SPAN("HEAD /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
	expect_got(w, PLAIN("200 OK", "5", "Connection: close\r\n"));
}
TEST(head_has_length_but_no_body)

static void no_content_has_no_length_in(struct world *w)
{
	put(w, GET("/wait"));
	answer(w->held, 204, SPAN("x"));
	w->held = NULL;
	spin(w);
	expect_got(w, "HTTP/1.1 204 No Content\r\n" DATE "Content-Type: text/plain\r\n\r\n");
}
TEST(no_content_has_no_length)

static void old_clients_get_no_chunks_in(struct world *w)
{
	const struct http_reply reply = {.status = 200, .content_type = "text/plain"};

	put(w, SPAN("GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
	expect_got(w, PLAIN("200 OK", "5", "Connection: keep-alive\r\n") "hello");
	put(w, SPAN("GET /wait HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
	request_begin(w->held, &reply);
	request_write(w->held, &SPAN("ab"), 1);
	request_write_end(w->held, &SPAN("cd"), 1);
	w->held = NULL;
	spin(w);
	expect_got(w, "HTTP/1.1 200 OK\r\n" DATE
		      "Content-Type: text/plain\r\nConnection: close\r\n\r\nabcd");
	assert_int_equal(w->client.ends, 1);
}
TEST(old_clients_get_no_chunks)

static void streams_in_chunks_in(struct world *w)
{
	const struct http_reply reply = {.status = 200, .content_type = "text/event-stream"};
	const struct span two[] = {SPAN("data: "), SPAN("0123456789\n\n")};

	put(w, GET("/wait"));
	request_begin(w->held, &reply);
	spin(w);
	assert_int_equal(w->client.got.n, 0); /* the head waits for the first bytes */
	assert_true(request_pending(w->held) > 0);
	request_write(w->held, two, 2);
	spin(w);
	expect_got(w, "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/event-stream\r\n"
		      "Transfer-Encoding: chunked\r\n\r\n12\r\ndata: 0123456789\n\n\r\n");
	assert_int_equal(request_pending(w->held), 0);
	assert_int_equal(w->drains, 1);
	request_write(w->held, &SPAN(""), 1);
	request_write(w->held, NULL, 0);
	spin(w);
	expect_got(w, "");
	request_write_end(w->held, &SPAN("x"), 1);
	w->held = NULL;
	spin(w);
	expect_got(w, "1\r\nx\r\n0\r\n\r\n");
	put(w, GET("/now"));
	expect_got(w, PLAIN("200 OK", "5", "") "hello");
}
TEST(streams_in_chunks)

static void a_stream_may_be_empty_or_flushed_in(struct world *w)
{
	const struct http_reply reply = {.status = 200};

	put(w, GET("/wait"));
	request_begin(w->held, &reply);
	request_end(w->held);
	w->held = NULL;
	spin(w);
	expect_got(w, "HTTP/1.1 200 OK\r\n" DATE "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
	put(w, GET("/wait"));
	request_begin(w->held, &reply);
	request_flush(w->held);
	spin(w);
	expect_got(w, "HTTP/1.1 200 OK\r\n" DATE "Transfer-Encoding: chunked\r\n\r\n");
	request_end(w->held);
	w->held = NULL;
	spin(w);
	expect_got(w, "0\r\n\r\n");
}
TEST(a_stream_may_be_empty_or_flushed)

static void an_aborted_answer_stays_incomplete_in(struct world *w)
{
	const struct http_reply reply = {.status = 200};

	put(w, GET("/wait"));
	request_begin(w->held, &reply);
	request_write(w->held, &SPAN("ab"), 1);
	request_abort(w->held);
	w->held = NULL;
	spin(w);
	expect_got(w, "HTTP/1.1 200 OK\r\n" DATE "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
	assert_int_equal(w->client.ends, 1);
	assert_int_equal(http_server_connections(w->server), 0);
}
TEST(an_aborted_answer_stays_incomplete)

/* ---- malformed input, early answers, pipelines ---- */

static void refuses_and_closes_in(struct world *w)
{
	static const struct {
		struct span in;
		const char *got;
	} rows[] = {
		{SPAN("GET / HTTP/1.1\r\nHost: a\nX"),
			REFUSAL("400 Bad Request", "12") "|BAD_REQUEST"},
		{SPAN("FOO /v1/x HTTP/1.1\r\nHost: a\r\n\r\n"),
			REFUSAL("501 Not Implemented", "12") "|UNSUPPORTED"},
		{SPAN("POST /v1/x HTTP/1.1\r\n\r\nGET /now HTTP/1.1\r\nHost: a\r\n\r\n"),
			REFUSAL("400 Bad Request", "17") "/v1/x|BAD_REQUEST"},
		{SPAN("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"
		      "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"),
			REFUSAL("400 Bad Request", "17") "/echo|BAD_REQUEST"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct client c;
		struct client first = w->client;

		client_open(w, &c);
		w->client = c;
		stream_bind(c.s, &client_events, &w->client);
		put(w, rows[i].in);
		put(w, GET("/now")); /* the tail is not interpreted */
		expect_got(w, rows[i].got);
		assert_int_equal(w->client.ends, 1);
		client_close(&w->client);
		w->client = first;
	}
	expect_log(w, "POST /echo BAD_REQUEST;");
	assert_int_equal(http_server_connections(w->server), 1);
}
TEST(refuses_and_closes)

static void a_broken_body_cuts_a_begun_answer_in(struct world *w)
{
	const struct http_reply reply = {.status = 200};

	put(w, SPAN("POST /wait HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
	request_begin(w->held, &reply);
	request_write(w->held, &SPAN("ab"), 1);
	put(w, SPAN("zz\r\n"));
	expect_log(w, "POST /wait BAD_REQUEST;");
	expect_got(w, "HTTP/1.1 200 OK\r\n" DATE "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
	assert_int_equal(w->client.ends, 1);
}
TEST(a_broken_body_cuts_a_begun_answer)

static void early_answer_keeps_the_connection_in(struct world *w)
{
	put(w, SPAN("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\nGET /now "
		    "HTTP/1.1\r\n"));
	expect_got(w, PLAIN("413 Content Too Large", "2", "") "no");
	put(w, SPAN("Host: b\r\n\r\n12345678")); /* 40 bytes: never read as a request */
	put(w, SPAN("90"));
	put(w, GET("/now"));
	expect_got(w, PLAIN("200 OK", "5", "") "hello");
	expect_log(w, "POST /early GET /now ");
}
TEST(early_answer_keeps_the_connection)

static void early_answer_to_a_long_body_closes_in(struct world *w)
{
	put(w, SPAN("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n"));
	expect_got(w, PLAIN("413 Content Too Large", "2", "Connection: close\r\n") "no");
	assert_int_equal(w->client.ends, 1);
	put(w, GET("/now"));
	expect_got(w, "");
}
TEST(early_answer_to_a_long_body_closes)

static void drops_at_most_64_kib_in(struct world *w)
{
	char *big = malloc(70000);

	assert_non_null(big);
	memset(big, 'x', 70000);
	put(w, SPAN("POST /early HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
		    "chunked\r\n\r\n11170\r\n"));
	expect_got(w, PLAIN("413 Content Too Large", "2", "") "no");
	put(w, (struct span){big, 60000});
	assert_int_equal(w->client.ends, 0);
	put(w, (struct span){big, 10000});
	assert_int_equal(w->client.ends, 1);
	free(big);
}
TEST(drops_at_most_64_kib)

static void expectation_in(struct world *w)
{
	put(w, SPAN("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
		    "2\r\n\r\n"));
	expect_got(w, "HTTP/1.1 100 Continue\r\n\r\n");
	put(w, SPAN("ab"));
	expect_got(w, PLAIN("200 OK", "4", "") "done");
	/* Sent without waiting: no 100 is needed any more. */
	put(w, SPAN("POST /wait HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
		    "2\r\n\r\nab"));
	request_continue(w->held);
	answer(w->held, 200, SPAN("x"));
	w->held = NULL;
	spin(w);
	expect_got(w, PLAIN("200 OK", "1", "") "x");
	/* Answered before the body: it may come or not, so nothing may follow. */
	put(w, SPAN("POST /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
		    "2\r\n\r\n"));
	expect_got(w, PLAIN("413 Content Too Large", "2", "Connection: close\r\n") "no");
	assert_int_equal(w->client.ends, 1);
}
TEST(expectation)

static void pipelines_are_served_in_turn_in(struct world *w)
{
	put(w, SPAN("GET /wait HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: "
		    "a\r\nContent-Length: 2\r\n\r\n"
		    "abGET /now HTTP/1.1\r\nHost: a\r\n\r\nGET /wait HTTP/1.1\r\nHost: "
		    "a\r\n\r\nGET /n"));
	expect_log(w, "GET /wait ;");
	expect_got(w, "");
	answer(w->held, 200, SPAN("1"));
	w->held = NULL;
	expect_log(w, ""); /* the next one is never begun from inside */
	spin(w);
	expect_log(w, "POST /echo ab;GET /now GET /wait ;");
	expect_got(w, PLAIN("200 OK", "1", "") "1" PLAIN("200 OK", "4", "") "done" PLAIN(
			      "200 OK", "5", "") "hello");
	put(w, SPAN("ow HTTP/1.1\r\nHost: a\r\n\r\n"));
	expect_got(w, "");
	answer(w->held, 200, SPAN("2"));
	w->held = NULL;
	spin(w);
	expect_got(w, PLAIN("200 OK", "1", "") "2" PLAIN("200 OK", "5", "") "hello");
}
TEST(pipelines_are_served_in_turn)

static void pipelines_are_bounded_in(struct world *w)
{
	put(w, GET("/wait"));
	for (int i = 0; i < 20; i++)
		put(w, GET("/now"));
	answer(w->held, 200, SPAN("1"));
	w->held = NULL;
	spin(w);
	assert_int_equal(w->requests, 1 + 16);
	assert_true(got_has(w, "HTTP/1.1 400 "));
	assert_int_equal(w->client.ends, 1);
}
TEST(pipelines_are_bounded)

static void a_steady_pipeline_has_no_end_in(struct world *w)
{
	put(w, GET("/wait"));
	put(w, GET("/wait"));
	for (int i = 0; i < 100; i++) {
		put(w, GET("/wait"));
		answer(w->held, 200, SPAN("1"));
		w->held = NULL;
		spin(w);
		assert_non_null(w->held);
	}
	assert_int_equal(w->client.ends, 0);
}
TEST(a_steady_pipeline_has_no_end)

static void a_long_pipeline_pauses_reading_in(struct world *w)
{
	static const char junk[8192];
	const struct http_reply reply = {.status = 200};

	put(w, GET("/wait"));
	for (int i = 0; i < 64; i++)
		put(w, (struct span){junk, sizeof(junk)});
	assert_true(stream_pending(w->client.s) > 300000);
	request_answer(w->held, &reply, SPAN(""));
	w->held = NULL;
	spin(w);
	assert_true(got_has(w, "HTTP/1.1 431 "));
	assert_int_equal(w->client.ends, 1);
}
TEST(a_long_pipeline_pauses_reading)

static void a_poisoned_request_ends_the_pipeline_in(struct world *w)
{
	put(w, SPAN("GET /now HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\n\r\nGET /now "
		    "HTTP/1.1\r\nHost: a\r\n\r\n"));
	expect_log(w, "GET /now ");
	expect_got(w,
		PLAIN("200 OK", "5", "") "hello" REFUSAL("400 Bad Request", "14") "/x|BAD_REQUEST");
	assert_int_equal(w->client.ends, 1);
}
TEST(a_poisoned_request_ends_the_pipeline)

/* ---- clients that leave or stall ---- */

static void a_gone_client_is_noticed_in(struct world *w)
{
	put(w, GET("/wait"));
	assert_non_null(w->held);
	stream_reset(w->client.s);
	w->client.s = NULL;
	buf_done(&w->client.got);
	spin(w);
	expect_log(w, "GET /wait ;CLIENT_GONE;");
	assert_int_equal(http_server_connections(w->server), 0);
	assert_int_equal(http_server_active(w->server), 0);
}
TEST(a_gone_client_is_noticed)

static void a_half_sent_request_dies_with_its_client_in(struct world *w)
{
	put(w, SPAN("POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"));
	client_close(&w->client);
	spin(w);
	expect_log(w, "POST /wait abCLIENT_GONE;");
	assert_int_equal(http_server_connections(w->server), 0);
}
TEST(a_half_sent_request_dies_with_its_client)

static void a_slow_head_times_out_in(struct world *w)
{
	static const char head[] = "GET /now HTTP/1.1\r\nHost: a\r\n\r\n";

	for (int i = 0; i < 9; i++) {
		put(w, (struct span){head + i, 1});
		pass_ms(w, 1000);
	}
	expect_got(w, "");
	pass_ms(w, 1000); /* absolute: a byte a second does not help */
	expect_got(w, REFUSAL("408 Request Timeout", "15") "|CLIENT_TIMEOUT");
	assert_int_equal(w->client.ends, 1);
}
TEST(a_slow_head_times_out)

static void an_idle_connection_times_out_in(struct world *w)
{
	pass_ms(w, 50000);
	put(w, GET("/now"));
	expect_got(w, PLAIN("200 OK", "5", "") "hello");
	pass_ms(w, 74000);
	assert_int_equal(w->client.ends, 0);
	pass_ms(w, 1000);
	assert_int_equal(w->client.ends, 1);
	expect_got(w, "");
}
TEST(an_idle_connection_times_out)

static void a_stalled_body_times_out_in(struct world *w)
{
	put(w, SPAN("POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\nab"));
	pass_ms(w, 29000);
	expect_log(w, "POST /wait ab");
	pass_ms(w, 1000);
	expect_log(w, "CLIENT_TIMEOUT;");
	expect_got(w, REFUSAL("408 Request Timeout", "20") "/wait|CLIENT_TIMEOUT");
	assert_int_equal(w->client.ends, 1);
}
TEST(a_stalled_body_times_out)

static void a_slow_body_falls_below_the_floor_in(struct world *w)
{
	char some[64] = {0};

	put(w, SPAN("POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n"));
	for (int i = 0; i < 45; i++) {
		put(w, (struct span){some, 64});
		pass_ms(w, 900);
	}
	assert_non_null(w->held);
	for (int i = 0; i < 62; i++) {
		put(w, (struct span){some, 32});
		pass_ms(w, 1000);
	}
	assert_null(w->held);
	assert_true(got_has(w, "HTTP/1.1 408 "));
}
TEST(a_slow_body_falls_below_the_floor)

static void a_deaf_client_is_cut_in(struct world *w)
{
	const struct http_reply reply = {.status = 200};
	static const char big[100000];

	put(w, GET("/wait"));
	stream_pause(w->client.s);
	request_begin(w->held, &reply);
	request_write(w->held, &(struct span){big, sizeof(big)}, 1);
	assert_true(request_pending(w->held) >= sizeof(big));
	assert_true(http_server_pending(w->server) >= (int64_t)sizeof(big));
	buf_clear(&w->log);
	pass_ms(w, 59000);
	assert_non_null(w->held);
	pass_ms(w, 16000);
	expect_log(w, "CLIENT_TIMEOUT;");
	assert_int_equal(http_server_pending(w->server), 0);
	assert_int_equal(http_server_connections(w->server), 0);
}
TEST(a_deaf_client_is_cut)

static void a_deaf_client_cannot_keep_a_closed_connection_in(struct world *w)
{
	stream_pause(w->client.s);
	put(w, SPAN("GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
	assert_int_equal(http_server_connections(w->server), 1);
	pass_ms(w, 76000);
	assert_int_equal(http_server_connections(w->server), 0);
}
TEST(a_deaf_client_cannot_keep_a_closed_connection)

static void a_slow_reader_is_not_cut_in(struct world *w)
{
	const struct http_reply reply = {.status = 200};
	static const char some[1000];

	put(w, GET("/wait"));
	request_begin(w->held, &reply);
	for (int i = 0; i < 20; i++) {
		stream_pause(w->client.s);
		request_write(w->held, &(struct span){some, sizeof(some)}, 1);
		pass_ms(w, 30000);
		stream_resume(w->client.s);
		spin(w);
		assert_non_null(w->held);
	}
	request_end(w->held);
	w->held = NULL;
}
TEST(a_slow_reader_is_not_cut)

/* ---- limits and the end ---- */

static void overload_refuses_new_requests_in(struct world *w)
{
	const struct http_reply reply = {.status = 200};
	char *big = calloc(1, 2 << 20);
	struct client other;
	struct client first;

	assert_non_null(big);
	put(w, GET("/wait"));
	stream_pause(w->client.s);
	request_begin(w->held, &reply);
	request_write(w->held, &(struct span){big, 2 << 20}, 1);
	first = w->client;
	client_open(w, &other);
	w->client = other;
	stream_bind(other.s, &client_events, &w->client);
	put(w, SPAN("POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"));
	expect_got(w, REFUSAL("503 Service Unavailable", "16") "/v1/x|OVERLOADED");
	assert_int_equal(w->requests, 1);
	client_close(&w->client);
	w->client = first;
	stream_bind(first.s, &client_events, &w->client);
	stream_resume(w->client.s);
	request_end(w->held);
	w->held = NULL;
	spin(w);
	assert_int_equal(http_server_pending(w->server), 0);
	put(w, GET("/now"));
	assert_int_equal(w->requests, 2);
	free(big);
}
TEST(overload_refuses_new_requests)

static void closes_the_connection_idle_longest(void **state)
{
	struct world w;
	struct client c[12];

	(void)state;
	world_open(&w, 10); /* with one client */
	for (int i = 0; i < 8; i++)
		client_open(&w, &c[i]);
	put(&w, GET("/now")); /* the first was used last */
	assert_int_equal(http_server_connections(w.server), 9);
	for (int i = 0; i < 8; i++)
		assert_int_equal(c[i].ends, 0);
	client_open(&w, &c[8]);
	assert_int_equal(http_server_connections(w.server), 9);
	assert_int_equal(c[0].ends, 1);
	assert_int_equal(c[1].ends, 0);
	client_open(&w, &c[9]);
	assert_int_equal(c[1].ends, 1);
	assert_int_equal(w.client.ends, 0);
	for (int i = 0; i < 10; i++)
		client_close(&c[i]);
	spin(&w);
	assert_int_equal(http_server_connections(w.server), 1);
	world_close(&w);
}

static void full_of_busy_connections_refuses_more(void **state)
{
	struct world w;
	struct client c;

	(void)state;
	world_open(&w, 1);
	put(&w, GET("/wait"));
	client_open(&w, &c);
	assert_int_equal(c.ends, 1);
	assert_true(span_starts(buf_span(&c.got), SPAN("HTTP/1.1 503 ")));
	assert_int_equal(http_server_connections(w.server), 1);
	client_close(&c);
	world_close(&w);
}

static void drains_in(struct world *w)
{
	struct client idle;

	client_open(w, &idle);
	put(w, GET("/wait"));
	http_server_drain(w->server);
	spin(w);
	assert_int_equal(idle.ends, 1);
	assert_int_equal(w->client.ends, 0);
	assert_int_equal(http_server_connections(w->server), 1);
	answer(w->held, 200, SPAN("x"));
	w->held = NULL;
	spin(w);
	expect_got(w, PLAIN("200 OK", "1", "Connection: close\r\n") "x");
	assert_int_equal(w->client.ends, 1);
	assert_int_equal(http_server_connections(w->server), 0);
	client_close(&idle);
}
TEST(drains)

static void freeing_tells_the_owners_in(struct world *w)
{
	put(w, GET("/wait"));
	buf_clear(&w->log);
	http_server_free(w->server);
	w->server = NULL;
	expect_log(w, "SHUTTING_DOWN;");
}
TEST(freeing_tells_the_owners)

static void costs_little_when_idle_in(struct world *w)
{
	assert_true(sizeof(struct serve_conn) <= 640);
	put(w, GET("/now"));
	LIST_EACH(pos, &w->server->idle)
	{
		struct serve_conn *c = LIST_ITEM(pos, struct serve_conn, node);

		assert_null(c->request);
		assert_null(c->waiting.mem);
		assert_null(c->parser.held.mem);
	}
}
TEST(costs_little_when_idle)

/*
 * What the service was asked and the client was told: statuses in order, "!" when the connection
 * was closed behind them.
 */
static void transcribe(struct world *w, struct buf *out)
{
	struct span got = buf_span(&w->client.got);

	buf_append(out, buf_span(&w->log));
	buf_append_cstr(out, "->");
	for (ptrdiff_t at; (at = span_find(got, SPAN("HTTP/1.1 "))) >= 0;) {
		got = span_skip(got, (size_t)at + 9);
		buf_append_char(out, ' ');
		buf_append(out, span_head(got, 3));
	}
	if (w->client.ends > 0)
		buf_append_cstr(out, " !");
}

struct vector {
	struct span in;
	const char *expected;
};

/* Each whole, cut in two at every byte, and byte by byte. */
static void check_vectors(const struct vector *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t cut = 0; cut <= v[i].in.n; cut++) {
			struct world w;
			struct buf out;

			buf_init(&out, 1 << 16);
			world_open(&w, 10);
			for (size_t at = 0; cut == 0 && at < v[i].in.n; at++)
				put(&w, span_head(span_skip(v[i].in, at), 1));
			if (cut > 0) {
				put(&w, span_head(v[i].in, cut));
				put(&w, span_skip(v[i].in, cut));
			}
			transcribe(&w, &out);
			assert_string_equal(text(&out), v[i].expected);
			buf_done(&out);
			world_close(&w);
		}
	}
}

#define NOW "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST_ECHO(lines, body) "POST /echo HTTP/1.1\r\nHost: a\r\n" lines "\r\n" body
#define POST_EARLY(lines, body) "POST /early HTTP/1.1\r\nHost: a\r\n" lines "\r\n" body

static void class_15_pipelines(void **state)
{
	static const struct vector v[] = {
		{SPAN(NOW NOW NOW), "GET /now GET /now GET /now -> 200 200 200"},
		{SPAN(POST_ECHO("Content-Length: 2\r\n", "ab") NOW),
			"POST /echo ab;GET /now -> 200 200"},
		{SPAN(POST_ECHO("Transfer-Encoding: chunked\r\n", "2\r\nab\r\n0\r\n\r\n") NOW),
			"POST /echo ab;GET /now -> 200 200"},
		{SPAN(POST_ECHO("", "") NOW), "POST /echo ;GET /now -> 200 200"},
		{SPAN(NOW "\r\n" NOW), "GET /now GET /now -> 200 200"},
		{SPAN(NOW "\r\n\r\n" NOW), "GET /now -> 200 400 !"},
		{SPAN(NOW "GET / HTTP/1.1\r\n\r\n" NOW), "GET /now -> 200 400 !"},
		{SPAN(NOW "garbage\n" NOW), "GET /now -> 200 400 !"},
		{SPAN("GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" NOW),
			"GET /now -> 200 !"},
		{SPAN("GET /now HTTP/1.0\r\n\r\n" NOW), "GET /now -> 200 !"},
		{SPAN(POST_ECHO("Content-Length: 1\r\n", "ab") NOW), "POST /echo a;-> 200 501 !"},
		{SPAN(POST_ECHO("Content-Length: 1\r\nContent-Length: 1\r\n", "a") NOW),
			"-> 400 !"},
	};

	(void)state;
	check_vectors(v, sizeof(v) / sizeof(v[0]));
}

/* An answer before the body: the body is never taken for a request, and nothing is guessed. */
static void class_20_early_answers(void **state)
{
	static const struct vector v[] = {
		{SPAN(POST_EARLY("Content-Length: 30\r\n", NOW) NOW),
			"POST /early GET /now -> 413 200"},
		{SPAN(POST_EARLY("Content-Length: 10\r\n", "0123456789") NOW),
			"POST /early GET /now -> 413 200"},
		{SPAN(POST_EARLY("Content-Length: 0\r\n", "") NOW),
			"POST /early GET /now -> 413 200"},
		{SPAN(POST_EARLY("Transfer-Encoding: chunked\r\n", "1e\r\n" NOW "\r\n0\r\n\r\n")
				 NOW),
			"POST /early GET /now -> 413 200"},
		{SPAN(POST_EARLY("Transfer-Encoding: chunked\r\n", "0\r\nX: y\r\n\r\n") NOW),
			"POST /early GET /now -> 413 200"},
		{SPAN(POST_EARLY("Transfer-Encoding: chunked\r\n", "zz\r\n") NOW),
			"POST /early -> 413 !"},
		{SPAN(POST_EARLY("Transfer-Encoding: chunked\r\n", NOW)), "POST /early -> 413 !"},
		{SPAN(POST_EARLY("Content-Length: 65537\r\n", NOW)), "POST /early -> 413 !"},
		{SPAN(POST_EARLY("Content-Length: 9223372036854775807\r\n", NOW)),
			"POST /early -> 413 !"},
		{SPAN(POST_EARLY("Content-Length: 30\r\nTransfer-Encoding: chunked\r\n", NOW)),
			"-> 400 !"},
		{SPAN("GET /early HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n" NOW),
			"-> 400 !"},
		{SPAN(POST_EARLY("Content-Length: 30\r\nConnection: close\r\n", NOW) NOW),
			"POST /early -> 413 !"},
		{SPAN("POST /early HTTP/1.0\r\nContent-Length: 30\r\n\r\n" NOW NOW),
			"POST /early -> 413 !"},
	};

	(void)state;
	check_vectors(v, sizeof(v) / sizeof(v[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_at_once),
		cmocka_unit_test(gives_the_body_to_its_owner),
		cmocka_unit_test(writes_fields_that_are_safe),
		cmocka_unit_test(answers_in_pieces),
		cmocka_unit_test(head_has_length_but_no_body),
		cmocka_unit_test(no_content_has_no_length),
		cmocka_unit_test(old_clients_get_no_chunks),
		cmocka_unit_test(streams_in_chunks),
		cmocka_unit_test(a_stream_may_be_empty_or_flushed),
		cmocka_unit_test(an_aborted_answer_stays_incomplete),
		cmocka_unit_test(refuses_and_closes),
		cmocka_unit_test(a_broken_body_cuts_a_begun_answer),
		cmocka_unit_test(early_answer_keeps_the_connection),
		cmocka_unit_test(early_answer_to_a_long_body_closes),
		cmocka_unit_test(drops_at_most_64_kib),
		cmocka_unit_test(expectation),
		cmocka_unit_test(pipelines_are_served_in_turn),
		cmocka_unit_test(pipelines_are_bounded),
		cmocka_unit_test(a_steady_pipeline_has_no_end),
		cmocka_unit_test(a_long_pipeline_pauses_reading),
		cmocka_unit_test(a_poisoned_request_ends_the_pipeline),
		cmocka_unit_test(a_gone_client_is_noticed),
		cmocka_unit_test(a_half_sent_request_dies_with_its_client),
		cmocka_unit_test(a_slow_head_times_out),
		cmocka_unit_test(an_idle_connection_times_out),
		cmocka_unit_test(a_stalled_body_times_out),
		cmocka_unit_test(a_slow_body_falls_below_the_floor),
		cmocka_unit_test(a_deaf_client_is_cut),
		cmocka_unit_test(a_deaf_client_cannot_keep_a_closed_connection),
		cmocka_unit_test(a_slow_reader_is_not_cut),
		cmocka_unit_test(overload_refuses_new_requests),
		cmocka_unit_test(closes_the_connection_idle_longest),
		cmocka_unit_test(full_of_busy_connections_refuses_more),
		cmocka_unit_test(drains),
		cmocka_unit_test(freeing_tells_the_owners),
		cmocka_unit_test(costs_little_when_idle),
		cmocka_unit_test(class_15_pipelines),
		cmocka_unit_test(class_20_early_answers),
	};

	return cmocka_run_group_tests_name("http/server", tests, NULL, NULL);
}
