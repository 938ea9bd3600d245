/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"

/* What the HTTP server calls: the head is read, find out what it is for. */

static bool is_anthropic_client(const struct http_head *head)
{
	return http_field(head, "anthropic-version").p != NULL;
}

/* Below /v1/manage, with or without the slash at its end; and the place of old clients. */
static bool is_management(struct span path)
{
	return span_starts(path, SPAN("/v1/manage/")) || span_is(path, "/x/apikey") ||
	       span_is(path, "/openapi.json"); /* open to all: it says what is in the manual */
}

static void manage(struct exchange_env *env, struct http_request *r)
{
	struct auth_identity who = {.manage = PERMISSION_NONE}; /* nobody */
	struct err err = {0};
	bool found;

	if (span_is(request_head(r)->path, "/openapi.json") ||
		intake_identify(env, request_head(r), false, &found, &who, &err))
		env->manage(env->manage_user, r, &who);
	else
		reply_error(env, r, dialect_of(LLM_OP_CHAT), &err);
}

static void on_request(void *user, struct http_request *r)
{
	struct exchange_env *env = user;
	const struct http_head *head = request_head(r);
	struct endpoint_match m = endpoint_find(head->method, head->path);
	const struct dialect *d = endpoint_dialect(head->path, is_anthropic_client(head));
	struct err err = {0};

	if (head->method == HTTP_OPTIONS) {
		local_preflight(env, r);
		return;
	}
	if (is_management(head->path)) {
		manage(env, r);
		return;
	}
	if (m.endpoint == NULL) {
		err_set(&err, ERR_NOT_FOUND,
			"There is nothing at %.*s; the API is below /v1, for example POST "
			"/v1/chat/completions",
			(int)(head->path.n > 128 ? 128 : head->path.n), head->path.p);
		reply_error(env, r, d, &err);
		return;
	}
	if (m.wrong_method) {
		err_set(&err, ERR_METHOD, "%s is not allowed here; use %s",
			http_method_name(head->method), http_method_name(m.endpoint->method));
		reply_error(env, r, d, &err);
		return;
	}
	if (m.endpoint->kind == ENDPOINT_INFERENCE)
		intake_begin(env, r, &m);
	else
		local_answer(env, r, &m);
}

static void on_refuse(void *user, struct span target, const struct err *why,
	struct http_reply *reply, struct buf *body)
{
	struct exchange_env *env = user;
	const struct dialect *d = endpoint_dialect(span_cut(&target, '?'), false);
	const char *request_id = env->refused_id;
	struct id id;

	exchange_make_id(env, &id);
	id_write_request(&id, env->refused_id);
	env->refused_fields[0] = (struct http_field){SPAN("x-request-id"), span_of(request_id)};
	env->refused_fields[1] = (struct http_field){SPAN("request-id"), span_of(request_id)};
	reply->fields = env->refused_fields;
	reply->n = 2;
	d->write_error(why, "router", request_id, NULL, NULL, body);
	meters_local(env, NULL, NULL, request_id, err_row(why->code)->status, why);
}

const struct http_service exchange_service = {.request = on_request, .refuse = on_refuse};
