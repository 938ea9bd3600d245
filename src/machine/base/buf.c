/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/buf.h"
#include <stdio.h>
#include <stdlib.h>
#include "machine/base/text.h"

#define MIN_CAP_BYTES 256

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){.max_bytes = max_bytes};
}

void buf_done(struct buf *b)
{
	free(b->mem);
	buf_init(b, b->max_bytes);
}

/* Moves the content to the front when that makes the room, else grows. */
static bool grow(struct buf *b, size_t n)
{
	size_t cap;
	char *mem;

	if (n > b->max_bytes || b->n > b->max_bytes - n)
		return false;
	if (b->cap >= b->n + n && b->off > 0 &&
		(b->off >= b->n || b->cap - b->n - n >= b->cap / 4)) {
		memmove(b->mem, b->mem + b->off, b->n);
		b->off = 0;
		return true;
	}
	cap = b->cap < MIN_CAP_BYTES ? MIN_CAP_BYTES : b->cap;
	while (cap < b->n + n)
		cap = cap > b->max_bytes / 2 ? b->max_bytes : cap * 2;
	mem = malloc(cap);
	if (mem == NULL)
		return false;
	if (b->n > 0)
		memcpy(mem, b->mem + b->off, b->n);
	free(b->mem);
	b->mem = mem;
	b->cap = cap;
	b->off = 0;
	return true;
}

char *buf_room(struct buf *b, size_t n)
{
	if (b->failed)
		return NULL;
	if (b->cap - b->off - b->n < n && !grow(b, n)) {
		b->failed = true;
		return NULL;
	}
	/* The maximum counts content, not memory. */
	if (n > b->max_bytes - b->n) {
		b->failed = true;
		return NULL;
	}
	return b->mem + b->off + b->n;
}

void buf_added(struct buf *b, size_t n)
{
	b->n += n;
}

bool buf_append(struct buf *b, struct span s)
{
	char *p;

	if (s.n == 0)
		return !b->failed;
	p = buf_room(b, s.n);
	if (p == NULL)
		return false;
	memcpy(p, s.p, s.n);
	b->n += s.n;
	return true;
}

bool buf_append_cstr(struct buf *b, const char *cstr)
{
	return buf_append(b, span_of(cstr));
}

bool buf_append_char(struct buf *b, char c)
{
	return buf_append(b, (struct span){&c, 1});
}

bool buf_append_u64(struct buf *b, uint64_t v)
{
	char text[20];

	return buf_append(b, (struct span){text, text_write_u64(text, v)});
}

bool buf_append_i64(struct buf *b, int64_t v)
{
	if (v < 0 && !buf_append_char(b, '-'))
		return false;
	return buf_append_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

bool buf_printf(struct buf *b, const char *format, ...)
{
	va_list args;
	char *p;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	p = n >= 0 ? buf_room(b, (size_t)n + 1) : NULL;
	if (p == NULL) {
		b->failed = true;
		return false;
	}
	va_start(args, format);
	vsnprintf(p, (size_t)n + 1, format, args);
	va_end(args);
	b->n += (size_t)n;
	return true;
}

void buf_consume(struct buf *b, size_t n)
{
	if (n >= b->n) {
		b->off = 0;
		b->n = 0;
		return;
	}
	b->off += n;
	b->n -= n;
}

void buf_clear(struct buf *b)
{
	b->off = 0;
	b->n = 0;
	b->failed = false;
}
