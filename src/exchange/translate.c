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

static void init_answer(struct exchange *x, struct translation *t)
{
	message_init(&t->message, &t->arena, (size_t)x->snapshot->conf->max_answer_bytes);
	t->reading = (struct reading){
		.arena = &t->arena, .scratch = &x->env->scratch, .target = &t->target};
	t->reading.flow = (struct flow){.arena = &t->arena,
		.request = t->request,
		.schema_tool = llm_schema_tool(t->request, &t->target, x->op),
		.id_seed = (uint64_t)x->start_us ^ (uintptr_t)x,
		.sink = on_event,
		.user = t,
		.max_held_bytes = MAX_HELD_CALL_BYTES,
		.err = &t->reading.err};
	memcpy(&t->reading.flow.id_seed, &x->id, sizeof(t->reading.flow.id_seed));
	flow_init(&t->reading.flow);
	t->writing = (struct writing){.arena = &t->arena,
		.request = t->request,
		.model = x->facts.model,
		.id = span_of(x->request_id),
		.created = x->wall_ms / 1000,
		.scope = x->provider->name,
		.cost = cost_text,
		.user = x,
		.message = &t->message};
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
	init_answer(x, t);
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
static bool gather(struct translation *t, const struct llm_event *ev)
{
	if (t->out != NULL && ev->kind == LLM_EVENT_DELTA && !t->from->keeps)
		return true;
	return message_add(&t->message, ev);
}

static bool on_event(void *user, const struct llm_event *ev)
{
	struct translation *t = user;

	if (!gather(t, ev))
		return err_set(&t->reading.err, ERR_UPSTREAM_INVALID,
			"The provider's answer is over %zu bytes", t->message.max_bytes);
	if (t->out == NULL)
		return true;
	watch(t->x->tap, ev);
	return t->from->write_event(&t->writing, ev, t->out) ||
	       err_set(&t->reading.err, ERR_NO_MEMORY, NULL);
}

static void fail(struct exchange *x, struct translation *t)
{
	struct tap *tap = x->tap;

	err_set(&t->reading.err, ERR_UPSTREAM_INVALID, NULL);
	tap->error = t->reading.err;
	tap->error_status = t->reading.error_status;
}

void translate_event(struct exchange *x, struct span name, struct span data, struct buf *out)
{
	struct translation *t = x->translation;

	t->out = out;
	if (!t->to->read_event(&t->reading, name, data) && !x->tap->terminal)
		fail(x, t);
}

void translate_end(struct exchange *x, struct buf *out)
{
	struct translation *t = x->translation;

	t->out = out;
	if (!t->to->read_end(&t->reading) && !x->tap->terminal)
		fail(x, t);
}

static bool explain(struct exchange *x, struct translation *t)
{
	err_set(&t->reading.err, ERR_UPSTREAM_INVALID,
		"Provider \"%.*s\" answered in a form that cannot be read",
		SPAN_ARG(x->provider->name));
	x->err = t->reading.err;
	x->err_from_provider = t->reading.from_provider;
	if (t->reading.error_status > 0)
		x->status = t->reading.error_status;
	return false;
}

bool translate_answer(struct exchange *x, struct span text)
{
	struct translation *t = x->translation;
	yyjson_doc *doc = json_read_raw(&x->env->scratch, text, true, NULL);
	bool ok;

	if (doc == NULL)
		return err_set(&x->err, ERR_UPSTREAM_INVALID, "Provider \"%.*s\" answered with %s",
			SPAN_ARG(x->provider->name),
			text.n == 0 ? "an empty body" : "something that is not JSON");
	t->out = NULL;
	ok = t->to->read_answer(&t->reading, yyjson_doc_get_root(doc)) && t->message.ended;
	json_free(doc);
	x->usage = t->message.usage;
	x->plain_output_bytes = (int64_t)t->message.bytes;
	return ok || explain(x, t);
}

bool translate_write_answer(struct exchange *x, struct buf *out)
{
	struct translation *t = x->translation;

	return t->from->write_answer(&t->writing, &t->message, out) && !out->failed;
}

size_t translate_bytes(const struct translation *t)
{
	return t->arena.used_bytes + t->body.cap + t->message.bytes + t->reading.flow.held_bytes;
}

void translate_done(struct translation *t)
{
	if (t == NULL)
		return;
	flow_done(&t->reading.flow);
	message_done(&t->message);
	buf_done(&t->body);
	json_free(t->doc);
	arena_done(&t->arena);
}
