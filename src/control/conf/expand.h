/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * expand - ${NAME} and its kin in a value; private to this folder.
 *
 * ${NAME}, ${NAME:-default}, ${NAME:?message} from the environment; ${file:NAME} from
 * $CREDENTIALS_DIRECTORY/NAME, /run/secrets/NAME or an absolute path, without the line end at its
 * end. $${ is a plain ${. What was put in is not looked at again. A secret's text is never in an
 * error.
 */
#include "machine/base/arena.h"
#include "machine/base/err.h"
#include "machine/sys/sys.h"

#define EXPAND_MAX_BYTES 65536 /* of a value */

struct expanded {
	struct span text;
	bool whole;         /* the value was nothing but one variable */
	int n;              /* variables in it */
	const char *source; /* the first one's name, as written between the braces; NULL: none */
};

bool expand(
	struct sys *sys, struct arena *a, struct span text, struct expanded *out, struct err *err);
