/* SPDX-License-Identifier: Apache-2.0 */
#include "state/store/row.h"

const struct id scope_org_id = {{0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}};

static const char *const kind_names[SCOPE_END] = {[SCOPE_ORG] = "organization",
	[SCOPE_GROUP] = "group",
	[SCOPE_PROJECT] = "project",
	[SCOPE_USER] = "user",
	[SCOPE_ACCOUNT] = "service account"};
static const char *const role_names[ROLE_COUNT] = {"member", "admin"};

static const char *const period_names[PERIOD_COUNT] = {"monthly", "weekly", "daily"};

const char *limit_period_name(enum limit_period p)
{
	return period_names[p];
}

const char *scope_kind_name(enum scope_kind k)
{
	return kind_names[k];
}

const char *user_role_name(enum user_role r)
{
	return role_names[r];
}

static bool put(struct store *s, const char *sql, const struct scope_row *r, struct err *err)
{
	const struct db_value v[] = {db_id(&r->id), db_int(r->kind), db_text(span_of(r->name)),
		db_text(span_of(r->title)), db_int(r->role), db_int(r->enforce),
		db_int(r->limits.nusd[PERIOD_MONTH]), db_int(r->limits.nusd[PERIOD_WEEK]),
		db_int(r->limits.nusd[PERIOD_DAY]), db_int(r->limits.requests),
		db_int(r->limits.tokens), db_int(r->limits.in_flight), db_id(&r->access_id),
		db_int(r->created_ms)};
	struct err why = {0};

	if (db_run(s->db, sql, v, sizeof(v) / sizeof(v[0]), NULL, NULL, &why))
		return true;
	if (why.code == ERR_CONFLICT)
		return err_set(err, ERR_CONFLICT, "There is a %s \"%s\" already",
			kind_names[r->kind], r->name);
	return err_set(err, why.code, "%s", why.text);
}

bool scope_insert(struct store *s, const struct scope_row *r, struct err *err)
{
	return put(s,
		"INSERT INTO scope VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, "
		"?13, ?14)",
		r, err);
}

bool scope_update(struct store *s, const struct scope_row *r, struct err *err)
{
	return put(s,
		"UPDATE scope SET name = ?3, title = ?4, role = ?5, enforce = ?6, "
		"monthly_limit_nusd = ?7, weekly_limit_nusd = ?8, daily_limit_nusd = ?9, "
		"requests_per_minute = ?10, tokens_per_minute = ?11, in_flight = ?12, "
		"access_id = ?13, created_ms = ?14 "
		"WHERE id = ?1 AND kind = ?2",
		r, err);
}

bool scope_delete(struct store *s, const struct id *id, struct err *err)
{
	const struct db_value v[] = {db_id(id)};

	return db_run(s->db, "DELETE FROM group_member WHERE group_id = ?1 OR user_id = ?1", v, 1,
		       NULL, NULL, err) &&
	       db_run(s->db, "DELETE FROM scope WHERE id = ?1", v, 1, NULL, NULL, err);
}

struct each_scope {
	bool (*each)(void *user, const struct scope_row *r);
	void *user;
	bool damaged;
};

static bool on_scope(void *user, const struct db_row *r)
{
	struct each_scope *e = user;
	struct scope_row row = {.kind = (enum scope_kind)db_get_int(r, 1),
		.role = (enum user_role)db_get_int(r, 4),
		.enforce = db_get_int(r, 5) != 0,
		.created_ms = db_get_int(r, 13)};

	e->damaged = !row_id(r, 0, &row.id) || row.kind < SCOPE_ORG || row.kind >= SCOPE_END ||
		     !row_text(row.name, sizeof(row.name), db_get_text(r, 2)) ||
		     !row_text(row.title, sizeof(row.title), db_get_text(r, 3)) ||
		     row.role >= ROLE_COUNT || !row_id(r, 12, &row.access_id);
	row.limits.nusd[PERIOD_MONTH] = db_get_int(r, 6);
	row_limits(r, 7, &row.limits);
	return !e->damaged && e->each(e->user, &row);
}

#define COLUMNS                                                                                    \
	"id, kind, name, title, role, enforce, monthly_limit_nusd, weekly_limit_nusd, "            \
	"daily_limit_nusd, requests_per_minute, tokens_per_minute, in_flight, access_id, "         \
	"created_ms"

static bool select_scopes(struct store *s, const char *sql, const struct db_value *v, int n,
	struct each_scope *e, struct err *err)
{
	return db_run(s->db, sql, v, n, on_scope, e, err) &&
	       (!e->damaged || err_set(err, ERR_CORRUPT, "a row of the table scope is damaged"));
}

bool scope_each(struct store *s, enum scope_kind kind,
	bool (*each)(void *user, const struct scope_row *r), void *user, struct err *err)
{
	const struct db_value v[] = {db_int(kind), db_int(SCOPE_END)};
	struct each_scope e = {.each = each, .user = user};

	return select_scopes(s,
		"SELECT " COLUMNS " FROM scope WHERE kind = ?1 OR ?1 = ?2 ORDER BY created_ms, id",
		v, 2, &e, err);
}

struct found_scope {
	struct scope_row *out;
	bool found;
};

static bool keep_scope(void *user, const struct scope_row *r)
{
	struct found_scope *f = user;

	*f->out = *r;
	f->found = true;
	return true;
}

bool scope_find(struct store *s, enum scope_kind kind, const struct id *id, struct scope_row *out,
	bool *found, struct err *err)
{
	const struct db_value v[] = {db_int(kind), db_id(id)};
	struct found_scope f = {out, false};
	struct each_scope e = {.each = keep_scope, .user = &f};
	bool ok = select_scopes(
		s, "SELECT " COLUMNS " FROM scope WHERE kind = ?1 AND id = ?2", v, 2, &e, err);

	*found = f.found;
	return ok;
}

/* ---- members of groups ---- */

bool member_put(struct store *s, const struct id *group_id, const struct id *user_id, bool admin,
	struct err *err)
{
	const struct db_value v[] = {db_id(group_id), db_id(user_id), db_int(admin)};

	return db_run(s->db,
		"INSERT INTO group_member VALUES (?1, ?2, ?3) ON CONFLICT (group_id, user_id) DO "
		"UPDATE SET admin = ?3",
		v, 3, NULL, NULL, err);
}

bool member_delete(struct store *s, const struct id *group_id, const struct id *user_id,
	bool *existed, struct err *err)
{
	const struct db_value v[] = {db_id(group_id), db_id(user_id)};

	if (!db_run(s->db, "DELETE FROM group_member WHERE group_id = ?1 AND user_id = ?2", v, 2,
		    NULL, NULL, err))
		return false;
	*existed = db_changes(s->db) > 0;
	return true;
}

struct each_member {
	bool (*each)(void *user, const struct member_row *m);
	void *user;
};

static bool on_member(void *user, const struct db_row *r)
{
	struct each_member *e = user;
	struct member_row m = {.admin = db_get_int(r, 2) != 0,
		.email = db_get_text(r, 3),
		.title = db_get_text(r, 4),
		.group = db_get_text(r, 5)};

	return row_id(r, 0, &m.group_id) && row_id(r, 1, &m.user_id) && e->each(e->user, &m);
}

bool member_each(struct store *s, const struct id *group_id, const struct id *user_id,
	bool (*each)(void *user, const struct member_row *m), void *user, struct err *err)
{
	const struct db_value v[] = {group_id != NULL ? db_id(group_id) : db_null(),
		user_id != NULL ? db_id(user_id) : db_null()};
	struct each_member e = {each, user};

	return db_run(s->db,
		"SELECT m.group_id, m.user_id, m.admin, u.name, u.title, g.name FROM group_member "
		"m "
		"JOIN scope u ON u.id = m.user_id JOIN scope g ON g.id = m.group_id "
		"WHERE (CAST(?1 AS BLOB) IS NULL OR m.group_id = ?1) AND (CAST(?2 AS BLOB) IS NULL "
		"OR m.user_id = ?2) "
		"ORDER BY g.name, u.name",
		v, 2, on_member, &e, err);
}
