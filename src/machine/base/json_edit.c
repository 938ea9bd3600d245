/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json_scan.h"

void json_edit_init(struct json_edit *e, struct arena *a, struct span text)
{
	e->text = text;
	e->arena = a;
	e->n_changes = e->n = e->n_known = 0;
	e->failed = e->made = false;
}

/* The same member, or one that holds it. */
static bool is_above(const struct json_change *top, const struct json_change *c)
{
	if (top->n_keys > c->n_keys)
		return false;
	for (int i = 0; i < top->n_keys; i++)
		if (!span_eq(top->keys[i], c->keys[i]))
			return false;
	return true;
}

static struct span wrap(struct arena *a, struct span key, struct span raw)
{
	char *p = arena_alloc(a, key.n + raw.n + 5);

	if (p == NULL)
		return (struct span){NULL, 0};
	p[0] = '{';
	p[1] = '"';
	memcpy(p + 2, key.p, key.n);
	p[2 + key.n] = '"';
	p[3 + key.n] = ':';
	memcpy(p + 4 + key.n, raw.p, raw.n);
	p[4 + key.n + raw.n] = '}';
	return (struct span){p, key.n + raw.n + 5};
}

/* The raw text below `depth` keys of the change: {"b":raw} for "a.b" below "a". */
static struct span build_below(struct arena *a, const struct json_change *c, int depth)
{
	struct span raw = c->raw;

	for (int i = c->n_keys - 1; i >= depth && raw.p != NULL; i--)
		raw = wrap(a, c->keys[i], raw);
	return raw;
}

static bool flatten(struct json_edit *e, struct span *out)
{
	struct span spans[2 * JSON_MAX_SPLICES + 1];
	size_t size = json_edit_size(e), at = 0;
	int n = json_edit_spans(e, spans, 2 * JSON_MAX_SPLICES + 1);
	char *p = n >= 0 ? arena_alloc(e->arena, size) : NULL;

	if (p == NULL)
		return false;
	for (int i = 0; i < n; i++) {
		memcpy(p + at, spans[i].p, spans[i].n);
		at += spans[i].n;
	}
	*out = (struct span){p, size};
	return true;
}

static void add_change(struct json_edit *e, struct json_change c);

/* A change inside text that an earlier change put there. */
static void change_put(struct json_edit *e, struct json_change *top, const struct json_change *c)
{
	struct json_change below = {.n_keys = c->n_keys - top->n_keys, .raw = c->raw};
	struct json_edit inner;

	if (top->raw.n == 0 || *top->raw.p != '{') {
		if (c->raw.n == 0)
			return;
		top->raw = build_below(e->arena, c, top->n_keys);
		e->failed |= top->raw.p == NULL;
		return;
	}
	for (int i = 0; i < below.n_keys; i++)
		below.keys[i] = c->keys[top->n_keys + i];
	json_edit_init(&inner, e->arena, top->raw);
	add_change(&inner, below);
	if (!flatten(&inner, &top->raw))
		e->failed = true;
}

static void add_change(struct json_edit *e, struct json_change c)
{
	int kept = 0;

	e->made = false;
	for (int i = 0; i < e->n_changes; i++) {
		struct json_change *old = &e->changes[i];

		if (old->n_keys < c.n_keys && is_above(old, &c)) {
			change_put(e, old, &c);
			return;
		}
	}
	for (int i = 0; i < e->n_changes; i++)
		if (!is_above(&c, &e->changes[i]))
			e->changes[kept++] = e->changes[i];
	e->n_changes = kept;
	if (kept == JSON_MAX_SPLICES) {
		e->failed = true;
		return;
	}
	e->changes[e->n_changes++] = c;
}

static void change(struct json_edit *e, const char *path, struct span raw)
{
	struct json_change c = {.raw = raw};
	struct span rest = span_of(path);

	while (rest.p != NULL) {
		if (c.n_keys == JSON_MAX_PATH) {
			e->failed = true;
			return;
		}
		c.keys[c.n_keys++] = span_cut(&rest, '.');
	}
	if (c.n_keys == 0)
		e->failed = true;
	if (!e->failed)
		add_change(e, c);
}

void json_edit_set(struct json_edit *e, const char *path, struct span raw)
{
	if (raw.n == 0)
		e->failed = true;
	else
		change(e, path, raw);
}

void json_edit_known(struct json_edit *e, const char *key, struct span value)
{
	if (value.n == 0 || e->n_known == JSON_MAX_KNOWN)
		return;
	e->known[e->n_known].key = span_of(key);
	e->known[e->n_known++].value = value;
}

void json_edit_remove(struct json_edit *e, const char *path)
{
	change(e, path, (struct span){NULL, 0});
}

static void add_splice(struct json_edit *e, size_t at, size_t cut, struct span put)
{
	int i = e->n;

	if (e->n == JSON_MAX_SPLICES) {
		e->failed = true;
		return;
	}
	for (; i > 0 && e->splices[i - 1].at > at; i--)
		e->splices[i] = e->splices[i - 1];
	e->splices[i] = (struct json_splice){at, cut, put};
	e->n++;
}

/* The changes of one object: which of them, how deep, and where each one's member was found. */
struct level {
	struct span object;
	const struct json_change *changes[JSON_MAX_SPLICES];
	struct span found[JSON_MAX_SPLICES];
	int n, depth;
};

/* Changes of the level that share the key of the first one: they go on below it together. */
static int take_same_key(const struct level *l, int first, struct level *below)
{
	struct span key = l->changes[first]->keys[l->depth];

	below->object = l->found[first];
	below->depth = l->depth + 1;
	below->n = 0;
	for (int i = first; i < l->n; i++)
		if (span_eq(l->changes[i]->keys[l->depth], key) &&
			l->changes[i]->n_keys > below->depth)
			below->changes[below->n++] = l->changes[i];
	return below->n;
}

static bool is_first_of_key(const struct level *l, int i)
{
	for (int k = 0; k < i; k++)
		if (span_eq(l->changes[k]->keys[l->depth], l->changes[i]->keys[l->depth]))
			return false;
	return true;
}

/* One object of the changes below a missing member, as text. */
static struct span build_object(struct json_edit *e, const struct level *below)
{
	struct json_edit inner;
	struct span out;

	json_edit_init(&inner, e->arena, SPAN("{}"));
	for (int i = 0; i < below->n; i++) {
		struct json_change c = {.raw = below->changes[i]->raw};

		for (int k = below->depth; k < below->changes[i]->n_keys; k++)
			c.keys[c.n_keys++] = below->changes[i]->keys[k];
		if (c.raw.n > 0)
			add_change(&inner, c);
	}
	if (inner.n_changes == 0)
		return (struct span){NULL, 0};
	if (!flatten(&inner, &out)) {
		e->failed = true;
		return (struct span){NULL, 0};
	}
	return out;
}

static struct span join_appended(
	struct json_edit *e, struct span put, struct span key, struct span raw, bool comma)
{
	size_t n = put.n + key.n + raw.n + 4, at = 0;
	char *p = arena_alloc(e->arena, n);

	if (p == NULL) {
		e->failed = true;
		return put;
	}
	if (put.n > 0)
		memcpy(p, put.p, put.n);
	at = put.n;
	if (comma)
		p[at++] = ',';
	p[at++] = '"';
	memcpy(p + at, key.p, key.n);
	at += key.n;
	p[at++] = '"';
	p[at++] = ':';
	memcpy(p + at, raw.p, raw.n);
	return (struct span){p, at + raw.n};
}

static void make_level(struct json_edit *e, struct level *l);

/* Replaces, descends or remembers as appended, once a level's members are known. */
static struct span make_values(struct json_edit *e, struct level *l, bool any_kept)
{
	struct span put = {NULL, 0};

	for (int i = 0; i < l->n && !e->failed; i++) {
		const struct json_change *c = l->changes[i];
		struct span raw = c->raw;
		struct level below;

		if (c->n_keys > l->depth + 1) {
			if (!is_first_of_key(l, i))
				continue;
			take_same_key(l, i, &below);
			if (l->found[i].n > 0 && *l->found[i].p == '{') {
				make_level(e, &below);
				continue;
			}
			raw = build_object(e, &below);
		}
		if (raw.n == 0)
			continue;
		if (l->found[i].n > 0)
			add_splice(e, (size_t)(l->found[i].p - e->text.p), l->found[i].n, raw);
		else
			put = join_appended(e, put, c->keys[l->depth], raw, any_kept || put.n > 0);
	}
	return put;
}

/*
 * One walk over the members. A removed run between kept members goes with the commas behind it,
 * one at the end with the comma before it, so what stays keeps its exact bytes.
 */
static void make_level(struct json_edit *e, struct level *l)
{
	const char *base = e->text.p, *kept_end = NULL, *run = NULL, *run_end = NULL;
	struct json_member m;
	struct span put;
	size_t at = 0;

	memset(l->found, 0, sizeof(l->found));
	while (json_next(l->object, &at, &m)) {
		bool removed = false;

		if (m.key.p == NULL)
			break;
		for (int i = 0; i < l->n; i++) {
			if (!json_key_eq(m.key, l->changes[i]->keys[l->depth]))
				continue;
			l->found[i] = m.value;
			removed |=
				l->changes[i]->raw.n == 0 && l->changes[i]->n_keys == l->depth + 1;
		}
		if (removed) {
			run = run != NULL ? run : m.key.p - 1;
			run_end = m.value.p + m.value.n;
			continue;
		}
		if (run != NULL)
			add_splice(e, (size_t)(run - base), (size_t)(m.key.p - 1 - run),
				(struct span){NULL, 0});
		run = NULL;
		kept_end = m.value.p + m.value.n;
	}
	put = make_values(e, l, kept_end != NULL);
	if (run != NULL && kept_end != NULL)
		run = kept_end;
	if (run != NULL)
		add_splice(e, (size_t)(run - base), (size_t)(run_end - run), put);
	else if (put.n > 0)
		add_splice(e,
			(size_t)((kept_end != NULL ? kept_end
						   : json_skip_blank(l->object.p,
							     l->object.p + l->object.n) +
							     1) -
				 base),
			0, put);
}

/* The only change of its member, or one among several that have to be made together. */
static bool is_alone(const struct json_edit *e, const struct json_change *c)
{
	int n = 0;

	for (int i = 0; i < e->n_changes; i++)
		n += span_eq(e->changes[i].keys[0], c->keys[0]);
	return n == 1;
}

static bool make_known(struct json_edit *e, const struct json_change *c)
{
	for (int i = 0; i < e->n_known; i++) {
		struct span value = e->known[i].value;
		struct level below = {.object = value, .changes = {c}, .n = 1, .depth = 1};

		if (!span_eq(e->known[i].key, c->keys[0]) || !is_alone(e, c))
			continue;
		if (c->n_keys == 1 && c->raw.n > 0)
			add_splice(e, (size_t)(value.p - e->text.p), value.n, c->raw);
		else if (c->n_keys > 1 && *value.p == '{')
			make_level(e, &below);
		else
			return false;
		return true;
	}
	return false;
}

static void make(struct json_edit *e)
{
	struct level top = {.object = e->text, .depth = 0};

	e->n = 0;
	e->made = true;
	for (int i = 0; i < e->n_changes; i++)
		if (!make_known(e, &e->changes[i]))
			top.changes[top.n++] = &e->changes[i];
	if (top.n > 0)
		make_level(e, &top);
}

size_t json_edit_size(struct json_edit *e)
{
	size_t n = e->text.n;

	if (!e->made && !e->failed)
		make(e);
	if (e->failed)
		return 0;
	for (int i = 0; i < e->n; i++)
		n = n - e->splices[i].cut + e->splices[i].put.n;
	return n;
}

int json_edit_spans(struct json_edit *e, struct span *out, int max)
{
	size_t at = 0;
	int n = 0;

	if (!e->made && !e->failed)
		make(e);
	if (e->failed || max < 2 * e->n + 1)
		return -1;
	for (int i = 0; i < e->n; i++) {
		const struct json_splice *s = &e->splices[i];

		if (s->at > at)
			out[n++] = (struct span){e->text.p + at, s->at - at};
		if (s->put.n > 0)
			out[n++] = s->put;
		at = s->at + s->cut;
	}
	if (at < e->text.n)
		out[n++] = (struct span){e->text.p + at, e->text.n - at};
	return n;
}
