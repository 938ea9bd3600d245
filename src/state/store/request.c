/* SPDX-License-Identifier: Apache-2.0 */
#include "state/store/row.h"

static const char *const basis_names[BASIS_COUNT] = {[BASIS_NONE] = "none",
	[BASIS_PROVIDER_FINAL] = "provider_final",
	[BASIS_PROVIDER_PARTIAL] = "provider_partial",
	[BASIS_GATEWAY_COUNT] = "gateway_count",
	[BASIS_CRASH] = "crash_estimate",
	[BASIS_HOLD] = "hold",
	[BASIS_CACHE] = "cache"};
static const char *const outcome_names[OUTCOME_COUNT] = {[OUTCOME_OK] = "ok",
	[OUTCOME_CLIENT_ERROR] = "client_error",
	[OUTCOME_PROVIDER_ERROR] = "provider_error",
	[OUTCOME_GATEWAY_ERROR] = "gateway_error",
	[OUTCOME_CANCELLED] = "cancelled",
	[OUTCOME_INTERRUPTED] = "interrupted",
	[OUTCOME_CRASHED] = "crashed"};

const char *request_basis_name(enum request_basis b)
{
	return basis_names[b];
}

const char *request_outcome_name(enum request_outcome o)
{
	return outcome_names[o];
}

static bool find_name(const char *const *names, int n, struct span text, int *found)
{
	for (int i = 0; i < n; i++) {
		if (span_is(text, names[i])) {
			*found = i;
			return true;
		}
	}
	return false;
}

static struct db_value text_or_null(struct span s)
{
	return s.n > 0 ? db_text(s) : db_null();
}

/* Every column of the table, in the order of request_put's values. */
#define COLUMNS                                                                                    \
	"id, final, key_id, started_ms, duration_us, first_token_us, overhead_us, op, "            \
	"model_asked, provider, model_served, user_id, trace_id, tags, extra, referer, title, "    \
	"upstream_id, status, attempts, stream, outcome, basis, usage_present, input_uncached, "   \
	"cache_read, cache_write_5m, cache_write_1h, input_audio, output, reasoning, "             \
	"output_audio, cost_nusd, sound_ms, characters, pictures, member_id, group_id, "           \
	"project_id, price_id, overrun, tool"
/* Behind them, of the price that it was settled by; -1 each where there is none. */
#define PRICE_COLUMNS                                                                              \
	", source, above_tokens, nusd_input, nusd_output, nusd_cache_read, nusd_cache_write_5m, "  \
	"nusd_cache_write_1h, nusd_input_audio, nusd_output_audio, nusd_characters, "              \
	"nusd_sound_hour, nusd_picture"
#define FROM " FROM request LEFT JOIN price ON digest = price_id "
#define N_COLUMNS 42

/*
 * A final row replaces a checkpoint whole (it may be of another attempt, at another provider), and
 * is never replaced itself: a batch that is ingested twice changes nothing. A late checkpoint, from
 * a second reading of the journal, replaces only checkpoints.
 */
static const char put_sql[] =
	"INSERT INTO request (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "
	"?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, "
	"?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38, ?39, ?40, ?41, ?42) ON CONFLICT (id) DO "
	"UPDATE SET (" COLUMNS ") = (?1, ?2, ?3, ?4, ?5, "
	"?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, "
	"?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38, ?39, ?40, "
	"?41, ?42) WHERE "
	"request.final = 0";

static bool put(struct store *s, const struct request_row *r, bool final, const struct id *price_id,
	struct err *err)
{
	const struct llm_usage *u = &r->usage;
	const struct db_value v[] = {db_blob(span_from(r->id.bytes, sizeof(r->id.bytes))),
		db_int(final), db_blob(span_from(r->key_id.bytes, sizeof(r->key_id.bytes))),
		db_int(r->started_ms), db_int(r->duration_us),
		r->first_token_us >= 0 ? db_int(r->first_token_us) : db_null(),
		db_int(r->overhead_us), db_text(r->op), db_text(r->model_asked),
		db_text(r->provider), db_text(r->model_served), text_or_null(r->user_id),
		text_or_null(r->trace_id), text_or_null(r->tags), text_or_null(r->extra),
		text_or_null(r->referer), text_or_null(r->title), text_or_null(r->upstream_id),
		db_int(r->status), db_int(r->attempts), db_int(r->stream),
		db_text(span_of(outcome_names[r->outcome])),
		db_text(span_of(basis_names[r->basis])), db_int(u->present),
		db_int(u->input_uncached), db_int(u->cache_read), db_int(u->cache_write_5m),
		db_int(u->cache_write_1h), db_int(u->input_audio), db_int(u->output),
		db_int(u->reasoning), db_int(u->output_audio),
		r->cost_nusd != COST_UNKNOWN ? db_int(r->cost_nusd) : db_null(),
		db_int(u->sound_ms), db_int(u->characters), db_int(u->pictures),
		db_id_or_empty(&r->owners.user_id), db_id_or_empty(&r->owners.group_id),
		db_id_or_empty(&r->owners.project_id), db_id_or_empty(price_id), db_int(r->overrun),
		db_text(r->tool)};

	return db_run(s->db, put_sql, v, sizeof(v) / sizeof(v[0]), NULL, NULL, err);
}

bool request_put(struct store *s, const struct request_row *r, bool final, struct err *err)
{
	struct id price_id;

	if (!price_put(s, r->price_source, &r->price, &price_id, err) ||
		!put(s, r, final, &price_id, err))
		return false;
	/* A final row that was there already changed nothing, and is in the sums. */
	return !final || db_changes(s->db) == 0 || usage_add(s, r, err);
}

struct each_request {
	bool (*each)(void *user, const struct request_row *r, bool final);
	void *user;
	bool damaged, seen;
};

static void read_usage(const struct db_row *r, struct llm_usage *u)
{
	u->present = db_get_int(r, 23) != 0;
	u->input_uncached = db_get_int(r, 24);
	u->cache_read = db_get_int(r, 25);
	u->cache_write_5m = db_get_int(r, 26);
	u->cache_write_1h = db_get_int(r, 27);
	u->input_audio = db_get_int(r, 28);
	u->output = db_get_int(r, 29);
	u->reasoning = db_get_int(r, 30);
	u->output_audio = db_get_int(r, 31);
	u->sound_ms = db_get_int(r, 33);
	u->characters = db_get_int(r, 34);
	u->pictures = db_get_int(r, 35);
}

static bool find_source(struct span name, enum llm_price_source *out)
{
	for (int i = LLM_PRICE_CATALOG; i < LLM_PRICE_SOURCE_COUNT; i++)
		if (span_is(name, llm_price_source_name((enum llm_price_source)i))) {
			*out = (enum llm_price_source)i;
			return true;
		}
	return false;
}

static void read_price(const struct db_row *r, struct request_row *row)
{
	const int at = N_COLUMNS + 1;

	if (db_is_null(r, N_COLUMNS) || !find_source(db_get_text(r, N_COLUMNS), &row->price_source))
		return;
	row->price = (struct llm_price){.above_tokens = db_get_int(r, at),
		.input = db_get_int(r, at + 1),
		.output = db_get_int(r, at + 2),
		.cache_read = db_get_int(r, at + 3),
		.cache_write_5m = db_get_int(r, at + 4),
		.cache_write_1h = db_get_int(r, at + 5),
		.input_audio = db_get_int(r, at + 6),
		.output_audio = db_get_int(r, at + 7),
		.characters = db_get_int(r, at + 8),
		.sound_hour = db_get_int(r, at + 9),
		.picture = db_get_int(r, at + 10)};
}

static bool on_request(void *user, const struct db_row *r)
{
	struct each_request *e = user;
	struct request_row row = {.started_ms = db_get_int(r, 3),
		.duration_us = db_get_int(r, 4),
		.first_token_us = db_is_null(r, 5) ? -1 : db_get_int(r, 5),
		.overhead_us = db_get_int(r, 6),
		.op = db_get_text(r, 7),
		.model_asked = db_get_text(r, 8),
		.provider = db_get_text(r, 9),
		.model_served = db_get_text(r, 10),
		.user_id = db_get_text(r, 11),
		.trace_id = db_get_text(r, 12),
		.tags = db_get_text(r, 13),
		.extra = db_get_text(r, 14),
		.referer = db_get_text(r, 15),
		.title = db_get_text(r, 16),
		.upstream_id = db_get_text(r, 17),
		.status = (int)db_get_int(r, 18),
		.attempts = (int)db_get_int(r, 19),
		.stream = db_get_int(r, 20) != 0,
		.cost_nusd = db_is_null(r, 32) ? COST_UNKNOWN : db_get_int(r, 32),
		.overrun = db_get_int(r, 40) != 0,
		.tool = db_get_text(r, 41)};
	struct span id = db_get_blob(r, 0), key_id = db_get_blob(r, 2);
	int outcome, basis;

	e->seen = true;
	read_price(r, &row);
	e->damaged = id.n != sizeof(row.id.bytes) || key_id.n != sizeof(row.key_id.bytes) ||
		     !row_id(r, 36, &row.owners.user_id) || !row_id(r, 37, &row.owners.group_id) ||
		     !row_id(r, 38, &row.owners.project_id) ||
		     !find_name(outcome_names, OUTCOME_COUNT, db_get_text(r, 21), &outcome) ||
		     !find_name(basis_names, BASIS_COUNT, db_get_text(r, 22), &basis);
	if (e->damaged)
		return false;
	memcpy(row.id.bytes, id.p, id.n);
	memcpy(row.key_id.bytes, key_id.p, key_id.n);
	row.outcome = (enum request_outcome)outcome;
	row.basis = (enum request_basis)basis;
	read_usage(r, &row.usage);
	return e->each(e->user, &row, db_get_int(r, 1) != 0);
}

bool request_each(struct store *s, int64_t from_ms, int limit,
	bool (*each)(void *user, const struct request_row *r, bool final), void *user,
	struct err *err)
{
	static const uint8_t zeros[10];
	struct each_request e = {.each = each, .user = user};
	struct id from;
	const struct db_value v[] = {
		db_blob(span_from(from.bytes, sizeof(from.bytes))), db_int(from_ms), db_int(limit)};

	/* Ids are made when their request comes: none is older than the time in its row. */
	id_make(&from, from_ms, zeros);
	memset(from.bytes + 6, 0, 10);

	if (!db_run(s->db,
		    "SELECT " COLUMNS PRICE_COLUMNS FROM
		    "WHERE id >= ?1 AND started_ms >= ?2 ORDER BY id LIMIT ?3",
		    v, 3, on_request, &e, err))
		return false;
	return !e.damaged || err_set(err, ERR_CORRUPT, "a row of the table request is damaged");
}

bool request_find(struct store *s, const struct id *id,
	bool (*each)(void *user, const struct request_row *r, bool final), void *user, bool *found,
	struct err *err)
{
	struct each_request e = {.each = each, .user = user};
	const struct db_value v[] = {db_id(id)};

	if (!db_run(s->db, "SELECT " COLUMNS PRICE_COLUMNS FROM "WHERE id = ?1", v, 1, on_request,
		    &e, err))
		return false;
	*found = e.seen;
	return !e.damaged || err_set(err, ERR_CORRUPT, "a row of the table request is damaged");
}

bool request_list(struct store *s, const struct request_query *q,
	bool (*each)(void *user, const struct request_row *r, bool final), void *user,
	struct err *err)
{
	struct each_request e = {.each = each, .user = user};
	bool all = id_is_none(&q->key_id);
	struct id before = q->before;
	const struct db_value v[] = {db_blob(span_from(before.bytes, sizeof(before.bytes))),
		db_int(q->limit), db_id(&q->key_id)};

	if (id_is_none(&before))
		memset(before.bytes, 0xff, sizeof(before.bytes));
	if (!db_run(s->db,
		    all ? "SELECT " COLUMNS PRICE_COLUMNS FROM
			  "WHERE id < ?1 ORDER BY id DESC LIMIT ?2"
			: "SELECT " COLUMNS PRICE_COLUMNS FROM
			  "WHERE key_id = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2",
		    v, all ? 2 : 3, on_request, &e, err))
		return false;
	return !e.damaged || err_set(err, ERR_CORRUPT, "a row of the table request is damaged");
}

struct opened {
	struct store *store;
	struct err *err;
};

static bool on_open(void *user, const struct request_row *r, bool final)
{
	struct opened *o = user;

	return usage_add(o->store, r, o->err);
}

/* What is about to become final belongs into the sums. */
static bool each_open(struct store *s, struct err *err)
{
	struct opened o = {s, err};
	struct each_request e = {.each = on_open, .user = &o};

	return db_run(s->db, "SELECT " COLUMNS PRICE_COLUMNS FROM "WHERE final = 0", NULL, 0,
		       on_request, &e, err) &&
	       (!e.damaged || err_set(err, ERR_CORRUPT, "a row of the table request is damaged")) &&
	       (err == NULL || err->code == ERR_OK);
}

bool request_close_open(struct store *s, int64_t *closed, struct err *err)
{
	const struct db_value v[] = {db_text(span_of(outcome_names[OUTCOME_CRASHED])),
		db_text(span_of(basis_names[BASIS_CRASH]))};

	if (!store_begin(s, err))
		return false;
	if (each_open(s, err) &&
		db_run(s->db,
			"UPDATE request SET final = 1, outcome = ?1, basis = ?2 WHERE final = 0", v,
			2, NULL, NULL, err)) {
		*closed = db_changes(s->db);
		if (store_commit(s, err))
			return true;
	}
	store_rollback(s);
	return false;
}

static bool on_sum(void *user, const struct db_row *r)
{
	struct request_sum *sum = user;

	*sum = (struct request_sum){.rows = db_get_int(r, 0),
		.cost_nusd = db_get_int(r, 1),
		.unpriced = db_get_int(r, 2)};
	sum->usage = (struct llm_usage){.present = true,
		.input_uncached = db_get_int(r, 3),
		.cache_read = db_get_int(r, 4),
		.cache_write_5m = db_get_int(r, 5),
		.cache_write_1h = db_get_int(r, 6),
		.input_audio = db_get_int(r, 7),
		.output = db_get_int(r, 8),
		.reasoning = db_get_int(r, 9),
		.output_audio = db_get_int(r, 10)};
	return true;
}

bool request_sum(struct store *s, struct request_sum *out, struct err *err)
{
	return db_run(s->db,
		"SELECT count(*), coalesce(sum(cost_nusd), 0), count(*) - count(cost_nusd), "
		"coalesce(sum(input_uncached), 0), coalesce(sum(cache_read), 0), "
		"coalesce(sum(cache_write_5m), 0), coalesce(sum(cache_write_1h), 0), "
		"coalesce(sum(input_audio), 0), coalesce(sum(output), 0), coalesce(sum(reasoning), "
		"0), "
		"coalesce(sum(output_audio), 0) FROM request",
		NULL, 0, on_sum, out, err);
}
