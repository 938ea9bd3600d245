/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* base64 - RFC 4648 section 4 (standard alphabet, padded). Pure. */
#include "machine/base/buf.h"

bool base64_write(struct buf *out, struct span bytes);
/* Strict: padding required, no blanks, no stray bits. false leaves `out` as it was. */
bool base64_read(struct buf *out, struct span text);
