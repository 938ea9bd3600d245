/* SPDX-License-Identifier: Apache-2.0 */
#include "state/store/row.h"

static bool put(struct store *s, const char *sql, const struct access_row *r, struct err *err)
{
	const struct db_value v[] = {db_id(&r->id), db_text(span_of(r->name)),
		db_int(r->auto_approve), db_int(r->restricted), db_text(r->rules),
		db_int(r->created_ms)};
	struct err why = {0};

	if (db_run(s->db, sql, v, sizeof(v) / sizeof(v[0]), NULL, NULL, &why))
		return true;
	if (why.code == ERR_CONFLICT)
		return err_set(
			err, ERR_CONFLICT, "There is an access list \"%s\" already", r->name);
	return err_set(err, why.code, "%s", why.text);
}

bool access_insert(struct store *s, const struct access_row *r, struct err *err)
{
	return put(s, "INSERT INTO access_list VALUES (?1, ?2, ?3, ?4, ?5, ?6)", r, err);
}

bool access_update(struct store *s, const struct access_row *r, struct err *err)
{
	return put(s,
		"UPDATE access_list SET name = ?2, auto_approve = ?3, restricted = ?4, rules = ?5, "
		"created_ms = ?6 WHERE id = ?1",
		r, err);
}

bool access_delete(struct store *s, const struct id *id, bool *existed, struct err *err)
{
	const struct db_value v[] = {db_id(id)};

	if (!db_run(s->db, "DELETE FROM access_list WHERE id = ?1", v, 1, NULL, NULL, err))
		return false;
	*existed = db_changes(s->db) > 0;
	return true;
}

struct each_access {
	bool (*each)(void *user, const struct access_row *r);
	void *user;
	bool damaged;
};

static bool on_access(void *user, const struct db_row *r)
{
	struct each_access *e = user;
	struct access_row row = {.auto_approve = db_get_int(r, 2) != 0,
		.restricted = db_get_int(r, 3) != 0,
		.rules = db_get_text(r, 4),
		.created_ms = db_get_int(r, 5)};

	e->damaged =
		!row_id(r, 0, &row.id) || !row_text(row.name, sizeof(row.name), db_get_text(r, 1));
	return !e->damaged && e->each(e->user, &row);
}

bool access_each(struct store *s, const struct id *id,
	bool (*each)(void *user, const struct access_row *r), void *user, struct err *err)
{
	const struct db_value v[] = {id != NULL ? db_id(id) : db_null()};
	struct each_access e = {.each = each, .user = user};

	return db_run(s->db,
		       "SELECT id, name, auto_approve, restricted, rules, created_ms FROM "
		       "access_list WHERE CAST(?1 AS BLOB) IS NULL OR id = ?1 ORDER BY created_ms, "
		       "id",
		       v, 1, on_access, &e, err) &&
	       (!e.damaged ||
		       err_set(err, ERR_CORRUPT, "a row of the table access_list is damaged"));
}

struct uses {
	int64_t *keys, *scopes;
};

static bool on_uses(void *user, const struct db_row *r)
{
	struct uses *u = user;

	*u->keys = db_get_int(r, 0);
	*u->scopes = db_get_int(r, 1);
	return true;
}

bool access_uses(
	struct store *s, const struct id *id, int64_t *keys, int64_t *scopes, struct err *err)
{
	const struct db_value v[] = {db_id(id)};
	struct uses u = {keys, scopes};

	return db_run(s->db,
		"SELECT (SELECT count(*) FROM key WHERE access_id = ?1), (SELECT count(*) FROM "
		"scope WHERE access_id = ?1)",
		v, 1, on_uses, &u, err);
}
