/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * eventstream - application/vnd.amazon.eventstream from bytes, and back.
 *
 * Pure, and the events do not depend on how the bytes were cut. Frames that lie whole in one feed
 * are given without a copy; an unfinished one is held, up to max_frame_bytes. Both checksums of a
 * frame must hold, and what its first twelve bytes say is judged as soon as they are there, so
 * that a broken length makes nothing grow. Source: AWS SDKs' "Event stream encoding" and Amazon
 * Transcribe's developer guide, "Event stream encoding".
 */
#include <stdbool.h>
#include "machine/base/buf.h"
#include "machine/base/err.h"
#include "machine/base/span.h"

/* Field ":message-type". Frames without it are events. */
enum eventstream_kind {
	EVENTSTREAM_EVENT,
	EVENTSTREAM_EXCEPTION, /* modelled: the payload is its JSON */
	EVENTSTREAM_ERROR      /* not modelled: `message` alone */
};

struct eventstream_event {
	struct span raw; /* the whole frame */
	enum eventstream_kind kind;
	struct span name;    /* ":event-type", ":exception-type" or ":error-code"; may be empty */
	struct span message; /* ":error-message" */
	struct span headers; /* all of them, for eventstream_next_header */
	struct span payload;
};

enum eventstream_type {
	EVENTSTREAM_TRUE,
	EVENTSTREAM_FALSE,
	EVENTSTREAM_INT8,
	EVENTSTREAM_INT16,
	EVENTSTREAM_INT32,
	EVENTSTREAM_INT64,
	EVENTSTREAM_BYTES,
	EVENTSTREAM_STRING,
	EVENTSTREAM_TIMESTAMP, /* milliseconds since 1970 */
	EVENTSTREAM_UUID,
	EVENTSTREAM_TYPE_COUNT
};

struct eventstream_header {
	struct span name;
	enum eventstream_type type;
	int64_t number;    /* the integers and TIMESTAMP */
	struct span bytes; /* BYTES, STRING, UUID (16) */
};

struct eventstream {
	struct buf held; /* the unfinished frame's bytes */
	size_t max_bytes;
	bool failed;
};

/* Return false to stop: eventstream_feed returns true at once and drops the rest. */
typedef bool (*eventstream_on_event)(void *user, const struct eventstream_event *ev);

void eventstream_init(struct eventstream *s, size_t max_frame_bytes);
void eventstream_done(struct eventstream *s);

/* false: broken framing, or a frame past the maximum (ERR_UPSTREAM_INVALID). */
bool eventstream_feed(struct eventstream *s, struct span bytes, eventstream_on_event on_event,
	void *user, struct err *err);
/* The stream ended properly. false: inside a frame (ERR_UPSTREAM_INTERRUPTED). */
bool eventstream_end(struct eventstream *s, struct err *err);
size_t eventstream_held_bytes(const struct eventstream *s);

/* Takes the next header off the front. false: none is left, or what is left is none. */
bool eventstream_next_header(struct span *headers, struct eventstream_header *out);

/*
 * Appends a frame as AWS services send it. For EVENTSTREAM_ERROR `payload` is the error's message,
 * which goes into a header. false: a name or message over 65535 bytes, or no memory (out->failed).
 */
bool eventstream_write(
	struct buf *out, enum eventstream_kind kind, struct span name, struct span payload);
