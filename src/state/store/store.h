/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * store - the tables: numbered schema, and each table's queries and rows as structs.
 *
 * All SQL of the program is in this folder. A store is used by one thread at a time; the process
 * has one that writes (the store thread's). Schema files are numbered and never changed once
 * released; opening runs what is missing, each in a transaction.
 */
#include "machine/base/err.h"
#include "machine/base/id.h"
#include "machine/db/db.h"
#include "machine/sys/sys.h"
#include "meaning/llm/catalog.h"
#include "meaning/llm/target.h"
#include "meaning/llm/usage.h"

struct usage_batch;

/* Prices that are in the table for sure, so that few requests ask for theirs. */
#define PRICE_MEMORY 16
struct price_memory {
	int n, next;
	struct {
		enum llm_price_source source;
		int64_t numbers[11];
		struct id id;
	} known[PRICE_MEMORY];
};

struct store {
	struct db *db;
	struct sys *sys;
	struct usage_batch *batch; /* sums of the transaction that is open */
	struct price_memory prices;
	int lock_fd; /* store_open_alone's, when `locked` */
	bool locked;
};

/*
 * Where an installation keeps its things. `database`: NULL or "sqlite", a file in data_dir; else a
 * connection string of PostgreSQL, a secret. Journals and the lock are in data_dir with both.
 */
struct store_place {
	const char *data_dir, *database;
};
bool store_is_sqlite(const struct store_place *p);

/* Makes data_dir (0700) and the database file (0600) when they are not there. */
bool store_open_at(
	struct store *s, struct sys *sys, const struct store_place *place, struct err *err);
/* The same with SQLite. */
bool store_open(struct store *s, struct sys *sys, const char *data_dir, struct err *err);
void store_close(struct store *s);
/*
 * One process at a time may write: an OS lock on <data_dir>/lock, held until the descriptor is
 * closed or the process ends, however it ends. ERR_CONFLICT when another one still has it after
 * half a second (a command may hold it for a moment).
 */
bool store_lock(struct sys *sys, const char *data_dir, int *fd, struct err *err);
/* Locks, then opens; store_close lets go of both. What a server does. */
bool store_open_alone(
	struct store *s, struct sys *sys, const struct store_place *place, struct err *err);
int store_schema_version(void); /* the newest this program knows */
/* The database's; 0: there is none yet. Changes nothing. */
bool store_version(
	struct sys *sys, const struct store_place *place, int64_t *version, struct err *err);

/*
 * Backup: one file, SQLite's whatever the database is, of one moment; a server may run meanwhile.
 * What its journals hold is in it too: `journals` is their folder.
 */
bool store_backup(struct store *s, const char *journals, const char *to, struct err *err);
/*
 * The database and journals as a backup has them, of this or an earlier version, once its pages,
 * the audit chain and the sums hold. The caller has the lock. ERR_CONFLICT where there is data or a
 * journal, unless `force`: then SQLite's file and the journals are set aside with the ending
 * .replaced, and PostgreSQL's rows go.
 */
bool store_restore(struct sys *sys, const struct store_place *place, const char *journals,
	const char *from, bool force, struct err *err);

enum permission { PERMISSION_NONE, PERMISSION_READ, PERMISSION_WRITE };
const char *permission_name(enum permission p);
bool permission_read(struct span text, enum permission *out);

#define KEY_MAX_LABELS 2048

/* What a key or a scope may: 0 is no limit. Periods begin in UTC, weeks on Monday. */
enum limit_period { PERIOD_MONTH, PERIOD_WEEK, PERIOD_DAY, PERIOD_COUNT };
struct limits {
	int64_t nusd[PERIOD_COUNT];
	int64_t requests, tokens; /* a minute */
	int64_t in_flight;        /* requests at once */
};
const char *limit_period_name(enum limit_period p); /* "monthly" */

/* Whose a key is; all zero (id_is_none): nobody's. */
struct key_owners {
	struct id user_id, group_id, project_id;
};

/* A key as stored: never its text. */
struct key_row {
	struct id id;
	char public_id[13]; /* 12 characters, NUL */
	uint8_t sha256[32]; /* of the whole key text */
	char name[129];
	enum permission manage, completions;
	int64_t created_ms, expires_ms; /* 0: does not expire */
	enum llm_drop drop;             /* UNSET: as configured */
	struct limits limits;
	struct key_owners owners;
	struct id account_id;            /* the service account that owns it */
	struct id access_id;             /* its own access list */
	char labels[KEY_MAX_LABELS + 1]; /* a JSON object of texts */
};

bool key_insert(
	struct store *s, const struct key_row *k, struct err *err); /* same name: ERR_CONFLICT */
/* *existed false: there is no such key. */
bool key_update(struct store *s, const struct key_row *k, bool *existed, struct err *err);
bool key_delete(struct store *s, const struct id *id, bool *existed, struct err *err);
bool key_find(
	struct store *s, const struct id *id, struct key_row *out, bool *found, struct err *err);
/* In order of creation. Return false from `each` to stop. */
bool key_each(struct store *s, bool (*each)(void *user, const struct key_row *k), void *user,
	struct err *err);

/*
 * Scopes: whom keys belong to, and whose money is counted. One organisation, made with the
 * database.
 */
enum scope_kind {
	SCOPE_ORG = 1,
	SCOPE_GROUP,
	SCOPE_PROJECT,
	SCOPE_USER,
	SCOPE_ACCOUNT, /* owns keys; its money is not counted apart */
	SCOPE_END
};
extern const struct id scope_org_id;
const char *scope_kind_name(enum scope_kind k); /* "group" */

enum user_role { ROLE_MEMBER, ROLE_ADMIN, ROLE_COUNT };
const char *user_role_name(enum user_role r);

struct scope_row {
	struct id id;
	enum scope_kind kind;
	char name[129];  /* unique in its kind; of a user: the e-mail address */
	char title[129]; /* a user's name */
	enum user_role role;
	bool enforce; /* false: the limit is shown, not held */
	struct limits limits;
	struct id access_id; /* of groups and the organisation */
	int64_t created_ms;
};

/* Another of the same kind and name: ERR_CONFLICT. */
bool scope_insert(struct store *s, const struct scope_row *r, struct err *err);
bool scope_update(struct store *s, const struct scope_row *r, struct err *err);
bool scope_delete(struct store *s, const struct id *id, struct err *err); /* its memberships too */
bool scope_find(struct store *s, enum scope_kind kind, const struct id *id, struct scope_row *out,
	bool *found, struct err *err);
/* Of one kind (SCOPE_END: of all), in order of creation. Return false from `each` to stop. */
bool scope_each(struct store *s, enum scope_kind kind,
	bool (*each)(void *user, const struct scope_row *r), void *user, struct err *err);
/* How many keys belong to it (of whatever kind), or have this access list. */
bool key_count(struct store *s, const struct id *owner, int64_t *n, struct err *err);
bool key_each_of(struct store *s, const struct id *owner,
	bool (*each)(void *user, const struct key_row *k), void *user, struct err *err);

struct member_row {
	struct id group_id, user_id;
	bool admin;
	struct span email, title; /* of the user; valid during the callback */
	struct span group;        /* the group's name */
};
bool member_put(struct store *s, const struct id *group_id, const struct id *user_id, bool admin,
	struct err *err);
bool member_delete(struct store *s, const struct id *group_id, const struct id *user_id,
	bool *existed, struct err *err);
/* Of a group, or (`group_id` NULL) of a user. */
bool member_each(struct store *s, const struct id *group_id, const struct id *user_id,
	bool (*each)(void *user, const struct member_row *m), void *user, struct err *err);

#define ACCESS_MAX_RULES (64 << 10)

struct access_row {
	struct id id;
	char name[129];
	bool auto_approve, restricted;
	struct span rules; /* JSON: lists of models by kind of request; borrowed */
	int64_t created_ms;
};
bool access_insert(struct store *s, const struct access_row *r, struct err *err);
bool access_update(struct store *s, const struct access_row *r, struct err *err);
bool access_delete(struct store *s, const struct id *id, bool *existed, struct err *err);
/* All, or (`id` not NULL) one. */
bool access_each(struct store *s, const struct id *id,
	bool (*each)(void *user, const struct access_row *r), void *user, struct err *err);
/* How many keys, groups and organisations it is attached to. */
bool access_uses(
	struct store *s, const struct id *id, int64_t *keys, int64_t *scopes, struct err *err);

/*
 * The audit log: what was changed, by whom, from where. Each row's hash is SHA-256 over the hash of
 * the row before and its own members, so that nothing is altered or taken out unseen; only the
 * newest rows can be cut off, which `sluice audit verify` shows to who knows the last hash.
 */
struct audit_row {
	int64_t seq, at_ms;
	struct span actor, source, action; /* "key:<id>", the peer's address, "apikey.create" */
	struct id target;
	struct span old, new; /* JSON without secrets; empty: there was, or is, none */
	uint8_t hash[32];
};
bool audit_append(struct store *s, struct audit_row *r, struct err *err); /* sets seq, hash */
/* From `from` (a seq) on, newest first when `backward`; each may return false to stop. */
bool audit_each(struct store *s, int64_t from, int limit, bool backward,
	bool (*each)(void *user, const struct audit_row *r), void *user, struct err *err);
/* *broken: the first row whose hash does not follow, 0: none. */
bool audit_verify(
	struct store *s, int64_t *rows, int64_t *broken, uint8_t last[32], struct err *err);

/*
 * The ledger against itself: every sum of usage is the sum of its requests, nothing is negative,
 * and what cost something says on what ground. All counts of what is wrong; 0: nothing is.
 */
struct ledger_audit {
	int64_t requests, open; /* final ones; those that run, or wait for their end */
	int64_t cost_nusd, unpriced;
	int64_t corrections, corrected_nusd;
	int64_t wrong_sums, negative, groundless;
};
bool audit_ledger(struct store *s, struct ledger_audit *out, struct err *err);

enum request_basis { /* how the amount was found: reliability of it, shown to the customer */
	BASIS_NONE,
	BASIS_PROVIDER_FINAL,
	BASIS_PROVIDER_PARTIAL,
	BASIS_GATEWAY_COUNT,
	BASIS_CRASH,
	BASIS_HOLD,  /* all that it could cost: what became of it is not known */
	BASIS_CACHE, /* an answer given again */
	BASIS_COUNT
};
enum request_outcome {
	OUTCOME_OK,
	OUTCOME_CLIENT_ERROR,
	OUTCOME_PROVIDER_ERROR,
	OUTCOME_GATEWAY_ERROR,
	OUTCOME_CANCELLED,
	OUTCOME_INTERRUPTED,
	OUTCOME_CRASHED,
	OUTCOME_COUNT
};
const char *request_basis_name(enum request_basis b);
const char *request_outcome_name(enum request_outcome o);

#define COST_UNKNOWN ((int64_t)-1)

/* One answered request. Spans are borrowed. */
struct request_row {
	struct id id;
	struct id key_id;
	struct key_owners owners;                            /* when it came */
	int64_t started_ms;                                  /* wall clock */
	int64_t duration_us, first_token_us, overhead_us;    /* first_token -1: none */
	struct span op, model_asked, provider, model_served; /* provider's name as configured */
	struct span user_id, trace_id, tags, extra, referer, title; /* tags, extra: raw JSON */
	struct span upstream_id;                                    /* the provider's request id */
	struct span tool; /* what asked: its title, or the product of its user agent */
	int status;       /* as the client saw it */
	int attempts;
	bool stream;
	enum request_outcome outcome;
	enum request_basis basis;
	struct llm_usage usage;
	int64_t cost_nusd;                  /* COST_UNKNOWN: no price known */
	bool overrun;                       /* it cost more than it was held to cost at most */
	enum llm_price_source price_source; /* NOWHERE: there is no price, and `price` is empty */
	struct llm_price price;             /* the row that it was settled by */
};

/* `final` false: a checkpoint, replaced by the final row; a final row is never replaced. */
bool request_put(struct store *s, const struct request_row *r, bool final, struct err *err);
bool request_each(struct store *s, int64_t from_ms, int limit,
	bool (*each)(void *user, const struct request_row *r, bool final), void *user,
	struct err *err);
struct request_query {
	struct id key_id; /* none: of all keys */
	struct id before; /* older than this one; none: from the newest on */
	int limit;
};
bool request_list(struct store *s, const struct request_query *q,
	bool (*each)(void *user, const struct request_row *r, bool final), void *user,
	struct err *err);
/* One; *found false: there is none. */
bool request_find(struct store *s, const struct id *id,
	bool (*each)(void *user, const struct request_row *r, bool final), void *user, bool *found,
	struct err *err);
/* Rows left at "checkpoint" become final with outcome crashed; only at start, behind the last
 * ingest. */
bool request_close_open(struct store *s, int64_t *closed, struct err *err);

struct request_sum {
	int64_t rows, cost_nusd, unpriced;
	struct llm_usage usage;
};
bool request_sum(struct store *s, struct request_sum *out, struct err *err);

/*
 * A settled request costs another amount than its row says: an entry of its own, never an edit.
 * `nusd` is the difference to what row and earlier corrections say together; usage and spend of
 * its scopes, at the time of the request, change by it.
 */
struct correction {
	struct id id, request_id;
	int64_t at_ms;
	struct span actor, why; /* borrowed */
	/* Made by correction_put. */
	int64_t nusd, before_nusd;
	bool priced; /* its cost was not known */
	struct id key_id;
	struct key_owners owners;
	int64_t started_ms;
};
/* How many a request has, and their sum; each of them, oldest first. */
bool correction_sum(
	struct store *s, const struct id *request_id, int64_t *n, int64_t *nusd, struct err *err);
bool correction_each(struct store *s, const struct id *request_id,
	bool (*each)(void *user, const struct correction *c), void *user, struct err *err);
/* ERR_NOT_FOUND: no such request; ERR_CONFLICT: it has not ended. Inside a transaction. */
bool correction_put(struct store *s, struct correction *c, int64_t amount_nusd, struct err *err);

/*
 * Usage: final requests summed by the minute, hour and day. Written with their rows: request_put
 * adds, store_commit writes. Days do not part users (the caller's own ids).
 */
struct usage_sum {
	int64_t requests, failed; /* failed: answered with a status from 400 on */
	int64_t input, cache_read, cache_write, output, reasoning;
	int64_t cost_nusd, unpriced; /* the sum of known costs; how many have none */
};

enum usage_resolution { USAGE_HOURS, USAGE_DAYS, USAGE_MONTHS, USAGE_MINUTES };
enum usage_group {
	USAGE_BY_MODEL_ASKED,
	USAGE_BY_MODEL_SERVED,
	USAGE_BY_PROVIDER,
	USAGE_BY_USER,
	USAGE_BY_KEY,
	USAGE_BY_MEMBER,
	USAGE_BY_GROUP,
	USAGE_BY_GROUP_NAME,
	USAGE_BY_PROJECT,
	USAGE_BY_STATUS, /* "2xx" */
	USAGE_BY_TOOL,
	USAGE_BY_TITLE, /* the same by an older name */
	USAGE_GROUP_COUNT
};
#define USAGE_MAX_GROUPS 4
const char *usage_group_name(enum usage_group g); /* "model_used" */
bool usage_group_read(struct span name, enum usage_group *out);

struct usage_query {
	const struct id *key_id; /* NULL: all keys */
	enum scope_kind scope;   /* SCOPE_ORG: all; else of this one */
	struct id scope_id;
	int64_t from_ms, to_ms; /* hours (of minutes: minutes) that begin in [from, to) */
	enum usage_resolution resolution;
	enum usage_group groups[USAGE_MAX_GROUPS];
	int n_groups;
};

struct usage_row {
	int64_t bucket_ms;
	int64_t chat, embeddings, images, speech, transcriptions; /* requests by kind */
	struct usage_sum sum;
	struct span group[USAGE_MAX_GROUPS];
};

/* In order of time, within a bucket by cost. Return false from `each` to stop. */
bool usage_each(struct store *s, const struct usage_query *q,
	bool (*each)(void *user, const struct usage_row *r), void *user, struct err *err);
/* Minutes before `before_ms` go, at most `limit` rows at a time; *gone: how many went. */
bool usage_drop_minutes(
	struct store *s, int64_t before_ms, int limit, int64_t *gone, struct err *err);
/* What was spent in requests that began at from_ms (a full day) or later, by key and owners. */
bool usage_spent(struct store *s, int64_t from_ms,
	bool (*each)(void *user, const struct id *key_id, const struct key_owners *o, int64_t nusd),
	void *user, struct err *err);

/* For this folder: opens a file as it is, and brings it to this version. */
bool store_open_file(struct store *s, struct sys *sys, const char *path, struct err *err);
#define STORE_DATABASE_NAME "sluice.db"

/* For this folder: one final row; what store_commit writes; what store_rollback forgets. */
struct usage_batch *usage_batch_new(void);
bool usage_add(struct store *s, const struct request_row *r, struct err *err);
bool usage_flush(struct store *s, struct err *err);
void usage_forget(struct store *s);
/* What a correction changes, where its request was added. */
bool usage_correct(
	struct store *s, const struct request_row *r, const struct correction *c, struct err *err);
/* The id of a price in the table, none for none; what price_forget takes back with a transaction.
 */
bool price_put(struct store *s, enum llm_price_source source, const struct llm_price *p,
	struct id *id, struct err *err);
void price_forget(struct store *s);

/* How far a journal file was ingested; same transaction as its rows. */
bool journal_mark_get(struct store *s, struct span file, int64_t *bytes, struct err *err);
bool journal_mark_put(struct store *s, struct span file, int64_t bytes, struct err *err);
bool journal_mark_drop(struct store *s, struct span file, struct err *err);
bool store_begin(struct store *s, struct err *err);
bool store_commit(struct store *s, struct err *err);
void store_rollback(struct store *s);
