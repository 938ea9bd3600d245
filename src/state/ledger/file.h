/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * file - the names and the framing of journal files: what the writer and the ingest must agree on.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/err.h"
#include "machine/base/span.h"

#define JOURNAL_HEAD_BYTES 8 /* u32 length of the payload, u32 CRC-32C of it, little-endian */
#define JOURNAL_MAX_PAYLOAD (1u << 20)
#define JOURNAL_PATH_BYTES 4200

struct journal_name {
	int64_t epoch;
	int worker, number;
};

bool journal_dir(const char *data_dir, char out[4096], struct err *err);
void journal_file_path(
	const char *dir, int64_t epoch, int worker, int number, char out[JOURNAL_PATH_BYTES]);
bool journal_read_name(
	const char *name, struct journal_name *out); /* of the file, without its folder */

void journal_write_head(unsigned char head[JOURNAL_HEAD_BYTES], struct span payload, size_t n);

enum journal_frame { JOURNAL_WHOLE, JOURNAL_PARTIAL, JOURNAL_DAMAGED };

/* The record at the front of `bytes`; *used covers its head too. */
enum journal_frame journal_read_frame(struct span bytes, struct span *payload, size_t *used);

/*
 * Looks for a whole record at or behind `from` in bytes that are damaged before it. false: none;
 * what begins at *resume (never 0) may be the front of one that goes on behind these bytes.
 */
bool journal_find_frame(struct span bytes, size_t from, size_t *found, size_t *resume);
