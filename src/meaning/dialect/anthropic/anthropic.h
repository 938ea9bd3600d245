/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * anthropic - the Messages API and its token count.
 *
 * Source: Anthropic API reference ("Messages", "Streaming messages", "Errors").
 */
#include "meaning/dialect/codec.h"
#include "meaning/dialect/shared.h"

bool anthropic_read_facts(enum llm_op op, yyjson_val *root, struct span text, struct arena *a,
	struct llm_facts *facts, struct llm_metadata *meta, struct err *err);

/*
 * A usage object over what was reported before: each report gives the sums so far, and a member
 * that is missing or null keeps its earlier value.
 */
void anthropic_read_usage(yyjson_val *usage, struct llm_usage *u);

bool anthropic_read_answer(
	enum llm_op op, yyjson_val *root, struct llm_answer *out, struct err *err);
bool anthropic_scan_answer(enum llm_op op, struct span text, const struct json_scratch *scratch,
	struct llm_answer *out);
void anthropic_edit_answer(
	enum llm_op op, const struct llm_answer *answer, struct span cost, struct json_edit *e);

/* Bytes of text, thinking and tool arguments in a content block or a delta. */
int64_t anthropic_count_bytes(yyjson_val *block);

enum tap_verdict anthropic_tap(struct tap *t, struct span name, struct span data, struct buf *out);

void anthropic_write_error(const struct err *err, const char *origin, const char *request_id,
	const char *native_type, const char *native_code, struct buf *out);
void anthropic_write_stream_error(const struct err *err, const char *origin, const char *request_id,
	int64_t sequence, struct buf *out);

/* ---- translation ---- */

extern const struct codec codec_anthropic;

bool anthropic_read_request(
	yyjson_val *root, struct arena *a, struct llm_request *q, struct err *err);
bool anthropic_write_request(const struct llm_request *q, const struct llm_target *t,
	struct arena *a, struct buf *out, struct llm_notes *notes, struct err *err);
bool anthropic_read_event(struct reading *r, struct span name, struct span data);
bool anthropic_read_end(struct reading *r);
bool anthropic_read_whole(struct reading *r, yyjson_val *root);
bool anthropic_write_event(struct writing *w, const struct llm_event *ev, struct buf *out);
bool anthropic_write_answer(struct writing *w, const struct llm_message *m, struct buf *out);
