/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * client - HTTP/1.1 calls to upstreams over a keep-alive pool, one pool a loop.
 *
 * The request is written from a template, never forwarded bytes. A pooled connection that turns
 * out to be closed is retried once on a fresh one if not a byte of a response came. gzip and
 * deflate bodies are decoded (at most 100:1 past 1 MiB, and 32 MiB); other codings fail the call.
 * Timers are absolute unless named idle. Exactly one of `end` and `fail` is called, from the loop,
 * unless cancelled.
 */
#include "machine/http/message.h"
#include "machine/net/socket.h"
#include "machine/net/tls.h"

struct http_client;
struct http_call;

/* Where to connect, and the pool's key. Made once, immutable, reference-counted across threads. */
struct http_origin {
	char *host;
	int port;
	bool tls;
	bool public_only; /* a client named it: see dial_start. Set before the first call */
	char *authority;  /* Host field: "api.openai.com", "127.0.0.1:8000" */
	struct tls_context *tls_context; /* when tls; owned reference */
	unsigned pool_id;                /* unique in the process */
	int refs;
};

/* "https://host[:port]" or "http://..." (a path behind it is not part of the origin, see *path). */
struct http_origin *http_origin_new(
	const char *url, struct tls_context *tls, const char **path, struct err *err);
struct http_origin *http_origin_ref(struct http_origin *o);
void http_origin_unref(struct http_origin *o);

enum http_phase { HTTP_PHASE_CONNECT, HTTP_PHASE_SEND, HTTP_PHASE_HEAD, HTTP_PHASE_BODY };
enum http_failure_kind {
	HTTP_FAIL_DNS,
	HTTP_FAIL_CONNECT,
	HTTP_FAIL_TLS,
	HTTP_FAIL_TIMEOUT,
	HTTP_FAIL_CLOSED,
	HTTP_FAIL_PROTOCOL,
	HTTP_FAIL_CODING,
	HTTP_FAIL_MEMORY
};

struct http_failure {
	enum http_failure_kind kind;
	enum http_phase phase;
	bool sent;     /* at least one byte of the request may have left */
	bool received; /* at least one byte of the response came */
	struct err err;
};

struct http_timeouts {
	int connect_ms; /* DNS, TCP and TLS together */
	int head_ms;    /* from the request's last byte to the end of the response's head */
	int idle_ms;    /* between bytes of the body */
	int total_ms;
};

struct http_call_spec {
	struct http_origin *origin;
	enum http_method method;
	struct span target;
	const struct http_field
		*fields; /* Host, Content-Length, Connection, Accept-Encoding: the client's */
	int n;
	const struct span *body; /* the spans' bytes stay valid until `head`, `fail` or cancel; the
				    arrays are copied */
	int n_body;
	struct http_timeouts timeouts;
};

struct http_call_events {
	/* Valid during the call only. Not for 1xx. */
	void (*head)(void *user, const struct http_head *head);
	void (*body)(void *user, struct span bytes);
	/*
	 * All that one read brought was given: what it led to can be written together. May be NULL.
	 * Not called when the read ended the call.
	 */
	void (*flush)(void *user);
	void (*end)(void *user); /* complete and properly framed; the call's pointer is gone */
	void (*fail)(void *user, const struct http_failure *f); /* the call's pointer is gone */
};

struct http_client_limits {
	int max_idle_per_origin; /* 64 */
	int idle_ms;             /* an idle pooled connection is closed; 55 s */
};

struct http_client *http_client_new(
	struct loop *l, struct resolver *r, const struct http_client_limits *limits);
void http_client_free(struct http_client *c); /* no call may be left */
void http_client_close_idle(struct http_client *c);

/* NULL without memory: nothing is called. Nothing is called from inside. */
struct http_call *http_call_start(struct http_client *c, const struct http_call_spec *spec,
	const struct http_call_events *events, void *user);
void http_call_pause(struct http_call *call); /* stops reading; the idle timer stops too */
void http_call_resume(struct http_call *call);
/* Closes the connection at once. The pointer is gone, nothing is called. */
void http_call_cancel(struct http_call *call);
bool http_call_sent(const struct http_call *call);
