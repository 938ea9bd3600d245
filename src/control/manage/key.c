/* SPDX-License-Identifier: Apache-2.0 */
#include "control/manage/endpoint.h"
#include "control/manage/moment.h"
#include "machine/base/json_put.h"
#include "machine/base/text.h"
#include "machine/crypto/hash.h"

/* The members of a body, over a new key or the one that is changed. */
struct wanted {
	struct key_row row;
	bool expiry; /* it was named */
};

static bool read_permission(
	yyjson_val *v, const char *member, enum permission *out, struct err *err)
{
	struct span text = {yyjson_get_str(v), yyjson_get_len(v)};

	return (yyjson_is_str(v) && permission_read(text, out)) ||
	       manage_bad(err, member, "must be \"none\", \"read\" or \"write\"");
}

static bool read_permissions(yyjson_val *v, struct wanted *w, struct err *err)
{
	yyjson_obj_iter iter;
	yyjson_val *key;

	if (!yyjson_is_obj(v))
		return manage_bad(err, "permissions", "must be an object");
	yyjson_obj_iter_init(v, &iter);
	while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
		yyjson_val *value = yyjson_obj_iter_get_val(key);

		if (yyjson_equals_str(key, "manage")) {
			if (!read_permission(value, "permissions.manage", &w->row.manage, err))
				return false;
		} else if (yyjson_equals_str(key, "completions")) {
			if (!read_permission(
				    value, "permissions.completions", &w->row.completions, err))
				return false;
		} else {
			return manage_bad(
				err, "permissions", "may hold manage and completions only");
		}
	}
	return true;
}

static bool read_expiry(yyjson_val *value, int64_t *expires_ms, struct err *err)
{
	struct span text = {yyjson_get_str(value), yyjson_get_len(value)};

	*expires_ms = 0;
	if (yyjson_is_null(value))
		return true;
	return (yyjson_is_str(value) && moment_read(text, expires_ms)) ||
	       manage_bad(err, "expires_at",
		       "must be a time such as 2027-01-31T00:00:00Z, or null for never");
}

static bool is_same(const struct id *a, const struct id *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/*
 * A user without the role admin has keys of their own, in their own groups or in none. Never a key
 * of nobody: that one would reach everything.
 */
static bool may_own(
	struct manage_call *call, enum scope_kind kind, const struct id *was, const struct id *id)
{
	bool admin;

	if (!call->caller->member)
		return true;
	switch (kind) {
	case SCOPE_USER:
		return is_same(id, &call->caller->user_id);
	case SCOPE_GROUP:
		return id_is_none(id) || manage_is_member(call, id, &admin);
	default:
		return is_same(id, was);
	}
}

/* Whose the key is. */
static bool read_owner(struct manage_call *call, yyjson_val *key, yyjson_val *value,
	struct wanted *w, struct err *err)
{
	struct key_owners *o = &w->row.owners;
	const struct {
		const char *name;
		enum scope_kind kind;
		struct id *id;
	} rows[] = {{"user_id", SCOPE_USER, &o->user_id}, {"group_id", SCOPE_GROUP, &o->group_id},
		{"project_id", SCOPE_PROJECT, &o->project_id},
		{"service_account_id", SCOPE_ACCOUNT, &w->row.account_id}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct id was = *rows[i].id;

		if (!yyjson_equals_str(key, rows[i].name))
			continue;
		if (!manage_scope_read(call, rows[i].kind, value, rows[i].name, rows[i].id, err))
			return false;
		if (may_own(call, rows[i].kind, &was, rows[i].id))
			return true;
		err_param(err, rows[i].name);
		return err_set(err, ERR_FORBIDDEN,
			"A user with the role member makes keys of their own and of their groups");
	}
	if (yyjson_equals_str(key, "access_list_id")) {
		if (call->caller->member)
			return err_set(err, ERR_FORBIDDEN,
				"Access lists of keys are set by users with the role admin");
		return manage_access_read(call, value, "access_list_id", &w->row.access_id, err);
	}
	err_param(err, yyjson_get_str(key));
	return err_set(err, ERR_BAD_REQUEST,
		"\"%.64s\" is not a member of a key; known are name, permissions, "
		"expires_at, drop_params, user_id, group_id, project_id, service_account_id, "
		"access_list_id, monthly_limit, weekly_limit, daily_limit, requests_per_minute, "
		"tokens_per_minute, max_in_flight",
		yyjson_get_str(key));
}

static bool read_member(struct manage_call *call, yyjson_val *key, yyjson_val *value,
	struct wanted *w, struct err *err)
{
	bool is;

	if (!manage_limit(key, value, &w->row.limits, &is, err) || is)
		return err->code == ERR_OK;
	if (yyjson_equals_str(key, "name"))
		return manage_name(value, "name", w->row.name, err);
	if (yyjson_equals_str(key, "permissions"))
		return read_permissions(value, w, err);
	if (yyjson_equals_str(key, "expires_at")) {
		w->expiry = true;
		return read_expiry(value, &w->row.expires_ms, err);
	}
	if (yyjson_equals_str(key, "drop_params")) {
		struct span text = {yyjson_get_str(value), yyjson_get_len(value)};

		w->row.drop = LLM_DROP_UNSET;
		return yyjson_is_null(value) ||
		       (yyjson_is_str(value) && llm_drop_read(text, &w->row.drop)) ||
		       manage_bad(err, "drop_params",
			       "must be \"harmless\", \"all\", \"none\" or null");
	}
	return read_owner(call, key, value, w, err);
}

/* Nobody makes a key that may more than his own. */
static bool may_give(const struct manage_call *call, const struct key_row *row, struct err *err)
{
	if (call->caller->administrator || row->manage <= call->caller->manage)
		return true;
	err_param(err, "permissions.manage");
	return err_set(err, ERR_FORBIDDEN, "A key with manage: %s cannot make one with manage: %s",
		permission_name(call->caller->manage), permission_name(row->manage));
}

static bool read_wanted(struct manage_call *call, struct wanted *w, struct err *err)
{
	struct sys *sys = call->env->sys;
	yyjson_doc *doc = manage_body(call, err);
	yyjson_obj_iter iter;
	yyjson_val *key;
	bool ok = doc != NULL;

	if (ok) {
		yyjson_obj_iter_init(yyjson_doc_get_root(doc), &iter);
		while (ok && (key = yyjson_obj_iter_next(&iter)) != NULL)
			ok = read_member(call, key, yyjson_obj_iter_get_val(key), w, err);
	}
	if (ok && w->row.name[0] == '\0')
		ok = manage_bad(err, "name", "is missing");
	if (ok && w->expiry && w->row.expires_ms != 0 && w->row.expires_ms <= sys->wall_ms(sys))
		ok = manage_bad(err, "expires_at", "must be in the future");
	json_free(doc);
	return ok && may_give(call, &w->row, err);
}

/* A scope as other objects show it: its id and name, or null. */
static void put_scope(const struct manage_call *call, struct buf *b, const char *key,
	enum scope_kind kind, const struct id *id, const char *name)
{
	struct scope_row scope;
	bool found = false;

	if (id_is_none(id) || !scope_find(call->store, kind, id, &scope, &found, NULL) || !found) {
		json_put_null(b, key);
		return;
	}
	json_put_open(b, key, '{');
	manage_put_id(b, "id", id);
	json_put_cstr(b, name, scope.name);
	buf_append_char(b, '}');
}

static void write_key(const struct manage_call *call, struct buf *b, const struct key_row *k)
{
	char id[ID_UUID_CHARS + 1];

	id_write_uuid(&k->id, id);
	json_put_cstr(b, "id", id);
	json_put_cstr(b, "name", k->name);
	json_put_cstr(b, "public_id", k->public_id);
	json_put_open(b, "permissions", '{');
	json_put_cstr(b, "manage", permission_name(k->manage));
	json_put_cstr(b, "completions", permission_name(k->completions));
	buf_append_char(b, '}');
	manage_put_limits(call, b, &k->id, &k->limits);
	json_put_raw(b, "labels", span_of(k->labels[0] != '\0' ? k->labels : "{}"));
	manage_put_time(b, "created_at", k->created_ms);
	manage_put_time(b, "expires_at", k->expires_ms);
	if (k->drop != LLM_DROP_UNSET)
		json_put_cstr(b, "drop_params", llm_drop_names[k->drop]);
	else
		json_put_null(b, "drop_params");
	put_scope(call, b, "group", SCOPE_GROUP, &k->owners.group_id, "name");
	put_scope(call, b, "project", SCOPE_PROJECT, &k->owners.project_id, "name");
	put_scope(call, b, "service_account", SCOPE_ACCOUNT, &k->account_id, "name");
	put_scope(call, b, "created_by", SCOPE_USER, &k->owners.user_id, "email");
	manage_put_id(b, "access_list_id", &k->access_id);
	json_put_bool(b, "logging", false); /* prompts and answers are never kept */
}

/* NULL: there was, or is, none. */
static bool audit(struct manage_call *call, const char *action, const struct key_row *old,
	const struct key_row *new, struct err *err)
{
	const struct key_row *rows[] = {old, new};
	struct buf texts[2];
	bool ok;

	for (int i = 0; i < 2; i++) {
		buf_init(&texts[i], 64u << 10);
		if (rows[i] == NULL)
			continue;
		buf_append_char(&texts[i], '{');
		write_key(call, &texts[i], rows[i]);
		buf_append_char(&texts[i], '}');
	}
	ok = manage_audit(call, action, old != NULL ? &old->id : &new->id, buf_span(&texts[0]),
		buf_span(&texts[1]), err);
	buf_done(&texts[0]);
	buf_done(&texts[1]);
	return ok;
}

bool manage_key_create(struct manage_call *call, struct err *err)
{
	char text[AUTH_KEY_CHARS + 1], id[ID_UUID_CHARS + 1];
	struct sys *sys = call->env->sys;
	struct wanted w = {.row.completions = PERMISSION_WRITE};
	struct key_row row;

	if (call->caller->member)
		w.row.owners.user_id = call->caller->user_id;
	if (!read_wanted(call, &w, err) ||
		!auth_make(sys, w.row.name, w.row.manage, w.row.completions, w.row.expires_ms, &row,
			text, err))
		return false;
	row.drop = w.row.drop;
	row.limits = w.row.limits;
	row.owners = w.row.owners;
	row.account_id = w.row.account_id;
	row.access_id = w.row.access_id;
	if (!key_insert(call->store, &row, err) || !audit(call, "apikey.create", NULL, &row, err))
		return false;
	/* In force before the answer leaves. */
	if (!budget_open(call->env->budget, &row.id, NULL, &row.limits, sys->wall_ms(sys), err) ||
		!auth_add(call->env->auth, &row, err)) {
		budget_close(call->env->budget, &row.id);
		return false;
	}
	/* The two members of the published API, then the key as it is shown elsewhere. */
	id_write_uuid(&row.id, id);
	buf_append_char(call->answer, '{');
	json_put_cstr(call->answer, "api_key_id", id);
	json_put_cstr(call->answer, "api_key", text);
	write_key(call, call->answer, &row);
	buf_append_char(call->answer, '}');
	hash_wipe(text, sizeof(text));
	call->status = 201;
	return true;
}

static bool is_seen(const struct manage_call *call, const struct key_row *k)
{
	return !call->caller->member || is_same(&k->owners.user_id, &call->caller->user_id);
}

static bool write_listed(void *user, const struct key_row *k)
{
	struct manage_call *call = user;

	if (!is_seen(call, k))
		return true;
	json_put_open(call->answer, NULL, '{');
	write_key(call, call->answer, k);
	return buf_append_char(call->answer, '}');
}

bool manage_key_list(struct manage_call *call, struct err *err)
{
	buf_append_cstr(call->answer, "{\"keys\":[");
	if (!key_each(call->store, write_listed, call, err))
		return false;
	return buf_append_cstr(call->answer, "]}") || err_set(err, ERR_NO_MEMORY, NULL);
}

/* ---- one key ---- */

bool manage_key_id(const struct manage_call *call, struct id *id, struct err *err)
{
	if (span_is(call->place.id, "self") && !call->caller->administrator) {
		*id = call->caller->key_id;
		return true;
	}
	return manage_path_id(call, id, err);
}

bool manage_key_find(struct manage_call *call, struct key_row *row, struct err *err)
{
	struct id id;
	bool found;

	if (!manage_key_id(call, &id, err) || !key_find(call->store, &id, row, &found, err))
		return false;
	return (found && is_seen(call, row)) ||
	       err_set(err, ERR_NOT_FOUND, "There is no key with this id");
}

bool manage_key_show(struct manage_call *call, struct err *err)
{
	struct key_row row;

	if (!manage_key_find(call, &row, err))
		return false;
	buf_append_char(call->answer, '{');
	write_key(call, call->answer, &row);
	return buf_append_char(call->answer, '}') || err_set(err, ERR_NO_MEMORY, NULL);
}

/* Stored, then in force before the answer leaves. */
static bool change(struct manage_call *call, const struct key_row *old, const struct key_row *row,
	const char *action, struct err *err)
{
	struct sys *sys = call->env->sys;
	bool existed;

	if (!key_update(call->store, row, &existed, err))
		return false;
	if (!existed)
		return err_set(err, ERR_NOT_FOUND, "There is no key with this id");
	if (!audit(call, action, old, row, err) ||
		!budget_open(
			call->env->budget, &row->id, NULL, &row->limits, sys->wall_ms(sys), err) ||
		!auth_add(call->env->auth, row, err))
		return false;
	call->status = 204;
	return true;
}

bool manage_key_change(struct manage_call *call, struct err *err)
{
	struct wanted w = {.expiry = false};
	struct sys *sys = call->env->sys;
	struct key_row old;

	if (!manage_key_find(call, &old, err))
		return false;
	w.row = old;
	if (!read_wanted(call, &w, err))
		return false;
	if (w.expiry && old.expires_ms != 0 && old.expires_ms <= sys->wall_ms(sys))
		return err_set(err, ERR_CONFLICT, "This key has expired; make a new one");
	if (!change(call, &old, &w.row, "apikey.change", err))
		return false;
	call->status = 200;
	buf_append_char(call->answer, '{');
	write_key(call, call->answer, &w.row);
	return buf_append_char(call->answer, '}') || err_set(err, ERR_NO_MEMORY, NULL);
}

bool manage_key_limit(struct manage_call *call, struct err *err)
{
	yyjson_doc *doc = manage_body(call, err);
	struct key_row old, row;
	bool ok = doc != NULL && manage_key_find(call, &old, err);

	row = old;
	ok = ok && manage_limits(yyjson_doc_get_root(doc), &row.limits, err) &&
	     change(call, &old, &row, "apikey.limit", err);
	json_free(doc);
	return ok;
}

static bool read_labels(yyjson_val *labels, char out[KEY_MAX_LABELS + 1], struct err *err)
{
	size_t i, max;
	yyjson_val *key, *v;
	struct buf b;
	bool ok = yyjson_is_obj(labels);

	yyjson_obj_foreach(labels, i, max, key, v) ok &= yyjson_is_str(v);
	if (!ok)
		return manage_bad(err, "labels", "must be an object of texts");
	buf_init(&b, KEY_MAX_LABELS);
	ok = json_write(&b, labels) && !b.failed;
	if (ok) {
		memcpy(out, b.mem, b.n);
		out[b.n] = '\0';
	}
	buf_done(&b);
	return ok || manage_bad(err, "labels", "are too long");
}

bool manage_key_label(struct manage_call *call, struct err *err)
{
	yyjson_doc *doc = manage_body(call, err);
	struct key_row old, row;
	bool ok = doc != NULL && manage_key_find(call, &old, err);

	row = old;
	ok = ok && read_labels(json_get(yyjson_doc_get_root(doc), "labels"), row.labels, err) &&
	     change(call, &old, &row, "apikey.label", err);

	json_free(doc);
	return ok;
}

bool manage_key_expiry(struct manage_call *call, struct err *err)
{
	yyjson_doc *doc = manage_body(call, err);
	yyjson_val *when = doc != NULL ? json_get(yyjson_doc_get_root(doc), "expires_at") : NULL;
	struct sys *sys = call->env->sys;
	int64_t now_ms = sys->wall_ms(sys);
	struct key_row old, row;
	bool ok = doc != NULL && manage_key_find(call, &old, err);

	row = old;
	if (ok && row.expires_ms != 0 && row.expires_ms <= now_ms)
		ok = err_set(err, ERR_CONFLICT, "This key has expired; make a new one");
	if (ok && when == NULL)
		ok = manage_bad(err, "expires_at", "is missing");
	ok = ok && read_expiry(when, &row.expires_ms, err);
	if (ok && row.expires_ms != 0 && row.expires_ms <= now_ms)
		ok = manage_bad(err, "expires_at", "must be in the future");
	ok = ok && change(call, &old, &row, "apikey.expiry", err);
	json_free(doc);
	return ok;
}

static bool delete (struct manage_call *call, const struct key_row *row, struct err *err)
{
	bool existed;

	if (!key_delete(call->store, &row->id, &existed, err) ||
		!audit(call, "apikey.delete", row, NULL, err))
		return false;
	/* In force before the answer leaves. */
	auth_remove(call->env->auth, &row->id);
	budget_close(call->env->budget, &row->id);
	return true;
}

bool manage_key_delete(struct manage_call *call, struct err *err)
{
	struct key_row row;

	return manage_key_find(call, &row, err) && delete (call, &row, err) &&
	       (buf_append_cstr(call->answer, "{\"deleted\":true}") ||
		       err_set(err, ERR_NO_MEMORY, NULL));
}

static bool take_one(void *user, const struct key_row *k)
{
	*(struct key_row *)user = *k;
	return false;
}

bool manage_keys_delete(struct manage_call *call, const struct id *owner, struct err *err)
{
	for (;;) {
		struct key_row row = {.created_ms = 0};

		if (!key_each_of(call->store, owner, take_one, &row, err))
			return false;
		if (id_is_none(&row.id))
			return true;
		if (!delete (call, &row, err))
			return false;
	}
}

bool manage_key_balance(struct manage_call *call, struct err *err)
{
	struct key_row row;
	bool found = false;
	struct sys *sys = call->env->sys;
	struct budget_state money;

	if (!call->caller->administrator &&
		!key_find(call->store, &call->caller->key_id, &row, &found, err))
		return false;
	if (!found)
		return err_set(err, ERR_NOT_FOUND, "There is no key with this id");
	money = budget_look(call->env->budget, &row.id, sys->wall_ms(sys));
	buf_append_char(call->answer, '{');
	json_put_cstr(call->answer, "name", row.name);
	manage_put_money(call->answer, "monthly_limit", row.limits.nusd[PERIOD_MONTH]);
	manage_put_money(call->answer, "monthly_spend", money.settled);
	manage_put_money(call->answer, "org_balance", 0);
	return buf_append_cstr(call->answer, ",\"config\":{\"aliases\":{}}}");
}
