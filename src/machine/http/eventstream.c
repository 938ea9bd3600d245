/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/eventstream.h"
#include <zlib.h>

#define PRELUDE_BYTES 12 /* total length, length of the headers, checksum of both */
#define FRAME_BYTES 16   /* the prelude and the checksum at the end */
#define MAX_HEADER_BYTES ((size_t)128 << 10)
#define MAX_HEADERS 64
#define KEEP_BYTES 4096 /* memory kept between frames */

void eventstream_init(struct eventstream *s, size_t max_frame_bytes)
{
	*s = (struct eventstream){.max_bytes = max_frame_bytes};
	buf_init(&s->held, max_frame_bytes);
}

void eventstream_done(struct eventstream *s)
{
	buf_done(&s->held);
}

size_t eventstream_held_bytes(const struct eventstream *s)
{
	return s->held.n;
}

/* ---- numbers, big-endian ---- */

static uint64_t number_at(const char *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

static void put_number(struct buf *b, uint64_t v, size_t n)
{
	while (n-- > 0)
		buf_append_char(b, (char)(v >> (8 * n) & 0xff));
}

static uint32_t checksum(const char *p, size_t n)
{
	return (uint32_t)crc32_z(0, (const Bytef *)p, n);
}

/* ---- headers ---- */

static bool take(struct span *rest, size_t n, struct span *out)
{
	if (rest->n < n)
		return false;
	*out = span_head(*rest, n);
	*rest = span_skip(*rest, n);
	return true;
}

static bool take_number(struct span *rest, size_t n, int64_t *out)
{
	struct span bytes;

	if (!take(rest, n, &bytes))
		return false;
	*out = (int64_t)number_at(bytes.p, n);
	return true;
}

static bool take_value(struct span *rest, struct eventstream_header *h)
{
	int64_t n;

	switch (h->type) {
	case EVENTSTREAM_TRUE:
	case EVENTSTREAM_FALSE:
		return true;
	case EVENTSTREAM_INT8:
		if (!take_number(rest, 1, &n))
			return false;
		h->number = (int8_t)n;
		return true;
	case EVENTSTREAM_INT16:
		if (!take_number(rest, 2, &n))
			return false;
		h->number = (int16_t)n;
		return true;
	case EVENTSTREAM_INT32:
		if (!take_number(rest, 4, &n))
			return false;
		h->number = (int32_t)n;
		return true;
	case EVENTSTREAM_INT64:
	case EVENTSTREAM_TIMESTAMP:
		return take_number(rest, 8, &h->number);
	case EVENTSTREAM_BYTES:
	case EVENTSTREAM_STRING:
		return take_number(rest, 2, &n) && take(rest, (size_t)n, &h->bytes);
	case EVENTSTREAM_UUID:
		return take(rest, 16, &h->bytes);
	default:
		return false;
	}
}

bool eventstream_next_header(struct span *headers, struct eventstream_header *out)
{
	struct eventstream_header h = {.number = 0};
	struct span rest = *headers;
	int64_t n;

	if (!take_number(&rest, 1, &n) || n == 0 || !take(&rest, (size_t)n, &h.name) ||
		!take_number(&rest, 1, &n) || n >= EVENTSTREAM_TYPE_COUNT)
		return false;
	h.type = (enum eventstream_type)n;
	if (!take_value(&rest, &h))
		return false;
	*headers = rest;
	*out = h;
	return true;
}

static bool is_twice(struct span headers, struct span name)
{
	struct eventstream_header h;

	/* Spans are compared by place: the header itself is the first of its name. */
	while (eventstream_next_header(&headers, &h))
		if (span_eq(h.name, name))
			return h.name.p != name.p;
	return false;
}

/* All headers are read: one that is broken, or there twice, makes the frame worthless. */
static bool read_headers(struct eventstream_event *ev)
{
	struct span rest = ev->headers, type = {NULL, 0}, names[3] = {{NULL, 0}};
	struct eventstream_header h;

	for (int n = 0; rest.n > 0; n++) {
		if (n == MAX_HEADERS || !eventstream_next_header(&rest, &h) ||
			is_twice(ev->headers, h.name))
			return false;
		if (h.type != EVENTSTREAM_STRING)
			continue;
		if (span_is(h.name, ":message-type"))
			type = h.bytes;
		else if (span_is(h.name, ":event-type"))
			names[EVENTSTREAM_EVENT] = h.bytes;
		else if (span_is(h.name, ":exception-type"))
			names[EVENTSTREAM_EXCEPTION] = h.bytes;
		else if (span_is(h.name, ":error-code"))
			names[EVENTSTREAM_ERROR] = h.bytes;
		else if (span_is(h.name, ":error-message"))
			ev->message = h.bytes;
	}
	ev->kind = span_is(type, "exception") ? EVENTSTREAM_EXCEPTION
		   : span_is(type, "error")   ? EVENTSTREAM_ERROR
					      : EVENTSTREAM_EVENT;
	ev->name = names[ev->kind];
	return true;
}

/* ---- frames ---- */

static bool fail(struct eventstream *s, struct err *err, const char *why)
{
	s->failed = true;
	buf_done(&s->held);
	return err_set(err, ERR_UPSTREAM_INVALID, "A frame of the provider's event stream %s", why);
}

static bool no_memory(struct eventstream *s, struct err *err)
{
	s->failed = true;
	buf_done(&s->held);
	return err_set(err, ERR_NO_MEMORY, NULL);
}

/* The frame's length from its prelude; 0 with an error when it makes no sense. */
static size_t frame_bytes(struct eventstream *s, const char *p, struct err *err)
{
	size_t total = (size_t)number_at(p, 4), headers = (size_t)number_at(p + 4, 4);
	const char *why = NULL;

	if (number_at(p + 8, 4) != checksum(p, 8))
		why = "has a wrong checksum";
	else if (total < FRAME_BYTES || headers > total - FRAME_BYTES)
		why = "has impossible lengths";
	else if (headers > MAX_HEADER_BYTES)
		why = "has too many bytes of headers";
	else if (total > s->max_bytes)
		why = "is too long";
	if (why == NULL)
		return total;
	fail(s, err, why);
	return 0;
}

enum given { GIVEN, GIVEN_STOP, GIVEN_FAILED };

/* Gives the frame of n bytes at p. After GIVEN_STOP `s` may be gone. */
static enum given give(struct eventstream *s, const char *p, size_t n,
	eventstream_on_event on_event, void *user, struct err *err)
{
	size_t headers = (size_t)number_at(p + 4, 4);
	struct eventstream_event ev = {.raw = {p, n},
		.headers = {p + PRELUDE_BYTES, headers},
		.payload = {p + PRELUDE_BYTES + headers, n - headers - FRAME_BYTES}};

	if (number_at(p + n - 4, 4) != checksum(p, n - 4))
		return fail(s, err, "has a wrong checksum"), GIVEN_FAILED;
	if (!read_headers(&ev))
		return fail(s, err, "has broken headers"), GIVEN_FAILED;
	return on_event(user, &ev) ? GIVEN : GIVEN_STOP;
}

/* The held frame; its memory is kept away from `s` meanwhile, which the callback may end. */
static enum given give_held(
	struct eventstream *s, eventstream_on_event on_event, void *user, struct err *err)
{
	struct buf taken = s->held;
	enum given given;

	buf_init(&s->held, taken.max_bytes);
	given = give(s, buf_span(&taken).p, taken.n, on_event, user, err);
	if (given == GIVEN && taken.cap <= KEEP_BYTES) {
		buf_clear(&taken);
		s->held = taken;
	} else {
		buf_done(&taken);
	}
	return given;
}

/* Moves up to n bytes behind what is held. */
static bool hold(struct eventstream *s, struct span *bytes, size_t n, struct err *err)
{
	struct span piece = span_head(*bytes, n);

	if (piece.n > 0 && !buf_append(&s->held, piece))
		return no_memory(s, err);
	*bytes = span_skip(*bytes, piece.n);
	return true;
}

/* Completes the held frame; GIVEN also when it is not whole yet. */
static enum given feed_held(struct eventstream *s, struct span *bytes,
	eventstream_on_event on_event, void *user, struct err *err)
{
	size_t n;

	if (s->held.n < PRELUDE_BYTES && !hold(s, bytes, PRELUDE_BYTES - s->held.n, err))
		return GIVEN_FAILED;
	if (s->held.n < PRELUDE_BYTES)
		return GIVEN;
	n = frame_bytes(s, buf_span(&s->held).p, err);
	if (n == 0 || !hold(s, bytes, n - s->held.n, err))
		return GIVEN_FAILED;
	return s->held.n < n ? GIVEN : give_held(s, on_event, user, err);
}

bool eventstream_feed(struct eventstream *s, struct span bytes, eventstream_on_event on_event,
	void *user, struct err *err)
{
	enum given given;

	if (s->failed)
		return fail(s, err, "is broken");
	while (bytes.n > 0) {
		size_t n = 0;

		if (s->held.n == 0 && bytes.n >= PRELUDE_BYTES) {
			n = frame_bytes(s, bytes.p, err);
			if (n == 0)
				return false;
		}
		if (n == 0 || n > bytes.n) {
			given = feed_held(s, &bytes, on_event, user, err);
		} else {
			given = give(s, bytes.p, n, on_event, user, err);
			bytes = span_skip(bytes, n);
		}
		if (given != GIVEN)
			return given == GIVEN_STOP;
	}
	return true;
}

bool eventstream_end(struct eventstream *s, struct err *err)
{
	if (s->failed)
		return fail(s, err, "is broken");
	return s->held.n == 0 || err_set(err, ERR_UPSTREAM_INTERRUPTED,
					 "The provider's event stream ended inside a frame");
}

/* ---- writing ---- */

static void put_header(struct buf *b, const char *name, struct span value)
{
	struct span text = span_of(name);

	if (value.n > UINT16_MAX) {
		b->failed = true;
		return;
	}
	put_number(b, text.n, 1);
	buf_append(b, text);
	put_number(b, EVENTSTREAM_STRING, 1);
	put_number(b, value.n, 2);
	buf_append(b, value);
}

static void put_headers(
	struct buf *b, enum eventstream_kind kind, struct span name, struct span payload)
{
	static const char *const keys[] = {":event-type", ":exception-type", ":error-code"};
	static const char *const kinds[] = {"event", "exception", "error"};

	put_header(b, keys[kind], name);
	if (kind == EVENTSTREAM_ERROR)
		put_header(b, ":error-message", payload);
	else
		put_header(b, ":content-type", SPAN("application/json"));
	put_header(b, ":message-type", span_of(kinds[kind]));
}

bool eventstream_write(
	struct buf *out, enum eventstream_kind kind, struct span name, struct span payload)
{
	struct span body = kind == EVENTSTREAM_ERROR ? (struct span){NULL, 0} : payload;
	size_t at = out->n;
	struct buf headers;

	buf_init(&headers, MAX_HEADER_BYTES + FRAME_BYTES);
	put_headers(&headers, kind, name, payload);
	out->failed |= headers.failed || body.n > UINT32_MAX - MAX_HEADER_BYTES - FRAME_BYTES;
	put_number(out, FRAME_BYTES + headers.n + body.n, 4);
	put_number(out, headers.n, 4);
	if (!out->failed)
		put_number(out, checksum(buf_span(out).p + at, 8), 4);
	buf_append(out, buf_span(&headers));
	buf_append(out, body);
	if (!out->failed)
		put_number(out, checksum(buf_span(out).p + at, out->n - at), 4);
	buf_done(&headers);
	return !out->failed;
}
