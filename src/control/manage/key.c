/* SPDX-License-Identifier: Apache-2.0 */
#include "control/manage/endpoint.h"
#include "control/manage/moment.h"
#include "machine/base/json_put.h"
#include "machine/base/text.h"
#include "machine/crypto/hash.h"

struct wanted {
	char name[129];
	enum permission manage, completions;
	int64_t expires_ms;
	enum llm_drop drop;
	int64_t limit_nusd;
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
			if (!read_permission(value, "permissions.manage", &w->manage, err))
				return false;
		} else if (yyjson_equals_str(key, "completions")) {
			if (!read_permission(
				    value, "permissions.completions", &w->completions, err))
				return false;
		} else {
			return manage_bad(
				err, "permissions", "may hold manage and completions only");
		}
	}
	return true;
}

static bool has_control(yyjson_val *text)
{
	const char *p = yyjson_get_str(text);

	for (size_t i = 0; i < yyjson_get_len(text); i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			return true;
	return false;
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

static bool read_member(yyjson_val *key, yyjson_val *value, struct wanted *w, struct err *err)
{
	if (yyjson_equals_str(key, "name")) {
		if (!yyjson_is_str(value) || yyjson_get_len(value) == 0 ||
			yyjson_get_len(value) >= sizeof(w->name) || has_control(value))
			return manage_bad(err, "name",
				"must be a text of 1 to 128 bytes without control characters");
		memcpy(w->name, yyjson_get_str(value), yyjson_get_len(value) + 1);
		return true;
	}
	if (yyjson_equals_str(key, "permissions"))
		return read_permissions(value, w, err);
	if (yyjson_equals_str(key, "expires_at"))
		return read_expiry(value, &w->expires_ms, err);
	if (yyjson_equals_str(key, "monthly_limit"))
		return yyjson_is_null(value) ||
		       manage_money(value, "monthly_limit", &w->limit_nusd, err);
	if (yyjson_equals_str(key, "drop_params")) {
		struct span text = {yyjson_get_str(value), yyjson_get_len(value)};

		return yyjson_is_null(value) ||
		       (yyjson_is_str(value) && llm_drop_read(text, &w->drop)) ||
		       manage_bad(err, "drop_params",
			       "must be \"harmless\", \"all\", \"none\" or null");
	}
	err_param(err, yyjson_get_str(key));
	return err_set(err, ERR_BAD_REQUEST,
		"\"%.64s\" is not a member of a key; known are name, monthly_limit, permissions, "
		"expires_at, drop_params",
		yyjson_get_str(key));
}

static bool read_wanted(
	const struct manage_call *call, int64_t now_ms, struct wanted *w, struct err *err)
{
	yyjson_doc *doc = manage_body(call, err);
	yyjson_obj_iter iter;
	yyjson_val *key;
	bool ok = doc != NULL;

	*w = (struct wanted){.completions = PERMISSION_WRITE};
	if (ok) {
		yyjson_obj_iter_init(yyjson_doc_get_root(doc), &iter);
		while (ok && (key = yyjson_obj_iter_next(&iter)) != NULL)
			ok = read_member(key, yyjson_obj_iter_get_val(key), w, err);
	}
	if (ok && w->name[0] == '\0')
		ok = manage_bad(err, "name", "is missing");
	if (ok && w->expires_ms != 0 && w->expires_ms <= now_ms)
		ok = manage_bad(err, "expires_at", "must be in the future");
	json_free(doc);
	return ok;
}

static void write_key(const struct manage_call *call, struct buf *b, const struct key_row *k)
{
	struct sys *sys = call->env->sys;
	struct budget_state money = budget_look(call->env->budget, &k->id, sys->wall_ms(sys));
	char id[ID_UUID_CHARS + 1];

	id_write_uuid(&k->id, id);
	json_put_cstr(b, "id", id);
	json_put_cstr(b, "name", k->name);
	json_put_cstr(b, "public_id", k->public_id);
	json_put_open(b, "permissions", '{');
	json_put_cstr(b, "manage", permission_name(k->manage));
	json_put_cstr(b, "completions", permission_name(k->completions));
	buf_append_char(b, '}');
	manage_put_money(b, "monthly_limit", k->limit_nusd);
	manage_put_money(b, "monthly_spend", money.settled);
	json_put_raw(b, "labels", span_of(k->labels[0] != '\0' ? k->labels : "{}"));
	manage_put_time(b, "created_at", k->created_ms);
	manage_put_time(b, "expires_at", k->expires_ms);
	if (k->drop != LLM_DROP_UNSET)
		json_put_cstr(b, "drop_params", llm_drop_names[k->drop]);
	else
		json_put_null(b, "drop_params");
}

/* Who may use the gateway is changed: the log says so. */
static void note(
	const struct manage_call *call, const char *event, const char *id, const char *name)
{
	const struct log_field fields[] = {
		LOG_FIELD_TEXT("key_id", span_of(id)), LOG_FIELD_TEXT("name", span_of(name))};

	if (call->env->log != NULL)
		log_write(call->env->log, LOG_INFO, event, "", fields, name[0] != '\0' ? 2 : 1);
}

/* A key that nobody could use before the next start is no key. */
static bool put_in_force(struct manage_call *call, const struct key_row *row, struct err *err)
{
	struct sys *sys = call->env->sys;
	bool existed;

	if (budget_open(call->env->budget, &row->id, NULL, row->limit_nusd, 0, sys->wall_ms(sys), err) &&
		auth_add(call->env->auth, row, err))
		return true;
	budget_close(call->env->budget, &row->id);
	key_delete(call->store, &row->id, &existed, NULL);
	return false;
}

/* Nobody makes a key that may more than his own. */
static bool may_give(const struct manage_call *call, const struct wanted *w, struct err *err)
{
	if (call->caller->administrator || w->manage <= call->caller->manage)
		return true;
	err_param(err, "permissions.manage");
	return err_set(err, ERR_FORBIDDEN, "A key with manage: %s cannot make one with manage: %s",
		permission_name(call->caller->manage), permission_name(w->manage));
}

bool manage_key_create(struct manage_call *call, struct err *err)
{
	char text[AUTH_KEY_CHARS + 1], id[ID_UUID_CHARS + 1];
	struct sys *sys = call->env->sys;
	struct key_row row;
	struct wanted w;

	if (!read_wanted(call, sys->wall_ms(sys), &w, err) || !may_give(call, &w, err) ||
		!auth_make(sys, w.name, w.manage, w.completions, w.expires_ms, &row, text, err))
		return false;
	row.drop = w.drop;
	row.limit_nusd = w.limit_nusd;
	if (!key_insert(call->store, &row, err) || !put_in_force(call, &row, err))
		return false;
	/* The two members of the published API, then the key as it is shown elsewhere. */
	id_write_uuid(&row.id, id);
	buf_append_char(call->answer, '{');
	json_put_cstr(call->answer, "api_key_id", id);
	json_put_cstr(call->answer, "api_key", text);
	write_key(call, call->answer, &row);
	buf_append_char(call->answer, '}');
	hash_wipe(text, sizeof(text));
	note(call, "key_created", id, row.name);
	call->status = 201;
	return true;
}

static bool write_listed(void *user, const struct key_row *k)
{
	struct manage_call *call = user;

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
	if (span_is(call->id, "self") && !call->caller->administrator) {
		*id = call->caller->key_id;
		return true;
	}
	if (id_read_uuid(call->id, id))
		return true;
	err_param(err, "id");
	return err_set(err, ERR_BAD_REQUEST, "The id of a key is a UUID");
}

static bool find_key(struct manage_call *call, struct key_row *row, struct err *err)
{
	struct id id;
	bool found;

	if (!manage_key_id(call, &id, err) || !key_find(call->store, &id, row, &found, err))
		return false;
	return found || err_set(err, ERR_NOT_FOUND, "There is no key with this id");
}

bool manage_key_show(struct manage_call *call, struct err *err)
{
	struct key_row row;

	if (!find_key(call, &row, err))
		return false;
	buf_append_char(call->answer, '{');
	write_key(call, call->answer, &row);
	return buf_append_char(call->answer, '}') || err_set(err, ERR_NO_MEMORY, NULL);
}

/* Stored, then in force before the answer leaves. */
static bool change(
	struct manage_call *call, const struct key_row *row, const char *event, struct err *err)
{
	char id[ID_UUID_CHARS + 1];
	bool existed;

	if (!key_update(call->store, row, &existed, err))
		return false;
	if (!existed)
		return err_set(err, ERR_NOT_FOUND, "There is no key with this id");
	if (!auth_add(call->env->auth, row, err))
		return false;
	budget_limit(call->env->budget, &row->id, row->limit_nusd);
	id_write_uuid(&row->id, id);
	note(call, event, id, row->name);
	call->status = 204;
	return true;
}

bool manage_key_limit(struct manage_call *call, struct err *err)
{
	yyjson_doc *doc = manage_body(call, err);
	struct key_row row;
	bool ok = doc != NULL && find_key(call, &row, err) &&
		  manage_money(json_get(yyjson_doc_get_root(doc), "monthly_limit"), "monthly_limit",
			  &row.limit_nusd, err) &&
		  change(call, &row, "key_limited", err);

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
	struct key_row row;
	bool ok = doc != NULL && find_key(call, &row, err) &&
		  read_labels(json_get(yyjson_doc_get_root(doc), "labels"), row.labels, err) &&
		  change(call, &row, "key_labelled", err);

	json_free(doc);
	return ok;
}

bool manage_key_expiry(struct manage_call *call, struct err *err)
{
	yyjson_doc *doc = manage_body(call, err);
	yyjson_val *when = doc != NULL ? json_get(yyjson_doc_get_root(doc), "expires_at") : NULL;
	struct sys *sys = call->env->sys;
	int64_t now_ms = sys->wall_ms(sys);
	struct key_row row;
	bool ok = doc != NULL && find_key(call, &row, err);

	if (ok && row.expires_ms != 0 && row.expires_ms <= now_ms)
		ok = err_set(err, ERR_CONFLICT, "This key has expired; make a new one");
	if (ok && when == NULL)
		ok = manage_bad(err, "expires_at", "is missing");
	ok = ok && read_expiry(when, &row.expires_ms, err);
	if (ok && row.expires_ms != 0 && row.expires_ms <= now_ms)
		ok = manage_bad(err, "expires_at", "must be in the future");
	ok = ok && change(call, &row, "key_expiry_changed", err);
	json_free(doc);
	return ok;
}

bool manage_key_delete(struct manage_call *call, struct err *err)
{
	char text[ID_UUID_CHARS + 1];
	struct id id;
	bool existed;

	if (!manage_key_id(call, &id, err) || !key_delete(call->store, &id, &existed, err))
		return false;
	/* In force before the answer leaves. */
	auth_remove(call->env->auth, &id);
	budget_close(call->env->budget, &id);
	if (!existed)
		return err_set(err, ERR_NOT_FOUND, "There is no key with this id");
	id_write_uuid(&id, text);
	note(call, "key_deleted", text, "");
	return buf_append_cstr(call->answer, "{\"deleted\":true}");
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
	manage_put_money(call->answer, "monthly_limit", row.limit_nusd);
	manage_put_money(call->answer, "monthly_spend", money.settled);
	manage_put_money(call->answer, "org_balance", 0);
	return buf_append_cstr(call->answer, ",\"config\":{\"aliases\":{}}}");
}
