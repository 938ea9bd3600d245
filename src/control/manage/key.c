/* SPDX-License-Identifier: Apache-2.0 */
#include "control/manage/endpoint.h"
#include "control/manage/moment.h"
#include "machine/base/json.h"
#include "machine/base/text.h"
#include "machine/crypto/hash.h"

struct wanted {
	char name[129];
	enum permission manage, completions;
	int64_t expires_ms;
	enum llm_drop drop;
};

static bool bad(struct err *err, const char *member, const char *what)
{
	err_param(err, member);
	return err_set(err, ERR_BAD_REQUEST, "%s %s", member, what);
}

static bool read_permission(
	yyjson_val *v, const char *member, enum permission *out, struct err *err)
{
	struct span text = {yyjson_get_str(v), yyjson_get_len(v)};

	return (yyjson_is_str(v) && permission_read(text, out)) ||
	       bad(err, member, "must be \"none\", \"read\" or \"write\"");
}

static bool read_permissions(yyjson_val *v, struct wanted *w, struct err *err)
{
	yyjson_obj_iter iter;
	yyjson_val *key;

	if (!yyjson_is_obj(v))
		return bad(err, "permissions", "must be an object");
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
			return bad(err, "permissions", "may hold manage and completions only");
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

static bool read_member(yyjson_val *key, yyjson_val *value, struct wanted *w, struct err *err)
{
	if (yyjson_equals_str(key, "name")) {
		if (!yyjson_is_str(value) || yyjson_get_len(value) == 0 ||
			yyjson_get_len(value) >= sizeof(w->name) || has_control(value))
			return bad(err, "name",
				"must be a text of 1 to 128 bytes without control characters");
		memcpy(w->name, yyjson_get_str(value), yyjson_get_len(value) + 1);
		return true;
	}
	if (yyjson_equals_str(key, "permissions"))
		return read_permissions(value, w, err);
	if (yyjson_equals_str(key, "expires_at")) {
		struct span text = {yyjson_get_str(value), yyjson_get_len(value)};

		if (yyjson_is_null(value))
			return true;
		if (!yyjson_is_str(value) || !moment_read(text, &w->expires_ms))
			return bad(err, "expires_at",
				"must be a time such as 2027-01-31T00:00:00Z, or null for never");
		return true;
	}
	if (yyjson_equals_str(key, "drop_params")) {
		struct span text = {yyjson_get_str(value), yyjson_get_len(value)};

		return yyjson_is_null(value) ||
		       (yyjson_is_str(value) && llm_drop_read(text, &w->drop)) ||
		       bad(err, "drop_params", "must be \"harmless\", \"all\", \"none\" or null");
	}
	err_param(err, yyjson_get_str(key));
	return err_set(err, ERR_BAD_REQUEST,
		"\"%.64s\" is not a member of a key; known are name, permissions, expires_at, "
		"drop_params",
		yyjson_get_str(key));
}

static bool read_wanted(struct span body, int64_t now_ms, struct wanted *w, struct err *err)
{
	yyjson_doc *doc = json_read(NULL, body, err);
	yyjson_val *root = yyjson_doc_get_root(doc);
	yyjson_obj_iter iter;
	yyjson_val *key;
	bool ok = doc != NULL;

	*w = (struct wanted){.completions = PERMISSION_WRITE};
	if (ok && !yyjson_is_obj(root))
		ok = err_set(err, ERR_BAD_REQUEST, "The body must be a JSON object");
	if (ok) {
		yyjson_obj_iter_init(root, &iter);
		while (ok && (key = yyjson_obj_iter_next(&iter)) != NULL)
			ok = read_member(key, yyjson_obj_iter_get_val(key), w, err);
	}
	if (ok && w->name[0] == '\0')
		ok = bad(err, "name", "is missing");
	if (ok && w->expires_ms != 0 && w->expires_ms <= now_ms)
		ok = bad(err, "expires_at", "must be in the future");
	json_free(doc);
	return ok;
}

static void write_key(struct buf *b, const struct key_row *k)
{
	char id[ID_UUID_CHARS + 1], time[32];

	id_write_uuid(&k->id, id);
	buf_printf(b, "\"id\":\"%s\",\"name\":", id);
	text_json_string(b, span_of(k->name));
	buf_printf(b,
		",\"public_id\":\"%s\",\"permissions\":{\"manage\":\"%s\",\"completions\":\"%s\"}",
		k->public_id, permission_name(k->manage), permission_name(k->completions));
	text_rfc3339(time, k->created_ms);
	buf_printf(b, ",\"created_at\":\"%s\",\"expires_at\":", time);
	text_rfc3339(time, k->expires_ms);
	if (k->expires_ms != 0)
		buf_printf(b, "\"%s\"", time);
	else
		buf_append_cstr(b, "null");
	buf_append_cstr(b, ",\"drop_params\":");
	if (k->drop != LLM_DROP_UNSET)
		buf_printf(b, "\"%s\"", llm_drop_names[k->drop]);
	else
		buf_append_cstr(b, "null");
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

bool manage_key_create(struct manage_call *call, struct err *err)
{
	char text[AUTH_KEY_CHARS + 1], id[ID_UUID_CHARS + 1];
	struct sys *sys = call->env->sys;
	struct key_row row;
	struct wanted w;

	if (!read_wanted(call->body, sys->wall_ms(sys), &w, err) ||
		!auth_make(sys, w.name, w.manage, w.completions, w.expires_ms, &row, text, err))
		return false;
	row.drop = w.drop;
	if (!key_insert(call->store, &row, err))
		return false;
	if (!auth_add(call->env->auth, &row, err)) {
		bool existed;

		/* A key that nobody could use before the next start is no key. */
		key_delete(call->store, &row.id, &existed, NULL);
		return false;
	}
	/* The two members of the published API, then the key as it is shown elsewhere. */
	id_write_uuid(&row.id, id);
	buf_printf(call->answer, "{\"api_key_id\":\"%s\",\"api_key\":\"%s\",", id, text);
	write_key(call->answer, &row);
	buf_append_char(call->answer, '}');
	hash_wipe(text, sizeof(text));
	note(call, "key_created", id, row.name);
	call->status = 201;
	return true;
}

static bool write_listed(void *user, const struct key_row *k)
{
	struct buf *b = user;

	if (buf_span(b).p[b->n - 1] != '[')
		buf_append_char(b, ',');
	buf_append_char(b, '{');
	write_key(b, k);
	return buf_append_char(b, '}');
}

bool manage_key_list(struct manage_call *call, struct err *err)
{
	buf_append_cstr(call->answer, "{\"keys\":[");
	if (!key_each(call->store, write_listed, call->answer, err))
		return false;
	return buf_append_cstr(call->answer, "]}") || err_set(err, ERR_NO_MEMORY, NULL);
}

bool manage_key_delete(struct manage_call *call, struct err *err)
{
	char text[ID_UUID_CHARS + 1];
	struct id id;
	bool existed;

	if (!id_read_uuid(call->id, &id)) {
		err_param(err, "id");
		return err_set(err, ERR_BAD_REQUEST, "The id of a key is a UUID");
	}
	if (!key_delete(call->store, &id, &existed, err))
		return false;
	/* In force before the answer leaves. */
	auth_remove(call->env->auth, &id);
	if (!existed)
		return err_set(err, ERR_NOT_FOUND, "There is no key with this id");
	id_write_uuid(&id, text);
	note(call, "key_deleted", text, "");
	return buf_append_cstr(call->answer, "{\"deleted\":true}");
}
