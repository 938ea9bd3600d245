/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* price - usage times price, in nano-USD; 128-bit inside, rounded half up once. No floats. */
#include "meaning/llm/catalog.h"
#include "meaning/llm/usage.h"

/* The row that prices the whole request, by the size of its prompt. */
const struct llm_price *price_row(const struct llm_model *m, const struct llm_usage *u);
/* price_of by that row alone: what a settled request is checked with. */
bool price_by_row(const struct llm_price *p, const struct llm_usage *u, int64_t *nusd);

/*
 * false: a class that was used has no known price (or there is no model): cost unknown. A read from
 * a cache without a price of its own is charged as input, which it never costs more than. Counts
 * are 0 .. LLM_MAX_COUNT; others, and a cost beyond int64_t, are unknown too.
 */
bool price_of(const struct llm_model *m, const struct llm_usage *u, int64_t *nusd);

/*
 * What so many tokens cost at most, whatever class they are of and whichever row applies; rounded
 * up. false: a price that may apply is not known.
 */
bool price_bound(const struct llm_model *m, int64_t input, int64_t output, int64_t *nusd);

/* "50.00" US dollars to nano-USD: no sign, no exponent, at most nine decimals and 9e9 dollars. */
bool money_read(struct span text, int64_t *nusd);
