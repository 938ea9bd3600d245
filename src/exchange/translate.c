/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/translate.h"
#include "exchange/exchange.h"
#include "meaning/llm/schema.h"

#define ARENA_BYTES (64u << 20)
#define MAX_HELD_CALL_BYTES (4u << 20)

static struct span cost_text(void *user, const struct llm_usage *u, char out[32])
{
	return exchange_cost_text(user, u, out);
}

static bool on_event(void *user, const struct llm_event *ev);

static void init_answer(struct exchange *x, struct translation *t, int choice)
{
	struct translated *a = &t->answers[choice];

	a->of = t;
	message_init(&a->message, &t->arena,
		(size_t)x->snapshot->conf->max_answer_bytes / (size_t)t->n_answers);
	a->reading = (struct reading){.arena = &t->arena,
		.scratch = &x->env->scratch,
		.target = &t->target,
		.choice = choice};
	a->reading.flow = (struct flow){.arena = &t->arena,
		.request = t->request,
		.schema_tool = llm_schema_tool(t->request, &t->target, x->op),
		.sink = on_event,
		.user = a,
		.max_held_bytes = MAX_HELD_CALL_BYTES,
		.err = &a->reading.err};
	memcpy(&a->reading.flow.id_seed, &x->id, sizeof(a->reading.flow.id_seed));
	a->reading.flow.id_seed += (uint64_t)choice;
	flow_init(&a->reading.flow);
	a->writing = (struct writing){.arena = &t->arena,
		.request = t->request,
		.model = x->target,
		.id = span_of(x->request_id),
		.created = x->wall_ms / 1000,
		.scope = x->provider->name,
		.cost = cost_text,
		.user = x,
		.message = &a->message,
		.choice = choice};
}

/* A provider that gives one answer refuses more when its body is written. */
static bool init_answers(struct exchange *x, struct translation *t)
{
	int n = t->request->n > 1 ? (int)t->request->n : 1;

	t->answers = arena_alloc(&t->arena, (size_t)n * sizeof(*t->answers));
	if (t->answers == NULL)
		return err_set(&x->err, ERR_NO_MEMORY, NULL);
	t->n_answers = n;
	for (int i = 0; i < n; i++)
		init_answer(x, t, i);
	for (int i = 1; i < n; i++)
		t->answers[i - 1].message.other = &t->answers[i].message;
	return true;
}

static bool read_body(struct exchange *x, struct translation *t)
{
	t->doc = json_read_raw(NULL, buf_span(&x->body), false, &x->err);
	t->request = llm_request_new(&t->arena);
	if (t->doc == NULL)
		return false;
	if (t->request == NULL)
		return err_set(&x->err, ERR_NO_MEMORY, NULL);
	if (!t->from->read_request(yyjson_doc_get_root(t->doc), &t->arena, t->request, &x->err))
		return false;
	if (x->output_cap > 0)
		t->request->max_output = x->output_cap;
	return !t->arena.failed || err_set(&x->err, ERR_NO_MEMORY, NULL);
}

/*
 * Agents whose histories grow turn by turn: they gain by marks although they set none, and it is
 * documented that they get them (docs/guide). Beginnings of the x-title field.
 */
static bool is_agent(const struct exchange *x)
{
	static const char *const titles[] = {"Cline", "Roo Code", "Roo-Code", "Forge", NULL};

	for (int i = 0; titles[i] != NULL; i++)
		if (span_starts_nocase(x->title, span_of(titles[i])))
			return true;
	return false;
}

bool translate_read(struct exchange *x)
{
	struct translation *t = ARENA_NEW(&x->arena, struct translation);

	if (t == NULL)
		return err_set(&x->err, ERR_NO_MEMORY, NULL);
	arena_init(&t->arena, ARENA_BYTES);
	buf_init(&t->body, (size_t)x->snapshot->conf->max_body_bytes * 2 + (1u << 20));
	t->x = x;
	t->from = x->dialect->codec;
	t->to = dialect_of(x->op)->codec;
	t->target = (struct llm_target){.model = x->upstream_model,
		.provider = x->provider->name,
		.facts = x->model,
		.quirks = &x->quirks,
		.drop = x->who.drop,
		.auto_cache = x->meta.has_auto_cache ? x->meta.auto_cache : is_agent(x)};
	if (x->op == LLM_OP_CONVERSE)
		t->target.betas = provider_betas(x->provider->setup.type->claude,
			http_field(request_head(x->request), "anthropic-beta"), &t->arena);
	if (t->target.drop == LLM_DROP_UNSET)
		llm_drop_read(span_of(x->snapshot->conf->drop_params), &t->target.drop);
	x->translation = t;
	return read_body(x, t);
}

/* Pieces of the history that one format alone has are written in no other. */
static void note_lost(struct translation *t, enum llm_op op)
{
	for (const struct llm_turn *turn = t->request->turns; turn != NULL; turn = turn->next)
		for (const struct llm_block *b = turn->blocks; b != NULL; b = b->next) {
			if (b->kind == LLM_BLOCK_NATIVE && b->native_op != op)
				llm_note(&t->notes, "dropped:native_block");
			if (b->kind == LLM_BLOCK_SEARCH && b->native_op != op)
				llm_note(&t->notes, "dropped:search_history");
		}
}

bool translate_write(struct exchange *x)
{
	struct translation *t = x->translation;

	note_lost(t, x->op);
	if (!t->to->write_request(t->request, &t->target, &t->arena, &t->body, &t->notes, &x->err))
		return false;
	if (t->body.failed || t->arena.failed)
		return err_set(&x->err, ERR_NO_MEMORY, NULL);
	if (!init_answers(x, t))
		return false;
	x->body_spans[0] = buf_span(&t->body);
	x->n_body = 1;
	return true;
}

/* ---- the answer ---- */

/* What the exchange has to know, kept as pass mode keeps it. */
static void watch(struct tap *tap, const struct llm_event *ev)
{
	switch (ev->kind) {
	case LLM_EVENT_BLOCK:
		tap->content |= ev->block != LLM_BLOCK_TEXT && ev->block != LLM_BLOCK_THINKING;
		break;
	case LLM_EVENT_DELTA:
		tap->content |= ev->text.n > 0;
		tap->output_bytes += (int64_t)ev->text.n;
		break;
	case LLM_EVENT_USAGE:
		tap->usage = *ev->usage;
		break;
	case LLM_EVENT_STOP:
		tap->finished = true;
		tap->final_usage = true;
		break;
	case LLM_EVENT_END:
		tap->final_usage = true;
		tap->terminal = true;
		break;
	default:
		break;
	}
}

/* A stream's texts are with the client; only formats that show them again at the end keep them. */
static bool gather(struct translated *a, const struct llm_event *ev)
{
	if (a->of->out != NULL && ev->kind == LLM_EVENT_DELTA && !a->of->from->keeps)
		return true;
	return message_add(&a->message, ev);
}

/*
 * The end is that of all answers: the last that ends writes it, with the usage that the first has.
 * An answer that never began is one the provider did not give; the first has to be there.
 */
static bool is_last(const struct translation *t)
{
	for (int i = 0; i < t->n_answers; i++)
		if (!t->answers[i].message.ended && (i == 0 || t->answers[i].reading.flow.started))
			return false;
	return true;
}

static bool on_event(void *user, const struct llm_event *ev)
{
	struct translated *a = user;
	struct translation *t = a->of;

	if (!gather(a, ev))
		return err_set(&a->reading.err, ERR_UPSTREAM_INVALID,
			"The provider's answer is over %zu bytes", a->message.max_bytes);
	if (t->out == NULL)
		return true;
	if (ev->kind == LLM_EVENT_END) {
		if (!is_last(t))
			return true;
		a = &t->answers[0];
	}
	watch(t->x->tap, ev);
	return t->from->write_event(&a->writing, ev, t->out) ||
	       err_set(&a->reading.err, ERR_NO_MEMORY, NULL);
}

static void fail(struct exchange *x, struct reading *r)
{
	struct tap *tap = x->tap;

	err_set(&r->err, ERR_UPSTREAM_INVALID, NULL);
	tap->error = r->err;
	tap->error_status = r->error_status;
	x->err_from_provider = r->from_provider;
}

void translate_event(struct exchange *x, struct span name, struct span data, struct buf *out)
{
	struct translation *t = x->translation;

	t->out = out;
	for (int i = 0; i < t->n_answers && x->tap->error.code == ERR_OK; i++) {
		struct reading *r = &t->answers[i].reading;

		if (!t->to->read_event(r, name, data) && !x->tap->terminal)
			fail(x, r);
	}
}

void translate_end(struct exchange *x, struct buf *out)
{
	struct translation *t = x->translation;

	t->out = out;
	for (int i = 0; i < t->n_answers && x->tap->error.code == ERR_OK; i++) {
		struct reading *r = &t->answers[i].reading;

		if (!t->to->read_end(r) && !x->tap->terminal)
			fail(x, r);
	}
}

static bool explain(struct exchange *x, struct reading *r)
{
	err_set(&r->err, ERR_UPSTREAM_INVALID,
		"Provider \"%.*s\" answered in a form that cannot be read",
		SPAN_ARG(x->provider->name));
	x->err = r->err;
	x->err_from_provider = r->from_provider;
	if (r->error_status > 0)
		x->status = r->error_status;
	return false;
}

/* The provider gave fewer answers than were asked for: the others are not in the list. */
static void drop_missing(struct translation *t)
{
	for (int i = t->n_answers - 1; i > 0; i--)
		if (!t->answers[i].reading.flow.started)
			t->answers[i - 1].message.other = t->answers[i].message.other;
}

bool translate_answer(struct exchange *x, struct span text)
{
	struct translation *t = x->translation;
	yyjson_doc *doc = json_read_raw(&x->env->scratch, text, true, NULL);
	struct reading *r = &t->answers[0].reading;
	bool ok = true;

	if (doc == NULL)
		return err_set(&x->err, ERR_UPSTREAM_INVALID, "Provider \"%.*s\" answered with %s",
			SPAN_ARG(x->provider->name),
			text.n == 0 ? "an empty body" : "something that is not JSON");
	t->out = NULL;
	for (int i = 0; i < t->n_answers && ok; i++) {
		r = &t->answers[i].reading;
		ok = t->to->read_answer(r, yyjson_doc_get_root(doc)) &&
		     (t->answers[i].message.ended || (i > 0 && !r->flow.started));
		x->plain_output_bytes += (int64_t)t->answers[i].message.bytes;
	}
	json_free(doc);
	x->usage = t->answers[0].message.usage;
	drop_missing(t);
	return ok || explain(x, r);
}

bool translate_write_answer(struct exchange *x, struct buf *out)
{
	struct translated *first = &x->translation->answers[0];

	return x->translation->from->write_answer(&first->writing, &first->message, out) &&
	       !out->failed;
}

size_t translate_bytes(const struct translation *t)
{
	size_t n = t->arena.used_bytes + t->body.cap;

	for (int i = 0; i < t->n_answers; i++)
		n += t->answers[i].message.bytes + t->answers[i].reading.flow.held_bytes;
	return n;
}

void translate_done(struct translation *t)
{
	if (t == NULL)
		return;
	for (int i = 0; i < t->n_answers; i++) {
		flow_done(&t->answers[i].reading.flow);
		message_done(&t->answers[i].message);
	}
	buf_done(&t->body);
	json_free(t->doc);
	arena_done(&t->arena);
}
