/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/dialect.h"
#include <stdio.h>
#include "machine/base/text.h"
#include "meaning/dialect/shared.h"

const struct dialect *dialect_of(enum llm_op op)
{
	switch (op) {
	case LLM_OP_MESSAGES:
	case LLM_OP_COUNT_TOKENS:
		return &dialect_anthropic;
	case LLM_OP_RESPONSES:
		return &dialect_openai_responses;
	case LLM_OP_GENERATE:
		return &dialect_gemini;
	case LLM_OP_CONVERSE:
		return &dialect_bedrock;
	case LLM_OP_COHERE:
		return &dialect_cohere;
	case LLM_OP_IMAGES:
	case LLM_OP_IMAGE_EDITS:
	case LLM_OP_SPEECH:
	case LLM_OP_TRANSCRIPTIONS:
	case LLM_OP_TRANSLATIONS:
		return &dialect_openai_media;
	default:
		return &dialect_openai_chat;
	}
}

bool pick_members(yyjson_val *root, struct pick *picks, int n, struct err *err)
{
	size_t i, max;
	yyjson_val *key, *value;
	unsigned seen = 0;

	if (!yyjson_is_obj(root))
		return err_set(err, ERR_BAD_REQUEST, "The body must be a JSON object");
	yyjson_obj_foreach(root, i, max, key, value)
	{
		for (int k = 0; k < n; k++) {
			if (!yyjson_equals_str(key, picks[k].key))
				continue;
			if ((seen & 1u << k) != 0) {
				err_param(err, picks[k].key);
				return err_set(err, ERR_BAD_REQUEST, "'%s' is given more than once",
					picks[k].key);
			}
			seen |= 1u << k;
			picks[k].value = yyjson_is_null(value) ? NULL : value;
		}
	}
	return true;
}

static bool wrong(const struct pick *p, const char *wanted, struct err *err)
{
	err_param(err, p->key);
	return err_set(err, ERR_BAD_REQUEST, "'%s' must be %s", p->key, wanted);
}

bool pick_str(const struct pick *p, size_t max_bytes, struct span *out, struct err *err)
{
	if (p->value == NULL)
		return true;
	if (!yyjson_is_str(p->value))
		return wrong(p, "a string", err);
	if (yyjson_get_len(p->value) > max_bytes) {
		err_param(err, p->key);
		return err_set(
			err, ERR_BAD_REQUEST, "'%s' is longer than %zu bytes", p->key, max_bytes);
	}
	*out = (struct span){yyjson_get_str(p->value), yyjson_get_len(p->value)};
	return true;
}

bool pick_bool(const struct pick *p, bool *out, struct err *err)
{
	if (p->value == NULL)
		return true;
	if (!yyjson_is_bool(p->value))
		return wrong(p, "true or false", err);
	*out = yyjson_get_bool(p->value);
	return true;
}

bool pick_int(const struct pick *p, int64_t *out, struct err *err)
{
	if (p->value == NULL)
		return true;
	if (yyjson_is_uint(p->value)) {
		uint64_t v = yyjson_get_uint(p->value);

		*out = v > (uint64_t)LLM_MAX_COUNT ? LLM_MAX_COUNT : (int64_t)v;
		return true;
	}
	if (yyjson_is_sint(p->value)) {
		*out = yyjson_get_sint(p->value);
		return true;
	}
	/* 100.0 is an integer to JSON Schema, and some languages write it so. */
	if (yyjson_is_real(p->value)) {
		double v = yyjson_get_real(p->value);

		if (v >= -(double)LLM_MAX_COUNT && v <= (double)LLM_MAX_COUNT &&
			v == (double)(int64_t)v) {
			*out = (int64_t)v;
			return true;
		}
	}
	return wrong(p, "an integer", err);
}

bool fill_user(struct llm_metadata *meta, struct llm_facts *facts, struct arena *a, struct err *err)
{
	struct span user = facts->user;
	size_t n = user.n < MAX_USER_BYTES ? user.n : MAX_USER_BYTES;

	while (n > 0 && n < user.n && ((unsigned char)user.p[n] & 0xc0) == 0x80)
		n--;
	facts->user = span_head(user, n);
	if (meta->user_id.n > 0 || n == 0)
		return true;
	meta->user_id = arena_copy(a, facts->user);
	return meta->user_id.p != NULL || err_set(err, ERR_NO_MEMORY, NULL);
}

/* The text as a JSON string in the edit's arena; {NULL, 0} without memory. */
static struct span quote(struct arena *a, struct span text)
{
	struct span out = {NULL, 0};
	struct buf b;

	buf_init(&b, 8 * MAX_MODEL_BYTES);
	if (text_json_string(&b, text))
		out = arena_copy(a, buf_span(&b));
	buf_done(&b);
	return out;
}

void edit_common(const struct llm_facts *facts, const struct pass_edit *edit, struct json_edit *e)
{
	json_edit_known(e, "model", facts->model_raw);
	if (edit->model.n > 0 && !span_eq(edit->model, facts->model))
		json_edit_set(e, "model", quote(e->arena, edit->model));
	if (facts->has_requesty)
		json_edit_remove(e, "requesty");
}

void edit_cap(const struct pass_edit *edit, const char *member, struct json_edit *e)
{
	if (edit->cap > 0)
		json_edit_set(e, member, arena_printf(e->arena, "%lld", (long long)edit->cap));
}

int64_t usage_count(yyjson_val *object, const char *key)
{
	int64_t n = -1;

	json_get_count(object, key, &n);
	return n;
}

/*
 * Some makers report the whole input first and the split into fresh and cached only at the end, but
 * name the cached part both times: then the smaller sum is the true one.
 */
static bool was_inclusive(const struct llm_usage *have, const struct llm_usage *now)
{
	return now->cache_read > 0 && have->cache_read == now->cache_read &&
	       have->input_uncached == llm_usage_input(now);
}

/* A part is never more than its whole. */
static void clamp_parts(struct llm_usage *u)
{
	if (u->reasoning > u->output)
		u->reasoning = u->output;
	if (u->output_audio > u->output)
		u->output_audio = u->output;
}

void usage_take(struct llm_usage *have, const struct llm_usage *now)
{
	struct llm_usage out = *now;

	if (!have->present) {
		*have = *now;
		clamp_parts(have);
		return;
	}
	if (llm_usage_input(now) < llm_usage_input(have) && !was_inclusive(have, now)) {
		out.input_uncached = have->input_uncached;
		out.cache_read = have->cache_read;
		out.cache_write_5m = have->cache_write_5m;
		out.cache_write_1h = have->cache_write_1h;
		out.input_audio = have->input_audio;
	}
	if (have->output > out.output)
		out.output = have->output;
	if (have->reasoning > out.reasoning)
		out.reasoning = have->reasoning;
	if (have->output_audio > out.output_audio)
		out.output_audio = have->output_audio;
	clamp_parts(&out);
	*have = out;
}

void cut_add(struct cuts *c, const char *from, size_t n, struct span put)
{
	size_t at = (size_t)(from - c->text.p);
	int i = c->n;

	if (c->n == MAX_CUTS) {
		c->failed = true;
		return;
	}
	for (; i > 0 && c->at[i - 1].at > at; i--)
		c->at[i] = c->at[i - 1];
	c->at[i] = (struct json_splice){at, n, put};
	c->n++;
}

void cut_members(struct cuts *c, struct span object, const char *key, bool only_null)
{
	const char *kept_end = NULL, *run = NULL, *run_end = NULL;
	const struct span nothing = {NULL, 0};
	struct json_member m;
	size_t at = 0;

	while (json_next(object, &at, &m)) {
		const char *end = m.value.p + m.value.n;

		if (m.key.p == NULL)
			return;
		if (json_key_is(m.key, key) && (!only_null || span_is(m.value, "null"))) {
			if (kept_end != NULL) {
				cut_add(c, kept_end, (size_t)(end - kept_end), nothing);
				kept_end = end;
				continue;
			}
			run = run != NULL ? run : m.key.p - 1;
			run_end = end;
			continue;
		}
		if (run != NULL && kept_end == NULL)
			cut_add(c, run, (size_t)(m.key.p - 1 - run), nothing);
		kept_end = end;
	}
	if (run != NULL && kept_end == NULL)
		cut_add(c, run, (size_t)(run_end - run), nothing);
}

void cut_set(struct cuts *c, struct span object, const char *key, struct span raw)
{
	size_t room = sizeof(c->mem) - c->mem_bytes, at = 0;
	const char *end = NULL;
	struct span old = {NULL, 0};
	struct json_member m;
	char *put = c->mem + c->mem_bytes;
	int n;

	while (json_next(object, &at, &m)) {
		end = m.value.p + m.value.n;
		if (m.key.p != NULL && json_key_is(m.key, key))
			old = m.value;
	}
	n = old.n > 0 ? snprintf(put, room, "%.*s", SPAN_ARG(raw))
		      : snprintf(put, room, "%s\"%s\":%.*s", end != NULL ? "," : "", key,
				SPAN_ARG(raw));
	if (n < 0 || (size_t)n >= room) {
		c->failed = true;
		return;
	}
	c->mem_bytes += (size_t)n;
	if (old.n > 0)
		cut_add(c, old.p, old.n, span_from(put, (size_t)n));
	else
		cut_add(c, end != NULL ? end : object.p + 1, 0, span_from(put, (size_t)n));
}

/* A data line ends at its line end; text with line ends needs one "data:" a line. */
static void write_text(struct buf *out, struct span text, bool *line_open)
{
	while (text.n > 0) {
		ptrdiff_t at = span_find_char(text, '\n');

		if (!*line_open)
			buf_append_cstr(out, "data: ");
		*line_open = true;
		if (at < 0) {
			buf_append(out, text);
			return;
		}
		buf_append(out, span_head(text, (size_t)at + 1));
		*line_open = false;
		text = span_skip(text, (size_t)at + 1);
	}
}

void event_write(struct buf *out, struct span name, const struct cuts *c)
{
	bool line_open = false;
	size_t at = 0;

	if (name.n > 0) {
		buf_append_cstr(out, "event: ");
		buf_append(out, name);
		buf_append_char(out, '\n');
	}
	for (int i = 0; i < c->n; i++) {
		if (c->at[i].at > at)
			write_text(
				out, (struct span){c->text.p + at, c->at[i].at - at}, &line_open);
		write_text(out, c->at[i].put, &line_open);
		at = c->at[i].at + c->at[i].cut;
	}
	write_text(out, span_skip(c->text, at), &line_open);
	buf_append_cstr(out, line_open ? "\n\n" : "\n");
}

void tap_garbage(struct tap *t)
{
	struct err why = t->error;

	t->error = (struct err){0};
	if (why.code == ERR_NO_MEMORY)
		err_set(&t->error, ERR_NO_MEMORY, NULL);
	else
		err_set(&t->error, ERR_UPSTREAM_INVALID,
			"The provider's stream holds an event that is not a JSON object%s%s",
			why.text[0] != '\0' ? ": " : "", why.text);
}

struct span scan_usage(struct span text, const char *list)
{
	struct span usage = {NULL, 0}, rest;
	struct json_member m;
	bool has_list = false;
	size_t at = 0;

	while (json_next(text, &at, &m)) {
		if (m.key.p == NULL || (json_key_is(m.key, "error") && !span_is(m.value, "null")))
			return (struct span){NULL, 0};
		if (json_key_is(m.key, list)) {
			has_list = *m.value.p == '[';
		} else if (json_key_is(m.key, "usage")) {
			if (usage.p != NULL || *m.value.p != '{')
				return (struct span){NULL, 0};
			usage = m.value;
		}
	}
	rest = span_skip(text, at);
	while (rest.n > 0 &&
		(*rest.p == '\n' || *rest.p == '\r' || *rest.p == ' ' || *rest.p == '\t'))
		rest = span_skip(rest, 1);
	if (!has_list || rest.n == 0 || *rest.p != '}')
		return (struct span){NULL, 0};
	for (size_t i = 1; i < rest.n; i++)
		if (rest.p[i] != '\n' && rest.p[i] != '\r' && rest.p[i] != ' ' && rest.p[i] != '\t')
			return (struct span){NULL, 0};
	return usage;
}
