/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * serve - a client's connection and the request on it; private to the server's three files.
 *
 * server.c has listeners, limits and the list of connections; serve.c the life of a connection and
 * what is read; answer.c what is written. Exactly one function, serve_enter, writes `state`.
 * An idle connection is its struct and nothing else.
 */
#include "machine/base/buf.h"
#include "machine/base/list.h"
#include "machine/http/h1.h"
#include "machine/http/server.h"
#include "machine/loop/loop.h"

#define SERVE_MAX_LISTENERS 8
#define SERVE_MAX_WAITING_BYTES 65536 /* of a pipeline; then reading pauses */
#define SERVE_MAX_DISCARD_BYTES 65536 /* of a body behind an early answer */
#define SERVE_MAX_PIPELINE 16
#define SERVE_FLOOR_MS 30000

enum serve_state {
	SERVE_HANDSHAKE, /* TLS */
	SERVE_IDLE,
	SERVE_HEAD,    /* a part of a head has come */
	SERVE_REQUEST, /* `request` is there */
	SERVE_DISCARD, /* answered early; the rest of the body is read and dropped */
	SERVE_CLOSING, /* nothing is read any more; what is pending leaves */
	SERVE_CLOSED
};

struct serve_conn {
	struct list node; /* server->idle, the least recently used first, or server->busy */
	struct http_server *server;
	struct stream *stream; /* NULL during the handshake and when closed */
	struct tls_handshake *handshake;
	struct h1 parser;
	struct timer timer;    /* moved only when it fires, or when something is due earlier */
	struct loop_task task; /* goes on with the pipeline; reports what failed while writing */
	struct buf waiting;    /* bytes behind the request being served */
	struct http_request *request;
	int64_t since_ms;  /* when the state was entered */
	int64_t moved_ms;  /* the last byte of a body */
	int64_t window_ms; /* the floor's window, and what came in it */
	int64_t window_bytes;
	int64_t stall_ms;        /* since when the client has taken nothing */
	uint64_t written, taken; /* bytes handed to the stream; of them gone when last looked at */
	size_t pending;          /* counted in server->pending */
	size_t batch_left;       /* bytes of the pipeline that stood there when its batch began */
	size_t discarded;
	enum err_code failed; /* to be reported by the task */
	uint8_t state, batch;
	bool reading; /* inside a callback that uses the struct: the memory stays */
	bool paused;  /* the pipeline is full */
	bool reset;   /* at the end of SERVE_CLOSING: by RST */
	bool from_waiting;
};

enum answer_state { ANSWER_NOT, ANSWER_HEAD_WAITS, ANSWER_STREAMED };

/* Lives behind its head, in one allocation. */
struct http_request {
	struct serve_conn *conn;
	struct http_head *head; /* the allocation */
	const struct http_request_events *events;
	void *user;
	struct buf waiting_head; /* of a streamed answer */
	uint8_t answer;
	bool chunked, bodyless, keep; /* how the streamed answer is framed */
	bool continued, body_seen;
};

struct http_server {
	struct loop *loop;
	struct http_server_limits limits;
	const struct http_service *service;
	void *user;
	struct listener *listeners[SERVE_MAX_LISTENERS];
	int n_listeners, n_conns, n_active;
	struct tls_context *tls;
	struct list idle, busy;
	int64_t pending, pending_checked_ms;
	struct buf out;     /* heads are written here */
	struct buf refusal; /* bodies of refusals */
	int64_t date_s;
	char date[32]; /* "Mon, 23 Nov 2026 01:02:03 GMT" */
	bool draining;
};

/* serve.c */
struct serve_conn *serve_new(struct http_server *s);
void serve_start(struct serve_conn *c, struct stream *stream); /* takes the stream */
void serve_handshake(struct serve_conn *c, struct stream *raw, struct tls_context *tls);
void serve_close(struct serve_conn *c, bool reset);
/* The same behind what has been written: the client's time for it is the write stall's. */
void serve_close_when_sent(struct serve_conn *c);
/* Tells the owner of the request, which is over, and closes. */
void serve_gone(struct serve_conn *c, const struct err *why, bool reset);
/* After the answer: on to the next request, or to the end. keep false: closes once all has left. */
void serve_answered(struct serve_conn *c, bool keep);
/* After each write. */
void serve_wrote(struct serve_conn *c, size_t n);
void serve_arm(struct serve_conn *c);

/* answer.c: a refusal by the server itself, "Connection: close". */
void answer_refuse(struct serve_conn *c, struct span target, bool bodyless, const struct err *why);

/* server.c */
bool server_is_overloaded(struct http_server *s);
const char *server_date(struct http_server *s);
