/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/message.h"

void message_init(struct llm_message *m, struct arena *a, size_t max_bytes)
{
	*m = (struct llm_message){.arena = a, .max_bytes = max_bytes};
}

void message_done(struct llm_message *m)
{
	for (struct llm_part *p = m->parts; p != NULL; p = p->next) {
		buf_done(&p->text);
		buf_done(&p->logprobs);
	}
	m->parts = m->last = NULL;
}

static struct llm_state copy_state(struct arena *a, const struct llm_state *s)
{
	return (struct llm_state){.maker = s->maker,
		.scope = arena_copy(a, s->scope),
		.id = arena_copy(a, s->id),
		.data = arena_copy(a, s->data)};
}

static struct span copy_native(struct llm_message *m, yyjson_val *v)
{
	struct span made = {NULL, 0};
	struct buf b;

	if (v == NULL)
		return made;
	buf_init(&b, m->max_bytes);
	if (json_write(&b, v))
		made = arena_copy(m->arena, buf_span(&b));
	else
		m->arena->failed = true;
	buf_done(&b);
	return made;
}

static struct llm_media copy_media(struct arena *a, const struct llm_media *from)
{
	struct llm_media media = *from;

	media.data = arena_copy(a, from->data);
	media.mime = arena_copy(a, from->mime);
	media.name = arena_copy(a, from->name);
	media.title = media.context = media.detail = (struct span){NULL, 0};
	return media;
}

static bool add_part(struct llm_message *m, const struct llm_event *ev)
{
	struct llm_part *p = ARENA_NEW(m->arena, struct llm_part);

	if (p == NULL)
		return false;
	p->kind = ev->block;
	p->index = ev->index;
	buf_init(&p->text, m->max_bytes);
	buf_init(&p->logprobs, m->max_bytes);
	p->id = arena_copy(m->arena, ev->call_id);
	p->name = arena_copy(m->arena, ev->name);
	p->custom = ev->custom;
	p->redacted = ev->redacted;
	p->native_op = ev->native_op;
	if (ev->media != NULL)
		p->media = copy_media(m->arena, ev->media);
	p->native = copy_native(m, ev->native);
	if (m->last != NULL)
		m->last->next = p;
	else
		m->parts = p;
	m->last = p;
	return !m->arena->failed;
}

static bool add_text(struct llm_message *m, struct span text)
{
	if (m->bytes + text.n > m->max_bytes)
		return false;
	m->bytes += text.n;
	return buf_append(&m->last->text, text);
}

static bool add_state(struct llm_message *m, const struct llm_state *s)
{
	struct llm_state *to = &m->last->state;
	struct llm_state now = copy_state(m->arena, s);

	/* A signature may come in pieces. */
	if (to->maker == now.maker && to->data.n > 0)
		now.data = arena_join(m->arena, (const struct span[]){to->data, now.data}, 2);
	*to = now;
	return !m->arena->failed;
}

static bool add_citation(struct llm_message *m, const struct llm_citation *from)
{
	struct llm_citation *c = ARENA_NEW(m->arena, struct llm_citation);
	struct llm_citation **last = &m->last->citations;

	if (c == NULL)
		return false;
	*c = *from;
	c->url = arena_copy(m->arena, from->url);
	c->title = arena_copy(m->arena, from->title);
	c->quote = arena_copy(m->arena, from->quote);
	c->native = NULL;
	c->next = NULL;
	while (*last != NULL)
		last = &(*last)->next;
	*last = c;
	return !m->arena->failed;
}

static bool add_logprobs(struct llm_message *m, yyjson_val *entries)
{
	struct buf *to = &m->last->logprobs;
	size_t i, n, before = to->n;
	yyjson_val *v;

	yyjson_arr_foreach(entries, i, n, v)
	{
		if (to->n > 0)
			buf_append_char(to, ',');
		json_write(to, v);
	}
	m->bytes += to->n - before;
	return !to->failed && m->bytes <= m->max_bytes;
}

bool message_add(struct llm_message *m, const struct llm_event *ev)
{
	switch (ev->kind) {
	case LLM_EVENT_START:
		m->id = arena_copy(m->arena, ev->id);
		m->model = arena_copy(m->arena, ev->model);
		m->created = ev->created;
		return !m->arena->failed;
	case LLM_EVENT_BLOCK:
		return add_part(m, ev);
	case LLM_EVENT_DELTA:
		return add_text(m, ev->text);
	case LLM_EVENT_STATE:
		return add_state(m, ev->state);
	case LLM_EVENT_CITATION:
		return add_citation(m, ev->citation);
	case LLM_EVENT_LOGPROBS:
		return add_logprobs(m, ev->native);
	case LLM_EVENT_BLOCK_END:
		m->last->ended = true;
		if (ev->native != NULL)
			m->last->native = copy_native(m, ev->native);
		return !m->arena->failed;
	case LLM_EVENT_USAGE:
		m->usage = *ev->usage;
		return true;
	case LLM_EVENT_STOP:
		m->stopped = true;
		m->stop = ev->stop;
		m->stop_sequence = arena_copy(m->arena, ev->stop_sequence);
		m->native_stop = arena_copy(m->arena, ev->native_stop);
		return !m->arena->failed;
	case LLM_EVENT_END:
		m->ended = true;
		return true;
	case LLM_EVENT_PING:
		return true;
	}
	return true;
}
