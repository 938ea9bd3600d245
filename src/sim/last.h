/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * last - the last requests as they came: raw head and body, so that tests see what was sent.
 */
#include <stdint.h>
#include "machine/base/buf.h"
#include "machine/base/span.h"

#define LAST_REQUESTS 16
#define LAST_MAX_BODY_BYTES (1u << 20)

struct last_request {
	uint64_t seq;
	struct buf head, body;
	size_t body_bytes; /* the whole body, when `body` holds less */
};

struct last {
	struct last_request ring[LAST_REQUESTS];
	uint64_t n; /* kept so far */
};

void last_init(struct last *l);
void last_done(struct last *l);
void last_reset(struct last *l);
void last_keep(struct last *l, uint64_t seq, struct span head, struct span body);
/* {"requests": [...]}, oldest first, at most n. Bytes that are no UTF-8 come as base64. */
void last_write(const struct last *l, uint64_t n, struct buf *out);
