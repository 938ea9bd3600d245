/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * bill - the provider's own account: what each request cost in tokens, and how it ended.
 *
 * The witness that tests compare the gateway's ledger with. Totals never forget; of the entries
 * the last BILL_MAX_ENTRIES are kept. No clock but what is passed in.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/buf.h"
#include "machine/base/span.h"

#define BILL_MAX_ENTRIES 32768

enum outcome { OUTCOME_OPEN, OUTCOME_COMPLETED, OUTCOME_CANCELLED, OUTCOME_FAILED, OUTCOME_COUNT };

struct bill_entry {
	uint64_t seq; /* 1, 2, 3 ...; in the answer's id too */
	int64_t started_wall_ms;
	int64_t first_byte_ms, ms; /* since the request; -1: not yet */
	int64_t input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens;
	int64_t sent_bytes, events;
	int status; /* 0: no answer was begun */
	enum outcome outcome;
	bool stream;
	char key[5]; /* the last 4 characters */
	char path[44];
	char model[96]; /* as asked for, script included; may be cut */
};

struct bill {
	struct bill_entry *ring;
	uint64_t n_ring;     /* a power of two; grows */
	uint64_t seq, first; /* newest given; `first` is the oldest since the last reset */
	uint64_t outcomes[OUTCOME_COUNT]; /* how many are open; how many ended so since the reset */
	int64_t input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens;
	uint64_t requests, peak_open, refused;
	uint64_t connections_accepted, connections_open;
};

void bill_init(struct bill *b);
void bill_done(struct bill *b);
/* Forgets entries and totals; what is open stays open and counts when it ends. seq goes on. */
void bill_reset(struct bill *b);

/*
 * A new entry, open; it is b->seq. NULL without memory: it is counted all the same. Later entries
 * may move it: keep the seq.
 */
struct bill_entry *bill_open(struct bill *b, struct span path, struct span model, struct span key);
/* NULL when it was overwritten or forgotten. */
struct bill_entry *bill_find(struct bill *b, uint64_t seq);
/* What a request cost; for a request whose entry is gone the totals still count. */
struct bill_cost {
	int64_t input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens;
	int64_t sent_bytes, events, ms;
};
void bill_close(struct bill *b, uint64_t seq, enum outcome outcome, const struct bill_cost *cost);

/* Entries behind `since`, at most `limit`, oldest first. */
void bill_write(const struct bill *b, uint64_t since, uint64_t limit, struct buf *out);
void bill_write_counts(const struct bill *b, struct buf *out);
