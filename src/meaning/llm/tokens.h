/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tokens - how many tokens a prompt has, estimated without a vocabulary.
 *
 * Walks the text as a byte-pair encoder's first pass cuts it (words, numbers by three digits, runs
 * of signs and blanks) and charges each piece what the o200k vocabulary charges such pieces on
 * average. Meant to be a little high rather than low; measured against o200k on prose, code,
 * JSON and other scripts in tokens_test.c. One pass, no memory: 300 KB take well below a
 * millisecond.
 */
#include "meaning/llm/request.h"

int64_t llm_tokens_of_text(struct span text);

/*
 * The whole request: texts, tool definitions, calls, results, a price for each turn and for media.
 * `model` scales by family: newer vocabularies of Anthropic cut finer than o200k.
 */
int64_t llm_tokens_of_request(const struct llm_request *q, struct span model);
