/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/sse.h"

/*
 * An event ends with an empty line. When that line is ended by CR, an LF that follows belongs to
 * it, so one more byte must be seen; except behind a line that ended in CR alone: such a stream has
 * no CRLF, and its event is given at once.
 */

#define KEEP_BYTES 4096 /* memory kept between events */

void sse_init(struct sse *s, size_t max_event_bytes)
{
	*s = (struct sse){.max_bytes = max_event_bytes};
	/* One byte of look-ahead, or the two that complete a last event. */
	buf_init(&s->held, max_event_bytes + 2);
	buf_init(&s->joined, max_event_bytes);
}

void sse_done(struct sse *s)
{
	buf_done(&s->held);
	buf_done(&s->joined);
}

size_t sse_held_bytes(const struct sse *s)
{
	return s->held.n;
}

/* The next LF and CR of a text, so that it is searched once however its lines end. */
struct marks {
	const char *lf, *cr;
};

static const char *search(const char *from, const char *end, char c)
{
	const char *p = from < end ? memchr(from, c, (size_t)(end - from)) : NULL;

	return p != NULL ? p : end;
}

static const char *line_end(struct marks *m, const char *from, const char *end)
{
	if (m->lf == NULL || m->lf < from)
		m->lf = search(from, end, '\n');
	if (m->cr == NULL || m->cr < from)
		m->cr = search(from, end, '\r');
	return m->lf < m->cr ? m->lf : m->cr;
}

/* The value when the line has that field. */
static bool has_field(struct span line, struct span name, struct span *value)
{
	if (!span_starts(line, name))
		return false;
	*value = span_skip(line, name.n);
	if (value->n == 0)
		return true;
	if (value->p[0] != ':')
		return false;
	*value = span_skip(*value, 1);
	if (value->n > 0 && value->p[0] == ' ')
		*value = span_skip(*value, 1);
	return true;
}

static void note_line(struct sse *s, const char *text, struct span line)
{
	struct span value;

	if (has_field(line, SPAN("data"), &value)) {
		if (s->data_lines++ == 0) {
			s->data_at = (size_t)(value.p - text);
			s->data_n = value.n;
		}
	} else if (has_field(line, SPAN("event"), &value)) {
		s->has_name = true;
		s->name_at = (size_t)(value.p - text);
		s->name_n = value.n;
	} else {
		s->has_others = true;
	}
}

static struct span without_bom(const struct sse *s, struct span line)
{
	if (!s->begun && s->line == 0 && span_starts(line, SPAN("\xef\xbb\xbf")))
		return span_skip(line, 3);
	return line;
}

/*
 * Reads lines of the event that begins at `text`. Returns its length when it is complete, else 0.
 * final: nothing follows, a CR at the end is a line end.
 */
static size_t event_end(struct sse *s, struct marks *m, const char *text, size_t n, bool final)
{
	for (;;) {
		const char *e = line_end(m, text + s->scanned, text + n);
		size_t at = (size_t)(e - text), next = at + 1;
		struct span line;
		bool first = s->line == 0;

		if (at >= n) {
			s->scanned = n;
			return 0;
		}
		line = without_bom(s, (struct span){text + s->line, at - s->line});
		if (*e == '\r' && !(line.n == 0 && s->bare_cr)) {
			if (next == n && !final) {
				s->scanned = at;
				return 0;
			}
			if (next < n && text[next] == '\n')
				next++;
		}
		s->bare_cr = text[next - 1] == '\r';
		if (line.n == 0 || (first && line.p[0] == ':'))
			return next;
		note_line(s, text, line);
		s->line = s->scanned = next;
	}
}

static bool join(struct sse *s, struct span raw, struct span *data)
{
	struct marks m = {NULL, NULL};
	const char *at = raw.p, *end = raw.p + raw.n;
	bool some = false;

	buf_clear(&s->joined);
	s->line = 0;
	while (at < end) {
		const char *e = line_end(&m, at, end);
		struct span line = {at, (size_t)(e - at)}, value;

		if (at == raw.p)
			line = without_bom(s, line);
		if (has_field(line, SPAN("data"), &value)) {
			if (some)
				buf_append_char(&s->joined, '\n');
			buf_append(&s->joined, value);
			some = true;
		}
		at = e + 1;
	}
	*data = buf_span(&s->joined);
	return !s->joined.failed;
}

static bool fail(struct sse *s, struct err *err)
{
	s->failed = true;
	buf_done(&s->held);
	return err_set(err, ERR_UPSTREAM_INVALID, "An event of the stream is over %zu bytes",
		s->max_bytes);
}

static bool no_memory(struct sse *s, struct err *err)
{
	s->failed = true;
	buf_done(&s->held);
	return err_set(err, ERR_NO_MEMORY, NULL);
}

enum given { GIVEN, GIVEN_STOP, GIVEN_FAILED };

/* Gives the event of n bytes at text. After GIVEN_STOP `s` may be gone. */
static enum given give(struct sse *s, const char *text, size_t n, sse_on_event on_event, void *user,
	struct err *err)
{
	struct sse_event ev = {
		.raw = {text, n}, .has_others = s->has_others, .unfinished = s->ending};

	if (n > s->max_bytes)
		return fail(s, err), GIVEN_FAILED;
	if (s->has_name)
		ev.name = (struct span){text + s->name_at, s->name_n};
	if (s->data_lines == 1)
		ev.data = (struct span){text + s->data_at, s->data_n};
	else if (s->data_lines > 1 && !join(s, ev.raw, &ev.data))
		return no_memory(s, err), GIVEN_FAILED;
	s->scanned = s->line = 0;
	s->data_lines = 0;
	s->has_name = s->has_others = s->bare_cr = false;
	s->begun = true;
	return on_event(user, &ev) ? GIVEN : GIVEN_STOP;
}

/* The held event; its memory is kept away from `s` meanwhile, which the callback may end. */
static enum given give_held(
	struct sse *s, size_t n, sse_on_event on_event, void *user, struct err *err)
{
	struct buf taken = s->held;
	enum given given;

	buf_init(&s->held, taken.max_bytes);
	given = give(s, buf_span(&taken).p, n, on_event, user, err);
	if (given == GIVEN && s->held.mem == NULL && taken.cap <= KEEP_BYTES) {
		buf_clear(&taken);
		s->held = taken;
	} else {
		buf_done(&taken);
	}
	if (given == GIVEN && s->joined.cap > KEEP_BYTES)
		buf_done(&s->joined);
	return given;
}

/* As much of the bytes as the held event's next line end needs. */
static size_t piece(const struct sse *s, const char *p, size_t n)
{
	struct marks m = {NULL, NULL};
	size_t end;

	if (buf_span(&s->held).p[s->held.n - 1] == '\r')
		return 1;
	end = (size_t)(line_end(&m, p, p + n) - p);
	return end < n ? end + 1 : n;
}

bool sse_feed(struct sse *s, struct span bytes, sse_on_event on_event, void *user, struct err *err)
{
	const char *at = bytes.p, *end = bytes.n > 0 ? bytes.p + bytes.n : bytes.p;
	struct marks m = {NULL, NULL};
	enum given given;
	size_t n;

	if (s->failed)
		return fail(s, err);
	while (at < end) {
		if (s->held.n == 0) {
			n = event_end(s, &m, at, (size_t)(end - at), false);
			if (n == 0) {
				if ((size_t)(end - at) > s->max_bytes)
					return fail(s, err);
				if (!buf_append(&s->held, (struct span){at, (size_t)(end - at)}))
					return no_memory(s, err);
				return true;
			}
			given = give(s, at, n, on_event, user, err);
			at += n;
		} else {
			struct marks held = {NULL, NULL};
			const char *text;

			n = piece(s, at, (size_t)(end - at));
			if (s->held.n + n > s->max_bytes + 1)
				return fail(s, err);
			if (!buf_append(&s->held, (struct span){at, n}))
				return no_memory(s, err);
			at += n;
			text = buf_span(&s->held).p;
			n = event_end(s, &held, text, s->held.n, false);
			if (n == 0) {
				if (s->held.n > s->max_bytes)
					return fail(s, err);
				continue;
			}
			at -= s->held.n - n;
			given = give_held(s, n, on_event, user, err);
		}
		if (given != GIVEN)
			return given == GIVEN_STOP;
	}
	return true;
}

bool sse_end(struct sse *s, sse_on_event on_event, void *user, struct err *err)
{
	const char *text;
	struct marks m = {NULL, NULL};
	size_t n;

	if (s->failed)
		return fail(s, err);
	if (s->held.n == 0)
		return true;
	text = buf_span(&s->held).p;
	n = event_end(s, &m, text, s->held.n, true);
	if (n == 0) {
		struct span line = {text + s->line, s->held.n - s->line};

		note_line(s, text, without_bom(s, line));
		if (!buf_append(&s->held, text[s->held.n - 1] == '\n' ? SPAN("\n") : SPAN("\n\n")))
			return no_memory(s, err);
		n = s->held.n;
		/* The end that was added does not count. */
		s->max_bytes += 2;
		s->ending = true;
	}
	return give_held(s, n, on_event, user, err) != GIVEN_FAILED;
}

void sse_copy_others(struct span raw, struct buf *out)
{
	struct marks m = {NULL, NULL};
	const char *at = raw.p, *end = raw.p + raw.n;

	while (at < end) {
		const char *e = line_end(&m, at, end);
		struct span line = {at, (size_t)(e - at)}, value;

		if (at == raw.p && span_starts(line, SPAN("\xef\xbb\xbf")))
			line = span_skip(line, 3);
		if (line.n > 0 && !has_field(line, SPAN("data"), &value) &&
			!has_field(line, SPAN("event"), &value)) {
			buf_append(out, line);
			buf_append_char(out, '\n');
		}
		at = e + 1;
	}
}
