/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * prices - what a public price list says of the models that we have a name for.
 *
 * Three formats, told apart by their shape: LiteLLM's model_prices_and_context_window.json,
 * pydantic's genai-prices data.json, models.dev's api.json. One file a format turns its members
 * into entries; providers.c says whose models are whose. Prices go from their decimal text to
 * integers, no doubles. Pure; nothing here knows what we hold already (merge.h).
 */
#include "meaning/llm/catalog.h"

#define PRICES_MAX_BYTES ((size_t)32 << 20) /* of a list's text; the largest has 3 MB */

enum prices_format { PRICES_LITELLM, PRICES_GENAI, PRICES_MODELS_DEV };

/* Why a model of a list is left out: no error, it has no place with us. */
enum prices_skip {
	PRICES_SKIP_PROVIDER, /* of a provider without a prefix here */
	PRICES_SKIP_RETIRED,
	PRICES_SKIP_KIND,    /* speech, ranking, video ... */
	PRICES_SKIP_VARIANT, /* a region or size in its name: nobody calls it so */
	PRICES_SKIP_NO_PRICE,
	PRICES_SKIP_OTHER_PRICE, /* one that the catalogue's form cannot say */
	PRICES_SKIP_TWICE,
	PRICES_SKIP_COUNT
};

struct prices_entry {
	struct span id;                       /* ours: "openai/gpt-4o-mini" */
	struct span api, name;                /* name: may be empty */
	struct span geolocation;              /* of models that are new to us */
	bool data_retention;                  /* the same */
	int64_t created;                      /* 0: not said */
	int64_t context_window, max_output;   /* 0: not said */
	bool is_input_window;                 /* how long the input may be, not all together */
	unsigned can, says;                   /* abilities; those of which something is said */
	int n_rows;                           /* 1 at least, ascending by above_tokens */
	struct llm_price rows[LLM_MAX_TIERS]; /* LLM_PRICE_UNKNOWN: not said */
	struct span wrong;                    /* why it cannot be taken; empty: it can */
	int place;                            /* in the list */
};

struct prices_list {
	enum prices_format format;
	struct prices_entry *v; /* ascending by id, each there once */
	int n, cap;
	int skipped[PRICES_SKIP_COUNT];
	struct arena arena;
};

/*
 * `today`: "2026-11-23", for prices with a beginning and models with an end. Done with
 * prices_list_done, also after a failure. ERR_BAD_JSON says what is wrong with the text.
 */
bool prices_list_read(
	struct span json, struct span today, struct prices_list *list, struct err *err);
void prices_list_done(struct prices_list *list);

const char *prices_format_name(enum prices_format format);
const char *prices_skip_name(enum prices_skip skip); /* "unknown_provider" */
const char *prices_skip_text(enum prices_skip skip); /* "of unknown providers" */

/* The prefixes of which lists know models, "openai"; ends with NULL. */
#define PRICES_MAX_PREFIXES 64
void prices_prefixes(const char *names[PRICES_MAX_PREFIXES + 1]);
