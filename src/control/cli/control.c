/* SPDX-License-Identifier: Apache-2.0 */
#include "control/cli/admin.h"
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "machine/base/json.h"
#include "machine/http/h1.h"

#define WAIT_S 30
#define READ_BYTES 16384

struct answer {
	struct buf *body;
	int status;
	bool ended;
};

int control_connect(const char *socket_path)
{
	const struct timeval wait = {.tv_sec = WAIT_S};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd, saved;

	if (strlen(socket_path) >= sizeof(to.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(to.sun_path, socket_path, strlen(socket_path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static bool on_head(void *user, const struct http_head *head)
{
	struct answer *a = user;

	a->status = head->status;
	return true;
}

static bool on_body(void *user, struct span bytes)
{
	struct answer *a = user;

	return buf_append(a->body, bytes);
}

static bool on_end(void *user)
{
	struct answer *a = user;

	a->ended = true;
	return true;
}

static bool send_request(
	int fd, enum http_method method, const char *target, struct span body, struct err *err)
{
	struct buf out;
	struct span left;
	bool ok;

	buf_init(&out, 1 << 20);
	buf_printf(&out, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
		http_method_name(method), target);
	if (body.n > 0)
		buf_printf(
			&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.n);
	buf_append_cstr(&out, "\r\n");
	buf_append(&out, body);
	ok = !out.failed || err_set(err, ERR_NO_MEMORY, NULL);
	for (left = buf_span(&out); ok && left.n > 0;) {
		ssize_t n = send(fd, left.p, left.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			ok = err_set_errno(err, ERR_UPSTREAM_UNREACHABLE, "control socket");
		else
			left = span_skip(left, (size_t)n);
	}
	buf_done(&out);
	return ok;
}

static bool receive(int fd, enum http_method method, struct answer *a, struct err *err)
{
	static const struct h1_events events = {.head = on_head, .body = on_body, .end = on_end};
	char bytes[READ_BYTES];
	struct h1 parser;
	bool ok = true;

	h1_init(&parser, H1_RESPONSE, &events, a);
	h1_expect(&parser, method);
	while (ok && !a->ended) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
		struct err why = {0};

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			ok = err_set(err, ERR_UPSTREAM_TIMEOUT,
				"the server did not answer within %d s", WAIT_S);
		else if (n < 0)
			ok = err_set_errno(err, ERR_UPSTREAM_UNREACHABLE, "control socket");
		else if (n == 0)
			ok = (h1_eof(&parser) && a->ended) ||
			     err_set(err, ERR_UPSTREAM_INTERRUPTED,
				     "the server ended in its answer");
		else if (h1_feed(&parser, span_from(bytes, (size_t)n), &why) < 0)
			ok = err_set(err, ERR_INTERNAL, "the server's answer: %s", why.text);
		else if (a->body->failed)
			ok = err_set(err, ERR_NO_MEMORY, "the server's answer is too large");
	}
	h1_done(&parser);
	return ok;
}

static enum err_code code_of(int status)
{
	switch (status) {
	case 400:
	case 413:
	case 415:
		return ERR_BAD_REQUEST;
	case 401:
	case 403:
		return ERR_FORBIDDEN;
	case 404:
		return ERR_NOT_FOUND;
	case 409:
		return ERR_CONFLICT;
	default:
		return ERR_INTERNAL;
	}
}

static bool fail_answer(const struct answer *a, struct err *err)
{
	yyjson_doc *doc = json_read(NULL, buf_span(a->body), NULL);
	yyjson_val *error = json_get(yyjson_doc_get_root(doc), "error");
	struct span text = SPAN("");

	if (!json_get_str(error, "message", &text) || text.n == 0)
		err_set(err, code_of(a->status), "the server answered %d", a->status);
	else
		err_set(err, code_of(a->status), "%.*s", SPAN_ARG(text));
	json_free(doc);
	return false;
}

bool control_call(const char *socket_path, enum http_method method, const char *target,
	struct span body, struct buf *answer, struct err *err)
{
	struct answer a = {.body = answer};
	int fd = control_connect(socket_path);
	bool ok;

	if (fd < 0)
		return err_set_errno(err, ERR_UPSTREAM_UNREACHABLE, socket_path);
	ok = send_request(fd, method, target, body, err) && receive(fd, method, &a, err);
	close(fd);
	if (ok && a.status >= 400)
		ok = fail_answer(&a, err);
	return ok;
}
