/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * span - text that somebody else owns: pointer and length, never assumed to end in NUL.
 *
 * The only form in which text from outside travels. A span stored longer than the buffer it
 * points into is a bug of whoever stored it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *p;
	size_t n;
};

#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})
/* For printf: printf("%.*s", SPAN_ARG(s)). Cuts at 2 GiB. */
#define SPAN_ARG(s) (int)((s).n > INT32_MAX ? INT32_MAX : (s).n), (s).p

static inline struct span span_of(const char *cstr)
{
	return (struct span){cstr, cstr != NULL ? strlen(cstr) : 0};
}

static inline struct span span_from(const void *p, size_t n)
{
	return (struct span){p, n};
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool span_is(struct span a, const char *cstr)
{
	return span_eq(a, span_of(cstr));
}

static inline bool span_starts(struct span s, struct span prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool span_ends(struct span s, struct span suffix)
{
	return s.n >= suffix.n &&
	       (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

/* The part from `from` (clamped) on. */
static inline struct span span_skip(struct span s, size_t from)
{
	if (from > s.n)
		from = s.n;
	return (struct span){s.p + from, s.n - from};
}

/* At most the first n bytes. */
static inline struct span span_head(struct span s, size_t n)
{
	return (struct span){s.p, n < s.n ? n : s.n};
}

/* ASCII case folded; bytes above 0x7f compare as they are. */
bool span_eq_nocase(struct span a, struct span b);
bool span_starts_nocase(struct span s, struct span prefix);

/* Without leading and trailing spaces and tabs. */
struct span span_trim(struct span s);

/* Offset of the first (last) `c`, or -1. */
ptrdiff_t span_find_char(struct span s, char c);
ptrdiff_t span_find_last_char(struct span s, char c);

/* Offset of the first `needle`, or -1. An empty needle is found at 0. */
ptrdiff_t span_find(struct span s, struct span needle);

/*
 * Cuts the part before the first `c` off `*rest` and returns it; `*rest` continues behind `c`.
 * Without a `c` the whole rest is returned and `*rest` becomes empty with p == NULL.
 */
struct span span_cut(struct span *rest, char c);
