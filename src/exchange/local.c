/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"
#include "machine/base/text.h"
#include "state/auth/access.h"

/* Probes come every few seconds for ever: they are no news. */
static bool is_logged(enum endpoint_kind kind)
{
	return kind == ENDPOINT_MODELS || kind == ENDPOINT_MODEL || kind == ENDPOINT_AUTH_CHECK;
}

static void answer(struct exchange_env *env, struct http_request *r, int status, const char *type,
	struct span body, const char *hint, struct span etag)
{
	const struct http_head *head = request_head(r);
	const struct endpoint *e = endpoint_find(head->method, head->path).endpoint;
	char request_id[ID_REQUEST_CHARS + 1];
	struct reply reply __attribute__((uninitialized));
	struct id id;

	exchange_make_id(env, &id);
	id_write_request(&id, request_id);
	if (head->method != HTTP_OPTIONS && e != NULL && is_logged(e->kind))
		meters_local(env, e, r, request_id, status, NULL);
	reply_init(&reply, status, type);
	reply_add_id(&reply, request_id);
	if (hint != NULL)
		reply_add(&reply, "x-sluice-hint", span_of(hint));
	if (etag.n > 0)
		reply_add(&reply, "etag", etag);
	reply_add_cors(&reply, env->snapshot, head);
	request_answer(r, &reply.http, body);
}

static void json(
	struct exchange_env *env, struct http_request *r, const char *hint, struct span body)
{
	answer(env, r, 200, "application/json", body, hint, (struct span){NULL, 0});
}

/* RFC 9110 section 13.1.2: a list of tags, weak compare, or "*". */
static bool has_tag(struct span list, struct span tag)
{
	while (list.p != NULL) {
		struct span one = span_trim(span_cut(&list, ','));

		if (span_starts(one, SPAN("W/")))
			one = span_skip(one, 2);
		if (span_eq(one, tag) || span_is(one, "*"))
			return true;
	}
	return false;
}

static bool may_see(struct exchange_env *env, const struct auth_identity *who, struct span model);

/* One of its models is enough. Its nesting was checked. */
static bool may_see_policy(
	struct exchange_env *env, const struct auth_identity *who, struct span name)
{
	const struct policy *p = snapshot_policy(env->snapshot, name);

	for (int i = 0; p != NULL && i < p->n; i++)
		if (may_see(env, who, p->members[i].model))
			return true;
	return false;
}

/* Usable for some kind of request. */
static bool may_see(struct exchange_env *env, const struct auth_identity *who, struct span model)
{
	static const enum llm_op ops[] = {LLM_OP_CHAT, LLM_OP_EMBEDDINGS, LLM_OP_IMAGES,
		LLM_OP_TRANSCRIPTIONS, LLM_OP_SPEECH};
	struct span policy = policy_name_in(model);
	char list[129];

	if (policy.p != NULL)
		return may_see_policy(env, who, policy);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (access_allows(auth_access(env->auth), who, ops[i], model, list))
			return true;
	return false;
}

/* What the key may use of the list; without a tag: it changes with access lists. */
static void some_models(struct exchange_env *env, struct http_request *r, const char *hint,
	const struct auth_identity *who)
{
	const struct snapshot *s = env->snapshot;
	const struct model_entry *first = NULL, *last = NULL;
	struct buf b;

	buf_init(&b, s->model_list.n + 1024);
	buf_append_cstr(&b, "{\"object\":\"list\",\"data\":[");
	for (int i = 0; i < s->n_models; i++) {
		if (!may_see(env, who, s->models[i].id))
			continue;
		if (first != NULL)
			buf_append_char(&b, ',');
		else
			first = &s->models[i];
		last = &s->models[i];
		buf_append(&b, last->object);
	}
	snapshot_end_list(&b, first, last);
	json(env, r, hint, buf_span(&b));
	buf_done(&b);
}

static void models(struct exchange_env *env, struct http_request *r, const char *hint,
	const struct auth_identity *who)
{
	const struct snapshot *s = env->snapshot;
	struct span etag = span_of(s->etag);

	if (who != NULL && access_is_limited(auth_access(env->auth), who))
		some_models(env, r, hint, who);
	else if (has_tag(http_field(request_head(r), "if-none-match"), etag))
		answer(env, r, 304, NULL, (struct span){NULL, 0}, hint, etag);
	else
		answer(env, r, 200, "application/json", buf_span(&s->model_list), hint, etag);
}

/* Ids hold slashes; clients send them raw or as %2F (and '@' and ':' as %40 and %3A). */
static bool read_id(struct span sent, char out[512], struct span *id)
{
	size_t n = 0;

	for (size_t i = 0; i < sent.n; i++) {
		uint8_t c = (uint8_t)sent.p[i];

		if (c == '%') {
			if (i + 2 >= sent.n ||
				!text_unhex(&c, 1, (struct span){sent.p + i + 1, 2}) ||
				(c != '/' && c != '@' && c != ':'))
				return false;
			i += 2;
		}
		if (n == 512)
			return false;
		out[n++] = (char)c;
	}
	*id = (struct span){out, n};
	return true;
}

static void model(struct exchange_env *env, struct http_request *r, const struct endpoint_match *m,
	const struct auth_identity *who)
{
	const struct http_head *head = request_head(r);
	const struct model_entry *entry = NULL;
	struct err err = {0};
	char text[512];
	struct span id;

	if (read_id(m->rest, text, &id))
		entry = snapshot_entry(env->snapshot, id);
	if (entry != NULL && (who == NULL || may_see(env, who, entry->id))) {
		json(env, r, m->hint, entry->object);
		return;
	}
	err_set(&err, ERR_MODEL_NOT_FOUND, "There is no model \"%.*s\" in the list",
		(int)(m->rest.n > 128 ? 128 : m->rest.n), m->rest.p);
	reply_error(env, r,
		endpoint_dialect(head->path, http_field(head, "anthropic-version").p != NULL),
		&err);
}

static void auth_check(struct exchange_env *env, struct http_request *r, const char *hint,
	const struct auth_identity *who)
{
	char id[ID_UUID_CHARS + 1];
	struct buf b;

	buf_init(&b, 4096);
	id_write_uuid(&who->key_id, id);
	buf_printf(&b, "{\"valid\":true,\"id\":\"%s\",\"name\":", id);
	text_json_string(&b, span_of(who->name));
	buf_printf(&b, ",\"permissions\":{\"manage\":\"%s\",\"completions\":\"%s\"}}",
		permission_name(who->manage), permission_name(who->completions));
	json(env, r, hint, buf_span(&b));
	buf_done(&b);
}

static void ready(struct exchange_env *env, struct http_request *r)
{
	bool journal = journal_ok(env->journal);
	bool room = ingest_backlog_bytes(env->ingest) <= env->snapshot->conf->max_journal_bytes;
	bool ok = journal && room && !env->draining;
	struct buf b;

	buf_init(&b, 1024);
	buf_printf(&b,
		"{\"status\":\"%s\",\"checks\":{\"journal\":\"%s\",\"database\":\"%s\","
		"\"accepting\":\"%s\"}}",
		ok ? "ready" : "unavailable",
		!journal ? "cannot write"
		: !room  ? "full"
			 : "ok",
		ingest_store_ok(env->ingest) ? "ok" : "away; records wait in the journal",
		env->draining ? "draining" : "ok");
	answer(env, r, ok ? 200 : 503, "application/json", buf_span(&b), NULL,
		(struct span){NULL, 0});
	buf_done(&b);
}

static void metrics(struct exchange_env *env, struct http_request *r)
{
	struct buf b;

	metric_set(metric_series(env->metrics, METRIC_CONNECTIONS, NULL),
		http_server_connections(env->server));
	buf_init(&b, 16u << 20);
	if (metrics_write(env->registry, &b)) {
		answer(env, r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_span(&b), NULL,
			(struct span){NULL, 0});
	} else {
		struct err err = {0};

		err_set(&err, ERR_NO_MEMORY, NULL);
		reply_error(env, r, dialect_of(LLM_OP_CHAT), &err);
	}
	buf_done(&b);
}

/* The numbers tell what a business does: open to this machine, else to keys that may manage. */
static bool may_read_metrics(struct exchange_env *env, struct http_request *r,
	const struct auth_identity *who, bool found, struct err *err)
{
	const char *peer = request_peer(r);

	if (request_is_local_socket(r) || strncmp(peer, "127.", 4) == 0 ||
		strncmp(peer, "[::1]", 5) == 0)
		return true;
	if (!found)
		return err_set(err, ERR_UNAUTHENTICATED,
			"Metrics are open to this machine only; send a key with manage: read");
	if (who->manage == PERMISSION_NONE)
		return err_set(err, ERR_FORBIDDEN, "Key \"%s\" may not read metrics (manage: none)",
			who->name);
	return true;
}

void local_answer(struct exchange_env *env, struct http_request *r, const struct endpoint_match *m)
{
	enum endpoint_kind kind = m->endpoint->kind;
	const struct http_head *head = request_head(r);
	struct auth_identity who;
	struct err err = {0};
	bool found = false;

	if (m->hint != NULL)
		metric_add(metric_series(env->metrics, METRIC_BASE_URL_HINTS, NULL), 1);
	if (kind != ENDPOINT_HELLO && kind != ENDPOINT_LIVE && kind != ENDPOINT_READY &&
		!intake_identify(env, head, kind != ENDPOINT_AUTH_CHECK, &found, &who, &err))
		goto refuse;
	switch (kind) {
	case ENDPOINT_MODELS:
		models(env, r, m->hint, found ? &who : NULL);
		return;
	case ENDPOINT_MODEL:
		model(env, r, m, found ? &who : NULL);
		return;
	case ENDPOINT_AUTH_CHECK:
		auth_check(env, r, m->hint, &who);
		return;
	case ENDPOINT_HELLO:
		json(env, r, m->hint, SPAN("{\"message\":\"hello\",\"product\":\"sluice\"}"));
		return;
	case ENDPOINT_LIVE:
		json(env, r, m->hint, SPAN("{\"status\":\"live\"}"));
		return;
	case ENDPOINT_READY:
		ready(env, r);
		return;
	case ENDPOINT_METRICS:
		if (!may_read_metrics(env, r, &who, found, &err))
			goto refuse;
		metrics(env, r);
		return;
	case ENDPOINT_INFERENCE:
		break;
	}
	err_set(&err, ERR_INTERNAL, NULL);
refuse:
	reply_error(env, r,
		endpoint_dialect(head->path, http_field(head, "anthropic-version").p != NULL),
		&err);
}

void local_preflight(struct exchange_env *env, struct http_request *r)
{
	answer(env, r, 204, NULL, (struct span){NULL, 0}, NULL, (struct span){NULL, 0});
}
