/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include "state/store/row.h"

#define HOUR_MS 3600000
#define MAX_SUMS 64
#define MAX_TEXT 256

/* What is the same for all requests of one sum. */
struct place {
	int64_t hour_ms;
	struct id key_id;
	struct key_owners owners;
	struct span op, model_asked, provider, model_served, user_id;
};

struct sum {
	struct place place; /* spans into texts */
	char texts[5 * MAX_TEXT];
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

static struct span cut(struct span s)
{
	return span_head(s, s.n < MAX_TEXT ? s.n : MAX_TEXT);
}

static struct place place_of(const struct request_row *r)
{
	return (struct place){.hour_ms = r->started_ms / HOUR_MS * HOUR_MS,
		.key_id = r->key_id,
		.owners = r->owners,
		.op = cut(r->op),
		.model_asked = cut(r->model_asked),
		.provider = cut(r->provider),
		.model_served = cut(r->model_served),
		.user_id = cut(r->user_id)};
}

static bool is_same(const struct place *a, const struct place *b)
{
	return a->hour_ms == b->hour_ms && memcmp(&a->key_id, &b->key_id, sizeof(a->key_id)) == 0 &&
	       memcmp(&a->owners, &b->owners, sizeof(a->owners)) == 0 && span_eq(a->op, b->op) &&
	       span_eq(a->model_asked, b->model_asked) && span_eq(a->provider, b->provider) &&
	       span_eq(a->model_served, b->model_served) && span_eq(a->user_id, b->user_id);
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

	s->place = (struct place){.hour_ms = p->hour_ms,
		.key_id = p->key_id,
		.owners = p->owners,
		.op = keep(s, 0, p->op),
		.model_asked = keep(s, 1, p->model_asked),
		.provider = keep(s, 2, p->provider),
		.model_served = keep(s, 3, p->model_served),
		.user_id = keep(s, 4, p->user_id)};
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

static bool write_sum(struct store *store, const struct sum *s, struct err *err)
{
	const struct place *p = &s->place;
	const struct usage_sum *u = &s->v;
	const struct db_value v[] = {db_int(p->hour_ms),
		db_blob(span_from(p->key_id.bytes, sizeof(p->key_id.bytes))), db_text(p->op),
		db_text(p->model_asked), db_text(p->provider), db_text(p->model_served),
		db_text(p->user_id), db_id_or_empty(&p->owners.user_id),
		db_id_or_empty(&p->owners.group_id), db_id_or_empty(&p->owners.project_id),
		db_int(u->requests), db_int(u->failed), db_int(u->input), db_int(u->cache_read),
		db_int(u->cache_write), db_int(u->output), db_int(u->reasoning),
		db_int(u->cost_nusd), db_int(u->unpriced)};

	return db_run(store->db,
		"INSERT INTO usage_hour VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, "
		"?13, ?14, ?15, ?16, ?17, ?18, ?19) ON CONFLICT (hour_ms, key_id, op, model_asked, "
		"provider, model_served, user_id, member_id, group_id, project_id) DO UPDATE SET "
		"requests = usage_hour.requests + ?11, failed = usage_hour.failed + ?12, input = "
		"usage_hour.input + ?13, "
		"cache_read = usage_hour.cache_read + ?14, cache_write = usage_hour.cache_write + "
		"?15, "
		"output = usage_hour.output + ?16, reasoning = usage_hour.reasoning + ?17, "
		"cost_nusd = usage_hour.cost_nusd + ?18, "
		"unpriced = usage_hour.unpriced + ?19",
		v, sizeof(v) / sizeof(v[0]), NULL, NULL, err);
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

bool usage_add(struct store *s, const struct request_row *r, struct err *err)
{
	struct place p = place_of(r);
	struct sum *sum = find(s->batch, &p);

	if (sum == NULL && s->batch->n == MAX_SUMS && !usage_flush(s, err))
		return false;
	if (sum == NULL)
		sum = begin(s->batch, &p);
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
		"SELECT key_id, member_id, group_id, project_id, sum(cost_nusd) FROM usage_hour "
		"WHERE hour_ms >= ?1 GROUP BY 1, 2, 3, 4",
		v, 1, on_spent, &e, err);
}

/* RFC 9562's text form of an id, '' of none. */
#define HEX(column, at, n) "substr(lower(hex(" column "))," #at "," #n ")"
#define UUID(column)                                                                               \
	"CASE length(" column ") WHEN 16 THEN " HEX(column, 1, 8) "||'-'||" HEX(                   \
		column, 9, 4) "||"                                                                 \
			      "'-'||" HEX(column, 13, 4) "||'-'||" HEX(                            \
				      column, 17, 4) "||'-'||" HEX(column, 21, 12) " ELSE '' END"

/* The columns that usage can be grouped by, and how they are called outside. */
static const struct {
	const char *name, *sql;
} groups[USAGE_GROUP_COUNT] = {[USAGE_BY_MODEL_ASKED] = {"model_requested", "model_asked"},
	[USAGE_BY_MODEL_SERVED] = {"model_used", "provider || '/' || model_served"},
	[USAGE_BY_PROVIDER] = {"provider_used", "provider"},
	[USAGE_BY_USER] = {"user_id", "user_id"},
	[USAGE_BY_KEY] = {"api_key_id", UUID("key_id")},
	[USAGE_BY_MEMBER] = {"member_id", UUID("member_id")},
	[USAGE_BY_GROUP] = {"group_id", UUID("group_id")},
	[USAGE_BY_GROUP_NAME] = {"group_name",
		"coalesce((SELECT name FROM scope WHERE id = usage_hour.group_id), '')"},
	[USAGE_BY_PROJECT] = {"project_id", UUID("project_id")}};

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

static const char *const buckets[] = {[USAGE_HOURS] = "hour_ms",
	[USAGE_DAYS] = "hour_ms / 86400000 * 86400000",
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

bool usage_each(struct store *s, const struct usage_query *q,
	bool (*each)(void *user, const struct usage_row *r), void *user, struct err *err)
{
	struct each_sum e = {each, user};
	static const char *const of[SCOPE_END] = {[SCOPE_ORG] = "1 = 1",
		[SCOPE_GROUP] = "group_id = ?4",
		[SCOPE_PROJECT] = "project_id = ?4",
		[SCOPE_USER] = "member_id = ?4",
		[SCOPE_ACCOUNT] = "key_id IN (SELECT id FROM key WHERE account_id = ?4)"};
	const struct db_value v[] = {db_int(q->from_ms), db_int(q->to_ms),
		q->key_id != NULL ? db_id(q->key_id) : db_null(), db_id(&q->scope_id)};
	bool all = q->scope == 0 || q->scope == SCOPE_ORG;
	char columns[USAGE_MAX_GROUPS][320], sql[4096];

	for (int i = 0; i < USAGE_MAX_GROUPS; i++)
		snprintf(columns[i], sizeof(columns[i]), "%s",
			i < q->n_groups ? groups[q->groups[i]].sql : "''");
	snprintf(sql, sizeof(sql),
		"SELECT %s, sum(CASE WHEN op IN ('chat', 'messages', 'responses') THEN requests "
		"ELSE 0 END), sum(CASE op WHEN 'embeddings' THEN requests ELSE 0 END), "
		"sum(CASE WHEN op IN ('images', 'image_edits') THEN requests ELSE 0 END), "
		"sum(CASE op WHEN 'speech' THEN requests ELSE 0 END), "
		"sum(CASE WHEN op IN ('transcriptions', 'translations') THEN requests ELSE 0 END), "
		"sum(requests), sum(failed), sum(input), sum(cache_read), sum(cache_write), "
		"sum(output), sum(reasoning), sum(cost_nusd), sum(unpriced), %s, %s, %s, %s "
		"FROM usage_hour WHERE hour_ms >= ?1 AND hour_ms < ?2 AND (CAST(?3 AS BLOB) IS "
		"NULL OR key_id = "
		"?3) AND op <> 'count_tokens' AND %s GROUP BY 1, 16, 17, 18, 19 ORDER BY 1, 14 "
		"DESC",
		buckets[q->resolution] != NULL ? buckets[q->resolution]
					       : db_month_of_hour_ms(s->db),
		columns[0], columns[1], columns[2], columns[3], of[all ? SCOPE_ORG : q->scope]);
	return db_run(s->db, sql, v, all ? 3 : 4, on_sum, &e, err);
}
