/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_chat/openai_chat.h"

/* What one chunk holds, found in one walk. */
struct chunk {
	yyjson_val *choices, *usage, *error, *groq;
	yyjson_val *null_usage; /* the key of "usage": null */
	int n_usage;            /* how often that key is there */
	bool calls_null;        /* a delta has "tool_calls": null */
	bool has_usage;         /* it counts something */
};

static void find_members(yyjson_val *root, struct chunk *c)
{
	size_t i, max;
	yyjson_val *key, *v;

	yyjson_obj_foreach(root, i, max, key, v)
	{
		if (KEY_IS(key, "choices")) {
			c->choices = v;
		} else if (KEY_IS(key, "usage")) {
			c->usage = v;
			c->n_usage++;
			if (yyjson_is_null(v))
				c->null_usage = key;
		} else if (KEY_IS(key, "error")) {
			c->error = v;
		} else if (KEY_IS(key, "x_groq")) {
			c->groq = v;
		}
	}
}

static void mark(uint64_t bits[2], uint64_t index)
{
	if (index < MAX_CHOICES)
		bits[index / 64] |= (uint64_t)1 << index % 64;
}

static void read_choice(struct tap *t, yyjson_val *choice, struct chunk *c)
{
	yyjson_val *index = NULL, *delta = NULL, *finish = NULL, *key, *v;
	size_t i, max;
	bool acts = false;
	int64_t bytes;

	yyjson_obj_foreach(choice, i, max, key, v)
	{
		if (KEY_IS(key, "delta"))
			delta = v;
		else if (KEY_IS(key, "index"))
			index = v;
		else if (KEY_IS(key, "finish_reason"))
			finish = v;
		else if (KEY_IS(key, "usage") && yyjson_is_obj(v) && c->usage == NULL)
			c->usage = v;
	}
	mark(t->begun, yyjson_is_uint(index) ? yyjson_get_uint(index) : 0);
	if (yyjson_is_str(finish) && yyjson_get_len(finish) > 0) {
		mark(t->ended, yyjson_is_uint(index) ? yyjson_get_uint(index) : 0);
		t->content = true;
	}
	yyjson_obj_foreach(delta, i, max, key, v) c->calls_null |=
		yyjson_is_null(v) && KEY_IS(key, "tool_calls");
	bytes = openai_count_bytes(delta, &acts);
	t->output_bytes += bytes;
	t->content |= acts || bytes > 0;
}

static void read_choices(struct tap *t, struct chunk *c)
{
	size_t i, max;
	yyjson_val *choice;

	yyjson_arr_foreach(c->choices, i, max, choice) read_choice(t, choice, c);
	t->finished = (t->begun[0] | t->begun[1]) != 0 && t->begun[0] == t->ended[0] &&
		      t->begun[1] == t->ended[1];
}

/*
 * Usage comes in a chunk of its own, with the finish, on every chunk, in an extension (Groq) or in
 * the first choice (Moonshot). It can be the last one when nothing of the answer is to come.
 */
static void read_usage(struct tap *t, struct chunk *c)
{
	struct llm_usage now = {0};

	if (yyjson_is_obj(c->usage))
		openai_read_usage(c->usage, &now);
	if (!now.present && c->groq != NULL)
		openai_read_usage(json_get(c->groq, "usage"), &now);
	if (!now.present)
		return;
	c->has_usage = true;
	usage_take(&t->usage, &now);
	t->final_usage = t->finished || yyjson_arr_size(c->choices) == 0;
}

static enum tap_verdict fail(struct tap *t, int status, struct buf *out, const char *native_type,
	const char *native_code)
{
	t->error_status = status;
	buf_append_cstr(out, "data: ");
	openai_write_error(&t->error, "provider", t->request_id, native_type, native_code, out);
	buf_append_cstr(out, "\n\n");
	return TAP_REPLACE;
}

static enum tap_verdict fail_garbage(struct tap *t, struct buf *out)
{
	tap_garbage(t);
	return fail(t, err_row(t->error.code)->status, out, NULL, NULL);
}

static enum tap_verdict fail_said(struct tap *t, yyjson_val *root, struct buf *out)
{
	char native_type[64], native_code[64];
	struct said said;
	int status;

	said_read(root, &said);
	status = said_status(&said);
	said_keep(status, &said, &t->error, native_type, native_code);
	return fail(t, status, out, native_type, native_code);
}

static void cut_choices(struct cuts *cuts, struct span choices)
{
	struct json_member choice, m;
	size_t at = 0, inner;

	while (json_next(choices, &at, &choice))
		for (inner = 0; json_next(choice.value, &inner, &m);)
			if (m.key.p != NULL && json_key_is(m.key, "delta"))
				cut_members(cuts, m.value, "tool_calls", true);
}

static struct span cost_of(struct tap *t, const struct chunk *c, char text[32])
{
	if (t->cost == NULL || !t->final_usage || t->hide_usage || !yyjson_is_obj(c->usage))
		return (struct span){NULL, 0};
	return t->cost(t->user, &t->usage, text);
}

static enum tap_verdict change(struct tap *t, const struct chunk *c, struct span data,
	struct span name, struct span cost, struct buf *out)
{
	struct cuts cuts;
	struct json_member m;
	size_t at = 0;

	cuts.text = data;
	cuts.n = 0;
	cuts.mem_bytes = 0;
	cuts.failed = false;
	if (t->hide_usage || c->null_usage != NULL)
		cut_members(&cuts, data, "usage", !t->hide_usage);
	if (c->calls_null || cost.n > 0)
		while (json_next(data, &at, &m)) {
			if (m.key.p == NULL)
				break;
			if (c->calls_null && json_key_is(m.key, "choices"))
				cut_choices(&cuts, m.value);
			else if (cost.n > 0 && json_key_is(m.key, "usage") && *m.value.p == '{')
				cut_set(&cuts, m.value, "cost", cost);
		}
	if (cuts.n == 0)
		return TAP_PASS;
	event_write(out, name, &cuts);
	return TAP_REPLACE;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/*
 * Where a key of the root object stands in the text, by the distance of its string from that of the
 * first key: the parser keeps strings in one copy, each where it stood. Believed only when the
 * text there says so too; NULL then, and the scanner looks.
 */
static const char *find_key(yyjson_val *root, yyjson_val *key, struct span data)
{
	const char *first = yyjson_get_str(unsafe_yyjson_get_first(root)), *p = data.p + 1;
	size_t n = yyjson_get_len(key), at;

	while (p < data.p + data.n && is_blank(*p))
		p++;
	at = (size_t)(p + 1 - data.p) + ((uintptr_t)yyjson_get_str(key) - (uintptr_t)first);
	if (at >= data.n || data.n - at <= n || data.p[at - 1] != '"' || data.p[at + n] != '"' ||
		memcmp(data.p + at, yyjson_get_str(key), n) != 0)
		return NULL;
	return data.p + at - 1;
}

/*
 * The change that every chunk of some providers needs, without a walk over the text: `"usage":null`
 * goes with one comma. False: not so plain, nothing was written.
 */
static bool drop_null_usage(
	yyjson_val *root, yyjson_val *key, struct span data, struct span name, struct buf *out)
{
	const char *end = data.p + data.n, *from = find_key(root, key, data), *to;

	if (from == NULL || name.n > 0 || memchr(data.p, '\n', data.n) != NULL)
		return false;
	to = from + sizeof("\"usage\"") - 1;
	while (to < end && is_blank(*to))
		to++;
	if (to == end || *to++ != ':')
		return false;
	while (to < end && is_blank(*to))
		to++;
	if (end - to < 5 || memcmp(to, "null", 4) != 0)
		return false;
	to += 4;
	while (from > data.p && is_blank(from[-1]))
		from--;
	if (from == data.p || *--from != ',')
		return false;
	while (from > data.p && is_blank(from[-1]))
		from--;
	buf_append_cstr(out, "data: ");
	buf_append(out, span_from(data.p, (size_t)(from - data.p)));
	buf_append(out, span_from(to, (size_t)(end - to)));
	return buf_append_cstr(out, "\n\n");
}

/* An error member that is there but says nothing is no error: null, false, "". */
static bool is_told(yyjson_val *error)
{
	return yyjson_is_ctn(error) || yyjson_get_len(error) > 0;
}

/* Nothing but text for one choice: no usage, no end, no second choice. */
static bool is_text_alone(const struct tap *t, const struct chunk *c, int64_t had_ended)
{
	return c->groq == NULL && !yyjson_is_obj(c->usage) && c->error == NULL && !c->calls_null &&
	       yyjson_arr_size(c->choices) == 1 && t->content &&
	       had_ended == __builtin_popcountll(t->ended[0]) + __builtin_popcountll(t->ended[1]);
}

static enum tap_verdict read_chunk(
	struct tap *t, yyjson_val *root, struct span name, struct span data, struct buf *out)
{
	int64_t had_bytes = t->output_bytes,
		had_ended = __builtin_popcountll(t->ended[0]) + __builtin_popcountll(t->ended[1]);
	struct chunk c = {0};
	char text[32];
	struct span cost;
	size_t from = out->n;

	find_members(root, &c);
	if (is_told(c.error) || span_is(name, "error")) {
		read_usage(t, &c);
		return fail_said(t, root, out);
	}
	read_choices(t, &c);
	read_usage(t, &c);
	if (t->hide_usage && c.has_usage && yyjson_arr_size(c.choices) == 0)
		return TAP_DROP;
	cost = cost_of(t, &c, text);
	if (!c.calls_null && cost.n == 0 && !(t->hide_usage && yyjson_is_obj(c.usage))) {
		bool alone = is_text_alone(t, &c, had_ended);
		int64_t bytes = alone ? t->output_bytes - had_bytes : 0;

		if (c.null_usage == NULL) {
			template_learn(t, name, data, bytes, TAP_PASS, (struct span){NULL, 0});
			return TAP_PASS;
		}
		if (c.n_usage == 1 && drop_null_usage(root, c.null_usage, data, name, out)) {
			template_learn(
				t, name, data, bytes, TAP_REPLACE, span_skip(buf_span(out), from));
			return TAP_REPLACE;
		}
	}
	return change(t, &c, data, name, cost, out);
}

enum tap_verdict openai_tap(struct tap *t, struct span name, struct span data, struct buf *out)
{
	enum tap_verdict verdict;
	yyjson_doc *doc;

	t->final_usage = false;
	data = span_trim(data);
	if (data.n == 0)
		return TAP_PASS;
	if (*data.p == '[' && span_starts(data, SPAN("[DONE]"))) {
		t->terminal = true;
		return TAP_PASS;
	}
	if (template_match(t, name, data, out, &verdict))
		return verdict;
	doc = json_read_loose(t->scratch, data, &t->error);
	if (doc == NULL)
		return fail_garbage(t, out);
	if (yyjson_is_obj(yyjson_doc_get_root(doc)))
		verdict = read_chunk(t, yyjson_doc_get_root(doc), name, data, out);
	else
		verdict = fail_garbage(t, out);
	json_free(doc);
	return verdict;
}
