/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * ask - what a request wants, read from its body once.
 *
 * The spans and values point into the document and the caller's buffers and live as long as those.
 * What is wrong with the request is a `fail` that the format writes in its own shape. Pure.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/json.h"
#include "sim/script.h"

enum op {
	OP_CHAT,
	OP_EMBED,
	OP_MODELS,
	OP_MODEL,
	OP_MESSAGES,
	OP_COUNT_TOKENS,
	OP_RESPONSES,
	OP_GENERATE,
	OP_CONVERSE,
	OP_COHERE,
	OP_UNKNOWN
};

/* What is answered with a model's words. */
static inline bool op_is_text(enum op op)
{
	return op == OP_CHAT || op == OP_MESSAGES || op == OP_RESPONSES || op == OP_GENERATE ||
	       op == OP_CONVERSE || op == OP_COHERE;
}

struct fail {
	int status;               /* 0: nothing is wrong */
	const char *code, *param; /* NULL: none */
	char message[320];
};

void fail_set(struct fail *f, int status, const char *code, const char *param, const char *format,
	...) __attribute__((format(printf, 5, 6)));

#define ASK_MAX_TOOLS 128

struct ask {
	enum op op;
	struct span asked_model; /* as sent, with its script */
	struct span model;       /* without */
	struct span script_text;
	uint64_t seed;
	int64_t prompt_bytes;
	int64_t max_tokens; /* -1: none */
	bool stream, include_usage, thinking, wants_base64;
	yyjson_val *last_user; /* content of the last user message, or NULL */
	bool after_tool;       /* the last message holds a tool's result */
	yyjson_val *tools;     /* array or NULL */
	bool tool_forced, tool_none;
	struct span tool_name; /* the one tool that was chosen, or {NULL, 0} */
	yyjson_val *schema; /* the answer must be JSON of it (Converse: a text of JSON), or NULL */
	yyjson_val *input;  /* embeddings */
	unsigned dimensions;
	struct fail fail;
};

/*
 * Reads the parsed body (root may be NULL: the body was no JSON, and why says so). model: from the
 * address, for formats that name it there; else empty.
 */
void ask_read(
	struct ask *a, enum op op, struct span model, yyjson_val *root, const struct err *why);

/* The last user text, its parts joined, appended to `out`. */
void ask_user_text(const struct ask *a, struct buf *out);

struct ask_tool {
	struct span name;
	yyjson_val *schema; /* or NULL */
};
/*
 * The tools the simulated model calls; 0 when it answers with text. Forced ones always; otherwise
 * not right behind a tool's result; and in the Anthropic format only if the user's text speaks of a
 * tool.
 */
int ask_tools(const struct ask *a, const struct script *s, struct span user_text,
	struct ask_tool out[ASK_MAX_TOOLS]);
/* Arguments that fit the schema's required and other properties, from the seed. */
void ask_tool_args(const struct ask_tool *t, uint64_t seed, struct buf *out);

/* The JSON answer that was asked for, from the seed; false: none was, or its schema is no JSON. */
bool ask_document(const struct ask *a, struct buf *out);

/* Embedding inputs: how many, and each one's hash and tokens. */
struct ask_input {
	uint64_t seed;
	int64_t tokens;
};
#define ASK_MAX_INPUTS 2048
int ask_inputs(const struct ask *a, struct ask_input out[ASK_MAX_INPUTS]);
