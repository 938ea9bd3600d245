/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * message - an answer gathered from its events, for formats that show it whole.
 */
#include "machine/base/buf.h"
#include "meaning/llm/event.h"

/* A block of the answer; its text grows with the deltas. */
struct llm_part {
	enum llm_block_kind kind;
	int index;
	struct buf text;     /* text, reasoning, arguments, query */
	struct buf logprobs; /* JSON, the entries of its text, with commas */
	struct span id, name;
	bool custom, redacted, ended;
	struct llm_state state; /* maker NONE: none */
	struct llm_citation *citations;
	struct llm_media media; /* MEDIA */
	enum llm_op native_op;
	struct span native; /* JSON text; NATIVE, SEARCH */
	struct llm_part *next;
};

struct llm_message {
	struct arena *arena; /* given: for what is small */
	size_t max_bytes;    /* given: of all text together */

	struct span id, model;
	int64_t created;
	struct llm_part *parts, *last;
	size_t bytes;
	struct llm_usage usage;
	bool stopped, ended;
	enum llm_stop stop;
	struct span stop_sequence, native_stop;

	const struct llm_message
		*other; /* the next answer, where several were asked for; or NULL */
};

void message_init(struct llm_message *m, struct arena *a, size_t max_bytes);
void message_done(struct llm_message *m); /* frees the texts */

/* Takes an event (an llm_sink in shape). false: no memory, or over max_bytes. */
bool message_add(struct llm_message *m, const struct llm_event *ev);
