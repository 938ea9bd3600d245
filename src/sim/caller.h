/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * caller - one connection to the simulator: requests in, answers out, faults as scripted.
 *
 * Reads with the HTTP/1.1 parser, writes its own bytes, so that it can misbehave. One request at a
 * time; what a pipeline brings meanwhile waits in a buffer. A client that goes away is noticed by
 * readiness, since reading never stops while an answer is under way.
 */
#include "machine/http/h1.h"
#include "machine/loop/loop.h"
#include "machine/net/socket.h"
#include "machine/net/tls.h"
#include "sim/job.h"
#include "sim/last.h"

#define CALLER_MAX_BODY_BYTES (64u << 20)
#define CALLER_MAX_PIPELINE_BYTES 262144

enum accept_mode { ACCEPT_USUAL, ACCEPT_RESET, ACCEPT_CLOSE, ACCEPT_SILENT };

/* What is kept of a request's head; the spans lie in `text`. */
struct incoming {
	struct span text, path, query, key, script;
	enum http_method method;
	bool keep_alive, http10, anthropic_version, anthropic_key, expect_continue;
	int64_t content_length;
};

/* The one simulator of a process. The buffers are valid inside one callback. */
struct sim {
	struct loop *loop;
	struct listener *listener;
	struct tls_context *tls;
	struct list callers;
	struct script_cache scripts;
	struct script *no_script;
	struct bill bill;
	struct last last;
	struct job_plan *plan;
	struct buf head, body, text, packed, filler[2]; /* answers are made here */
	struct buf path;                                /* the model that an address names */
	struct incoming now;                            /* the head being read, and its text */
	struct buf now_text;
	struct json_scratch json;
	int64_t wall_offset_ms; /* between the loop's clock and the wall's, at start */
	int64_t flaky;          /* answers with that option so far */

	/* What POST /_sim/script and /_sim/accept have ordered. */
	struct script *forced;
	int64_t forced_skip, forced_count;
	enum accept_mode accept_mode;
	int64_t accept_count;
};

enum caller_wait { WAIT_NOTHING, WAIT_DELAY, WAIT_GAP, WAIT_RESET, WAIT_IDLE, WAIT_CLOSE };

struct shape;

struct caller {
	struct list node;
	struct sim *sim;
	struct stream *stream;
	struct tls_handshake *handshake;
	struct h1 parser;
	struct incoming *in; /* the request being read: sim->now, or memory of its own; or NULL */
	struct span whole;   /* its body, when that came in one piece, inside this read */
	struct buf body;     /* its body, when not */
	struct buf pipeline;
	struct job *job;
	struct timer timer;
	struct loop_task task;
	struct shape *shape;
	enum caller_wait wait;
	enum after after;
	enum outcome outcome;
	enum frame frame;
	unsigned chunks;
	int status; /* of the answer; 0: none was begun */
	int64_t sent_bytes, idle_ms;
	bool keep_alive, http10; /* as the request wants it */
	bool begun;              /* a byte of the answer was written */
	bool over;               /* nothing is to be added to the answer */
	bool billable;           /* it is a true answer */
	bool too_big, drop_next, early, silent;
	bool gone;    /* the stream is closed; freed by the task */
	bool in_read; /* requests are being read: the loop there goes on by itself */
};

/* Takes the stream. */
void caller_open(struct sim *sim, struct stream *s);
void caller_free(struct caller *c); /* resets what is still open */

/* Starts the answer; the job is taken. */
void caller_start(struct caller *c, struct job *j);
/* A whole answer outside the bill, for the simulator's own endpoints. */
void caller_reply(struct caller *c, int status, const char *type, struct span body);
/* Ends the connection behind what was written. */
void caller_close(struct caller *c, bool reset);
/* All of the answer is given to the wire; what happens then. */
void caller_end(struct caller *c, enum outcome outcome, enum after after);
/* Nothing more happens until the client leaves. */
void caller_hold(struct caller *c);
/* The shaper has sent its last byte, or cut the answer. */
void caller_on_wire_idle(struct caller *c);

/* serve.c: where a read request goes. `body` is valid during the call. */
void caller_serve(struct caller *c, const struct incoming *in, struct span body);
/* The body begins: does the script, as far as it can be seen, want the answer at once? */
bool caller_serve_early(struct caller *c, const struct incoming *in, struct span body_part);
/* control.c: the endpoints under /_sim. */
void caller_control(struct caller *c, const struct incoming *in, struct span body);

/* reply.c: answers that are not streams, and every head. */
void reply_run(struct caller *c);
/* Into sim->head. length -1: not given. */
void reply_head(struct caller *c, int status, const char *type, int64_t length);
enum frame reply_frame(const struct caller *c, enum frame usual);
enum after reply_after(struct caller *c);

/* wire.c: bytes out. */
void wire_begin(struct caller *c, enum frame frame);
/* `last` ends the framing. Returns false when nothing more can leave. */
bool wire_write(struct caller *c, struct span head, struct span body, bool last);
void wire_drained(struct caller *c);       /* the stream has taken all */
bool wire_is_idle(const struct caller *c); /* all that was written has left */
void wire_done(struct caller *c);
bool wire_half_close(struct caller *c);
