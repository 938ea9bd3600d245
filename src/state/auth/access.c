/* SPDX-License-Identifier: Apache-2.0 */
#include "state/auth/access.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "machine/base/arena.h"
#include "machine/base/json.h"

#define MAX_ENTRY_BYTES 512
#define MAX_ENTRIES 10000

const char *const access_kinds[] = {"chat", "embedding", "image", "transcription", "speech", NULL};
#define N_KINDS 5

struct list {
	struct id id;
	char name[129];
	struct arena arena; /* the entries' texts */
	struct span *entries[N_KINDS];
	int n[N_KINDS];
};

struct attached {
	struct id scope, list;
};

struct access {
	pthread_rwlock_t lock;
	struct list **lists; /* in order of id */
	size_t n_lists;
	struct attached *attached; /* in order of scope */
	size_t n_attached;
	atomic_size_t any; /* lists: without one nothing is looked up */
};

struct access *access_new(struct err *err)
{
	struct access *a = calloc(1, sizeof(*a));

	if (a == NULL)
		err_set(err, ERR_NO_MEMORY, NULL);
	else
		pthread_rwlock_init(&a->lock, NULL);
	return a;
}

static void list_free(struct list *l)
{
	if (l != NULL)
		arena_done(&l->arena);
	free(l);
}

void access_free(struct access *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->n_lists; i++)
		list_free(a->lists[i]);
	free(a->lists);
	free(a->attached);
	pthread_rwlock_destroy(&a->lock);
	free(a);
}

/* ---- rules ---- */

static int kind_of(struct span name)
{
	for (int i = 0; access_kinds[i] != NULL; i++)
		if (span_is(name, access_kinds[i]))
			return i;
	return -1;
}

static bool bad(struct err *err, struct span kind, const char *what)
{
	char name[33];
	struct span head = span_head(kind, 32);

	memcpy(name, head.p, head.n);
	name[head.n] = '\0';
	err_param(err, name);
	return err_set(err, ERR_BAD_REQUEST, "%s %s", name, what);
}

static bool check_entry(struct span kind, yyjson_val *v, bool auto_approve, struct err *err)
{
	struct span text = {yyjson_get_str(v), yyjson_get_len(v)};

	if (!yyjson_is_str(v) || text.n == 0 || text.n > MAX_ENTRY_BYTES)
		return bad(err, kind, "must be a list of models such as \"openai/gpt-4o\"");
	if (!auto_approve && span_find_char(text, '*') >= 0)
		return bad(err, kind,
			"has a pattern, which lets new models in: set auto_approve to true");
	return true;
}

bool access_check(struct span rules, bool auto_approve, struct err *err)
{
	yyjson_doc *doc = json_read(NULL, rules, err);
	yyjson_val *key, *entries, *v;
	size_t i, max, j, n;
	bool ok = doc != NULL;

	yyjson_obj_foreach(yyjson_doc_get_root(doc), i, max, key, entries)
	{
		struct span kind = {yyjson_get_str(key), yyjson_get_len(key)};

		if (ok && kind_of(kind) < 0)
			ok = bad(err, kind, "is no kind of request");
		if (ok && (!yyjson_is_arr(entries) || yyjson_arr_size(entries) > MAX_ENTRIES))
			ok = bad(err, kind, "must be a list of models");
		yyjson_arr_foreach(entries, j, n, v) ok =
			ok && check_entry(kind, v, auto_approve, err);
	}
	json_free(doc);
	return ok;
}

static bool take_entries(struct list *l, int kind, yyjson_val *entries)
{
	size_t i, n, count = yyjson_arr_size(entries);
	yyjson_val *v;

	l->entries[kind] = arena_alloc(&l->arena, (count + 1) * sizeof(struct span));
	if (l->entries[kind] == NULL)
		return false;
	yyjson_arr_foreach(entries, i, n, v)
	{
		struct span text = {yyjson_get_str(v), yyjson_get_len(v)};

		l->entries[kind][l->n[kind]++] = arena_copy(&l->arena, text);
	}
	return !l->arena.failed;
}

static struct list *list_new(const struct access_row *row, struct err *err)
{
	struct list *l = calloc(1, sizeof(*l));
	yyjson_doc *doc = json_read(NULL, row->rules, err);
	yyjson_val *key, *entries;
	size_t i, max;
	bool ok = l != NULL && doc != NULL;

	if (ok) {
		l->id = row->id;
		memcpy(l->name, row->name, sizeof(l->name));
		arena_init(&l->arena, 64u << 20);
	}
	yyjson_obj_foreach(yyjson_doc_get_root(doc), i, max, key, entries)
	{
		int kind = kind_of((struct span){yyjson_get_str(key), yyjson_get_len(key)});

		ok = ok && (kind < 0 || take_entries(l, kind, entries));
	}
	json_free(doc);
	if (ok)
		return l;
	list_free(l);
	if (err->code == ERR_OK)
		err_set(err, ERR_NO_MEMORY, NULL);
	return NULL;
}

/* ---- the tables; with the lock held ---- */

/* Where the id stands, or would; *found says which. */
static size_t place_of_list(const struct access *a, const struct id *id, bool *found)
{
	size_t lo = 0, hi = a->n_lists;

	while (lo < hi) {
		size_t middle = (lo + hi) / 2;

		if (memcmp(&a->lists[middle]->id, id, sizeof(*id)) < 0)
			lo = middle + 1;
		else
			hi = middle;
	}
	*found = lo < a->n_lists && memcmp(&a->lists[lo]->id, id, sizeof(*id)) == 0;
	return lo;
}

static size_t place_of_scope(const struct access *a, const struct id *scope, bool *found)
{
	size_t lo = 0, hi = a->n_attached;

	while (lo < hi) {
		size_t middle = (lo + hi) / 2;

		if (memcmp(&a->attached[middle].scope, scope, sizeof(*scope)) < 0)
			lo = middle + 1;
		else
			hi = middle;
	}
	*found = lo < a->n_attached && memcmp(&a->attached[lo].scope, scope, sizeof(*scope)) == 0;
	return lo;
}

static const struct list *list_of(const struct access *a, const struct id *id)
{
	bool found = false;
	size_t at = id_is_none(id) ? 0 : place_of_list(a, id, &found);

	return found ? a->lists[at] : NULL;
}

static const struct list *attached_to(const struct access *a, const struct id *scope)
{
	bool found = false;
	size_t at = id_is_none(scope) ? 0 : place_of_scope(a, scope, &found);

	return found ? list_of(a, &a->attached[at].list) : NULL;
}

/* ---- changes ---- */

bool access_set(struct access *a, const struct access_row *row, struct err *err)
{
	struct list *l = list_new(row, err), **grown;
	bool found, ok = true;
	size_t at;

	if (l == NULL)
		return false;
	pthread_rwlock_wrlock(&a->lock);
	at = place_of_list(a, &row->id, &found);
	if (found) {
		list_free(a->lists[at]);
		a->lists[at] = l;
	} else {
		grown = realloc(a->lists, (a->n_lists + 1) * sizeof(struct list *));
		ok = grown != NULL;
		if (ok) {
			a->lists = grown;
			memmove(grown + at + 1, grown + at,
				(a->n_lists - at) * sizeof(struct list *));
			grown[at] = l;
			atomic_store(&a->any, ++a->n_lists);
		}
	}
	pthread_rwlock_unlock(&a->lock);
	if (!ok)
		list_free(l);
	return ok || err_set(err, ERR_NO_MEMORY, NULL);
}

void access_drop(struct access *a, const struct id *list)
{
	bool found;
	size_t at;

	pthread_rwlock_wrlock(&a->lock);
	at = place_of_list(a, list, &found);
	if (found) {
		list_free(a->lists[at]);
		memmove(a->lists + at, a->lists + at + 1,
			(a->n_lists - at - 1) * sizeof(struct list *));
		atomic_store(&a->any, --a->n_lists);
	}
	pthread_rwlock_unlock(&a->lock);
}

bool access_attach(struct access *a, const struct id *scope, const struct id *list, struct err *err)
{
	struct attached *grown;
	bool found, ok = true;
	size_t at;

	pthread_rwlock_wrlock(&a->lock);
	at = place_of_scope(a, scope, &found);
	if (found && id_is_none(list)) {
		memmove(a->attached + at, a->attached + at + 1,
			(a->n_attached - at - 1) * sizeof(struct attached));
		a->n_attached--;
	} else if (found) {
		a->attached[at].list = *list;
	} else if (!id_is_none(list)) {
		grown = realloc(a->attached, (a->n_attached + 1) * sizeof(struct attached));
		ok = grown != NULL;
		if (ok) {
			a->attached = grown;
			memmove(grown + at + 1, grown + at,
				(a->n_attached - at) * sizeof(struct attached));
			grown[at] = (struct attached){*scope, *list};
			a->n_attached++;
		}
	}
	pthread_rwlock_unlock(&a->lock);
	return ok || err_set(err, ERR_NO_MEMORY, NULL);
}

struct loading {
	struct access *access;
	struct err *err;
	bool ok;
};

static bool load_list(void *user, const struct access_row *r)
{
	struct loading *l = user;

	l->ok = access_set(l->access, r, l->err);
	return l->ok;
}

static bool load_scope(void *user, const struct scope_row *r)
{
	struct loading *l = user;

	l->ok = access_attach(l->access, &r->id, &r->access_id, l->err);
	return l->ok;
}

bool access_load(struct access *a, struct store *s, struct err *err)
{
	struct loading l = {a, err, true};

	return access_each(s, NULL, load_list, &l, err) && l.ok &&
	       scope_each(s, SCOPE_END, load_scope, &l, err) && l.ok;
}

/* ---- questions ---- */

const char *access_kind(enum llm_op op)
{
	switch (op) {
	case LLM_OP_EMBEDDINGS:
		return access_kinds[1];
	case LLM_OP_IMAGES:
	case LLM_OP_IMAGE_EDITS:
		return access_kinds[2];
	case LLM_OP_TRANSCRIPTIONS:
	case LLM_OP_TRANSLATIONS:
		return access_kinds[3];
	case LLM_OP_SPEECH:
		return access_kinds[4];
	default:
		return access_kinds[0];
	}
}

/* '*' is any characters, also none; tried from the left, each star once. */
static bool fits(struct span pattern, struct span text)
{
	ptrdiff_t star = span_find_char(pattern, '*'), at;
	struct span piece;

	if (star < 0)
		return span_eq(pattern, text);
	piece = span_head(pattern, (size_t)star);
	if (!span_starts(text, piece))
		return false;
	text = span_skip(text, piece.n);
	pattern = span_skip(pattern, piece.n + 1);
	while ((star = span_find_char(pattern, '*')) >= 0) {
		piece = span_head(pattern, (size_t)star);
		at = span_find(text, piece);
		if (at < 0)
			return false;
		text = span_skip(text, (size_t)at + piece.n);
		pattern = span_skip(pattern, piece.n + 1);
	}
	return span_ends(text, pattern);
}

static bool has(const struct list *l, int kind, struct span model)
{
	ptrdiff_t region = span_find_last_char(model, '@');
	struct span bare = region > 0 ? span_head(model, (size_t)region) : model;

	for (int i = 0; i < l->n[kind]; i++)
		if (fits(l->entries[kind][i], model) || fits(l->entries[kind][i], bare))
			return true;
	return false;
}

static const struct list *own_list(const struct access *a, const struct auth_identity *who)
{
	const struct list *l = list_of(a, &who->access_id);

	return l != NULL ? l : attached_to(a, &who->owners.group_id);
}

bool access_is_limited(struct access *a, const struct auth_identity *who)
{
	bool limited;

	if (atomic_load_explicit(&a->any, memory_order_relaxed) == 0)
		return false;
	pthread_rwlock_rdlock(&a->lock);
	limited = own_list(a, who) != NULL || attached_to(a, &scope_org_id) != NULL;
	pthread_rwlock_unlock(&a->lock);
	return limited;
}

bool access_allows(struct access *a, const struct auth_identity *who, enum llm_op op,
	struct span model, char *list)
{
	const struct list *lists[2], *no = NULL;
	int kind = kind_of(span_of(access_kind(op)));

	if (atomic_load_explicit(&a->any, memory_order_relaxed) == 0)
		return true;
	pthread_rwlock_rdlock(&a->lock);
	lists[0] = own_list(a, who);
	lists[1] = attached_to(a, &scope_org_id);
	for (int i = 0; i < 2 && no == NULL; i++)
		if (lists[i] != NULL && !has(lists[i], kind, model))
			no = lists[i];
	if (no != NULL)
		memcpy(list, no->name, sizeof(no->name));
	pthread_rwlock_unlock(&a->lock);
	return no == NULL;
}
