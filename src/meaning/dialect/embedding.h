/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * embedding - texts made vectors: what a client of OpenAI's format asks, for providers of any.
 *
 * Numbers keep the spelling in which they came; they are turned into bytes (base64 of
 * little-endian IEEE 754 floats), or bytes into them, only where the client wants the other form.
 * Documents are read with json_read_raw and outlive what was read from them. Pure. Sources: API
 * references of OpenAI (Embeddings), Gemini (batchEmbedContents), Vertex AI (text embeddings,
 * predict), Cohere (v2/embed), Amazon Bedrock (Titan and Nova Embeddings, Cohere Embed).
 */
#include <yyjson.h>
#include "machine/base/arena.h"
#include "machine/base/buf.h"
#include "machine/base/err.h"
#include "machine/base/json.h"

#define EMBED_MAX_INPUTS 2048

/* One text, or the same as tokens of the model's own vocabulary. */
struct embed_input {
	struct span text;
	yyjson_val *tokens; /* an array of whole numbers; NULL: it is text */
	struct embed_input *next;
};

struct embed_request {
	struct span model; /* as the client wrote it */
	struct embed_input *inputs;
	int n_inputs;
	int64_t dimensions; /* -1: the model's own */
	bool base64;        /* how the client wants the vectors */
	struct span user;
	/* "search_document", "search_query", "classification", "clustering"; an extra member that
	 * Cohere's clients know; empty: not given. */
	struct span input_type;
};

struct embed_vector {
	yyjson_val *numbers; /* an array; NULL: */
	struct span base64;
	struct embed_vector *next;
};

/* Zeroed, with input_tokens 0; readers append, so that several calls make one answer. */
struct embed_answer {
	struct embed_vector *vectors, *last;
	int n_vectors;
	int64_t input_tokens; /* as far as said */
	bool tokens_unknown;  /* some answer did not say */
	bool normalize;       /* the vectors may lack the length 1 that they have elsewhere */
};

/* The client's body. false: ERR_BAD_REQUEST naming the member. */
bool embed_read_request(
	yyjson_val *root, struct arena *a, struct embed_request *q, struct err *err);

/*
 * The client's answer, in the form it asked for and in the order of its inputs. `cost` is a JSON
 * number or empty. false: ERR_UPSTREAM_INVALID (not as many vectors as inputs, something in them
 * that is no number), or no memory.
 */
bool embed_write_answer(const struct embed_request *q, const struct embed_answer *answer,
	struct span model, struct span cost, struct buf *out, struct err *err);

/* How one kind of provider is asked. */
struct embed_format {
	/* Texts that one call takes; more need several calls, whose answers are read one after the
	 * other into the same struct. */
	int (*max_inputs)(struct span model);
	/* The body for `n` inputs from `first` on; `model` is the provider's name. */
	bool (*write_request)(const struct embed_request *q, const struct embed_input *first, int n,
		struct span model, struct buf *out, struct err *err);
	/* A 2xx body. false: it holds no vectors (ERR_UPSTREAM_INVALID), or is an error object (its
	 * class). */
	bool (*read_answer)(yyjson_val *root, const struct embed_request *q, struct arena *a,
		struct embed_answer *answer, struct err *err);
};

extern const struct embed_format embed_openai, embed_gemini, embed_vertex, embed_cohere,
	embed_titan, embed_nova, embed_bedrock_cohere;

/* For the formats' own files. */

/* Appends; false without memory. */
bool embed_add(struct arena *a, struct embed_answer *answer, yyjson_val *numbers,
	struct span base64, struct err *err);
/* Adds a count of tokens; negative: it was not said. */
void embed_count(struct embed_answer *answer, int64_t tokens);
/* Sets the error of a body that holds no vectors; always false. */
bool embed_refuse(yyjson_val *root, struct err *err);
/* ERR_UNSUPPORTED_PARAM when one of the inputs is given as tokens. */
bool embed_check_texts(const struct embed_input *first, int n, struct span model, struct err *err);
