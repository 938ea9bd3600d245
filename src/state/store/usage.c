/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include "machine/base/buf.h"
#include "machine/base/text.h"
#include "state/store/row.h"

#define MINUTE_MS 60000
#define HOUR_MS 3600000
#define DAY_MS 86400000
#define MAX_SUMS 64
#define MAX_TEXT 256

/* What is the same for all requests of one sum. */
struct place {
	int64_t minute_ms;
	int64_t status_class;
	struct id key_id;
	struct key_owners owners;
	struct span op, model_asked, provider, model_served, user_id, tool;
};

struct sum {
	struct place place; /* spans into texts */
	char texts[6 * MAX_TEXT];
	struct usage_sum v;
};

/* Requests of one batch differ in few of these: they are summed here, and written once. */
struct usage_batch {
	int n, last;
	struct sum sums[MAX_SUMS];
};

struct usage_batch *usage_batch_new(void)
{
	return calloc(1, sizeof(struct usage_batch));
}

static struct place place_of(const struct request_row *r)
{
	return (struct place){.minute_ms = r->started_ms / MINUTE_MS * MINUTE_MS,
		.status_class = r->status / 100,
		.key_id = r->key_id,
		.owners = r->owners,
		.op = text_head(r->op, MAX_TEXT),
		.model_asked = text_head(r->model_asked, MAX_TEXT),
		.provider = text_head(r->provider, MAX_TEXT),
		.model_served = text_head(r->model_served, MAX_TEXT),
		.user_id = text_head(r->user_id, MAX_TEXT),
		.tool = text_head(r->tool, MAX_TEXT)};
}

static bool is_same(const struct place *a, const struct place *b)
{
	return a->minute_ms == b->minute_ms && a->status_class == b->status_class &&
	       memcmp(&a->key_id, &b->key_id, sizeof(a->key_id)) == 0 &&
	       memcmp(&a->owners, &b->owners, sizeof(a->owners)) == 0 && span_eq(a->op, b->op) &&
	       span_eq(a->model_asked, b->model_asked) && span_eq(a->provider, b->provider) &&
	       span_eq(a->model_served, b->model_served) && span_eq(a->user_id, b->user_id) &&
	       span_eq(a->tool, b->tool);
}

static struct span keep(struct sum *s, int at, struct span text)
{
	char *to = s->texts + (size_t)at * MAX_TEXT;

	memcpy(to, text.n > 0 ? text.p : "", text.n);
	return span_from(to, text.n);
}

static struct sum *begin(struct usage_batch *b, const struct place *p)
{
	struct sum *s = &b->sums[b->n];

	s->place = (struct place){.minute_ms = p->minute_ms,
		.status_class = p->status_class,
		.key_id = p->key_id,
		.owners = p->owners,
		.op = keep(s, 0, p->op),
		.model_asked = keep(s, 1, p->model_asked),
		.provider = keep(s, 2, p->provider),
		.model_served = keep(s, 3, p->model_served),
		.user_id = keep(s, 4, p->user_id),
		.tool = keep(s, 5, p->tool)};
	s->v = (struct usage_sum){0};
	b->last = b->n++;
	return s;
}

static struct sum *find(struct usage_batch *b, const struct place *p)
{
	if (b->n > 0 && is_same(&b->sums[b->last].place, p))
		return &b->sums[b->last];
	for (int i = 0; i < b->n; i++)
		if (is_same(&b->sums[i].place, p)) {
			b->last = i;
			return &b->sums[i];
		}
	return NULL;
}

/* The same for every table of sums. */
#define PUT(table)                                                                                 \
	"INSERT INTO " table " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, "   \
	"?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22) ON CONFLICT (at_ms, key_id, op, "            \
	"model_asked, provider, model_served, user_id, member_id, group_id, project_id, "          \
	"status_class, tool) DO UPDATE SET requests = " table ".requests + ?14, "                  \
	"failed = " table ".failed + ?15, input = " table ".input + ?16, "                         \
	"cache_read = " table ".cache_read + ?17, cache_write = " table ".cache_write + ?18, "     \
	"output = " table ".output + ?19, reasoning = " table ".reasoning + ?20, "                 \
	"cost_nusd = " table ".cost_nusd + ?21, unpriced = " table ".unpriced + ?22"

/* What a request is to those who read usage; counting tokens is none. */
static int kind_of(struct span op)
{
	static const struct {
		const char *op;
		int kind;
	} kinds[] = {{"chat", 1}, {"messages", 1}, {"responses", 1}, {"embeddings", 2},
		{"images", 3}, {"image_edits", 3}, {"speech", 4}, {"transcriptions", 5},
		{"translations", 5}, {"count_tokens", 0}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (span_is(op, kinds[i].op))
			return kinds[i].kind;
	return 6;
}

static const struct {
	const char *put;
	int64_t ms;
	bool by_user;
} tables[] = {{PUT("usage_minute"), MINUTE_MS, true}, {PUT("usage_hour"), HOUR_MS, true},
	{PUT("usage_day"), DAY_MS, false}};

static bool write_sum(struct store *store, const struct sum *s, struct err *err)
{
	const struct place *p = &s->place;
	const struct usage_sum *u = &s->v;
	struct db_value v[] = {db_null(),
		db_blob(span_from(p->key_id.bytes, sizeof(p->key_id.bytes))), db_text(p->op),
		db_text(p->model_asked), db_text(p->provider), db_text(p->model_served), db_null(),
		db_id_or_empty(&p->owners.user_id), db_id_or_empty(&p->owners.group_id),
		db_id_or_empty(&p->owners.project_id), db_int(p->status_class), db_text(p->tool),
		db_int(kind_of(p->op)), db_int(u->requests), db_int(u->failed), db_int(u->input),
		db_int(u->cache_read), db_int(u->cache_write), db_int(u->output),
		db_int(u->reasoning), db_int(u->cost_nusd), db_int(u->unpriced)};

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		v[0] = db_int(p->minute_ms / tables[i].ms * tables[i].ms);
		v[6] = db_text(tables[i].by_user ? p->user_id : SPAN(""));
		if (!db_run(store->db, tables[i].put, v, sizeof(v) / sizeof(v[0]), NULL, NULL, err))
			return false;
	}
	return true;
}

bool usage_flush(struct store *s, struct err *err)
{
	struct usage_batch *b = s->batch;
	bool ok = true;

	for (int i = 0; ok && i < b->n; i++)
		ok = write_sum(s, &b->sums[i], err);
	b->n = 0;
	return ok;
}

void usage_forget(struct store *s)
{
	s->batch->n = 0;
}

/* NULL: the store refused. */
static struct sum *sum_of(struct store *s, const struct request_row *r, struct err *err)
{
	struct place p = place_of(r);
	struct sum *sum = find(s->batch, &p);

	if (sum == NULL && s->batch->n == MAX_SUMS && !usage_flush(s, err))
		return NULL;
	return sum != NULL ? sum : begin(s->batch, &p);
}

bool usage_correct(
	struct store *s, const struct request_row *r, const struct correction *c, struct err *err)
{
	struct sum *sum = sum_of(s, r, err);

	if (sum == NULL)
		return false;
	sum->v.cost_nusd += c->nusd;
	sum->v.unpriced -= c->priced;
	return true;
}

bool usage_drop_minutes(
	struct store *s, int64_t before_ms, int limit, int64_t *gone, struct err *err)
{
	const struct db_value v[] = {db_int(before_ms), db_int(limit)};

	if (!db_run(s->db,
		    "DELETE FROM usage_minute WHERE at_ms < ?1 AND at_ms <= (SELECT max(at_ms) "
		    "FROM "
		    "(SELECT at_ms FROM usage_minute ORDER BY at_ms LIMIT ?2) AS oldest)",
		    v, 2, NULL, NULL, err))
		return false;
	*gone = db_changes(s->db);
	return true;
}

bool usage_add(struct store *s, const struct request_row *r, struct err *err)
{
	struct sum *sum = sum_of(s, r, err);

	if (sum == NULL)
		return false;
	sum->v.requests++;
	sum->v.failed += r->status >= 400;
	sum->v.input += llm_usage_input(&r->usage);
	sum->v.cache_read += r->usage.cache_read;
	sum->v.cache_write += r->usage.cache_write_5m + r->usage.cache_write_1h;
	sum->v.output += r->usage.output;
	sum->v.reasoning += r->usage.reasoning;
	if (r->cost_nusd == COST_UNKNOWN)
		sum->v.unpriced++;
	else
		sum->v.cost_nusd += r->cost_nusd;
	return true;
}

/* ---- reading ---- */

struct each_spent {
	bool (*each)(void *user, const struct id *key_id, const struct key_owners *o, int64_t nusd);
	void *user;
};

static bool on_spent(void *user, const struct db_row *r)
{
	struct each_spent *e = user;
	struct key_owners o;
	struct id key_id;

	return row_id(r, 0, &key_id) && row_id(r, 1, &o.user_id) && row_id(r, 2, &o.group_id) &&
	       row_id(r, 3, &o.project_id) && e->each(e->user, &key_id, &o, db_get_int(r, 4));
}

bool usage_spent(struct store *s, int64_t from_ms,
	bool (*each)(void *user, const struct id *key_id, const struct key_owners *o, int64_t nusd),
	void *user, struct err *err)
{
	const struct db_value v[] = {db_int(from_ms)};
	struct each_spent e = {each, user};

	return db_run(s->db,
		"SELECT key_id, member_id, group_id, project_id, sum(cost_nusd) FROM usage_day "
		"WHERE at_ms >= ?1 GROUP BY 1, 2, 3, 4",
		v, 1, on_spent, &e, err);
}

/* RFC 9562's text form of an id, '' of none. */
#define HEX(at, n) "substr(lower(hex(@))," #at "," #n ")"
#define UUID                                                                                       \
	"CASE length(@) WHEN 16 THEN " HEX(1, 8) "||'-'||" HEX(9, 4) "||'-'||" HEX(                \
		13, 4) "||'-'||" HEX(17, 4) "||'-'||" HEX(21, 12) " ELSE '' END"

/* The columns that usage can be grouped by, and how they are called outside. */
static const struct {
	const char *name, *sql;
	const char *shown; /* of that value, '@', once a group; NULL: as it is */
} groups[USAGE_GROUP_COUNT] = {[USAGE_BY_MODEL_ASKED] = {"model_requested", "model_asked"},
	[USAGE_BY_MODEL_SERVED] = {"model_used", "provider || '/' || model_served"},
	[USAGE_BY_PROVIDER] = {"provider_used", "provider"},
	[USAGE_BY_USER] = {"user_id", "user_id"},
	[USAGE_BY_KEY] = {"api_key_id", "key_id", UUID},
	[USAGE_BY_MEMBER] = {"member_id", "member_id", UUID},
	[USAGE_BY_GROUP] = {"group_id", "group_id", UUID},
	[USAGE_BY_GROUP_NAME] = {"group_name",
		"coalesce((SELECT name FROM scope WHERE id = sums.group_id), '')", NULL},
	[USAGE_BY_PROJECT] = {"project_id", "project_id", UUID},
	[USAGE_BY_STATUS] = {"status", "CAST(status_class AS TEXT) || 'xx'"},
	[USAGE_BY_TOOL] = {"tool", "tool"},
	[USAGE_BY_TITLE] = {"origin_title", "tool"}};

const char *usage_group_name(enum usage_group g)
{
	return groups[g].name;
}

bool usage_group_read(struct span name, enum usage_group *out)
{
	for (int i = 0; i < USAGE_GROUP_COUNT; i++)
		if (span_is(name, groups[i].name)) {
			*out = (enum usage_group)i;
			return true;
		}
	return false;
}

static const char *const buckets[] = {[USAGE_HOURS] = "at_ms",
	[USAGE_MINUTES] = "at_ms",
	[USAGE_DAYS] = "at_ms / 86400000 * 86400000",
	[USAGE_MONTHS] = NULL /* as the driver has it */};

struct each_sum {
	bool (*each)(void *user, const struct usage_row *r);
	void *user;
};

static bool on_sum(void *user, const struct db_row *r)
{
	struct each_sum *e = user;
	struct usage_row row = {.bucket_ms = db_get_int(r, 0),
		.chat = db_get_int(r, 1),
		.embeddings = db_get_int(r, 2),
		.images = db_get_int(r, 3),
		.speech = db_get_int(r, 4),
		.transcriptions = db_get_int(r, 5)};

	row.sum = (struct usage_sum){.requests = db_get_int(r, 6),
		.failed = db_get_int(r, 7),
		.input = db_get_int(r, 8),
		.cache_read = db_get_int(r, 9),
		.cache_write = db_get_int(r, 10),
		.output = db_get_int(r, 11),
		.reasoning = db_get_int(r, 12),
		.cost_nusd = db_get_int(r, 13),
		.unpriced = db_get_int(r, 14)};
	for (int i = 0; i < USAGE_MAX_GROUPS; i++)
		row.group[i] = db_get_text(r, 15 + i);
	return e->each(e->user, &row);
}

static const char days_and_edges[] =
	"(SELECT * FROM usage_day WHERE at_ms >= ?5 AND at_ms < ?6 UNION ALL SELECT * FROM "
	"usage_hour WHERE at_ms >= ?1 AND at_ms < ?5 UNION ALL SELECT * FROM usage_hour WHERE "
	"at_ms >= ?6 AND at_ms < ?2)";

/*
 * Days stand for their hours where they lie within the time asked for; what a day does not know
 * (the caller's own user) is read from hours.
 */
static const char *source_of(const struct usage_query *q, int64_t day_ms, int64_t end_ms)
{
	bool by_user = false;

	for (int i = 0; i < q->n_groups; i++)
		by_user = by_user || q->groups[i] == USAGE_BY_USER;
	if (q->resolution == USAGE_MINUTES)
		return "usage_minute";
	if (q->resolution == USAGE_HOURS || by_user || day_ms >= end_ms)
		return "usage_hour";
	return day_ms == q->from_ms && end_ms == q->to_ms ? "usage_day" : days_and_edges;
}

/* Into an inner statement that sums, and an outer one that formats what is left of the rows. */
static void write_query(
	struct db *db, const struct usage_query *q, const char *from, const char *of, struct buf *b)
{
	const char *bucket = buckets[q->resolution];

	if (bucket == NULL)
		bucket = db_month_of_at_ms(db);
	if (q->resolution == USAGE_DAYS && strcmp(from, "usage_day") == 0)
		bucket = "at_ms";
	buf_append_cstr(b,
		"SELECT b, n1, n2, n3, n4, n5, n, failed, input, cache_read, cache_write, "
		"output, reasoning, cost, unpriced");
	for (int i = 0; i < USAGE_MAX_GROUPS; i++) {
		const char *shown = i < q->n_groups ? groups[q->groups[i]].shown : "''";

		buf_append_cstr(b, ", ");
		for (const char *c = shown != NULL ? shown : "@"; *c != '\0'; c++)
			if (*c == '@')
				buf_printf(b, "g%d", i);
			else
				buf_append_char(b, *c);
	}
	buf_printf(b, " FROM (SELECT %s AS b", bucket);
	for (int kind = 1; kind <= 5; kind++)
		buf_printf(
			b, ", sum(CASE kind WHEN %d THEN requests ELSE 0 END) AS n%d", kind, kind);
	buf_append_cstr(b,
		", sum(requests) AS n, sum(failed) AS failed, sum(input) AS input, sum(cache_read) "
		"AS cache_read, sum(cache_write) AS cache_write, sum(output) AS output, "
		"sum(reasoning) AS reasoning, sum(cost_nusd) AS cost, sum(unpriced) AS unpriced");
	for (int i = 0; i < q->n_groups; i++)
		buf_printf(b, ", %s AS g%d", groups[q->groups[i]].sql, i);
	buf_printf(b,
		" FROM %s AS sums WHERE (CAST(?3 AS BLOB) IS NULL OR key_id = ?3) AND kind > 0 AND "
		"%s AND at_ms "
		">= ?1 AND at_ms < ?2 GROUP BY 1",
		from, of);
	for (int i = 0; i < q->n_groups; i++)
		buf_printf(b, ", %d", 16 + i);
	buf_append_cstr(b, ") AS grouped ORDER BY b, cost DESC");
	buf_append_char(b, '\0');
}

bool usage_each(struct store *s, const struct usage_query *q,
	bool (*each)(void *user, const struct usage_row *r), void *user, struct err *err)
{
	struct each_sum e = {each, user};
	static const char *const of[SCOPE_END] = {[SCOPE_ORG] = "key_id <> ?4",
		[SCOPE_GROUP] = "group_id = ?4",
		[SCOPE_PROJECT] = "project_id = ?4",
		[SCOPE_USER] = "member_id = ?4",
		[SCOPE_ACCOUNT] = "key_id IN (SELECT id FROM key WHERE account_id = ?4)"};
	bool all = q->scope == 0 || q->scope == SCOPE_ORG;
	const char *from;
	struct buf sql;
	bool ok;
	int64_t day_ms = (q->from_ms + DAY_MS - 1) / DAY_MS * DAY_MS,
		end_ms = q->to_ms / DAY_MS * DAY_MS;
	const struct db_value v[] = {db_int(q->from_ms), db_int(q->to_ms),
		q->key_id != NULL ? db_id(q->key_id) : db_null(),
		db_blob(span_from(q->scope_id.bytes, all ? 0 : sizeof(q->scope_id.bytes))),
		db_int(day_ms), db_int(end_ms)};

	from = source_of(q, day_ms, end_ms);
	buf_init(&sql, 16384);
	write_query(s->db, q, from, of[all ? SCOPE_ORG : q->scope], &sql);
	ok = sql.failed
		     ? err_set(err, ERR_NO_MEMORY, NULL)
		     : db_run(s->db, sql.mem, v, from == days_and_edges ? 6 : 4, on_sum, &e, err);
	buf_done(&sql);
	return ok;
}
