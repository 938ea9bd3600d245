/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sse - server-sent events from bytes. WHATWG HTML, "Server-sent events", parsing.
 *
 * Line ends LF, CRLF and CR, also split; BOM; comments; several data lines joined by LF. Pure, and
 * the events do not depend on how the bytes were cut. Events that lie whole in one feed are
 * given without a copy; an unfinished one is held, up to max_event_bytes. Comment lines and empty
 * lines between events are given at once, as events without data, so that the raw parts of all
 * events together are the stream.
 */
#include <stdbool.h>
#include "machine/base/buf.h"
#include "machine/base/err.h"
#include "machine/base/span.h"

struct sse_event {
	struct span raw;  /* every byte of it, its empty line included: written unchanged it is the
			     same event */
	struct span name; /* the last "event:" line, or {NULL, 0} */
	struct span data; /* joined; {NULL, 0} when there was no data line (comments alone) */
	bool has_others;  /* it has lines besides "event:" and "data:": "id:", "retry:", comments */
	bool unfinished;  /* the stream ended inside it: its data may be cut. From sse_end only */
};

struct sse {
	struct buf held;   /* the unfinished event's bytes */
	struct buf joined; /* data of several lines */
	size_t max_bytes;
	size_t scanned,
		line; /* in the event: bytes known to hold no line end; its last line's start */
	size_t data_at, data_n, name_at, name_n;
	unsigned data_lines;
	bool has_name, has_others;
	bool bare_cr; /* the line before `line` ended in CR alone */
	bool begun;   /* past the place where a BOM may stand */
	bool ending;  /* sse_end completes what the stream left */
	bool failed;
};

/* Return false to stop: sse_feed returns true at once and drops the rest. */
typedef bool (*sse_on_event)(void *user, const struct sse_event *ev);

void sse_init(struct sse *s, size_t max_event_bytes);
void sse_done(struct sse *s);

/* false: an event grew past the maximum (ERR_UPSTREAM_INVALID). Comments are events without data.
 */
bool sse_feed(struct sse *s, struct span bytes, sse_on_event on_event, void *user, struct err *err);

/*
 * The stream ended properly: gives a last event that lacks its end, completed and marked so. The
 * standard drops it; providers leave the empty line out, so it counts when its data makes sense.
 */
bool sse_end(struct sse *s, sse_on_event on_event, void *user, struct err *err);
/* Appends the lines of an event's raw bytes that are neither "event:" nor "data:", each ended by
 * LF: in front of a rewritten event they keep what it said besides. */
void sse_copy_others(struct span raw, struct buf *out);
size_t sse_held_bytes(const struct sse *s);
