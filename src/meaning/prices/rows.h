/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* rows - what the readers of the formats share; private to this folder. */
#include "machine/base/json.h"
#include "meaning/prices/prices.h"

/* Whose models are whose: a row a prefix. Names may be several, "a|b"; "a-*" is a beginning. */
struct prices_provider {
	const char *prefix;
	const char *litellm,
		*litellm_cut;           /* its name there; what stands before its models' names */
	const char *genai, *models_dev; /* NULL: not there */
	const char *geolocation;        /* NULL: global */
	bool data_retention;
	bool is_flat; /* its models have no '/' in their names */
};

/* NULL: none of ours. */
const struct prices_provider *prices_provider_find(enum prices_format format, struct span name);

/*
 * A new entry of that name with the provider; NULL when it is left out (and counted), or there is
 * no memory (`list->arena.failed`).
 */
struct prices_entry *prices_add(
	struct prices_list *list, const struct prices_provider *p, struct span name);
void prices_skip(struct prices_list *list, enum prices_skip why);

/* The row of prompts above so many tokens; NULL: too many rows, the entry is wrong then. */
struct llm_price *prices_row(struct prices_list *list, struct prices_entry *e, int64_t above);

/* The entry cannot be taken; the first reason stays. */
void prices_wrong(struct prices_list *list, struct prices_entry *e, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * A price in USD times 10^shift to nano-USD a million tokens: 0 for USD a million, 6 for USD a
 * token. Absent or null: nothing happens.
 */
void prices_take(struct prices_list *list, struct prices_entry *e, int64_t *price, yyjson_val *v,
	int shift, const char *member);
/* Is something said there, right or wrong? */
bool prices_has(yyjson_val *v);
/* A number of tokens. */
void prices_take_count(struct prices_list *list, struct prices_entry *e, int64_t *count,
	yyjson_val *v, const char *member);
/* true or false of a model; other values say nothing. */
void prices_take_ability(struct prices_entry *e, unsigned can, yyjson_val *v);

/* By its name: lists that do not say it otherwise. */
bool prices_embeds(struct span id);
bool prices_is_claude(const struct prices_entry *e);
/* "2025-08-07" or "2025-08" to seconds since 1970; 0: no date. */
int64_t prices_date(struct span text);

/* The formats: true when the root has the shape, and the list is filled. */
bool prices_is_litellm(yyjson_val *root);
void prices_read_litellm(yyjson_val *root, struct span today, struct prices_list *list);
bool prices_is_genai(yyjson_val *root);
void prices_read_genai(yyjson_val *root, struct span today, struct prices_list *list);
bool prices_is_models_dev(yyjson_val *root);
void prices_read_models_dev(yyjson_val *root, struct prices_list *list);
