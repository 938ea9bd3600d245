/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever a price list says: what is taken from it is within the bounds, can be written, reads
 * again as the same models, and is unchanged when the same list comes once more. What is refused
 * has a reason.
 */
#include <assert.h>
#include "meaning/prices/merge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char held_json[] =
	"{\"models\":[{\"id\":\"anthropic/claude-a\",\"context_window\":200000,\"can\":[\"cache\"],"
	"\"price\":[{\"input\":\"3\",\"output\":\"15\",\"cache_read\":\"0.3\",\"cache_write_5m\":"
	"\"3.75\",\"cache_write_1h\":\"6\"},{\"above\":200000,\"input\":\"6\",\"output\":\"22.5\"}]"
	"},"
	"{\"id\":\"openai/echo\",\"price\":[{\"input\":\"0.1\",\"output\":\"0.4\"}]}]}";

static void assert_bounded(const struct llm_model *m)
{
	assert(m->context_window >= 0 && m->context_window <= 100000000);
	assert(m->max_output >= 0 && m->max_output <= 100000000);
	assert(m->n_tiers >= 1 && m->n_tiers <= LLM_MAX_TIERS);
	assert(m->price[0].above_tokens == 0);
	for (int row = 0; row < m->n_tiers; row++) {
		struct llm_price p = m->price[row];

		assert(row == 0 || p.above_tokens > m->price[row - 1].above_tokens);
		assert(p.input >= 0 && p.output >= 0 && p.cache_read <= p.input);
		for (int i = 0; llm_price_name(i) != NULL; i++)
			assert(*llm_price_at(&p, i) >= LLM_PRICE_UNKNOWN &&
				*llm_price_at(&p, i) <= 1000000000000);
	}
}

static void on_member(void *user, struct span member, struct span was, struct span becomes)
{
	int *n = user;

	assert(member.n > 0 && !span_eq(was, becomes));
	++*n;
}

/* Takes over what changes; returns how much that is. */
static int take(struct catalog *c, const struct prices_list *list)
{
	struct prices_merge merge;
	int taken = 0;

	if (!prices_merge(c, list, SPAN(""), true, &merge, NULL))
		goto out;
	for (int i = 0; i < merge.n; i++) {
		const struct prices_change *change = &merge.v[i];
		struct llm_model nothing = llm_model_unknown(change->id);
		int members = 0;

		if (change->outcome == PRICES_REFUSED) {
			assert(change->why.n > 0);
			continue;
		}
		assert_bounded(&change->made);
		prices_diff(change->held != NULL ? change->held : &nothing, &change->made,
			on_member, &members);
		assert(members > 0);
	}
	/* What is held stands in the catalogue that changes now. */
	for (int i = 0; i < merge.n; i++) {
		if (merge.v[i].outcome == PRICES_REFUSED)
			continue;
		assert(catalog_put(c, &merge.v[i].made, NULL));
		taken++;
	}
out:
	prices_merge_done(&merge);
	return taken;
}

static void assert_reads_again(const struct catalog *c)
{
	struct catalog *again = catalog_new();
	struct err err = {0};
	struct buf text;

	buf_init(&text, 64 << 20);
	assert(again != NULL && catalog_write(c, &text));
	assert(catalog_read(again, buf_span(&text), &err));
	assert(catalog_count(again) == catalog_count(c));
	for (int i = 0; i < catalog_count(c); i++)
		assert(llm_model_eq(catalog_at(c, i), catalog_at(again, i)));
	buf_done(&text);
	catalog_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct prices_list list;
	struct catalog *held;
	struct err err = {0};

	if (!prices_list_read(span_from(data, size), SPAN("2026-11-23"), &list, &err)) {
		assert(err.code != ERR_OK && err.text[0] != '\0');
		prices_list_done(&list);
		return 0;
	}
	held = catalog_new();
	assert(held != NULL && catalog_read(held, span_of(held_json), &err));
	take(held, &list);
	assert_reads_again(held);
	assert(take(held, &list) == 0);
	catalog_free(held);
	prices_list_done(&list);
	return 0;
}
