/* SPDX-License-Identifier: Apache-2.0 */
/* https://spec.openapis.org/oas/v3.1.0 */
#include "control/manage/endpoint.h"
#include "machine/base/json_put.h"

/* JSON Schemas of the types that rows of endpoints name. */
static const struct {
	const char *name, *schema;
} types[] = {
	{"text", "{\"type\":[\"string\",\"null\"]}"},
	{"uuid", "{\"type\":[\"string\",\"null\"],\"format\":\"uuid\"}"},
	{"time", "{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"},
	{"money", "{\"type\":[\"string\",\"number\",\"null\"],\"description\":\"US dollars; 0 or "
		  "null: no "
		  "limit\"}"},
	{"count", "{\"type\":[\"integer\",\"null\"],\"minimum\":0}"},
	{"bool", "{\"type\":\"boolean\"}"},
	{"texts", "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"},
	{"object", "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}"},
	{"permissions",
		"{\"type\":\"object\",\"properties\":{\"manage\":{\"enum\":[\"none\",\"read\","
		"\"write\"]},\"completions\":{\"enum\":[\"none\",\"read\",\"write\"]}}}"},
};

static const char *const query[] = {"start", "end", "resolution", "group_by"};

static struct span schema_of(struct span type)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (span_is(type, types[i].name))
			return span_of(types[i].schema);
	return SPAN("{}");
}

static void put_body(struct buf *b, const char *members)
{
	struct span rest = span_of(members), required = rest;

	json_put_open(b, "requestBody", '{');
	json_put_open(b, "content", '{');
	json_put_open(b, "application/json", '{');
	json_put_open(b, "schema", '{');
	json_put_cstr(b, "type", "object");
	json_put_open(b, "properties", '{');
	while (rest.n > 0) {
		struct span type = span_cut(&rest, ' '), name = span_cut(&type, ':');

		if (span_ends(type, SPAN("!")))
			type.n--;
		json_put_next(b);
		buf_append_char(b, '"');
		buf_append(b, name);
		buf_append_cstr(b, "\":");
		buf_append(b, schema_of(type));
	}
	buf_append_char(b, '}');
	json_put_open(b, "required", '[');
	while (required.n > 0) {
		struct span type = span_cut(&required, ' '), name = span_cut(&type, ':');

		if (span_ends(type, SPAN("!")))
			json_put_str(b, NULL, name);
	}
	buf_append_cstr(b, "]}}}}");
}

static void put_parameter(struct buf *b, const char *name, const char *in)
{
	json_put_open(b, NULL, '{');
	json_put_cstr(b, "name", name);
	json_put_cstr(b, "in", in);
	json_put_bool(b, "required", in[0] == 'p');
	json_put_raw(b, "schema", SPAN("{\"type\":\"string\"}"));
	buf_append_char(b, '}');
}

static void put_parameters(struct buf *b, const struct manage_endpoint *e)
{
	json_put_open(b, "parameters", '[');
	if (span_find(span_of(e->path), SPAN("{id}")) >= 0)
		put_parameter(b, "id", "path");
	if (span_find(span_of(e->path), SPAN("{user}")) >= 0)
		put_parameter(b, "user", "path");
	for (size_t i = 0; i < sizeof(query) / sizeof(query[0]); i++)
		if (span_ends(span_of(e->path), SPAN("/usage")))
			put_parameter(b, query[i], "query");
	buf_append_char(b, ']');
}

static void put_operation(struct buf *b, const struct manage_endpoint *e)
{
	static const char *const rights[] = {[RIGHT_NONE] = "any",
		[RIGHT_OWN] = "read, or none for self",
		[RIGHT_READ] = "read",
		[RIGHT_WRITE] = "write"};
	static const char *const methods[] = {[HTTP_GET] = "get",
		[HTTP_POST] = "post",
		[HTTP_PUT] = "put",
		[HTTP_PATCH] = "patch",
		[HTTP_DELETE] = "delete"};

	json_put_open(b, methods[e->method], '{');
	json_put_cstr(b, "summary", e->summary);
	json_put_cstr(b, "x-sluice-manage", rights[e->right]);
	json_put_cstr(b, "x-sluice-reach", e->reach == REACH_ADMIN ? "admin" : "own");
	put_parameters(b, e);
	if (e->body != NULL)
		put_body(b, e->body);
	json_put_raw(b, "responses",
		SPAN("{\"2XX\":{\"description\":\"Done\"},\"default\":{\"description\":\"An error, "
		     "with "
		     "its "
		     "reason\",\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"#/"
		     "components/"
		     "schemas/Error\"}}}}}"));
	buf_append_char(b, '}');
}

/* All methods of a path stand together, at its first row. */
static void put_path(struct buf *b, size_t first)
{
	const char *path = manage_endpoint_at(first)->path;
	const struct manage_endpoint *e;

	for (size_t i = 0; i < first; i++)
		if (strcmp(manage_endpoint_at(i)->path, path) == 0)
			return;
	json_put_open(b, path, '{');
	for (size_t i = first; (e = manage_endpoint_at(i)) != NULL; i++)
		if (strcmp(e->path, path) == 0)
			put_operation(b, e);
	buf_append_char(b, '}');
}

bool manage_openapi(struct manage_call *call, struct err *err)
{
	struct buf *b = call->answer;
	const struct manage_endpoint *e;

	buf_append_cstr(b, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Sluice management "
			   "API\",\"version\":\"1\"},\"security\":[{\"key\":[]}],\"paths\":{");
	for (size_t i = 0; (e = manage_endpoint_at(i)) != NULL; i++)
		if (e->summary != NULL)
			put_path(b, i);
	buf_append_cstr(b,
		"},\"components\":{\"securitySchemes\":{\"key\":{\"type\":\"http\","
		"\"scheme\":\"bearer\"}},\"schemas\":{\"Error\":{\"type\":\"object\","
		"\"properties\":{\"error\":{\"type\":\"object\",\"properties\":{\"message\":{"
		"\"type\":\"string\"},\"type\":{\"type\":\"string\"},\"param\":{\"type\":["
		"\"string\",\"null\"]},\"code\":{\"type\":[\"string\",\"null\"]}}}}}}}}");
	return !b->failed || err_set(err, ERR_NO_MEMORY, NULL);
}
