/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * json - reading with yyjson, and byte-exact edits of an object's members.
 *
 * One parse serves every reader of a document. An edit never rewrites what it does not change:
 * it is a list of splices into the original text, given out as spans to be written in order, so
 * that unknown members, number spelling, key order and white space arrive as they came.
 */
#include <stdbool.h>
#include <yyjson.h>
#include "machine/base/arena.h"
#include "machine/base/err.h"

#define JSON_MAX_DEPTH 64

/* Memory for one document at a time, kept by a worker so that small documents cost no malloc. */
struct json_scratch {
	void *mem;
	size_t n;
};

/*
 * Parses strictly (RFC 8259, UTF-8, no BOM, depth at most JSON_MAX_DEPTH). The document lives in
 * the scratch (valid until its next use) when it fits, else in malloc memory; scratch may be NULL.
 * Call json_free always, with NULL too. NULL and ERR_BAD_JSON with "line L column C: ..." when it
 * is not JSON.
 */
yyjson_doc *json_read(const struct json_scratch *scratch, struct span text, struct err *err);
void json_free(yyjson_doc *doc);

/* Member access that checks the type. false: absent (or null), and nothing is written. */
bool json_get_str(yyjson_val *object, const char *key, struct span *out);
bool json_get_bool(yyjson_val *object, const char *key, bool *out);
/* Integers only, 0 .. 2^40: the range of a token count. Others count as absent. */
bool json_get_count(yyjson_val *object, const char *key, int64_t *out);

struct json_splice {
	size_t at, cut;  /* bytes of the original that are replaced */
	struct span put; /* by these */
};

#define JSON_MAX_SPLICES 16

struct json_edit {
	struct span text; /* valid JSON, checked before by json_read */
	struct arena *arena;
	struct json_splice splices[JSON_MAX_SPLICES]; /* kept in order of `at` */
	int n;
	bool failed;
};

/* `text` must have passed json_read and must be an object. */
void json_edit_init(struct json_edit *e, struct arena *a, struct span text);

/*
 * Sets (or appends) a member to raw JSON text. `path` is a dot path of at most 3 plain keys, such
 * as "stream_options.include_usage"; missing parents are made. The last of duplicate keys is the
 * one that counts, and the one that is edited; json_edit_remove removes all of them.
 */
void json_edit_set(struct json_edit *e, const char *path, struct span raw);
void json_edit_remove(struct json_edit *e, const char *path);

/* The raw text of a value, or {NULL, 0}: for handing sub-trees on untouched. */
struct span json_raw(struct span text, const char *path);

/* True when the object has the top-level key more than once. */
bool json_has_twice(struct span text, const char *key);

size_t json_edit_size(const struct json_edit *e);
/* At most 2 * JSON_MAX_SPLICES + 1 spans. Returns how many, or -1 when an edit failed. */
int json_edit_spans(const struct json_edit *e, struct span *out, int max);
