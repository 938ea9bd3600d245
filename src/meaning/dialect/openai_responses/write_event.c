/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json_put.h"
#include "meaning/dialect/openai_responses/openai_responses.h"

/*
 * An item stays open until what comes after it is known: only then is it sure whether the answer
 * was cut in it, and a client acts on an item that is done.
 */
struct state {
	int64_t sequence;
	struct item *items, **end; /* in order */
	int n_items;
	struct item *open; /* the last of them, or NULL */
	const struct llm_part *part;
	int part_index;    /* content_index of the open part of a message */
	bool part_open;    /* of a message or a summary */
	bool announced;    /* the open item was written */
	int n_annotations; /* of the open part */
};

static struct state *state_of(struct writing *w)
{
	struct state *s = w->state;

	if (s != NULL)
		return s;
	s = ARENA_NEW(w->arena, struct state);
	if (s != NULL)
		s->end = &s->items;
	w->state = s;
	return s;
}

static struct item *add_item(
	struct writing *w, struct state *s, enum item_kind kind, const struct llm_part *first)
{
	struct item *it = ARENA_NEW(w->arena, struct item);

	if (it == NULL)
		return NULL;
	it->kind = kind;
	it->first = first;
	it->index = s->n_items++;
	*s->end = it;
	s->end = &it->next;
	return it;
}

/* ---- events ---- */

static void begin(struct state *s, struct buf *out, const char *type)
{
	buf_append(out, SPAN("event: "));
	buf_append_cstr(out, type);
	buf_append(out, SPAN("\ndata: {"));
	json_put_cstr(out, "type", type);
	json_put_int(out, "sequence_number", s->sequence++);
}

static void end(struct buf *out)
{
	buf_append(out, SPAN("}\n\n"));
}

static void write_response(struct writing *w, struct state *s, struct buf *out, const char *type,
	const char *status, const struct err *err)
{
	bool over = status[0] != 'i' || status[2] == 'c'; /* not "in_progress" */

	begin(s, out, type);
	response_put(out, "response", w, over ? s->items : NULL, status, err);
	end(out);
}

static void write_item(
	struct writing *w, struct state *s, struct buf *out, const char *type, bool done)
{
	begin(s, out, type);
	json_put_int(out, "output_index", s->open->index);
	item_put(out, "item", w, s->open, done);
	end(out);
}

/* An event about a part of the open item; `index` names its place, or is NULL. */
static void begin_part(struct writing *w, struct state *s, struct buf *out, const char *type,
	const char *index, int at)
{
	begin(s, out, type);
	item_put_id(out, "item_id", w, s->open);
	json_put_int(out, "output_index", s->open->index);
	if (index != NULL)
		json_put_int(out, index, at);
}

/* ---- ends ---- */

static void close_text(struct writing *w, struct state *s, struct buf *out)
{
	const struct llm_part *p = s->part;
	bool refusal = p->kind == LLM_BLOCK_REFUSAL;

	begin_part(w, s, out, refusal ? "response.refusal.done" : "response.output_text.done",
		"content_index", s->part_index);
	json_put_str(out, refusal ? "refusal" : "text", buf_span(&p->text));
	if (!refusal)
		item_put_logprobs(out, p);
	end(out);
	begin_part(w, s, out, "response.content_part.done", "content_index", s->part_index);
	item_put_part(out, "part", p, true);
	end(out);
}

static void close_summary(struct writing *w, struct state *s, struct buf *out)
{
	struct span text = buf_span(&s->part->text);

	begin_part(w, s, out, "response.reasoning_summary_text.done", "summary_index", 0);
	json_put_str(out, "text", text);
	end(out);
	begin_part(w, s, out, "response.reasoning_summary_part.done", "summary_index", 0);
	item_put_summary(out, "part", text);
	end(out);
}

static void close_part(struct writing *w, struct state *s, struct buf *out)
{
	if (!s->part_open)
		return;
	s->part_open = false;
	if (s->open->kind == ITEM_MESSAGE)
		close_text(w, s, out);
	else
		close_summary(w, s, out);
}

static void close_call(struct writing *w, struct state *s, struct buf *out)
{
	const struct llm_part *p = s->part;

	begin_part(w, s, out,
		p->custom ? "response.custom_tool_call_input.done"
			  : "response.function_call_arguments.done",
		NULL, 0);
	if (!p->custom)
		json_put_str(out, "name", p->name);
	json_put_str(out, p->custom ? "input" : "arguments", buf_span(&p->text));
	end(out);
}

static void announce(struct writing *w, struct state *s, struct buf *out)
{
	if (s->announced)
		return;
	s->announced = true;
	write_item(w, s, out, "response.output_item.added", false);
}

static void close_item(struct writing *w, struct state *s, bool cut, struct buf *out)
{
	if (s->open == NULL)
		return;
	announce(w, s, out);
	s->open->cut = cut;
	close_part(w, s, out);
	if (s->open->kind == ITEM_CALL)
		close_call(w, s, out);
	if (s->open->kind == ITEM_SEARCH) {
		begin_part(w, s, out, "response.web_search_call.completed", NULL, 0);
		end(out);
	}
	if (s->open->kind == ITEM_IMAGE) {
		begin_part(w, s, out, "response.image_generation_call.completed", NULL, 0);
		end(out);
	}
	write_item(w, s, out, "response.output_item.done", true);
	s->open = NULL;
	s->part = NULL;
}

/* ---- beginnings ---- */

static void open_text(struct writing *w, struct state *s, struct buf *out)
{
	s->part_open = true;
	s->n_annotations = 0;
	begin_part(w, s, out, "response.content_part.added", "content_index", s->part_index);
	item_put_part(out, "part", s->part, false);
	end(out);
}

static void open_summary(struct writing *w, struct state *s, struct buf *out)
{
	s->part_open = true;
	begin_part(w, s, out, "response.reasoning_summary_part.added", "summary_index", 0);
	item_put_summary(out, "part", SPAN(""));
	end(out);
}

static bool open_item(struct writing *w, struct state *s, enum item_kind kind,
	const struct llm_part *p, struct buf *out)
{
	close_item(w, s, false, out);
	s->open = add_item(w, s, kind, p);
	s->announced = false;
	s->part_index = 0;
	return s->open != NULL;
}

static bool write_block(struct writing *w, struct state *s, struct buf *out)
{
	const struct llm_part *p = w->message->last;
	enum item_kind kind = item_kind_of(p);

	if (kind == ITEM_NONE)
		return true;
	if (kind == ITEM_MESSAGE && s->open != NULL && s->open->kind == ITEM_MESSAGE) {
		close_part(w, s, out);
		s->part_index++;
	} else if (!open_item(w, s, kind, p, out)) {
		return false;
	}
	s->part = p;
	s->open->n_parts = s->part_index + 1;
	/* A call waits for its state, which stands before it. */
	if (kind == ITEM_CALL)
		return true;
	announce(w, s, out);
	if (kind == ITEM_MESSAGE)
		open_text(w, s, out);
	if (kind == ITEM_SEARCH) {
		begin_part(w, s, out, "response.web_search_call.in_progress", NULL, 0);
		end(out);
		begin_part(w, s, out, "response.web_search_call.searching", NULL, 0);
		end(out);
	}
	if (kind == ITEM_IMAGE) {
		begin_part(w, s, out, "response.image_generation_call.in_progress", NULL, 0);
		end(out);
	}
	return true;
}

static void write_delta(
	struct writing *w, struct state *s, const struct llm_event *ev, struct buf *out)
{
	const char *type;

	if (s->open == NULL || s->part != w->message->last)
		return;
	switch (s->open->kind) {
	case ITEM_MESSAGE:
		type = ev->block == LLM_BLOCK_REFUSAL ? "response.refusal.delta"
						      : "response.output_text.delta";
		begin_part(w, s, out, type, "content_index", s->part_index);
		break;
	case ITEM_REASONING:
		if (w->request->reasoning.show == LLM_NO)
			return;
		if (!s->part_open)
			open_summary(w, s, out);
		begin_part(w, s, out, "response.reasoning_summary_text.delta", "summary_index", 0);
		break;
	case ITEM_CALL:
		announce(w, s, out);
		begin_part(w, s, out,
			s->part->custom ? "response.custom_tool_call_input.delta"
					: "response.function_call_arguments.delta",
			NULL, 0);
		break;
	default:
		return;
	}
	json_put_str(out, "delta", ev->text);
	if (s->open->kind == ITEM_MESSAGE && ev->block == LLM_BLOCK_TEXT)
		json_put_raw(out, "logprobs", SPAN("[]"));
	end(out);
}

/* What a text so far was; in a delta of its own, without text. */
static void write_logprobs(
	struct writing *w, struct state *s, const struct llm_event *ev, struct buf *out)
{
	if (s->open == NULL || s->part != w->message->last || s->open->kind != ITEM_MESSAGE)
		return;
	begin_part(w, s, out, "response.output_text.delta", "content_index", s->part_index);
	json_put_cstr(out, "delta", "");
	json_put_val(out, "logprobs", ev->native);
	end(out);
}

/* A call has no place for a state: a reasoning item before it carries it. */
static bool write_state(struct writing *w, struct state *s, struct buf *out)
{
	struct item *call = s->open, *carrier;

	if (call == NULL || call->kind != ITEM_CALL || s->announced)
		return true;
	carrier = ARENA_NEW(w->arena, struct item);
	if (carrier == NULL)
		return false;
	/* The call, last in the list and not shown yet, moves behind its carrier. */
	*carrier = *call;
	call->kind = ITEM_REASONING;
	call->call_state = true;
	call->next = carrier;
	carrier->index = s->n_items++;
	carrier->next = NULL;
	s->end = &carrier->next;
	write_item(w, s, out, "response.output_item.added", false);
	write_item(w, s, out, "response.output_item.done", true);
	s->open = carrier;
	return true;
}

static void write_citation(
	struct writing *w, struct state *s, const struct llm_event *ev, struct buf *out)
{
	if (s->open == NULL || s->open->kind != ITEM_MESSAGE || !s->part_open)
		return;
	begin_part(
		w, s, out, "response.output_text.annotation.added", "content_index", s->part_index);
	json_put_int(out, "annotation_index", s->n_annotations++);
	item_put_citation(out, "annotation", ev->citation);
	end(out);
}

static void write_end(struct writing *w, struct state *s, struct buf *out)
{
	const char *status = response_status(w->message);

	write_response(w, s, out, status[0] == 'i' ? "response.incomplete" : "response.completed",
		status, NULL);
}

bool responses_write_event(struct writing *w, const struct llm_event *ev, struct buf *out)
{
	struct state *s = state_of(w);

	if (s == NULL)
		return false;
	switch (ev->kind) {
	case LLM_EVENT_START:
		write_response(w, s, out, "response.created", "in_progress", NULL);
		write_response(w, s, out, "response.in_progress", "in_progress", NULL);
		break;
	case LLM_EVENT_BLOCK:
		if (!write_block(w, s, out))
			return false;
		break;
	case LLM_EVENT_DELTA:
		write_delta(w, s, ev, out);
		break;
	case LLM_EVENT_STATE:
		if (!write_state(w, s, out))
			return false;
		break;
	case LLM_EVENT_LOGPROBS:
		write_logprobs(w, s, ev, out);
		break;
	case LLM_EVENT_CITATION:
		write_citation(w, s, ev, out);
		break;
	case LLM_EVENT_STOP:
		close_item(w, s, response_status(w->message)[0] == 'i', out);
		break;
	case LLM_EVENT_END:
		write_end(w, s, out);
		break;
	case LLM_EVENT_BLOCK_END:
	case LLM_EVENT_USAGE:
	case LLM_EVENT_PING:
		break;
	}
	return !out->failed;
}

bool responses_write_failure(struct writing *w, const struct err *err, const char *origin,
	const char *request_id, struct buf *out)
{
	struct state *s = state_of(w);

	if (s == NULL)
		return false;
	responses_put_error_event(err, origin, request_id, NULL, NULL, s->sequence++, out);
	/* What is not done is not part of the response. */
	for (struct item **it = &s->items; s->open != NULL && *it != NULL; it = &(*it)->next)
		if (*it == s->open) {
			*it = NULL;
			break;
		}
	write_response(w, s, out, "response.failed", "failed", err);
	return !out->failed;
}

/* ---- the whole answer ---- */

static bool gather(struct writing *w, struct state *s, const struct llm_message *m)
{
	struct item *last = NULL;

	for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
		enum item_kind kind = item_kind_of(p);

		if (kind == ITEM_NONE)
			continue;
		if (kind == ITEM_MESSAGE && last != NULL && last->kind == ITEM_MESSAGE) {
			last->n_parts++;
			continue;
		}
		if (kind == ITEM_CALL && p->state.maker != LLM_MAKER_NONE) {
			last = add_item(w, s, ITEM_REASONING, p);
			if (last == NULL)
				return false;
			last->call_state = true;
		}
		last = add_item(w, s, kind, p);
		if (last == NULL)
			return false;
		last->n_parts = 1;
	}
	if (last != NULL)
		last->cut = response_status(m)[0] == 'i';
	return true;
}

bool responses_write_answer(struct writing *w, const struct llm_message *m, struct buf *out)
{
	struct state *s = state_of(w);

	if (s == NULL || !gather(w, s, m))
		return false;
	response_put(out, NULL, w, s->items, response_status(m), NULL);
	return !out->failed;
}
