/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/schema.h"
#include <stdio.h>
#include "machine/base/json_put.h"

#define MAX_DEPTH 16
#define MAX_NODES 4000
#define MAX_HINT 2048 /* of what a description says of the limits */

const char llm_json_instruction[] =
	"Answer with one valid JSON object and nothing else: no explanation, no code fence.";

/* ---- limits ---- */

static struct span text_of(yyjson_val *v)
{
	return yyjson_is_str(v) ? (struct span){yyjson_get_str(v), yyjson_get_len(v)}
				: (struct span){NULL, 0};
}

static bool is_one_of(struct span word, const char *const *list)
{
	for (; *list != NULL; list++)
		if (span_is(word, *list))
			return true;
	return false;
}

static bool is_shallow(yyjson_val *schema, int left);

/* What a keyword holds: a schema, a list of them, or a map of them. */
static bool is_shallow_below(struct span key, yyjson_val *v, int left)
{
	static const char *const maps[] = {
		"properties", "patternProperties", "$defs", "definitions", NULL};
	size_t i, max;
	yyjson_val *name, *inner;

	if (yyjson_is_obj(v) && is_one_of(key, maps)) {
		yyjson_obj_foreach(
			v, i, max, name, inner) if (!is_shallow(inner, left)) return false;
		return true;
	}
	yyjson_arr_foreach(v, i, max, inner) if (!is_shallow(inner, left)) return false;
	return !yyjson_is_obj(v) || is_shallow(v, left);
}

static bool is_shallow(yyjson_val *schema, int left)
{
	size_t i, max;
	yyjson_val *key, *v;

	if (!yyjson_is_ctn(schema))
		return true;
	if (left == 0)
		return false;
	yyjson_obj_foreach(schema, i, max, key,
		v) if (!is_shallow_below(text_of(key), v, left - 1)) return false;
	return true;
}

bool llm_schema_fits(yyjson_val *schema, const char *param, struct err *err)
{
	struct buf text;
	bool ok;

	if (schema == NULL)
		return true;
	if (!is_shallow(schema, LLM_SCHEMA_MAX_DEPTH)) {
		err_param(err, param);
		return err_set(err, ERR_BAD_REQUEST,
			"The schema of the answer is deeper than %d schemas in each other",
			LLM_SCHEMA_MAX_DEPTH);
	}
	buf_init(&text, LLM_SCHEMA_MAX_BYTES);
	ok = json_write(&text, schema);
	buf_done(&text);
	if (ok)
		return true;
	err_param(err, param);
	return err_set(err, ERR_BAD_REQUEST, "The schema of the answer is larger than %zu bytes",
		LLM_SCHEMA_MAX_BYTES);
}

/* ---- the enforced part of JSON Schema ---- */

struct writer {
	struct buf *b; /* NULL: nothing is written */
	yyjson_val *root;
	yyjson_val *active[MAX_DEPTH]; /* what references led to, from the root to here */
	int n_active, depth, nodes;
};

static bool put_node(struct writer *w, const char *key, yyjson_val *node);

static void open(struct writer *w, const char *key, char bracket)
{
	if (w->b != NULL)
		json_put_open(w->b, key, bracket);
}

static void close(struct writer *w, char bracket)
{
	if (w->b != NULL)
		buf_append_char(w->b, bracket);
}

static void put_val(struct writer *w, const char *key, yyjson_val *v)
{
	if (w->b != NULL)
		json_put_val(w->b, key, v);
}

static bool is_primitive(yyjson_val *v)
{
	return !yyjson_is_ctn(v);
}

/* Only what stands under $defs or definitions, by its plain name. */
static yyjson_val *definition(struct writer *w, struct span ref)
{
	static const char *const places[] = {"$defs", "definitions"};
	char start[32];

	for (int i = 0; i < 2; i++) {
		snprintf(start, sizeof(start), "#/%s/", places[i]);
		if (span_starts(ref, span_of(start))) {
			struct span name = span_skip(ref, strlen(start));

			return yyjson_obj_getn(json_get(w->root, places[i]), name.p, name.n);
		}
	}
	return NULL;
}

/* A schema that comes back to itself cannot be enforced. */
static bool check_reference(struct writer *w, yyjson_val *ref)
{
	yyjson_val *target = definition(w, text_of(ref));
	struct writer inside = *w;
	bool ok;

	if (target == NULL || w->n_active == MAX_DEPTH)
		return false;
	for (int i = 0; i < w->n_active; i++)
		if (w->active[i] == target)
			return false;
	inside.b = NULL;
	inside.active[inside.n_active++] = target;
	ok = put_node(&inside, NULL, target);
	w->nodes = inside.nodes;
	return ok;
}

static bool put_list(struct writer *w, const char *key, yyjson_val *list)
{
	yyjson_val *item;
	size_t i, max;

	if (yyjson_arr_size(list) == 0)
		return false;
	open(w, key, '[');
	yyjson_arr_foreach(list, i, max, item) if (!put_node(w, NULL, item)) return false;
	close(w, ']');
	return true;
}

static bool put_map(struct writer *w, const char *key, yyjson_val *map)
{
	yyjson_val *name, *v;
	size_t i, max;

	open(w, key, '{');
	yyjson_obj_foreach(map, i, max, name, v)
	{
		if (w->b != NULL) {
			json_put_next(w->b);
			json_write(w->b, name);
			buf_append_char(w->b, ':');
		}
		if (!put_node(w, NULL, v))
			return false;
	}
	close(w, '}');
	return true;
}

/* An object that takes any name is a map: it cannot be enforced. */
static bool put_object(struct writer *w, yyjson_val *node)
{
	yyjson_val *properties = json_get(node, "properties");
	yyjson_val *more = json_get(node, "additionalProperties");

	if (!yyjson_is_obj(properties) || yyjson_is_obj(more) || yyjson_is_true(more) ||
		json_get(node, "patternProperties") != NULL)
		return false;
	if (!put_map(w, "properties", properties))
		return false;
	if (yyjson_is_arr(json_get(node, "required")))
		put_val(w, "required", json_get(node, "required"));
	if (w->b != NULL)
		json_put_bool(w->b, "additionalProperties", false);
	return true;
}

static bool is_small(yyjson_val *v, int64_t most)
{
	int64_t n;

	return json_int(v, &n) && n >= 0 && n <= most;
}

static bool put_array(struct writer *w, yyjson_val *node)
{
	if (json_get(node, "prefixItems") != NULL || !yyjson_is_obj(json_get(node, "items")))
		return false;
	if (is_small(json_get(node, "minItems"), 1))
		put_val(w, "minItems", json_get(node, "minItems"));
	return put_node(w, "items", json_get(node, "items"));
}

static bool keeps_format(yyjson_val *node)
{
	static const char *const known[] = {"date-time", "time", "date", "duration", "email",
		"hostname", "uri", "ipv4", "ipv6", "uuid", NULL};

	return is_one_of(text_of(json_get(node, "format")), known);
}

/* What is not enforced is said: the model can still follow it. */
static void put_description(struct writer *w, yyjson_val *node)
{
	static const char *const carried[] = {"type", "enum", "const", "anyOf", "oneOf", "allOf",
		"$defs", "definitions", "$ref", "title", "description", "properties", "required",
		"additionalProperties", "items", "$schema", "$id", "$comment", "default",
		"examples", "strict", NULL};
	struct span own = text_of(json_get(node, "description"));
	yyjson_val *key, *v;
	struct buf hint, all;
	size_t i, max;

	if (w->b == NULL)
		return;
	buf_init(&hint, MAX_HINT);
	yyjson_obj_foreach(node, i, max, key, v)
	{
		struct span name = text_of(key);

		if (is_one_of(name, carried) || (span_is(name, "format") && keeps_format(node)) ||
			(span_is(name, "minItems") && is_small(v, 1)))
			continue;
		buf_append_cstr(&hint, hint.n == 0 ? "{" : ", ");
		buf_append(&hint, name);
		buf_append_cstr(&hint, ": ");
		json_write(&hint, v);
	}
	if (hint.n == 0 || hint.failed) {
		if (own.p != NULL)
			json_put_str(w->b, "description", own);
		buf_done(&hint);
		return;
	}
	buf_init(&all, own.n + hint.n + 8);
	buf_append(&all, own);
	buf_append_cstr(&all, own.n > 0 ? "\n\n" : "");
	buf_append(&all, buf_span(&hint));
	buf_append_char(&all, '}');
	json_put_str(w->b, "description", buf_span(&all));
	w->b->failed |= all.failed;
	buf_done(&all);
	buf_done(&hint);
}

static bool put_values(struct writer *w, yyjson_val *node)
{
	yyjson_val *list = json_get(node, "enum"), *one = yyjson_obj_get(node, "const"), *v;
	size_t i, max;

	yyjson_arr_foreach(list, i, max, v) if (!is_primitive(v)) return false;
	if (one != NULL && !is_primitive(one))
		return false;
	if (yyjson_is_arr(list))
		put_val(w, "enum", list);
	if (one != NULL)
		put_val(w, "const", one);
	return true;
}

/* The node's own keywords, for one type of its list. */
static bool put_typed(struct writer *w, yyjson_val *node, struct span type)
{
	static const char *const simple[] = {
		"string", "number", "integer", "boolean", "null", NULL};

	if (w->b != NULL)
		json_put_str(w->b, "type", type);
	if (span_is(type, "object"))
		return put_object(w, node);
	if (span_is(type, "array"))
		return put_array(w, node);
	if (!is_one_of(type, simple))
		return false;
	if (span_is(type, "string") && keeps_format(node))
		put_val(w, "format", json_get(node, "format"));
	return true;
}

static bool put_types(struct writer *w, yyjson_val *node, yyjson_val *types)
{
	yyjson_val *type;
	size_t i, max;

	/* Values of several types: which of them belongs where is not sorted out. */
	if (yyjson_arr_size(types) == 0 || json_get(node, "enum") != NULL)
		return false;
	open(w, "anyOf", '[');
	yyjson_arr_foreach(types, i, max, type)
	{
		open(w, NULL, '{');
		if (!put_typed(w, node, text_of(type)))
			return false;
		close(w, '}');
	}
	close(w, ']');
	return true;
}

static bool put_choice(struct writer *w, yyjson_val *node)
{
	yyjson_val *any = json_get(node, "anyOf"), *one = json_get(node, "oneOf");
	yyjson_val *all = json_get(node, "allOf"), *item;
	size_t i, max;

	if ((any != NULL) + (one != NULL) + (all != NULL) != 1 ||
		json_get(node, "properties") != NULL)
		return false;
	yyjson_arr_foreach(all, i, max, item) if (json_get(item, "$ref") != NULL) return false;
	return put_list(w, all != NULL ? "allOf" : "anyOf",
		any != NULL   ? any
		: one != NULL ? one
			      : all);
}

static bool put_members(struct writer *w, yyjson_val *node)
{
	yyjson_val *ref = json_get(node, "$ref"), *type = json_get(node, "type");
	bool chooses = json_get(node, "anyOf") != NULL || json_get(node, "oneOf") != NULL ||
		       json_get(node, "allOf") != NULL;
	bool valued = json_get(node, "enum") != NULL || yyjson_obj_get(node, "const") != NULL;

	if (ref != NULL) {
		put_val(w, "$ref", ref);
		return check_reference(w, ref);
	}
	if (json_get(node, "title") != NULL)
		put_val(w, "title", json_get(node, "title"));
	put_description(w, node);
	if (json_get(node, "$defs") != NULL && !put_map(w, "$defs", json_get(node, "$defs")))
		return false;
	if (json_get(node, "definitions") != NULL &&
		!put_map(w, "definitions", json_get(node, "definitions")))
		return false;
	if (chooses)
		return put_choice(w, node);
	if (yyjson_is_arr(type))
		return put_types(w, node, type);
	if (type == NULL && !valued)
		return false;
	return put_values(w, node) && (type == NULL || put_typed(w, node, text_of(type)));
}

static bool put_node(struct writer *w, const char *key, yyjson_val *node)
{
	bool ok;

	if (!yyjson_is_obj(node) || w->depth == MAX_DEPTH || w->nodes == MAX_NODES)
		return false;
	w->nodes++;
	w->depth++;
	open(w, key, '{');
	ok = put_members(w, node);
	close(w, '}');
	w->depth--;
	return ok;
}

bool llm_schema_enforced(struct buf *b, yyjson_val *schema)
{
	struct writer w = {.b = b, .root = schema};
	struct span type = text_of(json_get(schema, "type"));

	return span_is(type, "object") && put_node(&w, NULL, schema);
}

/* ---- the tool ---- */

static bool is_enforced(const struct llm_request *q, const struct llm_target *t)
{
	return t->quirks->schema == LLM_SCHEMA_NATIVE && t->facts != NULL &&
	       (t->facts->can & LLM_CAN_JSON_SCHEMA) != 0 &&
	       llm_schema_enforced(NULL, q->format.schema);
}

/* A tool's schema may be any, and every model that calls tools knows it. */
static bool needs_tool(const struct llm_request *q, const struct llm_target *t, enum llm_op op)
{
	if (op == LLM_OP_MESSAGES || op == LLM_OP_CONVERSE)
		return !is_enforced(q, t);
	return t->quirks->schema == LLM_SCHEMA_TOOL;
}

struct span llm_schema_tool(const struct llm_request *q, const struct llm_target *t, enum llm_op op)
{
	static const char *const names[] = {
		"respond_json", "respond_json_object", "respond_with_json_object"};

	if (q->format.kind != LLM_FORMAT_SCHEMA || !needs_tool(q, t, op))
		return (struct span){NULL, 0};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (llm_find_tool(q, span_of(names[i])) == NULL)
			return span_of(names[i]);
	return span_of(names[0]);
}
