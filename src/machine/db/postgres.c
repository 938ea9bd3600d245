/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "machine/db/driver.h"

#define MAX_STATEMENTS 128
#define MAX_PARAMS 64
#define MAX_SQL_BYTES (1u << 20)
#define RETRY_MS 1000 /* a server that was not there is not asked again before */

/* Types by their number in pg_type.dat. */
enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_NUMERIC = 1700
};

struct statement {
	char *sql;     /* as the caller has it; NULL: free */
	uint64_t ints; /* which parameters are numbers: the others' types are the columns' */
};

struct postgres {
	struct db db;
	char *url;
	PGconn *conn; /* NULL: not connected */
	bool in_transaction;
	bool suspect; /* to be closed when the transaction is over */
	int64_t patience_ms, retry_at_ms;
	struct err down; /* why there is no connection */
	int64_t changes;
	struct statement prepared[MAX_STATEMENTS]; /* on the server "s0", "s1", ... */
	int next_out;
};

struct postgres_row {
	struct db_row row;
	const PGresult *result;
	int n;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the connection ---- */

static void disconnect(struct postgres *p)
{
	for (int i = 0; i < MAX_STATEMENTS; i++) {
		free(p->prepared[i].sql);
		p->prepared[i].sql = NULL;
	}
	PQfinish(p->conn);
	p->conn = NULL;
	p->suspect = false;
}

/* The first line of what libpq says: it names host, user and database, never a password. */
static bool fail_connection(struct postgres *p, struct err *err)
{
	const char *text = PQerrorMessage(p->conn);
	size_t n = strcspn(text, "\n");

	return err_set(err, ERR_IO, "PostgreSQL: %.*s", (int)(n < 300 ? n : 300), text);
}

/* false: the patience is at its end, or the wait failed. */
static bool wait_for(int fd, short what, int64_t until_ms)
{
	for (;;) {
		struct pollfd f = {.fd = fd, .events = what};
		int64_t left = until_ms - now_ms();
		int n = left > 0 ? poll(&f, 1, left < 60000 ? (int)left : 60000) : 0;

		if (n > 0)
			return true;
		if (left <= 0 || (n < 0 && errno != EINTR))
			return false;
	}
}

static bool finish_connecting(struct postgres *p, int64_t until_ms, struct err *err)
{
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;

	while (PQstatus(p->conn) != CONNECTION_BAD && next != PGRES_POLLING_OK &&
		next != PGRES_POLLING_FAILED) {
		if (!wait_for(PQsocket(p->conn), next == PGRES_POLLING_READING ? POLLIN : POLLOUT,
			    until_ms))
			return err_set(err, ERR_IO, "PostgreSQL: no connection within %lld ms",
				(long long)p->patience_ms);
		next = PQconnectPoll(p->conn);
	}
	return PQstatus(p->conn) == CONNECTION_OK || fail_connection(p, err);
}

/* All of a statement's results; the last one, or the first error. NULL: the connection is gone. */
static PGresult *collect(struct postgres *p, bool sent, struct err *err)
{
	int64_t until = now_ms() + p->patience_ms;
	PGresult *kept = NULL, *r;
	int left = 1;

	if (!sent) {
		fail_connection(p, err);
		p->suspect = true;
		return NULL;
	}
	for (;;) {
		bool ok = true;

		while (ok && (left > 0 || PQisBusy(p->conn))) {
			left = PQflush(p->conn);
			ok = left >= 0 &&
			     ((left == 0 && !PQisBusy(p->conn)) ||
				     (wait_for(PQsocket(p->conn),
					      (short)(POLLIN | (left > 0 ? POLLOUT : 0)), until) &&
					     PQconsumeInput(p->conn)));
		}
		if (!ok)
			break;
		r = PQgetResult(p->conn);
		if (r == NULL)
			return kept;
		if (kept != NULL && PQresultStatus(kept) == PGRES_FATAL_ERROR) {
			PQclear(r);
			continue;
		}
		PQclear(kept);
		kept = r;
	}
	if (now_ms() >= until)
		err_set(err, ERR_IO, "PostgreSQL: no answer within %lld ms",
			(long long)p->patience_ms);
	else
		fail_connection(p, err);
	PQclear(kept);
	p->suspect = true;
	return NULL;
}

/* Only the primary message: the details quote the values. */
static bool fail_result(struct postgres *p, const PGresult *r, struct err *err)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

	if (text == NULL)
		text = "the statement failed";
	if (state == NULL)
		state = "";
	if (strncmp(state, "23", 2) == 0)
		return err_set(err, ERR_CONFLICT, "database: %s", text);
	/* What is about the statement leaves the connection as it is; else a new one may do. */
	if (strncmp(state, "40", 2) != 0 && strncmp(state, "22", 2) != 0 &&
		strcmp(state, "25P02") != 0)
		p->suspect = true;
	if (strcmp(state, "XX001") == 0 || strcmp(state, "XX002") == 0)
		return err_set(err, ERR_CORRUPT, "database: %s", text);
	return err_set(err, ERR_IO, "database: %s", text);
}

/* Takes the result; NULL: err is set already. */
static bool end(struct postgres *p, PGresult *r, struct err *err)
{
	ExecStatusType status = PQresultStatus(r);
	bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;

	if (r != NULL && !ok)
		fail_result(p, r, err);
	PQclear(r);
	return ok;
}

static bool send_text(struct postgres *p, const char *sql, struct err *err)
{
	return end(p, collect(p, PQsendQuery(p->conn, sql), err), err);
}

/* A statement whose caller has gone does not work on for ever. */
static bool send_patience(struct postgres *p, struct err *err)
{
	char text[80];

	snprintf(text, sizeof(text), "SET statement_timeout = %lld", (long long)p->patience_ms);
	return send_text(p, text, err);
}

static void on_notice(void *user, const char *message)
{
}

static bool connect_now(struct postgres *p, struct err *err)
{
	const char *const names[] = {
		"dbname", "client_encoding", "fallback_application_name", NULL};
	const char *const values[] = {p->url, "UTF8", "sluice", NULL};

	p->conn = PQconnectStartParams(names, values, 1);
	if (p->conn == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	PQsetNoticeProcessor(p->conn, on_notice, NULL);
	if (finish_connecting(p, now_ms() + p->patience_ms, err) &&
		(PQsetnonblocking(p->conn, 1) == 0 || fail_connection(p, err)) &&
		send_patience(p, err))
		return true;
	disconnect(p);
	return false;
}

/* Between statements a server says nothing, but for its goodbye; the end stands behind that. */
static bool has_gone(struct postgres *p)
{
	struct pollfd f = {.fd = PQsocket(p->conn), .events = POLLIN};

	for (int i = 0; i < 8 && poll(&f, 1, 0) > 0; i++)
		if (!PQconsumeInput(p->conn))
			return true;
	return PQstatus(p->conn) == CONNECTION_BAD;
}

/* A connection, the one that is there or a new one. */
static bool be_connected(struct postgres *p, struct err *err)
{
	struct err why = {0};

	if (p->in_transaction)
		return !p->suspect || err_set(err, ERR_IO, "PostgreSQL: the connection is lost");
	/* A server that said goodbye meanwhile is seen here, not by a statement that fails. */
	if (p->suspect || (p->conn != NULL && has_gone(p)))
		disconnect(p);
	if (p->conn != NULL)
		return true;
	if (now_ms() < p->retry_at_ms)
		return err_set(err, p->down.code, "%s", p->down.text);
	if (connect_now(p, &why))
		return true;
	p->down = why;
	p->retry_at_ms = now_ms() + RETRY_MS;
	return err_set(err, why.code, "%s", why.text);
}

static void postgres_close(struct db *db)
{
	struct postgres *p = (struct postgres *)db;

	disconnect(p);
	if (p->url != NULL)
		explicit_bzero(p->url, strlen(p->url));
	free(p->url);
	free(p);
}

void postgres_set_patience(struct db *db, int64_t ms)
{
	struct postgres *p = (struct postgres *)db;

	p->patience_ms = ms;
	if (p->conn != NULL && !p->suspect)
		send_patience(p, NULL);
}

/* What libpq would quote in an error may be a part of a password: it is looked at here first. */
static bool is_plain(const char *s, const char *besides)
{
	for (; *s != '\0'; s++)
		if (!isalnum((unsigned char)*s) && strchr(besides, *s) == NULL)
			return false;
	return true;
}

bool db_check_url(const char *url, struct err *err)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	bool ok = options != NULL;

	for (PQconninfoOption *o = options; ok && o->keyword != NULL; o++) {
		if (o->val == NULL)
			continue;
		if (strcmp(o->keyword, "port") == 0)
			ok = is_plain(o->val, ",") &&
			     strspn(o->val, "0123456789,") == strlen(o->val);
		else if (strcmp(o->keyword, "host") == 0)
			ok = is_plain(o->val, ".-_:/,%");
		else if (strcmp(o->keyword, "hostaddr") == 0)
			ok = is_plain(o->val, ".:,");
	}
	PQconninfoFree(options);
	return ok ||
	       err_set(err, ERR_CONFIG,
		       "database must be \"sqlite\" or as "
		       "\"postgres://user:password@host:5432/name\"; in a password, characters "
		       "such as @ : / ? # %% are written as %%40 and so on");
}

struct db *db_open_postgres(const char *url, struct err *err)
{
	struct postgres *p;

	if (!db_check_url(url, err))
		return NULL;
	p = calloc(1, sizeof(*p));
	if (p == NULL || (p->url = strdup(url)) == NULL) {
		free(p);
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	p->db.ops = &postgres_ops;
	p->patience_ms = DB_PATIENCE_MS;
	if (be_connected(p, err))
		return &p->db;
	db_close(&p->db);
	return NULL;
}

/* ---- statements ---- */

static bool postgres_script(struct db *db, const char *sql, struct err *err)
{
	struct postgres *p = (struct postgres *)db;
	struct buf text;
	bool ok;

	buf_init(&text, MAX_SQL_BYTES);
	ok = dialect_postgres(sql, &text) || err_set(err, ERR_NO_MEMORY, NULL);
	ok = ok && be_connected(p, err) && send_text(p, buf_span(&text).p, err);
	buf_done(&text);
	return ok;
}

/* Where the statement is, or is to be; its old one is taken off the server. */
static bool find_place(
	struct postgres *p, const char *sql, uint64_t ints, int *place, bool *is_there)
{
	char text[32];

	*is_there = true;
	for (int i = 0; i < MAX_STATEMENTS && p->prepared[i].sql != NULL; i++)
		if (p->prepared[i].ints == ints && strcmp(p->prepared[i].sql, sql) == 0) {
			*place = i;
			return true;
		}
	*is_there = false;
	*place = p->next_out;
	p->next_out = (p->next_out + 1) % MAX_STATEMENTS;
	if (p->prepared[*place].sql == NULL)
		return true;
	free(p->prepared[*place].sql);
	p->prepared[*place].sql = NULL;
	snprintf(text, sizeof(text), "DEALLOCATE s%d", *place);
	return send_text(p, text, NULL);
}

static bool prepare(struct postgres *p, const char *sql, const struct db_value *v, int n,
	char name[16], struct err *err)
{
	Oid types[MAX_PARAMS] = {0};
	uint64_t ints = 0;
	struct buf text;
	bool is_there, ok;
	int place;

	for (int i = 0; i < n; i++)
		if (v[i].type == DB_INT) {
			ints |= (uint64_t)1 << i;
			types[i] = OID_INT8;
		}
	if (!find_place(p, sql, ints, &place, &is_there))
		return err_set(err, ERR_IO, "PostgreSQL: the connection is lost");
	snprintf(name, 16, "s%d", place);
	if (is_there)
		return true;
	buf_init(&text, MAX_SQL_BYTES);
	ok = dialect_postgres(sql, &text) || err_set(err, ERR_NO_MEMORY, NULL);
	ok = ok &&
	     end(p, collect(p, PQsendPrepare(p->conn, name, buf_span(&text).p, n, types), err),
		     err);
	buf_done(&text);
	if (!ok)
		return false;
	p->prepared[place] = (struct statement){strdup(sql), ints};
	if (p->prepared[place].sql != NULL)
		return true;
	p->suspect = true; /* the server knows a name that we do not */
	return err_set(err, ERR_NO_MEMORY, NULL);
}

/* In the binary form: numbers big-endian, the others as they are. */
static PGresult *execute(
	struct postgres *p, const char *name, const struct db_value *v, int n, struct err *err)
{
	const char *values[MAX_PARAMS];
	int lengths[MAX_PARAMS], formats[MAX_PARAMS];
	uint64_t ints[MAX_PARAMS];
	PGresult *r = NULL;
	struct buf texts[MAX_PARAMS];
	bool ok = true;

	for (int i = 0; i < n; i++) {
		struct span s = v[i].s;

		buf_init(&texts[i], 64u << 20);
		if (v[i].type == DB_TEXT)
			s = dialect_text(s, &texts[i]);
		ok = ok && !texts[i].failed && s.n <= (64u << 20);
		ints[i] = htobe64((uint64_t)v[i].i);
		if (v[i].type == DB_INT)
			s = span_from(&ints[i], sizeof(ints[i]));
		values[i] = v[i].type == DB_NULL ? NULL : s.p != NULL ? s.p : "";
		lengths[i] = (int)s.n;
		formats[i] = 1;
	}
	if (ok)
		r = collect(
			p, PQsendQueryPrepared(p->conn, name, n, values, lengths, formats, 1), err);
	else
		err_set(err, ERR_NO_MEMORY, NULL);
	for (int i = 0; i < n; i++)
		buf_done(&texts[i]);
	return r;
}

static bool postgres_run(struct db *db, const char *sql, const struct db_value *v, int n,
	bool (*row)(void *user, const struct db_row *r), void *user, struct err *err)
{
	struct postgres *p = (struct postgres *)db;
	struct postgres_row r = {.row.ops = &postgres_ops};
	PGresult *result;
	char name[16];

	assert(n <= MAX_PARAMS);
	if (!be_connected(p, err) || !prepare(p, sql, v, n, name, err))
		return false;
	result = execute(p, name, v, n, err);
	r.result = result;
	if (result != NULL)
		p->changes = strtoll(PQcmdTuples(result), NULL, 10);
	for (int i = 0;
		row != NULL && PQresultStatus(result) == PGRES_TUPLES_OK && i < PQntuples(result);
		i++) {
		r.n = i;
		if (!row(user, &r.row))
			break;
	}
	return end(p, result, err);
}

static int64_t postgres_changes(struct db *db)
{
	return ((struct postgres *)db)->changes;
}

/* ---- values ---- */

static uint16_t read_u16(const char *p)
{
	uint16_t n;

	memcpy(&n, p, sizeof(n));
	return be16toh(n);
}

/*
 * The whole part of a numeric, which is what sums of bigint are: digits to the base of 10,000, the
 * first of which counts 10,000 to the power of the weight (src/backend/utils/adt/numeric.c).
 */
static int64_t read_numeric(struct span s)
{
	int digits, weight;
	int64_t n = 0;

	if (s.n < 8)
		return 0;
	digits = read_u16(s.p);
	weight = (int16_t)read_u16(s.p + 2);
	for (int i = 0; i <= weight; i++) {
		int64_t d =
			i < digits && 8 + 2 * (size_t)i + 2 <= s.n ? read_u16(s.p + 8 + 2 * i) : 0;

		if (__builtin_mul_overflow(n, 10000, &n) || __builtin_add_overflow(n, d, &n))
			return read_u16(s.p + 4) != 0 ? INT64_MIN : INT64_MAX;
	}
	return read_u16(s.p + 4) == 0x4000 ? -n : n;
}

static struct span postgres_get_bytes(const struct db_row *r, int column)
{
	const struct postgres_row *row = (const struct postgres_row *)r;

	return span_from(PQgetvalue(row->result, row->n, column),
		(size_t)PQgetlength(row->result, row->n, column));
}

static int64_t postgres_get_int(const struct db_row *r, int column)
{
	const struct postgres_row *row = (const struct postgres_row *)r;
	struct span s = postgres_get_bytes(r, column);
	uint64_t eight;
	uint32_t four;

	switch (PQftype(row->result, column)) {
	case OID_NUMERIC:
		return read_numeric(s);
	case OID_INT8:
		if (s.n != sizeof(eight))
			return 0;
		memcpy(&eight, s.p, sizeof(eight));
		return (int64_t)be64toh(eight);
	case OID_INT4:
		if (s.n != sizeof(four))
			return 0;
		memcpy(&four, s.p, sizeof(four));
		return (int32_t)be32toh(four);
	case OID_INT2:
		return s.n == 2 ? (int16_t)read_u16(s.p) : 0;
	case OID_BOOL:
		return s.n == 1 && s.p[0] != 0;
	default:
		return 0;
	}
}

static bool postgres_is_null(const struct db_row *r, int column)
{
	const struct postgres_row *row = (const struct postgres_row *)r;

	return PQgetisnull(row->result, row->n, column) != 0;
}

static int postgres_columns(const struct db_row *r)
{
	return PQnfields(((const struct postgres_row *)r)->result);
}

static enum db_type postgres_type(const struct db_row *r, int column)
{
	if (postgres_is_null(r, column))
		return DB_NULL;
	switch (PQftype(((const struct postgres_row *)r)->result, column)) {
	case OID_NUMERIC:
	case OID_INT8:
	case OID_INT4:
	case OID_INT2:
	case OID_BOOL:
		return DB_INT;
	case OID_BYTEA:
		return DB_BLOB;
	default:
		return DB_TEXT;
	}
}

/* ---- transactions ---- */

/* One writer at a time, as with SQLite: what it reads stays true until it commits. */
#define WRITER_LOCK "SELECT pg_advisory_xact_lock(7813472301)"

static bool begin(struct postgres *p, const char *how, struct err *err)
{
	assert(!p->in_transaction);
	if (!be_connected(p, err))
		return false;
	p->in_transaction = true;
	if (send_text(p, how, err))
		return true;
	db_rollback(&p->db);
	return false;
}

static bool postgres_begin(struct db *db, struct err *err)
{
	return begin((struct postgres *)db, "BEGIN; " WRITER_LOCK, err);
}

static bool postgres_begin_read(struct db *db, struct err *err)
{
	return begin(
		(struct postgres *)db, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", err);
}

static bool postgres_commit(struct db *db, struct err *err)
{
	struct postgres *p = (struct postgres *)db;
	struct err why = {0};

	if (!be_connected(p, err))
		return false;
	/* In a transaction that failed, COMMIT says ROLLBACK and no error. */
	if (PQtransactionStatus(p->conn) != PQTRANS_INTRANS)
		return err_set(err, ERR_IO, "database: the transaction had failed");
	if (send_text(p, "COMMIT", &why)) {
		p->in_transaction = false;
		return true;
	}
	return err_set(err, why.code, "%s (it may have been made, or not)", why.text);
}

static void postgres_rollback(struct db *db)
{
	struct postgres *p = (struct postgres *)db;

	if (!p->in_transaction)
		return;
	if (!p->suspect && !send_text(p, "ROLLBACK", NULL))
		p->suspect = true;
	p->in_transaction = false;
	if (p->suspect)
		disconnect(p);
}

/* ---- the version ---- */

static bool on_version(void *user, const struct db_row *r)
{
	*(int64_t *)user = db_get_int(r, 0);
	return true;
}

static bool postgres_get_version(struct db *db, int64_t *version, struct err *err)
{
	int64_t is_there = 0;

	*version = 0;
	return db_run(db, "SELECT count(*) FROM pg_class WHERE oid = to_regclass('sluice_schema')",
		       NULL, 0, on_version, &is_there, err) &&
	       (is_there == 0 || db_run(db, "SELECT version FROM sluice_schema", NULL, 0,
					 on_version, version, err));
}

/* With what the one SQL text needs besides: the sum of truth values, and hex(). */
static const char set_up[] =
	"CREATE TABLE IF NOT EXISTS sluice_schema (version BIGINT NOT NULL);"
	"CREATE OR REPLACE FUNCTION sluice_add_truth(BIGINT, BOOLEAN) RETURNS BIGINT LANGUAGE SQL "
	"IMMUTABLE AS 'SELECT $1 + CASE WHEN $2 THEN 1 ELSE 0 END';"
	"CREATE OR REPLACE FUNCTION hex(BYTEA) RETURNS TEXT LANGUAGE SQL IMMUTABLE AS "
	"'SELECT upper(encode($1, ''hex''))';"
	"CREATE OR REPLACE AGGREGATE sum(BOOLEAN) (SFUNC = sluice_add_truth, STYPE = BIGINT, "
	"INITCOND = '0');";

static bool postgres_set_version(struct db *db, int64_t version, struct err *err)
{
	const struct db_value v[] = {db_int(version)};

	if (version == 0 && !send_text((struct postgres *)db, set_up, err))
		return false;
	return db_run(db, "DELETE FROM sluice_schema", NULL, 0, NULL, NULL, err) &&
	       db_run(db, "INSERT INTO sluice_schema VALUES (?1)", v, 1, NULL, NULL, err);
}

const struct db_ops postgres_ops = {.close = postgres_close,
	.script = postgres_script,
	.run = postgres_run,
	.changes = postgres_changes,
	.get_int = postgres_get_int,
	.get_bytes = postgres_get_bytes,
	.is_null = postgres_is_null,
	.columns = postgres_columns,
	.type = postgres_type,
	.begin = postgres_begin,
	.begin_read = postgres_begin_read,
	.commit = postgres_commit,
	.rollback = postgres_rollback,
	.get_version = postgres_get_version,
	.set_version = postgres_set_version,
	.month_of_at_ms = "CAST(extract(epoch FROM date_trunc('month', to_timestamp(at_ms / 1000) "
			  "AT TIME ZONE 'UTC')) AS BIGINT) * 1000"};
