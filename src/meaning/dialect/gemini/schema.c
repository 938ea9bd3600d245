/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON Schema as Gemini takes it. Two forms: the subset of JSON Schema that responseJsonSchema and
 * parametersJsonSchema know ("Structured output" of the guide), and the older Schema object of the
 * API reference, which has no references and one type a node.
 */
#include "machine/base/json_put.h"
#include "meaning/dialect/gemini/gemini.h"

#define MAX_DEPTH 24
#define MAX_NODES 20000 /* references multiply: what is inlined needs an end */
#define MAX_VIEW 12
#define MAX_ACTIVE 32
#define MAX_TYPES 8

struct reducer {
	struct buf *b;
	yyjson_val *root;
	yyjson_val *active[MAX_ACTIVE]; /* what references led to, from the root to here */
	int n_active, depth, nodes;
};

/* A node and what it refers to or is merged of: the first that has a keyword counts. */
struct view {
	yyjson_val *v[MAX_VIEW];
	int n;
	bool nullable, cut;
};

static bool in_list(yyjson_val *key, const char *const *list)
{
	for (; *list != NULL; list++)
		if (yyjson_equals_str(key, *list))
			return true;
	return false;
}

static bool put_value(struct buf *b, const char *key, yyjson_val *v)
{
	json_put_key(b, key);
	return json_write(b, v);
}

static struct span text_of(yyjson_val *v)
{
	return yyjson_is_str(v) ? (struct span){yyjson_get_str(v), yyjson_get_len(v)}
				: (struct span){NULL, 0};
}

/* What the API accepts as `format`; other words are an error there. */
static bool is_known_format(struct span type, struct span format)
{
	static const char *const number[] = {"float", "double", NULL};
	static const char *const integer[] = {"int32", "int64", NULL};
	static const char *const string[] = {"date-time", "enum", NULL};
	const char *const *known = string;

	if (span_is(type, "integer"))
		known = integer;
	else if (span_is(type, "number"))
		known = number;
	for (; *known != NULL; known++)
		if (span_is(format, *known))
			return true;
	return false;
}

/* ---- references ---- */

/* One step of a JSON pointer (RFC 6901), "~1" and "~0" resolved. */
static yyjson_val *step(yyjson_val *at, struct span name)
{
	char key[256];
	size_t n = 0;
	uint64_t index = 0;

	for (size_t i = 0; i < name.n && n < sizeof(key); i++) {
		if (name.p[i] == '~' && i + 1 < name.n) {
			key[n++] = name.p[++i] == '1' ? '/' : '~';
			continue;
		}
		key[n++] = name.p[i];
	}
	if (yyjson_is_obj(at))
		return yyjson_obj_getn(at, key, n);
	for (size_t i = 0; i < n; i++) {
		if (key[i] < '0' || key[i] > '9' || index > 10000)
			return NULL;
		index = index * 10 + (uint64_t)(key[i] - '0');
	}
	return yyjson_is_arr(at) ? yyjson_arr_get(at, index) : NULL;
}

static yyjson_val *resolve(yyjson_val *root, struct span ref)
{
	yyjson_val *at = root;
	struct span rest;

	if (ref.n == 0 || *ref.p != '#')
		return NULL;
	rest = span_skip(ref, 1);
	if (rest.n > 0 && *rest.p != '/')
		return NULL;
	rest = span_skip(rest, 1);
	while (rest.n > 0 && at != NULL)
		at = step(at, span_cut(&rest, '/'));
	return at;
}

static bool is_active(const struct reducer *r, yyjson_val *target)
{
	for (int i = 0; i < r->n_active; i++)
		if (r->active[i] == target)
			return true;
	return false;
}

static bool is_null_type(yyjson_val *node)
{
	return span_is(text_of(json_get(node, "type")), "null") ||
	       (yyjson_obj_size(node) == 1 && yyjson_is_null(yyjson_obj_get(node, "const")));
}

static void gather(struct reducer *r, struct view *view, yyjson_val *node);

/* Of "this or null" only "this" is left. */
static void gather_choice(struct reducer *r, struct view *view, yyjson_val *list)
{
	yyjson_val *item, *only = NULL;
	size_t i, max, n = 0;

	yyjson_arr_foreach(list, i, max, item)
	{
		if (is_null_type(item)) {
			view->nullable = true;
			continue;
		}
		only = item;
		n++;
	}
	if (n == 1)
		gather(r, view, only);
}

static void gather(struct reducer *r, struct view *view, yyjson_val *node)
{
	struct span ref = text_of(json_get(node, "$ref"));
	yyjson_val *item, *target;
	size_t i, max;

	if (!yyjson_is_obj(node) || view->n == MAX_VIEW || ++r->nodes > MAX_NODES)
		return;
	view->v[view->n++] = node;
	if (ref.n > 0) {
		target = resolve(r->root, ref);
		if (target == NULL || r->n_active == MAX_ACTIVE || is_active(r, target)) {
			view->cut = true;
		} else {
			r->active[r->n_active++] = target;
			gather(r, view, target);
		}
	}
	yyjson_arr_foreach(json_get(node, "allOf"), i, max, item) gather(r, view, item);
	gather_choice(r, view, json_get(node, "anyOf"));
	gather_choice(r, view, json_get(node, "oneOf"));
}

static yyjson_val *look(const struct view *view, const char *key)
{
	for (int i = 0; i < view->n; i++) {
		yyjson_val *v = json_get(view->v[i], key);

		if (v != NULL)
			return v;
	}
	return NULL;
}

/* ---- the reduced form ---- */

struct types {
	struct span name[MAX_TYPES];
	int n;
};

static void add_type(struct types *types, struct view *view, struct span name)
{
	if (span_is(name, "null"))
		view->nullable = true;
	else if (name.n > 0 && types->n < MAX_TYPES)
		types->name[types->n++] = name;
}

static bool is_choice(const struct view *view)
{
	for (int i = 0; i < view->n; i++) {
		yyjson_val *list = json_get(view->v[i], "anyOf");

		if (list == NULL)
			list = json_get(view->v[i], "oneOf");
		if (yyjson_arr_size(list) > 1)
			return true;
	}
	return false;
}

static struct span guess_type(const struct view *view)
{
	yyjson_val *first = yyjson_arr_get_first(look(view, "enum"));
	int64_t n;

	if (first == NULL)
		first = look(view, "const");
	if (json_number(first).n > 0)
		return json_int(first, &n) ? SPAN("integer") : SPAN("number");
	if (yyjson_is_bool(first))
		return SPAN("boolean");
	if (look(view, "properties") != NULL || view->cut)
		return SPAN("object");
	if (look(view, "items") != NULL || look(view, "prefixItems") != NULL)
		return SPAN("array");
	if (look(view, "minimum") != NULL || look(view, "maximum") != NULL)
		return SPAN("number");
	return SPAN("string");
}

static void read_types(struct view *view, struct types *types)
{
	yyjson_val *type = look(view, "type"), *item;
	size_t i, max;

	types->n = 0;
	if (yyjson_is_bool(look(view, "nullable")))
		view->nullable |= yyjson_get_bool(look(view, "nullable"));
	if (yyjson_is_str(type))
		add_type(types, view, text_of(type));
	yyjson_arr_foreach(type, i, max, item) add_type(types, view, text_of(item));
	if (types->n == 0 && (!is_choice(view) || view->cut))
		add_type(types, view, guess_type(view));
}

static void put_node(struct reducer *r, const char *key, yyjson_val *node);

static void put_properties(struct reducer *r, const struct view *view)
{
	bool any = false;

	for (int i = 0; i < view->n; i++) {
		yyjson_val *name, *node, *map = json_get(view->v[i], "properties");
		size_t k, max;

		yyjson_obj_foreach(map, k, max, name, node)
		{
			bool twice = false;

			for (int j = 0; j < i && !twice; j++)
				twice = yyjson_obj_getn(json_get(view->v[j], "properties"),
						yyjson_get_str(name), yyjson_get_len(name)) != NULL;
			if (twice)
				continue;
			if (!any)
				json_put_open(r->b, "properties", '{');
			any = true;
			json_put_str(r->b, NULL, text_of(name));
			buf_append_char(r->b, ':');
			put_node(r, NULL, node);
		}
	}
	if (any)
		buf_append_char(r->b, '}');
}

static bool has_property(const struct view *view, struct span name)
{
	for (int i = 0; i < view->n; i++)
		if (yyjson_obj_getn(json_get(view->v[i], "properties"), name.p, name.n) != NULL)
			return true;
	return false;
}

/* A name that is no property is an error there. */
static void put_required(struct reducer *r, const struct view *view)
{
	bool any = false;

	for (int i = 0; i < view->n; i++) {
		yyjson_val *item;
		size_t k, max;

		yyjson_arr_foreach(json_get(view->v[i], "required"), k, max, item)
		{
			if (!yyjson_is_str(item) || !has_property(view, text_of(item)))
				continue;
			if (!any)
				json_put_open(r->b, "required", '[');
			any = true;
			json_put_str(r->b, NULL, text_of(item));
		}
	}
	if (any)
		buf_append_char(r->b, ']');
}

static void put_items(struct reducer *r, const struct view *view)
{
	yyjson_val *items = look(view, "items"), *item;
	size_t i, max;

	if (yyjson_arr_size(items) == 0 && !yyjson_is_obj(items))
		items = look(view, "prefixItems");
	if (yyjson_is_obj(items)) {
		put_node(r, "items", items);
		return;
	}
	if (yyjson_arr_size(items) == 0) {
		json_put_raw(r->b, "items", SPAN("{\"type\":\"string\"}"));
		return;
	}
	if (yyjson_arr_size(items) == 1) {
		put_node(r, "items", yyjson_arr_get_first(items));
		return;
	}
	/* A tuple: each place may hold what any of them may. */
	json_put_open(r->b, "items", '{');
	json_put_open(r->b, "anyOf", '[');
	yyjson_arr_foreach(items, i, max, item) put_node(r, NULL, item);
	buf_append_cstr(r->b, "]}");
}

/* Bounds that are counts: strings in the definition of the API, whole numbers are taken. */
static void put_counts(
	struct reducer *r, const struct view *view, const char *low, const char *high)
{
	int64_t n;

	if (json_int(look(view, low), &n) && n >= 0)
		json_put_int(r->b, low, n);
	if (json_int(look(view, high), &n) && n >= 0)
		json_put_int(r->b, high, n);
}

/* An exclusive bound of whole numbers is the next number; of others the bound itself. */
static void put_bound(struct reducer *r, const struct view *view, struct span type, const char *key,
	const char *exclusive, int64_t next)
{
	yyjson_val *v = look(view, key), *x = look(view, exclusive);
	int64_t n;

	if (json_number(v).n > 0)
		put_value(r->b, key, v);
	else if (span_is(type, "integer") && json_int(x, &n) && n > INT64_MIN && n < INT64_MAX)
		json_put_int(r->b, key, n + next);
	else if (json_number(x).n > 0)
		put_value(r->b, key, x);
}

static bool all_strings(yyjson_val *list)
{
	yyjson_val *item;
	size_t i, max;

	yyjson_arr_foreach(list, i, max, item)
	{
		if (!yyjson_is_str(item) && !yyjson_is_null(item))
			return false;
	}
	return true;
}

/* Values other than strings cannot be listed there: they are named to the model. */
static void put_description(struct reducer *r, const struct view *view, bool values)
{
	struct span text = text_of(look(view, "description"));
	yyjson_val *list = look(view, "enum"), *one = look(view, "const");
	struct buf b;

	if (!values || (list == NULL ? one == NULL || yyjson_is_str(one) : all_strings(list))) {
		if (text.n > 0)
			json_put_str(r->b, "description", text);
		return;
	}
	buf_init(&b, text.n + 4096);
	buf_append(&b, text);
	buf_append_cstr(&b, text.n > 0 ? " One of: " : "One of: ");
	json_write(&b, list != NULL ? list : one);
	if (!b.failed)
		json_put_str(r->b, "description", buf_span(&b));
	else if (text.n > 0)
		json_put_str(r->b, "description", text);
	buf_done(&b);
}

static void put_enum(struct reducer *r, const struct view *view)
{
	yyjson_val *list = look(view, "enum"), *one = look(view, "const"), *item;
	size_t i, max;

	if (list == NULL && yyjson_is_str(one)) {
		json_put_open(r->b, "enum", '[');
		json_put_str(r->b, NULL, text_of(one));
		buf_append_char(r->b, ']');
	}
	if (yyjson_arr_size(list) == 0 || !all_strings(list))
		return;
	json_put_open(r->b, "enum", '[');
	yyjson_arr_foreach(list, i, max, item)
	{
		if (yyjson_is_str(item))
			json_put_str(r->b, NULL, text_of(item));
	}
	buf_append_char(r->b, ']');
}

/* The keywords that go with the type. */
static void put_typed(struct reducer *r, const struct view *view, struct span type)
{
	struct span format = text_of(look(view, "format"));

	json_put_str(r->b, "type", type);
	if (format.n > 0 && is_known_format(type, format))
		json_put_str(r->b, "format", format);
	if (span_is(type, "object")) {
		if (view->cut)
			return;
		put_properties(r, view);
		put_required(r, view);
		if (yyjson_is_arr(look(view, "propertyOrdering")))
			put_value(r->b, "propertyOrdering", look(view, "propertyOrdering"));
		put_counts(r, view, "minProperties", "maxProperties");
	} else if (span_is(type, "array")) {
		put_items(r, view);
		put_counts(r, view, "minItems", "maxItems");
	} else if (span_is(type, "string")) {
		put_enum(r, view);
		put_counts(r, view, "minLength", "maxLength");
		if (yyjson_is_str(look(view, "pattern")))
			put_value(r->b, "pattern", look(view, "pattern"));
	} else if (span_is(type, "integer") || span_is(type, "number")) {
		put_bound(r, view, type, "minimum", "exclusiveMinimum", 1);
		put_bound(r, view, type, "maximum", "exclusiveMaximum", -1);
	}
}

static void put_choices(struct reducer *r, struct view *view)
{
	yyjson_val *list = NULL, *item;
	size_t i, max;

	for (int k = 0; k < view->n && yyjson_arr_size(list) < 2; k++) {
		list = json_get(view->v[k], "anyOf");
		if (list == NULL)
			list = json_get(view->v[k], "oneOf");
	}
	json_put_open(r->b, "anyOf", '[');
	yyjson_arr_foreach(list, i, max, item)
	{
		if (!is_null_type(item))
			put_node(r, NULL, item);
	}
	buf_append_char(r->b, ']');
}

static void put_view(struct reducer *r, struct view *view)
{
	yyjson_val *title = look(view, "title"), *fallback = look(view, "default");
	struct types types;

	read_types(view, &types);
	if (types.n == 1)
		put_typed(r, view, types.name[0]);
	else if (types.n == 0)
		put_choices(r, view);
	if (types.n > 1) {
		json_put_open(r->b, "anyOf", '[');
		for (int i = 0; i < types.n; i++) {
			json_put_open(r->b, NULL, '{');
			put_typed(r, view, types.name[i]);
			buf_append_char(r->b, '}');
		}
		buf_append_char(r->b, ']');
	}
	if (yyjson_is_str(title))
		put_value(r->b, "title", title);
	put_description(r, view, types.n == 1);
	if (view->nullable)
		json_put_bool(r->b, "nullable", true);
	if (fallback != NULL && !yyjson_is_null(fallback))
		put_value(r->b, "default", fallback);
}

static void put_node(struct reducer *r, const char *key, yyjson_val *node)
{
	struct view view = {.n = 0};
	int active = r->n_active;

	json_put_open(r->b, key, '{');
	if (++r->depth > MAX_DEPTH || r->nodes > MAX_NODES) {
		json_put_cstr(r->b, "type", "object");
	} else {
		gather(r, &view, node);
		put_view(r, &view);
	}
	r->depth--;
	r->n_active = active;
	buf_append_char(r->b, '}');
}

/* ---- JSON Schema, its subset ---- */

static void put_json(struct buf *b, yyjson_val *node, int depth);

static const char *const kept[] = {"title", "description", "enum", "minItems", "maxItems",
	"minimum", "maximum", "minLength", "maxLength", "pattern", "required", "propertyOrdering",
	"minProperties", "maxProperties", "default", "type", "$id", "$anchor", NULL};

/* A map of names to schemas: a name may look like a keyword. */
static void put_json_map(struct buf *b, const char *key, yyjson_val *map, int depth)
{
	yyjson_val *name, *node;
	size_t i, max;

	json_put_open(b, key, '{');
	yyjson_obj_foreach(map, i, max, name, node)
	{
		json_put_str(b, NULL, text_of(name));
		buf_append_char(b, ':');
		put_json(b, node, depth);
	}
	buf_append_char(b, '}');
}

static void put_json_list(struct buf *b, const char *key, yyjson_val *list, int depth)
{
	yyjson_val *node;
	size_t i, max;

	json_put_open(b, key, '[');
	yyjson_arr_foreach(list, i, max, node)
	{
		json_put_next(b);
		put_json(b, node, depth);
	}
	buf_append_char(b, ']');
}

static void put_json_exclusive(
	struct buf *b, yyjson_val *node, const char *key, const char *exclusive, int64_t next)
{
	yyjson_val *x = json_get(node, exclusive);
	int64_t n;

	if (json_get(node, key) != NULL)
		return;
	if (span_is(text_of(json_get(node, "type")), "integer") && json_int(x, &n) &&
		n > INT64_MIN && n < INT64_MAX)
		json_put_int(b, key, n + next);
	else if (json_number(x).n > 0)
		put_value(b, key, x);
}

static void put_json_keyword(
	struct buf *b, yyjson_val *node, yyjson_val *key, yyjson_val *v, int depth)
{
	if (in_list(key, kept)) {
		put_value(b, yyjson_get_str(key), v);
	} else if (KEY_IS(key, "properties") || KEY_IS(key, "$defs")) {
		put_json_map(b, yyjson_get_str(key), v, depth);
	} else if (KEY_IS(key, "anyOf") || KEY_IS(key, "prefixItems")) {
		put_json_list(b, yyjson_get_str(key), v, depth);
	} else if (KEY_IS(key, "oneOf") && json_get(node, "anyOf") == NULL) {
		put_json_list(b, "anyOf", v, depth);
	} else if (KEY_IS(key, "items") || KEY_IS(key, "additionalProperties")) {
		json_put_key(b, yyjson_get_str(key));
		put_json(b, v, depth);
	} else if (KEY_IS(key, "const") && json_get(node, "enum") == NULL) {
		json_put_open(b, "enum", '[');
		json_put_next(b);
		json_write(b, v);
		buf_append_char(b, ']');
	} else if (KEY_IS(key, "format")) {
		struct span type = text_of(json_get(node, "type")), format = text_of(v);

		if (is_known_format(type, format) || span_is(format, "date") ||
			span_is(format, "time"))
			json_put_str(b, "format", format);
	} else if (KEY_IS(key, "exclusiveMinimum")) {
		put_json_exclusive(b, node, "minimum", "exclusiveMinimum", 1);
	} else if (KEY_IS(key, "exclusiveMaximum")) {
		put_json_exclusive(b, node, "maximum", "exclusiveMaximum", -1);
	}
}

static void put_json(struct buf *b, yyjson_val *node, int depth)
{
	struct span ref = text_of(json_get(node, "$ref"));
	yyjson_val *key, *v;
	size_t i, max;

	if (!yyjson_is_obj(node)) {
		buf_append(b, yyjson_is_false(node) ? SPAN("false") : SPAN("true"));
		return;
	}
	buf_append_char(b, '{');
	/* Beside a reference nothing else may stand but the root's definitions. */
	if (ref.n > 0)
		json_put_str(b, "$ref", ref);
	yyjson_obj_foreach(node, i, max, key, v)
	{
		if (ref.n == 0 || KEY_IS(key, "$defs"))
			put_json_keyword(b, node, key, v, depth + 1);
	}
	buf_append_char(b, '}');
}

/* Whether the subset can hold it: allOf it has not, and references only to definitions. */
static bool fits_json(yyjson_val *node, bool is_map, int depth)
{
	struct span ref = text_of(json_get(node, "$ref"));
	yyjson_val *key, *v;
	size_t i, max;

	if (depth > JSON_MAX_DEPTH)
		return false;
	yyjson_arr_foreach(node, i, max, v)
	{
		if (!fits_json(v, false, depth + 1))
			return false;
	}
	if (!yyjson_is_obj(node))
		return true;
	if (!is_map) {
		if (ref.n > 0 && !span_starts(ref, SPAN("#/$defs/")))
			return false;
		if (json_get(node, "allOf") != NULL || json_get(node, "definitions") != NULL ||
			yyjson_is_arr(json_get(node, "items")))
			return false;
	}
	yyjson_obj_foreach(node, i, max, key, v)
	{
		bool map = !is_map && (KEY_IS(key, "properties") || KEY_IS(key, "$defs"));

		if (!is_map && (KEY_IS(key, "default") || KEY_IS(key, "enum") ||
				       KEY_IS(key, "const") || KEY_IS(key, "examples")))
			continue;
		if (!fits_json(v, map, depth + 1))
			return false;
	}
	return true;
}

void gemini_put_schema(struct buf *b, const char *json_key, const char *reduced_key,
	yyjson_val *schema, const struct gemini_model *model)
{
	struct reducer r = {.b = b, .root = schema};

	if (model->generation >= 25 && fits_json(schema, false, 0)) {
		json_put_key(b, json_key);
		put_json(b, schema, 0);
		return;
	}
	r.active[r.n_active++] = schema;
	put_node(&r, reduced_key, schema);
}

bool gemini_schema_is_empty(yyjson_val *schema)
{
	static const char *const telling[] = {"$ref", "anyOf", "oneOf", "allOf"};
	yyjson_val *more = json_get(schema, "additionalProperties");

	if (schema == NULL || yyjson_is_null(schema))
		return true;
	if (yyjson_obj_size(json_get(schema, "properties")) > 0 || yyjson_is_obj(more) ||
		yyjson_is_true(more))
		return false;
	for (int i = 0; i < 4; i++)
		if (json_get(schema, telling[i]) != NULL)
			return false;
	return true;
}
