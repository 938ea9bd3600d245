/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * endpoint - the management endpoints: one static table, a row each with its right and handler.
 *
 * Handlers run on the store thread, with its connection. A row without a right does not compile.
 */
#include "control/manage/manage.h"
#include "machine/base/json.h"
#include "machine/http/message.h"

struct manage_caller {
	bool administrator; /* through the control socket: may do everything */
	struct id key_id;   /* else: the key that asks, its right, and whose it is */
	enum permission manage;
	struct id user_id;
	bool member;     /* of a user without the role admin: may reach what is that user's alone */
	char source[64]; /* address of the peer */
};

/* What the path says of "{id}" and "{user}"; empty: nothing. */
struct manage_place {
	struct span id, user;
};

struct manage_call {
	const struct manage_env *env;
	struct store *store;
	const struct manage_caller *caller;
	enum scope_kind kind; /* the endpoint's */
	struct manage_place place;
	struct span query; /* as sent */
	struct span body;
	struct buf *answer;          /* JSON */
	int status;                  /* of success; 200 unless the handler says otherwise */
	struct correction corrected; /* what budgets learn once it is committed; no id: nothing */
};

/* OWN: with the id "self" any key may, of itself; else as READ. */
enum manage_right { RIGHT_NONE = 1, RIGHT_OWN, RIGHT_READ, RIGHT_WRITE };

/* What a user without the role admin may do by a key: see to what is their own, or nothing. */
enum manage_reach { REACH_OWN = 1, REACH_ADMIN };

struct manage_endpoint {
	enum http_method method;
	const char *path; /* "{id}" and "{user}" stand for one part each */
	enum manage_right right;
	enum manage_reach reach;
	bool (*run)(struct manage_call *call, struct err *err);
	enum scope_kind kind; /* of what it is about, where it is a scope */
	/* For the description; NULL: not in it. */
	const char *summary;
	const char *body; /* members, "name:type" with '!' where it is required; NULL: none */
};

const struct manage_endpoint *manage_endpoint_at(size_t i); /* NULL: behind the last */
/* NULL: ERR_NOT_FOUND or ERR_METHOD. */
const struct manage_endpoint *manage_endpoint_find(
	enum http_method method, struct span path, struct manage_place *place, struct err *err);
/* who NULL: the administrator. false: ERR_FORBIDDEN. */
bool manage_may(const struct manage_endpoint *e, struct span id, const struct auth_identity *who,
	struct err *err);

/* The four-key error body. */
void manage_write_error(const struct err *err, struct buf *out);

/* ---- members of bodies, parameters of queries ---- */

/* Always false: ERR_BAD_REQUEST naming the member. */
bool manage_bad(struct err *err, const char *member, const char *what);
/* The body as an object; the caller frees the document. NULL: err is set. */
yyjson_doc *manage_body(const struct manage_call *call, struct err *err);
/* US dollars as a JSON number or text, at least 0, to nano-USD; at most 9 decimals. */
bool manage_money(yyjson_val *v, const char *member, int64_t *nusd, struct err *err);
/*
 * monthly_limit, weekly_limit, daily_limit (US dollars), requests_per_minute, tokens_per_minute,
 * max_in_flight; null or 0 takes one away. *is false: the member is none of these.
 */
bool manage_limit(yyjson_val *key, yyjson_val *v, struct limits *l, bool *is, struct err *err);
/* The body of ".../limit": one of them at least, and nothing else. */
bool manage_limits(yyjson_val *body, struct limits *l, struct err *err);
/* All of them, and what was spent this month. */
void manage_put_limits(const struct manage_call *call, struct buf *b, const struct id *scope,
	const struct limits *l);
/* A text of 1 to 128 bytes of UTF-8 without control characters. */
bool manage_name(yyjson_val *v, const char *member, char out[129], struct err *err);
/* The UUID of the path. */
bool manage_path_id(const struct manage_call *call, struct id *id, struct err *err);
void manage_put_id(struct buf *b, const char *key, const struct id *id); /* none: null */
/* A parameter's value, percent-decoded into `out`; {NULL, 0}: not there, or longer than that. */
struct span manage_param(struct span *query, const char *name, char *out, size_t size);
void manage_put_money(struct buf *b, const char *key, int64_t nusd);      /* as a text: "12.5" */
void manage_put_difference(struct buf *b, const char *key, int64_t nusd); /* "-0.25" too */
/* A parameter that is a number from 1 to `most`; *out stays where it is not there. */
bool manage_count(const struct manage_call *call, const char *name, int64_t most, int64_t *out,
	struct err *err);
void manage_put_time(struct buf *b, const char *key, int64_t wall_ms); /* 0: null */

/* On the control socket alone; waits for another thread, so not in a transaction. */
bool manage_reload(struct manage_call *call, struct err *err);

/* openapi.c: these endpoints as an OpenAPI 3.1 document. */
bool manage_openapi(struct manage_call *call, struct err *err);

/* key.c: the resource apikey. */
bool manage_key_create(struct manage_call *call, struct err *err);
bool manage_key_list(struct manage_call *call, struct err *err);
bool manage_key_show(struct manage_call *call, struct err *err);
bool manage_key_limit(struct manage_call *call, struct err *err);
bool manage_key_label(struct manage_call *call, struct err *err);
bool manage_key_expiry(struct manage_call *call, struct err *err);
bool manage_key_delete(struct manage_call *call, struct err *err);
bool manage_key_change(struct manage_call *call, struct err *err);
/* The id of the path, "self" included. false: no UUID. */
bool manage_key_id(const struct manage_call *call, struct id *id, struct err *err);
/* The key of the path. ERR_NOT_FOUND when it is another user's than the caller may see. */
bool manage_key_find(struct manage_call *call, struct key_row *row, struct err *err);
/* Takes all keys of an owner out of force, and away. */
bool manage_keys_delete(struct manage_call *call, const struct id *owner, struct err *err);

/* scope.c: organisation, groups and their members, projects, users, service accounts. */
bool manage_scope_list(struct manage_call *call, struct err *err);
bool manage_scope_create(struct manage_call *call, struct err *err);
bool manage_scope_show(struct manage_call *call, struct err *err);
bool manage_scope_change(struct manage_call *call, struct err *err);
bool manage_scope_limit(struct manage_call *call, struct err *err);
bool manage_scope_delete(struct manage_call *call, struct err *err);
bool manage_scope_usage(struct manage_call *call, struct err *err);
bool manage_member_put(struct manage_call *call, struct err *err);
bool manage_member_delete(struct manage_call *call, struct err *err);
/* A scope of that kind by a member's value; null: none. ERR_BAD_REQUEST when there is none. */
bool manage_scope_read(struct manage_call *call, enum scope_kind kind, yyjson_val *v,
	const char *member, struct id *out, struct err *err);
/* Whether the user is in the group; *admin: and runs it. */
bool manage_is_member(struct manage_call *call, const struct id *group_id, bool *admin);

/* access.c: access lists. */
bool manage_access_list(struct manage_call *call, struct err *err);
bool manage_access_create(struct manage_call *call, struct err *err);
bool manage_access_show(struct manage_call *call, struct err *err);
bool manage_access_change(struct manage_call *call, struct err *err);
bool manage_access_delete(struct manage_call *call, struct err *err);
bool manage_access_attach(struct manage_call *call, struct err *err);
bool manage_access_detach(struct manage_call *call, struct err *err);
/* Its id by a member's value; null: none. */
bool manage_access_read(struct manage_call *call, yyjson_val *v, const char *member, struct id *out,
	struct err *err);

/* audit.c */
bool manage_audit_list(struct manage_call *call, struct err *err);
/*
 * A change, into the log and the audit chain, in the transaction that makes it. `old` and `new`:
 * JSON without secrets, empty where there was or is none.
 */
bool manage_audit(struct manage_call *call, const char *action, const struct id *target,
	struct span old, struct span new, struct err *err);

/* Who asks, as logs and entries call it. */
void manage_actor(const struct manage_caller *caller, char out[64]);

/* request.c: what was asked and what it cost; corrections of it. */
bool manage_request_list(struct manage_call *call, struct err *err);
bool manage_request_show(struct manage_call *call, struct err *err);
bool manage_request_correct(struct manage_call *call, struct err *err);
bool manage_key_requests(struct manage_call *call, struct err *err);

/* usage.c */
bool manage_key_usage(struct manage_call *call, struct err *err);
/* Of one scope, or (SCOPE_ORG) of all. */
bool manage_usage(
	struct manage_call *call, enum scope_kind kind, const struct id *id, struct err *err);
/* The oldest form that clients know, at /x/apikey: of the calling key. */
bool manage_key_balance(struct manage_call *call, struct err *err);
