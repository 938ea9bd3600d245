/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/journal.h"
#include <assert.h>

/*
 * A payload: u8 version, u8 kind, then the members in the order of record_write below: ids as 16
 * bytes, integers as little-endian 64 bits, texts as u16 length and bytes. A member is only ever
 * added behind the others of its kind, with a new version; older ones are read.
 */
#define RECORD_VERSION 4
#define N_PRICES 11
#define N_INTS (24 + N_PRICES)
#define N_TEXTS 12

/* How many there are in records of each version. */
static const unsigned char n_ints[] = {0, 19, 22, 22, N_INTS}, n_texts[] = {0, 11, 11, 11, N_TEXTS};

enum record_kind { RECORD_CHECKPOINT = 1, RECORD_FINAL = 2 };

static char *put_bytes(char *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	return to + n;
}

static char *put_int(char *to, int64_t v)
{
	for (int i = 0; i < 8; i++)
		to[i] = (char)((uint64_t)v >> (8 * i));
	return to + 8;
}

static char *put_text(char *to, struct span s)
{
	to[0] = (char)s.n;
	to[1] = (char)(s.n >> 8);
	return s.n > 0 ? put_bytes(to + 2, s.p, s.n) : to + 2;
}

/* Cut JSON would be none: what is too long is left out whole. */
static struct span bounded(struct span s)
{
	return s.n <= RECORD_MAX_TEXT_BYTES ? s : (struct span){NULL, 0};
}

bool record_write(const struct request_row *r, bool final, struct buf *out)
{
	const struct span *const texts[] = {&r->op, &r->model_asked, &r->provider, &r->model_served,
		&r->user_id, &r->trace_id, &r->tags, &r->extra, &r->referer, &r->title,
		&r->upstream_id, &r->tool};
	const struct llm_usage *u = &r->usage;
	const struct llm_price *p = &r->price;
	const int64_t ints[] = {r->started_ms, r->duration_us, r->first_token_us, r->overhead_us,
		r->status, r->attempts, r->stream, r->outcome, r->basis, u->present,
		u->input_uncached, u->cache_read, u->cache_write_5m, u->cache_write_1h,
		u->input_audio, u->output, u->reasoning, u->output_audio, r->cost_nusd, u->sound_ms,
		u->characters, u->pictures, r->overrun, r->price_source, p->above_tokens, p->input,
		p->output, p->cache_read, p->cache_write_5m, p->cache_write_1h, p->input_audio,
		p->output_audio, p->characters, p->sound_hour, p->picture};
	const struct id *const owners[] = {
		&r->owners.user_id, &r->owners.group_id, &r->owners.project_id};
	size_t bytes = 2 + 5 * sizeof(r->id.bytes) + sizeof(ints);
	char *from, *to;

	_Static_assert(sizeof(ints) == N_INTS * 8 && sizeof(texts) / sizeof(texts[0]) == N_TEXTS,
		"as many as are read");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		bytes += 2 + bounded(*texts[i]).n;
	from = to = buf_room(out, bytes);
	if (to == NULL)
		return false;
	*to++ = RECORD_VERSION;
	*to++ = final ? RECORD_FINAL : RECORD_CHECKPOINT;
	to = put_bytes(to, r->id.bytes, sizeof(r->id.bytes));
	to = put_bytes(to, r->key_id.bytes, sizeof(r->key_id.bytes));
	for (int i = 0; i < 3; i++)
		to = put_bytes(to, owners[i]->bytes, sizeof(owners[i]->bytes));
	for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++)
		to = put_int(to, ints[i]);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		to = put_text(to, bounded(*texts[i]));
	assert(to == from + bytes);
	buf_added(out, bytes);
	return true;
}

/* Takes n bytes off the front; after a failure everything is zero. */
static bool take(struct span *rest, void *to, size_t n)
{
	if (rest->n < n)
		return false;
	memcpy(to, rest->p, n);
	*rest = span_skip(*rest, n);
	return true;
}

static bool take_int(struct span *rest, int64_t *v)
{
	unsigned char bytes[8];
	uint64_t made = 0;

	if (!take(rest, bytes, sizeof(bytes)))
		return false;
	for (int i = 7; i >= 0; i--)
		made = made << 8 | bytes[i];
	*v = (int64_t)made;
	return true;
}

static bool take_text(struct span *rest, struct span *s)
{
	unsigned char n[2];

	if (!take(rest, n, sizeof(n)))
		return false;
	s->n = (size_t)n[0] | (size_t)n[1] << 8;
	if (rest->n < s->n)
		return false;
	s->p = rest->p;
	*rest = span_skip(*rest, s->n);
	return true;
}

/* Prices that are not known are -1; records before version 4 name none. */
static bool spread_price(const int64_t v[2 + N_PRICES], struct request_row *r)
{
	if (v[0] < 0 || v[0] > 1 || v[1] < 0 || v[1] >= LLM_PRICE_SOURCE_COUNT || v[2] < 0)
		return false;
	for (int i = 3; i < 2 + N_PRICES; i++)
		if (v[i] < LLM_PRICE_UNKNOWN)
			return false;
	r->overrun = v[0] != 0;
	r->price_source = (enum llm_price_source)v[1];
	r->price = (struct llm_price){.above_tokens = v[2],
		.input = v[3],
		.output = v[4],
		.cache_read = v[5],
		.cache_write_5m = v[6],
		.cache_write_1h = v[7],
		.input_audio = v[8],
		.output_audio = v[9],
		.characters = v[10],
		.sound_hour = v[11],
		.picture = v[12]};
	return true;
}

static bool spread(const int64_t v[N_INTS], struct request_row *r)
{
	struct llm_usage *u = &r->usage;

	if (v[4] < 0 || v[4] > 999 || v[5] < 0 || v[5] > INT32_MAX || v[6] < 0 || v[6] > 1 ||
		v[7] < 0 || v[7] >= OUTCOME_COUNT || v[8] < 0 || v[8] >= BASIS_COUNT || v[9] < 0 ||
		v[9] > 1 || v[18] < -1)
		return false;
	for (int i = 10; i < 22; i++)
		if (v[i] < 0 && i != 18)
			return false;
	r->started_ms = v[0];
	r->duration_us = v[1];
	r->first_token_us = v[2];
	r->overhead_us = v[3];
	r->status = (int)v[4];
	r->attempts = (int)v[5];
	r->stream = v[6] != 0;
	r->outcome = (enum request_outcome)v[7];
	r->basis = (enum request_basis)v[8];
	u->present = v[9] != 0;
	u->input_uncached = v[10];
	u->cache_read = v[11];
	u->cache_write_5m = v[12];
	u->cache_write_1h = v[13];
	u->input_audio = v[14];
	u->output = v[15];
	u->reasoning = v[16];
	u->output_audio = v[17];
	r->cost_nusd = v[18];
	u->sound_ms = v[19];
	u->characters = v[20];
	u->pictures = v[21];
	return spread_price(v + 22, r);
}

bool record_read(struct span payload, struct request_row *r, bool *final)
{
	struct span *const texts[] = {&r->op, &r->model_asked, &r->provider, &r->model_served,
		&r->user_id, &r->trace_id, &r->tags, &r->extra, &r->referer, &r->title,
		&r->upstream_id, &r->tool};
	struct id *const owners[] = {
		&r->owners.user_id, &r->owners.group_id, &r->owners.project_id};
	struct span rest = payload;
	int64_t ints[N_INTS] = {0};
	unsigned char head[2];

	*r = (struct request_row){0};
	if (!take(&rest, head, sizeof(head)) || head[0] < 1 || head[0] > RECORD_VERSION ||
		(head[1] != RECORD_CHECKPOINT && head[1] != RECORD_FINAL) ||
		!take(&rest, r->id.bytes, sizeof(r->id.bytes)) ||
		!take(&rest, r->key_id.bytes, sizeof(r->key_id.bytes)))
		return false;
	for (int i = 0; i < 3 && head[0] >= 3; i++)
		if (!take(&rest, owners[i]->bytes, sizeof(owners[i]->bytes)))
			return false;
	for (int i = 0; i < n_ints[head[0]]; i++)
		if (!take_int(&rest, &ints[i]))
			return false;
	if (!spread(ints, r))
		return false;
	for (int i = 0; i < n_texts[head[0]]; i++)
		if (!take_text(&rest, texts[i]))
			return false;
	*final = head[1] == RECORD_FINAL;
	return rest.n == 0;
}
