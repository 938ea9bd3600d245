/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * openai_responses - the Responses format of the OpenAI API and of those who speak it.
 *
 * An answer is a list of items: messages, reasoning, calls. In a stream each item is announced,
 * filled and done, one after the other, and every event has a number. For this folder only.
 * Source: OpenAI API reference ("Responses", "Streaming events"), 2026.
 */
#include "meaning/dialect/codec.h"
#include "meaning/dialect/shared.h"

bool responses_read_facts(enum llm_op op, yyjson_val *root, struct span text, struct arena *a,
	struct llm_facts *facts, struct llm_metadata *meta, struct err *err);

/* The usage object of a response; u->present only when it counts something. */
void responses_read_usage(yyjson_val *usage, struct llm_usage *u);
/*
 * A response whose status is "failed", or an `error` event: its class and words. *status: the HTTP
 * status it stands for.
 */
void responses_read_failure(
	yyjson_val *root, int *status, struct err *err, char native_type[64], char native_code[64]);

bool responses_read_answer(
	enum llm_op op, yyjson_val *root, struct llm_answer *out, struct err *err);
bool responses_scan_answer(enum llm_op op, struct span text, const struct json_scratch *scratch,
	struct llm_answer *out);
void responses_edit_answer(
	enum llm_op op, const struct llm_answer *answer, struct span cost, struct json_edit *e);
enum tap_verdict responses_tap(struct tap *t, struct span name, struct span data, struct buf *out);

/* The `error` event: flat, as the reference has it, and as an object, which the SDKs raise. */
void responses_put_error_event(const struct err *err, const char *origin, const char *request_id,
	const char *native_type, const char *native_code, int64_t sequence, struct buf *out);

/* ---- translation ---- */

extern const struct codec codec_openai_responses;

bool responses_read_request(
	yyjson_val *root, struct arena *a, struct llm_request *q, struct err *err);
bool responses_write_request(const struct llm_request *q, const struct llm_target *t,
	struct arena *a, struct buf *out, struct llm_notes *notes, struct err *err);
bool responses_read_event(struct reading *r, struct span name, struct span data);
bool responses_read_end(struct reading *r);
bool responses_read_whole(struct reading *r, yyjson_val *root);
bool responses_write_event(struct writing *w, const struct llm_event *ev, struct buf *out);
bool responses_write_failure(struct writing *w, const struct err *err, const char *origin,
	const char *request_id, struct buf *out);
bool responses_write_answer(struct writing *w, const struct llm_message *m, struct buf *out);

/* ---- items of an answer ---- */

enum item_kind {
	ITEM_REASONING,
	ITEM_MESSAGE,
	ITEM_CALL,
	ITEM_SEARCH,
	ITEM_IMAGE,
	ITEM_NATIVE,
	ITEM_NONE /* shown by nothing */
};

/* One item: one block, or for a message several in a row. */
struct item {
	enum item_kind kind;
	int index; /* output_index; part of its id */
	const struct llm_part *first;
	int n_parts;     /* MESSAGE: of the message, from `first` on */
	bool call_state; /* REASONING: nothing but the state of the call in `first` */
	bool cut;        /* the answer ended in it */
	struct item *next;
};

enum item_kind item_kind_of(const struct llm_part *p);
/* The item's id, quoted: "msg_<request>_0". */
void item_put_id(struct buf *out, const char *key, const struct writing *w, const struct item *it);
/* The whole item; `done` false: as it is announced. */
void item_put(struct buf *out, const char *key, const struct writing *w, const struct item *it,
	bool done);
/* A part of a message; `whole` false: as it is announced. */
void item_put_logprobs(struct buf *out, const struct llm_part *p); /* the member of a text */
void item_put_part(struct buf *out, const char *key, const struct llm_part *p, bool whole);
void item_put_summary(struct buf *out, const char *key, struct span text);
void item_put_citation(struct buf *out, const char *key, const struct llm_citation *c);

/*
 * The response object with the members of the client's request that it repeats. status: "completed"
 * and so on; err: of a failed one, or NULL; usage is given when it is over and known.
 */
void response_put(struct buf *out, const char *key, struct writing *w, const struct item *items,
	const char *status, const struct err *err);
/* "completed" or "incomplete", by the stop reason. */
const char *response_status(const struct llm_message *m);
