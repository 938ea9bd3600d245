/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/socket.h"
#include "machine/net/probe_test.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "machine/net/address.h"
#include "machine/net/conn.h"

enum { MAX_ACCEPTED = 300 };

static struct stream *accepted[MAX_ACCEPTED];
static int n_accepted;
static struct listener *ls, *closes_in_accept;
static struct err err;

static void on_accept(void *user, struct stream *s)
{
	assert_ptr_equal(user, &n_accepted);
	assert_null(s->events);
	accepted[n_accepted++] = s;
	if (closes_in_accept != NULL) {
		listener_close(closes_in_accept);
		closes_in_accept = NULL;
	}
}

static struct listener *open_at(const char *address)
{
	err.code = ERR_OK;
	return listener_open(loop, address, on_accept, &n_accepted, &err);
}

static void drop_accepted(void)
{
	while (n_accepted > 0)
		stream_reset(accepted[--n_accepted]);
}

static int connect_ip(const char *literal, int port)
{
	struct address a;
	int fd;

	assert_true(address_read_ip(&a, span_of(literal), port));
	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, &a.any, a.n), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void tcp_connections_are_accepted(void **state)
{
	static const char *const addresses[][3] = {{"127.0.0.1:0", "127.0.0.1", "127.0.0.1:"},
		{"0.0.0.0:0", "127.0.0.1", "127.0.0.1:"}, {"[::1]:0", "::1", "[::1]:"},
		{"[::]:0", "127.0.0.1", "127.0.0.1:"}, {"localhost:0", "127.0.0.1", "127.0.0.1:"}};

	for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
		uv_os_fd_t accepted_fd;
		int fd, on = 0;
		socklen_t n = sizeof(on);

		if (addresses[i][0][0] == '[' && !probe_has_ipv6())
			continue;
		ls = open_at(addresses[i][0]);
		assert_non_null(ls);
		assert_true(listener_port(ls) > 0);
		fd = connect_ip(addresses[i][1], listener_port(ls));
		WAIT(n_accepted == 1);
		assert_true(span_starts(span_of(accepted[0]->peer), span_of(addresses[i][2])));
		uv_fileno(&((struct conn *)accepted[0])->uv.handle, &accepted_fd);
		assert_int_equal(getsockopt(accepted_fd, IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
		assert_int_equal(on, 1);
		assert_true(fcntl(accepted_fd, F_GETFD) & FD_CLOEXEC);
		drop_accepted();
		close(fd);
		listener_close(ls);
	}
}

static void accepted_streams_outlive_the_listener(void **state)
{
	struct probe p;
	int fd;

	ls = open_at("127.0.0.1:0");
	fd = connect_ip("127.0.0.1", listener_port(ls));
	closes_in_accept = ls;
	WAIT(n_accepted == 1);
	probe_init(&p, accepted[0]);
	probe_resume(&p);
	assert_int_equal(send(fd, "hi", 2, 0), 2);
	WAIT(p.reads == 1);
	drop_accepted();
	probe_done(&p);
	close(fd);
}

static void listeners_share_an_address(void **state)
{
	enum { N = 64 };
	struct listener *other;
	char address[32];
	int fds[N];

	ls = open_at("127.0.0.1:0");
	snprintf(address, sizeof(address), "127.0.0.1:%d", listener_port(ls));
	other = open_at(address);
	assert_non_null(other);
	for (int i = 0; i < N; i++)
		fds[i] = connect_ip("127.0.0.1", listener_port(ls));
	WAIT(n_accepted == N);
	drop_accepted();
	for (int i = 0; i < N; i++)
		close(fds[i]);
	listener_close(ls);
	listener_close(other);
}

static void an_address_in_use_is_a_conflict(void **state)
{
	struct address a;
	char address[32];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(address_read_ip(&a, SPAN("127.0.0.1"), 0));
	assert_int_equal(bind(fd, &a.any, a.n), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, &a.any, &a.n), 0);
	snprintf(address, sizeof(address), "127.0.0.1:%d", address_port(&a));
	assert_null(open_at(address));
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_non_null(strstr(err.text, address));
	assert_false(listener_is_free(address, &err));
	close(fd);
	assert_true(listener_is_free(address, &err));
	/* Even where sharing would hide it. */
	ls = open_at(address);
	assert_non_null(ls);
	err.code = ERR_OK;
	assert_false(listener_is_free(address, &err));
	assert_int_equal(err.code, ERR_CONFLICT);
	listener_close(ls);
}

static void bad_addresses_are_refused(void **state)
{
	static const char *const bad[] = {"", "4000", ":4000", "example.com:80", "1.2.3.4",
		"unix:", "1.2.3.4:99999",
		"unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_null(open_at(bad[i]));
		assert_int_equal(err.code, ERR_CONFIG);
	}
	assert_null(open_at("unix:/no/such/directory/s"));
	assert_int_equal(err.code, ERR_IO);
	assert_null(open_at("203.0.113.77:0"));
	assert_int_equal(err.code, ERR_IO);
}

static char path[64], unix_address[80];

static int connect_unix(void)
{
	struct address a;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_true(address_read_unix(&a, span_of(path)));
	if (connect(fd, &a.any, a.n) == 0)
		return fd;
	close(fd);
	return -1;
}

static void make_path(void)
{
	snprintf(path, sizeof(path), "/tmp/listener_test_%d", (int)getpid());
	snprintf(unix_address, sizeof(unix_address), "unix:%s", path);
	unlink(path);
}

static void a_unix_socket_is_private_and_goes_with_its_listener(void **state)
{
	mode_t old = umask(0);
	struct stat st;
	int fd;

	make_path();
	ls = open_at(unix_address);
	umask(old);
	assert_non_null(ls);
	assert_int_equal(listener_port(ls), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	fd = connect_unix();
	assert_true(fd >= 0);
	WAIT(n_accepted == 1);
	assert_string_equal(accepted[0]->peer, "unix");
	drop_accepted();
	close(fd);
	/* Someone listens: not ours to take. */
	assert_null(open_at(unix_address));
	assert_int_equal(err.code, ERR_CONFLICT);
	listener_close(ls);
	assert_int_equal(lstat(path, &st), -1);
}

static void a_stale_socket_file_is_replaced_and_other_files_are_not(void **state)
{
	struct address a;
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	make_path();
	assert_true(address_read_unix(&a, span_of(path)));
	assert_int_equal(bind(fd, &a.any, a.n), 0);
	close(fd);
	ls = open_at(unix_address);
	assert_non_null(ls);
	fd = connect_unix();
	assert_true(fd >= 0);
	close(fd);
	/* Somebody has put another file there: it stays. */
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);
	close(fd);
	listener_close(ls);
	assert_int_equal(lstat(path, &st), 0);
	assert_null(open_at(unix_address));
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(lstat(path, &st), 0);
	unlink(path);
	probe_turns();
	drop_accepted();
}

static bool is_closed(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, 0);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* Descriptors run out: one peer is told at once, the others wait, and the loop sleeps meanwhile. */
static void running_out_of_descriptors_pauses_accepting(void **state)
{
	struct rlimit before, none;
	int64_t start_us;
	int fds[3], turns = 0, probe_fd;

	ls = open_at("127.0.0.1:0");
	for (int i = 0; i < 3; i++)
		fds[i] = connect_ip("127.0.0.1", listener_port(ls));
	probe_fd = dup(0);
	close(probe_fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)probe_fd;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	WAIT(is_closed(fds[0]));
	start_us = loop_now_us(loop);
	assert_int_equal(n_accepted, 0);
	assert_false(is_closed(fds[1]));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	probe_wait_start();
	for (; n_accepted < 2; turns++)
		uv_run(&loop->uv, UV_RUN_ONCE);
	timer_stop(&probe_guard);
	assert_true(loop_now_us(loop) - start_us >= 80000);
	assert_true(turns <= 60);
	drop_accepted();
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	listener_close(ls);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROBE_TEST(tcp_connections_are_accepted),
		PROBE_TEST(accepted_streams_outlive_the_listener),
		PROBE_TEST(listeners_share_an_address),
		PROBE_TEST(an_address_in_use_is_a_conflict),
		PROBE_TEST(bad_addresses_are_refused),
		PROBE_TEST(a_unix_socket_is_private_and_goes_with_its_listener),
		PROBE_TEST(a_stale_socket_file_is_replaced_and_other_files_are_not),
		PROBE_TEST(running_out_of_descriptors_pauses_accepting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
