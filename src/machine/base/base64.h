/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* base64 - RFC 4648: section 4 (standard alphabet, padded), writing also section 5. Pure. */
#include "machine/base/buf.h"

bool base64_write(struct buf *out, struct span bytes);
/* Section 5: '-' and '_' for '+' and '/', without padding. */
bool base64url_write(struct buf *out, struct span bytes);
/* Strict: padding required, no blanks, no stray bits. false leaves `out` as it was. */
bool base64_read(struct buf *out, struct span text);
