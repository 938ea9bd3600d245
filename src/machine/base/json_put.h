/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * json_put - writes JSON into a buf, member by member, without a tree in between.
 *
 * Stateless: a comma is put before a key or item unless the byte before it opens a container or
 * is a colon, so that code reads as the text it makes:
 *
 *	buf_append_char(b, '{');
 *	json_put_str(b, "type", type);
 *	json_put_key(b, "usage");
 *	buf_append_char(b, '{');
 *	json_put_int(b, "tokens", 3);
 *	buf_append_cstr(b, "}}");
 *
 * A NULL key writes an array's item. Failures stick to the buf.
 */
#include "machine/base/buf.h"
#include "machine/base/json.h"

/* A comma where one is due. */
void json_put_next(struct buf *b);
void json_put_key(struct buf *b, const char *key);
void json_put_open(struct buf *b, const char *key, char bracket); /* '{' or '[' */
void json_put_str(struct buf *b, const char *key, struct span text);
void json_put_cstr(struct buf *b, const char *key, const char *text);
void json_put_int(struct buf *b, const char *key, int64_t v);
void json_put_bool(struct buf *b, const char *key, bool v);
void json_put_null(struct buf *b, const char *key);
void json_put_raw(struct buf *b, const char *key, struct span json); /* complete JSON text */
void json_put_val(struct buf *b, const char *key, yyjson_val *v);
