/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * stream - a two-way stream of bytes: a socket (TCP or UNIX), TLS over one, or a pipe in memory.
 *
 * Reading is pushed while resumed; the bytes belong to the loop and are valid during the call
 * only. Writing is tried at once; what the peer does not take is copied, and `drain` is called
 * when all of it has left. The owner watches stream_pending and stops making more.
 * Callbacks come from the loop, never from inside a stream_* call, so an owner may close or free
 * anything in them, the stream itself included.
 */
#include <stdbool.h>
#include <stddef.h>
#include "machine/base/err.h"
#include "machine/base/span.h"
#include "machine/loop/loop.h"

/* A write past this fails: a bound, not a policy. Above the largest body, with its head and TLS. */
#define STREAM_MAX_PENDING_BYTES (80u << 20)

struct stream;

struct stream_events {
	void (*read)(void *user, struct span bytes);
	/*
	 * No more reads: the peer's orderly end (err NULL) or a failure; an end of TLS without
	 * close_notify is a failure, because anyone could have cut it there. Called once. Writing
	 * may still be possible after an orderly end. The owner still calls stream_close or
	 * stream_reset.
	 */
	void (*end)(void *user, const struct err *err);
	void (*drain)(
		void *user); /* pending became 0 after a write that had left something pending */
};

struct stream_ops {
	void (*resume)(struct stream *s);
	void (*pause)(struct stream *s);
	bool (*write)(struct stream *s, const struct span *v, int n);
	size_t (*pending)(const struct stream *s);
	void (*close)(struct stream *s);
	void (*reset)(struct stream *s);
};

struct stream {
	const struct stream_ops *ops;
	const struct stream_events *events;
	void *user;
	struct loop *loop;
	bool ended;    /* `end` was called or is due */
	bool broken;   /* a write failed; `end` will say so */
	char peer[64]; /* "203.0.113.7:443", "[2001:db8::1]:443" or "unix"; for logs */
};

static inline void stream_bind(struct stream *s, const struct stream_events *events, void *user)
{
	s->events = events;
	s->user = user;
}
static inline void stream_resume(struct stream *s)
{
	s->ops->resume(s);
}
static inline void stream_pause(struct stream *s)
{
	s->ops->pause(s);
}
/* One system call for all spans where the peer takes them. false: broken, nothing more will leave.
 */
static inline bool stream_write(struct stream *s, const struct span *v, int n)
{
	return s->ops->write(s, v, n);
}
static inline size_t stream_pending(const struct stream *s)
{
	return s->ops->pending(s);
}
/*
 * Lets what is pending leave (for at most 5 s), then ends the stream; what the peer still sends is
 * dropped (for at most 2 s), so that unread input destroys no answer. The pointer is gone.
 */
static inline void stream_close(struct stream *s)
{
	if (s != NULL)
		s->ops->close(s);
}
/*
 * Drops what is pending and resets the connection (RST on TCP; a UNIX socket has only its end to
 * show). The pointer is gone.
 */
static inline void stream_reset(struct stream *s)
{
	if (s != NULL)
		s->ops->reset(s);
}
