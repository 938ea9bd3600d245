/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/catalog.h"
#include <stdlib.h>
#include "machine/base/json.h"
#include "machine/base/text.h"

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

static bool own_imported(struct catalog *c, const struct llm_model *m, struct llm_model *copy)
{
	bool ok = own(c, m, copy);

	copy->source = LLM_PRICE_IMPORTED;
	return ok;
}

bool catalog_merge(struct catalog *c, const struct catalog *from, struct err *err)
{
	struct catalog both = {.n = 0};
	bool ok = true;
	int i = 0, j = 0;

	if (!reserve(&both, c->n + from->n + 1, err))
		return false;
	while (i < c->n || j < from->n) {
		int order = i == c->n      ? 1
			    : j == from->n ? -1
					   : compare(c->models[i].id, from->models[j].id);

		if (order < 0)
			both.models[both.n++] = c->models[i];
		else
			ok = ok && own_imported(c, &from->models[j], &both.models[both.n++]);
		i += order <= 0;
		j += order >= 0;
	}
	if (!ok) {
		free(both.models);
		return err_set(err, ERR_NO_MEMORY, NULL);
	}
	free(c->models);
	c->models = both.models;
	c->n = both.n;
	c->cap = both.cap;
	return true;
}

const struct llm_model *catalog_find_exact(const struct catalog *c, struct span id)
{
	bool found;
	int at = place(c, id, &found);

	return found ? &c->models[at] : NULL;
}

const struct llm_model *catalog_find(const struct catalog *c, struct span id)
{
	const struct llm_model *m = catalog_find_exact(c, id);
	ptrdiff_t region = m == NULL ? span_find_last_char(id, '@') : -1;

	return region > 0 ? catalog_find_exact(c, span_head(id, (size_t)region)) : m;
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

struct span price_write(int64_t nusd, char out[32])
{
	uint64_t v = nusd < 0 ? 0 - (uint64_t)nusd : (uint64_t)nusd;
	uint64_t fraction = v % 1000000000;
	size_t n = 0;

	if (nusd < 0)
		out[n++] = '-';
	n += text_write_u64(out + n, v / 1000000000);
	if (fraction == 0)
		return (struct span){out, n};
	out[n++] = '.';
	for (uint64_t unit = 100000000; fraction > 0; unit /= 10) {
		out[n++] = (char)('0' + fraction / unit);
		fraction %= unit;
	}
	return (struct span){out, n};
}

/* ---- models ---- */

static const struct llm_price no_price = {0, LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN,
	LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN,
	LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN, LLM_PRICE_UNKNOWN};

const char *llm_price_source_name(enum llm_price_source s)
{
	static const char *const names[LLM_PRICE_SOURCE_COUNT] = {[LLM_PRICE_NOWHERE] = "unknown",
		[LLM_PRICE_CATALOG] = "catalog",
		[LLM_PRICE_IMPORTED] = "imported",
		[LLM_PRICE_CONFIGURED] = "configuration"};

	return names[s];
}

struct llm_model llm_model_unknown(struct span id)
{
	return (struct llm_model){.id = id,
		.api = SPAN("chat"),
		.geolocation = SPAN("global"),
		.n_tiers = 1,
		.price[0] = no_price};
}

bool llm_model_eq(const struct llm_model *a, const struct llm_model *b)
{
	return span_eq(a->id, b->id) && span_eq(a->api, b->api) && span_eq(a->name, b->name) &&
	       span_eq(a->description, b->description) && span_eq(a->geolocation, b->geolocation) &&
	       a->created == b->created && a->context_window == b->context_window &&
	       a->max_output == b->max_output && a->can == b->can &&
	       a->data_retention == b->data_retention && a->n_tiers == b->n_tiers &&
	       memcmp(a->price, b->price, (size_t)a->n_tiers * sizeof(*a->price)) == 0;
}

static bool override_price(const char *text, int64_t *slot, const char *member, struct err *err)
{
	if (text == NULL || price_read(span_of(text), slot, err))
		return true;
	err_param(err, member);
	return false;
}

static bool names_a_price(const struct llm_override *o)
{
	return o->input != NULL || o->output != NULL || o->cache_read != NULL ||
	       o->cache_write != NULL || o->characters != NULL || o->sound_hour != NULL ||
	       o->picture != NULL;
}

bool catalog_override(struct catalog *c, const struct llm_override *o, struct err *err)
{
	const struct llm_model *known = catalog_find(c, o->id);
	struct llm_model m = llm_model_unknown(o->id);

	if (known == NULL && o->like.n > 0)
		known = catalog_find(c, o->like);
	if (known != NULL)
		m = *known;
	m.id = o->id;
	if (o->context_window >= 0)
		m.context_window = o->context_window;
	if (o->max_output >= 0)
		m.max_output = o->max_output;
	if (names_a_price(o))
		m.source = LLM_PRICE_CONFIGURED;
	/* One price for every prompt size: what is written is what is meant. */
	if (o->input != NULL || o->output != NULL)
		m.n_tiers = 1;
	return override_price(o->input, &m.price[0].input, "input_price", err) &&
	       override_price(o->output, &m.price[0].output, "output_price", err) &&
	       override_price(o->cache_read, &m.price[0].cache_read, "cached_price", err) &&
	       override_price(o->cache_write, &m.price[0].cache_write_5m, "caching_price", err) &&
	       override_price(o->characters, &m.price[0].characters, "character_price", err) &&
	       override_price(o->sound_hour, &m.price[0].sound_hour, "sound_price", err) &&
	       override_price(o->picture, &m.price[0].picture, "picture_price", err) &&
	       catalog_put(c, &m, err);
}

/* ---- the catalogue's JSON; its form is documented in catalog/README.md ---- */

/* In the order of their bits. */
static const char *const capabilities[] = {"cache", "see", "tools", "reason", "computer", "search",
	"images", "json_object", "json_schema", "developer", NULL};

const char *llm_capability_name(int i)
{
	return capabilities[i];
}

static bool wrong(struct span id, struct span key, const char *why, struct err *err)
{
	return err_set(err, ERR_CONFIG, "model \"%.*s\": \"%.*s\" %s", SPAN_ARG(span_head(id, 128)),
		SPAN_ARG(span_head(key, 64)), why);
}

static bool read_can(yyjson_val *list, struct llm_model *m, struct err *err)
{
	size_t i, max;
	yyjson_val *name;

	if (!yyjson_is_arr(list))
		return wrong(m->id, SPAN("can"), "must be an array", err);
	yyjson_arr_foreach(list, i, max, name)
	{
		int k = 0;

		while (capabilities[k] != NULL && !yyjson_equals_str(name, capabilities[k]))
			k++;
		if (capabilities[k] == NULL)
			return wrong(m->id, SPAN("can"), "names an unknown capability", err);
		m->can |= 1u << k;
	}
	return true;
}

static const struct {
	const char *name;
	size_t at;
} prices[] = {
	{"input", offsetof(struct llm_price, input)},
	{"output", offsetof(struct llm_price, output)},
	{"cache_read", offsetof(struct llm_price, cache_read)},
	{"cache_write_5m", offsetof(struct llm_price, cache_write_5m)},
	{"cache_write_1h", offsetof(struct llm_price, cache_write_1h)},
	{"input_audio", offsetof(struct llm_price, input_audio)},
	{"output_audio", offsetof(struct llm_price, output_audio)},
	{"characters", offsetof(struct llm_price, characters)},
	{"sound_hour", offsetof(struct llm_price, sound_hour)},
	{"picture", offsetof(struct llm_price, picture)},
	{NULL, 0},
};

const char *llm_price_name(int i)
{
	return prices[i].name;
}

int64_t *llm_price_at(struct llm_price *p, int i)
{
	return (int64_t *)((char *)p + prices[i].at);
}

static int64_t *price_slot(struct llm_price *p, struct span key)
{
	for (int i = 0; prices[i].name != NULL; i++)
		if (span_is(key, prices[i].name))
			return llm_price_at(p, i);
	return NULL;
}

static bool read_price(yyjson_val *object, struct llm_model *m, struct err *err)
{
	struct llm_price p = no_price;
	struct err why = {0};
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
		if (!price_read((struct span){yyjson_get_str(v), yyjson_get_len(v)}, slot, &why))
			return err_set(err, ERR_CONFIG, "model \"%.*s\": \"%.*s\": %s",
				SPAN_ARG(span_head(m->id, 128)), SPAN_ARG(span_head(key, 64)),
				why.text);
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

	*m = (struct llm_model){
		.api = SPAN("chat"), .geolocation = SPAN("global"), .source = LLM_PRICE_CATALOG};
	json_get_str(object, "id", &m->id);
	if (span_find_char(m->id, '/') <= 0)
		return err_set(err, ERR_CONFIG, "a model has no id of the form provider/model");
	yyjson_obj_foreach(object, i, max, k,
		v) if (!read_member(m, (struct span){yyjson_get_str(k), yyjson_get_len(k)}, v,
			       err)) return false;
	if (m->n_tiers > 0)
		return true;
	m->n_tiers = 1;
	m->price[0] = no_price;
	return true;
}

/* All in their order, then sorted once. *at: the item that is wrong. */
static bool fill(struct catalog *c, yyjson_val *list, size_t *at, struct err *err)
{
	struct llm_model m;
	size_t max;
	yyjson_val *object;

	if (!reserve(c, (int)yyjson_arr_size(list) + 1, err))
		return false;
	yyjson_arr_foreach(list, *at, max, object)
	{
		if (!read_model(object, &m, err))
			return false;
		if (!own(c, &m, &c->models[c->n]))
			return err_set(err, ERR_NO_MEMORY, NULL);
		c->n++;
	}
	if (c->n > 0)
		qsort(c->models, (size_t)c->n, sizeof(*c->models), compare_models);
	for (int k = 1; k < c->n; k++) {
		if (!span_eq(c->models[k - 1].id, c->models[k].id))
			continue;
		yyjson_arr_foreach(list, *at, max,
			object) if (yyjson_equals_strn(json_get(object, "id"), c->models[k].id.p,
					    c->models[k].id.n)) break;
		return wrong(c->models[k].id, SPAN("id"), "is there twice", err);
	}
	return true;
}

/* The line on which the i-th model begins. */
static int line_of(struct span json, size_t i)
{
	struct span list = json_raw(json, "models");
	struct json_member item = {.value = list};
	size_t at = 0;
	int line = 1;

	while (list.p != NULL && json_next(list, &at, &item) && i-- > 0)
		;
	for (const char *p = json.p; p < item.value.p; p++)
		line += *p == '\n';
	return line;
}

bool catalog_read(struct catalog *c, struct span json, struct err *err)
{
	struct err why = {0};
	yyjson_doc *doc = json_read(NULL, json, &why);
	yyjson_val *list = doc != NULL ? json_get(yyjson_doc_get_root(doc), "models") : NULL;
	size_t at = 0;
	bool ok = false;

	if (doc != NULL && (!yyjson_is_arr(list) || yyjson_arr_size(list) > INT32_MAX / 1024))
		err_set(err, ERR_CONFIG, "line 1: \"models\" must be an array");
	else if (doc != NULL)
		ok = fill(c, list, &at, &why);
	json_free(doc);
	if (why.code == ERR_NO_MEMORY)
		err_set(err, ERR_NO_MEMORY, NULL);
	else if (why.code == ERR_BAD_JSON)
		err_set(err, ERR_CONFIG, "%s", why.text);
	else if (why.code != ERR_OK)
		err_set(err, ERR_CONFIG, "line %d: %s", line_of(json, at), why.text);
	return ok;
}
