/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * gemini - Google's generateContent, as the Gemini API and Vertex AI have it.
 *
 * A format of providers: clients do not speak it, but both directions are here, so that what is
 * written can be read again. Members are written in camelCase; read in both spellings, as the API
 * does. For this folder only. Sources: Gemini API reference v1beta (GenerateContentRequest,
 * Schema, FunctionCallingConfig, ThinkingConfig, UsageMetadata, FinishReason); "Thought
 * signatures", "Structured output", "Grounding with Google Search" of its guide; google.rpc
 * error_details.
 */
#include "meaning/dialect/codec.h"
#include "meaning/dialect/shared.h"

extern const struct codec codec_gemini;

/* What the name of a model says about what it takes. */
struct gemini_model {
	int generation; /* 20 for 2.0, 25 for 2.5, 30 for 3; names that tell nothing count as 25 */
	bool flash, lite, pro, image;
	bool needs_signature; /* refuses calls in the history that lost their signature */
};
void gemini_model_read(struct span name, struct gemini_model *out);

/* The member by either of its names; NULL when absent or null. */
yyjson_val *gemini_get(yyjson_val *object, const char *camel, const char *snake);
bool gemini_get_str(yyjson_val *object, const char *camel, const char *snake, struct span *out);

/* ---- names of tools ---- */

/* As the API takes it: at most 64 letters, digits, '_', '-', the first no digit. */
struct span gemini_fit_name(struct arena *a, struct span name);
/* The other way, for a name in an answer. */
struct span gemini_real_name(struct arena *a, const struct llm_request *q, struct span name);

/* ---- schemas ---- */

/*
 * Writes a JSON Schema as the model takes it, under `json_key` as JSON Schema of the subset that
 * the API knows, or, for models before 2.5 and schemas that subset cannot hold, under
 * `reduced_key` as the API's own Schema: references inlined (a recursion ends as an object), one
 * type a node, oneOf as anyOf, allOf merged. What has no counterpart is left out.
 */
void gemini_put_schema(struct buf *b, const char *json_key, const char *reduced_key,
	yyjson_val *schema, const struct gemini_model *model);
/* An object without any property: the API wants no schema for it. */
bool gemini_schema_is_empty(yyjson_val *schema);

/* ---- requests ---- */

struct gemini_writer {
	const struct llm_request *q;
	const struct llm_target *t;
	struct arena *a;
	struct buf *out;
	struct llm_notes *notes;
	struct err *err;
	struct gemini_model model;
};

bool gemini_put_contents(struct gemini_writer *w);
bool gemini_put_tools(struct gemini_writer *w);  /* tools and toolConfig */
bool gemini_put_config(struct gemini_writer *w); /* generationConfig and its neighbours */
bool gemini_put_media(struct gemini_writer *w, const struct llm_media *m); /* data member */
/* True: the schema of the answer cannot stand beside tools, and is asked for in words. */
bool gemini_format_in_words(const struct gemini_writer *w);

bool gemini_read_request(yyjson_val *root, struct arena *a, struct llm_request *q, struct err *err);

/* ---- answers ---- */

bool gemini_read_event(struct reading *r, struct span name, struct span data);
bool gemini_read_end(struct reading *r);
bool gemini_read_answer(struct reading *r, yyjson_val *root);

/* The text of an answer, for the offsets of its sources. Kept only where the web is searched. */
struct gemini_text {
	char *p;
	size_t n, cap;
	bool lost; /* too long to be kept */
};

void gemini_keep_text(struct arena *a, struct gemini_text *text, struct span piece);
/* The searches that an answer's groundingMetadata names; once. */
bool gemini_read_searches(struct reading *r, yyjson_val *grounding);
/* The sources of the answer's text. */
/* logprobsResult, as OpenAI's APIs have it; bytes are made of the token. */
bool gemini_read_logprobs(struct reading *r, yyjson_val *result);
bool gemini_read_sources(struct reading *r, yyjson_val *grounding, const struct gemini_text *text);
bool gemini_read_citations(
	struct reading *r, yyjson_val *citations, const struct gemini_text *text);

bool gemini_write_event(struct writing *w, const struct llm_event *ev, struct buf *out);
bool gemini_write_answer(struct writing *w, const struct llm_message *m, struct buf *out);

/* ---- errors ---- */

void gemini_read_error(int status, struct span body, const struct json_scratch *scratch,
	struct err *err, char native_type[64], char native_code[64]);
/* An error object under status 200 or in a stream; false is returned always. */
bool gemini_take_error(struct reading *r, yyjson_val *root);
