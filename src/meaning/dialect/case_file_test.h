/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * case_file - golden cases: reading one, and what of an outcome is written alike everywhere.
 */
#include "machine/base/json.h"
#include "meaning/llm/target.h"

/* The caller frees it. NULL: there is no such file, or it is not JSON. */
yyjson_doc *case_read(const char *path);
void case_put_notes(struct buf *b, const struct llm_notes *notes);
void case_put_error(struct buf *b, const struct err *err, int status); /* status 0: none */
