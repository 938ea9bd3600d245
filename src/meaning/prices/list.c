/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "machine/base/text.h"
#include "meaning/prices/decimal.h"
#include "meaning/prices/rows.h"

#define MAX_ENTRIES 10000
#define STEP_ENTRIES 500
#define MAX_NAME_BYTES 200
#define MAX_ABOVE 100000000 /* tokens; no window is larger */
#define ARENA_BYTES ((size_t)64 << 20)

/* ---- entries ---- */

void prices_skip(struct prices_list *list, enum prices_skip why)
{
	list->skipped[why]++;
}

void prices_wrong(struct prices_list *list, struct prices_entry *e, const char *format, ...)
{
	char text[256];
	va_list args;

	if (e->wrong.n > 0)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	e->wrong = arena_copy(&list->arena, text_head(span_of(text), sizeof(text) - 1));
}

/* Bedrock's profiles begin with where they run: "eu.anthropic.claude-...". */
static const char *profile_region(struct span name)
{
	static const struct {
		const char *start, *region;
	} places[] = {{"us.", "us"}, {"eu.", "eu"}, {"apac.", "ap"}, {"jp.", "ap"}, {"au.", "ap"}};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (span_starts(name, span_of(places[i].start)))
			return places[i].region;
	return "global";
}

static bool is_plain(struct span name)
{
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= 0x20 || name.p[i] == 0x7f)
			return false;
	return name.n > 0 && name.n <= MAX_NAME_BYTES && text_is_utf8(name);
}

static struct prices_entry *grow(struct prices_list *list)
{
	if (list->n == list->cap) {
		int cap = list->cap + STEP_ENTRIES;
		struct prices_entry *v = cap <= MAX_ENTRIES
						 ? realloc(list->v, (size_t)cap * sizeof(*list->v))
						 : NULL;

		if (v == NULL) {
			list->arena.failed = true;
			return NULL;
		}
		list->v = v;
		list->cap = cap;
	}
	return &list->v[list->n++];
}

struct prices_entry *prices_add(
	struct prices_list *list, const struct prices_provider *p, struct span name)
{
	const char *region = p->geolocation != NULL ? p->geolocation : "global";
	struct prices_entry *e;

	if (p->is_flat && span_find_char(name, '/') >= 0) {
		prices_skip(list, PRICES_SKIP_VARIANT);
		return NULL;
	}
	e = grow(list);
	if (e == NULL)
		return NULL;
	if (strcmp(p->prefix, "bedrock") == 0)
		region = profile_region(name);
	*e = (struct prices_entry){.api = SPAN("chat"),
		.geolocation = span_of(region),
		.data_retention = p->data_retention,
		.n_rows = 1,
		.rows[0] = llm_model_unknown(name).price[0],
		.place = list->n};
	e->id = arena_printf(
		&list->arena, "%s/%.*s", p->prefix, SPAN_ARG(text_head(name, MAX_NAME_BYTES)));
	if (!is_plain(name))
		prices_wrong(list, e, "its name is not 1 to %d characters without blanks",
			MAX_NAME_BYTES);
	return e;
}

struct llm_price *prices_row(struct prices_list *list, struct prices_entry *e, int64_t above)
{
	int at = 0;

	while (at < e->n_rows && e->rows[at].above_tokens < above)
		at++;
	if (at < e->n_rows && e->rows[at].above_tokens == above)
		return &e->rows[at];
	if (above > MAX_ABOVE) {
		prices_wrong(list, e, "price: a row above %lld tokens", (long long)above);
		return NULL;
	}
	if (e->n_rows == LLM_MAX_TIERS) {
		prices_wrong(list, e, "price: more than %d rows by length", LLM_MAX_TIERS);
		return NULL;
	}
	memmove(&e->rows[at + 1], &e->rows[at], (size_t)(e->n_rows - at) * sizeof(*e->rows));
	e->n_rows++;
	e->rows[at] = llm_model_unknown(e->id).price[0];
	e->rows[at].above_tokens = above;
	return &e->rows[at];
}

bool prices_embeds(struct span id)
{
	while (id.n > 0 && !span_starts_nocase(id, SPAN("embed")))
		id = span_skip(id, 1);
	return id.n > 0;
}

bool prices_is_claude(const struct prices_entry *e)
{
	return span_find(e->id, SPAN("claude")) >= 0;
}

/* ---- values ---- */

static const char *reason(enum decimal result)
{
	switch (result) {
	case DECIMAL_NEGATIVE:
		return "is below 0";
	case DECIMAL_LARGE:
		return "is too large";
	case DECIMAL_FINE:
		return "has too many decimals";
	default:
		return "is not a number";
	}
}

bool prices_has(yyjson_val *v)
{
	return v != NULL && !yyjson_is_null(v);
}

static bool take(struct prices_list *list, struct prices_entry *e, yyjson_val *v, int shift,
	const char *member, int64_t *out)
{
	struct span text = json_number(v);
	enum decimal result;

	if (!prices_has(v))
		return false;
	result = text.p != NULL ? decimal_read(text, shift, out) : DECIMAL_NONE;
	if (result == DECIMAL_OK)
		return true;
	if (text.p == NULL && yyjson_is_str(v))
		text = (struct span){yyjson_get_str(v), yyjson_get_len(v)};
	prices_wrong(list, e, "%s: %.*s %s", member,
		SPAN_ARG(text.n > 0 ? text_head(text, 40) : SPAN("it")), reason(result));
	return false;
}

void prices_take(struct prices_list *list, struct prices_entry *e, int64_t *price, yyjson_val *v,
	int shift, const char *member)
{
	take(list, e, v, shift + 9, member, price);
}

void prices_take_count(struct prices_list *list, struct prices_entry *e, int64_t *count,
	yyjson_val *v, const char *member)
{
	int64_t n;

	if (!take(list, e, v, 0, member, &n))
		return;
	if (n == 0)
		prices_wrong(list, e, "%s: 0 is below 1", member);
	else
		*count = n;
}

void prices_take_ability(struct prices_entry *e, unsigned can, yyjson_val *v)
{
	if (!yyjson_is_bool(v))
		return;
	e->says |= can;
	e->can = yyjson_is_true(v) ? e->can | can : e->can & ~can;
}

/* Days from 1970 of the Gregorian calendar. */
static int64_t days(int64_t year, int64_t month, int64_t day)
{
	int64_t y = year - (month <= 2), era = y / 400, of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int64_t prices_date(struct span text)
{
	uint64_t part[3] = {0, 1, 1};
	struct span rest = text;

	for (int i = 0; i < 3 && rest.n > 0; i++)
		if (!text_u64(span_cut(&rest, '-'), &part[i]))
			return 0;
	if (rest.n > 0 || part[0] < 1970 || part[0] > 9999 || part[1] < 1 || part[1] > 12 ||
		part[2] < 1 || part[2] > 31)
		return 0;
	return days((int64_t)part[0], (int64_t)part[1], (int64_t)part[2]) * 86400;
}

/* ---- the list ---- */

/* What a longer prompt's row does not say is as for shorter ones. A free cache is none said. */
static void finish(struct prices_entry *e)
{
	for (int row = 0; row < e->n_rows; row++) {
		struct llm_price *p = &e->rows[row];

		if (p->cache_read == 0 && p->input > 0)
			p->cache_read = LLM_PRICE_UNKNOWN;
		if (p->cache_write_5m == 0)
			p->cache_write_5m = LLM_PRICE_UNKNOWN;
		if (p->cache_write_1h == 0)
			p->cache_write_1h = LLM_PRICE_UNKNOWN;
		for (int i = 0; row > 0 && llm_price_name(i) != NULL; i++)
			if (*llm_price_at(p, i) == LLM_PRICE_UNKNOWN)
				*llm_price_at(p, i) = *llm_price_at(&e->rows[row - 1], i);
		if (p->cache_read != LLM_PRICE_UNKNOWN && p->cache_read < p->input) {
			e->says |= LLM_CAN_CACHE;
			e->can |= LLM_CAN_CACHE;
		}
	}
}

static int by_id(const void *a, const void *b)
{
	const struct prices_entry *x = a, *y = b;
	int order = memcmp(x->id.p, y->id.p, x->id.n < y->id.n ? x->id.n : y->id.n);

	if (order == 0)
		order = (x->id.n > y->id.n) - (x->id.n < y->id.n);
	return order != 0 ? order : (x->place > y->place) - (x->place < y->place);
}

/* Of two entries with one id the list's first one counts. */
static void sort(struct prices_list *list)
{
	int kept = 0;

	if (list->n > 0)
		qsort(list->v, (size_t)list->n, sizeof(*list->v), by_id);
	for (int i = 0; i < list->n; i++) {
		if (kept > 0 && span_eq(list->v[kept - 1].id, list->v[i].id))
			prices_skip(list, PRICES_SKIP_TWICE);
		else
			list->v[kept++] = list->v[i];
	}
	list->n = kept;
}

static bool read_root(
	yyjson_val *root, struct span today, struct prices_list *list, struct err *err)
{
	if (prices_is_genai(root)) {
		list->format = PRICES_GENAI;
		prices_read_genai(root, today, list);
	} else if (prices_is_litellm(root)) {
		list->format = PRICES_LITELLM;
		prices_read_litellm(root, today, list);
	} else if (prices_is_models_dev(root)) {
		list->format = PRICES_MODELS_DEV;
		prices_read_models_dev(root, list);
	} else {
		return err_set(err, ERR_BAD_JSON,
			"it is JSON, but no price list that is known here: neither LiteLLM's "
			"(models with \"litellm_provider\"), nor genai-prices' (an array of "
			"providers with \"models\"), nor models.dev's (providers by name, with "
			"\"models\" by name)");
	}
	return true;
}

bool prices_list_read(
	struct span json, struct span today, struct prices_list *list, struct err *err)
{
	yyjson_doc *doc;
	bool ok;

	*list = (struct prices_list){0};
	arena_init(&list->arena, ARENA_BYTES);
	if (json.n > PRICES_MAX_BYTES)
		return err_set(
			err, ERR_TOO_LARGE, "a price list has at most %zu bytes", PRICES_MAX_BYTES);
	doc = json_read_raw(NULL, json, false, err);
	if (doc == NULL)
		return false;
	ok = read_root(yyjson_doc_get_root(doc), today, list, err);
	for (int i = 0; ok && i < list->n; i++) {
		struct prices_entry *e = &list->v[i];

		finish(e);
		e->name = arena_copy(&list->arena, text_head(e->name, MAX_NAME_BYTES));
	}
	json_free(doc);
	if (ok && list->arena.failed)
		return err_set(err, ERR_NO_MEMORY,
			"there is no memory for the list, or it has more than %d models that are "
			"known "
			"here",
			MAX_ENTRIES);
	if (ok)
		sort(list);
	return ok;
}

void prices_list_done(struct prices_list *list)
{
	free(list->v);
	arena_done(&list->arena);
	*list = (struct prices_list){0};
}

const char *prices_format_name(enum prices_format format)
{
	static const char *const names[] = {"litellm", "genai-prices", "models.dev"};

	return names[format];
}

const char *prices_skip_name(enum prices_skip skip)
{
	static const char *const names[PRICES_SKIP_COUNT] = {"unknown_provider", "retired",
		"other_kind", "variant", "no_price", "other_price", "twice"};

	return names[skip];
}

const char *prices_skip_text(enum prices_skip skip)
{
	static const char *const texts[PRICES_SKIP_COUNT] = {"of unknown providers", "retired",
		"of another kind", "regional variants", "without a price for tokens",
		"with prices of another form", "named twice"};

	return texts[skip];
}
