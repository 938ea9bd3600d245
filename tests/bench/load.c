/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load - a load generator for the benchmarks: one thread, epoll, every answer checked.
 *
 * Sends one fixed request over N keep-alive connections and reads each answer to its end. An answer
 * that is not 200, is cut, or (with --expect) does not end with the expected text is a failure,
 * and a failure voids the run. Prints one line of JSON. With --hold it opens the connections,
 * prints "ready" once each has what it should have, and keeps them until end of file on stdin.
 *
 * Test code: it may use epoll directly and knows nothing of the gateway.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES 65536
#define HEAD_BYTES 4096
#define TAIL_BYTES 64
#define MAX_SAMPLES (8u << 20)
#define CONNECT_BATCH 64

enum framing {
	FRAMING_HEAD,
	FRAMING_LENGTH,
	FRAMING_SIZE,
	FRAMING_DATA,
	FRAMING_DATA_END,
	FRAMING_LAST
};
enum hold { HOLD_NONE, HOLD_IDLE, HOLD_STREAM };

struct conn {
	int fd;
	bool writing, counted, close_after, last_was_newline;
	size_t sent;
	enum framing framing;
	uint64_t left;
	char *head;
	size_t head_n;
	char tail[TAIL_BYTES];
	size_t tail_n;
	int64_t started_us;
};

struct options {
	const char *host, *path, *method, *body_file, *expect;
	int port, connections, addresses;
	double seconds;
	enum hold hold;
	char headers[4096];
};

static struct options o = {.host = "127.0.0.1",
	.path = "/",
	.method = "POST",
	.connections = 1,
	.addresses = 1,
	.seconds = 5};
static struct conn *conns;
static char *request;
static size_t request_n;
static int epoll_fd, opened, up, closed_conns;
static uint64_t completed, failed, events, body_bytes;
static uint32_t *samples;
static size_t n_samples;
static bool stopping;
static char first_failure[200];

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void watch(struct conn *c, int op, uint32_t what)
{
	struct epoll_event ev = {.events = what, .data.ptr = c};

	if (epoll_ctl(epoll_fd, op, c->fd, &ev) < 0)
		die("epoll_ctl");
}

static void begin_request(struct conn *c)
{
	c->sent = 0;
	c->writing = true;
	c->framing = FRAMING_HEAD;
	c->head_n = c->tail_n = 0;
	c->close_after = c->last_was_newline = false;
	c->started_us = now_us();
}

static void open_conn(struct conn *c)
{
	struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (o.addresses > 1) {
		/* One address pair has 28,000 ports: many connections spread over 127.0.0.x. */
		setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		from.sin_addr.s_addr = htonl(0x7f000002u + (uint32_t)((c - conns) % o.addresses));
		if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)) < 0)
			die("bind");
	}
	to.sin_port = htons((uint16_t)o.port);
	inet_pton(AF_INET, o.host, &to.sin_addr);
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		die("connect");
	begin_request(c);
	watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void shut(struct conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	closed_conns++;
}

static void fail(struct conn *c, const char *why)
{
	failed++;
	if (first_failure[0] == '\0')
		snprintf(first_failure, sizeof(first_failure), "%.*s", (int)strcspn(why, "\r\n\""),
			why);
	shut(c);
}

/* ---- the answer ---- */

static void take_body(struct conn *c, const char *p, size_t n)
{
	size_t keep = n < TAIL_BYTES ? n : TAIL_BYTES;

	body_bytes += n;
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n') {
			events += c->last_was_newline;
			c->last_was_newline = !c->last_was_newline;
		} else if (p[i] != '\r') {
			c->last_was_newline = false;
		}
	}
	if (keep < TAIL_BYTES && c->tail_n + keep > TAIL_BYTES) {
		size_t drop = c->tail_n + keep - TAIL_BYTES;

		memmove(c->tail, c->tail + drop, c->tail_n - drop);
		c->tail_n -= drop;
	} else if (keep == TAIL_BYTES) {
		c->tail_n = 0;
	}
	memcpy(c->tail + c->tail_n, p + n - keep, keep);
	c->tail_n += keep;
	if (o.hold == HOLD_STREAM && !c->counted) {
		c->counted = true;
		up++;
	}
}

/* Returns false when the connection is gone. */
static bool finish(struct conn *c)
{
	if (o.expect != NULL && memmem(c->tail, c->tail_n, o.expect, strlen(o.expect)) == NULL) {
		fail(c, "the answer does not end as expected");
		return false;
	}
	completed++;
	if (n_samples < MAX_SAMPLES)
		samples[n_samples++] = (uint32_t)(now_us() - c->started_us);
	if (o.hold == HOLD_IDLE && !c->counted) {
		c->counted = true;
		up++;
	}
	if (o.hold == HOLD_STREAM) {
		fail(c, "a stream ended while it was held");
		return false;
	}
	if (o.hold == HOLD_IDLE)
		return true;
	if (stopping) {
		shut(c);
		return false;
	}
	if (c->close_after) {
		close(c->fd);
		open_conn(c);
		return false;
	}
	begin_request(c);
	return true;
}

static bool take_head(struct conn *c)
{
	char *length, *coding;

	c->head[c->head_n] = '\0';
	if (strncmp(c->head, "HTTP/1.1 200", 12) != 0) {
		fail(c, c->head);
		return false;
	}
	length = strcasestr(c->head, "\r\ncontent-length:");
	coding = strcasestr(c->head, "\r\ntransfer-encoding: chunked");
	c->close_after = strcasestr(c->head, "\r\nconnection: close") != NULL;
	if (coding != NULL) {
		c->framing = FRAMING_SIZE;
		c->left = 0;
		return true;
	}
	if (length == NULL) {
		fail(c, "an answer without framing");
		return false;
	}
	c->left = strtoull(length + 17, NULL, 10);
	c->framing = FRAMING_LENGTH;
	return true;
}

static int hex_digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch |= 0x20;
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* Takes one step of a chunked body. Returns how many bytes it used. */
static size_t take_chunked(struct conn *c, const char *p, size_t n, bool *done)
{
	size_t take;

	switch (c->framing) {
	case FRAMING_SIZE:
		if (*p == '\n') {
			c->framing = c->left > 0 ? FRAMING_DATA : FRAMING_LAST;
			c->head_n = 0;
		} else if (hex_digit(*p) >= 0) {
			c->left = c->left << 4 | (uint64_t)hex_digit(*p);
		}
		return 1;
	case FRAMING_DATA:
		take = c->left < n ? (size_t)c->left : n;
		take_body(c, p, take);
		c->left -= take;
		if (c->left == 0)
			c->framing = FRAMING_DATA_END;
		return take;
	case FRAMING_DATA_END:
		if (*p == '\n') {
			c->framing = FRAMING_SIZE;
			c->left = 0;
		}
		return 1;
	default: /* FRAMING_LAST: the empty line */
		if (*p == '\n')
			*done = true;
		return 1;
	}
}

static bool take(struct conn *c, const char *p, size_t n)
{
	while (n > 0) {
		bool done = false;
		size_t used;

		if (c->framing == FRAMING_HEAD) {
			if (c->head_n + 1 >= HEAD_BYTES) {
				fail(c, "a head of more than 4 KiB");
				return false;
			}
			c->head[c->head_n++] = *p;
			used = 1;
			if (c->head_n >= 4 && memcmp(c->head + c->head_n - 4, "\r\n\r\n", 4) == 0) {
				if (!take_head(c))
					return false;
				done = c->framing == FRAMING_LENGTH && c->left == 0;
			}
		} else if (c->framing == FRAMING_LENGTH) {
			used = c->left < n ? (size_t)c->left : n;
			take_body(c, p, used);
			c->left -= used;
			done = c->left == 0;
		} else {
			used = take_chunked(c, p, n, &done);
		}
		p += used;
		n -= used;
		if (done && !finish(c))
			return false;
	}
	return true;
}

/* ---- readiness ---- */

static void on_writable(struct conn *c)
{
	ssize_t n = send(c->fd, request + c->sent, request_n - c->sent, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN) {
		fail(c, strerror(errno));
		return;
	}
	if (n > 0)
		c->sent += (size_t)n;
	if (c->sent == request_n) {
		c->writing = false;
		watch(c, EPOLL_CTL_MOD, EPOLLIN);
	}
}

static void on_readable(struct conn *c)
{
	static char bytes[READ_BYTES];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		fail(c, n == 0 ? "the connection was closed" : strerror(errno));
		return;
	}
	if (!take(c, bytes, (size_t)n) || c->fd < 0)
		return;
	/* The next request: usually it fits at once. */
	if (c->writing && c->sent == 0) {
		ssize_t sent = send(c->fd, request, request_n, MSG_NOSIGNAL);

		if (sent > 0)
			c->sent = (size_t)sent;
		if (c->sent == request_n)
			c->writing = false;
		else
			watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
	}
}

static void open_some(void)
{
	for (int i = 0; i < CONNECT_BATCH && opened < o.connections && failed == 0; i++) {
		struct conn *c = &conns[opened++];

		c->head = malloc(HEAD_BYTES);
		if (c->head == NULL)
			die("malloc");
		open_conn(c);
	}
}

/* Waits for end of file on stdin, reading what comes meanwhile. */
static bool stdin_ended(void)
{
	char byte;

	return read(STDIN_FILENO, &byte, 1) == 0;
}

static void run(void)
{
	struct epoll_event ready[256];
	int64_t begun = now_us(), until = begun + (int64_t)(o.seconds * 1e6);
	bool said = false;

	while (closed_conns < opened || opened < o.connections) {
		int n;

		open_some();
		n = epoll_wait(epoll_fd, ready, 256, opened < o.connections ? 0 : 20);
		for (int i = 0; i < n; i++) {
			struct conn *c = ready[i].data.ptr;

			if (c->fd >= 0 && (ready[i].events & EPOLLOUT) && c->writing)
				on_writable(c);
			if (c->fd >= 0 && (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
				on_readable(c);
		}
		if (o.hold != HOLD_NONE) {
			if (!said && up == o.connections) {
				puts("ready");
				fflush(stdout);
				said = true;
			}
			if (failed > 0 || stdin_ended())
				return;
		} else if (!stopping && now_us() >= until) {
			stopping = true;
			until += 30 * 1000000;
		} else if (stopping && now_us() >= until) {
			failed++;
			snprintf(first_failure, sizeof(first_failure), "an answer did not end");
			return;
		}
	}
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t percentile(double share)
{
	return n_samples == 0 ? 0 : samples[(size_t)(share * (double)(n_samples - 1))];
}

static void make_request(void)
{
	char *body = NULL;
	size_t n = 0, room;
	FILE *f;

	if (o.body_file != NULL) {
		f = fopen(o.body_file, "rb");
		if (f == NULL)
			die(o.body_file);
		body = malloc(1u << 20);
		if (body == NULL)
			die("malloc");
		n = fread(body, 1, 1u << 20, f);
		fclose(f);
	}
	room = n + sizeof(o.headers) + 1024;
	request = malloc(room);
	if (request == NULL)
		die("malloc");
	request_n = (size_t)snprintf(request, room, "%s %s HTTP/1.1\r\nHost: %s:%d\r\n%s", o.method,
		o.path, o.host, o.port, o.headers);
	if (body != NULL)
		request_n += (size_t)snprintf(request + request_n, room - request_n,
			"Content-Type: application/json\r\nContent-Length: %zu\r\n", n);
	request_n += (size_t)snprintf(request + request_n, room - request_n, "\r\n");
	if (body != NULL)
		memcpy(request + request_n, body, n);
	request_n += n;
	free(body);
}

static void read_options(int argc, char **argv)
{
	static const struct option names[] = {{"port", 1, NULL, 'p'}, {"connections", 1, NULL, 'c'},
		{"seconds", 1, NULL, 's'}, {"path", 1, NULL, 'u'}, {"header", 1, NULL, 'H'},
		{"body", 1, NULL, 'b'}, {"get", 0, NULL, 'g'}, {"expect", 1, NULL, 'e'},
		{"hold", 1, NULL, 'h'}, {"addresses", 1, NULL, 'a'}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		size_t n = strlen(o.headers);

		switch (option) {
		case 'p':
			o.port = (int)strtol(optarg, NULL, 10);
			break;
		case 'c':
			o.connections = (int)strtol(optarg, NULL, 10);
			break;
		case 'a':
			o.addresses = (int)strtol(optarg, NULL, 10);
			break;
		case 's':
			o.seconds = strtod(optarg, NULL);
			break;
		case 'u':
			o.path = optarg;
			break;
		case 'H':
			snprintf(o.headers + n, sizeof(o.headers) - n, "%s\r\n", optarg);
			break;
		case 'b':
			o.body_file = optarg;
			break;
		case 'g':
			o.method = "GET";
			break;
		case 'e':
			o.expect = optarg;
			break;
		case 'h':
			o.hold = strcmp(optarg, "stream") == 0 ? HOLD_STREAM : HOLD_IDLE;
			break;
		default:
			exit(2);
		}
	}
	if (o.port <= 0 || o.connections <= 0) {
		fprintf(stderr, "load: --port and --connections are needed\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	int64_t begun;

	read_options(argc, argv);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	make_request();
	conns = calloc((size_t)o.connections, sizeof(*conns));
	samples = malloc(MAX_SAMPLES * sizeof(*samples));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (conns == NULL || samples == NULL || epoll_fd < 0)
		die("start");
	if (o.hold != HOLD_NONE)
		fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
	begun = now_us();
	run();
	qsort(samples, n_samples, sizeof(*samples), by_size);
	printf("{\"completed\": %llu, \"failed\": %llu, \"events\": %llu, \"bytes\": %llu, "
	       "\"seconds\": %.3f, \"p50_us\": %u, \"p99_us\": %u, \"p999_us\": %u, \"up\": %d, "
	       "\"why\": \"%s\"}\n",
		(unsigned long long)completed, (unsigned long long)failed,
		(unsigned long long)events, (unsigned long long)body_bytes,
		(double)(now_us() - begun) / 1e6, percentile(0.5), percentile(0.99),
		percentile(0.999), up, first_failure);
	return failed > 0;
}
