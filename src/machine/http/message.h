/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * message - an HTTP message's head, as parsed. RFC 9110, RFC 9112.
 *
 * The spans point into one buffer that the head's owner keeps; they are valid as long as the
 * request (or the call) says.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/span.h"

#define HTTP_MAX_FIELDS 100
#define HTTP_MAX_HEAD_BYTES 32768
#define HTTP_MAX_VALUE_BYTES 16384
#define HTTP_MAX_TARGET_BYTES 8192

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_PATCH,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_METHOD_COUNT
};

struct http_field {
	struct span name, value; /* value without surrounding blanks */
};

struct http_head {
	enum http_method method; /* requests */
	struct span target;      /* requests, as sent: "/v1/models?limit=1" */
	struct span path, query; /* parts of target; query without '?' */
	struct span text;        /* the whole head as it came; all other spans lie in it */
	int status;              /* responses */
	int minor;               /* HTTP/1.minor: 0 or 1 */
	bool keep_alive, chunked, expect_continue;
	int64_t content_length; /* -1: not given */
	int n;
	struct http_field fields[HTTP_MAX_FIELDS];
};

const char *http_method_name(enum http_method m);
const char *http_reason(int status); /* "Not Found"; "" when not known */

/* First field of that name (any case), or {NULL, 0}. */
struct span http_field(const struct http_head *h, const char *name);
/* How many fields have that name. */
int http_field_count(const struct http_head *h, const char *name);

/*
 * A head of its own in one allocation, text and used fields only: fields[] ends after n. Behind it
 * are `extra` zeroed bytes for the caller, aligned, at *tail. NULL without memory. Freed by free().
 */
struct http_head *http_head_copy(const struct http_head *h, size_t extra, void **tail);

/* May these bytes be written as a field's name, its value, a request's target? */
bool http_is_token(struct span s);
bool http_is_value(struct span s);  /* no control bytes but tab */
bool http_is_target(struct span s); /* printable ASCII, no '#', not empty */
