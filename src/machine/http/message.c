/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/message.h"
#include <stdlib.h>

const char *http_method_name(enum http_method m)
{
	static const char *const names[HTTP_METHOD_COUNT] = {
		"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

	return (unsigned)m < HTTP_METHOD_COUNT ? names[m] : "";
}

const char *http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} rows[] = {{200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"},
		{206, "Partial Content"}, {301, "Moved Permanently"}, {302, "Found"},
		{303, "See Other"}, {304, "Not Modified"}, {307, "Temporary Redirect"},
		{308, "Permanent Redirect"}, {400, "Bad Request"}, {401, "Unauthorized"},
		{402, "Payment Required"}, {403, "Forbidden"}, {404, "Not Found"},
		{405, "Method Not Allowed"}, {406, "Not Acceptable"}, {408, "Request Timeout"},
		{409, "Conflict"}, {410, "Gone"}, {411, "Length Required"},
		{412, "Precondition Failed"}, {413, "Content Too Large"}, {414, "URI Too Long"},
		{415, "Unsupported Media Type"}, {417, "Expectation Failed"},
		{421, "Misdirected Request"}, {422, "Unprocessable Content"},
		{424, "Failed Dependency"}, {425, "Too Early"}, {428, "Precondition Required"},
		{429, "Too Many Requests"}, {431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"}, {501, "Not Implemented"}, {502, "Bad Gateway"},
		{503, "Service Unavailable"}, {504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"}, {529, "Overloaded"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].status == status)
			return rows[i].reason;
	return "";
}

/* Most names differ in length or in their first letter: a call is made for few. */
static bool is_named(const struct http_field *f, struct span name)
{
	return f->name.n == name.n && ((f->name.p[0] ^ name.p[0]) & ~0x20) == 0 &&
	       span_eq_nocase(f->name, name);
}

struct span http_field(const struct http_head *h, const char *name)
{
	struct span wanted = span_of(name);

	for (int i = 0; i < h->n; i++)
		if (is_named(&h->fields[i], wanted))
			return h->fields[i].value;
	return (struct span){NULL, 0};
}

int http_field_count(const struct http_head *h, const char *name)
{
	struct span wanted = span_of(name);
	int n = 0;

	for (int i = 0; i < h->n; i++)
		if (is_named(&h->fields[i], wanted))
			n++;
	return n;
}

static struct span moved(struct span s, const struct http_head *h, const char *text)
{
	return (struct span){s.p != NULL ? text + (s.p - h->text.p) : NULL, s.n};
}

struct http_head *http_head_copy(const struct http_head *h, size_t extra, void **tail)
{
	const size_t align = _Alignof(max_align_t);
	size_t size = offsetof(struct http_head, fields) + (size_t)h->n * sizeof(h->fields[0]);
	char *mem, *text;
	struct http_head *c;

	size = (size + align - 1) / align * align;
	mem = malloc(size + extra + h->text.n + 1);
	if (mem == NULL)
		return NULL;
	c = (struct http_head *)(void *)mem;
	memcpy(mem, h, offsetof(struct http_head, fields));
	memset(mem + size, 0, extra);
	text = mem + size + extra;
	if (h->text.n > 0)
		memcpy(text, h->text.p, h->text.n);
	c->text.p = text;
	c->target = moved(h->target, h, text);
	c->path = moved(h->path, h, text);
	c->query = moved(h->query, h, text);
	for (int i = 0; i < h->n; i++) {
		c->fields[i].name = moved(h->fields[i].name, h, text);
		c->fields[i].value = moved(h->fields[i].value, h, text);
	}
	if (tail != NULL)
		*tail = mem + size;
	return c;
}

bool http_is_token(struct span s)
{
	/* RFC 9110 section 5.6.2: bit c % 32 of word c / 32 for each tchar. */
	static const uint32_t set[8] = {0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff, 0, 0, 0, 0};

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((set[c / 32] >> (c % 32) & 1) == 0)
			return false;
	}
	return s.n > 0;
}

/*
 * Eight bytes at a time. The high bit of a byte of below(w, n) is set when the byte is below n (and
 * ASCII), that of equal(w, c) when it is c; a borrow can set it wrongly only above a right one, so
 * zero means none. n and c are below 0x80.
 */
#define ONES UINT64_C(0x0101010101010101)
#define HIGH UINT64_C(0x8080808080808080)

static inline uint64_t below(uint64_t w, unsigned n)
{
	return (w - ONES * n) & ~w & HIGH;
}

static inline uint64_t equal(uint64_t w, unsigned c)
{
	return below(w ^ ONES * c, 1);
}

static inline uint64_t word_at(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

static bool is_value_byte(unsigned char c)
{
	return (c >= 0x20 && c != 0x7f) || c == '\t';
}

bool http_is_value(struct span s)
{
	size_t i = 0;

	while (i < s.n) {
		if (s.n - i >= 8) {
			uint64_t w = word_at(s.p + i);

			if ((below(w, 0x20) | equal(w, 0x7f)) == 0) {
				i += 8;
				continue;
			}
		}
		if (!is_value_byte((unsigned char)s.p[i++]))
			return false;
	}
	return true;
}

bool http_is_target(struct span s)
{
	size_t i = 0;

	for (; s.n - i >= 8; i += 8) {
		uint64_t w = word_at(s.p + i);

		if ((below(w, 0x21) | equal(w, 0x7f) | equal(w, '#') | (w & HIGH)) != 0)
			return false;
	}
	for (; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= 0x20 || c >= 0x7f || c == '#')
			return false;
	}
	return s.n > 0;
}
