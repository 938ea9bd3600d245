/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * ingest - journals into rows: the store thread.
 *
 * Owns the SQL connection that writes. Looks at the journals every 200 ms (and at each job), puts
 * new records into the store in batches of one transaction with the file's mark, removes files that
 * are ingested and whose epoch is over. Idempotent: a batch that ran twice changes nothing. A torn
 * record at the end of a file of a dead epoch is where that file ends. Other work on the writing
 * connection (key changes) is run here too, by jobs. The folder's lock (store_lock) is held from
 * start to stop: epochs other than ours are dead.
 */
#include "machine/base/err.h"
#include "machine/obs/log.h"
#include "state/store/store.h"

struct ingest;

/* Ingests what earlier epochs left, closes their open rows, then starts the thread. Takes the
 * store. */
struct ingest *ingest_start(struct sys *sys, struct store *store, const char *data_dir,
	int64_t epoch, struct log *log, struct err *err);
/* Ingests all that was flushed, closes the store. */
void ingest_stop(struct ingest *g);

/* Sums by the minute are kept so long (0, the default: all); any thread. */
void ingest_keep_minutes(struct ingest *g, int64_t ms);

struct ingest_job {
	struct ingest_job *next;
	void (*run)(struct ingest_job *job,
		struct store *store); /* on the store thread; may free the job */
};
void ingest_post(struct ingest *g, struct ingest_job *job); /* any thread */
int64_t ingest_backlog_bytes(struct ingest *g);             /* any thread */
bool ingest_store_ok(struct ingest *g); /* any thread; false: records wait for the database */
