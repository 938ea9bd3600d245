/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * names - tool names and call ids, made to fit where a format allows fewer characters.
 *
 * Deterministic, so that a call and its result, a definition and the choice of it still match after
 * each was fitted alone, and equal histories give equal bytes.
 */
#include "meaning/llm/request.h"

#define LLM_NAME_MAX 64 /* the shortest limit among the formats */

/*
 * Letters, digits, '_' and '-' up to `max` bytes stay as they are; others become a cleaned prefix,
 * '_' and 8 hex digits of a hash. {NULL, 0} without memory.
 */
struct span llm_fit_name(struct arena *a, struct span name, size_t max);

/* The request's tool that is called `name`, or whose fitted name that is; NULL: none. */
const struct llm_tool *llm_find_fitted(const struct llm_request *q, struct span name);

/* As llm_fit_name, for call ids; `exact` > 0: exactly so many letters and digits (Mistral: 9). */
struct span llm_fit_id(struct arena *a, struct span id, size_t max, size_t exact);

/* "call_" and 24 letters and digits. */
struct span llm_make_id(struct arena *a, uint64_t seed, uint64_t n);
