/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/buf.h"
#include "machine/crypto/hash.h"
#include "state/store/row.h"

static void add_int(struct buf *b, int64_t v)
{
	for (int i = 0; i < 8; i++)
		buf_append_char(b, (char)((uint64_t)v >> (8 * i)));
}

/* With its length, so that no two rows are the same bytes. */
static void add_text(struct buf *b, struct span s)
{
	add_int(b, (int64_t)s.n);
	buf_append(b, s);
}

static bool hash_row(const uint8_t before[32], const struct audit_row *r, uint8_t out[32])
{
	struct buf b;
	bool ok;

	buf_init(&b, 16u << 20);
	buf_append(&b, span_from(before, 32));
	add_int(&b, r->seq);
	add_int(&b, r->at_ms);
	add_text(&b, r->actor);
	add_text(&b, r->source);
	add_text(&b, r->action);
	buf_append(&b, span_from(r->target.bytes, sizeof(r->target.bytes)));
	add_text(&b, r->old);
	add_text(&b, r->new);
	ok = !b.failed;
	if (ok)
		hash_sha256(buf_span(&b), out);
	buf_done(&b);
	return ok;
}

struct each_audit {
	bool (*each)(void *user, const struct audit_row *r);
	void *user;
	bool damaged;
};

static bool on_audit(void *user, const struct db_row *r)
{
	struct each_audit *e = user;
	struct span hash = db_get_blob(r, 8);
	struct audit_row row = {.seq = db_get_int(r, 0),
		.at_ms = db_get_int(r, 1),
		.actor = db_get_text(r, 2),
		.source = db_get_text(r, 3),
		.action = db_get_text(r, 4),
		.old = db_get_text(r, 6),
		.new = db_get_text(r, 7)};

	e->damaged = !row_id(r, 5, &row.target) || hash.n != sizeof(row.hash);
	if (e->damaged)
		return false;
	memcpy(row.hash, hash.p, hash.n);
	return e->each(e->user, &row);
}

bool audit_each(struct store *s, int64_t from, int limit, bool backward,
	bool (*each)(void *user, const struct audit_row *r), void *user, struct err *err)
{
	const struct db_value v[] = {db_int(from), db_int(limit)};
	struct each_audit e = {.each = each, .user = user};

	return db_run(s->db,
		       backward ? "SELECT * FROM audit WHERE seq <= ?1 ORDER BY seq DESC LIMIT ?2"
				: "SELECT * FROM audit WHERE seq >= ?1 ORDER BY seq LIMIT ?2",
		       v, 2, on_audit, &e, err) &&
	       (!e.damaged || err_set(err, ERR_CORRUPT, "a row of the table audit is damaged"));
}

static bool keep_last(void *user, const struct audit_row *r)
{
	struct audit_row *last = user;

	last->seq = r->seq;
	memcpy(last->hash, r->hash, sizeof(r->hash));
	return true;
}

bool audit_append(struct store *s, struct audit_row *r, struct err *err)
{
	struct audit_row last = {.seq = 0};

	if (!audit_each(s, INT64_MAX, 1, true, keep_last, &last, err))
		return false;
	r->seq = last.seq + 1;
	if (!hash_row(last.hash, r, r->hash))
		return err_set(err, ERR_NO_MEMORY, NULL);

	const struct db_value v[] = {db_int(r->seq), db_int(r->at_ms), db_text(r->actor),
		db_text(r->source), db_text(r->action), db_id_or_empty(&r->target), db_text(r->old),
		db_text(r->new), db_blob(span_from(r->hash, sizeof(r->hash)))};

	return db_run(s->db, "INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)", v, 9,
		NULL, NULL, err);
}

#define VERIFY_ROWS 1000

struct verify {
	uint8_t before[32];
	int64_t rows, broken;
};

static bool check(void *user, const struct audit_row *r)
{
	struct verify *v = user;
	uint8_t hash[32];

	if (!hash_row(v->before, r, hash) || r->seq != v->rows + 1 ||
		memcmp(hash, r->hash, sizeof(hash)) != 0) {
		v->broken = r->seq;
		return false;
	}
	memcpy(v->before, hash, sizeof(hash));
	v->rows++;
	return true;
}

bool audit_verify(
	struct store *s, int64_t *rows, int64_t *broken, uint8_t last[32], struct err *err)
{
	struct verify v = {.rows = 0};
	int64_t before;

	/* A part at a time: PostgreSQL's answers are held whole. */
	do {
		before = v.rows;
		if (!audit_each(s, before + 1, VERIFY_ROWS, false, check, &v, err))
			return false;
	} while (v.broken == 0 && v.rows > before);
	*rows = v.rows;
	*broken = v.broken;
	memcpy(last, v.before, sizeof(v.before));
	return true;
}

/* ---- the ledger ---- */

static bool on_counts(void *user, const struct db_row *r)
{
	struct ledger_audit *a = user;

	a->requests = db_get_int(r, 0);
	a->open = db_get_int(r, 1);
	a->cost_nusd = db_get_int(r, 2);
	a->unpriced = db_get_int(r, 3);
	a->negative = db_get_int(r, 4);
	a->groundless = db_get_int(r, 5);
	return true;
}

static bool on_number(void *user, const struct db_row *r)
{
	*(int64_t *)user = db_get_int(r, 0);
	return true;
}

static bool on_corrections(void *user, const struct db_row *r)
{
	struct ledger_audit *a = user;

	a->corrections = db_get_int(r, 0);
	a->corrected_nusd = db_get_int(r, 1);
	return true;
}

/* By period and key: what usage has, less the requests, less their corrections. */
#define WRONG_SUMS(table, ms)                                                                      \
	"SELECT count(*) FROM (SELECT at, key_id, sum(n) a, sum(cost) b, sum(unpriced) c, "        \
	"sum(input) d, sum(output) e FROM (SELECT at_ms at, key_id, requests n, cost_nusd cost, "  \
	"unpriced, input, output FROM " table " UNION ALL SELECT started_ms / " ms " * " ms        \
	", key_id, -1, -coalesce(cost_nusd, 0), CASE WHEN cost_nusd IS NULL THEN -1 ELSE 0 END, "  \
	"-(input_uncached + cache_read + cache_write_5m + cache_write_1h + input_audio), -output " \
	"FROM request WHERE final = 1 UNION ALL SELECT started_ms / " ms " * " ms                  \
	", key_id, 0, -nusd, priced, 0, 0 FROM correction JOIN request ON request.id = "           \
	"request_id) AS parts GROUP BY 1, 2) AS sums WHERE a <> 0 OR b <> 0 OR c <> 0 OR d <> 0 "  \
	"OR e <> 0"

bool audit_ledger(struct store *s, struct ledger_audit *out, struct err *err)
{
	int64_t days = 0;

	*out = (struct ledger_audit){0};
	return db_run(s->db,
		       "SELECT coalesce(sum(final), 0), count(*) - coalesce(sum(final), 0), "
		       "coalesce(sum(CASE final WHEN 1 THEN cost_nusd END), 0), coalesce(sum(CASE "
		       "WHEN final = 1 AND cost_nusd IS NULL THEN 1 ELSE 0 END), 0), "
		       "coalesce(sum(CASE WHEN cost_nusd < 0 OR input_uncached < 0 OR cache_read < "
		       "0 "
		       "OR cache_write_5m < 0 OR cache_write_1h < 0 OR input_audio < 0 OR output < "
		       "0 "
		       "OR reasoning < 0 OR output_audio < 0 THEN 1 ELSE 0 END), 0), "
		       "coalesce(sum(CASE WHEN cost_nusd > 0 AND basis = 'none' THEN 1 ELSE 0 "
		       "END), "
		       "0) FROM request",
		       NULL, 0, on_counts, out, err) &&
	       db_run(s->db, "SELECT count(*), coalesce(sum(nusd), 0) FROM correction", NULL, 0,
		       on_corrections, out, err) &&
	       db_run(s->db, WRONG_SUMS("usage_hour", "3600000"), NULL, 0, on_number,
		       &out->wrong_sums, err) &&
	       db_run(s->db, WRONG_SUMS("usage_day", "86400000"), NULL, 0, on_number, &days, err) &&
	       (out->wrong_sums += days, true);
}
