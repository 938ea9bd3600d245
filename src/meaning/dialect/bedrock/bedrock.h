/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * bedrock - Amazon Bedrock's Converse and ConverseStream.
 *
 * A format of providers: clients do not speak it, but both directions are here, so that what is
 * written can be read again. The model's name and whether to stream stand in the address, not in
 * the body; the frames of a stream are machine/http/eventstream's. For this folder only. Sources:
 * Amazon Bedrock API reference (Converse, ConverseStream, ContentBlock, ToolConfiguration,
 * TokenUsage, "Common Errors"); its user guide, "Inference using Converse API", "Prompt caching",
 * "Extended thinking"; Amazon Nova user guide, "Extended thinking".
 */
#include "meaning/dialect/codec.h"
#include "meaning/dialect/shared.h"

extern const struct codec codec_bedrock;

/* Whose model it is, as far as what it takes depends on it. */
enum bedrock_family {
	BEDROCK_OPAQUE, /* an application's inference profile: its name tells nothing */
	BEDROCK_CLAUDE,
	BEDROCK_NOVA,
	BEDROCK_OPENAI, /* and xAI: reasoning_effort */
	BEDROCK_QWEN,   /* and DeepSeek V3: reasoning_config */
	BEDROCK_MISTRAL,
	BEDROCK_PLAIN, /* Llama, Cohere, AI21: cannot be made to call a tool */
	BEDROCK_OTHER
};

struct bedrock_model {
	enum bedrock_family family;
	int version; /* Claude: 407 for 4.7; Nova: 200 for 2; 0: not in the name */
};
void bedrock_model_read(struct span name, struct bedrock_model *out);

/* ---- opaque reasoning ---- */

/*
 * Claude's redacted thinking is a text that stands here as base64 of its bytes. What is no text is
 * kept in base64, with BEDROCK_BLOB as the state's id.
 */
#define BEDROCK_BLOB "blob"
void bedrock_read_redacted(struct arena *a, struct span base64, struct llm_state *out);
void bedrock_put_redacted(struct buf *out, const struct llm_state *s);

/* ---- requests ---- */

struct bedrock_writer {
	const struct llm_request *q;
	const struct llm_target *t;
	struct arena *a;
	struct buf *out;
	struct llm_notes *notes;
	struct err *err;
	struct bedrock_model model;
	struct llm_turn *turns;  /* repaired */
	struct span schema_tool; /* stands for the response format; or empty */
	int marks_left;          /* how many may still be set */
	int marks_skip;          /* how many marks in messages are left out, from the front */
	int n_documents;         /* named so far */
	bool has_calls;          /* the history has tool blocks: then toolConfig must be there */
	bool thinks;
	int64_t budget, max_output;
};

bool bedrock_unsupported(
	struct bedrock_writer *w, const char *param, const char *note, bool meaning);

void bedrock_plan_marks(struct bedrock_writer *w);
/* A cachePoint behind what it marks. */
void bedrock_put_mark(struct bedrock_writer *w, enum llm_cache_mark mark);
void bedrock_put_message_mark(struct bedrock_writer *w, enum llm_cache_mark mark);

void bedrock_plan_thinking(struct bedrock_writer *w);
bool bedrock_put_inference(struct bedrock_writer *w); /* inferenceConfig and its neighbours */
bool bedrock_put_tools(struct bedrock_writer *w);     /* toolConfig */
bool bedrock_put_system(struct bedrock_writer *w);
bool bedrock_put_messages(struct bedrock_writer *w);
/* The client wants no call, which this format cannot say. */
bool bedrock_forbids_calls(const struct bedrock_writer *w);

bool bedrock_is_blank(struct span text);

bool bedrock_read_request(
	yyjson_val *root, struct arena *a, struct llm_request *q, struct err *err);

/* ---- media ---- */

/* {"image"|"document"|"audio"|"video": ...} */
bool bedrock_put_media(struct bedrock_writer *w, const struct llm_media *m);
/* That member of a block; false: it has none. */
bool bedrock_read_media(yyjson_val *block, struct llm_media *m);
/* "image/png" for "png"; {NULL, 0}: not known. */
struct span bedrock_mime(enum llm_media_kind kind, struct span format);

/* ---- answers ---- */

/* false: not a word of this format. */
bool bedrock_stop_read(struct span word, enum llm_stop *out);

bool bedrock_read_event(struct reading *r, struct span name, struct span data);
bool bedrock_read_end(struct reading *r);
bool bedrock_read_answer(struct reading *r, yyjson_val *root);

/*
 * An event is written as the API reference has it, {"contentBlockDelta": {...}}, on a line of its
 * own: the member's name is the frame's ":event-type", its value the payload.
 */
bool bedrock_write_event(struct writing *w, const struct llm_event *ev, struct buf *out);
bool bedrock_write_answer(struct writing *w, const struct llm_message *m, struct buf *out);

/* ---- errors ---- */

/* An exception of a stream, or an error object under status 200; false is returned always. */
bool bedrock_take_error(struct reading *r, struct span name, yyjson_val *root, struct span data);
/* Whether a document is an error of AWS's: it has a message or a type of one. */
bool bedrock_has_error(yyjson_val *root);
/* Whether the event's name is that of an exception or of an error that is not modelled. */
bool bedrock_is_error(struct span name);
