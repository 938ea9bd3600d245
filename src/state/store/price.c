/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/crypto/hash.h"
#include "state/store/row.h"

#define N_NUMBERS 11

static void spread(const struct llm_price *p, int64_t out[N_NUMBERS])
{
	const int64_t numbers[N_NUMBERS] = {p->above_tokens, p->input, p->output, p->cache_read,
		p->cache_write_5m, p->cache_write_1h, p->input_audio, p->output_audio,
		p->characters, p->sound_hour, p->picture};

	memcpy(out, numbers, sizeof(numbers));
}

/* The first 128 bits of SHA-256 over source and numbers, each as eight bytes, the least first. */
static struct id digest_of(enum llm_price_source source, const int64_t numbers[N_NUMBERS])
{
	uint8_t bytes[8 * (N_NUMBERS + 1)], hash[HASH_SHA256_BYTES];
	struct id out;

	for (int i = 0; i < 8 * (N_NUMBERS + 1); i++) {
		int64_t v = i < 8 ? (int64_t)source : numbers[i / 8 - 1];

		bytes[i] = (uint8_t)((uint64_t)v >> (8 * (i % 8)));
	}
	hash_sha256(span_from(bytes, sizeof(bytes)), hash);
	memcpy(out.bytes, hash, sizeof(out.bytes));
	return out;
}

static bool insert(struct store *s, enum llm_price_source source, const int64_t n[N_NUMBERS],
	const struct id *id, struct err *err)
{
	struct db_value v[2 + N_NUMBERS] = {
		db_id(id), db_text(span_of(llm_price_source_name(source)))};

	for (int i = 0; i < N_NUMBERS; i++)
		v[2 + i] = db_int(n[i]);
	return db_run(s->db,
		"INSERT INTO price VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) "
		"ON CONFLICT (digest) DO NOTHING",
		v, 2 + N_NUMBERS, NULL, NULL, err);
}

bool price_put(struct store *s, enum llm_price_source source, const struct llm_price *p,
	struct id *id, struct err *err)
{
	struct price_memory *m = &s->prices;
	int64_t numbers[N_NUMBERS];

	*id = (struct id){0};
	if (source == LLM_PRICE_NOWHERE)
		return true;
	spread(p, numbers);
	for (int i = 0; i < m->n; i++)
		if (m->known[i].source == source &&
			memcmp(m->known[i].numbers, numbers, sizeof(numbers)) == 0) {
			*id = m->known[i].id;
			return true;
		}
	*id = digest_of(source, numbers);
	if (!insert(s, source, numbers, id, err))
		return false;
	m->known[m->next].source = source;
	memcpy(m->known[m->next].numbers, numbers, sizeof(numbers));
	m->known[m->next].id = *id;
	m->next = (m->next + 1) % PRICE_MEMORY;
	m->n += m->n < PRICE_MEMORY;
	return true;
}

void price_forget(struct store *s)
{
	s->prices.n = s->prices.next = 0;
}
