/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/server.h"
#include <assert.h>
#include <stdlib.h>
#include <time.h>
#include "machine/http/serve.h"

#define MAX_OUT_BYTES (1u << 20)
#define PENDING_CHECK_MS 1000

struct http_server *http_server_new(struct loop *l, const struct http_server_limits *limits,
	const struct http_service *service, void *user)
{
	struct http_server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->loop = l;
	s->limits = *limits;
	s->service = service;
	s->user = user;
	list_init(&s->idle);
	list_init(&s->busy);
	buf_init(&s->out, MAX_OUT_BYTES);
	buf_init(&s->refusal, MAX_OUT_BYTES);
	return s;
}

static void refuse_connection(struct http_server *s, struct stream *stream)
{
	const struct span line = SPAN("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
				      "Content-Length: 0\r\n\r\n");

	/* Over TLS no answer can be given before the handshake that cannot be afforded. */
	if (s->tls == NULL)
		stream_write(stream, &line, 1);
	stream_close(stream);
}

/* Room for one more: from nine tenths on, the idle connection that was used longest ago goes. */
static struct serve_conn *admit(struct http_server *s, struct stream *stream)
{
	struct serve_conn *c = NULL;

	if (s->n_conns >= s->limits.max_connections - s->limits.max_connections / 10 &&
		!list_empty(&s->idle))
		serve_close(LIST_ITEM(s->idle.next, struct serve_conn, node), false);
	if (s->n_conns < s->limits.max_connections && !s->draining)
		c = serve_new(s);
	if (c == NULL)
		refuse_connection(s, stream);
	return c;
}

static void on_accept(void *user, struct stream *stream)
{
	struct http_server *s = user;
	struct serve_conn *c = admit(s, stream);

	if (c == NULL)
		return;
	if (s->tls != NULL && strcmp(stream->peer, "unix") != 0)
		serve_handshake(c, stream, s->tls);
	else
		serve_start(c, stream);
}

void http_server_adopt(struct http_server *s, struct stream *stream)
{
	struct serve_conn *c = admit(s, stream);

	if (c != NULL)
		serve_start(c, stream);
}

bool http_server_listen(struct http_server *s, const char *address, struct err *err)
{
	struct listener *ls;

	if (s->n_listeners == SERVE_MAX_LISTENERS)
		return err_set(err, ERR_CONFIG, "At most %d addresses can be listened on",
			SERVE_MAX_LISTENERS);
	ls = listener_open(s->loop, address, on_accept, s, err);
	if (ls == NULL)
		return false;
	s->listeners[s->n_listeners++] = ls;
	return true;
}

bool http_server_listen_with(struct http_server *s, const struct http_server *first,
	const char *address, struct err *err)
{
	struct listener *ls;

	if (first->n_listeners == 0 || !listener_is_unix(first->listeners[0]))
		return http_server_listen(s, address, err);
	ls = listener_share(s->loop, first->listeners[0], on_accept, s, err);
	if (ls == NULL)
		return false;
	s->listeners[s->n_listeners++] = ls;
	return true;
}

int http_server_port(const struct http_server *s)
{
	return s->n_listeners > 0 ? listener_port(s->listeners[0]) : 0;
}

void http_server_set_limits(struct http_server *s, const struct http_server_limits *limits)
{
	s->limits = *limits;
}

void http_server_set_tls(struct http_server *s, struct tls_context *tls)
{
	struct tls_context *old = s->tls;

	s->tls = tls != NULL ? tls_context_ref(tls) : NULL;
	tls_context_unref(old);
}

int http_server_connections(const struct http_server *s)
{
	return s->n_conns;
}

int http_server_active(const struct http_server *s)
{
	return s->n_active;
}

int64_t http_server_pending(const struct http_server *s)
{
	return s->pending;
}

static void look_again(struct list *conns)
{
	LIST_EACH_SAFE(pos, conns)
	{
		struct serve_conn *c = LIST_ITEM(pos, struct serve_conn, node);

		if (c->stream != NULL)
			serve_wrote(c, 0);
	}
}

/* The sum is known too high between two looks at a connection: looked at again before it counts. */
bool server_is_overloaded(struct http_server *s)
{
	int64_t now = loop_now_ms(s->loop);

	if (s->limits.max_pending_bytes <= 0 || s->pending <= s->limits.max_pending_bytes)
		return false;
	if (now - s->pending_checked_ms >= PENDING_CHECK_MS) {
		s->pending_checked_ms = now;
		look_again(&s->idle);
		look_again(&s->busy);
	}
	return s->pending > s->limits.max_pending_bytes;
}

/* RFC 9110 section 5.6.7; written once a second. */
const char *server_date(struct http_server *s)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int64_t now_s = loop_now_ms(s->loop) / 1000;
	struct tm tm;
	time_t wall;
	char *p = s->date;

	if (s->date[0] != '\0' && now_s == s->date_s)
		return s->date;
	s->date_s = now_s;
	wall = (time_t)(s->loop->sys->wall_ms(s->loop->sys) / 1000);
	if (gmtime_r(&wall, &tm) == NULL || tm.tm_year > 8099 || tm.tm_year < 70)
		return "Thu, 01 Jan 1970 00:00:00 GMT";
	memcpy(p, "ddd, DD mmm YYYY hh:mm:ss GMT", 30);
	memcpy(p, days + 3 * tm.tm_wday, 3);
	memcpy(p + 8, months + 3 * tm.tm_mon, 3);
	const struct {
		int at, digits, value;
	} numbers[] = {{5, 2, tm.tm_mday}, {12, 4, tm.tm_year + 1900}, {17, 2, tm.tm_hour},
		{20, 2, tm.tm_min}, {23, 2, tm.tm_sec}};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		for (int d = numbers[i].digits - 1, v = numbers[i].value; d >= 0; d--, v /= 10)
			p[numbers[i].at + d] = (char)('0' + v % 10);
	return s->date;
}

static void stop_listening(struct http_server *s)
{
	while (s->n_listeners > 0)
		listener_close(s->listeners[--s->n_listeners]);
}

void http_server_drain(struct http_server *s)
{
	s->draining = true;
	stop_listening(s);
	LIST_EACH_SAFE(pos, &s->idle)
	{
		struct serve_conn *c = LIST_ITEM(pos, struct serve_conn, node);

		/* One with bytes of a request inside is served first. */
		if (c->waiting.n == 0)
			serve_close_when_sent(c);
	}
}

void http_server_free(struct http_server *s)
{
	struct err why = {0};

	if (s == NULL)
		return;
	stop_listening(s);
	err_set(&why, ERR_SHUTTING_DOWN, NULL);
	while (!list_empty(&s->idle) || !list_empty(&s->busy)) {
		struct list *node = list_empty(&s->idle) ? s->busy.next : s->idle.next;
		struct serve_conn *c = LIST_ITEM(node, struct serve_conn, node);

		assert(!c->reading);
		if (c->request != NULL)
			serve_gone(c, &why, true);
		else
			serve_close(c, true);
	}
	assert(s->n_conns == 0 && s->n_active == 0);
	tls_context_unref(s->tls);
	buf_done(&s->out);
	buf_done(&s->refusal);
	free(s);
}
