/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include "meaning/prices/merge.h"

struct diff {
	prices_on_member on_member;
	void *user;
};

static void text(const struct diff *d, const char *member, struct span was, struct span becomes)
{
	if (!span_eq(was, becomes))
		d->on_member(d->user, span_of(member), was, becomes);
}

static void number(const struct diff *d, const char *member, int64_t was, int64_t becomes)
{
	char a[24], b[24];
	int n = snprintf(a, sizeof(a), "%" PRId64, was);
	int m = snprintf(b, sizeof(b), "%" PRId64, becomes);

	text(d, member, span_from(a, was > 0 ? (size_t)n : 0),
		span_from(b, becomes > 0 ? (size_t)m : 0));
}

static void ability(const struct diff *d, unsigned was, unsigned becomes)
{
	for (int i = 0; llm_capability_name(i) != NULL; i++) {
		unsigned bit = 1u << i;

		text(d, "can", was & bit ? span_of(llm_capability_name(i)) : SPAN(""),
			becomes & bit ? span_of(llm_capability_name(i)) : SPAN(""));
	}
}

static void price(const struct diff *d, int i, struct llm_price was, struct llm_price becomes)
{
	int64_t above = was.above_tokens > 0 ? was.above_tokens : becomes.above_tokens;
	int64_t then = *llm_price_at(&was, i), now = *llm_price_at(&becomes, i);
	char member[64], a[32], b[32];

	snprintf(member, sizeof(member), above > 0 ? "%s above %" PRId64 : "%s", llm_price_name(i),
		above);
	text(d, member, then == LLM_PRICE_UNKNOWN ? SPAN("") : price_write(then, a),
		now == LLM_PRICE_UNKNOWN ? SPAN("") : price_write(now, b));
}

/* Row by row of both, in order of length. */
static void prices(
	const struct diff *d, const struct llm_model *was, const struct llm_model *becomes)
{
	const struct llm_price none = llm_model_unknown(SPAN("")).price[0];

	for (int i = 0, j = 0; i < was->n_tiers || j < becomes->n_tiers;) {
		int64_t a = i < was->n_tiers ? was->price[i].above_tokens : INT64_MAX;
		int64_t b = j < becomes->n_tiers ? becomes->price[j].above_tokens : INT64_MAX;

		for (int k = 0; llm_price_name(k) != NULL; k++)
			price(d, k, a <= b ? was->price[i] : none,
				b <= a ? becomes->price[j] : none);
		i += a <= b;
		j += b <= a;
	}
}

void prices_diff(const struct llm_model *was, const struct llm_model *becomes,
	prices_on_member on_member, void *user)
{
	const struct diff d = {on_member, user};

	text(&d, "api", was->api, becomes->api);
	text(&d, "name", was->name, becomes->name);
	number(&d, "created", was->created, becomes->created);
	number(&d, "context_window", was->context_window, becomes->context_window);
	number(&d, "max_output", was->max_output, becomes->max_output);
	text(&d, "geolocation", was->geolocation, becomes->geolocation);
	ability(&d, was->can, becomes->can);
	prices(&d, was, becomes);
}
