/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/repair.h"

#define CANCELLED "The tool call was cancelled."

struct repair {
	struct arena *a;
	unsigned repairs;
	struct llm_notes *notes;
	struct llm_turn *first, *last;
};

static bool is_blank(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != ' ' && s.p[i] != '\n' && s.p[i] != '\t' && s.p[i] != '\r')
			return false;
	return true;
}

static struct llm_turn *push_turn(struct repair *r, const struct llm_turn *like)
{
	struct llm_turn *t = ARENA_NEW(r->a, struct llm_turn);

	if (t == NULL)
		return NULL;
	*t = *like;
	t->blocks = NULL;
	t->next = NULL;
	if (r->last != NULL)
		r->last->next = t;
	else
		r->first = t;
	r->last = t;
	return t;
}

/* A list of blocks with its end, so that appending is no walk. */
struct blocks {
	struct llm_block *first, **end;
};

static struct llm_block *push(struct repair *r, struct blocks *list, const struct llm_block *from)
{
	struct llm_block *b = ARENA_NEW(r->a, struct llm_block);

	if (b == NULL)
		return NULL;
	*b = *from;
	b->next = NULL;
	*list->end = b;
	list->end = &b->next;
	return b;
}

static void push_text(struct repair *r, struct blocks *list, struct span text)
{
	const struct llm_block block = {.kind = LLM_BLOCK_TEXT, .text = text};

	push(r, list, &block);
}

/* ---- system turns in the middle ---- */

static void push_system_as_user(struct repair *r, struct blocks *list, const struct llm_turn *t)
{
	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
		const struct span around[] = {SPAN("<system>"), b->text, SPAN("</system>")};
		struct llm_block block = *b;

		if (b->kind == LLM_BLOCK_TEXT && !is_blank(b->text))
			block.text = arena_join(r->a, around, 3);
		push(r, list, &block);
	}
	llm_note(r->notes, "approx:system_message");
}

/* ---- gathering: one turn behind the other, of equal roles one ---- */

static struct blocks list_of(struct llm_turn *t)
{
	struct blocks list = {t->blocks, &t->blocks};

	while (*list.end != NULL)
		list.end = &(*list.end)->next;
	return list;
}

static void gather(struct repair *r, const struct llm_request *q)
{
	struct blocks list = {NULL, NULL};
	bool leading = true;

	for (const struct llm_turn *t = q->turns; t != NULL; t = t->next) {
		struct llm_turn like = *t;
		bool wrap;

		leading = leading && t->role == LLM_ROLE_SYSTEM;
		wrap = t->role == LLM_ROLE_SYSTEM && !leading &&
		       (r->repairs & LLM_SYSTEM_AS_USER) != 0;
		if (wrap)
			like.role = LLM_ROLE_USER;
		if (leading || r->last == NULL || r->last->role != like.role ||
			like.role == LLM_ROLE_SYSTEM || (r->repairs & LLM_MERGE_ROLES) == 0) {
			if (push_turn(r, &like) == NULL)
				return;
			list = (struct blocks){NULL, &r->last->blocks};
		}
		if (wrap)
			push_system_as_user(r, &list, t);
		else
			for (const struct llm_block *b = t->blocks; b != NULL; b = b->next)
				push(r, &list, b);
	}
}

/* ---- calls and results ---- */

static const struct llm_block *find_call(const struct llm_turn *assistant, struct span id)
{
	if (assistant == NULL)
		return NULL;
	for (const struct llm_block *b = assistant->blocks; b != NULL; b = b->next)
		if (b->kind == LLM_BLOCK_TOOL_CALL && span_eq(b->id, id))
			return b;
	return NULL;
}

/* Takes the results with that id out of the turns up to the next assistant; the last one counts. */
static struct llm_block *take_result(struct llm_turn *t, struct span id)
{
	struct llm_block *found = NULL;

	for (; t != NULL && t->role != LLM_ROLE_ASSISTANT; t = t->next) {
		struct llm_block **at = &t->blocks;

		while (*at != NULL) {
			struct llm_block *b = *at;

			if (b->kind != LLM_BLOCK_TOOL_RESULT || !span_eq(b->id, id)) {
				at = &b->next;
				continue;
			}
			*at = b->next;
			found = b;
		}
	}
	return found;
}

static struct llm_block *make_cancelled(struct repair *r, const struct llm_block *call)
{
	struct llm_block *b = ARENA_NEW(r->a, struct llm_block);

	if (b == NULL)
		return NULL;
	b->kind = LLM_BLOCK_TOOL_RESULT;
	b->id = call->id;
	b->is_error = true;
	b->content = ARENA_NEW(r->a, struct llm_block);
	if (b->content != NULL)
		*b->content = (struct llm_block){.kind = LLM_BLOCK_TEXT, .text = SPAN(CANCELLED)};
	llm_note(r->notes, "approx:missing_tool_result");
	return b;
}

/* Every call's result, in the calls' order, first in the turn behind the assistant's. */
static void answer_calls(struct repair *r, struct llm_turn *assistant)
{
	struct llm_block *first = NULL, **end = &first;
	struct llm_turn *into = assistant->next;

	for (const struct llm_block *c = assistant->blocks; c != NULL; c = c->next) {
		struct llm_block *b;

		if (c->kind != LLM_BLOCK_TOOL_CALL)
			continue;
		b = take_result(assistant->next, c->id);
		if (b == NULL)
			b = make_cancelled(r, c);
		if (b == NULL)
			return;
		b->name = c->name;
		b->next = NULL;
		*end = b;
		end = &b->next;
	}
	if (first == NULL)
		return;
	if (into == NULL || into->role != LLM_ROLE_USER) {
		into = ARENA_NEW(r->a, struct llm_turn);
		if (into == NULL)
			return;
		into->role = LLM_ROLE_USER;
		into->next = assistant->next;
		assistant->next = into;
	}
	*end = into->blocks;
	into->blocks = first;
}

/* A result that answers nothing is still something the user said. */
static void free_orphans(struct repair *r, struct llm_turn *t, const struct llm_turn *assistant)
{
	struct llm_block *old = t->blocks;
	struct blocks list = {NULL, &t->blocks};

	t->blocks = NULL;
	for (struct llm_block *b = old, *next; b != NULL; b = next) {
		next = b->next;
		if (b->kind != LLM_BLOCK_TOOL_RESULT || find_call(assistant, b->id) != NULL) {
			b->next = NULL;
			*list.end = b;
			list.end = &b->next;
			continue;
		}
		llm_note(r->notes, "approx:orphan_tool_result");
		for (const struct llm_block *c = b->content; c != NULL; c = c->next)
			push(r, &list, c);
	}
}

/* Turns whose results went to their calls, and others that say nothing. */
static void drop_emptied(struct repair *r)
{
	struct llm_turn **at = &r->first;

	while (*at != NULL) {
		if ((*at)->role == LLM_ROLE_USER && (*at)->blocks == NULL)
			*at = (*at)->next;
		else
			at = &(*at)->next;
	}
}

static void pair_calls(struct repair *r)
{
	struct llm_turn *assistant = NULL;

	for (struct llm_turn *t = r->first; t != NULL; t = t->next) {
		if (t->role == LLM_ROLE_ASSISTANT) {
			assistant = t;
			answer_calls(r, t);
		} else if (t->role == LLM_ROLE_USER) {
			free_orphans(r, t, assistant);
		}
	}
	drop_emptied(r);
}

/* ---- what is empty, what comes first ---- */

static void drop_empty_blocks(struct llm_turn *t)
{
	struct llm_block **at = &t->blocks;

	while (*at != NULL) {
		struct llm_block *b = *at;

		if (b->kind == LLM_BLOCK_TEXT && b->state.maker == LLM_MAKER_NONE &&
			is_blank(b->text))
			*at = b->next;
		else
			at = &b->next;
	}
}

/* An empty turn between two of the same role keeps them apart. */
static void drop_empty(struct repair *r)
{
	struct llm_turn **at = &r->first, *before = NULL;

	while (*at != NULL) {
		struct llm_turn *t = *at;
		bool between = before != NULL && t->next != NULL && t->role != LLM_ROLE_SYSTEM &&
			       before->role == t->next->role;

		drop_empty_blocks(t);
		if (t->blocks == NULL && !between) {
			*at = t->next;
			continue;
		}
		if (t->blocks == NULL) {
			struct blocks list = list_of(t);

			push_text(r, &list, SPAN("."));
		}
		before = t;
		at = &t->next;
	}
}

static void put_user_first(struct repair *r)
{
	struct llm_turn **at = &r->first, *t;
	struct blocks list;

	while (*at != NULL && (*at)->role == LLM_ROLE_SYSTEM)
		at = &(*at)->next;
	if (*at != NULL && (*at)->role == LLM_ROLE_USER)
		return;
	if (*at == NULL) {
		for (t = r->first; t != NULL; t = t->next)
			t->role = LLM_ROLE_USER;
		return;
	}
	t = ARENA_NEW(r->a, struct llm_turn);
	if (t == NULL)
		return;
	t->role = LLM_ROLE_USER;
	list = list_of(t);
	push_text(r, &list, SPAN("."));
	t->next = *at;
	*at = t;
}

static void drop_names(struct repair *r)
{
	for (struct llm_turn *t = r->first; t != NULL; t = t->next) {
		if (t->name.n > 0)
			llm_note(r->notes, "dropped:name");
		t->name = (struct span){NULL, 0};
	}
}

struct llm_turn *llm_repair_turns(
	const struct llm_request *q, unsigned repairs, struct arena *a, struct llm_notes *notes)
{
	struct repair r = {.a = a, .repairs = repairs, .notes = notes};

	gather(&r, q);
	if ((repairs & LLM_DROP_NAMES) != 0)
		drop_names(&r);
	if ((repairs & LLM_PAIR_CALLS) != 0)
		pair_calls(&r);
	if ((repairs & LLM_DROP_EMPTY) != 0)
		drop_empty(&r);
	if ((repairs & LLM_USER_FIRST) != 0)
		put_user_first(&r);
	return a->failed ? NULL : r.first;
}
