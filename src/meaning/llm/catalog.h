/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * catalog - what is known of models: windows, prices, capabilities.
 *
 * Read from the JSON in catalog/ (embedded in the binary), then overridden by the configuration.
 * Prices are integers: nano-USD per million tokens (0.15 USD a million = 150,000,000). A price
 * that is not known is LLM_PRICE_UNKNOWN, never 0. Immutable once built.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/arena.h"
#include "machine/base/buf.h"
#include "machine/base/err.h"

#define LLM_PRICE_UNKNOWN ((int64_t)-1)
#define LLM_MAX_TIERS 4

/* For prompts above `above_tokens` the whole request is priced by this row. */
struct llm_price {
	int64_t above_tokens;                                              /* 0 for the base row */
	int64_t input, output, cache_read, cache_write_5m, cache_write_1h; /* nano-USD a million */
	int64_t input_audio, output_audio;
	int64_t characters; /* spoken: nano-USD a million */
	int64_t sound_hour; /* listened to: nano-USD an hour */
	int64_t picture;    /* made: nano-USD each */
};

/* Where a model's prices come from. */
enum llm_price_source {
	LLM_PRICE_NOWHERE, /* the model is not known */
	LLM_PRICE_CATALOG, /* what the program came with */
	LLM_PRICE_IMPORTED,
	LLM_PRICE_CONFIGURED,
	LLM_PRICE_SOURCE_COUNT
};
const char *llm_price_source_name(enum llm_price_source s); /* "catalog" */

enum llm_capability {
	LLM_CAN_CACHE = 1 << 0,
	LLM_CAN_SEE = 1 << 1,
	LLM_CAN_CALL_TOOLS = 1 << 2,
	LLM_CAN_REASON = 1 << 3,
	LLM_CAN_USE_COMPUTER = 1 << 4,
	LLM_CAN_SEARCH = 1 << 5,
	LLM_CAN_MAKE_IMAGES = 1 << 6,
	LLM_CAN_JSON_OBJECT = 1 << 7,
	LLM_CAN_JSON_SCHEMA = 1 << 8,
	LLM_CAN_ROLE_DEVELOPER = 1 << 9,
};

struct llm_model {
	struct span
		id; /* "openai/gpt-4o-mini": provider type's prefix, then the provider's own name */
	struct span api;                    /* "chat", "embedding", "image" */
	struct span name, description;      /* for people; may be empty */
	struct span geolocation;            /* "global", "eu", ... */
	int64_t created;                    /* seconds since 1970; 0 unknown */
	int64_t context_window, max_output; /* tokens; 0: unknown */
	unsigned can;                       /* llm_capability */
	int n_tiers;                        /* 1 at least; rows ascending by above_tokens */
	struct llm_price price[LLM_MAX_TIERS];
	bool data_retention;
	enum llm_price_source source; /* not part of the JSON, nor of llm_model_eq */
};

struct catalog;

struct catalog *catalog_new(void);
/*
 * Into an empty catalogue. `json` is the text of catalog/models.json's form, documented in
 * catalog/README.md. ERR_CONFIG says the line, and the model.
 */
bool catalog_read(struct catalog *c, struct span json, struct err *err);
/* The same form: a model a line, in order of id, nothing that says no more than its absence. */
bool catalog_write(const struct catalog *c, struct buf *out);
void catalog_write_model(const struct llm_model *m, struct buf *out);
/* Adds or replaces. The spans are copied. */
bool catalog_put(struct catalog *c, const struct llm_model *m, struct err *err);
/* All of `from`, as catalog_put; their prices are imported ones. */
bool catalog_merge(struct catalog *c, const struct catalog *from, struct err *err);
void catalog_free(struct catalog *c);

/* Exact id, case-sensitive. An "@region" behind it is tried first with, then without. NULL: not
 * known. */
const struct llm_model *catalog_find(const struct catalog *c, struct span id);
/* The same without that second look. */
const struct llm_model *catalog_find_exact(const struct catalog *c, struct span id);
int catalog_count(const struct catalog *c);
const struct llm_model *catalog_at(const struct catalog *c, int i); /* in order of id */

/* A model of which nothing is known but its name. */
struct llm_model llm_model_unknown(struct span id);
bool llm_model_eq(const struct llm_model *a, const struct llm_model *b);
/* The word of the ability 1 << i: "cache"; NULL behind the last. */
const char *llm_capability_name(int i);

/* What configuration says of a model; what it names is taken, the catalogue's rest stays. */
struct llm_override {
	struct span id;                     /* under the provider's configured name */
	struct span like;                   /* its id under the type's prefix, or empty */
	int64_t context_window, max_output; /* -1: not named */
	const char *input, *output, *cache_read, *cache_write; /* USD a million, or NULL */
	const char *characters, *sound_hour, *picture;
};

/* ERR_BAD_REQUEST, with the member in err's param, when a price is none. */
bool catalog_override(struct catalog *c, const struct llm_override *o, struct err *err);

/* "0.15" USD a million tokens to nano-USD a million; at most 9 decimals, no sign, no exponent. */
bool price_read(struct span text, int64_t *nusd_per_million, struct err *err);
/* nano-USD as decimal USD without trailing zeros: 198000 -> "0.000198". Returns a span of `out`. */
struct span price_write(int64_t nusd, char out[32]);

/* The prices of a row by name, in the order in which they are written; NULL behind the last. */
const char *llm_price_name(int i);
int64_t *llm_price_at(struct llm_price *p, int i);

extern const struct span catalog_embedded; /* catalog/models.json, from the build */
