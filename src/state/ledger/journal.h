/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * journal - a worker's append-only file of what must survive a crash.
 *
 * Records of a loop turn are written by one write(2) in journal_flush; whoever waits for a
 * record's durability (against process death; power loss when `sync`) is called back after it,
 * in order. Form of a record: u32 length, u32 CRC-32C, then the payload (record.h), little-endian.
 * A file is "<epoch>-<worker>-<number>.journal"; a new one begins at 64 MiB. When a write fails,
 * the journal is degraded: callbacks still run (the answer must not hang), the record stays queued
 * and is written again later, bounded; journal_ok says false and new requests are refused.
 */
#include "machine/base/list.h"
#include "machine/loop/loop.h"
#include "state/store/store.h"

struct journal;

struct journal_waiter {
	struct list node; /* list_init before first use; journal_forget takes it out */
	void (*durable)(struct journal_waiter *w);
};

/* Adds itself as a turn hook. `epoch` is the process's start in wall ms. */
struct journal *journal_open(struct loop *l, const char *data_dir, int64_t epoch, int worker,
	bool sync, struct err *err);
void journal_close(struct journal *j); /* flushes */

/* Copies the row. `w` (may be NULL) is called from the turn's flush. */
bool journal_put(
	struct journal *j, const struct request_row *r, bool final, struct journal_waiter *w);
void journal_forget(struct journal_waiter *w); /* no callback any more; the record stays */
void journal_flush(struct journal *j);
bool journal_ok(const struct journal *j);
uint64_t journal_bytes(const struct journal *j); /* written since open; any thread */

#define RECORD_MAX_TEXT_BYTES 65535 /* of one text; a longer one is left out whole */

/* Payload <-> row; pure. Reading borrows from the bytes. false: malformed. */
bool record_write(const struct request_row *r, bool final, struct buf *out);
bool record_read(struct span payload, struct request_row *r, bool *final);
