/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * text - numbers, UTF-8, escapes and near names. Pure; no locale.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/buf.h"
#include "machine/base/span.h"

/* All digits, no sign, no blank, no overflow. */
bool text_u64(struct span s, uint64_t *out);
bool text_i64(struct span s, int64_t *out); /* optional leading '-' */

/* Writes v in decimal, returns the length (at most 20); no NUL. */
size_t text_write_u64(char out[20], uint64_t v);

/* Well-formed UTF-8 as RFC 3629 has it (no surrogates, no overlong form). */
bool text_is_utf8(struct span s);

/* At most the first n bytes, and no part of a character at their end. */
struct span text_head(struct span s, size_t n);

/* A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. RFC 8259 section 7. */
bool text_json_string(struct buf *b, struct span s);

/* Lower-case hex of n bytes; out has room for 2 n, no NUL. */
void text_hex(char *out, const void *bytes, size_t n);
bool text_unhex(void *out, size_t n, struct span hex); /* exactly 2 n digits, either case */

/* Levenshtein distance, cut at 64 bytes a side; for "did you mean". */
unsigned text_distance(struct span a, struct span b);

/* The nearest of `names` (NULL-terminated) within a third of its length, or NULL. */
const char *text_nearest(struct span s, const char *const *names);

/* RFC 3339 with milliseconds, UTC: 2026-11-23T01:02:03.004Z. Returns the length (24), with NUL. */
size_t text_rfc3339(char out[32], int64_t wall_ms);
