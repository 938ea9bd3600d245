/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * decimal - numbers of price lists as integers, digit by digit: what is written is what counts,
 * no double comes near it. Pure.
 */
#include "machine/base/span.h"

enum decimal { DECIMAL_OK, DECIMAL_NONE, DECIMAL_NEGATIVE, DECIMAL_LARGE, DECIMAL_FINE };

/*
 * A JSON number (RFC 8259 section 6) times 10^shift. NONE: no number. LARGE: above 9e17. FINE: it
 * has digits below 1 that matter; when there are more than 15 digits it is a double's print of a
 * shorter number, and is rounded.
 */
enum decimal decimal_read(struct span text, int shift, int64_t *out);
