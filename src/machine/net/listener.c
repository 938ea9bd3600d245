/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/socket.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "machine/net/address.h"
#include "machine/net/conn.h"

#define BACKLOG 4096
#define ACCEPTS_A_TURN 64
#define PAUSE_MS 100

struct listener {
	uv_poll_t poll;
	struct loop *loop;
	struct timer pause; /* runs while accepting pauses */
	listener_accept accept;
	void *user;
	int fd, spare_fd;
	int port;
	bool tcp, closed;
	/* Of a UNIX socket: what to remove at the end, if it is still this one. */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	dev_t device;
	ino_t inode;
};

/* --- accepting --- */

static int open_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void on_pause_over(struct timer *t)
{
	struct listener *ls = LIST_ITEM(t, struct listener, pause);

	if (ls->spare_fd < 0)
		ls->spare_fd = open_spare();
	if (uv_poll_start(&ls->poll, UV_READABLE, on_ready) < 0)
		timer_start(&ls->pause, PAUSE_MS);
}

/*
 * The queue stays readable while it cannot be accepted from, so waiting for readiness would spin.
 * The spare descriptor lets one peer be accepted and closed: it learns at once that it is not
 * served.
 */
static void pause_accepting(struct listener *ls, bool no_descriptor)
{
	if (no_descriptor && ls->spare_fd >= 0) {
		int fd;

		close(ls->spare_fd);
		fd = accept4(ls->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			close(fd);
		ls->spare_fd = open_spare();
	}
	uv_poll_stop(&ls->poll);
	timer_start(&ls->pause, PAUSE_MS);
}

/* The peer's own misfortune (accept(2), "Error handling"), not the listener's. */
static bool concerns_one_peer(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPERM:
	case EPROTO:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
		return true;
	default:
		return false;
	}
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct listener *ls = poll->data;

	for (int i = 0; i < ACCEPTS_A_TURN && !ls->closed; i++) {
		struct address from = {.n = sizeof(from.un)};
		char peer[ADDRESS_TEXT_BYTES];
		struct conn *c;
		int fd = accept4(ls->fd, &from.any, &from.n, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0 && concerns_one_peer(errno))
			continue;
		if (fd < 0) {
			pause_accepting(ls, errno == EMFILE || errno == ENFILE);
			return;
		}
		if (!ls->tcp)
			from.any.sa_family = AF_UNIX;
		address_write(&from, peer);
		c = conn_adopt(ls->loop, fd, ls->tcp, peer);
		if (c != NULL)
			ls->accept(ls->user, &c->s);
	}
}

/* --- binding --- */

static bool set_on(int fd, int level, int option)
{
	int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) == 0;
}

static bool fail(const char *address, struct err *err)
{
	enum err_code code = errno == EADDRINUSE ? ERR_CONFLICT : ERR_IO;

	return err_set(err, code, "cannot listen on %s: %s%s", address, strerror(errno),
		errno == EADDRINUSE ? "; choose another address or stop what listens there" : "");
}

static bool bind_tcp(struct listener *ls, const struct address *a)
{
	struct address bound = {.n = sizeof(bound.un)};
	int off = 0;

	/* Accepted sockets inherit TCP_NODELAY. */
	if (!set_on(ls->fd, SOL_SOCKET, SO_REUSEADDR) ||
		!set_on(ls->fd, SOL_SOCKET, SO_REUSEPORT) ||
		!set_on(ls->fd, IPPROTO_TCP, TCP_NODELAY))
		return false;
	if (a->any.sa_family == AF_INET6)
		setsockopt(ls->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(ls->fd, &a->any, a->n) < 0 || listen(ls->fd, BACKLOG) < 0 ||
		getsockname(ls->fd, &bound.any, &bound.n) < 0)
		return false;
	ls->port = address_port(&bound);
	return true;
}

/* True when nobody listens behind the socket file any more. */
static bool is_stale(const struct address *a)
{
	struct stat st;
	int fd, status;

	if (lstat(a->un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	status = connect(fd, &a->any, a->n) < 0 ? errno : 0;
	close(fd);
	return status == ECONNREFUSED;
}

static bool bind_unix(struct listener *ls, const struct address *a)
{
	struct stat st;

	/* The socket's mode becomes the file's, so there is no moment with a wider one. */
	if (fchmod(ls->fd, 0600) < 0)
		return false;
	if (bind(ls->fd, &a->any, a->n) < 0) {
		if (errno != EADDRINUSE)
			return false;
		if (!is_stale(a)) {
			errno = EADDRINUSE;
			return false;
		}
		if (unlink(a->un.sun_path) < 0 || bind(ls->fd, &a->any, a->n) < 0)
			return false;
	}
	memcpy(ls->path, a->un.sun_path, sizeof(ls->path));
	if (lstat(ls->path, &st) < 0)
		return false;
	ls->device = st.st_dev;
	ls->inode = st.st_ino;
	return chmod(ls->path, 0600) == 0 && listen(ls->fd, BACKLOG) == 0;
}

static bool read_address(struct address *a, const char *text)
{
	struct span whole = span_of(text), host;
	int port;

	if (span_starts(whole, SPAN("unix:")))
		return address_read_unix(a, span_skip(whole, 5));
	if (!socket_split_address(whole, &host, &port))
		return false;
	if (span_eq_nocase(host, SPAN("localhost")))
		host = SPAN("127.0.0.1");
	return address_read_ip(a, host, port);
}

static bool refuse_address(const char *address, struct err *err)
{
	return err_set(err, ERR_CONFIG,
		"\"%.120s\" is no address to listen on; write 127.0.0.1:4000, [::1]:4000 or "
		"unix:/path (at most %zu characters)",
		address, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
}

static void remove_file(struct listener *ls)
{
	struct stat st;

	if (ls->path[0] != '\0' && lstat(ls->path, &st) == 0 && st.st_dev == ls->device &&
		st.st_ino == ls->inode)
		unlink(ls->path);
}

static void close_fds(struct listener *ls)
{
	if (ls->fd >= 0) {
		remove_file(ls);
		close(ls->fd);
	}
	if (ls->spare_fd >= 0)
		close(ls->spare_fd);
	ls->fd = ls->spare_fd = -1;
}

static struct listener *make(
	struct loop *l, bool tcp, listener_accept accept, void *user, struct err *err)
{
	struct listener *ls = calloc(1, sizeof(*ls));

	if (ls == NULL) {
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	ls->loop = l;
	ls->accept = accept;
	ls->user = user;
	ls->tcp = tcp;
	ls->fd = -1;
	ls->spare_fd = open_spare();
	return ls;
}

static struct listener *give_up(struct listener *ls)
{
	close_fds(ls);
	free(ls);
	return NULL;
}

/* The socket listens: connections are taken from now on. */
static struct listener *begin(struct listener *ls, const char *address, struct err *err)
{
	int status = uv_poll_init(&ls->loop->uv, &ls->poll, ls->fd);

	if (status < 0) {
		err_set(err, ERR_IO, "cannot listen on %s: %s", address, uv_strerror(status));
		return give_up(ls);
	}
	ls->poll.data = ls;
	timer_init(&ls->pause, ls->loop, on_pause_over);
	on_pause_over(&ls->pause);
	return ls;
}

struct listener *listener_open(
	struct loop *l, const char *address, listener_accept accept, void *user, struct err *err)
{
	struct listener *ls;
	struct address a;

	if (!read_address(&a, address)) {
		refuse_address(address, err);
		return NULL;
	}
	ls = make(l, a.any.sa_family != AF_UNIX, accept, user, err);
	if (ls == NULL)
		return NULL;
	if (ls->spare_fd >= 0)
		ls->fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (ls->fd < 0 || !(ls->tcp ? bind_tcp(ls, &a) : bind_unix(ls, &a))) {
		fail(address, err);
		return give_up(ls);
	}
	return begin(ls, address, err);
}

bool listener_is_unix(const struct listener *ls)
{
	return !ls->tcp;
}

struct listener *listener_share(struct loop *l, const struct listener *from, listener_accept accept,
	void *user, struct err *err)
{
	struct listener *ls = make(l, from->tcp, accept, user, err);

	if (ls == NULL)
		return NULL;
	ls->port = from->port;
	if (ls->spare_fd >= 0)
		ls->fd = fcntl(from->fd, F_DUPFD_CLOEXEC, 0);
	if (ls->fd < 0) {
		fail("a shared socket", err);
		return give_up(ls);
	}
	return begin(ls, "a shared socket", err);
}

bool listener_is_free(const char *address, struct err *err)
{
	struct address a;
	int fd;
	bool ok;

	if (!read_address(&a, address))
		return refuse_address(address, err);
	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(address, err);
	/* Without SO_REUSEPORT the bind fails when any socket listens there. */
	if (a.any.sa_family == AF_UNIX)
		ok = connect(fd, &a.any, a.n) < 0 && errno != EAGAIN;
	else
		ok = set_on(fd, SOL_SOCKET, SO_REUSEADDR) && bind(fd, &a.any, a.n) == 0;
	if (!ok) {
		if (a.any.sa_family == AF_UNIX)
			errno = EADDRINUSE;
		fail(address, err);
	}
	close(fd);
	return ok;
}

int listener_port(const struct listener *ls)
{
	return ls->port;
}

static void on_closed(uv_handle_t *handle)
{
	struct listener *ls = handle->data;

	ls->loop->closing--;
	free(ls);
}

void listener_close(struct listener *ls)
{
	if (ls == NULL)
		return;
	ls->closed = true;
	ls->loop->closing++;
	timer_done(&ls->pause);
	uv_close((uv_handle_t *)&ls->poll, on_closed);
	close_fds(ls);
}
