/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include "meaning/dialect/gemini/gemini.h"
#include "meaning/llm/names.h"

static bool has(struct span name, const char *word)
{
	return span_find(name, span_of(word)) >= 0;
}

/* Digits at the front of `s`, at most two. */
static int number_at(struct span *s)
{
	int n = 0;

	for (int i = 0; i < 2 && s->n > 0 && isdigit((unsigned char)*s->p); i++) {
		n = n * 10 + (*s->p - '0');
		*s = span_skip(*s, 1);
	}
	return n;
}

void gemini_model_read(struct span name, struct gemini_model *out)
{
	ptrdiff_t at = span_find(name, SPAN("gemini-"));
	struct span rest = at >= 0 ? span_skip(name, (size_t)at + 7) : (struct span){NULL, 0};

	*out = (struct gemini_model){.generation = 25,
		.flash = has(name, "flash"),
		.lite = has(name, "flash-lite"),
		.pro = has(name, "-pro"),
		.image = has(name, "image")};
	if (rest.n > 0 && isdigit((unsigned char)*rest.p)) {
		out->generation = number_at(&rest) * 10;
		if (rest.n > 1 && *rest.p == '.') {
			rest = span_skip(rest, 1);
			out->generation += number_at(&rest) % 10;
		}
	} else if (has(name, "gemma") || has(name, "learnlm")) {
		out->generation = 20;
	}
	/* "gemini-flash-latest" and the like may be of any generation, the newest too. */
	out->needs_signature = out->generation >= 30 || (at >= 0 && has(name, "-latest"));
}

yyjson_val *gemini_get(yyjson_val *object, const char *camel, const char *snake)
{
	yyjson_val *v = json_get(object, camel);

	if (v == NULL && snake != NULL)
		v = json_get(object, snake);
	return yyjson_is_null(v) ? NULL : v;
}

bool gemini_get_str(yyjson_val *object, const char *camel, const char *snake, struct span *out)
{
	yyjson_val *v = gemini_get(object, camel, snake);

	if (!yyjson_is_str(v))
		return false;
	*out = (struct span){yyjson_get_str(v), yyjson_get_len(v)};
	return true;
}

static bool begins_well(struct span name)
{
	return name.n > 0 && (isalpha((unsigned char)*name.p) || *name.p == '_');
}

struct span gemini_fit_name(struct arena *a, struct span name)
{
	struct span fitted = llm_fit_name(a, name, LLM_NAME_MAX);

	if (fitted.p == NULL || begins_well(fitted))
		return fitted;
	if (fitted.n == LLM_NAME_MAX)
		fitted = llm_fit_name(a, name, LLM_NAME_MAX - 1);
	return arena_join(a, (const struct span[]){SPAN("_"), fitted}, 2);
}

struct span gemini_real_name(struct arena *a, const struct llm_request *q, struct span name)
{
	if (q == NULL || name.n == 0 || *name.p != '_' || llm_find_fitted(q, name) != NULL)
		return name;
	for (const struct llm_tool *t = q->tools; t != NULL; t = t->next)
		if (t->name.n > 0 && span_eq(gemini_fit_name(a, t->name), name))
			return t->name;
	return name;
}
