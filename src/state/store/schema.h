/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* schema - the numbered files of schema/, as the build embeds them; NUL-terminated. */
#include "machine/base/span.h"

extern const struct span store_schema_0001, store_schema_0002, store_schema_0003, store_schema_0004,
	store_schema_0005, store_schema_0006;

/* The file that makes `version` out of the one before; 1 is the first. */
struct span store_schema(int version);
