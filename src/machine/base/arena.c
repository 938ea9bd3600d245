/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/arena.h"
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

/* The first chunk holds a usual request; later ones double up to a bound. */
#define FIRST_CHUNK_BYTES 2016
#define MAX_CHUNK_BYTES 65504

struct arena_chunk {
	struct arena_chunk *older;
	size_t cap, used;
	alignas(max_align_t) char mem[];
};

void arena_init(struct arena *a, size_t cap_bytes)
{
	*a = (struct arena){.cap_bytes = cap_bytes};
}

void arena_done(struct arena *a)
{
	struct arena_chunk *c = a->chunks;

	while (c != NULL) {
		struct arena_chunk *older = c->older;

		free(c);
		c = older;
	}
	arena_init(a, a->cap_bytes);
}

static struct arena_chunk *add_chunk(struct arena *a, size_t n)
{
	size_t cap = a->chunks == NULL ? FIRST_CHUNK_BYTES : a->chunks->cap * 2;
	struct arena_chunk *c;

	if (cap > MAX_CHUNK_BYTES)
		cap = MAX_CHUNK_BYTES;
	if (cap < n)
		cap = n;
	c = malloc(sizeof(*c) + cap);
	if (c == NULL)
		return NULL;
	c->older = a->chunks;
	c->cap = cap;
	c->used = 0;
	a->chunks = c;
	return c;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct arena_chunk *c = a->chunks;
	const size_t align = alignof(max_align_t);
	size_t need;
	void *p;

	if (a->failed || n > SIZE_MAX - align)
		goto fail;
	need = (n + align - 1) & ~(align - 1);
	if (need == 0)
		need = align;
	if (need > a->cap_bytes || a->used_bytes > a->cap_bytes - need)
		goto fail;
	if (c == NULL || c->cap - c->used < need) {
		c = add_chunk(a, need);
		if (c == NULL)
			goto fail;
	}
	p = c->mem + c->used;
	c->used += need;
	a->used_bytes += need;
	return p;
fail:
	a->failed = true;
	return NULL;
}

void *arena_zalloc(struct arena *a, size_t n)
{
	void *p = arena_alloc(a, n);

	if (p != NULL)
		memset(p, 0, n);
	return p;
}

char *arena_cstr(struct arena *a, struct span s)
{
	char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;

	if (p == NULL)
		return NULL;
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

struct span arena_copy(struct arena *a, struct span s)
{
	char *p = arena_cstr(a, s);

	return p != NULL ? (struct span){p, s.n} : (struct span){NULL, 0};
}

struct span arena_join(struct arena *a, const struct span *v, int n)
{
	size_t bytes = 0, at = 0;
	char *p;

	for (int i = 0; i < n; i++)
		bytes += v[i].n;
	p = arena_alloc(a, bytes + 1);
	if (p == NULL)
		return (struct span){NULL, 0};
	for (int i = 0; i < n; i++) {
		if (v[i].n > 0)
			memcpy(p + at, v[i].p, v[i].n);
		at += v[i].n;
	}
	p[bytes] = '\0';
	return (struct span){p, bytes};
}

struct span arena_printf(struct arena *a, const char *format, ...)
{
	va_list args;
	char *p;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	p = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
	if (p == NULL) {
		a->failed = true;
		return (struct span){NULL, 0};
	}
	va_start(args, format);
	vsnprintf(p, (size_t)n + 1, format, args);
	va_end(args);
	return (struct span){p, (size_t)n};
}
