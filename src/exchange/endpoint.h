/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * endpoint - which address means what: one table of rows.
 *
 * The match is exact on the raw path; nothing is decoded. Every spelling that a client's base URL
 * can produce is accepted ("/v1/X", "/X", "/v1/v1/X", a trailing slash) and the odd ones are named
 * in a hint.
 */
#include "machine/http/message.h"
#include "meaning/dialect/dialect.h"

enum endpoint_kind {
	ENDPOINT_INFERENCE,
	ENDPOINT_MODELS,
	ENDPOINT_MODEL,
	ENDPOINT_HELLO,
	ENDPOINT_LIVE,
	ENDPOINT_READY,
	ENDPOINT_METRICS,
	ENDPOINT_AUTH_CHECK
};

struct endpoint {
	const char *path;        /* without "/v1" for those below it */
	bool below_v1;           /* stands under /v1 and may be called without */
	enum http_method method; /* GET rows answer HEAD too */
	enum endpoint_kind kind;
	enum llm_op op; /* ENDPOINT_INFERENCE */
};

struct endpoint_match {
	const struct endpoint *endpoint; /* NULL: nothing there */
	bool wrong_method;
	struct span rest; /* ENDPOINT_MODEL: the id behind the slash, as sent */
	const char *hint; /* NULL, or what is odd about the base URL */
};

struct endpoint_match endpoint_find(enum http_method method, struct span path);

/* The dialect in which an answer to this path is understood, whatever else is wrong with the
 * request. */
const struct dialect *endpoint_dialect(struct span path, bool anthropic_client);

extern const struct endpoint endpoints[];
extern const int endpoint_count;
