/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/h1.h"
#include "machine/http/head.h"

/* States in which bytes are looked at one by one. */
static bool is_framing(uint8_t state)
{
	return state >= H1_CHUNK_SIZE && state <= H1_LAST_LF && state != H1_CHUNK_DATA;
}

void h1_init(struct h1 *p, enum h1_kind kind, const struct h1_events *events, void *user)
{
	*p = (struct h1){.events = events, .user = user, .kind = (uint8_t)kind};
	buf_init(&p->held, HTTP_MAX_HEAD_BYTES);
}

void h1_done(struct h1 *p)
{
	buf_done(&p->held);
}

void h1_expect(struct h1 *p, enum http_method method)
{
	p->method = (uint8_t)method;
}

void h1_next(struct h1 *p)
{
	buf_done(&p->held);
	p->state = H1_HEAD;
	p->scanned = p->line = 0;
	p->left = 0;
	p->extension = p->trailer = 0;
	p->digits = p->interim = 0;
	p->skipped_line = false;
	p->target = (struct span){NULL, 0};
}

bool h1_is_idle(const struct h1 *p)
{
	return p->state == H1_END || (p->state == H1_HEAD && p->held.n == 0 && p->interim == 0);
}

bool h1_in_head(const struct h1 *p)
{
	return p->state == H1_HEAD && (p->held.n > 0 || p->interim > 0);
}

bool h1_in_body(const struct h1 *p)
{
	return p->state > H1_HEAD && p->state < H1_END;
}

int64_t h1_left(const struct h1 *p)
{
	if (p->state == H1_LENGTH)
		return p->left;
	return h1_in_body(p) ? -1 : 0;
}

struct span h1_target(const struct h1 *p)
{
	return p->target;
}

static ssize_t fail(struct h1 *p, enum err_code code, const char *what)
{
	bool request = p->kind == H1_REQUEST;

	p->state = H1_FAILED;
	if (!request && code != ERR_NO_MEMORY)
		code = ERR_UPSTREAM_INVALID;
	err_set(p->err, code, "Malformed HTTP %s: %s", request ? "request" : "response", what);
	return -1;
}

static bool finish(struct h1 *p)
{
	p->state = H1_END;
	return p->events->end(p->user);
}

/* RFC 9112 section 6.3. */
static void enter_body(struct h1 *p, const struct http_head *head)
{
	bool empty = p->kind == H1_RESPONSE &&
		     (p->method == HTTP_HEAD || head->status == 204 || head->status == 304);

	p->left = 0;
	if (empty) {
		p->state = H1_LENGTH;
	} else if (head->chunked) {
		p->state = H1_CHUNK_SIZE;
	} else if (head->content_length >= 0) {
		p->state = H1_LENGTH;
		p->left = head->content_length;
	} else {
		p->state = p->kind == H1_REQUEST ? H1_LENGTH : H1_UNTIL_CLOSE;
	}
}

/* A whole head. Returns false when it failed; *stop when the event asked for it. */
static bool take_head(struct h1 *p, struct span text, bool *stop)
{
	/* 3 KiB that head_parse fills as far as they are used. */
	__attribute__((uninitialized)) struct http_head head;
	struct head_error why;

	if (!head_parse(text, p->kind == H1_REQUEST, &head, &why)) {
		p->target = why.target;
		fail(p, why.code, why.text);
		return false;
	}
	if (p->kind == H1_RESPONSE && head.status < 200) {
		if (head.status == 101) {
			fail(p, ERR_UPSTREAM_INVALID,
				"it switches protocols, which was not asked for");
			return false;
		}
		if (++p->interim > H1_MAX_INTERIM) {
			fail(p, ERR_UPSTREAM_INVALID, "more than 8 interim responses");
			return false;
		}
		return true;
	}
	p->minor = (uint8_t)head.minor;
	enter_body(p, &head);
	if (p->state == H1_UNTIL_CLOSE)
		head.keep_alive = false;
	*stop = !p->events->head(p->user, &head);
	return true;
}

/*
 * Looks at the new bytes of the head in [text, n): returns its length once it is complete, 0 when
 * more must come, -1 when it failed. A leading empty line is returned as a head of 2 bytes.
 */
static ssize_t scan(struct h1 *p, const char *text, size_t n)
{
	size_t at = p->scanned, end;
	const char *cr;

	while (at < n) {
		cr = memchr(text + at, '\r', n - at);
		end = cr != NULL ? (size_t)(cr - text) : n;
		if (memchr(text + at, '\n', end - at) != NULL)
			return fail(p, ERR_BAD_REQUEST, "a line of the head ends in LF without CR");
		if (cr == NULL || end + 1 == n) {
			p->scanned = end;
			return 0;
		}
		if (text[end + 1] != '\n')
			return fail(p, ERR_BAD_REQUEST, "a CR in the head is not followed by LF");
		if (end == p->line)
			return (ssize_t)end + 2;
		if (text[p->line] == ' ' || text[p->line] == '\t')
			return fail(p, ERR_BAD_REQUEST, "a line of the head begins with a blank");
		p->line = at = end + 2;
	}
	p->scanned = n;
	return 0;
}

/* Returns the bytes used, or -1. */
static ssize_t feed_head(struct h1 *p, struct span bytes, bool *stop)
{
	size_t before = p->held.n, used;
	bool held = before > 0;
	const char *text = bytes.p;
	size_t n = bytes.n < HTTP_MAX_HEAD_BYTES ? bytes.n : HTTP_MAX_HEAD_BYTES;
	ssize_t end;
	bool ok = true;

	if (held) {
		n = HTTP_MAX_HEAD_BYTES - before;
		if (n > bytes.n)
			n = bytes.n;
		if (!buf_append(&p->held, span_head(bytes, n)))
			return fail(p, ERR_NO_MEMORY, "no memory for its head");
		text = buf_span(&p->held).p;
		n += before;
	}
	end = scan(p, text, n);
	if (end < 0)
		return -1;
	if (end == 0 && n == HTTP_MAX_HEAD_BYTES)
		return fail(p, ERR_HEAD_TOO_LARGE, "its head is over 32 KiB");
	if (end == 0) {
		if (!held && !buf_append(&p->held, bytes))
			return fail(p, ERR_NO_MEMORY, "no memory for its head");
		return (ssize_t)bytes.n;
	}
	used = (size_t)end - before;
	p->scanned = p->line = 0;
	if (end == 2) {
		if (p->skipped_line || p->kind == H1_RESPONSE)
			return fail(p, ERR_BAD_REQUEST, "it begins with empty lines");
		p->skipped_line = true;
	} else {
		ok = take_head(p, (struct span){text, (size_t)end}, stop);
	}
	/* The refused head's target may point into it; h1_next and h1_done free it then. */
	if (ok)
		buf_done(&p->held);
	return ok ? (ssize_t)used : -1;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static const char *size_byte(struct h1 *p, char c)
{
	int v = hex_value(c);

	if (v >= 0) {
		if (++p->digits > 16 || p->left > INT64_MAX >> 4)
			return "a chunk size is too large";
		p->left = p->left << 4 | v;
		return NULL;
	}
	if (p->digits == 0 || (c != ';' && c != '\r'))
		return "a chunk size is not a plain hexadecimal number";
	p->extension = 0;
	p->state = c == ';' ? H1_CHUNK_EXTENSION : H1_CHUNK_SIZE_LF;
	return NULL;
}

static const char *extension_byte(struct h1 *p, char c)
{
	if (c == '\r') {
		if (p->extension == 0)
			return "an empty chunk extension";
		p->state = H1_CHUNK_SIZE_LF;
		return NULL;
	}
	if ((c < ' ' && c != '\t') || c == 0x7f)
		return "a control or 8-bit character in a chunk extension";
	if (++p->extension > H1_MAX_EXTENSION_BYTES)
		return "a chunk extension over 256 bytes";
	return NULL;
}

static const char *trailer_byte(struct h1 *p, char c)
{
	if (++p->trailer > H1_MAX_TRAILER_BYTES)
		return "trailers over 8 KiB";
	switch (p->state) {
	case H1_TRAILER_START:
		if (c == '\r') {
			p->state = H1_LAST_LF;
			return NULL;
		}
		if (!http_is_token((struct span){&c, 1}))
			return "a trailer's name is not a token";
		p->state = H1_TRAILER_NAME;
		return NULL;
	case H1_TRAILER_NAME:
		if (c == ':')
			p->state = H1_TRAILER_VALUE;
		else if (!http_is_token((struct span){&c, 1}))
			return "a trailer's name is not a token";
		return NULL;
	default:
		if (c == '\r')
			p->state = H1_TRAILER_LF;
		else if (!http_is_value((struct span){&c, 1}))
			return "a control character in a trailer";
		return NULL;
	}
}

/* One byte between the chunks' data. Returns what is wrong with it, or NULL. */
static const char *framing_byte(struct h1 *p, char c)
{
	switch (p->state) {
	case H1_CHUNK_SIZE:
		return size_byte(p, c);
	case H1_CHUNK_EXTENSION:
		return extension_byte(p, c);
	case H1_CHUNK_SIZE_LF:
		if (c != '\n')
			return "a CR in a chunk line is not followed by LF";
		p->state = p->left == 0 ? H1_TRAILER_START : H1_CHUNK_DATA;
		p->digits = 0;
		p->trailer = 0;
		return NULL;
	case H1_CHUNK_DATA_CR:
		if (c != '\r')
			return "a chunk is longer than its size";
		p->state = H1_CHUNK_DATA_LF;
		return NULL;
	case H1_CHUNK_DATA_LF:
		if (c != '\n')
			return "a chunk is not followed by CR LF";
		p->state = H1_CHUNK_SIZE;
		return NULL;
	case H1_TRAILER_LF:
		if (c != '\n')
			return "a CR in the trailers is not followed by LF";
		p->state = H1_TRAILER_START;
		return NULL;
	case H1_LAST_LF:
		if (c != '\n')
			return "the last line is not ended by CR LF";
		p->left = 0;
		p->state = H1_LENGTH; /* nothing left: the loop ends the message */
		return NULL;
	default:
		return trailer_byte(p, c);
	}
}

/* Data of a counted body, of a chunk, or until the close. */
static size_t take_data(struct h1 *p, struct span bytes, bool *stop)
{
	size_t n = bytes.n;

	if (p->state != H1_UNTIL_CLOSE) {
		if ((uint64_t)p->left < n)
			n = (size_t)p->left;
		p->left -= (int64_t)n;
		if (p->left == 0 && p->state == H1_CHUNK_DATA)
			p->state = H1_CHUNK_DATA_CR;
	}
	*stop = !p->events->body(p->user, span_head(bytes, n));
	return n;
}

ssize_t h1_feed(struct h1 *p, struct span bytes, struct err *err)
{
	size_t at = 0;
	bool stop = false;

	p->err = err;
	if (p->state == H1_FAILED)
		return fail(p, ERR_BAD_REQUEST, "the connection's bytes make no sense any more");
	while (!stop && p->state != H1_END) {
		if (p->state == H1_LENGTH && p->left == 0) {
			stop = !finish(p);
		} else if (at == bytes.n) {
			break;
		} else if (p->state == H1_HEAD) {
			ssize_t used = feed_head(p, span_skip(bytes, at), &stop);

			if (used < 0)
				return -1;
			at += (size_t)used;
		} else if (is_framing(p->state)) {
			const char *wrong = framing_byte(p, bytes.p[at++]);

			if (wrong != NULL)
				return fail(p, ERR_BAD_REQUEST, wrong);
		} else {
			at += take_data(p, span_skip(bytes, at), &stop);
		}
	}
	return (ssize_t)at;
}

bool h1_eof(struct h1 *p)
{
	if (h1_is_idle(p))
		return true;
	if (p->state == H1_UNTIL_CLOSE || (p->state == H1_LENGTH && p->left == 0)) {
		finish(p);
		return true;
	}
	p->state = H1_FAILED;
	return false;
}
