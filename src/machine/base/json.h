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
#include "machine/base/buf.h"
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

/*
 * Like json_read, but strings may hold broken UTF-8 and lone surrogates: for a provider's text that
 * is looked at and handed on as it came, never for what the gateway acts on.
 */
yyjson_doc *json_read_loose(const struct json_scratch *scratch, struct span text, struct err *err);

/*
 * Like json_read (or, with `loose`, json_read_loose), but every number stays raw text
 * (yyjson_is_raw): for documents whose parts are written again elsewhere, numbers unchanged.
 */
yyjson_doc *json_read_raw(
	const struct json_scratch *scratch, struct span text, bool loose, struct err *err);

/*
 * Appends the value as JSON text without white space: equal values give equal bytes, members keep
 * their order, raw numbers their spelling. Strings are escaped as text_json_string does it.
 */
bool json_write(struct buf *b, yyjson_val *v);

/* The text of a number that json_read_raw kept; {NULL, 0}: it is no number. */
struct span json_number(yyjson_val *v);
/* The same as a whole number; false: no number, a fraction or beyond 64 bits. */
bool json_int(yyjson_val *v, int64_t *out);

/* The member's value, the last one when the key is there twice; NULL when absent or no object. */
yyjson_val *json_get(yyjson_val *object, const char *key);

/* Member access that checks the type. false: absent (or null), and nothing is written. */
bool json_get_str(yyjson_val *object, const char *key, struct span *out);
bool json_get_bool(yyjson_val *object, const char *key, bool *out);
/* Integers only, 0 .. 2^40: the range of a token count. Others count as absent. */
bool json_get_count(yyjson_val *object, const char *key, int64_t *out);

/*
 * A member (or array item) as it stands in the text. The scanner below reads only text that has
 * passed json_read; on other text it stops early, and never reads outside it.
 */
struct json_member {
	struct span key;   /* raw, between the quotes; {NULL, 0} for an item */
	struct span value; /* raw */
};

/* Walks the members of an object or the items of an array; *at is 0 before the first. */
bool json_next(struct span text, size_t *at, struct json_member *m);

/* Compares a raw key, escapes resolved, with a plain ASCII key. */
bool json_key_is(struct span raw_key, const char *key);

struct json_splice {
	size_t at, cut;  /* bytes of the original that are replaced */
	struct span put; /* by these */
};

#define JSON_MAX_SPLICES 16
#define JSON_MAX_PATH 3 /* keys in a path */

struct json_change {
	struct span keys[JSON_MAX_PATH];
	int n_keys;
	struct span raw; /* n == 0: removed */
};

#define JSON_MAX_KNOWN 2

struct json_edit {
	struct span text; /* valid JSON, checked before by json_read */
	struct arena *arena;
	struct json_change changes[JSON_MAX_SPLICES];
	struct json_splice splices[JSON_MAX_SPLICES]; /* made from the changes when asked for */
	struct {
		struct span key, value;
	} known[JSON_MAX_KNOWN];
	int n_changes, n, n_known;
	bool failed, made;
};

/*
 * `text` must have passed json_read and must be an object. It and all text given to the edit must
 * outlive it.
 */
void json_edit_init(struct json_edit *e, struct arena *a, struct span text);

/*
 * Sets (or appends) a member to raw JSON text. `path` is a dot path of at most 3 plain keys, such
 * as "stream_options.include_usage"; missing parents are made, and a parent that is not an object
 * is replaced by one. The last of duplicate keys is the one that counts, and the one that is
 * edited; json_edit_remove removes all of them. A later change of the same member wins.
 */
void json_edit_set(struct json_edit *e, const char *path, struct span raw);
void json_edit_remove(struct json_edit *e, const char *path);

/*
 * Where the value of a top-level member stands in the text, that is there once: when all changes
 * are of such members the text is not walked again.
 */
void json_edit_known(struct json_edit *e, const char *key, struct span value);

/*
 * The raw text of a string value of the document that json_read made of `text`, its quotes
 * included, found without a walk. {NULL, 0}: it has escapes, or cannot be found so.
 */
struct span json_place(yyjson_val *root, struct span text, yyjson_val *string);

/* The raw text of a value, or {NULL, 0}: for handing sub-trees on untouched. */
struct span json_raw(struct span text, const char *path);

/* True when the object has the top-level key more than once. */
bool json_has_twice(struct span text, const char *key);

/* The size of the edited text; 0 when an edit failed. */
size_t json_edit_size(struct json_edit *e);
/* At most 2 * JSON_MAX_SPLICES + 1 spans. Returns how many, or -1 when an edit failed. */
int json_edit_spans(struct json_edit *e, struct span *out, int max);
