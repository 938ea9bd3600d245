/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* price - usage times price, in nano-USD; 128-bit inside, rounded half up once. No floats. */
#include "meaning/llm/catalog.h"
#include "meaning/llm/usage.h"

/* false: a class that was used has no known price (or there is no model): cost unknown. */
bool price_of(const struct llm_model *m, const struct llm_usage *u, int64_t *nusd);

/* nano-USD as decimal USD without trailing zeros: 198000 -> "0.000198". Returns a span of `out`. */
struct span price_write(int64_t nusd, char out[32]);
