/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * multipart - the fields of a form body. RFC 7578 on RFC 2046 section 5.1, as browsers and client
 * libraries write it.
 *
 * Reads a complete body; nothing is copied, the parts are spans of it. Strict where a lenient
 * reader and a provider could see two different forms: every boundary line must be exact, a part
 * must have its name, and of a name that may stand once the caller asks for the only one.
 */
#include "machine/base/err.h"
#include "machine/base/span.h"

#define MULTIPART_MAX_PARTS 128

struct multipart_part {
	struct span name;     /* as written: escapes of quotes are not resolved */
	struct span filename; /* {NULL, 0}: no file */
	struct span type;     /* of its content; {NULL, 0}: not said */
	struct span content;
	struct span whole; /* with its boundary line and head, for taking it out */
};

struct multipart {
	struct multipart_part parts[MULTIPART_MAX_PARTS];
	int n;
};

/* The boundary of "multipart/form-data; boundary=..."; {NULL, 0}: it is another type. */
struct span multipart_boundary(struct span content_type);

/* false: ERR_BAD_REQUEST saying what is wrong. */
bool multipart_read(struct span body, struct span boundary, struct multipart *out, struct err *err);

/* The part of that name; NULL: none. *twice is set when there are several. */
const struct multipart_part *multipart_find(
	const struct multipart *m, struct span name, bool *twice);
