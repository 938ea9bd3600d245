/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * arena - memory that dies together.
 *
 * Has a cap from its birth and a sticky failure flag: after an allocation that did not fit (or
 * that the system refused) every further one returns NULL and `failed` stays set, so a builder
 * asks once at its end. Not thread-safe. Nothing taken from an arena may be stored in what
 * lives longer.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include "machine/base/span.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* newest first */
	size_t used_bytes, cap_bytes;
	bool failed;
};

void arena_init(struct arena *a, size_t cap_bytes);
void arena_done(struct arena *a);

/* Aligned for any object, not zeroed. NULL (and `failed`) past the cap or without memory. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);

/* A copy, followed by a NUL that is not part of the span. {NULL, 0} on failure. */
struct span arena_copy(struct arena *a, struct span s);
char *arena_cstr(struct arena *a, struct span s);
/* The spans one behind the other, in a copy as arena_copy makes it. */
struct span arena_join(struct arena *a, const struct span *v, int n);
struct span arena_printf(struct arena *a, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define ARENA_NEW(a, type) ((type *)arena_zalloc((a), sizeof(type)))
