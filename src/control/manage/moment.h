/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* moment - times in bodies, RFC 3339; private to this folder. Pure. */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/span.h"

/* "2026-11-23T01:02:03Z", fractions and offsets allowed; milliseconds since 1970. */
bool moment_read(struct span text, int64_t *wall_ms);
