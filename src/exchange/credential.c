/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/credential.h"
#include <assert.h>
#include <stdlib.h>
#include "exchange/exchange.h"

#define MAX_ANSWER_BYTES 65536
#define MAX_FORM_BYTES 16384
#define REFRESH_BEFORE_MS (5 * 60000) /* or a fifth of its life, what is less */
#define MARGIN_MS 10000               /* a token that ends on its way is none */
#define CONNECT_MS 5000
#define CALL_MS 15000

/* The tokens of one account. */
struct credential {
	struct list node; /* env->credentials */
	struct exchange_env *env;
	struct login *login;
	struct list waiting; /* exchanges, by token_node */
	struct http_call *call;
	int status;
	struct buf form, answer;
	struct arena arena; /* of the token */
	struct span token;
	int64_t refresh_ms, end_ms; /* by the loop's clock */
};

/* ---- accounts ---- */

struct login *login_new(struct span json, struct err *err)
{
	struct login *l = calloc(1, sizeof(*l));
	struct err why = {0};

	if (l == NULL) {
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	l->refs = 1;
	arena_init(&l->arena, 1u << 20);
	if (google_account_read(json, &l->arena, &l->account, err)) {
		l->key = jwt_key_new(l->account.private_key, &why);
		if (l->key != NULL)
			return l;
		err_set(err, why.code, "private_key of the service account %s", why.text);
	}
	login_unref(l);
	return NULL;
}

bool login_set_tls(struct login *l, struct tls_context *tls, struct err *err)
{
	struct err why = {0};
	const char *path;

	l->origin = http_origin_new(l->account.token_uri.p, tls, &path, &why);
	if (l->origin == NULL)
		return err_set(err, why.code == ERR_NO_MEMORY ? why.code : ERR_CONFIG,
			"token_uri of the service account: %s", why.text);
	l->target = arena_copy(&l->arena, *path != '\0' ? span_of(path) : SPAN("/"));
	return !l->arena.failed || err_set(err, ERR_NO_MEMORY, NULL);
}

struct login *login_ref(struct login *l)
{
	__atomic_add_fetch(&l->refs, 1, __ATOMIC_RELAXED);
	return l;
}

void login_unref(struct login *l)
{
	if (l == NULL || __atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (l->account.private_key.n > 0)
		explicit_bzero((char *)l->account.private_key.p, l->account.private_key.n);
	jwt_key_unref(l->key);
	http_origin_unref(l->origin);
	arena_done(&l->arena);
	free(l);
}

/* ---- the worker's tokens ---- */

static void forget_token(struct credential *c)
{
	if (c->token.n > 0)
		explicit_bzero((char *)c->token.p, c->token.n);
	c->token = (struct span){NULL, 0};
	arena_done(&c->arena);
	arena_init(&c->arena, MAX_ANSWER_BYTES);
}

static void forget_call(struct credential *c)
{
	if (c->call != NULL)
		http_call_cancel(c->call);
	c->call = NULL;
	if (c->answer.mem != NULL)
		explicit_bzero(c->answer.mem, c->answer.cap);
	buf_done(&c->answer);
	buf_done(&c->form);
}

static void free_credential(struct credential *c)
{
	assert(list_empty(&c->waiting));
	forget_call(c);
	forget_token(c);
	arena_done(&c->arena);
	login_unref(c->login);
	list_remove(&c->node);
	free(c);
}

/* Accounts that no configuration names any more. */
static void drop_old(struct exchange_env *env)
{
	LIST_EACH_SAFE(pos, &env->credentials)
	{
		struct credential *c = LIST_ITEM(pos, struct credential, node);

		if (c->call == NULL && list_empty(&c->waiting) &&
			__atomic_load_n(&c->login->refs, __ATOMIC_RELAXED) == 1)
			free_credential(c);
	}
}

static struct credential *find(struct exchange_env *env, const struct login *login)
{
	LIST_EACH(pos, &env->credentials)
	{
		struct credential *c = LIST_ITEM(pos, struct credential, node);

		if (c->login == login)
			return c;
	}
	return NULL;
}

static struct credential *find_or_make(struct exchange_env *env, struct login *login)
{
	struct credential *c = find(env, login);

	if (c != NULL)
		return c;
	drop_old(env);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->env = env;
	c->login = login_ref(login);
	list_init(&c->waiting);
	arena_init(&c->arena, MAX_ANSWER_BYTES);
	buf_init(&c->form, MAX_FORM_BYTES);
	buf_init(&c->answer, MAX_ANSWER_BYTES);
	list_add_back(&env->credentials, &c->node);
	return c;
}

/* ---- asking for one ---- */

static bool take(struct exchange *x, const struct credential *c)
{
	x->token = arena_copy(&x->arena, c->token);
	return x->token.p != NULL;
}

/* Those who wait go on; one of them may be the last of its kind, or ask anew. */
static void wake(struct credential *c, const struct err *why)
{
	struct list all, *node;

	list_init(&all);
	while ((node = list_take_front(&c->waiting)) != NULL)
		list_add_back(&all, node);
	while ((node = list_take_front(&all)) != NULL) {
		struct exchange *x = LIST_ITEM(node, struct exchange, token_node);

		if (why != NULL)
			err_set(&x->err, why->code, "Provider \"%.*s\": %s",
				SPAN_ARG(x->provider->name), why->text);
		else if (!take(x, c))
			err_set(&x->err, ERR_NO_MEMORY, NULL);
		if (x->err.code == ERR_OK)
			exchange_advance(x);
		else
			exchange_fail(x);
	}
}

static void on_head(void *user, const struct http_head *head)
{
	struct credential *c = user;

	c->status = head->status;
	buf_done(&c->form);
}

static void on_body(void *user, struct span bytes)
{
	struct credential *c = user;

	buf_append(&c->answer, bytes); /* what does not fit is no token */
}

static void keep(struct credential *c, struct span token, int64_t seconds)
{
	int64_t now = loop_now_ms(c->env->loop), life = seconds * 1000;
	int64_t before = life / 5 < REFRESH_BEFORE_MS ? life / 5 : REFRESH_BEFORE_MS;

	forget_token(c);
	c->token = arena_copy(&c->arena, token);
	c->end_ms = now + life - MARGIN_MS;
	c->refresh_ms = c->end_ms - before;
}

static void on_end(void *user)
{
	struct credential *c = user;
	struct err why = {0};
	struct arena a;
	struct span token;
	int64_t seconds;

	c->call = NULL;
	arena_init(&a, MAX_ANSWER_BYTES);
	if (google_token_read(c->status, buf_span(&c->answer), &a, &token, &seconds, &why)) {
		keep(c, token, seconds);
		explicit_bzero((char *)token.p, token.n);
	}
	arena_done(&a);
	forget_call(c);
	if (why.code == ERR_OK && c->token.p == NULL)
		err_set(&why, ERR_NO_MEMORY, NULL);
	wake(c, why.code != ERR_OK ? &why : NULL);
}

static void on_fail(void *user, const struct http_failure *f)
{
	struct credential *c = user;
	struct err why = {0};

	c->call = NULL;
	forget_call(c);
	err_set(&why,
		f->kind == HTTP_FAIL_TIMEOUT ? ERR_UPSTREAM_TIMEOUT : ERR_UPSTREAM_UNREACHABLE,
		"The server that gives tokens for the service account could not be asked: %s",
		f->err.code != ERR_OK ? f->err.text : "the connection failed");
	wake(c, &why);
}

static const struct http_call_events call_events = {
	.head = on_head, .body = on_body, .end = on_end, .fail = on_fail};

static bool write_form(struct credential *c, struct err *err)
{
	struct sys *sys = c->env->loop->sys;
	struct buf claims;
	bool ok;

	buf_init(&claims, MAX_FORM_BYTES);
	buf_clear(&c->form);
	ok = google_claims_write(&c->login->account, sys->wall_ms(sys) / 1000, &claims) &&
	     buf_append_cstr(&c->form, GOOGLE_FORM_HEAD);
	ok = ok ? jwt_sign(c->login->key, c->login->account.private_key_id, buf_span(&claims),
			  &c->form, err)
		: err_set(err, ERR_NO_MEMORY, NULL);
	buf_done(&claims);
	return ok;
}

static bool start(struct credential *c, struct err *err)
{
	const struct http_field fields[] = {
		{SPAN("content-type"), SPAN("application/x-www-form-urlencoded")},
		{SPAN("accept"), SPAN("application/json")}, {SPAN("user-agent"), SPAN("sluice")}};
	struct http_call_spec spec = {.origin = c->login->origin,
		.method = HTTP_POST,
		.target = c->login->target,
		.fields = fields,
		.n = 3,
		.n_body = 1,
		.timeouts = {CONNECT_MS, CALL_MS, CALL_MS, CALL_MS}};
	struct span body;

	if (c->call != NULL)
		return true;
	if (!write_form(c, err))
		return false;
	body = buf_span(&c->form);
	spec.body = &body;
	c->status = 0;
	c->call = http_call_start(c->env->client, &spec, &call_events, c);
	return c->call != NULL || err_set(err, ERR_NO_MEMORY, NULL);
}

/* ---- exchanges ---- */

enum move step_credential(struct exchange *x)
{
	struct exchange_env *env = x->env;
	int64_t now = loop_now_ms(env->loop);
	struct credential *c;

	if (x->local || x->provider->login == NULL)
		return MOVE_NEXT;
	c = find_or_make(env, x->provider->login);
	if (c == NULL) {
		err_set(&x->err, ERR_NO_MEMORY, NULL);
		return MOVE_FAIL;
	}
	if (c->token.n > 0 && now < c->end_ms) {
		/* A new one is fetched while the old one serves; that this fails is no matter yet.
		 */
		if (now >= c->refresh_ms)
			start(c, NULL);
		if (take(x, c))
			return MOVE_NEXT;
		err_set(&x->err, ERR_NO_MEMORY, NULL);
		return MOVE_FAIL;
	}
	if (!start(c, &x->err))
		return MOVE_FAIL;
	list_add_back(&c->waiting, &x->token_node);
	return MOVE_WAIT;
}

void credential_cancel(struct exchange *x)
{
	list_remove(&x->token_node);
}

void credential_forget(struct exchange *x)
{
	struct credential *c = x->provider->login != NULL ? find(x->env, x->provider->login) : NULL;

	if (c != NULL && span_eq(c->token, x->token))
		forget_token(c);
}

void credential_init(struct exchange_env *env)
{
	list_init(&env->credentials);
}

void credential_stop(struct exchange_env *env)
{
	LIST_EACH(pos, &env->credentials)
	forget_call(LIST_ITEM(pos, struct credential, node));
}

void credential_done(struct exchange_env *env)
{
	struct list *node;

	while ((node = env->credentials.next) != &env->credentials)
		free_credential(LIST_ITEM(node, struct credential, node));
}
