/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tail - one journal file being followed: its whole records into rows, its end judged.
 *
 * Never gives up a record that is whole: behind a damaged place the next whole one is looked for,
 * and a file in which something was damaged is kept under another name for a person. Safe to
 * repeat: rows and the file's mark are one transaction, and a row that is there stays.
 */
#include "machine/obs/log.h"
#include "state/ledger/file.h"
#include "state/store/store.h"

#define TAIL_NAME_BYTES 128
#define TAIL_WINDOW_BYTES (JOURNAL_MAX_PAYLOAD + JOURNAL_HEAD_BYTES)

/* What all files of an ingest share; borrowed. */
struct tail_io {
	struct sys *sys;
	struct store *store;
	struct log *log;
	const char *dir;
	char *window; /* TAIL_WINDOW_BYTES */
};

struct tail {
	struct journal_name name;
	char file[TAIL_NAME_BYTES]; /* without its folder */
	int fd;                     /* -1: not open */
	int64_t offset, size;       /* taken; there */
	int64_t bad_offset;         /* where a live file was damaged at the last look; -1 */
	bool damaged;               /* something was left out */
	bool unreadable;            /* said once */
	bool done;                  /* taken, but it could not be removed: let be */
};

enum tail_result {
	TAIL_TAKEN,      /* what is whole is in the tables */
	TAIL_UNREADABLE, /* this file's trouble */
	TAIL_REFUSED     /* the store's trouble */
};

/*
 * Takes what is there. `finished`: nobody writes it any more, so what is not whole is its torn end
 * or damage. err is set unless TAIL_TAKEN.
 */
enum tail_result tail_read(
	struct tail *t, const struct tail_io *io, bool finished, struct err *err);

/* Removes a finished file that is in the tables, or sets it aside as "<file>.damaged". */
enum tail_result tail_drop(struct tail *t, const struct tail_io *io, struct err *err);

void tail_close(struct tail *t, struct sys *sys);
