/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * target - what a request is written for: one model at one provider, and how that provider differs
 * from its format's documentation.
 *
 * Quirks are data: a row of a provider type sets the few that it needs, zero is the documented
 * behaviour. wire-format facts: each provider's API reference.
 */
#include "machine/base/err.h"
#include "meaning/llm/catalog.h"
#include "meaning/llm/request.h"

enum llm_reasoning_style {
	LLM_REASON_EFFORT,   /* reasoning_effort, a word */
	LLM_REASON_NONE,     /* takes no such member */
	LLM_REASON_THINKING, /* thinking {type: enabled | disabled}, and reasoning_effort */
	LLM_REASON_OBJECT,   /* reasoning {effort | max_tokens} (OpenRouter) */
	LLM_REASON_ENABLE,   /* enable_thinking, thinking_budget (Alibaba) */
};

enum llm_reasoning_back {
	LLM_BACK_NO,      /* earlier reasoning is not sent */
	LLM_BACK_CONTENT, /* as reasoning_content of each assistant turn */
	LLM_BACK_DETAILS  /* as reasoning_details, in order (OpenRouter) */
};

enum llm_schema_style {
	LLM_SCHEMA_NATIVE, /* the format's own way to ask for JSON of a schema */
	LLM_SCHEMA_TOOL,   /* one forced tool */
	LLM_SCHEMA_NONE    /* neither: a clear refusal */
};

struct llm_quirks {
	/* Chat Completions and its relatives. */
	bool max_tokens;        /* the cap is called max_tokens, not max_completion_tokens */
	bool no_stream_options; /* refuses stream_options */
	bool no_developer;      /* the role is called system */
	bool no_name;           /* refuses messages[].name */
	bool no_logprobs, no_logit_bias, no_penalties, no_stop, no_n, no_seed;
	bool no_parallel; /* refuses parallel_tool_calls */
	bool no_strict;   /* refuses strict in tools */
	bool no_tools;
	bool no_user, no_metadata, no_store, no_service_tier;
	bool random_seed;       /* seed is called random_seed */
	bool any_for_required;  /* tool_choice "any" */
	bool alternates;        /* user and assistant turns must alternate */
	bool text_only_content; /* content must be a string where it is only text */
	bool tool_ids_9;        /* tool call ids are 9 letters or digits */
	bool reasoning_apart;   /* completion_tokens leaves reasoning out (xAI) */
	bool cache_control;     /* parts, messages and tools may carry cache_control */
	bool top_k;             /* takes top_k */
	enum llm_reasoning_style reasoning;
	enum llm_reasoning_back back;
	enum llm_schema_style schema; /* for response formats with a schema */
	bool no_json_object; /* response_format json_object is refused: asked for in words */

	/* Any format. */
	bool no_url_images, no_url_documents; /* media by address: the gateway fetches it */
	bool no_documents;
	bool no_cache_marks;
	bool no_sampling; /* temperature and its kin are refused */

	/* Anthropic's format elsewhere. */
	bool no_server_tools;
	/* The version stands in the body and the model does not (Vertex); NULL: as documented. */
	const char *body_version;
	/* Gemini's. */
	bool vertex;
};

/* What becomes of a parameter that the target cannot have. */
enum llm_drop {
	LLM_DROP_UNSET,    /* as the next wider setting says; in the end: harmless */
	LLM_DROP_HARMLESS, /* dropped where the answer means the same without it, else an error */
	LLM_DROP_ALL,      /* always dropped */
	LLM_DROP_NONE      /* always an error */
};
extern const char *const llm_drop_names[]; /* by value; UNSET: "" */
bool llm_drop_read(struct span word, enum llm_drop *out);

struct llm_target {
	struct span model;             /* the provider's own name of it */
	struct span provider;          /* configured name: the scope of states */
	const struct llm_model *facts; /* NULL: not in the catalogue */
	const struct llm_quirks *quirks;
	enum llm_drop drop;
	bool auto_cache;   /* set marks where the client set none */
	struct span betas; /* of Anthropic's API, that the client named and this host knows: a,b */
};

#define LLM_MAX_NOTES 24
#define LLM_MAX_BETAS 4

/*
 * What was left out or changed on the way, by codes such as "dropped:seed" or
 * "approx:image_detail", for the field x-sluice-warnings. Texts live as long as the request; a code
 * stands once.
 */
struct llm_notes {
	const char *codes[LLM_MAX_NOTES];
	int n;
	const char *betas[LLM_MAX_BETAS]; /* of Anthropic's API, that the body makes use of */
	int n_betas;
};

void llm_note(struct llm_notes *notes, const char *code);
void llm_need_beta(struct llm_notes *notes, const char *beta); /* a literal */

/* The code for a block of reasoning that is not sent. */
const char *llm_left_out(const struct llm_block *thinking);

/*
 * A parameter that the target cannot have. Drops it with the note, or sets ERR_UNSUPPORTED_PARAM
 * naming `param` and what to do, by target.drop and by `meaning`: leaving it out would change what
 * the answer means. `note` is a literal "dropped:<param>".
 */
bool llm_unsupported(const struct llm_target *t, const char *param, const char *note, bool meaning,
	struct llm_notes *notes, struct err *err);

/* The same for members that no format is known to have; the note names each. */
bool llm_unsupported_unknown(const struct llm_target *t, const struct llm_name *members,
	struct arena *a, struct llm_notes *notes, struct err *err);

/*
 * The same for a tool that another provider runs. Clients of Messages list such tools always and
 * work without them; for others the answer would be another one.
 */
bool llm_unsupported_tool(const struct llm_target *t, const struct llm_tool *tool,
	struct llm_notes *notes, struct err *err);

/* The same for what is no parameter but the conversation itself: never dropped. Always false. */
bool llm_refuse(const struct llm_target *t, const char *param, const char *what, struct err *err);
