/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first byte says how the stream is cut (0: byte by byte), the second how large an event may
 * be. However it is cut the same events come out, their raw parts are the stream, and a slow reader
 * written straight from the standard's text sees the same data.
 */
#include <assert.h>
#include <stdlib.h>
#include "machine/http/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct transcript {
	struct buf raw, events; /* events: those with data, as the standard dispatches them */
};

static void note(struct buf *events, struct span name, struct span data)
{
	buf_append_char(events, '<');
	buf_append(events, name);
	buf_append_char(events, '>');
	buf_append(events, data);
	buf_append(events, SPAN("\x1e"));
}

static bool on_event(void *user, const struct sse_event *ev)
{
	struct transcript *t = user;

	assert(ev->raw.n > 0);
	assert(buf_append(&t->raw, ev->raw));
	if (ev->data.p != NULL)
		note(&t->events, ev->name, ev->data);
	return true;
}

/* Returns false when an event was too large. */
static bool read_all(struct transcript *t, struct span in, uint32_t dice, bool is_whole, size_t max)
{
	struct err err = {0};
	struct sse sse;
	bool ok = true;

	sse_init(&sse, max);
	while (ok && in.n > 0) {
		size_t n = is_whole ? in.n : 1;

		if (!is_whole && dice != 0) {
			dice = dice * 1664525u + 1013904223u;
			n = 1 + (dice >> 24) % 17;
		}
		ok = sse_feed(&sse, span_head(in, n), on_event, t, &err);
		assert(!ok || sse_held_bytes(&sse) <= max + 1);
		in = span_skip(in, n);
	}
	if (ok)
		ok = sse_end(&sse, on_event, t, &err);
	assert(ok || err.code == ERR_UPSTREAM_INVALID);
	sse_done(&sse);
	return ok;
}

struct reader {
	struct buf data;
	struct span name;
	bool has_data;
	struct buf *events;
};

static void dispatch(struct reader *r)
{
	if (r->has_data)
		note(r->events, r->name, buf_span(&r->data));
	buf_clear(&r->data);
	r->has_data = false;
	r->name = (struct span){NULL, 0};
}

static void read_line(struct reader *r, struct span line)
{
	struct span value = line, field = span_cut(&value, ':');

	if (line.n == 0) {
		dispatch(r);
		return;
	}
	if (value.n > 0 && value.p[0] == ' ')
		value = span_skip(value, 1);
	if (span_is(field, "event")) {
		r->name = value;
	} else if (span_is(field, "data")) {
		if (r->has_data)
			buf_append_char(&r->data, '\n');
		buf_append(&r->data, value);
		r->has_data = true;
	}
}

/* HTML, 9.2.6, "Interpreting an event stream"; but a last event without its end counts. */
static void read_slowly(struct span in, struct buf *events)
{
	struct reader r = {.events = events};

	buf_init(&r.data, 1 << 20);
	if (span_starts(in, SPAN("\xef\xbb\xbf")))
		in = span_skip(in, 3);
	while (in.n > 0) {
		size_t n = 0;

		while (n < in.n && in.p[n] != '\r' && in.p[n] != '\n')
			n++;
		read_line(&r, span_head(in, n));
		if (n + 1 < in.n && in.p[n] == '\r' && in.p[n + 1] == '\n')
			n++;
		in = span_skip(in, n + 1);
	}
	dispatch(&r);
	buf_done(&r.data);
}

static void transcript_init(struct transcript *t)
{
	buf_init(&t->raw, 1 << 20);
	buf_init(&t->events, 4 << 20);
}

static void transcript_done(struct transcript *t)
{
	buf_done(&t->raw);
	buf_done(&t->events);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct transcript once, cut;
	struct buf events;
	struct span in, raw;
	size_t max;
	bool ok, ok_cut;

	if (size < 2 || size > 65536)
		return 0;
	in = span_from(data + 2, size - 2);
	max = data[1] < 128 ? (size_t)data[1] + 1 : 1 << 20;
	transcript_init(&once);
	transcript_init(&cut);
	buf_init(&events, 4 << 20);
	ok = read_all(&once, in, 0, true, max);
	ok_cut = read_all(&cut, in, data[0], false, max);
	assert(ok == ok_cut);
	assert(span_eq(buf_span(&once.raw), buf_span(&cut.raw)));
	assert(span_eq(buf_span(&once.events), buf_span(&cut.events)));
	raw = buf_span(&once.raw);
	if (ok) {
		/* At most the end that the last event lacked was added. */
		assert(raw.n <= in.n + 2 && span_starts(raw, in));
		read_slowly(in, &events);
		assert(span_eq(buf_span(&once.events), buf_span(&events)));
	} else {
		assert(span_starts(in, raw));
	}
	buf_done(&events);
	transcript_done(&once);
	transcript_done(&cut);
	return 0;
}
