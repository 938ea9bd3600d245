/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * buf - bytes that grow, up to a maximum set at birth.
 *
 * Sticky: after a failed growth (`failed`) every append does nothing; ask once at the end.
 * Bytes are taken off the front with buf_consume; the space is reused.
 */
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include "machine/base/span.h"

struct buf {
	char *mem;
	size_t off, n, cap; /* the content is mem[off .. off + n) */
	size_t max_bytes;
	bool failed;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_done(struct buf *b); /* frees; the buf may be used again with the same maximum */

static inline struct span buf_span(const struct buf *b)
{
	/* NULL + 0 is undefined: an empty buf may have no memory. */
	return (struct span){b->off > 0 ? b->mem + b->off : b->mem, b->n};
}

bool buf_append(struct buf *b, struct span s);
bool buf_append_cstr(struct buf *b, const char *cstr);
bool buf_append_char(struct buf *b, char c);
bool buf_append_u64(struct buf *b, uint64_t v);
bool buf_append_i64(struct buf *b, int64_t v);
bool buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Room for n more bytes behind the content, or NULL. Written bytes count after buf_added. */
char *buf_room(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);

void buf_consume(struct buf *b, size_t n);
void buf_clear(struct buf *b); /* empties, keeps the memory, forgets a failure */
