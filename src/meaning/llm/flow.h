/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * flow - puts what a provider sends in the order that event.h promises.
 *
 * Readers call it with whatever they see, in the provider's order; it opens and closes blocks,
 * holds back tool calls that come interleaved until the one before is whole (OpenAI's parallel
 * calls), makes ids where a provider gives none, completes empty arguments, unwraps what the
 * request wrapped (custom tools, the schema tool, shortened tool names), and corrects a stop reason
 * that contradicts the blocks. Every function returns false when the sink refused or memory ran out
 * (err is set).
 */
#include "machine/base/buf.h"
#include "meaning/llm/event.h"

#define FLOW_MAX_CALLS 128

struct flow_call; /* a tool call that has begun */

struct flow {
	/* Given. */
	struct arena *arena; /* names and ids; bounded by the calls */
	const struct llm_request *request;
	/* The tool that stands for a response format: its arguments are the answer's text. Empty:
	 * none. */
	struct span schema_tool;
	uint64_t id_seed; /* for ids that are made: the same seed, the same ids */
	llm_sink sink;
	void *user;
	size_t max_held_bytes; /* of calls that wait */
	struct err *err;

	/* Its own. */
	bool started, stopped, ended;
	int next_index;            /* of the next block */
	bool open;                 /* a block is open */
	bool in_schema;            /* the open block is the schema tool's, shown as text */
	struct llm_event block;    /* the open block */
	struct flow_call *calls;   /* in the order in which they began */
	struct flow_call *current; /* the one that is open; the later ones wait */
	int n_calls, n_tool_blocks;
	size_t held_bytes;
	bool saw_refusal;
};

void flow_init(struct flow *f);
void flow_done(struct flow *f); /* frees what is held */

bool flow_start(struct flow *f, struct span id, struct span model, int64_t created);

/* Text of these kinds: a new block begins when the open one is of another kind. Empty text opens
 * nothing. */
bool flow_text(struct flow *f, struct span text);
bool flow_refusal(struct flow *f, struct span text);
bool flow_thinking(struct flow *f, struct span text);
/* Ends the open block, so that the next text of the same kind begins another. */
bool flow_cut(struct flow *f);
/* A state for the open block; when that is no thinking block (and `own` is false), for a new, empty
 * one. */
bool flow_state(struct flow *f, const struct llm_state *s, bool own);
/* Reasoning of which nothing can be read: a whole block. */
bool flow_redacted(struct flow *f, const struct llm_state *s);
bool flow_citation(
	struct flow *f, const struct llm_citation *c); /* of the open, or an empty, text block */
/* Of what flow_text said last; ignored where nobody asked, or no text is open. */
bool flow_logprobs(struct flow *f, yyjson_val *entries);
bool flow_media(struct flow *f, const struct llm_media *m); /* a whole block */
bool flow_native(
	struct flow *f, enum llm_op op, yyjson_val *v); /* a whole block; no object: nothing */
/* A whole web search; results as `op` has them, or NULL. */
bool flow_search(
	struct flow *f, struct span id, struct span query, enum llm_op op, yyjson_val *results);

/*
 * A tool call, named by the provider's own key (index, or a number the reader gives). id and name
 * may come late or in no order: the block begins when the name is known. A repeated start of the
 * same key adds what was missing.
 */
bool flow_call_start(struct flow *f, int64_t key, struct span id, struct span name, bool custom);
bool flow_call_args(struct flow *f, int64_t key, struct span piece);
/* Nothing more comes for it. */
bool flow_call_end(struct flow *f, int64_t key);
/* The call's state (Gemini); may come with the start or after it, before the end. */
bool flow_call_state(struct flow *f, int64_t key, const struct llm_state *s);

bool flow_usage(struct flow *f, const struct llm_usage *u);
/*
 * Ends all blocks. STOP_END and STOP_TOOL are corrected by whether there were calls. Only the first
 * call counts.
 */
bool flow_stop(struct flow *f, enum llm_stop stop, struct span sequence, struct span native);
bool flow_end(struct flow *f); /* the answer is complete */
bool flow_ping(struct flow *f);
