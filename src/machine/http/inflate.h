/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * inflate - content codings of answers: gzip, x-gzip and deflate (RFC 9110 section 8.4.1), by zlib.
 *
 * Inside this folder only. Bounded: past 1 MiB of output the ratio may be at most 100:1, and 32 MiB
 * in all, so that a small answer cannot become a large one.
 */
#include <stdbool.h>
#include <zlib.h>
#include "machine/base/err.h"
#include "machine/base/span.h"

#define INFLATE_MAX_BYTES (32u << 20)
#define INFLATE_FREE_BYTES (1u << 20)
#define INFLATE_MAX_RATIO 100

struct inflate {
	z_stream z;
	uint64_t in_bytes, out_bytes;
	unsigned char start[2]; /* of a "deflate" body, until its form is known */
	uint8_t n_start;
	bool unsure; /* "deflate", which some senders mean without its wrapper */
	bool ended;
};

/* true and *out NULL: identity. false: a coding that is not known, or no memory. */
bool inflate_new(struct span coding, struct inflate **out, struct err *err);
void inflate_free(struct inflate *f);

/* Gives the decoded pieces; `give` returns false to stop (the call then returns true). */
bool inflate_feed(struct inflate *f, struct span bytes, bool (*give)(void *user, struct span out),
	void *user, struct err *err);
/* The coding's own end was seen, or there was no body at all. */
bool inflate_is_complete(const struct inflate *f);
