/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * line - one log line as bytes; private to this folder.
 *
 * Pure: the clock is passed in, nothing is allocated. Whatever the fields hold, the result is one
 * line of well-formed UTF-8 that ends in the only control character it has. What does not fit is
 * left out and the line says so ("truncated":true).
 */
#include "machine/obs/log.h"

#define LINE_MAX_BYTES 8192
#define LINE_MAX_TEXT_BYTES 2048 /* of one text, as written */

enum line_style { LINE_JSON, LINE_HUMAN, LINE_COLOUR };

struct line_head {
	int64_t wall_ms;
	enum log_level level;
	const char *event, *msg;
};

/* Returns the length, '\n' included. */
size_t line_write(char out[LINE_MAX_BYTES], enum line_style style, const struct line_head *head,
	const struct log_field *fields, int n);
