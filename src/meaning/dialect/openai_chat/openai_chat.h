/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * openai_chat - Chat Completions and Embeddings of the OpenAI API and of all who speak it.
 *
 * Source: OpenAI API reference ("Chat", "Embeddings") and what recorded answers of other makers
 * show.
 */
#include "meaning/dialect/codec.h"
#include "meaning/dialect/shared.h"

bool openai_read_facts(enum llm_op op, yyjson_val *root, struct span text, struct arena *a,
	struct llm_facts *facts, struct llm_metadata *meta, struct err *err);
void openai_edit_request(enum llm_op op, const struct llm_facts *facts,
	const struct pass_edit *edit, struct json_edit *e);

/* The usage object of an answer or chunk; u->present only when it counts something. */
void openai_read_usage(yyjson_val *usage, struct llm_usage *u);
/* Bytes of what a message or delta says. *acts: it calls a tool or carries media. */
int64_t openai_count_bytes(yyjson_val *message, bool *acts);

bool openai_read_answer(enum llm_op op, yyjson_val *root, struct llm_answer *out, struct err *err);
bool openai_scan_answer(enum llm_op op, struct span text, const struct json_scratch *scratch,
	struct llm_answer *out);
void openai_edit_answer(
	enum llm_op op, const struct llm_answer *answer, struct span cost, struct json_edit *e);

enum tap_verdict openai_tap(struct tap *t, struct span name, struct span data, struct buf *out);

void openai_write_error(const struct err *err, const char *origin, const char *request_id,
	const char *native_type, const char *native_code, struct buf *out);
void openai_write_stream_error(const struct err *err, const char *origin, const char *request_id,
	int64_t sequence, struct buf *out);

/* ---- translation ---- */

extern const struct codec codec_openai_chat;

bool openai_read_request(yyjson_val *root, struct arena *a, struct llm_request *q, struct err *err);
bool openai_write_request(const struct llm_request *q, const struct llm_target *t, struct arena *a,
	struct buf *out, struct llm_notes *notes, struct err *err);
bool openai_read_event(struct reading *r, struct span name, struct span data);
bool openai_read_end(struct reading *r);
bool openai_read_whole(struct reading *r, yyjson_val *root);
bool openai_write_event(struct writing *w, const struct llm_event *ev, struct buf *out);
bool openai_write_answer(struct writing *w, const struct llm_message *m, struct buf *out);
