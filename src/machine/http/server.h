/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * server - the HTTP/1.1 side that clients talk to: connections, requests, answers.
 *
 * A connection serves one request at a time; further ones of a pipeline wait in its buffer (64 KiB,
 * then reading pauses). The service decides on the head alone and may answer before the body has
 * come: the rest is then read and dropped up to 64 KiB, past that the connection is closed behind
 * the answer. Malformed input is answered by the server itself (service->refuse writes the body)
 * and the connection closed. After a request's `gone` the request pointer is invalid.
 *
 * What is written leaves at once, except the head of a streamed answer, which waits for the first
 * body bytes (or request_flush) so that both leave in one system call.
 */
#include "machine/http/message.h"
#include "machine/net/socket.h"
#include "machine/net/tls.h"

struct http_server;
struct http_request;

struct http_server_limits {
	int head_ms;         /* from the first byte of a head to its end; 10 s */
	int idle_ms;         /* keep-alive without a request; 75 s */
	int body_stall_ms;   /* no body byte for so long; 30 s */
	int body_floor;      /* bytes a second over 30 s; 64 */
	int write_stall_ms;  /* a client that takes nothing of what is pending; 60 s */
	int max_connections; /* a server; the least recently used idle one is closed at 90 % */
	int64_t max_pending_bytes; /* of all connections' undelivered output; beyond it new requests
				      get 503 */
};

struct http_reply {
	int status;
	const struct http_field
		*fields; /* beyond those the server writes: Date, Connection, length */
	int n;
	const char *content_type; /* NULL: no body type */
};

struct http_service {
	/* The head is complete. Bind events and wait for the body, or answer. */
	void (*request)(void *user, struct http_request *r);
	/*
	 * Writes the body of the server's own refusal (malformed, too large, timed out). target may
	 * be empty when it was never read. The reply has status and type (application/json); fields
	 * may be added, of memory that is good until the next call.
	 */
	void (*refuse)(void *user, struct span target, const struct err *why,
		struct http_reply *reply, struct buf *body);
};

struct http_request_events {
	void (*body)(void *user, struct span bytes);
	void (*body_end)(void *user); /* called also for a request without a body */
	/* The client left or stalled (why says which). The request is over and its pointer invalid.
	 */
	void (*gone)(void *user, const struct err *why);
	void (*drain)(void *user); /* request_pending fell to 0 again */
};

/* tls NULL: plain. The context can be exchanged for new connections. */
struct http_server *http_server_new(struct loop *l, const struct http_server_limits *limits,
	const struct http_service *service, void *user);
bool http_server_listen(struct http_server *s, const char *address, struct err *err);
/* The same on the address that `first` listens on, on another loop: both accept. A UNIX socket
 * cannot be bound twice, it is shared. */
bool http_server_listen_with(struct http_server *s, const struct http_server *first,
	const char *address, struct err *err);
int http_server_port(const struct http_server *s); /* of the first listener */
/* For what begins from now on; a timer that runs goes on. */
void http_server_set_limits(struct http_server *s, const struct http_server_limits *limits);
void http_server_set_tls(struct http_server *s, struct tls_context *tls); /* takes a reference */
/* A stream accepted elsewhere (a pipe in tests). */
void http_server_adopt(struct http_server *s, struct stream *stream);
/* No more accepting; idle connections close, others say "Connection: close" with their answer. */
void http_server_drain(struct http_server *s);
int http_server_connections(const struct http_server *s);
int http_server_active(const struct http_server *s); /* requests not yet ended */
int64_t http_server_pending(const struct http_server *s);
void http_server_free(struct http_server *s); /* resets what is still open; calls `gone` */

const struct http_head *request_head(
	const struct http_request *r); /* valid until the request ends */
const char *request_peer(const struct http_request *r);
bool request_is_local_socket(const struct http_request *r); /* came through a UNIX socket */
void request_bind(struct http_request *r, const struct http_request_events *events, void *user);
/* Sends 100 Continue if the client waits for it; called once the service wants the body. */
void request_continue(struct http_request *r);

/* The whole answer at once. Ends the request: no event follows, the pointer is gone. */
void request_answer(struct http_request *r, const struct http_reply *reply, struct span body);
/* Same, the body in pieces, one system call. */
void request_answer_spans(
	struct http_request *r, const struct http_reply *reply, const struct span *body, int n);

/* A streamed answer: chunked, or until close for HTTP/1.0. */
void request_begin(struct http_request *r, const struct http_reply *reply);
void request_write(struct http_request *r, const struct span *v, int n);
void request_flush(struct http_request *r); /* sends a head that still waits */
void request_end(struct http_request *r);   /* proper end; pointer gone */
/* Last bytes and the proper end in one system call. */
void request_write_end(struct http_request *r, const struct span *v, int n);
/* The answer stays visibly incomplete: what was written leaves, no end marker, connection closed.
 */
void request_abort(struct http_request *r);
size_t request_pending(const struct http_request *r); /* bytes the client has not taken yet */
