/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * answer - what the simulated model says: deterministic text, counts and vectors.
 *
 * The same prompt, model and script give the same answer, streamed or not, on every machine. Tokens
 * of a text are its bytes divided by 4, rounded up, at least 1. Pure.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/buf.h"
#include "machine/base/span.h"

static inline int64_t answer_tokens(int64_t bytes)
{
	return bytes > 0 ? (bytes + 3) / 4 : 1;
}

/* Takes more text into a running hash. */
uint64_t answer_hash(uint64_t seed, struct span text);

/*
 * A text that is not stored: words made from a seed, or a part of somebody else's text. It is given
 * in `pieces` parts that are never cut inside a character.
 */
struct answer_text {
	uint64_t seed;
	struct span fixed; /* p != NULL: this text */
	uint64_t words;    /* else so many words */
	uint64_t bytes;    /* the whole text; made by answer_text_* */
	uint64_t pieces;
};

/* pieces 0: as many as there are words (at least 1). */
void answer_text_words(struct answer_text *t, uint64_t seed, uint64_t words, uint64_t pieces);
void answer_text_bytes(struct answer_text *t, uint64_t seed, uint64_t bytes, uint64_t pieces);
void answer_text_fixed(struct answer_text *t, struct span text, uint64_t pieces);

/* Cuts the text to at most that many bytes; true when something was cut off. */
bool answer_text_cap(struct answer_text *t, uint64_t bytes);

struct answer_cursor {
	uint64_t piece, bytes; /* given so far */
	uint64_t word;
	unsigned in_word; /* bytes of `word`, its leading blank included, given so far */
};

/* Appends the next piece as a JSON string; its raw size, or 0 when there is no further piece. */
uint64_t answer_piece(const struct answer_text *t, struct answer_cursor *c, struct buf *out);
/* Appends the whole text as a JSON string. */
void answer_whole(const struct answer_text *t, struct buf *out);

/* Appends a vector as a JSON array, or as base64 of little-endian floats in quotes. */
void answer_vector(uint64_t seed, unsigned n, bool base64, struct buf *out);
