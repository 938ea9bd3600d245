/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/obs/line.h"

#include "machine/base/text.h"

/* Behind `end` there is always room for what closes a cut line. */
#define TAIL_BYTES 64

struct line {
	char *p, *end;
	bool overflow; /* a part did not fit and is not there */
	bool cut;      /* the line is not what was asked for */
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *const level_labels[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
static const char *const level_colours[] = {"\033[2m", "\033[32m", "\033[33m", "\033[1;31m"};

static size_t room(const struct line *l)
{
	return (size_t)(l->end - l->p);
}

/* Inlined, so that the copy of a literal is a store or two. */
static inline __attribute__((always_inline)) void put(struct line *l, const char *p, size_t n)
{
	if (n > room(l)) {
		l->overflow = true;
		return;
	}
	memcpy(l->p, p, n);
	l->p += n;
}

#define PUT(line, literal) put((line), (literal), sizeof(literal) - 1)

/* How many of the bytes at p make one well-formed character (RFC 3629), or 0. */
static size_t character(const unsigned char *p, size_t n, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t c;

	if (p[0] >= 0xf8 || (p[0] >= 0x80 && p[0] < 0xc2) || len > n)
		return 0;
	c = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (len > 1 && (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)))
		return 0;
	*code = c;
	return len;
}

/*
 * Characters that a terminal or a viewer obeys instead of showing: C0, DEL, C1, line and
 * paragraph separators, and the marks that turn the direction of the text.
 */
static bool is_obeyed(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x200e && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

/* The first character of `in` as a JSON string has it. Returns its bytes, 0 when it does not fit.
 */
static size_t put_character(struct line *l, struct span in, const char *stop)
{
	uint32_t c = 0xfffd;
	size_t len = character((const unsigned char *)in.p, in.n, &c);
	char esc[6] = {'\\'};
	size_t n = 2;

	if (len == 0) {
		memcpy(esc, "\xef\xbf\xbd", 3);
		n = 3;
		len = 1;
	} else if (c == '"' || c == '\\') {
		esc[1] = (char)c;
	} else if (c == '\n' || c == '\r' || c == '\t') {
		esc[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
	} else if (is_obeyed(c)) {
		const uint8_t code[2] = {(uint8_t)(c >> 8), (uint8_t)c};

		esc[1] = 'u';
		text_hex(esc + 2, code, 2);
		n = 6;
	} else {
		memcpy(esc, in.p, len);
		n = len;
	}
	if ((size_t)(stop - l->p) < n)
		return 0;
	memcpy(l->p, esc, n);
	l->p += n;
	return len;
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* The same for 8 bytes at once. */
static bool are_plain(uint64_t w)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x80 * ones;
	uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\'), del = w ^ (ones * 0x7f);

	/* Each term raises the high bit of a byte that matches (or of one above such a byte). */
	return ((w | (w - ones * 0x20) | (quote - ones) | (slash - ones) | (del - ones)) & high) ==
	       0;
}

/* 8 bytes go over; returns whether they are plain. */
static bool copy_8(char *out, const char *p)
{
	uint64_t w;

	memcpy(&w, p, 8);
	memcpy(out, &w, 8);
	return are_plain(w);
}

/* Nearly every text: nothing to escape, and it fits. Otherwise writes nothing that counts. */
static bool put_plain(struct line *l, struct span s, const char *stop)
{
	char *out = l->p;
	size_t i = 0;

	if (s.n > LINE_MAX_TEXT_BYTES || (size_t)(stop - out) < s.n)
		return false;
	if (s.n >= 8) {
		for (; i + 8 <= s.n; i += 8) {
			if (!copy_8(out + i, s.p + i))
				return false;
		}
		/* The rest with some bytes before it a second time. */
		if (!copy_8(out + s.n - 8, s.p + s.n - 8))
			return false;
	} else {
		for (; i < s.n; i++) {
			if (!is_plain((unsigned char)s.p[i]))
				return false;
			out[i] = s.p[i];
		}
	}
	l->p = out + s.n;
	return true;
}

static __attribute__((noinline)) void put_not_plain(struct line *l, struct span s, const char *stop)
{
	size_t n;

	if (stop - l->p > LINE_MAX_TEXT_BYTES)
		stop = l->p + LINE_MAX_TEXT_BYTES;
	for (; s.n > 0; s = span_skip(s, n)) {
		n = put_character(l, s, stop);
		if (n == 0) {
			l->cut = true;
			return;
		}
	}
}

/* The inside of a JSON string, cut at a character when it does not fit before `stop`. */
static void put_escaped(struct line *l, struct span s, const char *stop)
{
	if (!put_plain(l, s, stop))
		put_not_plain(l, s, stop);
}

static void put_string(struct line *l, struct span s)
{
	if (room(l) < 2) {
		l->overflow = true;
		return;
	}
	*l->p++ = '"';
	put_escaped(l, s, l->end - 1);
	*l->p++ = '"';
}

static void put_int(struct line *l, int64_t i)
{
	char digits[21];
	size_t n = 0;

	if (i < 0)
		digits[n++] = '-';
	n += text_write_u64(digits + n, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
	put(l, digits, n);
}

/* A literal is whole or not there at all; the line breaks between its tokens become blanks. */
static void put_raw(struct line *l, struct span raw)
{
	if (raw.n == 0) {
		PUT(l, "null");
		return;
	}
	if (!text_is_utf8(raw)) {
		put_string(l, raw);
		return;
	}
	while (raw.n > 0 && !l->overflow) {
		unsigned char c = (unsigned char)*raw.p;

		size_t n = 1;

		if (c >= 0x7f)
			n = put_character(l, raw, l->end);
		else
			put(l, c < 0x20 ? " " : raw.p, 1);
		l->overflow |= n == 0;
		raw = span_skip(raw, n);
	}
}

static void put_value(struct line *l, const struct log_field *f)
{
	if (f->type == LOG_INT)
		put_int(l, f->i);
	else if (f->type == LOG_RAW)
		put_raw(l, f->text);
	else
		put_string(l, f->text);
}

/* Whether a reader sees where the text ends without quotes around it. */
static bool is_word(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
			return false;
	}
	return s.n > 0;
}

/* Making a date costs more than the rest of a line, and a second has many lines. */
static const char *time_text(int64_t wall_ms)
{
	static _Thread_local struct {
		int64_t second;
		char text[32];
	} last = {.second = -1};
	int64_t second = wall_ms < 0 ? 0 : wall_ms / 1000;
	unsigned ms = wall_ms < 0 ? 0 : (unsigned)(wall_ms % 1000);

	if (last.second != second) {
		text_rfc3339(last.text, second * 1000);
		last.second = second;
	}
	last.text[20] = (char)('0' + ms / 100);
	last.text[21] = (char)('0' + ms / 10 % 10);
	last.text[22] = (char)('0' + ms % 10);
	return last.text;
}

/* What comes since `mark` stays whole or goes: half a field is no JSON. */
static void keep_or_drop(struct line *l, char *mark)
{
	if (!l->overflow)
		return;
	l->p = mark;
	l->overflow = false;
	l->cut = true;
}

static void put_json(
	struct line *l, const struct line_head *h, const struct log_field *fields, int n)
{
	PUT(l, "{\"ts\":\"");
	put(l, time_text(h->wall_ms), 24);
	PUT(l, "\",\"level\":");
	put_string(l, span_of(level_names[h->level]));
	PUT(l, ",\"event\":");
	put_string(l, span_of(h->event));
	if (h->msg != NULL && h->msg[0] != '\0') {
		PUT(l, ",\"msg\":");
		put_string(l, span_of(h->msg));
	}
	for (int i = 0; i < n; i++) {
		char *mark = l->p;

		if (fields[i].type == LOG_ABSENT)
			continue;
		PUT(l, ",");
		put_string(l, span_of(fields[i].name));
		PUT(l, ":");
		put_value(l, &fields[i]);
		keep_or_drop(l, mark);
	}
	l->end += TAIL_BYTES;
	if (l->cut)
		PUT(l, ",\"truncated\":true");
	PUT(l, "}\n");
}

static void put_painted(struct line *l, bool colour, const char *paint, struct span text)
{
	if (colour)
		put(l, paint, strlen(paint));
	put_escaped(l, text, l->end);
	if (colour)
		PUT(l, "\033[0m");
}

static void put_padding(struct line *l, size_t have, size_t want)
{
	for (; have < want; have++)
		PUT(l, " ");
}

static void put_human_field(struct line *l, const struct log_field *f, bool colour)
{
	PUT(l, " ");
	if (colour)
		PUT(l, "\033[2m");
	put_escaped(l, span_of(f->name), l->end);
	PUT(l, "=");
	if (colour)
		PUT(l, "\033[0m");
	if (f->type == LOG_TEXT && is_word(f->text))
		put_escaped(l, f->text, l->end);
	else
		put_value(l, f);
}

static void put_human(struct line *l, const struct line_head *h, const struct log_field *fields,
	int n, bool colour)
{
	struct span event = span_of(h->event), msg = span_of(h->msg);

	put_painted(l, colour, "\033[2m", span_from(time_text(h->wall_ms) + 11, 12));
	PUT(l, " ");
	put_painted(l, colour, level_colours[h->level], span_of(level_labels[h->level]));
	PUT(l, " ");
	put_painted(l, colour, "\033[1m", event);
	if (msg.n > 0) {
		put_padding(l, event.n, 16);
		PUT(l, " ");
		put_escaped(l, msg, l->end);
	} else if (n > 0) {
		put_padding(l, event.n, 16);
	}
	for (int i = 0; i < n; i++) {
		char *mark = l->p;

		if (fields[i].type == LOG_ABSENT)
			continue;
		put_human_field(l, &fields[i], colour);
		keep_or_drop(l, mark);
	}
	l->end += TAIL_BYTES;
	if (l->cut)
		PUT(l, " truncated=true");
	PUT(l, "\n");
}

size_t line_write(char out[LINE_MAX_BYTES], enum line_style style, const struct line_head *head,
	const struct log_field *fields, int n)
{
	struct line l = {.p = out, .end = out + LINE_MAX_BYTES - TAIL_BYTES};

	if (style == LINE_JSON)
		put_json(&l, head, fields, n);
	else
		put_human(&l, head, fields, n, style == LINE_COLOUR);
	return (size_t)(l.p - out);
}
