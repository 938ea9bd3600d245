/* SPDX-License-Identifier: Apache-2.0 */
#include "state/auth/access.h"
#include "control/manage/endpoint.h"
#include "machine/base/json_put.h"

/* A list and, in `rules`, the text that row.rules is of. */
struct list {
	struct access_row row;
	struct buf rules;
	bool found;
};

static void list_init(struct list *l)
{
	*l = (struct list){.found = false};
	buf_init(&l->rules, ACCESS_MAX_RULES);
}

static bool keep(void *user, const struct access_row *r)
{
	struct list *l = user;

	l->row = *r;
	l->found = buf_append(&l->rules, r->rules);
	l->row.rules = buf_span(&l->rules);
	return false;
}

/* What uses the list; who uses it is not what it is. */
static bool put_list(
	struct manage_call *call, struct buf *b, const struct access_row *r, struct err *err)
{
	yyjson_doc *doc = json_read(NULL, r->rules, NULL);
	int64_t keys, scopes;

	if (!access_uses(call->store, &r->id, &keys, &scopes, err)) {
		json_free(doc);
		return false;
	}
	buf_append_char(b, '{');
	manage_put_id(b, "id", &r->id);
	json_put_cstr(b, "name", r->name);
	json_put_bool(b, "auto_approve", r->auto_approve);
	json_put_bool(b, "restricted", r->restricted);
	for (int i = 0; access_kinds[i] != NULL; i++) {
		yyjson_val *entries = json_get(yyjson_doc_get_root(doc), access_kinds[i]);

		if (entries != NULL)
			json_put_val(b, access_kinds[i], entries);
		else
			json_put_raw(b, access_kinds[i], SPAN("[]"));
	}
	json_put_int(b, "attached_keys", keys);
	json_put_int(b, "attached_groups", scopes);
	manage_put_time(b, "created_at", r->created_ms);
	json_free(doc);
	return buf_append_char(b, '}') || err_set(err, ERR_NO_MEMORY, NULL);
}

static bool find(struct manage_call *call, const struct id *id, struct list *l, struct err *err)
{
	if (!access_each(call->store, id, keep, l, err))
		return false;
	return l->found || err_set(err, ERR_NOT_FOUND, "There is no access list with this id");
}

static bool find_path(struct manage_call *call, struct list *l, struct err *err)
{
	struct id id;

	return manage_path_id(call, &id, err) && find(call, &id, l, err);
}

struct listing {
	struct manage_call *call;
	struct err *err;
	bool ok;
};

static bool on_listed(void *user, const struct access_row *r)
{
	struct listing *l = user;

	json_put_next(l->call->answer);
	l->ok = put_list(l->call, l->call->answer, r, l->err);
	return l->ok;
}

bool manage_access_list(struct manage_call *call, struct err *err)
{
	struct listing l = {call, err, true};

	buf_append_cstr(call->answer, "{\"access_lists\":[");
	if (!access_each(call->store, NULL, on_listed, &l, err) || !l.ok)
		return false;
	return buf_append_cstr(call->answer, "]}") || err_set(err, ERR_NO_MEMORY, NULL);
}

bool manage_access_show(struct manage_call *call, struct err *err)
{
	struct list l;
	bool ok;

	list_init(&l);
	ok = find_path(call, &l, err) && put_list(call, call->answer, &l.row, err);
	buf_done(&l.rules);
	return ok;
}

bool manage_access_read(struct manage_call *call, yyjson_val *v, const char *member, struct id *out,
	struct err *err)
{
	struct span text = {yyjson_get_str(v), yyjson_get_len(v)};
	struct list l;
	bool ok;

	*out = (struct id){0};
	if (yyjson_is_null(v))
		return true;
	if (!yyjson_is_str(v) || !id_read_uuid(text, out))
		return manage_bad(err, member, "must be a UUID or null");
	list_init(&l);
	ok = access_each(call->store, out, keep, &l, err) &&
	     (l.found || manage_bad(err, member, "is of no access list"));
	buf_done(&l.rules);
	return ok;
}

/* ---- make and change ---- */

static bool is_kind(yyjson_val *key)
{
	for (int i = 0; access_kinds[i] != NULL; i++)
		if (yyjson_equals_str(key, access_kinds[i]))
			return true;
	return false;
}

static bool read_bool(yyjson_val *v, const char *member, bool *out, struct err *err)
{
	*out = yyjson_get_bool(v);
	return yyjson_is_bool(v) || manage_bad(err, member, "must be true or false");
}

static bool read_member(yyjson_val *key, yyjson_val *v, struct access_row *r, struct err *err)
{
	if (yyjson_equals_str(key, "name"))
		return manage_name(v, "name", r->name, err);
	if (yyjson_equals_str(key, "auto_approve"))
		return read_bool(v, "auto_approve", &r->auto_approve, err);
	if (yyjson_equals_str(key, "restricted"))
		return read_bool(v, "restricted", &r->restricted, err);
	if (is_kind(key))
		return true; /* merge_rules */
	err_param(err, yyjson_get_str(key));
	return err_set(err, ERR_BAD_REQUEST,
		"\"%.64s\" is not a member of an access list; known are name, auto_approve, "
		"restricted, chat, embedding, image, transcription, speech",
		yyjson_get_str(key));
}

/* The kinds that the body names, and the others as they were. */
static bool merge_rules(yyjson_val *root, struct span old, struct buf *out)
{
	yyjson_doc *doc = json_read(NULL, old, NULL);

	buf_append_char(out, '{');
	for (int i = 0; access_kinds[i] != NULL; i++) {
		yyjson_val *v = json_get(root, access_kinds[i]);

		if (v == NULL && doc != NULL)
			v = json_get(yyjson_doc_get_root(doc), access_kinds[i]);
		if (v != NULL)
			json_put_val(out, access_kinds[i], v);
	}
	buf_append_char(out, '}');
	json_free(doc);
	return !out->failed;
}

static bool read_list(struct manage_call *call, struct list *l, struct err *err)
{
	yyjson_doc *doc = manage_body(call, err);
	yyjson_val *root = yyjson_doc_get_root(doc), *key;
	yyjson_obj_iter iter;
	struct buf rules;
	bool ok = doc != NULL;

	buf_init(&rules, ACCESS_MAX_RULES);
	if (ok) {
		yyjson_obj_iter_init(root, &iter);
		while (ok && (key = yyjson_obj_iter_next(&iter)) != NULL)
			ok = read_member(key, yyjson_obj_iter_get_val(key), &l->row, err);
	}
	if (ok && l->row.name[0] == '\0')
		ok = manage_bad(err, "name", "is missing");
	if (ok && !merge_rules(root, l->row.rules, &rules))
		ok = err_set(err, ERR_BAD_REQUEST, "An access list has at most %d bytes",
			ACCESS_MAX_RULES);
	ok = ok && access_check(buf_span(&rules), l->row.auto_approve, err);
	json_free(doc);
	buf_done(&l->rules);
	l->rules = rules;
	l->row.rules = buf_span(&l->rules);
	return ok;
}

static bool audit(struct manage_call *call, const char *action, const struct access_row *r,
	struct span old, bool gone, struct err *err)
{
	struct buf new;
	bool ok;

	buf_init(&new, 2 * ACCESS_MAX_RULES);
	ok = (gone || put_list(call, &new, r, err)) &&
	     manage_audit(call, action, &r->id, old, buf_span(&new), err);
	buf_done(&new);
	return ok;
}

bool manage_access_create(struct manage_call *call, struct err *err)
{
	struct sys *sys = call->env->sys;
	uint8_t random[10];
	struct list l;
	bool ok;

	list_init(&l);
	l.row.rules = SPAN("{}");
	l.row.created_ms = sys->wall_ms(sys);
	ok = read_list(call, &l, err);
	if (ok && !sys->random(sys, random, sizeof(random)))
		ok = err_set(err, ERR_INTERNAL, "the system gave no random numbers");
	if (ok)
		id_make(&l.row.id, l.row.created_ms, random);
	ok = ok && access_insert(call->store, &l.row, err) &&
	     audit(call, "access-list.create", &l.row, (struct span){NULL, 0}, false, err) &&
	     access_set(auth_access(call->env->auth), &l.row, err) &&
	     put_list(call, call->answer, &l.row, err);
	buf_done(&l.rules);
	call->status = 201;
	return ok;
}

bool manage_access_change(struct manage_call *call, struct err *err)
{
	struct buf old;
	struct list l;
	bool ok;

	list_init(&l);
	buf_init(&old, 2 * ACCESS_MAX_RULES);
	ok = find_path(call, &l, err) && put_list(call, &old, &l.row, err) &&
	     read_list(call, &l, err) && access_update(call->store, &l.row, err) &&
	     audit(call, "access-list.change", &l.row, buf_span(&old), false, err) &&
	     access_set(auth_access(call->env->auth), &l.row, err) &&
	     put_list(call, call->answer, &l.row, err);
	buf_done(&l.rules);
	buf_done(&old);
	return ok;
}

bool manage_access_delete(struct manage_call *call, struct err *err)
{
	int64_t keys = 0, scopes = 0;
	struct buf old;
	struct list l;
	bool ok, existed;

	list_init(&l);
	buf_init(&old, 2 * ACCESS_MAX_RULES);
	ok = find_path(call, &l, err) && access_uses(call->store, &l.row.id, &keys, &scopes, err) &&
	     put_list(call, &old, &l.row, err);
	if (ok && keys + scopes > 0)
		ok = err_set(err, ERR_CONFLICT,
			"The access list is attached to %lld keys and %lld groups or the "
			"organization; detach it first",
			(long long)keys, (long long)scopes);
	ok = ok && access_delete(call->store, &l.row.id, &existed, err) &&
	     audit(call, "access-list.delete", &l.row, buf_span(&old), true, err);
	if (ok)
		access_drop(auth_access(call->env->auth), &l.row.id);
	buf_done(&l.rules);
	buf_done(&old);
	return ok && (buf_append_cstr(call->answer, "{\"deleted\":true}") ||
			     err_set(err, ERR_NO_MEMORY, NULL));
}

/* ---- attach and detach ---- */

/* Whether the list with this id is restricted; none is not. */
static bool is_restricted(
	struct manage_call *call, const struct id *id, bool *restricted, struct err *err)
{
	struct list l;
	bool ok;

	list_init(&l);
	ok = id_is_none(id) || access_each(call->store, id, keep, &l, err);
	*restricted = l.row.restricted;
	buf_done(&l.rules);
	return ok;
}

/*
 * A restricted list is attached, detached and replaced by administrators alone, others by who runs
 * the group too.
 */
static bool may_attach(struct manage_call *call, const struct access_row *list,
	const struct id *was, const struct id *group, struct err *err)
{
	bool admin = false, restricted;

	if (!call->caller->member)
		return true;
	if (!is_restricted(call, was, &restricted, err))
		return false;
	if (group != NULL)
		manage_is_member(call, group, &admin);
	restricted |= list->restricted;
	return (admin && !restricted) ||
	       err_set(err, ERR_FORBIDDEN,
		       "This access list is attached and detached by users with the role admin%s",
		       restricted ? "" : " or, of their group, its admins");
}

/* What stands in `at` becomes the list, or (detached) none. */
static bool put_list_id(const struct list *l, bool attach, struct id *at, struct err *err)
{
	if (!attach && memcmp(at, &l->row.id, sizeof(*at)) != 0)
		return err_set(err, ERR_NOT_FOUND, "The access list is not attached there");
	*at = attach ? l->row.id : (struct id){0};
	return true;
}

static bool attach_key(
	struct manage_call *call, const struct list *l, yyjson_val *v, bool attach, struct err *err)
{
	struct span text = {yyjson_get_str(v), yyjson_get_len(v)};
	struct key_row row;
	bool found = false, existed;
	struct id id;

	if (!yyjson_is_str(v) || !id_read_uuid(text, &id))
		return manage_bad(err, "api_key_id", "must be a UUID");
	if (!key_find(call->store, &id, &row, &found, err))
		return false;
	if (!found)
		return manage_bad(err, "api_key_id", "is of no key");
	return may_attach(call, &l->row, &row.access_id, NULL, err) &&
	       put_list_id(l, attach, &row.access_id, err) &&
	       key_update(call->store, &row, &existed, err) && auth_add(call->env->auth, &row, err);
}

static bool attach_scope(struct manage_call *call, const struct list *l, enum scope_kind kind,
	const struct id *id, bool attach, struct err *err)
{
	struct scope_row row;
	bool found;

	return scope_find(call->store, kind, id, &row, &found, err) &&
	       may_attach(call, &l->row, &row.access_id, kind == SCOPE_GROUP ? id : NULL, err) &&
	       put_list_id(l, attach, &row.access_id, err) &&
	       scope_update(call->store, &row, err) &&
	       access_attach(auth_access(call->env->auth), id, &row.access_id, err);
}

static bool attach_what(struct manage_call *call, const struct list *l, yyjson_val *root,
	bool attach, struct err *err)
{
	yyjson_val *key = json_get(root, "api_key_id"), *group = json_get(root, "group_id");
	struct id id;

	if (key != NULL)
		return attach_key(call, l, key, attach, err);
	if (group != NULL)
		return manage_scope_read(call, SCOPE_GROUP, group, "group_id", &id, err) &&
		       (!id_is_none(&id) || manage_bad(err, "group_id", "must be a UUID")) &&
		       attach_scope(call, l, SCOPE_GROUP, &id, attach, err);
	if (yyjson_is_true(json_get(root, "organization")))
		return attach_scope(call, l, SCOPE_ORG, &scope_org_id, attach, err);
	return err_set(err, ERR_BAD_REQUEST,
		"Name what it is for: api_key_id, group_id or organization: true");
}

static bool attach(struct manage_call *call, bool on, struct err *err)
{
	yyjson_doc *doc = manage_body(call, err);
	struct list l;
	bool ok;

	list_init(&l);
	ok = doc != NULL && find_path(call, &l, err) &&
	     attach_what(call, &l, yyjson_doc_get_root(doc), on, err) &&
	     manage_audit(call, on ? "access-list.attach" : "access-list.detach", &l.row.id,
		     (struct span){NULL, 0}, span_trim(call->body), err) &&
	     put_list(call, call->answer, &l.row, err);
	buf_done(&l.rules);
	json_free(doc);
	return ok;
}

bool manage_access_attach(struct manage_call *call, struct err *err)
{
	return attach(call, true, err);
}

bool manage_access_detach(struct manage_call *call, struct err *err)
{
	return attach(call, false, err);
}
