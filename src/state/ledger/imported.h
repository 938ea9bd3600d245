/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * imported - <data_dir>/models.json: what `sluice models import` took over from a price list.
 *
 * Of the catalogue's form; stands above what is built in and below the configuration. Replaced as
 * a whole, so that a reader finds the old file or the new one. No locks: whoever writes sees to it
 * that nobody else does.
 */
#include "machine/sys/sys.h"
#include "meaning/llm/catalog.h"

#define IMPORTED_MAX_BYTES ((size_t)32 << 20)
#define IMPORTED_MAX_MODELS 10000 /* the server makes its model list of them */

/* Empty when there is no such file. ERR_CONFIG names the file, and the line or what is too much. */
struct catalog *imported_read(struct sys *sys, const char *data_dir, struct err *err);
/* ERR_TOO_LARGE: it would not be read again. */
bool imported_write(
	struct sys *sys, const char *data_dir, const struct catalog *c, struct err *err);
