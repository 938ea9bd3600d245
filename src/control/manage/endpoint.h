/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * endpoint - the management endpoints: one static table, a row each with its right and handler.
 *
 * Handlers run on the store thread, with its connection. A row without a right does not compile.
 */
#include "control/manage/manage.h"
#include "machine/http/message.h"

struct manage_call {
	const struct manage_env *env;
	struct store *store;
	struct span id; /* the path's {id}, or empty */
	struct span body;
	struct buf *answer; /* JSON */
	int status;         /* of success; 200 unless the handler says otherwise */
};

enum manage_right { RIGHT_NONE = 1, RIGHT_READ, RIGHT_WRITE };

struct manage_endpoint {
	enum http_method method;
	const char *path; /* "{id}" at the end stands for one part */
	enum manage_right right;
	bool (*run)(struct manage_call *call, struct err *err);
};

/* NULL: ERR_NOT_FOUND or ERR_METHOD. */
const struct manage_endpoint *manage_endpoint_find(
	enum http_method method, struct span path, struct span *id, struct err *err);

/* The four-key error body. */
void manage_write_error(const struct err *err, struct buf *out);

/* key.c: the resource apikey. */
bool manage_key_create(struct manage_call *call, struct err *err);
bool manage_key_list(struct manage_call *call, struct err *err);
bool manage_key_delete(struct manage_call *call, struct err *err);
