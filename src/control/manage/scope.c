/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "control/manage/endpoint.h"
#include "machine/base/json_put.h"
#include "state/auth/access.h"

/* How each kind is called in paths, lists and answers. */
static const struct {
	const char *list, *id;
} words[SCOPE_END] = {[SCOPE_ORG] = {NULL, NULL},
	[SCOPE_GROUP] = {"groups", "group_id"},
	[SCOPE_PROJECT] = {"projects", "project_id"},
	[SCOPE_USER] = {"members", "user_id"},
	[SCOPE_ACCOUNT] = {"service_accounts", "service_account_id"}};

static bool has_money(enum scope_kind kind)
{
	return kind != SCOPE_ACCOUNT;
}

static bool no_such(enum scope_kind kind, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "There is no %s with this id", scope_kind_name(kind));
}

/* ---- what is shown ---- */

struct shown_member {
	struct buf *out;
	bool of_user; /* else of a group */
};

static bool put_member(void *user, const struct member_row *m)
{
	struct shown_member *s = user;

	json_put_open(s->out, NULL, '{');
	if (s->of_user) {
		manage_put_id(s->out, "id", &m->group_id);
		json_put_str(s->out, "name", m->group);
	} else {
		manage_put_id(s->out, "user_id", &m->user_id);
		json_put_str(s->out, "email", m->email);
		json_put_str(s->out, "name", m->title);
	}
	json_put_cstr(s->out, "role", m->admin ? "admin" : "member");
	return buf_append_char(s->out, '}');
}

static bool put_members(
	const struct manage_call *call, struct buf *b, const struct scope_row *r, struct err *err)
{
	bool of_user = r->kind == SCOPE_USER;
	struct shown_member s = {b, of_user};
	bool ok;

	json_put_open(b, of_user ? "groups" : "members", '[');
	ok = member_each(
		call->store, of_user ? NULL : &r->id, of_user ? &r->id : NULL, put_member, &s, err);
	buf_append_char(b, ']');
	return ok;
}

static bool put_scope(
	const struct manage_call *call, struct buf *b, const struct scope_row *r, struct err *err)
{
	int64_t n_keys;

	buf_append_char(b, '{');
	manage_put_id(b, "id", &r->id);
	if (r->kind == SCOPE_USER) {
		json_put_cstr(b, "email", r->name);
		json_put_cstr(b, "name", r->title);
		json_put_cstr(b, "role", user_role_name(r->role));
	} else {
		json_put_cstr(b, "name", r->name);
	}
	if (r->kind == SCOPE_ORG)
		json_put_null(b, "balance"); /* who runs it pays the providers */
	if (has_money(r->kind))
		manage_put_limits(call, b, &r->id, &r->limits);
	if (r->kind == SCOPE_GROUP)
		json_put_cstr(b, "budget_mode", r->enforce ? "enforce" : "track");
	if (r->kind == SCOPE_GROUP || r->kind == SCOPE_ORG)
		manage_put_id(b, "access_list_id", &r->access_id);
	if (r->kind == SCOPE_USER || r->kind == SCOPE_ACCOUNT) {
		if (!key_count(call->store, &r->id, &n_keys, err))
			return false;
		json_put_int(b, "api_keys", n_keys);
		json_put_cstr(b, "status", n_keys > 0 ? "active" : "inactive");
	}
	if ((r->kind == SCOPE_GROUP || r->kind == SCOPE_USER) && !put_members(call, b, r, err))
		return false;
	if (r->kind != SCOPE_ORG)
		manage_put_time(b, "created_at", r->created_ms);
	return buf_append_char(b, '}') || err_set(err, ERR_NO_MEMORY, NULL);
}

/* ---- who may see it ---- */

struct looked {
	bool found, admin;
};

static bool on_own(void *user, const struct member_row *m)
{
	struct looked *l = user;

	l->found = true;
	l->admin = m->admin;
	return false;
}

bool manage_is_member(struct manage_call *call, const struct id *group_id, bool *admin)
{
	struct looked l = {false, false};

	if (!member_each(call->store, group_id, &call->caller->user_id, on_own, &l, NULL))
		l.found = l.admin = false;
	*admin = l.admin;
	return l.found;
}

/* A user without the role admin sees the organisation, themselves and their groups. */
static bool is_seen(struct manage_call *call, const struct scope_row *r)
{
	bool admin;

	if (!call->caller->member || r->kind == SCOPE_ORG)
		return true;
	if (r->kind == SCOPE_USER)
		return memcmp(&r->id, &call->caller->user_id, sizeof(r->id)) == 0;
	return r->kind == SCOPE_GROUP && manage_is_member(call, &r->id, &admin);
}

static bool find(struct manage_call *call, struct scope_row *r, struct err *err)
{
	struct id id = scope_org_id;
	bool found;

	if (call->kind == SCOPE_USER && !call->caller->administrator &&
		span_is(call->place.id, "self"))
		id = call->caller->user_id;
	else if (call->kind != SCOPE_ORG && !manage_path_id(call, &id, err))
		return false;
	if (!scope_find(call->store, call->kind, &id, r, &found, err))
		return false;
	return (found && is_seen(call, r)) || no_such(call->kind, err);
}

bool manage_scope_read(struct manage_call *call, enum scope_kind kind, yyjson_val *v,
	const char *member, struct id *out, struct err *err)
{
	struct span text = {yyjson_get_str(v), yyjson_get_len(v)};
	struct scope_row row;
	bool found;

	*out = (struct id){0};
	if (yyjson_is_null(v))
		return true;
	if (!yyjson_is_str(v) || !id_read_uuid(text, out))
		return manage_bad(err, member, "must be a UUID or null");
	if (!scope_find(call->store, kind, out, &row, &found, err))
		return false;
	err_param(err, found ? "" : member);
	return found || err_set(err, ERR_BAD_REQUEST, "%s: there is no such %s", member,
				scope_kind_name(kind));
}

/* ---- list and show ---- */

struct listing {
	struct manage_call *call;
	struct err *err;
	bool ok;
};

static bool on_listed(void *user, const struct scope_row *r)
{
	struct listing *l = user;

	if (!is_seen(l->call, r))
		return true;
	json_put_next(l->call->answer);
	l->ok = put_scope(l->call, l->call->answer, r, l->err);
	return l->ok;
}

bool manage_scope_list(struct manage_call *call, struct err *err)
{
	struct listing l = {call, err, true};

	buf_append_char(call->answer, '{');
	json_put_open(call->answer, words[call->kind].list, '[');
	if (!scope_each(call->store, call->kind, on_listed, &l, err) || !l.ok)
		return false;
	return buf_append_cstr(call->answer, "]}") || err_set(err, ERR_NO_MEMORY, NULL);
}

bool manage_scope_show(struct manage_call *call, struct err *err)
{
	struct scope_row row;

	return find(call, &row, err) && put_scope(call, call->answer, &row, err);
}

bool manage_scope_usage(struct manage_call *call, struct err *err)
{
	struct scope_row row;

	return find(call, &row, err) && manage_usage(call, call->kind, &row.id, err);
}

/* ---- make and change ---- */

static bool read_role(yyjson_val *v, enum user_role *out, struct err *err)
{
	for (int i = 0; i < ROLE_COUNT; i++)
		if (yyjson_equals_str(v, user_role_name((enum user_role)i))) {
			*out = (enum user_role)i;
			return true;
		}
	return manage_bad(err, "role", "must be \"member\" or \"admin\"");
}

static bool read_email(yyjson_val *v, char out[129], struct err *err)
{
	const char *at;

	if (!manage_name(v, "email", out, err))
		return false;
	at = strchr(out, '@');
	return (at != NULL && at != out && at[1] != '\0' && strchr(out, ' ') == NULL) ||
	       manage_bad(err, "email", "must be an e-mail address");
}

static bool read_mode(yyjson_val *v, bool *enforce, struct err *err)
{
	*enforce = yyjson_equals_str(v, "enforce");
	return *enforce || yyjson_equals_str(v, "track") ||
	       manage_bad(err, "budget_mode", "must be \"track\" or \"enforce\"");
}

#define LIMITS                                                                                     \
	", monthly_limit, weekly_limit, daily_limit, requests_per_minute, tokens_per_minute, "     \
	"max_in_flight"

/* What there is of the kind. */
static const char *members_of(enum scope_kind kind)
{
	switch (kind) {
	case SCOPE_USER:
		return "email, name, role, group_ids" LIMITS;
	case SCOPE_GROUP:
		return "name, budget_mode" LIMITS;
	case SCOPE_ACCOUNT:
		return "name";
	default:
		return "name" LIMITS;
	}
}

static bool read_member(yyjson_val *key, yyjson_val *v, struct scope_row *r, struct err *err)
{
	bool user = r->kind == SCOPE_USER, is;

	if (user && yyjson_equals_str(key, "email"))
		return read_email(v, r->name, err);
	if (user && yyjson_equals_str(key, "role"))
		return read_role(v, &r->role, err);
	if (user && yyjson_equals_str(key, "group_ids"))
		return true; /* join_groups */
	if (yyjson_equals_str(key, "name"))
		return manage_name(v, "name", user ? r->title : r->name, err);
	if (has_money(r->kind) && (!manage_limit(key, v, &r->limits, &is, err) || is))
		return err->code == ERR_OK;
	if (r->kind == SCOPE_GROUP && yyjson_equals_str(key, "budget_mode"))
		return read_mode(v, &r->enforce, err);
	err_param(err, yyjson_get_str(key));
	return err_set(err, ERR_BAD_REQUEST, "\"%.64s\" is not a member of a %s; known are %s",
		yyjson_get_str(key), scope_kind_name(r->kind), members_of(r->kind));
}

static bool read_members(yyjson_val *root, struct scope_row *r, struct err *err)
{
	yyjson_obj_iter iter;
	yyjson_val *key;

	yyjson_obj_iter_init(root, &iter);
	while ((key = yyjson_obj_iter_next(&iter)) != NULL)
		if (!read_member(key, yyjson_obj_iter_get_val(key), r, err))
			return false;
	return r->name[0] != '\0' ||
	       manage_bad(err, r->kind == SCOPE_USER ? "email" : "name", "is missing");
}

static bool join_groups(
	struct manage_call *call, yyjson_val *root, const struct id *user_id, struct err *err)
{
	yyjson_val *ids = json_get(root, "group_ids"), *v;
	size_t i, n;

	if (ids == NULL || yyjson_is_null(ids))
		return true;
	if (!yyjson_is_arr(ids))
		return manage_bad(err, "group_ids", "must be a list of UUIDs");
	yyjson_arr_foreach(ids, i, n, v)
	{
		struct id group;

		if (!manage_scope_read(call, SCOPE_GROUP, v, "group_ids", &group, err))
			return false;
		if (id_is_none(&group))
			return manage_bad(err, "group_ids", "must be a list of UUIDs");
		if (!member_put(call->store, &group, user_id, false, err))
			return false;
	}
	return true;
}

/* `old` empty: there was none; `gone`: there is none any more. */
static bool audit(struct manage_call *call, const char *what, const struct scope_row *r,
	struct span old, bool gone, struct err *err)
{
	char action[64];
	struct buf new;
	bool ok;

	buf_init(&new, 8u << 20);
	snprintf(action, sizeof(action), "%s.%s",
		r->kind == SCOPE_ACCOUNT ? "service-account" : scope_kind_name(r->kind), what);
	ok = (gone || put_scope(call, &new, r, err)) &&
	     manage_audit(call, action, &r->id, old, buf_span(&new), err);
	buf_done(&new);
	return ok;
}

static bool open_budget(struct manage_call *call, const struct scope_row *r, struct err *err)
{
	struct sys *sys = call->env->sys;

	return !has_money(r->kind) ||
	       budget_open_scope(call->env->budget, r, sys->wall_ms(sys), err);
}

bool manage_scope_create(struct manage_call *call, struct err *err)
{
	struct sys *sys = call->env->sys;
	struct scope_row r = {.kind = call->kind,
		.enforce = call->kind != SCOPE_GROUP,
		.created_ms = sys->wall_ms(sys)};
	yyjson_doc *doc = manage_body(call, err);
	yyjson_val *root = yyjson_doc_get_root(doc);
	uint8_t random[10];
	bool ok = doc != NULL && read_members(root, &r, err);

	if (ok && !sys->random(sys, random, sizeof(random)))
		ok = err_set(err, ERR_INTERNAL, "the system gave no random numbers");
	if (ok)
		id_make(&r.id, r.created_ms, random);
	ok = ok && scope_insert(call->store, &r, err) &&
	     (r.kind != SCOPE_USER || join_groups(call, root, &r.id, err)) &&
	     audit(call, "create", &r, (struct span){NULL, 0}, false, err) &&
	     open_budget(call, &r, err);
	json_free(doc);
	if (!ok)
		return false;
	/* The published answer has the id under this name; then the object as it is shown. */
	if (!put_scope(call, call->answer, &r, err))
		return false;
	call->answer->n--;
	manage_put_id(call->answer, words[r.kind].id, &r.id);
	call->status = 201;
	return buf_append_char(call->answer, '}') || err_set(err, ERR_NO_MEMORY, NULL);
}

/* What the body names is changed; `old` is shown in the audit log. */
static bool change(struct manage_call *call, const char *what, const struct scope_row *r,
	const struct scope_row *was, struct err *err)
{
	struct buf old;
	bool ok;

	buf_init(&old, 8u << 20);
	ok = put_scope(call, &old, was, err) && scope_update(call->store, r, err) &&
	     audit(call, what, r, buf_span(&old), false, err) && open_budget(call, r, err);
	buf_done(&old);
	return ok;
}

bool manage_scope_change(struct manage_call *call, struct err *err)
{
	yyjson_doc *doc = manage_body(call, err);
	yyjson_val *root = yyjson_doc_get_root(doc);
	struct scope_row was, r;
	bool ok = doc != NULL && find(call, &was, err);

	r = was;
	ok = ok && read_members(root, &r, err) &&
	     (r.kind != SCOPE_USER || join_groups(call, root, &r.id, err)) &&
	     change(call, "change", &r, &was, err) && put_scope(call, call->answer, &r, err);
	json_free(doc);
	return ok;
}

bool manage_scope_limit(struct manage_call *call, struct err *err)
{
	yyjson_doc *doc = manage_body(call, err);
	struct scope_row was, r;
	bool ok = doc != NULL && find(call, &was, err);

	if (ok && !has_money(call->kind))
		ok = err_set(err, ERR_NOT_FOUND, "A service account has no limit; its keys have");
	r = was;
	ok = ok && manage_limits(yyjson_doc_get_root(doc), &r.limits, err) &&
	     change(call, "limit", &r, &was, err);
	json_free(doc);
	call->status = 204;
	return ok;
}

/* A user's keys go with the user; elsewhere keys hold what they belong to. */
bool manage_scope_delete(struct manage_call *call, struct err *err)
{
	struct scope_row r;
	struct buf old;
	int64_t n_keys;
	bool ok;

	if (!find(call, &r, err) || !key_count(call->store, &r.id, &n_keys, err))
		return false;
	if (r.kind != SCOPE_USER && n_keys > 0)
		return err_set(err, ERR_CONFLICT,
			"%lld keys belong to this %s; move or delete them", (long long)n_keys,
			scope_kind_name(r.kind));
	if (r.kind == SCOPE_USER && !manage_keys_delete(call, &r.id, err))
		return false;
	buf_init(&old, 8u << 20);
	ok = put_scope(call, &old, &r, err) && scope_delete(call->store, &r.id, err) &&
	     audit(call, "delete", &r, buf_span(&old), true, err) &&
	     access_attach(auth_access(call->env->auth), &r.id, &(struct id){0}, err);
	buf_done(&old);
	if (!ok)
		return false;
	budget_close(call->env->budget, &r.id);
	return buf_append_cstr(call->answer, "{\"deleted\":true}") ||
	       err_set(err, ERR_NO_MEMORY, NULL);
}

/* ---- members of a group ---- */

/* Administrators, and who runs the group. */
static bool find_run(struct manage_call *call, struct scope_row *group, struct err *err)
{
	bool admin = true;

	if (!find(call, group, err))
		return false;
	if (call->caller->member)
		manage_is_member(call, &group->id, &admin);
	return admin || err_set(err, ERR_FORBIDDEN, "Only admins of the group change its members");
}

static bool read_user(
	struct manage_call *call, yyjson_val *root, struct id *user_id, struct err *err)
{
	yyjson_val *v = json_get(root, "user_id");
	struct scope_row user;
	bool found = false;

	if (call->place.user.n > 0) {
		if (id_read_uuid(call->place.user, user_id) &&
			!scope_find(call->store, SCOPE_USER, user_id, &user, &found, err))
			return false;
		return found || no_such(SCOPE_USER, err);
	}
	if (v == NULL || yyjson_is_null(v))
		return manage_bad(err, "user_id", "is missing");
	return manage_scope_read(call, SCOPE_USER, v, "user_id", user_id, err);
}

bool manage_member_put(struct manage_call *call, struct err *err)
{
	yyjson_doc *doc = manage_body(call, err);
	yyjson_val *root = yyjson_doc_get_root(doc), *role = json_get(root, "role");
	enum user_role r = ROLE_MEMBER;
	struct scope_row group;
	struct id user_id;
	struct buf old;
	bool ok = doc != NULL && find_run(call, &group, err) &&
		  read_user(call, root, &user_id, err) &&
		  (role == NULL || read_role(role, &r, err));

	buf_init(&old, 8u << 20);
	ok = ok && put_scope(call, &old, &group, err) &&
	     member_put(call->store, &group.id, &user_id, r == ROLE_ADMIN, err) &&
	     audit(call, "member", &group, buf_span(&old), false, err) &&
	     put_scope(call, call->answer, &group, err);
	buf_done(&old);
	json_free(doc);
	return ok;
}

bool manage_member_delete(struct manage_call *call, struct err *err)
{
	yyjson_doc *doc = manage_body(call, err);
	struct scope_row group;
	struct id user_id;
	struct buf old;
	bool existed = false;
	bool ok = doc != NULL && find_run(call, &group, err) &&
		  read_user(call, yyjson_doc_get_root(doc), &user_id, err);

	buf_init(&old, 8u << 20);
	ok = ok && put_scope(call, &old, &group, err) &&
	     member_delete(call->store, &group.id, &user_id, &existed, err) &&
	     (existed || err_set(err, ERR_NOT_FOUND, "The user is not in this group")) &&
	     audit(call, "member", &group, buf_span(&old), false, err) &&
	     put_scope(call, call->answer, &group, err);
	buf_done(&old);
	json_free(doc);
	return ok;
}
