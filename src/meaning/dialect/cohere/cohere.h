/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * cohere - Cohere's own chat API, version 2.
 *
 * A format of providers: clients do not speak it, but both directions are here, so that what is
 * written can be read again. Messages and tools look like Chat Completions'; thinking, the plan
 * before tool calls, citations, streams and usage do not. For this folder only. Source: Cohere API
 * reference, "Chat (v2)" and "Chat with Streaming"; its guides on tool use, structured outputs and
 * reasoning.
 *
 * Usage: `billed_units` are what is paid, so they are the counts; `tokens` also count what Cohere
 * adds to a prompt by itself and nobody pays. `cached_tokens` are a part of the latter, without a
 * price of their own: they are told only where both say the same.
 */
#include "meaning/dialect/codec.h"
#include "meaning/dialect/shared.h"

#define COHERE_MAX_STOPS 5

extern const struct codec codec_cohere;

bool cohere_read_request(yyjson_val *root, struct arena *a, struct llm_request *q, struct err *err);
bool cohere_write_request(const struct llm_request *q, const struct llm_target *t, struct arena *a,
	struct buf *out, struct llm_notes *notes, struct err *err);

bool cohere_read_event(struct reading *r, struct span name, struct span data);
bool cohere_read_end(struct reading *r);
bool cohere_read_answer(struct reading *r, yyjson_val *root);

bool cohere_write_event(struct writing *w, const struct llm_event *ev, struct buf *out);
bool cohere_write_answer(struct writing *w, const struct llm_message *m, struct buf *out);
