/* SPDX-License-Identifier: Apache-2.0 */
#include "control/manage/endpoint.h"
#include "machine/base/json_put.h"
#include "state/ledger/price.h"

#define PAGE 100
#define MAX_PAGE 1000

/* ---- one as shown ---- */

static bool on_correction(void *user, const struct correction *c)
{
	struct buf *b = user;

	json_put_open(b, NULL, '{');
	manage_put_time(b, "at", c->at_ms);
	manage_put_difference(b, "difference", c->nusd);
	json_put_str(b, "actor", c->actor);
	json_put_str(b, "why", c->why);
	return buf_append_char(b, '}');
}

static void put_usage(struct buf *b, const struct llm_usage *u)
{
	json_put_int(b, "input_tokens", llm_usage_input(u));
	json_put_int(b, "cached_tokens", u->cache_read);
	json_put_int(b, "caching_tokens", u->cache_write_5m + u->cache_write_1h);
	json_put_int(b, "output_tokens", u->output);
	json_put_int(b, "reasoning_tokens", u->reasoning);
}

/* The row of the price by which it was settled, in nano-USD a million (an hour, a picture). */
static void put_price(struct buf *b, const struct request_row *r)
{
	struct llm_price price = r->price;

	if (r->price_source == LLM_PRICE_NOWHERE) {
		json_put_null(b, "price");
		return;
	}
	json_put_open(b, "price", '{');
	json_put_cstr(b, "source", llm_price_source_name(r->price_source));
	json_put_int(b, "above_tokens", price.above_tokens);
	for (int i = 0; llm_price_name(i) != NULL; i++)
		if (*llm_price_at(&price, i) >= 0)
			json_put_int(b, llm_price_name(i), *llm_price_at(&price, i));
	buf_append_char(b, '}');
}

static void put_request(struct buf *b, const struct request_row *r, bool final)
{
	char id[ID_REQUEST_CHARS + 1];

	id_write_request(&r->id, id);
	json_put_cstr(b, "id", id);
	manage_put_time(b, "started_at", r->started_ms);
	manage_put_id(b, "api_key_id", &r->key_id);
	json_put_str(b, "operation", r->op);
	json_put_str(b, "model_requested", r->model_asked);
	json_put_str(b, "provider_used", r->provider);
	json_put_str(b, "model_used", r->model_served);
	json_put_str(b, "user_id", r->user_id);
	json_put_str(b, "tool", r->tool);
	json_put_str(b, "provider_request_id", r->upstream_id);
	json_put_bool(b, "ended", final);
	json_put_int(b, "status", r->status);
	json_put_cstr(b, "outcome", request_outcome_name(r->outcome));
	json_put_cstr(b, "basis", request_basis_name(r->basis));
	json_put_bool(b, "overrun", r->overrun);
	json_put_int(b, "duration_ms", r->duration_us / 1000);
	put_usage(b, &r->usage);
	put_price(b, r);
}

static bool write_request(
	struct manage_call *call, const struct request_row *r, bool final, struct err *err)
{
	struct buf *b = call->answer;
	int64_t n, nusd;

	if (!correction_sum(call->store, &r->id, &n, &nusd, err))
		return false;
	json_put_open(b, NULL, '{');
	put_request(b, r, final);
	if (r->cost_nusd == COST_UNKNOWN)
		json_put_null(b, "settled_cost");
	else
		manage_put_money(b, "settled_cost", r->cost_nusd);
	if (r->cost_nusd == COST_UNKNOWN && n == 0)
		json_put_null(b, "cost");
	else
		manage_put_money(
			b, "cost", (r->cost_nusd != COST_UNKNOWN ? r->cost_nusd : 0) + nusd);
	json_put_open(b, "corrections", '[');
	if (n > 0 && !correction_each(call->store, &r->id, on_correction, b, err))
		return false;
	return buf_append_cstr(b, "]}") || err_set(err, ERR_NO_MEMORY, NULL);
}

struct listing {
	struct manage_call *call;
	struct err *err;
	struct id last;
	int64_t n;
	bool ok;
};

static bool on_request(void *user, const struct request_row *r, bool final)
{
	struct listing *l = user;

	l->ok = write_request(l->call, r, final, l->err);
	l->last = r->id;
	l->n++;
	return l->ok;
}

static bool read_id(struct span text, struct id *id)
{
	return id_read_request(text, id) || id_read_uuid(text, id);
}

static bool path_id(const struct manage_call *call, struct id *id, struct err *err)
{
	return read_id(call->place.id, id) ||
	       manage_bad(err, "id", "must be a request's id: req_...");
}

/* ---- lists ---- */

static bool read_query(const struct manage_call *call, struct request_query *q, struct err *err)
{
	struct span query = call->query, text;
	char room[ID_UUID_CHARS + 4];
	int64_t limit = PAGE;

	if (!manage_count(call, "limit", MAX_PAGE, &limit, err))
		return false;
	q->limit = (int)limit;
	text = manage_param(&query, "before", room, sizeof(room));
	return text.n == 0 || read_id(text, &q->before) ||
	       manage_bad(err, "before", "must be a request's id: req_...");
}

/* Newest first; `before` goes on where a page ended. */
static bool list(struct manage_call *call, struct request_query *q, struct err *err)
{
	struct listing l = {.call = call, .err = err, .ok = true};
	char id[ID_REQUEST_CHARS + 1];

	buf_append_cstr(call->answer, "{\"requests\":[");
	if (!request_list(call->store, q, on_request, &l, err) || !l.ok)
		return false;
	buf_append_char(call->answer, ']');
	id_write_request(&l.last, id);
	if (l.n == q->limit)
		json_put_cstr(call->answer, "next_before", id);
	else
		json_put_null(call->answer, "next_before");
	return buf_append_char(call->answer, '}') || err_set(err, ERR_NO_MEMORY, NULL);
}

bool manage_request_list(struct manage_call *call, struct err *err)
{
	struct request_query q = {0};

	return read_query(call, &q, err) && list(call, &q, err);
}

bool manage_key_requests(struct manage_call *call, struct err *err)
{
	struct request_query q = {0};
	struct key_row row;

	return manage_key_id(call, &q.key_id, err) && read_query(call, &q, err) &&
	       (!call->caller->member || manage_key_find(call, &row, err)) && list(call, &q, err);
}

bool manage_request_show(struct manage_call *call, struct err *err)
{
	struct listing l = {.call = call, .err = err, .ok = true};
	struct id id;
	bool found;

	return path_id(call, &id, err) &&
	       request_find(call->store, &id, on_request, &l, &found, err) && l.ok &&
	       (found || err_set(err, ERR_NOT_FOUND, "There is no request of that id"));
}

/* ---- corrections ---- */

static bool read_wanted(
	const struct manage_call *call, int64_t *nusd, char why[129], struct err *err)
{
	yyjson_doc *doc = manage_body(call, err);
	yyjson_val *body = yyjson_doc_get_root(doc), *amount = json_get(body, "amount"),
		   *reason = json_get(body, "why");
	bool ok = doc != NULL;

	if (ok && amount == NULL)
		ok = manage_bad(err, "amount", "is missing: what the request cost, in US dollars");
	if (ok && reason == NULL)
		ok = manage_bad(err, "why", "is missing");
	ok = ok && manage_money(amount, "amount", nusd, err) &&
	     manage_name(reason, "why", why, err);
	json_free(doc);
	return ok;
}

static bool audit(
	struct manage_call *call, const struct correction *c, int64_t nusd, struct err *err)
{
	struct buf old, new;
	bool ok;

	buf_init(&old, 4096);
	buf_init(&new, 4096);
	buf_append_char(&old, '{');
	if (c->priced)
		json_put_null(&old, "cost");
	else
		manage_put_money(&old, "cost", c->before_nusd);
	buf_append_char(&old, '}');
	buf_append_char(&new, '{');
	manage_put_money(&new, "cost", nusd);
	json_put_str(&new, "why", c->why);
	buf_append_char(&new, '}');
	ok = manage_audit(
		call, "request.correct", &c->request_id, buf_span(&old), buf_span(&new), err);
	buf_done(&old);
	buf_done(&new);
	return ok;
}

bool manage_request_correct(struct manage_call *call, struct err *err)
{
	struct sys *sys = call->env->sys;
	char actor[64], why[129];
	struct correction c = {.at_ms = sys->wall_ms(sys)};
	uint8_t random[10];
	int64_t nusd;

	if (!path_id(call, &c.request_id, err) || !read_wanted(call, &nusd, why, err))
		return false;
	if (!sys->random(sys, random, sizeof(random)))
		return err_set(err, ERR_INTERNAL, "The system gives no random bytes");
	id_make(&c.id, c.at_ms, random);
	manage_actor(call->caller, actor);
	c.actor = span_of(actor);
	c.why = span_of(why);
	if (!correction_put(call->store, &c, nusd, err) || !audit(call, &c, nusd, err))
		return false;
	call->corrected = c;
	buf_append_char(call->answer, '{');
	manage_put_money(call->answer, "cost", nusd);
	manage_put_difference(call->answer, "difference", c.nusd);
	return buf_append_char(call->answer, '}') || err_set(err, ERR_NO_MEMORY, NULL);
}
