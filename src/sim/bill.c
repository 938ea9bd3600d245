/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/bill.h"
#include <stdlib.h>
#include "machine/base/text.h"

#define FIRST_ENTRIES 64

void bill_init(struct bill *b)
{
	*b = (struct bill){.first = 1};
}

void bill_done(struct bill *b)
{
	free(b->ring);
	b->ring = NULL;
	b->n_ring = 0;
}

void bill_reset(struct bill *b)
{
	struct bill_entry *ring = b->ring;

	*b = (struct bill){.ring = ring,
		.n_ring = b->n_ring,
		.seq = b->seq,
		.first = b->seq + 1,
		.outcomes = {[OUTCOME_OPEN] = b->outcomes[OUTCOME_OPEN]},
		.peak_open = b->outcomes[OUTCOME_OPEN],
		.connections_accepted = b->connections_accepted,
		.connections_open = b->connections_open};
}

static bool grow(struct bill *b)
{
	uint64_t n = b->n_ring == 0 ? FIRST_ENTRIES : b->n_ring * 2;
	struct bill_entry *ring = calloc(n, sizeof(*ring));

	if (ring == NULL)
		return false;
	for (uint64_t i = 0; i < b->n_ring; i++)
		ring[b->ring[i].seq & (n - 1)] = b->ring[i];
	free(b->ring);
	b->ring = ring;
	b->n_ring = n;
	return true;
}

static void put(char *to, size_t n, struct span from)
{
	from = span_head(from, n - 1);
	if (from.n > 0)
		memcpy(to, from.p, from.n);
	to[from.n] = 0;
}

struct bill_entry *bill_open(struct bill *b, struct span path, struct span model, struct span key)
{
	struct bill_entry *e;

	b->seq++;
	b->requests++;
	if (++b->outcomes[OUTCOME_OPEN] > b->peak_open)
		b->peak_open = b->outcomes[OUTCOME_OPEN];
	/* Without memory for a larger ring the smaller one serves. */
	if (b->seq - b->first >= b->n_ring && b->n_ring < BILL_MAX_ENTRIES && !grow(b) &&
		b->n_ring == 0)
		return NULL;
	e = &b->ring[b->seq & (b->n_ring - 1)];
	*e = (struct bill_entry){.seq = b->seq, .first_byte_ms = -1, .ms = -1};
	put(e->path, sizeof(e->path), path);
	put(e->model, sizeof(e->model), model);
	put(e->key, sizeof(e->key), span_skip(key, key.n > 4 ? key.n - 4 : 0));
	return e;
}

struct bill_entry *bill_find(struct bill *b, uint64_t seq)
{
	struct bill_entry *e;

	if (b->n_ring == 0 || seq < b->first)
		return NULL;
	e = &b->ring[seq & (b->n_ring - 1)];
	return e->seq == seq ? e : NULL;
}

void bill_close(struct bill *b, uint64_t seq, enum outcome outcome, const struct bill_cost *cost)
{
	struct bill_entry *e = bill_find(b, seq);

	b->outcomes[OUTCOME_OPEN]--;
	b->outcomes[outcome]++;
	b->input_tokens += cost->input_tokens;
	b->cached_tokens += cost->cached_tokens;
	b->cache_write_tokens += cost->cache_write_tokens;
	b->output_tokens += cost->output_tokens;
	b->reasoning_tokens += cost->reasoning_tokens;
	if (e == NULL)
		return;
	e->outcome = outcome;
	e->input_tokens = cost->input_tokens;
	e->cached_tokens = cost->cached_tokens;
	e->cache_write_tokens = cost->cache_write_tokens;
	e->output_tokens = cost->output_tokens;
	e->reasoning_tokens = cost->reasoning_tokens;
	e->sent_bytes = cost->sent_bytes;
	e->events = cost->events;
	e->ms = cost->ms;
}

static void write_number(struct buf *out, const char *name, int64_t n)
{
	buf_append_cstr(out, name);
	buf_append_i64(out, n);
}

static void write_entry(const struct bill_entry *e, struct buf *out)
{
	static const char *const outcomes[OUTCOME_COUNT] = {
		"open", "completed", "cancelled", "failed"};

	write_number(out, "{\"seq\":", (int64_t)e->seq);
	buf_append_cstr(out, ",\"path\":");
	text_json_string(out, span_of(e->path));
	buf_append_cstr(out, ",\"model\":");
	text_json_string(out, span_of(e->model));
	buf_append_cstr(out, ",\"key\":");
	text_json_string(out, span_of(e->key));
	buf_append_cstr(out, e->stream ? ",\"stream\":true" : ",\"stream\":false");
	write_number(out, ",\"status\":", e->status);
	buf_append_cstr(out, ",\"outcome\":\"");
	buf_append_cstr(out, outcomes[e->outcome]);
	write_number(out, "\",\"input_tokens\":", e->input_tokens);
	write_number(out, ",\"cached_tokens\":", e->cached_tokens);
	write_number(out, ",\"cache_write_tokens\":", e->cache_write_tokens);
	write_number(out, ",\"output_tokens\":", e->output_tokens);
	write_number(out, ",\"reasoning_tokens\":", e->reasoning_tokens);
	write_number(out, ",\"sent_bytes\":", e->sent_bytes);
	write_number(out, ",\"events\":", e->events);
	write_number(out, ",\"started_wall_ms\":", e->started_wall_ms);
	write_number(out, ",\"first_byte_ms\":", e->first_byte_ms);
	write_number(out, ",\"ms\":", e->ms);
	buf_append_char(out, '}');
}

static void write_totals(const struct bill *b, struct buf *out)
{
	write_number(out, "{\"requests\":", (int64_t)b->requests);
	write_number(out, ",\"open\":", (int64_t)b->outcomes[OUTCOME_OPEN]);
	write_number(out, ",\"completed\":", (int64_t)b->outcomes[OUTCOME_COMPLETED]);
	write_number(out, ",\"cancelled\":", (int64_t)b->outcomes[OUTCOME_CANCELLED]);
	write_number(out, ",\"failed\":", (int64_t)b->outcomes[OUTCOME_FAILED]);
	write_number(out, ",\"input_tokens\":", b->input_tokens);
	write_number(out, ",\"cached_tokens\":", b->cached_tokens);
	write_number(out, ",\"cache_write_tokens\":", b->cache_write_tokens);
	write_number(out, ",\"output_tokens\":", b->output_tokens);
	write_number(out, ",\"reasoning_tokens\":", b->reasoning_tokens);
	buf_append_char(out, '}');
}

void bill_write(const struct bill *b, uint64_t since, uint64_t limit, struct buf *out)
{
	uint64_t from = b->seq >= b->n_ring ? b->seq - b->n_ring + 1 : 1;

	if (from < b->first)
		from = b->first;
	if (from < since + 1)
		from = since + 1;
	buf_append_cstr(out, "{\"totals\":");
	write_totals(b, out);
	write_number(out, ",\"seq\":", (int64_t)b->seq);
	buf_append_cstr(out, ",\"entries\":[");
	for (uint64_t seq = from; seq <= b->seq && seq - from < limit; seq++) {
		if (seq != from)
			buf_append_char(out, ',');
		write_entry(&b->ring[seq & (b->n_ring - 1)], out);
	}
	buf_append_cstr(out, "]}");
}

void bill_write_counts(const struct bill *b, struct buf *out)
{
	write_number(out, "{\"open\":", (int64_t)b->outcomes[OUTCOME_OPEN]);
	write_number(out, ",\"peak_open\":", (int64_t)b->peak_open);
	write_number(out, ",\"completed\":", (int64_t)b->outcomes[OUTCOME_COMPLETED]);
	write_number(out, ",\"cancelled\":", (int64_t)b->outcomes[OUTCOME_CANCELLED]);
	write_number(out, ",\"failed\":", (int64_t)b->outcomes[OUTCOME_FAILED]);
	write_number(out, ",\"requests\":", (int64_t)b->requests);
	write_number(out, ",\"refused\":", (int64_t)b->refused);
	write_number(out, ",\"connections_accepted\":", (int64_t)b->connections_accepted);
	write_number(out, ",\"connections_open\":", (int64_t)b->connections_open);
	buf_append_char(out, '}');
}
