/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/catalog.h"
#include <stdlib.h>
#include "machine/base/json.h"

#define MAX_CATALOG_BYTES ((size_t)64 << 20)
#define MAX_TOKENS_OF_MODEL ((int64_t)1 << 40)
#define PRICE_DECIMALS 9
#define MAX_PRICE_USD 1000000 /* a million tokens; above it is a slip of the pen */

struct catalog {
	struct arena arena;
	struct llm_model *models; /* ascending by id */
	int n, cap;
};

struct catalog *catalog_new(void)
{
	struct catalog *c = calloc(1, sizeof(*c));

	if (c != NULL)
		arena_init(&c->arena, MAX_CATALOG_BYTES);
	return c;
}

void catalog_free(struct catalog *c)
{
	if (c == NULL)
		return;
	arena_done(&c->arena);
	free(c->models);
	free(c);
}

static int compare(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return d != 0 ? d : (a.n > b.n) - (a.n < b.n);
}

static int compare_models(const void *a, const void *b)
{
	return compare(((const struct llm_model *)a)->id, ((const struct llm_model *)b)->id);
}

/* Where the id is, or would be put. */
static int place(const struct catalog *c, struct span id, bool *found)
{
	int low = 0, high = c->n;

	*found = false;
	while (low < high) {
		int mid = low + (high - low) / 2, d = compare(c->models[mid].id, id);

		if (d == 0) {
			*found = true;
			return mid;
		}
		if (d < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool reserve(struct catalog *c, int n, struct err *err)
{
	struct llm_model *models;

	if (n <= c->cap)
		return true;
	models = realloc(c->models, (size_t)n * sizeof(*models));
	if (models == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	c->models = models;
	c->cap = n;
	return true;
}

/* The model with its texts in the catalogue's arena. */
static bool own(struct catalog *c, const struct llm_model *m, struct llm_model *out)
{
	*out = *m;
	out->id = arena_copy(&c->arena, m->id);
	out->api = arena_copy(&c->arena, m->api);
	out->name = arena_copy(&c->arena, m->name);
	out->description = arena_copy(&c->arena, m->description);
	out->geolocation = arena_copy(&c->arena, m->geolocation);
	return !c->arena.failed;
}

bool catalog_put(struct catalog *c, const struct llm_model *m, struct err *err)
{
	struct llm_model copy;
	bool found;
	int at = place(c, m->id, &found);

	if (!found && !reserve(c, c->n < c->cap ? c->n + 1 : c->n + 64, err))
		return false;
	if (!own(c, m, &copy))
		return err_set(err, ERR_NO_MEMORY, NULL);
	if (!found) {
		memmove(&c->models[at + 1], &c->models[at],
			(size_t)(c->n - at) * sizeof(*c->models));
		c->n++;
	}
	c->models[at] = copy;
	return true;
}

static const struct llm_model *find_exact(const struct catalog *c, struct span id)
{
	bool found;
	int at = place(c, id, &found);

	return found ? &c->models[at] : NULL;
}

const struct llm_model *catalog_find(const struct catalog *c, struct span id)
{
	const struct llm_model *m = find_exact(c, id);
	ptrdiff_t region = m == NULL ? span_find_last_char(id, '@') : -1;

	return region > 0 ? find_exact(c, span_head(id, (size_t)region)) : m;
}

int catalog_count(const struct catalog *c)
{
	return c->n;
}

const struct llm_model *catalog_at(const struct catalog *c, int i)
{
	return i >= 0 && i < c->n ? &c->models[i] : NULL;
}

bool price_read(struct span text, int64_t *nusd_per_million, struct err *err)
{
	int64_t whole = 0, part = 0;
	size_t i = 0, decimals = 0;

	for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
		whole = whole * 10 + (text.p[i] - '0');
		if (whole > MAX_PRICE_USD)
			break;
	}
	if (i == 0 || whole > MAX_PRICE_USD)
		goto wrong;
	if (i < text.n && text.p[i] == '.') {
		for (i++; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
			if (++decimals > PRICE_DECIMALS)
				goto wrong;
			part = part * 10 + (text.p[i] - '0');
		}
		if (decimals == 0)
			goto wrong;
	}
	if (i != text.n)
		goto wrong;
	for (; decimals < PRICE_DECIMALS; decimals++)
		part *= 10;
	*nusd_per_million = whole * 1000000000 + part;
	return true;
wrong:
	return err_set(err, ERR_BAD_REQUEST,
		"\"%.*s\" is not a price: USD a million tokens, such as \"0.15\", at most %d "
		"decimals "
		"and %d USD",
		SPAN_ARG(span_head(text, 64)), PRICE_DECIMALS, MAX_PRICE_USD);
}

/* ---- the catalogue's JSON; its form is documented in catalog/README.md ---- */

static const struct {
	const char *name;
	enum llm_capability bit;
} capabilities[] = {
	{"cache", LLM_CAN_CACHE},
	{"see", LLM_CAN_SEE},
	{"tools", LLM_CAN_CALL_TOOLS},
	{"reason", LLM_CAN_REASON},
	{"computer", LLM_CAN_USE_COMPUTER},
	{"search", LLM_CAN_SEARCH},
	{"images", LLM_CAN_MAKE_IMAGES},
	{"json_object", LLM_CAN_JSON_OBJECT},
	{"json_schema", LLM_CAN_JSON_SCHEMA},
	{"developer", LLM_CAN_ROLE_DEVELOPER},
};

static bool wrong(struct span id, struct span key, const char *why, struct err *err)
{
	return err_set(err, ERR_CONFIG, "catalogue: model \"%.*s\": \"%.*s\" %s",
		SPAN_ARG(span_head(id, 128)), SPAN_ARG(span_head(key, 64)), why);
}

static bool read_can(yyjson_val *list, struct llm_model *m, struct err *err)
{
	const size_t known = sizeof(capabilities) / sizeof(capabilities[0]);
	size_t i, max, k;
	yyjson_val *name;

	if (!yyjson_is_arr(list))
		return wrong(m->id, SPAN("can"), "must be an array", err);
	yyjson_arr_foreach(list, i, max, name)
	{
		for (k = 0; k < known && !yyjson_equals_str(name, capabilities[k].name); k++)
			;
		if (k == known)
			return wrong(m->id, SPAN("can"), "names an unknown capability", err);
		m->can |= capabilities[k].bit;
	}
	return true;
}

static int64_t *price_slot(struct llm_price *p, struct span key)
{
	if (span_is(key, "input"))
		return &p->input;
	if (span_is(key, "output"))
		return &p->output;
	if (span_is(key, "cache_read"))
		return &p->cache_read;
	if (span_is(key, "cache_write_5m"))
		return &p->cache_write_5m;
	if (span_is(key, "cache_write_1h"))
		return &p->cache_write_1h;
	if (span_is(key, "input_audio"))
		return &p->input_audio;
	if (span_is(key, "output_audio"))
		return &p->output_audio;
	return NULL;
}

static bool read_price(yyjson_val *object, struct llm_model *m, struct err *err)
{
	struct llm_price p = {0, LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN,
		LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN};
	size_t i, max;
	yyjson_val *k, *v;

	if (!yyjson_is_obj(object) || m->n_tiers == LLM_MAX_TIERS)
		return wrong(m->id, SPAN("price"), "must be objects, at most 4", err);
	yyjson_obj_foreach(object, i, max, k, v)
	{
		struct span key = {yyjson_get_str(k), yyjson_get_len(k)};
		int64_t *slot = price_slot(&p, key);

		if (span_is(key, "above")) {
			if (!json_get_count(object, "above", &p.above_tokens))
				return wrong(m->id, key, "must be a number of tokens", err);
			continue;
		}
		if (slot == NULL)
			return wrong(m->id, key, "is not a price", err);
		if (!yyjson_is_str(v))
			return wrong(m->id, key, "must be decimal text", err);
		if (!price_read((struct span){yyjson_get_str(v), yyjson_get_len(v)}, slot, err))
			return false;
	}
	if (m->n_tiers == 0 ? p.above_tokens != 0
			    : p.above_tokens <= m->price[m->n_tiers - 1].above_tokens)
		return wrong(m->id, SPAN("above"), "must begin at 0 and rise", err);
	m->price[m->n_tiers++] = p;
	return true;
}

static bool read_prices(yyjson_val *list, struct llm_model *m, struct err *err)
{
	size_t i, max;
	yyjson_val *row;

	if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0)
		return wrong(m->id, SPAN("price"), "must be an array of rows", err);
	yyjson_arr_foreach(list, i, max, row) if (!read_price(row, m, err)) return false;
	return true;
}

static struct span *text_slot(struct llm_model *m, struct span key)
{
	if (span_is(key, "id"))
		return &m->id;
	if (span_is(key, "api"))
		return &m->api;
	if (span_is(key, "name"))
		return &m->name;
	if (span_is(key, "description"))
		return &m->description;
	if (span_is(key, "geolocation"))
		return &m->geolocation;
	return NULL;
}

static int64_t *number_slot(struct llm_model *m, struct span key)
{
	if (span_is(key, "created"))
		return &m->created;
	if (span_is(key, "context_window"))
		return &m->context_window;
	if (span_is(key, "max_output"))
		return &m->max_output;
	return NULL;
}

static bool read_member(struct llm_model *m, struct span key, yyjson_val *v, struct err *err)
{
	struct span *text = text_slot(m, key);
	int64_t *number = number_slot(m, key);

	if (text != NULL) {
		if (!yyjson_is_str(v) || yyjson_get_len(v) == 0)
			return wrong(m->id, key, "must be text", err);
		*text = (struct span){yyjson_get_str(v), yyjson_get_len(v)};
		return true;
	}
	if (number != NULL) {
		if (!yyjson_is_uint(v) || yyjson_get_uint(v) > (uint64_t)MAX_TOKENS_OF_MODEL)
			return wrong(m->id, key, "must be a number", err);
		*number = (int64_t)yyjson_get_uint(v);
		return true;
	}
	if (span_is(key, "can"))
		return read_can(v, m, err);
	if (span_is(key, "price"))
		return read_prices(v, m, err);
	if (span_is(key, "data_retention")) {
		m->data_retention = yyjson_is_true(v);
		return yyjson_is_bool(v) || wrong(m->id, key, "must be true or false", err);
	}
	return wrong(m->id, key, "is not a member of a model", err);
}

static bool read_model(yyjson_val *object, struct llm_model *m, struct err *err)
{
	size_t i, max;
	yyjson_val *k, *v;

	*m = (struct llm_model){.api = SPAN("chat"), .geolocation = SPAN("global")};
	json_get_str(object, "id", &m->id);
	if (span_find_char(m->id, '/') <= 0)
		return err_set(err, ERR_CONFIG,
			"catalogue: a model has no id of the form "
			"provider/model");
	yyjson_obj_foreach(object, i, max, k,
		v) if (!read_member(m, (struct span){yyjson_get_str(k), yyjson_get_len(k)}, v,
			       err)) return false;
	if (m->n_tiers > 0)
		return true;
	m->n_tiers = 1;
	m->price[0] = (struct llm_price){0, LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN,
		LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN};
	return true;
}

/* Into an empty catalogue: append all, sort once. */
static bool fill(struct catalog *c, yyjson_val *list, struct err *err)
{
	struct llm_model m;
	size_t i, max;
	yyjson_val *object;

	if (!reserve(c, (int)yyjson_arr_size(list), err))
		return false;
	yyjson_arr_foreach(list, i, max, object)
	{
		if (!read_model(object, &m, err))
			return false;
		if (!own(c, &m, &c->models[c->n]))
			return err_set(err, ERR_NO_MEMORY, NULL);
		c->n++;
	}
	qsort(c->models, (size_t)c->n, sizeof(*c->models), compare_models);
	for (int k = 1; k < c->n; k++)
		if (span_eq(c->models[k - 1].id, c->models[k].id))
			return wrong(c->models[k].id, SPAN("id"), "is there twice", err);
	return true;
}

static bool merge(struct catalog *c, yyjson_val *list, struct err *err)
{
	struct llm_model m;
	size_t i, max;
	yyjson_val *object;

	yyjson_arr_foreach(list, i, max,
		object) if (!read_model(object, &m, err) || !catalog_put(c, &m, err)) return false;
	return true;
}

bool catalog_read(struct catalog *c, struct span json, struct err *err)
{
	struct err why = {0};
	yyjson_doc *doc = json_read(NULL, json, &why);
	yyjson_val *list = doc != NULL ? json_get(yyjson_doc_get_root(doc), "models") : NULL;
	bool ok;

	if (why.code == ERR_NO_MEMORY)
		return err_set(err, ERR_NO_MEMORY, NULL);
	if (doc == NULL)
		return err_set(err, ERR_CONFIG, "catalogue: %s", why.text);
	if (!yyjson_is_arr(list) || yyjson_arr_size(list) > INT32_MAX / 1024)
		ok = err_set(err, ERR_CONFIG, "catalogue: \"models\" must be an array");
	else
		ok = c->n == 0 ? fill(c, list, err) : merge(c, list, err);
	json_free(doc);
	return ok;
}
