/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/flow.h"
#include "machine/base/text.h"
#include "meaning/llm/media.h"
#include "meaning/llm/names.h"

#define MAX_NAME_BYTES 256
#define MAX_ID_BYTES 512
#define MAX_CALL_BYTES (64u << 20)

struct flow_call {
	int64_t key;
	struct span id, name; /* in the arena; name as the client knows it */
	struct buf held;      /* arguments that could not go out yet */
	struct llm_state state;
	bool custom;
	bool wrapped; /* a custom tool that the provider sees as a function: {"input": "..."} */
	bool schema;  /* the schema tool: its arguments are the answer's text */
	bool opened, ended, closed, has_args;
	struct flow_call *next;
};

void flow_init(struct flow *f)
{
	f->started = f->stopped = f->ended = f->open = false;
	f->next_index = f->n_calls = f->n_tool_blocks = 0;
	f->calls = f->current = NULL;
	f->held_bytes = 0;
	f->saw_refusal = false;
}

void flow_done(struct flow *f)
{
	for (struct flow_call *c = f->calls; c != NULL; c = c->next)
		buf_done(&c->held);
	f->calls = f->current = NULL;
}

static bool no_memory(struct flow *f)
{
	return err_set(f->err, ERR_NO_MEMORY, NULL);
}

static bool emit(struct flow *f, const struct llm_event *ev)
{
	return f->sink(f->user, ev);
}

static bool emit_text(struct flow *f, struct span text)
{
	struct llm_event ev = {.kind = LLM_EVENT_DELTA,
		.index = f->block.index,
		.block = f->block.block,
		.custom = f->block.custom,
		.text = text};

	return emit(f, &ev);
}

static bool emit_state(struct flow *f, const struct llm_state *s)
{
	struct llm_event ev = {.kind = LLM_EVENT_STATE,
		.index = f->block.index,
		.block = f->block.block,
		.redacted = f->block.redacted,
		.state = s};

	return emit(f, &ev);
}

/* A provider that leaves out its opening still gives an answer. */
static bool ensure_started(struct flow *f)
{
	const struct span none = {NULL, 0};

	if (f->ended || f->stopped)
		return err_set(f->err, ERR_UPSTREAM_INVALID,
			"The provider's answer went on after its end");
	return f->started || flow_start(f, none, none, 0);
}

static bool open_block(struct flow *f, const struct llm_event *block)
{
	f->block = *block;
	f->block.kind = LLM_EVENT_BLOCK;
	f->block.index = f->next_index++;
	f->open = true;
	return emit(f, &f->block);
}

static bool close_block(struct flow *f, enum llm_op op, yyjson_val *native)
{
	struct llm_event ev = {.kind = LLM_EVENT_BLOCK_END,
		.index = f->block.index,
		.block = f->block.block,
		.custom = f->block.custom,
		.native = native,
		.native_op = op};

	if (!f->open)
		return true;
	f->open = false;
	return emit(f, &ev);
}

/* ---- tool calls ---- */

static struct flow_call *find_call(const struct flow *f, int64_t key)
{
	for (struct flow_call *c = f->calls; c != NULL; c = c->next)
		if (c->key == key)
			return c;
	return NULL;
}

static bool id_is_taken(const struct flow *f, const struct flow_call *mine, struct span id)
{
	for (const struct flow_call *c = f->calls; c != NULL; c = c->next)
		if (c != mine && c->id.n > 0 && span_eq(c->id, id))
			return true;
	return false;
}

static bool ensure_id(struct flow *f, struct flow_call *c)
{
	int salt = 0;

	while (c->id.n == 0 || id_is_taken(f, c, c->id)) {
		c->id = llm_make_id(f->arena, f->id_seed, (uint64_t)(c->key + 1) * 64 + salt++);
		if (c->id.p == NULL)
			return no_memory(f);
	}
	return true;
}

static bool hold(struct flow *f, struct flow_call *c, struct span piece)
{
	if (f->held_bytes + piece.n > f->max_held_bytes)
		return err_set(f->err, ERR_UPSTREAM_INVALID,
			"The provider sent over %zu bytes of tool arguments that have to wait for "
			"each other",
			f->max_held_bytes);
	f->held_bytes += piece.n;
	return buf_append(&c->held, piece) || no_memory(f);
}

static bool open_call(struct flow *f, struct flow_call *c)
{
	struct llm_event block = {.block = c->schema ? LLM_BLOCK_TEXT : LLM_BLOCK_TOOL_CALL,
		.call_id = c->id,
		.name = c->name,
		.custom = c->custom};

	if (!ensure_id(f, c))
		return false;
	block.call_id = c->id;
	if (c->schema)
		block = (struct llm_event){.block = LLM_BLOCK_TEXT};
	else
		f->n_tool_blocks++;
	c->opened = true;
	f->current = c;
	if (!open_block(f, &block))
		return false;
	if (c->state.maker != LLM_MAKER_NONE && !c->schema && !emit_state(f, &c->state))
		return false;
	if (c->wrapped || c->held.n == 0)
		return true;
	c->has_args = true;
	if (!emit_text(f, buf_span(&c->held)))
		return false;
	f->held_bytes -= c->held.n;
	buf_done(&c->held);
	return true;
}

/* What a wrapped custom tool was really given. */
static bool emit_unwrapped(struct flow *f, struct flow_call *c)
{
	yyjson_doc *doc = json_read_loose(NULL, buf_span(&c->held), NULL);
	struct span input;
	bool ok;

	if (json_get_str(yyjson_doc_get_root(doc), "input", &input))
		ok = emit_text(f, input);
	else
		ok = emit_text(f, buf_span(&c->held));
	json_free(doc);
	return ok;
}

static bool close_call(struct flow *f)
{
	struct flow_call *c = f->current;

	f->current = NULL;
	c->closed = true;
	if (c->wrapped) {
		if (!emit_unwrapped(f, c))
			return false;
	} else if (!c->has_args && !c->custom && !emit_text(f, SPAN("{}"))) {
		return false;
	}
	f->held_bytes -= c->held.n;
	buf_done(&c->held);
	return close_block(f, f->block.native_op, NULL);
}

/* A call that never got a name is none, unless it was given something. */
static bool skip_nameless(struct flow *f, struct flow_call *c)
{
	if (c->held.n > 0 || c->id.n > 0)
		return err_set(f->err, ERR_UPSTREAM_INVALID,
			"The provider sent a tool call without a name");
	c->closed = true;
	return true;
}

/* Opens the next calls as far as they may be; with `all`, to the last one. */
static bool advance_calls(struct flow *f, bool all)
{
	for (struct flow_call *c = f->calls; c != NULL; c = c->next) {
		if (c->closed)
			continue;
		if (!c->opened && c->name.n == 0) {
			if (!all)
				return true;
			if (!skip_nameless(f, c))
				return false;
			continue;
		}
		if (!c->opened && (!close_block(f, f->block.native_op, NULL) || !open_call(f, c)))
			return false;
		if (!c->ended && !all)
			return true;
		if (!close_call(f))
			return false;
	}
	return true;
}

/* Ends whatever is open. */
static bool end_blocks(struct flow *f)
{
	return advance_calls(f, true) && close_block(f, f->block.native_op, NULL);
}

static void resolve_name(struct flow *f, struct flow_call *c, struct span name)
{
	const struct llm_tool *tool = llm_find_fitted(f->request, name);

	c->schema = f->schema_tool.n > 0 && span_eq(name, f->schema_tool);
	c->name = arena_copy(f->arena, tool != NULL ? tool->name : name);
	c->wrapped = tool != NULL && tool->kind == LLM_TOOL_CUSTOM && !c->custom;
	if (c->wrapped)
		c->custom = true;
}

static struct flow_call *add_call(struct flow *f, int64_t key)
{
	struct flow_call *c, **last = &f->calls;

	if (f->n_calls == FLOW_MAX_CALLS) {
		err_set(f->err, ERR_UPSTREAM_INVALID, "The provider made over %d tool calls",
			FLOW_MAX_CALLS);
		return NULL;
	}
	c = ARENA_NEW(f->arena, struct flow_call);
	if (c == NULL) {
		no_memory(f);
		return NULL;
	}
	c->key = key;
	buf_init(&c->held, MAX_CALL_BYTES);
	while (*last != NULL)
		last = &(*last)->next;
	*last = c;
	f->n_calls++;
	return c;
}

bool flow_call_start(struct flow *f, int64_t key, struct span id, struct span name, bool custom)
{
	struct flow_call *c = find_call(f, key);

	if (!ensure_started(f))
		return false;
	if (c == NULL) {
		c = add_call(f, key);
		if (c == NULL)
			return false;
	}
	if (c->closed)
		return true;
	c->custom |= custom;
	if (c->id.n == 0 && id.n > 0 && !c->opened)
		c->id = arena_copy(f->arena, span_head(id, MAX_ID_BYTES));
	if (c->name.n == 0 && name.n > 0)
		resolve_name(f, c, span_head(name, MAX_NAME_BYTES));
	if (f->arena->failed)
		return no_memory(f);
	return advance_calls(f, false);
}

bool flow_call_args(struct flow *f, int64_t key, struct span piece)
{
	struct flow_call *c = find_call(f, key);

	if (piece.n == 0)
		return true;
	if (c == NULL) {
		const struct span none = {NULL, 0};

		if (!flow_call_start(f, key, none, none, false))
			return false;
		c = find_call(f, key);
	}
	if (c->closed)
		return err_set(f->err, ERR_UPSTREAM_INVALID,
			"The provider sent arguments of a tool call after its end");
	if (c != f->current || c->wrapped)
		return hold(f, c, piece);
	c->has_args = true;
	return emit_text(f, piece);
}

bool flow_call_end(struct flow *f, int64_t key)
{
	struct flow_call *c = find_call(f, key);

	if (c == NULL || c->closed)
		return true;
	c->ended = true;
	return advance_calls(f, false);
}

bool flow_call_state(struct flow *f, int64_t key, const struct llm_state *s)
{
	struct flow_call *c = find_call(f, key);

	if (c == NULL || c->closed || s->maker == LLM_MAKER_NONE)
		return true;
	if (c == f->current)
		return c->schema || emit_state(f, s);
	c->state = *s;
	c->state.data = arena_copy(f->arena, s->data);
	c->state.scope = arena_copy(f->arena, s->scope);
	c->state.id = arena_copy(f->arena, s->id);
	return !f->arena->failed || no_memory(f);
}

/* ---- the other blocks ---- */

/* An open block of that kind, the open one or a new one. */
static bool enter(struct flow *f, enum llm_block_kind kind)
{
	struct llm_event block = {.block = kind};

	if (!ensure_started(f))
		return false;
	if (f->open && f->current == NULL && f->block.block == kind && !f->block.redacted)
		return true;
	return end_blocks(f) && open_block(f, &block);
}

static bool add_text(struct flow *f, enum llm_block_kind kind, struct span text)
{
	if (text.n == 0)
		return true;
	return enter(f, kind) && emit_text(f, text);
}

bool flow_text(struct flow *f, struct span text)
{
	return add_text(f, LLM_BLOCK_TEXT, text);
}

bool flow_refusal(struct flow *f, struct span text)
{
	f->saw_refusal |= text.n > 0;
	return add_text(f, LLM_BLOCK_REFUSAL, text);
}

bool flow_thinking(struct flow *f, struct span text)
{
	return add_text(f, LLM_BLOCK_THINKING, text);
}

bool flow_cut(struct flow *f)
{
	return f->current != NULL || close_block(f, f->block.native_op, NULL);
}

bool flow_state(struct flow *f, const struct llm_state *s, bool own)
{
	if (s->maker == LLM_MAKER_NONE)
		return true;
	if ((!own || !f->open) && !enter(f, LLM_BLOCK_THINKING))
		return false;
	return emit_state(f, s);
}

/* Ends what is open and opens a block that is whole in itself. */
static bool enter_whole(struct flow *f, const struct llm_event *block)
{
	return ensure_started(f) && end_blocks(f) && open_block(f, block);
}

bool flow_redacted(struct flow *f, const struct llm_state *s)
{
	struct llm_event block = {.block = LLM_BLOCK_THINKING, .redacted = true};

	return enter_whole(f, &block) && emit_state(f, s) && flow_cut(f);
}

bool flow_citation(struct flow *f, const struct llm_citation *c)
{
	struct llm_event ev = {.kind = LLM_EVENT_CITATION, .block = LLM_BLOCK_TEXT, .citation = c};

	if (!enter(f, LLM_BLOCK_TEXT))
		return false;
	ev.index = f->block.index;
	return emit(f, &ev);
}

bool flow_logprobs(struct flow *f, yyjson_val *entries)
{
	struct llm_event ev = {.kind = LLM_EVENT_LOGPROBS,
		.index = f->block.index,
		.block = LLM_BLOCK_TEXT,
		.native = entries};

	if (f->request->logprobs != LLM_YES || !f->open || f->block.block != LLM_BLOCK_TEXT ||
		yyjson_arr_size(entries) == 0)
		return true;
	return emit(f, &ev);
}

bool flow_media(struct flow *f, const struct llm_media *m)
{
	struct llm_event block = {.block = LLM_BLOCK_MEDIA, .media = m};

	if (!llm_media_is_sound(m))
		return err_set(f->err, ERR_UPSTREAM_INVALID,
			"The provider sent a picture that is not base64, or of no type");
	return enter_whole(f, &block) && flow_cut(f);
}

bool flow_native(struct flow *f, enum llm_op op, yyjson_val *v)
{
	struct llm_event block = {.block = LLM_BLOCK_NATIVE, .native_op = op, .native = v};

	return !yyjson_is_obj(v) || (enter_whole(f, &block) && flow_cut(f));
}

bool flow_search(
	struct flow *f, struct span id, struct span query, enum llm_op op, yyjson_val *results)
{
	struct llm_event block = {.block = LLM_BLOCK_SEARCH, .call_id = id, .native_op = op};

	if (!enter_whole(f, &block) || (query.n > 0 && !emit_text(f, query)))
		return false;
	return close_block(f, op, results);
}

/* ---- begin and end ---- */

bool flow_start(struct flow *f, struct span id, struct span model, int64_t created)
{
	struct llm_event ev = {
		.kind = LLM_EVENT_START, .id = id, .model = model, .created = created};

	if (f->started)
		return true;
	f->started = true;
	return emit(f, &ev);
}

bool flow_usage(struct flow *f, const struct llm_usage *u)
{
	struct llm_event ev = {.kind = LLM_EVENT_USAGE, .usage = u};

	if (!f->started && !ensure_started(f))
		return false;
	return f->ended || emit(f, &ev);
}

bool flow_stop(struct flow *f, enum llm_stop stop, struct span sequence, struct span native)
{
	struct llm_event ev = {
		.kind = LLM_EVENT_STOP, .stop_sequence = sequence, .native_stop = native};

	if (f->stopped)
		return true;
	if (!ensure_started(f) || !end_blocks(f))
		return false;
	f->stopped = true;
	if (stop == LLM_STOP_END && f->n_tool_blocks > 0)
		stop = LLM_STOP_TOOL;
	else if (stop == LLM_STOP_TOOL && f->n_tool_blocks == 0)
		stop = LLM_STOP_END;
	ev.stop = stop;
	return emit(f, &ev);
}

bool flow_end(struct flow *f)
{
	struct llm_event ev = {.kind = LLM_EVENT_END};
	const struct span none = {NULL, 0};

	if (f->ended)
		return true;
	if (!f->stopped && !flow_stop(f, LLM_STOP_END, none, none))
		return false;
	f->ended = true;
	return emit(f, &ev);
}

bool flow_ping(struct flow *f)
{
	struct llm_event ev = {.kind = LLM_EVENT_PING};

	return !f->started || f->ended || emit(f, &ev);
}
