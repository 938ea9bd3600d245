/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/conn.h"
#include "machine/net/probe_test.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* What libuv asks of the kernel is counted by standing in front of libc. */
static int reads, writes, controls;

ssize_t read(int fd, void *p, size_t n)
{
	static ssize_t (*next)(int, void *, size_t);

	if (next == NULL)
		next = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
	reads++;
	return next(fd, p, n);
}

ssize_t write(int fd, const void *p, size_t n)
{
	static ssize_t (*next)(int, const void *, size_t);

	if (next == NULL)
		next = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
	writes++;
	return next(fd, p, n);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	static ssize_t (*next)(int, const struct iovec *, int);

	if (next == NULL)
		next = (ssize_t(*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
	writes++;
	return next(fd, v, n);
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	static int (*next)(int, int, int, struct epoll_event *);

	if (next == NULL)
		next = (int (*)(int, int, int, struct epoll_event *))dlsym(RTLD_NEXT, "epoll_ctl");
	controls++;
	return next(epfd, op, fd, event);
}

static struct probe p;
static int peer; /* the other end, a bare descriptor that does not block */

static void open_tcp(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	/* Small buffers in the kernel, so that little is enough to fill them. */
	int ls = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, small = 65536;
	struct conn *c;

	assert_int_equal(bind(ls, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(ls, 1), 0);
	assert_int_equal(getsockname(ls, (struct sockaddr *)&a, &n), 0);
	peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(connect(peer, (struct sockaddr *)&a, sizeof(a)), 0);
	fd = accept4(ls, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	close(ls);
	fcntl(peer, F_SETFL, O_NONBLOCK);
	c = conn_adopt(loop, fd, true, "the peer");
	assert_non_null(c);
	probe_init(&p, &c->s);
}

static void open_unix(void)
{
	struct conn *c;
	int fds[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	peer = fds[1];
	c = conn_adopt(loop, fds[0], false, "unix");
	assert_non_null(c);
	probe_init(&p, &c->s);
}

static void finish(void)
{
	if (peer >= 0)
		close(peer);
	peer = -1;
	stream_close(p.s);
	p.s = NULL;
	probe_done(&p);
}

static void send_peer(const char *text)
{
	assert_int_equal(send(peer, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* Takes what is there; -1: the end, -2: reset. */
static ssize_t take_peer(struct buf *out)
{
	char bytes[65536];
	ssize_t n, all = 0;

	while ((n = recv(peer, bytes, sizeof(bytes), 0)) > 0) {
		assert_true(buf_append(out, span_from(bytes, (size_t)n)));
		all += n;
	}
	if (n == 0)
		return -1;
	return errno == EAGAIN ? all : -2;
}

static void fill(char *bytes, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1103515245 + 12345;
		bytes[i] = (char)(seed >> 16);
	}
}

static void an_idle_connection_is_small(void **state)
{
	assert_true(sizeof(struct conn) <= 480);
}

static void a_message_costs_one_read_and_one_write(void **state)
{
	struct span v[3] = {SPAN("HTTP/1.1 200 OK\r\n"), SPAN("\r\n"), SPAN("body")};
	struct buf got;

	buf_init(&got, 1000);
	open_tcp();
	probe_resume(&p);
	probe_turns();
	for (int i = 1; i <= 5; i++) {
		send_peer("GET / HTTP/1.1\r\n\r\n");
		reads = writes = controls = 0;
		WAIT(p.reads == i);
		assert_true(stream_write(p.s, v, 3));
		/* Pausing until the answer is out, as a server may do, is free. */
		stream_pause(p.s);
		stream_resume(p.s);
		probe_turns();
		assert_int_equal(reads, 1);
		assert_int_equal(writes, 1);
		assert_int_equal(controls, 0);
		assert_null(((struct conn *)p.s)->tail);
		assert_int_equal(take_peer(&got), 23);
	}
	assert_int_equal(p.drains, 0);
	finish();
	buf_done(&got);
}

static void nothing_written_costs_nothing(void **state)
{
	struct span v[2] = {SPAN(""), {NULL, 0}};

	open_tcp();
	writes = 0;
	assert_true(stream_write(p.s, v, 2));
	assert_true(stream_write(p.s, v, 0));
	assert_int_equal(writes, 0);
	finish();
}

static void more_spans_than_the_kernel_takes_arrive_in_order(void **state)
{
	enum { N = 3000 };
	struct span v[N];
	char bytes[N];
	struct buf got;

	fill(bytes, N, 5);
	for (int i = 0; i < N; i++)
		v[i] = span_from(bytes + i, 1);
	buf_init(&got, N);
	open_unix();
	assert_true(stream_write(p.s, v, N));
	WAIT(take_peer(&got) >= 0 && got.n == N);
	assert_memory_equal(buf_span(&got).p, bytes, N);
	finish();
	buf_done(&got);
}

/* Writes of all sizes into a peer that reads now and then. */
static void what_the_peer_does_not_take_is_kept_in_order(void **state)
{
	size_t n = 8u << 20, sent = 0;
	char *bytes = malloc(n);
	struct buf got;
	unsigned seed = 9;

	assert_non_null(bytes);
	fill(bytes, n, 1);
	buf_init(&got, n);
	open_tcp();
	while (sent < n) {
		size_t piece;

		seed = seed * 1103515245 + 12345;
		piece = (seed >> 8) % 200000;
		if (piece > n - sent)
			piece = n - sent;
		assert_true(probe_write(&p, span_from(bytes + sent, piece)));
		sent += piece;
		if (seed % 7 == 0)
			uv_run(&loop->uv, UV_RUN_NOWAIT);
	}
	assert_true(stream_pending(p.s) > 1000000);
	assert_true(stream_pending(p.s) < n);
	while (got.n < n) {
		assert_true(take_peer(&got) >= 0);
		uv_run(&loop->uv, UV_RUN_NOWAIT);
	}
	WAIT(p.drains == 1);
	assert_int_equal(stream_pending(p.s), 0);
	assert_null(((struct conn *)p.s)->tail);
	assert_memory_equal(buf_span(&got).p, bytes, n);
	finish();
	buf_done(&got);
	free(bytes);
}

static void a_write_past_the_bound_breaks_the_stream(void **state)
{
	size_t n = STREAM_MAX_PENDING_BYTES;
	char *bytes = calloc(1, n);
	struct buf got;

	assert_non_null(bytes);
	buf_init(&got, 128u << 20);
	open_tcp();
	assert_true(probe_write(&p, span_from(bytes, n)));
	assert_false(probe_write(&p, span_from(bytes, n)));
	assert_false(probe_write(&p, SPAN("x")));
	assert_true(p.s->broken);
	assert_int_equal(p.ends, 0);
	WAIT(p.ends == 1);
	assert_int_equal(p.end.code, ERR_IO);
	probe_close(&p);
	/* The peer must not take it for whole. */
	WAIT(take_peer(&got) == -2);
	finish();
	buf_done(&got);
	free(bytes);
}

static void an_orderly_end_leaves_writing_possible(void **state)
{
	struct buf got;

	buf_init(&got, 100);
	open_tcp();
	probe_resume(&p);
	send_peer("bye");
	shutdown(peer, SHUT_WR);
	WAIT(p.ends == 1);
	assert_true(span_is(buf_span(&p.got), "bye"));
	assert_int_equal(p.end.code, ERR_OK);
	assert_false(p.s->broken);
	probe_resume(&p);
	assert_true(probe_write(&p, SPAN("answer")));
	probe_close(&p);
	WAIT(take_peer(&got) == -1);
	assert_true(span_is(buf_span(&got), "answer"));
	finish();
	buf_done(&got);
}

static void reset_peer(void)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(peer);
	peer = -1;
}

static void a_reset_is_reported_as_a_failure(void **state)
{
	open_tcp();
	probe_resume(&p);
	reset_peer();
	WAIT(p.ends == 1);
	assert_int_equal(p.end.code, ERR_IO);
	assert_non_null(strstr(p.end.text, "the peer"));
	assert_false(probe_write(&p, SPAN("x")));
	probe_turns();
	finish();
}

/* The bytes and the reset are there before the loop looks. */
static void a_reset_right_behind_bytes_is_no_orderly_end(void **state)
{
	open_tcp();
	probe_resume(&p);
	probe_turns();
	send_peer("half an answer");
	reset_peer();
	WAIT(p.ends == 1);
	assert_int_equal(p.end.code, ERR_IO);
	finish();
}

static void a_failed_write_is_reported_once_and_from_the_loop(void **state)
{
	for (int resumed = 0; resumed < 2; resumed++) {
		open_tcp();
		if (resumed)
			probe_resume(&p);
		reset_peer();
		/* The first may still be taken; the peer's answer to it is a reset. */
		for (int i = 0; i < 100 && probe_write(&p, SPAN("x")); i++)
			usleep(1000);
		assert_true(p.s->broken);
		assert_int_equal(p.ends, 0);
		WAIT(p.ends == 1);
		assert_int_equal(p.end.code, ERR_IO);
		probe_turns();
		finish();
	}
}

/* A server that refuses an upload answers and closes while the client still writes. */
static void the_peers_last_words_are_read_after_a_failed_write(void **state)
{
	open_tcp();
	probe_resume(&p);
	assert_true(probe_write(&p, SPAN("part of a body that nobody reads")));
	usleep(10000);
	send_peer("413 no");
	close(peer);
	peer = -1;
	for (int i = 0; i < 100 && probe_write(&p, SPAN("x")); i++)
		usleep(1000);
	assert_true(p.s->broken);
	WAIT(p.ends == 1);
	assert_true(span_is(buf_span(&p.got), "413 no"));
	assert_int_equal(p.end.code, ERR_IO);
	finish();
}

static void a_paused_stream_reads_nothing(void **state)
{
	open_tcp();
	send_peer("early");
	probe_turns();
	assert_int_equal(p.reads, 0);
	probe_resume(&p);
	WAIT(p.reads == 1);
	stream_pause(p.s);
	send_peer("later");
	reads = 0;
	probe_turns();
	assert_int_equal(p.reads, 1);
	assert_int_equal(reads, 0);
	/* Nor does the loop spin over bytes that nobody wants. */
	assert_false(((struct conn *)p.s)->reading);
	probe_resume(&p);
	WAIT(p.reads == 2);
	assert_true(span_is(buf_span(&p.got), "earlylater"));
	finish();
}

static void pause_p(struct probe *who)
{
	stream_pause(who->s);
}

static void pauses_lose_no_bytes(void **state)
{
	size_t n = 4u << 20, sent = 0;
	char *bytes = malloc(n);

	assert_non_null(bytes);
	fill(bytes, n, 3);
	open_unix();
	p.on_read = pause_p;
	probe_wait_start();
	while (p.got.n < n) {
		ssize_t done = send(peer, bytes + sent, n - sent, 0);
		int before = p.reads;

		if (done > 0)
			sent += (size_t)done;
		probe_resume(&p);
		uv_run(&loop->uv, UV_RUN_NOWAIT);
		assert_true(p.reads <= before + 1);
	}
	assert_memory_equal(buf_span(&p.got).p, bytes, n);
	assert_true(p.largest_read <= LOOP_READ_BYTES);
	finish();
	free(bytes);
}

static void a_close_lets_pending_bytes_leave(void **state)
{
	size_t n = 3u << 20;
	char *bytes = malloc(n);
	struct buf got;

	assert_non_null(bytes);
	fill(bytes, n, 2);
	buf_init(&got, n);
	open_tcp();
	assert_true(probe_write(&p, span_from(bytes, n)));
	assert_true(stream_pending(p.s) > 0);
	probe_close(&p);
	probe_wait_start();
	while (take_peer(&got) != -1)
		uv_run(&loop->uv, UV_RUN_NOWAIT);
	assert_int_equal(got.n, n);
	assert_memory_equal(buf_span(&got).p, bytes, n);
	assert_int_equal(p.drains, 0);
	finish();
	buf_done(&got);
	free(bytes);
}

static void a_close_gives_up_on_a_peer_that_takes_nothing(void **state)
{
	size_t n = 3u << 20;
	char *bytes = calloc(1, n);
	struct buf got;

	assert_non_null(bytes);
	buf_init(&got, n);
	open_tcp();
	assert_true(probe_write(&p, span_from(bytes, n)));
	probe_close(&p);
	probe_pass_ms(4900);
	assert_int_equal(loop->closing, 1);
	probe_pass_ms(200);
	assert_int_equal(loop->closing, 0);
	WAIT(take_peer(&got) == -2);
	finish();
	buf_done(&got);
	free(bytes);
}

/* Closing a socket with input unread sends an RST, and an RST destroys what the peer has not read.
 */
static void an_answer_before_a_close_survives_unread_input(void **state)
{
	char junk[100000] = {0};
	struct buf got;

	buf_init(&got, 100);
	open_tcp();
	assert_true(send(peer, junk, sizeof(junk), 0) > 0);
	assert_true(probe_write(&p, SPAN("413")));
	probe_close(&p);
	for (int i = 0; i < 20; i++) {
		assert_true(send(peer, junk, sizeof(junk), MSG_NOSIGNAL) > 0 || errno == EAGAIN);
		uv_run(&loop->uv, UV_RUN_NOWAIT);
	}
	assert_int_equal(take_peer(&got), -1);
	assert_true(span_is(buf_span(&got), "413"));
	assert_int_equal(loop->closing, 1);
	close(peer);
	peer = -1;
	WAIT(loop->closing == 0);
	assert_int_equal(p.reads, 0);
	finish();
	buf_done(&got);
}

static void lingering_is_bounded(void **state)
{
	open_tcp();
	probe_close(&p);
	probe_pass_ms(1900);
	assert_int_equal(loop->closing, 1);
	probe_pass_ms(200);
	assert_int_equal(loop->closing, 0);
	finish();
}

static void a_stream_reset_reaches_the_peer_as_one(void **state)
{
	struct buf got;

	buf_init(&got, 100);
	open_tcp();
	assert_true(probe_write(&p, SPAN("x")));
	probe_reset(&p);
	WAIT(loop->closing == 0);
	while (take_peer(&got) != -2)
		usleep(1000);
	finish();
	buf_done(&got);
}

static void close_p(struct probe *who)
{
	stream_close(who->s);
	who->s = NULL;
}

static void reset_p(struct probe *who)
{
	stream_reset(who->s);
	who->s = NULL;
}

static void an_owner_may_close_in_any_callback(void **state)
{
	void (*const closers[])(struct probe *) = {close_p, reset_p};
	size_t n = 3u << 20;
	char *bytes = calloc(1, n);
	struct buf got;

	assert_non_null(bytes);
	for (int i = 0; i < 4; i++) {
		(i < 2 ? open_tcp : open_unix)();
		p.on_read = closers[i % 2];
		probe_resume(&p);
		assert_true(send(peer, bytes, 150000, 0) > 0);
		WAIT(p.s == NULL);
		probe_turns();
		assert_int_equal(p.reads, 1);
		finish();

		(i < 2 ? open_tcp : open_unix)();
		p.on_end = closers[i % 2];
		probe_resume(&p);
		shutdown(peer, SHUT_WR);
		WAIT(p.s == NULL);
		finish();

		(i < 2 ? open_tcp : open_unix)();
		p.on_drain = closers[i % 2];
		buf_init(&got, n);
		assert_true(probe_write(&p, span_from(bytes, n)));
		while (p.s != NULL) {
			assert_true(take_peer(&got) >= 0);
			uv_run(&loop->uv, UV_RUN_NOWAIT);
		}
		buf_done(&got);
		finish();
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_connection_is_small),
		PROBE_TEST(a_message_costs_one_read_and_one_write),
		PROBE_TEST(nothing_written_costs_nothing),
		PROBE_TEST(more_spans_than_the_kernel_takes_arrive_in_order),
		PROBE_TEST(what_the_peer_does_not_take_is_kept_in_order),
		PROBE_TEST(a_write_past_the_bound_breaks_the_stream),
		PROBE_TEST(an_orderly_end_leaves_writing_possible),
		PROBE_TEST(a_reset_is_reported_as_a_failure),
		PROBE_TEST(a_reset_right_behind_bytes_is_no_orderly_end),
		PROBE_TEST(a_failed_write_is_reported_once_and_from_the_loop),
		PROBE_TEST(the_peers_last_words_are_read_after_a_failed_write),
		PROBE_TEST(a_paused_stream_reads_nothing),
		PROBE_TEST(pauses_lose_no_bytes),
		PROBE_TEST(a_close_lets_pending_bytes_leave),
		PROBE_CLOCK_TEST(a_close_gives_up_on_a_peer_that_takes_nothing),
		PROBE_TEST(an_answer_before_a_close_survives_unread_input),
		PROBE_CLOCK_TEST(lingering_is_bounded),
		PROBE_TEST(a_stream_reset_reaches_the_peer_as_one),
		PROBE_TEST(an_owner_may_close_in_any_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
