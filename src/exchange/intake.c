/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"
#include <stdlib.h>
#include "machine/base/text.h"
#include "machine/http/multipart.h"

#define MAX_HEADER_EXTRAS 32
#define MAX_HEADER_EXTRA_BYTES 1024
#define MAX_PRODUCT_BYTES 64

bool intake_identify(struct exchange_env *env, const struct http_head *head, bool absent_ok,
	bool *found, struct auth_identity *who, struct err *err)
{
	struct span authorization = http_field(head, "authorization");
	struct span x_api_key = http_field(head, "x-api-key");
	struct span api_key = http_field(head, "api-key");
	struct span key;

	*found = false;
	if (http_field_count(head, "authorization") > 1 ||
		http_field_count(head, "x-api-key") > 1 || http_field_count(head, "api-key") > 1)
		return err_set(
			err, ERR_KEY_MALFORMED, "A credential header is sent twice; send it once");
	if (authorization.p == NULL && x_api_key.p == NULL && api_key.p == NULL && absent_ok)
		return true;
	if (!auth_read_headers(authorization, x_api_key, api_key, &key, err) ||
		!auth_find(env->auth, key, env->loop->sys->wall_ms(env->loop->sys), who, err))
		return false;
	*found = true;
	return true;
}

static bool is_reserved(struct span name)
{
	return span_eq_nocase(name, SPAN("cache")) || span_eq_nocase(name, SPAN("policy"));
}

/* "Ai-Agent" -> "ai_agent"; names that would need quoting are left out. */
static bool dimension_name(struct span name, char out[64])
{
	if (name.n == 0 || name.n >= 64)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c | 0x20);
		if (c == '-')
			c = '_';
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
			return false;
		out[i] = c;
	}
	out[name.n] = '\0';
	return true;
}

static bool has_member(struct span object, const char *key)
{
	struct json_member m;
	size_t at = 0;

	while (json_next(object, &at, &m))
		if (m.key.p != NULL && json_key_is(m.key, key))
			return true;
	return false;
}

/*
 * A field's value as text that can be stored. RFC 9110 section 5.5: what is not US-ASCII was
 * ISO-8859-1 once; most clients send UTF-8, some still that.
 */
static struct span field_text(struct span value, char out[2 * MAX_HEADER_EXTRA_BYTES])
{
	size_t n = 0;

	if (text_is_utf8(value))
		return text_head(value, MAX_HEADER_EXTRA_BYTES);
	value = span_head(value, MAX_HEADER_EXTRA_BYTES);
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (c >= 0x80)
			out[n++] = (char)(0xc0 | c >> 6);
		out[n++] = (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c);
	}
	return (struct span){out, n};
}

/* The X-Requesty-<Name> fields as a JSON object; of two with one name the first counts. */
static void write_dimensions(const struct http_head *head, struct buf *b)
{
	const struct span prefix = SPAN("x-requesty-");
	int n = 0;

	buf_append_char(b, '{');
	for (int i = 0; i < head->n && n < MAX_HEADER_EXTRAS; i++) {
		struct span name = head->fields[i].name;
		size_t before = b->n;
		char dimension[64], text[2 * MAX_HEADER_EXTRA_BYTES];
		bool twice;

		if (!span_starts_nocase(name, prefix))
			continue;
		name = span_skip(name, prefix.n);
		if (is_reserved(name) || !dimension_name(name, dimension))
			continue;
		buf_append_char(b, '}');
		twice = n > 0 && has_member(buf_span(b), dimension);
		b->n = before;
		if (twice)
			continue;
		if (n++ > 0)
			buf_append_char(b, ',');
		text_json_string(b, span_of(dimension));
		buf_append_char(b, ':');
		text_json_string(b, field_text(head->fields[i].value, text));
	}
	buf_append_char(b, '}');
}

/* {NULL, 0}: there are none, or x->err says why they cannot be kept. */
static struct span read_dimensions(struct exchange *x, const struct http_head *head)
{
	struct span made = {NULL, 0};
	struct buf b;

	buf_init(&b, RECORD_MAX_TEXT_BYTES);
	write_dimensions(head, &b);
	if (b.failed)
		err_set(&x->err, ERR_BAD_REQUEST,
			"The X-Requesty-* fields are over %d bytes together, written as JSON",
			RECORD_MAX_TEXT_BYTES);
	else if (b.n > 2)
		made = arena_copy(&x->arena, buf_span(&b));
	buf_done(&b);
	return made;
}

/* "claude-cli/2.1 (external)" is claude-cli: versions would part what belongs together. */
static struct span read_product(struct exchange *x, struct span agent)
{
	size_t n = 0;

	while (n < agent.n && n < MAX_PRODUCT_BYTES && agent.p[n] > ' ' && agent.p[n] < 0x7f &&
		agent.p[n] != '/' && agent.p[n] != ';' && agent.p[n] != '(')
		n++;
	return n > 0 ? arena_copy(&x->arena, span_head(agent, n)) : (struct span){NULL, 0};
}

static void read_attribution(struct exchange *x, const struct http_head *head)
{
	struct span referer = http_field(head, "http-referer"), title = http_field(head, "x-title");
	char text[2 * MAX_HEADER_EXTRA_BYTES];

	if (referer.n > 0)
		x->referer = arena_copy(&x->arena, field_text(referer, text));
	if (title.n > 0)
		x->title = arena_copy(&x->arena, field_text(title, text));
	x->tool = x->title.n > 0 ? x->title : read_product(x, http_field(head, "user-agent"));
	x->headers_extra = read_dimensions(x, head);
}

/* Whether the request may begin at all; its body has not been read. */
static bool admit(struct exchange_env *env, const struct http_head *head, struct err *err)
{
	const struct conf *c = env->snapshot->conf;
	int64_t length = head->content_length > 0 ? head->content_length : 0;
	struct span coding = http_field(head, "content-encoding");

	if (coding.n > 0 && !span_eq_nocase(coding, SPAN("identity")))
		return err_set(err, ERR_MEDIA_TYPE,
			"Content-Encoding %.*s of a request is not supported; send the body "
			"uncompressed",
			(int)(coding.n > 32 ? 32 : coding.n), coding.p);
	if (length > c->max_body_bytes)
		return err_set(err, ERR_TOO_LARGE,
			"The body of %lld bytes is over the limit of %lld bytes", (long long)length,
			(long long)c->max_body_bytes);
	if (env->draining)
		return err_set(err, ERR_SHUTTING_DOWN, NULL);
	if (!journal_ok(env->journal))
		return err_set(
			err, ERR_OVERLOADED, "The gateway cannot write its records at the moment");
	if (ingest_backlog_bytes(env->ingest) > c->max_journal_bytes)
		return err_set(err, ERR_STORE_DOWN,
			"The database is not available, and the records that wait for it have "
			"reached limits.max_journal");
	if (exchange_is_full(env, length))
		return err_set(err, ERR_OVERLOADED,
			"The gateway holds as many bodies as its memory limit allows");
	return true;
}

static void on_body(void *user, struct span bytes)
{
	struct exchange *x = user;
	const struct conf *c = x->snapshot->conf;

	if (x->step != STEP_RECEIVE)
		return;
	if ((int64_t)(x->body.n + bytes.n) > c->max_body_bytes) {
		err_set(&x->err, ERR_TOO_LARGE, "The body is over the limit of %lld bytes",
			(long long)c->max_body_bytes);
		exchange_fail(x);
		return;
	}
	if (!buf_append(&x->body, bytes)) {
		err_set(&x->err, ERR_NO_MEMORY, NULL);
		exchange_fail(x);
		return;
	}
	exchange_count_bytes(x);
	if (exchange_is_full(x->env, 0)) {
		err_set(&x->err, ERR_OVERLOADED,
			"The gateway holds as many bodies as its memory limit allows");
		exchange_fail(x);
	}
}

static void on_body_end(void *user)
{
	struct exchange *x = user;

	if (x->step != STEP_RECEIVE)
		return;
	x->received_us = loop_now_us(x->env->loop);
	exchange_advance(x);
}

static void on_gone(void *user, const struct err *why)
{
	close_client_gone(user, why);
}

static void on_drain(void *user)
{
	relay_client_drained(user);
}

static const struct http_request_events request_events = {
	.body = on_body, .body_end = on_body_end, .gone = on_gone, .drain = on_drain};

static struct exchange *make(struct exchange_env *env, struct http_request *r,
	const struct endpoint_match *m, const struct auth_identity *who)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	x->env = env;
	x->request = r;
	x->step = STEP_RECEIVE;
	x->endpoint = m->endpoint;
	x->hint = m->hint;
	x->dialect = dialect_of(m->endpoint->op);
	x->who = *who;
	x->snapshot = snapshot_ref(env->snapshot);
	x->wall_ms = env->loop->sys->wall_ms(env->loop->sys);
	x->start_us = loop_now_us(env->loop);
	x->cost_nusd = 0;
	arena_init(&x->arena, EXCHANGE_ARENA_BYTES);
	buf_init(&x->body, (size_t)env->snapshot->conf->max_body_bytes);
	buf_init(&x->held, (size_t)env->snapshot->conf->max_answer_bytes);
	sse_init(&x->sse, (size_t)env->snapshot->conf->max_event_bytes);
	eventstream_init(&x->frames, (size_t)env->snapshot->conf->max_event_bytes);
	timer_init(&x->timer, env->loop, NULL);
	list_init(&x->waiter.node);
	list_init(&x->token_node);
	exchange_make_id(env, &x->id);
	id_write_request(&x->id, x->request_id);
	list_add_back(&env->exchanges, &x->node);
	env->n_exchanges++;
	return x;
}

void intake_begin(struct exchange_env *env, struct http_request *r, const struct endpoint_match *m)
{
	const struct http_head *head = request_head(r);
	const struct dialect *d = dialect_of(m->endpoint->op);
	struct auth_identity who;
	struct err err = {0};
	struct exchange *x;
	bool found;

	if (!intake_identify(env, head, false, &found, &who, &err) || !admit(env, head, &err)) {
		reply_error(env, r, d, &err);
		return;
	}
	if (who.completions != PERMISSION_WRITE) {
		err_set(&err, ERR_FORBIDDEN,
			"Key \"%s\" may not call models (completions: %s); make one with "
			"completions: write",
			who.name, permission_name(who.completions));
		reply_error(env, r, d, &err);
		return;
	}
	x = make(env, r, m, &who);
	if (x == NULL) {
		err_set(&err, ERR_NO_MEMORY, NULL);
		reply_error(env, r, d, &err);
		return;
	}
	read_attribution(x, head);
	meters_begin(env);
	request_bind(r, &request_events, x);
	exchange_begin(x);
}

enum move step_receive(struct exchange *x)
{
	const struct http_head *head = request_head(x->request);

	if (x->err.code != ERR_OK)
		return MOVE_FAIL;
	/* Room for what is announced, as far as it is credible before it comes. */
	if (head->content_length > 0)
		buf_room(&x->body,
			(size_t)(head->content_length < 65536 ? head->content_length : 65536));
	exchange_count_bytes(x);
	request_continue(x->request);
	return MOVE_WAIT;
}

/* The body's `extra` and the X-Requesty-* fields in one object; the body wins. */
static bool merge_extra(struct exchange *x)
{
	struct span extra = x->meta.extra;
	struct json_member m;
	size_t at = 0;
	struct buf b;
	bool some;

	if (extra.n + x->headers_extra.n > RECORD_MAX_TEXT_BYTES) {
		err_param(&x->err, "requesty.extra");
		return err_set(&x->err, ERR_BAD_REQUEST,
			"'requesty.extra' and the X-Requesty-* fields are over %d bytes together",
			RECORD_MAX_TEXT_BYTES);
	}
	if (x->headers_extra.n == 0)
		return true;
	if (extra.n < 2) {
		x->meta.extra = x->headers_extra;
		return true;
	}
	some = json_next(extra, &at, &m);
	buf_init(&b, extra.n + x->headers_extra.n);
	buf_append(&b, span_head(extra, extra.n - 1));
	at = 0;
	while (json_next(x->headers_extra, &at, &m)) {
		char name[64] = "";

		memcpy(name, m.key.p, m.key.n); /* of dimension_name */
		if (has_member(extra, name))
			continue;
		buf_printf(&b, "%s\"%s\":", some ? "," : "", name);
		buf_append(&b, m.value);
		some = true;
	}
	buf_append_char(&b, '}');
	x->meta.extra = arena_copy(&x->arena, buf_span(&b));
	x->arena.failed |= b.failed;
	buf_done(&b);
	return true;
}

/* Bytes of all text values: what a prompt is made of, whatever its format. Depth is bounded by
 * json_read. */
static size_t text_bytes(yyjson_val *v)
{
	size_t i, max, n = 0;
	yyjson_val *key, *item;

	if (yyjson_is_str(v))
		return yyjson_get_len(v);
	if (yyjson_is_arr(v)) {
		yyjson_arr_foreach(v, i, max, item) n += text_bytes(item);
	} else if (yyjson_is_obj(v)) {
		yyjson_obj_foreach(v, i, max, key, item) n += text_bytes(item);
	}
	return n;
}

static bool read_json(struct exchange *x)
{
	struct span text = buf_span(&x->body);
	yyjson_doc *doc = json_read(&x->env->scratch, text, &x->err);
	bool ok;

	if (doc == NULL)
		return false;
	if (!yyjson_is_obj(yyjson_doc_get_root(doc))) {
		json_free(doc);
		return err_set(&x->err, ERR_BAD_REQUEST, "The body must be a JSON object");
	}
	ok = x->dialect->read_facts(x->endpoint->op, yyjson_doc_get_root(doc), text, &x->arena,
		&x->facts, &x->meta, &x->err);
	/* The document's memory is used again by the next request. */
	x->facts.model = arena_copy(&x->arena, x->facts.model);
	x->facts.user = arena_copy(&x->arena, x->facts.user);
	x->text_bytes = text_bytes(yyjson_doc_get_root(doc));
	json_free(doc);
	return ok;
}

static bool read_body(struct exchange *x)
{
	struct span boundary =
		multipart_boundary(http_field(request_head(x->request), "content-type"));

	if (boundary.n > 0 && (form_is_wanted(x) || x->endpoint->op == LLM_OP_IMAGE_EDITS))
		return form_read(x, boundary);
	if (form_is_wanted(x))
		return err_set(&x->err, ERR_MEDIA_TYPE,
			"This endpoint takes multipart/form-data with a 'file' and a 'model'");
	return read_json(x);
}

enum move step_decode(struct exchange *x)
{
	if (!read_body(x))
		return MOVE_FAIL;
	if (x->meta.user_id.n == 0)
		x->meta.user_id = x->facts.user;
	if (!merge_extra(x))
		return MOVE_FAIL;
	if (x->arena.failed) {
		err_set(&x->err, ERR_NO_MEMORY, NULL);
		return MOVE_FAIL;
	}
	return MOVE_NEXT;
}
