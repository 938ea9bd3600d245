/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/provider.h"
#include <ctype.h>

#define MAX_BETA_BYTES 2048
#define MAX_SCRIPT_BYTES 4096
#define ANTHROPIC_VERSION "2023-06-01"

/*
 * openai, anthropic: https://platform.openai.com/docs, https://docs.anthropic.com. compatible: any
 * server that speaks Chat Completions; of one we do not know nothing good is assumed: usage may
 * be missing, and it goes on generating when its client hangs up. sim: `sluice sim`.
 */
static const struct provider_type types[] = {
	{.name = "openai",
		.base_url = "https://api.openai.com/v1",
		.needs_key = true,
		.path = {[LLM_OP_CHAT] = "/chat/completions",
			[LLM_OP_EMBEDDINGS] = "/embeddings",
			[LLM_OP_RESPONSES] = "/responses"},
		.catalog_prefix = "openai/",
		.auth = PROVIDER_AUTH_BEARER,
		.asks_usage = true,
		.finish_ends = true},
	{.name = "anthropic",
		.base_url = "https://api.anthropic.com",
		.needs_key = true,
		.path = {[LLM_OP_MESSAGES] = "/v1/messages",
			[LLM_OP_COUNT_TOKENS] = "/v1/messages/count_tokens"},
		.catalog_prefix = "anthropic/",
		.auth = PROVIDER_AUTH_X_API_KEY,
		.finish_ends = true},
	{.name = "compatible",
		.path = {[LLM_OP_CHAT] = "/chat/completions", [LLM_OP_EMBEDDINGS] = "/embeddings"},
		.auth = PROVIDER_AUTH_BEARER,
		.asks_usage = true,
		.usage_optional = true,
		.finish_ends = true,
		.bills_on_abort = true},
	{.name = "sim",
		.path = {[LLM_OP_CHAT] = "/v1/chat/completions",
			[LLM_OP_EMBEDDINGS] = "/v1/embeddings",
			[LLM_OP_RESPONSES] = "/v1/responses",
			[LLM_OP_MESSAGES] = "/v1/messages",
			[LLM_OP_COUNT_TOKENS] = "/v1/messages/count_tokens"},
		.catalog_prefix = "sim/",
		.auth = PROVIDER_AUTH_BEARER,
		.asks_usage = true,
		.finish_ends = true,
		.scripted = true},
};

#define N_TYPES (sizeof(types) / sizeof(types[0]))

const char *const provider_type_names[] = {"openai", "anthropic", "compatible", "sim", NULL};
_Static_assert(sizeof(provider_type_names) / sizeof(provider_type_names[0]) == N_TYPES + 1,
	"every type has its name in the list");

const struct provider_type *provider_type_find(struct span name)
{
	for (size_t i = 0; i < N_TYPES; i++)
		if (span_is(name, types[i].name))
			return &types[i];
	return NULL;
}

static void add(struct provider_call *call, struct span name, struct span value)
{
	if (call->n < PROVIDER_MAX_FIELDS)
		call->fields[call->n++] = (struct provider_field){name, value};
}

/* base_path without its last slash, and without a "/v1" that the operation's path begins with. */
static struct span make_target(const char *path, struct span base_path, struct arena *a)
{
	struct span op_path = span_of(path);

	while (span_ends(base_path, SPAN("/")))
		base_path.n--;
	if (span_starts(op_path, SPAN("/v1/")) && span_ends(base_path, SPAN("/v1")))
		base_path.n -= 3;
	return arena_join(a, (const struct span[]){base_path, op_path}, 2);
}

static bool add_key(const struct provider_type *type, bool anthropic, struct span key,
	struct arena *a, struct provider_call *call, struct err *err)
{
	if (key.n == 0)
		return true;
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] <= ' ' || key.p[i] > '~')
			return err_set(err, ERR_UPSTREAM_AUTH,
				"The provider's api_key holds a character that cannot be sent; "
				"check it in the configuration");
	if (type->auth == PROVIDER_AUTH_X_API_KEY || anthropic)
		add(call, SPAN("x-api-key"), arena_copy(a, key));
	else
		add(call, SPAN("authorization"),
			arena_join(a, (const struct span[]){SPAN("Bearer "), key}, 2));
	return true;
}

static bool is_token_char(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

static bool is_version(struct span v)
{
	for (size_t i = 0; i < v.n; i++)
		if (!is_token_char(v.p[i]))
			return false;
	return v.n > 0 && v.n <= 32;
}

/* A list of names; anything else in it is no beta that any provider knows. */
static bool is_beta_list(struct span v)
{
	for (size_t i = 0; i < v.n; i++)
		if (!is_token_char(v.p[i]) && v.p[i] != ',' && v.p[i] != ' ')
			return false;
	return v.n <= MAX_BETA_BYTES;
}

static bool add_anthropic(provider_client_field client, void *user, struct arena *a,
	struct provider_call *call, struct err *err)
{
	struct span none = {NULL, 0};
	struct span version = client != NULL ? span_trim(client(user, "anthropic-version")) : none;
	struct span beta = client != NULL ? span_trim(client(user, "anthropic-beta")) : none;

	add(call, SPAN("anthropic-version"),
		is_version(version) ? arena_copy(a, version) : SPAN(ANTHROPIC_VERSION));
	if (beta.n == 0)
		return true;
	if (!is_beta_list(beta)) {
		err_param(err, "anthropic-beta");
		return err_set(err, ERR_BAD_REQUEST,
			"The anthropic-beta header must be a list of names parted by commas, at "
			"most "
			"%d bytes",
			MAX_BETA_BYTES);
	}
	add(call, SPAN("anthropic-beta"), arena_copy(a, beta));
	return true;
}

/* The simulator's script for this request; the types of real providers have no such field. */
static void add_script(
	provider_client_field client, void *user, struct arena *a, struct provider_call *call)
{
	struct span script =
		client != NULL ? span_trim(client(user, "x-sim")) : (struct span){NULL, 0};

	for (size_t i = 0; i < script.n; i++)
		if (script.p[i] < ' ' || script.p[i] > '~')
			return;
	if (script.n > 0 && script.n <= MAX_SCRIPT_BYTES)
		add(call, SPAN("x-sim"), arena_copy(a, script));
}

bool provider_prepare(const struct provider_type *type, enum llm_op op, struct span base_path,
	struct span api_key, provider_client_field client, void *user, struct arena *a,
	struct provider_call *out, struct err *err)
{
	bool anthropic = op == LLM_OP_MESSAGES || op == LLM_OP_COUNT_TOKENS;
	struct provider_call call = {.n = 0};

	if (type->path[op] == NULL)
		return err_set(err, ERR_NO_OPERATION, "Providers of type %s do not serve %s",
			type->name, llm_op_name(op));
	call.target = make_target(type->path[op], base_path, a);
	add(&call, SPAN("content-type"), SPAN("application/json"));
	add(&call, SPAN("user-agent"), SPAN("sluice"));
	if (!add_key(type, anthropic, api_key, a, &call, err))
		return false;
	if (anthropic && !add_anthropic(client, user, a, &call, err))
		return false;
	if (type->scripted)
		add_script(client, user, a, &call);
	if (a->failed)
		return err_set(err, ERR_NO_MEMORY, NULL);
	*out = call;
	return true;
}

bool provider_passes_field(struct span name)
{
	static const char *const prefixes[] = {
		"x-ratelimit-", "anthropic-ratelimit-", "anthropic-priority-"};
	static const char *const names[] = {
		"retry-after", "retry-after-ms", "x-should-retry", "openai-processing-ms"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (span_starts_nocase(name, span_of(prefixes[i])))
			return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_eq_nocase(name, span_of(names[i])))
			return true;
	return false;
}

bool model_name_read(struct span text, struct model_name *out, struct err *err)
{
	ptrdiff_t slash = span_find_char(text, '/'), at;
	struct model_name m;

	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return err_set(
				err, ERR_BAD_REQUEST, "The model's name holds a control character");
	if (slash < 0)
		return err_set(err, ERR_MODEL_NOT_FOUND,
			"Provider and/or model not supported: \"%.*s\" names no provider; write it "
			"as "
			"provider/model",
			SPAN_ARG(span_head(text, 128)));
	m.provider = span_head(text, (size_t)slash);
	m.full = span_skip(text, (size_t)slash + 1);
	if (m.provider.n == 0 || m.full.n == 0)
		return err_set(err, ERR_MODEL_NOT_FOUND,
			"Provider and/or model not supported: \"%.*s\" lacks a part; write it as "
			"provider/model",
			SPAN_ARG(span_head(text, 128)));
	m.model = m.full;
	m.region = (struct span){NULL, 0};
	at = span_find_last_char(m.full, '@');
	if (at > 0 && (size_t)at + 1 < m.full.n) {
		m.model = span_head(m.full, (size_t)at);
		m.region = span_skip(m.full, (size_t)at + 1);
	}
	*out = m;
	return true;
}
