/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/provider.h"
#include <ctype.h>
#include "meaning/provider/template.h"

#define MAX_BETA_BYTES 2048
#define MAX_SCRIPT_BYTES 4096
#define ANTHROPIC_VERSION "2023-06-01"

/* ---- what is served ---- */

static bool is_named(const struct provider_path *paths, struct span model)
{
	for (; paths->path != NULL; paths++)
		if (paths->models != NULL && model_begins(model, paths->models))
			return true;
	return false;
}

const struct provider_path *provider_path(
	const struct provider_setup *s, enum llm_op op, struct span model)
{
	const struct provider_path *paths =
		s->type->choose != NULL ? s->type->choose(s) : s->type->paths;
	bool named = is_named(paths, model);

	for (; paths->path != NULL; paths++)
		if (paths->op == op && (paths->models != NULL) == named &&
			model_begins(model, paths->models))
			return paths;
	return NULL;
}

enum llm_op provider_op(
	const struct provider_setup *s, enum llm_op client, struct span model, unsigned known)
{
	/* The formats that keep most of what a request can say come first. */
	static const enum llm_op others[] = {LLM_OP_CHAT, LLM_OP_MESSAGES, LLM_OP_RESPONSES,
		LLM_OP_GENERATE, LLM_OP_CONVERSE, LLM_OP_COHERE};
	const struct provider_path *own = provider_path(s, client, model);

	if (client == LLM_OP_EMBEDDINGS && own != NULL && own->embed != NULL)
		return (known & 1u << client) != 0 ? client : LLM_OP_COUNT;
	if (own != NULL)
		return client;
	if (client != LLM_OP_CHAT && client != LLM_OP_MESSAGES && client != LLM_OP_RESPONSES)
		return LLM_OP_COUNT;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if ((known & 1u << others[i]) != 0 && provider_path(s, others[i], model) != NULL)
			return others[i];
	return LLM_OP_COUNT;
}

void provider_quirks(
	const struct provider_type *type, enum llm_op op, struct span model, struct llm_quirks *out)
{
	*out = type->quirks;
	if (type->adapt != NULL)
		type->adapt(op, model, out);
}

/* ---- a model's name ---- */

static const struct provider_alias *find_alias(const struct provider_setup *s, struct span model)
{
	for (int i = 0; i < s->n_deployments; i++)
		if (span_eq(s->deployments[i].model, model))
			return &s->deployments[i];
	return NULL;
}

struct span provider_region(const struct provider_setup *s, const struct model_name *name)
{
	if (s->type->regional && model_region_is_place(name->region) &&
		find_alias(s, name->full) == NULL)
		return name->region;
	return (struct span){NULL, 0};
}

struct span provider_model(const struct provider_setup *s, const struct model_name *name)
{
	const struct provider_alias *alias = find_alias(s, name->full);
	struct span model = provider_region(s, name).n > 0 ? name->model : name->full;
	struct span rest = span_of(s->type->vendors);

	if (alias == NULL)
		alias = find_alias(s, model);
	if (alias != NULL)
		return alias->name;
	while (rest.n > 0) {
		struct span vendor = span_cut(&rest, '|');

		if (span_starts(model, vendor) && model.n > vendor.n)
			return span_skip(model, vendor.n);
	}
	return model;
}

/* ---- fields ---- */

static void add(struct provider_call *call, struct span name, struct span value)
{
	if (call->n < PROVIDER_MAX_FIELDS)
		call->fields[call->n++] = (struct provider_field){name, value};
}

static bool is_sendable(struct span key)
{
	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] <= ' ' || key.p[i] > '~')
			return false;
	return true;
}

static void add_bearer(struct provider_call *call, struct span key, struct arena *a)
{
	add(call, SPAN("authorization"),
		arena_join(a, (const struct span[]){SPAN("Bearer "), key}, 2));
}

static void sign(const struct provider_setup *s, struct span region, struct provider_call *call)
{
	call->to_sign = true;
	call->sign = (struct provider_sign){.region = region.n > 0 ? region : s->region,
		.service = SPAN("bedrock"),
		.access_key_id = s->access_key_id,
		.secret_access_key = s->secret_access_key,
		.session_token = s->session_token};
}

static void add_key(enum provider_auth auth, const struct provider_setup *s,
	const struct provider_ask *ask, struct arena *a, struct provider_call *call)
{
	struct span key = s->api_key;

	if (auth == PROVIDER_AUTH_SIGV4 && key.n == 0) {
		sign(s, ask->region, call);
		return;
	}
	if (auth == PROVIDER_AUTH_GOOGLE && ask->token.n > 0) {
		add_bearer(call, ask->token, a);
		return;
	}
	if (key.n == 0)
		return;
	switch (auth) {
	case PROVIDER_AUTH_BEARER:
	case PROVIDER_AUTH_SIGV4:
		add_bearer(call, key, a);
		break;
	case PROVIDER_AUTH_X_API_KEY:
		add(call, SPAN("x-api-key"), arena_copy(a, key));
		break;
	case PROVIDER_AUTH_X_GOOG_API_KEY:
	case PROVIDER_AUTH_GOOGLE:
		add(call, SPAN("x-goog-api-key"), arena_copy(a, key));
		break;
	case PROVIDER_AUTH_API_KEY:
		add(call, SPAN("api-key"), arena_copy(a, key));
		break;
	}
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

static struct span client_value(const struct provider_ask *ask, const char *name)
{
	if (ask->client == NULL)
		return (struct span){NULL, 0};
	return span_trim(ask->client(ask->user, name));
}

/* What the client asks for, and what the body was written with. */
static struct span join_betas(const struct provider_ask *ask, struct span list, struct arena *a)
{
	for (int i = 0; i < ask->n_betas && i < PROVIDER_MAX_BETAS; i++)
		list = arena_join(a,
			(const struct span[]){
				list, list.n > 0 ? SPAN(",") : SPAN(""), span_of(ask->betas[i])},
			3);
	return list;
}

static bool add_anthropic(const struct provider_setup *s, const struct provider_ask *ask,
	struct arena *a, struct provider_call *call, struct err *err)
{
	struct llm_quirks quirks;
	struct span version = client_value(ask, "anthropic-version");
	struct span beta = client_value(ask, "anthropic-beta");

	provider_quirks(s->type, ask->op, ask->model, &quirks);
	if (quirks.body_version == NULL)
		add(call, SPAN("anthropic-version"),
			is_version(version) ? arena_copy(a, version) : SPAN(ANTHROPIC_VERSION));
	if (!is_beta_list(beta)) {
		err_param(err, "anthropic-beta");
		return err_set(err, ERR_BAD_REQUEST,
			"The anthropic-beta header must be a list of names parted by commas, at "
			"most %d bytes",
			MAX_BETA_BYTES);
	}
	beta = provider_betas(s->type->claude, join_betas(ask, beta, a), a);
	/* Vertex counts with a method of its own, which knows no betas. */
	if (beta.n > 0 && !(ask->op == LLM_OP_COUNT_TOKENS && quirks.body_version != NULL))
		add(call, SPAN("anthropic-beta"), beta);
	return true;
}

/* The simulator's script for this request; the types of real providers have no such field. */
static void add_script(const struct provider_ask *ask, struct arena *a, struct provider_call *call)
{
	struct span script = client_value(ask, "x-sim");

	for (size_t i = 0; i < script.n; i++)
		if (script.p[i] < ' ' || script.p[i] > '~')
			return;
	if (script.n > 0 && script.n <= MAX_SCRIPT_BYTES)
		add(call, SPAN("x-sim"), arena_copy(a, script));
}

/* ---- the call ---- */

/* base_path, less what it has of the path's own beginning: many write it into base_url. */
static struct span make_target(struct span base_path, struct span path, struct arena *a)
{
	static const char *const roots[] = {"/openai/v1", "/openai", "/v1beta", "/v1"};

	while (span_ends(base_path, SPAN("/")))
		base_path.n--;
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		struct span root = span_of(roots[i]);
		ptrdiff_t at = span_find(path, root);

		if (at < 0 || !span_ends(base_path, root) ||
			!span_starts(span_skip(path, (size_t)at + root.n), SPAN("/")))
			continue;
		base_path.n -= root.n;
		break;
	}
	return arena_join(a, (const struct span[]){base_path, path}, 2);
}

bool provider_prepare(const struct provider_setup *s, const struct provider_ask *ask,
	struct arena *a, struct provider_call *out, struct err *err)
{
	bool anthropic = ask->op == LLM_OP_MESSAGES || ask->op == LLM_OP_COUNT_TOKENS;
	const struct provider_path *path = provider_path(s, ask->op, ask->model);
	struct provider_call call = {.n = 0};
	struct span filled;

	if (path == NULL)
		return err_set(err, ERR_NO_OPERATION, "Providers of type %s do not serve %s",
			s->type->name, llm_op_name(ask->op));
	if (!is_sendable(s->api_key) || !is_sendable(ask->token))
		return err_set(err, ERR_UPSTREAM_AUTH,
			"The provider's api_key holds a character that cannot be sent; check it in "
			"the configuration");
	if (!template_fill(path->path, s, ask, a, &filled, err))
		return false;
	call.target = make_target(ask->base_path, filled, a);
	add(&call, SPAN("content-type"), SPAN("application/json"));
	add(&call, SPAN("user-agent"), SPAN("sluice"));
	add_key(anthropic ? s->type->messages_auth : s->type->auth, s, ask, a, &call);
	if (anthropic && !add_anthropic(s, ask, a, &call, err))
		return false;
	if (s->type->scripted)
		add_script(ask, a, &call);
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
