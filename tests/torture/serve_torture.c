/* SPDX-License-Identifier: Apache-2.0 */
/* A whole call through client and server, and a pipeline on one connection, without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "machine/http/client.h"
#include "machine/http/server.h"
#include "machine/net/pipe.h"
#include "torture.h"

#define MAX_TURNS 20000

/* ---- the service: what came goes back, in one piece or in chunks; no memory of its own ---- */

struct service {
	struct http_request *request; /* answered behind its callback */
	struct loop *loop;
	struct loop_task task;
	char body[256];
	size_t n;
	int gone;
};

static void answer(struct loop_task *t)
{
	struct service *s = LIST_ITEM(t, struct service, task);
	const struct http_field field = {SPAN("X-Test"), SPAN("yes")};
	const struct http_reply reply = {
		.status = 200, .fields = &field, .n = 1, .content_type = "text/plain"};
	struct http_request *r = s->request;
	struct span body = {s->body, s->n};

	if (r == NULL)
		return;
	s->request = NULL;
	if (span_is(request_head(r)->path, "/once")) {
		request_answer(r, &reply, body);
		return;
	}
	request_begin(r, &reply);
	request_write(r, &body, 1);
	request_write_end(r, &body, 1);
}

static void on_request_body(void *user, struct span bytes)
{
	struct service *s = user;

	assert_true(s->n + bytes.n <= sizeof(s->body));
	memcpy(s->body + s->n, bytes.p, bytes.n);
	s->n += bytes.n;
}

static void on_request_end(void *user)
{
	struct service *s = user;

	loop_task_post(s->loop, &s->task);
}

static void on_request_gone(void *user, const struct err *why)
{
	struct service *s = user;

	assert_true(why->code != ERR_OK);
	loop_task_cancel(&s->task);
	s->request = NULL;
	s->gone++;
}

static const struct http_request_events request_events = {
	.body = on_request_body, .body_end = on_request_end, .gone = on_request_gone};

static void on_request(void *user, struct http_request *r)
{
	struct service *s = user;

	s->request = r;
	s->n = 0;
	request_bind(r, &request_events, s);
	request_continue(r);
}

static void on_refuse(void *user, struct span target, const struct err *why,
	struct http_reply *reply, struct buf *body)
{
	buf_append_cstr(body, err_row(why->code)->name);
}

static const struct http_service service_rows = {.request = on_request, .refuse = on_refuse};

/* ---- a loop with a server ---- */

struct world {
	struct loop *loop;
	struct resolver *resolver;
	struct http_server *server;
	struct service service;
};

static void world_open(struct world *w)
{
	const struct http_server_limits limits = {.head_ms = 10000,
		.idle_ms = 75000,
		.body_stall_ms = 30000,
		.body_floor = 64,
		.write_stall_ms = 60000,
		.max_connections = 10,
		.max_pending_bytes = 1 << 20};
	struct err err = {0};

	*w = (struct world){0};
	w->loop = loop_new(&sys_real, &err);
	w->resolver = resolver_new(w->loop);
	w->server = http_server_new(w->loop, &limits, &service_rows, &w->service);
	w->service.loop = w->loop;
	loop_task_init(&w->service.task, answer);
	assert_true(w->resolver != NULL && w->server != NULL);
}

static void turns(struct world *w, int n)
{
	for (int i = 0; i < n; i++)
		uv_run(&w->loop->uv, UV_RUN_NOWAIT);
}

static void world_close(struct world *w)
{
	http_server_free(w->server);
	turns(w, 10);
	resolver_free(w->resolver);
	loop_free(w->loop);
}

/* ---- a call ---- */

struct call {
	char got[512];
	size_t n;
	int ends, fails;
};

static void on_head(void *user, const struct http_head *head)
{
	/* Without memory the server says so in proper form. */
	if (head->status == 200)
		assert_true(span_is(http_field(head, "x-test"), "yes"));
	else
		assert_true(torture_has_refused());
}

static void on_body(void *user, struct span bytes)
{
	struct call *c = user;

	assert_true(c->n + bytes.n <= sizeof(c->got));
	memcpy(c->got + c->n, bytes.p, bytes.n);
	c->n += bytes.n;
}

static void on_end(void *user)
{
	struct call *c = user;

	c->ends++;
}

static void on_fail(void *user, const struct http_failure *f)
{
	struct call *c = user;

	assert_true(f->err.code != ERR_OK);
	c->fails++;
}

static const struct http_call_events call_events = {
	.head = on_head, .body = on_body, .end = on_end, .fail = on_fail};

static bool one_call(
	struct world *w, struct http_client *client, struct http_origin *o, const char *target)
{
	static const struct span body = SPAN("hello world");
	const struct http_field field = {SPAN("Expect"), SPAN("100-continue")};
	const struct http_call_spec spec = {.origin = o,
		.method = HTTP_POST,
		.target = span_of(target),
		.fields = &field,
		.n = 1,
		.body = &body,
		.n_body = 1,
		.timeouts = {
			.connect_ms = 3000, .head_ms = 3000, .idle_ms = 3000, .total_ms = 3000}};
	struct call c = {0};
	bool once = span_is(spec.target, "/once");

	if (http_call_start(client, &spec, &call_events, &c) == NULL)
		return false;
	for (int i = 0; i < MAX_TURNS && c.ends + c.fails == 0; i++) {
		uv_run(&w->loop->uv, UV_RUN_NOWAIT);
		if (i > 100)
			usleep(100);
	}
	assert_int_equal(c.ends + c.fails, 1); /* told exactly once, and not by a timer alone */
	if (c.ends == 0)
		return false;
	return span_is((struct span){c.got, c.n}, once ? "hello world" : "hello worldhello world");
}

/* Two calls, the second over the pooled connection when there is one. */
static bool calls(const void *arg)
{
	const struct http_client_limits limits = {.max_idle_per_origin = 4, .idle_ms = 55000};
	struct world w;
	struct http_client *client;
	struct http_origin *o;
	struct err err = {0};
	char url[64];
	bool ok;

	torture_pause();
	world_open(&w);
	client = http_client_new(w.loop, w.resolver, &limits);
	assert_true(http_server_listen(w.server, "127.0.0.1:0", &err));
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", http_server_port(w.server));
	o = http_origin_new(url, NULL, NULL, &err);
	assert_true(client != NULL && o != NULL);
	torture_resume();
	ok = one_call(&w, client, o, "/once");
	ok = one_call(&w, client, o, "/chunks") && ok;
	torture_pause();
	http_client_free(client);
	http_origin_unref(o);
	world_close(&w);
	torture_resume();
	return ok;
}

/* ---- a pipeline from the other end of a pipe ---- */

static void client_read(void *user, struct span bytes)
{
	on_body(user, bytes);
}

static void client_end(void *user, const struct err *err)
{
	struct call *c = user;

	c->fails++;
}

static const struct stream_events client_events = {.read = client_read, .end = client_end};

static bool pipeline(const void *arg)
{
	const size_t *cut = arg;
	static const struct span in =
		SPAN("POST /once HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
		     "GET /once HTTP/1.1\r\nHost: a\r\n\r\n");
	struct stream *ends[2];
	struct call c = {0};
	struct world w;
	bool ok = false;

	torture_pause();
	world_open(&w);
	assert_true(pipe_open(w.loop, 0, ends));
	stream_bind(ends[0], &client_events, &c);
	stream_resume(ends[0]);
	torture_resume();
	http_server_adopt(w.server, ends[1]);
	for (size_t at = 0; at < in.n; at += *cut) {
		struct span piece = span_head(span_skip(in, at), *cut);

		stream_write(ends[0], &piece, 1);
		turns(&w, 3);
	}
	turns(&w, 10);
	torture_pause();
	/* Both answers, or the connection ended or was refused. */
	ok = c.fails == 0 && span_find((struct span){c.got, c.n}, SPAN("\r\n\r\nab")) > 0 &&
	     span_ends((struct span){c.got, c.n}, SPAN("Content-Length: 0\r\nX-Test: yes\r\n\r\n"));
	assert_true(ok || torture_has_refused());
	stream_close(ends[0]);
	turns(&w, 5);
	assert_int_equal(http_server_active(w.server), 0);
	assert_int_equal(http_server_connections(w.server), 0);
	world_close(&w);
	torture_resume();
	return ok;
}

static void calls_survive(void **state)
{
	torture("calls over loopback", calls, NULL);
}

static void pipelines_survive(void **state)
{
	static const size_t cuts[] = {1000, 7};

	for (int i = 0; i < 2; i++)
		torture("pipeline", pipeline, &cuts[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_survive),
		cmocka_unit_test(pipelines_survive),
	};

	return cmocka_run_group_tests_name("torture/serve", tests, NULL, NULL);
}
