/* SPDX-License-Identifier: Apache-2.0 */
/* Marks for the prompt cache: where they stand, and which of too many are left out. */
#include "machine/base/json_put.h"
#include "meaning/dialect/bedrock/bedrock.h"

#define MAX_MARKS 4
#define MIN_CACHED_BYTES 4096       /* 1024 tokens, the least that is kept */
#define MIN_CACHED_BYTES_HAIKU 8192 /* 2048 tokens */
#define MEDIA_BYTES 4096            /* what a picture or file counts for */

/* Models that do not know them refuse the request. */
static bool can_cache(const struct bedrock_writer *w)
{
	if (w->t->quirks->no_cache_marks)
		return false;
	if (w->t->facts != NULL)
		return (w->t->facts->can & LLM_CAN_CACHE) != 0;
	return w->model.family == BEDROCK_CLAUDE || w->model.family == BEDROCK_NOVA;
}

void bedrock_put_mark(struct bedrock_writer *w, enum llm_cache_mark mark)
{
	if (mark == LLM_CACHE_NONE)
		return;
	if (w->marks_left == 0) {
		llm_note(w->notes, "dropped:cache_control");
		return;
	}
	w->marks_left--;
	json_put_raw(w->out, NULL,
		mark == LLM_CACHE_1H
			? SPAN("{\"cachePoint\":{\"type\":\"default\",\"ttl\":\"1h\"}}")
			: SPAN("{\"cachePoint\":{\"type\":\"default\"}}"));
}

/* Of the marks in messages the last ones count. */
void bedrock_put_message_mark(struct bedrock_writer *w, enum llm_cache_mark mark)
{
	if (mark != LLM_CACHE_NONE && w->marks_skip > 0) {
		w->marks_skip--;
		llm_note(w->notes, "dropped:cache_control");
		return;
	}
	bedrock_put_mark(w, mark);
}

static int count_marks(const struct llm_block *b)
{
	int n = 0;

	for (; b != NULL; b = b->next)
		n += b->cache != LLM_CACHE_NONE && b->kind != LLM_BLOCK_THINKING;
	return n;
}

static size_t text_bytes(const struct llm_block *b)
{
	size_t n = 0;

	for (; b != NULL; b = b->next) {
		n += b->text.n + b->args.n;
		if (b->kind == LLM_BLOCK_MEDIA)
			n += MEDIA_BYTES;
		if (b->kind == LLM_BLOCK_TOOL_RESULT)
			n += text_bytes(b->content);
	}
	return n;
}

static struct llm_block *last_markable(const struct llm_turn *t)
{
	struct llm_block *last = NULL;

	for (struct llm_block *b = t->blocks; b != NULL; b = b->next)
		if (b->kind == LLM_BLOCK_TEXT || b->kind == LLM_BLOCK_MEDIA ||
			b->kind == LLM_BLOCK_TOOL_RESULT)
			last = b;
	return last;
}

/*
 * Marks where the client set none: the end of the system prompt, the last but one and the last turn
 * of the user. (Tools stand before the system prompt: its mark keeps them too.)
 */
static void mark_by_itself(struct bedrock_writer *w, enum llm_cache_mark mark)
{
	size_t least = span_find(w->t->model, SPAN("haiku")) >= 0 ? MIN_CACHED_BYTES_HAIKU
								  : MIN_CACHED_BYTES;
	struct llm_block *system = NULL, *users[2] = {NULL, NULL};
	size_t bytes = 0, system_bytes = 0;

	for (struct llm_turn *t = w->turns; t != NULL; t = t->next) {
		struct llm_block *last = last_markable(t);

		bytes += text_bytes(t->blocks);
		if (last == NULL)
			continue;
		if (t->role == LLM_ROLE_SYSTEM) {
			system = last;
			system_bytes = bytes;
		} else if (t->role == LLM_ROLE_USER) {
			users[0] = users[1];
			users[1] = last;
		}
	}
	if (system != NULL && system_bytes >= least)
		system->cache = mark;
	for (int i = 0; i < 2 && bytes >= least; i++)
		if (users[i] != NULL)
			users[i]->cache = mark;
}

void bedrock_plan_marks(struct bedrock_writer *w)
{
	enum llm_cache_mark asked = w->q->cache;
	int fixed = 0, moving = 0;

	if (!can_cache(w))
		return;
	for (const struct llm_tool *t = w->q->tools; t != NULL; t = t->next)
		fixed += t->cache != LLM_CACHE_NONE && w->model.family != BEDROCK_NOVA;
	for (const struct llm_turn *t = w->turns; t != NULL; t = t->next)
		*(t->role == LLM_ROLE_SYSTEM ? &fixed : &moving) += count_marks(t->blocks);
	if (fixed + moving == 0 && (w->t->auto_cache || asked != LLM_CACHE_NONE)) {
		mark_by_itself(w, asked != LLM_CACHE_NONE ? asked : LLM_CACHE_5M);
		fixed = 1;
		moving = 2;
	}
	w->marks_left = MAX_MARKS;
	if (fixed > MAX_MARKS)
		fixed = MAX_MARKS;
	w->marks_skip = fixed + moving > MAX_MARKS ? fixed + moving - MAX_MARKS : 0;
}
