/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * conn - one connected socket (TCP or UNIX) as a stream; private to this folder.
 *
 * An idle connection is this struct and nothing else: reads go into the loop's buffer, writes go
 * straight to the kernel, and memory for what the peer did not take exists only while it waits.
 * Pausing costs no system call; the kernel is told only when bytes come that nobody wants.
 * libuv closes later, so the struct lives on until its close callback.
 */
#include "machine/net/stream.h"

struct conn_tail; /* what waits to be sent */

enum conn_state {
	CONN_OPEN,
	CONN_FLUSHING,  /* closed by its owner; what is pending leaves */
	CONN_LINGERING, /* our end is shut; input is dropped until the peer's end comes */
	CONN_CLOSED     /* waits for libuv's callback */
};

struct conn {
	struct stream s;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	struct conn_tail *tail; /* NULL when nothing waits */
	struct timer timer;     /* open: a failure to report; later: the deadline of the closing */
	int error;              /* why broken; a libuv status */
	uint8_t state;
	bool resumed; /* the owner wants bytes */
	bool reading; /* libuv reads */
	bool tcp;
};

/* AF_INET, AF_INET6: with a socket to connect; AF_UNIX, AF_UNSPEC (TCP): still without. */
struct conn *conn_new(struct loop *l, int family, int *status);

/* Takes a connected, non-blocking descriptor; on failure (NULL) it is closed. */
struct conn *conn_adopt(struct loop *l, int fd, bool tcp, const char *peer);

/* Ends one that was never given to an owner. */
void conn_discard(struct conn *c);
