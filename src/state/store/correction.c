/* SPDX-License-Identifier: Apache-2.0 */
#include "state/store/row.h"

struct sum {
	int64_t n, nusd;
};

static bool on_sum(void *user, const struct db_row *r)
{
	struct sum *sum = user;

	*sum = (struct sum){db_get_int(r, 0), db_get_int(r, 1)};
	return true;
}

bool correction_sum(
	struct store *s, const struct id *request_id, int64_t *n, int64_t *nusd, struct err *err)
{
	const struct db_value v[] = {db_id(request_id)};
	struct sum sum = {0};

	if (!db_run(s->db,
		    "SELECT count(*), coalesce(sum(nusd), 0) FROM correction WHERE request_id = ?1",
		    v, 1, on_sum, &sum, err))
		return false;
	*n = sum.n;
	*nusd = sum.nusd;
	return true;
}

struct each_correction {
	bool (*each)(void *user, const struct correction *c);
	void *user;
};

static bool on_correction(void *user, const struct db_row *r)
{
	struct each_correction *e = user;
	struct correction c = {.at_ms = db_get_int(r, 2),
		.nusd = db_get_int(r, 3),
		.priced = db_get_int(r, 4) != 0,
		.actor = db_get_text(r, 5),
		.why = db_get_text(r, 6)};

	return row_id(r, 0, &c.id) && row_id(r, 1, &c.request_id) && e->each(e->user, &c);
}

bool correction_each(struct store *s, const struct id *request_id,
	bool (*each)(void *user, const struct correction *c), void *user, struct err *err)
{
	const struct db_value v[] = {db_id(request_id)};
	struct each_correction e = {each, user};

	return db_run(s->db,
		"SELECT id, request_id, at_ms, nusd, priced, actor, why FROM correction WHERE "
		"request_id = ?1 ORDER BY at_ms, id",
		v, 1, on_correction, &e, err);
}

static bool insert(struct store *s, const struct correction *c, struct err *err)
{
	const struct db_value v[] = {db_id(&c->id), db_id(&c->request_id), db_int(c->at_ms),
		db_int(c->nusd), db_int(c->priced), db_text(c->actor), db_text(c->why)};

	return db_run(s->db, "INSERT INTO correction VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", v, 7,
		NULL, NULL, err);
}

struct found {
	struct store *store;
	struct correction *c;
	int64_t amount_nusd;
	struct err *err;
	bool final, ok;
};

/* While the row is there to be borrowed from. */
static bool on_request(void *user, const struct request_row *r, bool final)
{
	struct found *f = user;
	struct correction *c = f->c;
	int64_t n, nusd;

	f->final = final;
	if (!final)
		return false;
	if (!correction_sum(f->store, &r->id, &n, &nusd, f->err))
		return false;
	c->key_id = r->key_id;
	c->owners = r->owners;
	c->started_ms = r->started_ms;
	c->priced = r->cost_nusd == COST_UNKNOWN && n == 0;
	c->before_nusd = (r->cost_nusd != COST_UNKNOWN ? r->cost_nusd : 0) + nusd;
	c->nusd = f->amount_nusd - c->before_nusd;
	f->ok = insert(f->store, c, f->err) && usage_correct(f->store, r, c, f->err);
	return false;
}

bool correction_put(struct store *s, struct correction *c, int64_t amount_nusd, struct err *err)
{
	struct found f = {.store = s, .c = c, .amount_nusd = amount_nusd, .err = err};
	bool found = false;

	if (!request_find(s, &c->request_id, on_request, &f, &found, err))
		return false;
	if (!found)
		return err_set(err, ERR_NOT_FOUND, "there is no request of that id");
	if (!f.final)
		return err_set(err, ERR_CONFLICT,
			"the request has not ended: it can be corrected when it has");
	return f.ok;
}
