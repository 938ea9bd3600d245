/* SPDX-License-Identifier: Apache-2.0 */
#include "state/store/store.h"
#include "state/store/row.h"

static const char *const permission_names[] = {"none", "read", "write"};

const char *permission_name(enum permission p)
{
	return permission_names[p];
}

bool permission_read(struct span text, enum permission *out)
{
	for (int i = PERMISSION_NONE; i <= PERMISSION_WRITE; i++) {
		if (span_is(text, permission_names[i])) {
			*out = (enum permission)i;
			return true;
		}
	}
	return false;
}

static bool put(struct store *s, const char *sql, const struct key_row *k, struct err *err)
{
	const struct limits *l = &k->limits;
	const struct db_value v[] = {db_blob(span_from(k->id.bytes, sizeof(k->id.bytes))),
		db_text(span_of(k->public_id)), db_blob(span_from(k->sha256, sizeof(k->sha256))),
		db_text(span_of(k->name)), db_int(k->manage), db_int(k->completions),
		db_int(k->created_ms), db_int(k->expires_ms), db_int(k->drop),
		db_int(l->nusd[PERIOD_MONTH]),
		db_text(span_of(k->labels[0] != '\0' ? k->labels : "{}")),
		db_int(l->nusd[PERIOD_WEEK]), db_int(l->nusd[PERIOD_DAY]), db_int(l->requests),
		db_int(l->tokens), db_int(l->in_flight), db_id(&k->owners.user_id),
		db_id(&k->owners.group_id), db_id(&k->owners.project_id), db_id(&k->account_id),
		db_id(&k->access_id)};
	struct err why = {0};

	if (db_run(s->db, sql, v, sizeof(v) / sizeof(v[0]), NULL, NULL, &why))
		return true;
	if (why.code == ERR_CONFLICT)
		return err_set(err, ERR_CONFLICT, "there is a key named \"%s\" already", k->name);
	return err_set(err, why.code, "%s", why.text);
}

#define COLUMNS                                                                                    \
	"id, public_id, sha256, name, manage, completions, created_ms, expires_ms, drop_params, "  \
	"monthly_limit_nusd, labels, weekly_limit_nusd, daily_limit_nusd, requests_per_minute, "   \
	"tokens_per_minute, in_flight, user_id, group_id, project_id, account_id, access_id"
#define VALUES                                                                                     \
	"?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, "   \
	"?20, ?21"

bool key_insert(struct store *s, const struct key_row *k, struct err *err)
{
	return put(s, "INSERT INTO key (" COLUMNS ") VALUES (" VALUES ")", k, err);
}

bool key_update(struct store *s, const struct key_row *k, bool *existed, struct err *err)
{
	if (!put(s, "UPDATE key SET (" COLUMNS ") = (" VALUES ") WHERE id = ?1", k, err))
		return false;
	*existed = db_changes(s->db) > 0;
	return true;
}

bool key_delete(struct store *s, const struct id *id, bool *existed, struct err *err)
{
	const struct db_value v[] = {db_blob(span_from(id->bytes, sizeof(id->bytes)))};

	if (!db_run(s->db, "DELETE FROM key WHERE id = ?1", v, 1, NULL, NULL, err))
		return false;
	*existed = db_changes(s->db) > 0;
	return true;
}

struct each_key {
	bool (*each)(void *user, const struct key_row *k);
	void *user;
	bool damaged;
};

static bool take_bytes(void *to, size_t n, struct span from)
{
	if (from.n != n)
		return false;
	memcpy(to, from.p, n);
	return true;
}

static bool on_key(void *user, const struct db_row *r)
{
	struct each_key *e = user;
	struct key_row k = {0};
	int64_t manage = db_get_int(r, 4), completions = db_get_int(r, 5);
	int64_t drop = db_get_int(r, 8);

	e->damaged = !take_bytes(k.id.bytes, sizeof(k.id.bytes), db_get_blob(r, 0)) ||
		     !row_text(k.public_id, sizeof(k.public_id), db_get_text(r, 1)) ||
		     !take_bytes(k.sha256, sizeof(k.sha256), db_get_blob(r, 2)) ||
		     !row_text(k.name, sizeof(k.name), db_get_text(r, 3)) ||
		     manage < PERMISSION_NONE || manage > PERMISSION_WRITE ||
		     completions < PERMISSION_NONE || completions > PERMISSION_WRITE ||
		     drop < LLM_DROP_UNSET || drop > LLM_DROP_NONE || db_get_int(r, 9) < 0 ||
		     !row_text(k.labels, sizeof(k.labels), db_get_text(r, 10)) ||
		     !row_id(r, 16, &k.owners.user_id) || !row_id(r, 17, &k.owners.group_id) ||
		     !row_id(r, 18, &k.owners.project_id) || !row_id(r, 19, &k.account_id) ||
		     !row_id(r, 20, &k.access_id);
	if (e->damaged)
		return false;
	k.manage = (enum permission)manage;
	k.completions = (enum permission)completions;
	k.created_ms = db_get_int(r, 6);
	k.expires_ms = db_get_int(r, 7);
	k.drop = (enum llm_drop)drop;
	k.limits.nusd[PERIOD_MONTH] = db_get_int(r, 9);
	row_limits(r, 11, &k.limits);
	return e->each(e->user, &k);
}

struct found_key {
	struct key_row *out;
	bool found;
};

static bool keep_key(void *user, const struct key_row *k)
{
	struct found_key *f = user;

	*f->out = *k;
	f->found = true;
	return true;
}

bool key_find(
	struct store *s, const struct id *id, struct key_row *out, bool *found, struct err *err)
{
	const struct db_value v[] = {db_blob(span_from(id->bytes, sizeof(id->bytes)))};
	struct found_key f = {out, false};
	struct each_key e = {.each = keep_key, .user = &f};

	if (!db_run(s->db, "SELECT " COLUMNS " FROM key WHERE id = ?1", v, 1, on_key, &e, err))
		return false;
	*found = f.found;
	return !e.damaged || err_set(err, ERR_CORRUPT, "a row of the table key is damaged");
}

#define OWNED_BY                                                                                   \
	" FROM key WHERE user_id = ?1 OR group_id = ?1 OR project_id = ?1 OR account_id = ?1 OR "  \
	"access_id = ?1"

static bool on_count(void *user, const struct db_row *r)
{
	*(int64_t *)user = db_get_int(r, 0);
	return true;
}

bool key_count(struct store *s, const struct id *owner, int64_t *n, struct err *err)
{
	const struct db_value v[] = {db_id(owner)};

	return db_run(s->db, "SELECT count(*)" OWNED_BY, v, 1, on_count, n, err);
}

bool key_each_of(struct store *s, const struct id *owner,
	bool (*each)(void *user, const struct key_row *k), void *user, struct err *err)
{
	const struct db_value v[] = {db_id(owner)};
	struct each_key e = {.each = each, .user = user};

	if (!db_run(s->db, "SELECT " COLUMNS OWNED_BY " ORDER BY created_ms, id", v, 1, on_key, &e,
		    err))
		return false;
	return !e.damaged || err_set(err, ERR_CORRUPT, "a row of the table key is damaged");
}

bool key_each(struct store *s, bool (*each)(void *user, const struct key_row *k), void *user,
	struct err *err)
{
	struct each_key e = {.each = each, .user = user};

	if (!db_run(s->db,
		    "SELECT " COLUMNS " FROM key "
		    "ORDER BY created_ms, id",
		    NULL, 0, on_key, &e, err))
		return false;
	return !e.damaged || err_set(err, ERR_CORRUPT, "a row of the table key is damaged");
}
