/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * id - 128-bit identifiers whose order is the order of time (RFC 9562 version 7).
 *
 * The caller passes the clock and the random bytes, so this stays pure.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/span.h"

struct id {
	uint8_t bytes[16];
};

#define ID_UUID_CHARS 36
#define ID_REQUEST_CHARS 30 /* "req_" and 26 characters of Crockford base 32 */

void id_make(struct id *id, int64_t wall_ms, const uint8_t random[10]);
/* All zero: no id that id_make makes. */
bool id_is_none(const struct id *id);
void id_write_uuid(const struct id *id, char out[ID_UUID_CHARS + 1]);
bool id_read_uuid(struct span text, struct id *id); /* RFC 9562 text form, either case */
void id_write_request(const struct id *id, char out[ID_REQUEST_CHARS + 1]);
bool id_read_request(struct span text, struct id *id);
