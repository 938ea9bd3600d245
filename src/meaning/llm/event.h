/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * event - an answer, step by step, in no provider's words.
 *
 * The order is a promise that flow.c keeps, whatever the provider sends: START once; then blocks
 * one after the other, each BLOCK, DELTA..., BLOCK_END, with indices 0, 1, 2 ... and never two open
 * (a STATE, CITATION or LOGPROBS belongs to the open block); USAGE any number of times, the last
 * one counts; STOP once, after the last block; END once and last. A complete answer (not streamed)
 * is the same events in one go. Spans are valid during the call.
 */
#include "meaning/llm/request.h"
#include "meaning/llm/usage.h"

enum llm_event_kind {
	LLM_EVENT_START,
	LLM_EVENT_BLOCK,
	LLM_EVENT_DELTA,
	LLM_EVENT_STATE,
	LLM_EVENT_CITATION,
	LLM_EVENT_LOGPROBS, /* of the text of the open block so far */
	LLM_EVENT_BLOCK_END,
	LLM_EVENT_USAGE,
	LLM_EVENT_STOP,
	LLM_EVENT_END,
	LLM_EVENT_PING
};

enum llm_stop {
	LLM_STOP_END, /* the model is done; also what no other value says */
	LLM_STOP_SEQUENCE,
	LLM_STOP_LENGTH,
	LLM_STOP_CONTEXT, /* the window is full */
	LLM_STOP_TOOL,
	LLM_STOP_FILTER, /* refused, or cut by a safety filter */
	LLM_STOP_PAUSE,  /* a hosted tool took long: the client may continue */
};

struct llm_event {
	enum llm_event_kind kind;

	struct span id, model; /* START: the provider's; may be empty */
	int64_t created;       /* START: seconds since 1970, 0: not said */

	int index;                 /* of the block: BLOCK, DELTA, STATE, CITATION, BLOCK_END */
	enum llm_block_kind block; /* the same: its kind */
	/*
	 * BLOCK of a tool call: id (never empty) and name. BLOCK of MEDIA: media is whole. BLOCK of
	 * SEARCH: id; its DELTAs are the query. DELTA: text (for a tool call, of its arguments).
	 */
	struct span call_id, name, text;
	bool custom, redacted;
	const struct llm_media *media;
	const struct llm_state *state;       /* STATE */
	const struct llm_citation *citation; /* CITATION */
	/*
	 * BLOCK of NATIVE, BLOCK_END of SEARCH: its results. LOGPROBS: a list of {token, logprob,
	 * bytes, top_logprobs}, as OpenAI's APIs have it.
	 */
	yyjson_val *native;
	enum llm_op native_op;

	const struct llm_usage *usage; /* USAGE */
	enum llm_stop stop;            /* STOP */
	struct span stop_sequence;     /* STOP_SEQUENCE: which, when said */
	struct span native_stop;       /* STOP: the provider's own word, may be empty */
};

/* Takes an event. false: it could not (memory, client gone); the reader stops. */
typedef bool (*llm_sink)(void *user, const struct llm_event *ev);
