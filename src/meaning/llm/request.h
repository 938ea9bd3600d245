/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * request - what a client asks of a model, in no provider's words.
 *
 * The neutral form between formats. A dialect reads a client's body into it, another writes the
 * provider's body from it. Everything is linked in the order of the client's text. Spans hold
 * decoded text and, like the yyjson values, point into the parsed document or the arena: both
 * outlive the request. A yyjson value is a sub-tree that is written again as it stands, with its
 * numbers unchanged (the document was read by json_read_raw). An empty span means "not given"
 * unless p is set.
 */
#include "machine/base/arena.h"
#include "machine/base/json.h"
#include "meaning/llm/op.h"
#include "meaning/llm/state.h"

enum llm_role { LLM_ROLE_SYSTEM, LLM_ROLE_USER, LLM_ROLE_ASSISTANT };

/* Answers three ways to a yes-or-no question. */
enum llm_maybe { LLM_UNSET = -1, LLM_NO = 0, LLM_YES = 1 };

/* A mark "the prompt up to here is worth keeping in the provider's cache". */
enum llm_cache_mark { LLM_CACHE_NONE, LLM_CACHE_5M, LLM_CACHE_1H };

enum llm_media_kind { LLM_MEDIA_IMAGE, LLM_MEDIA_DOCUMENT, LLM_MEDIA_AUDIO, LLM_MEDIA_VIDEO };
enum llm_media_from {
	LLM_FROM_BASE64,  /* data: the base64 text, as the client sent it */
	LLM_FROM_URL,     /* data: an http(s), gs or s3 address */
	LLM_FROM_FILE_ID, /* data: a name in an account at one provider */
	LLM_FROM_TEXT     /* data: plain text (documents) */
};

struct llm_media {
	enum llm_media_kind kind;
	enum llm_media_from from;
	struct span data;
	struct span mime; /* "image/png"; empty: not known */
	struct span name; /* of the file */
	struct span title, context;
	struct span detail; /* "low", "high", "auto" */
	bool citations;     /* the answer is to cite this document */
	enum llm_maker
		maker; /* of FROM_FILE_ID: whose accounts know it; NONE: OpenAI's or one like it */
};

enum llm_block_kind {
	LLM_BLOCK_TEXT,
	LLM_BLOCK_REFUSAL,
	LLM_BLOCK_MEDIA,
	LLM_BLOCK_THINKING,
	LLM_BLOCK_TOOL_CALL,
	LLM_BLOCK_TOOL_RESULT,
	LLM_BLOCK_SEARCH, /* a web search that the provider made by itself */
	LLM_BLOCK_NATIVE  /* of one format alone: written again in that format, else left out */
};

/* Where a piece of an answer comes from. Offsets count Unicode characters of the answer's text. */
struct llm_citation {
	struct span url, title, quote;
	int64_t start, end; /* in the text block; -1: not known */
	int64_t document;   /* index of a document in the request; -1: a web page */
	yyjson_val *native; /* as its format has it, or NULL */
	struct llm_citation *next;
};

struct llm_block {
	enum llm_block_kind kind;
	enum llm_cache_mark cache;
	struct span text; /* TEXT, REFUSAL; THINKING: what may be read of it, maybe empty;
			     SEARCH: the query */
	struct llm_citation *citations; /* TEXT of an assistant */

	struct llm_media media; /* MEDIA */

	/*
	 * THINKING: the signature, or with `redacted` all there is. TOOL_CALL and TEXT: Gemini's
	 * thought signature.
	 */
	struct llm_state state;
	bool redacted;

	/*
	 * TOOL_CALL: args is the JSON text of an object as it came ("" and "{}" are the same), or
	 * with `custom` the free text. TOOL_RESULT: `id` of its call, `name` when known, and its
	 * content: TEXT and MEDIA. SEARCH: id, the query, its results.
	 */
	struct span id, name, args;
	bool custom, is_error;
	struct llm_block *content;

	enum llm_op native_op; /* NATIVE: the operation whose format it is in */
	yyjson_val *native;    /* NATIVE; SEARCH: the results as native_op has them */
	struct llm_block *next;
};

/*
 * Tool results stand in user turns, before what else the user says. System turns stand where the
 * client put them; the leading ones are the system prompt.
 */
struct llm_turn {
	enum llm_role role;
	bool developer; /* a system turn by the role "developer" */
	struct span name;
	struct llm_block *blocks;
	struct llm_turn *next;
};

enum llm_tool_kind {
	LLM_TOOL_FUNCTION,
	LLM_TOOL_CUSTOM, /* takes free text, maybe in a grammar */
	LLM_TOOL_SEARCH, /* web search, hosted by the provider */
	LLM_TOOL_NATIVE  /* hosted, of one format alone */
};

struct llm_tool {
	enum llm_tool_kind kind;
	struct span name, description;
	yyjson_val *schema; /* FUNCTION: JSON Schema object; NULL: takes nothing */
	enum llm_maybe strict;
	enum llm_cache_mark cache;
	yyjson_val *format; /* CUSTOM: a grammar as Chat (nested) or Responses (flat) has it */
	/* SEARCH */
	struct span context_size; /* "low", "medium", "high" */
	int64_t max_uses;         /* -1: not limited */
	yyjson_val *allowed_domains, *blocked_domains, *user_location;
	/* NATIVE, and SEARCH as the client wrote it */
	enum llm_op native_op;
	struct span native_type;
	yyjson_val *native;
	struct llm_tool *next;
};

enum llm_choice {
	LLM_CHOICE_UNSET,
	LLM_CHOICE_AUTO,
	LLM_CHOICE_NONE,
	LLM_CHOICE_REQUIRED,
	LLM_CHOICE_NAMED,      /* choice_names has one */
	LLM_CHOICE_ALLOWED,    /* auto among choice_names */
	LLM_CHOICE_ALLOWED_ONE /* one of choice_names is required */
};

struct llm_name {
	struct span text;
	struct llm_name *next;
};

/* Ascending, so that levels compare. */
enum llm_effort {
	LLM_EFFORT_UNSET,
	LLM_EFFORT_NONE, /* also Requesty's "min" */
	LLM_EFFORT_MINIMAL,
	LLM_EFFORT_LOW,
	LLM_EFFORT_MEDIUM,
	LLM_EFFORT_HIGH,
	LLM_EFFORT_XHIGH,
	LLM_EFFORT_MAX
};

enum llm_thinking {
	LLM_THINKING_UNSET,
	LLM_THINKING_OFF,
	LLM_THINKING_ON,      /* by effort, or by budget when budget >= 0 */
	LLM_THINKING_ADAPTIVE /* the model decides; effort may bound it */
};

struct llm_reasoning {
	enum llm_thinking thinking;
	enum llm_effort effort;
	int64_t budget;      /* tokens; -1: not given */
	struct span summary; /* "auto", "concise", "detailed" */
	enum llm_maybe show; /* whether the text of the reasoning is wanted */
};

enum llm_format_kind { LLM_FORMAT_UNSET, LLM_FORMAT_TEXT, LLM_FORMAT_OBJECT, LLM_FORMAT_SCHEMA };

struct llm_format {
	enum llm_format_kind kind;
	struct span name, description;
	yyjson_val *schema;
	enum llm_maybe strict;
};

struct llm_request {
	struct span model; /* as the client wrote it */
	bool stream, wants_usage;

	struct llm_turn *turns, **turns_end;
	struct llm_tool *tools, **tools_end;
	enum llm_choice choice;
	struct llm_name *choice_names;
	enum llm_maybe parallel; /* several tool calls in one turn */

	struct llm_reasoning reasoning;
	struct llm_format format;

	int64_t max_output; /* tokens, thinking included; -1: not given */
	int64_t n;          /* answers wanted; 1 when not given */
	/* Numbers as the client spelled them; empty: not given. */
	struct span temperature, top_p, top_k, presence_penalty, frequency_penalty, seed;
	struct llm_name *stops;
	yyjson_val *logit_bias;
	enum llm_maybe logprobs;
	int64_t top_logprobs; /* -1: not given */

	struct span verbosity, service_tier, user, prompt_cache_key, prompt_cache_retention;
	yyjson_val *metadata; /* an object of strings */
	enum llm_maybe store;
	enum llm_cache_mark cache; /* automatic marks asked for at the top of the body */
	bool wants_audio;          /* an answer in sound */
	/*
	 * What only a provider that keeps state can do, by its member's name, such as
	 * "previous_response_id"; empty: nothing.
	 */
	struct span needs_state;
	/* Members that no neutral field carries: their names, in order. */
	struct llm_name *unknown;

	/*
	 * What the Responses format echoes in its answers: the members of the client's own body,
	 * or NULL. Only that dialect reads it.
	 */
	yyjson_val *echo;
};

struct llm_request *llm_request_new(struct arena *a); /* NULL without memory */

/*
 * Building: each appends to its list and returns the new element, or NULL without memory (the arena
 * keeps the failure: ask it once at the end).
 */
struct llm_turn *llm_add_turn(struct arena *a, struct llm_request *q, enum llm_role role);
struct llm_block *llm_add_block(struct arena *a, struct llm_block **list, enum llm_block_kind kind);
struct llm_tool *llm_add_tool(struct arena *a, struct llm_request *q, enum llm_tool_kind kind);
struct llm_name *llm_add_name(struct arena *a, struct llm_name **list, struct span text);

/* The tool of that name, or NULL. */
const struct llm_tool *llm_find_tool(const struct llm_request *q, struct span name);
bool llm_is_named(const struct llm_name *list, struct span text);
