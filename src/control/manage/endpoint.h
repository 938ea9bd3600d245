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
	struct id key_id;   /* else: the key that asks, and its right */
	enum permission manage;
};

struct manage_call {
	const struct manage_env *env;
	struct store *store;
	const struct manage_caller *caller;
	struct span id;    /* the path's {id}, or empty */
	struct span query; /* as sent */
	struct span body;
	struct buf *answer; /* JSON */
	int status;         /* of success; 200 unless the handler says otherwise */
};

/* OWN: with the id "self" any key may, of itself; else as READ. */
enum manage_right { RIGHT_NONE = 1, RIGHT_OWN, RIGHT_READ, RIGHT_WRITE };

struct manage_endpoint {
	enum http_method method;
	const char *path; /* "{id}" stands for one part */
	enum manage_right right;
	bool (*run)(struct manage_call *call, struct err *err);
};

/* NULL: ERR_NOT_FOUND or ERR_METHOD. */
const struct manage_endpoint *manage_endpoint_find(
	enum http_method method, struct span path, struct span *id, struct err *err);
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
/* A parameter's value, percent-decoded into `out`; {NULL, 0}: not there, or longer than that. */
struct span manage_param(struct span *query, const char *name, char *out, size_t size);
void manage_put_money(struct buf *b, const char *key, int64_t nusd);   /* as a text: "12.5" */
void manage_put_time(struct buf *b, const char *key, int64_t wall_ms); /* 0: null */

/* key.c: the resource apikey. */
bool manage_key_create(struct manage_call *call, struct err *err);
bool manage_key_list(struct manage_call *call, struct err *err);
bool manage_key_show(struct manage_call *call, struct err *err);
bool manage_key_limit(struct manage_call *call, struct err *err);
bool manage_key_label(struct manage_call *call, struct err *err);
bool manage_key_expiry(struct manage_call *call, struct err *err);
bool manage_key_delete(struct manage_call *call, struct err *err);
/* The id of the path, "self" included. false: no UUID. */
bool manage_key_id(const struct manage_call *call, struct id *id, struct err *err);

/* usage.c */
bool manage_key_usage(struct manage_call *call, struct err *err);
bool manage_org_usage(struct manage_call *call, struct err *err);
/* The oldest form that clients know, at /x/apikey: of the calling key. */
bool manage_key_balance(struct manage_call *call, struct err *err);
