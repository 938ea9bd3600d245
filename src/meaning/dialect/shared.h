/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * shared - what the formats have in common. For the folders below dialect/ only.
 *
 * Reading a few members out of a body with their types checked, putting usage reports together,
 * cutting members out of one event, and sorting a provider's error into our classes.
 */
#include "meaning/dialect/dialect.h"

#define MAX_MODEL_BYTES 512
#define MAX_USER_BYTES 256
#define MAX_CHOICES 128

#define KEY_IS(key, literal) yyjson_equals_strn(key, literal, sizeof(literal) - 1)

/* ---- members of a request ---- */

struct pick {
	const char *key;
	yyjson_val *value; /* NULL: absent, or null */
};

/*
 * Finds the members in one walk. false: the body is no object, or one of them is there twice: then
 * the provider could read another value than the one that was checked.
 */
bool pick_members(yyjson_val *root, struct pick *picks, int n, struct err *err);

/* Each accepts an absent value (and writes nothing). false: wrong type, ERR_BAD_REQUEST. */
bool pick_str(const struct pick *p, size_t max_bytes, struct span *out, struct err *err);
bool pick_bool(const struct pick *p, bool *out, struct err *err);
/* A whole number; what is above LLM_MAX_COUNT becomes LLM_MAX_COUNT. */
bool pick_int(const struct pick *p, int64_t *out, struct err *err);

/* Cuts the end-user field to its limit; it stands in for a missing requesty.user_id. */
bool fill_user(
	struct llm_metadata *meta, struct llm_facts *facts, struct arena *a, struct err *err);

/* Edits that every format makes the same way: the model's name and the `requesty` object. */
void edit_common(const struct llm_facts *facts, const struct pass_edit *edit, struct json_edit *e);
/* The output's cap under a format's name for it. */
void edit_cap(const struct pass_edit *edit, const char *member, struct json_edit *e);

/* ---- usage ---- */

/*
 * Takes a later report of the same answer over an earlier one. Counts that a provider gives again
 * and again only grow; one that shrinks is not believed. The input classes are one statement:
 * they are taken together, so that tokens that move to another class are not counted twice.
 */
void usage_take(struct llm_usage *have, const struct llm_usage *now);

/* A count at a place of the usage object that may be missing; -1 then. */
int64_t usage_count(yyjson_val *object, const char *key);

/* ---- one event with pieces cut out ---- */

#define MAX_CUTS 32

struct cuts {
	struct span text;
	struct json_splice at[MAX_CUTS];
	int n;
	char mem[96]; /* what cut_set puts in */
	size_t mem_bytes;
	bool failed; /* more than fit */
};

void cut_add(struct cuts *c, const char *from, size_t n, struct span put);
/* Removes the object's members of that key with their comma; when asked, only those that are null.
 */
void cut_members(struct cuts *c, struct span object, const char *key, bool only_null);
/* Sets a member of the object to a short raw value, once or twice an event. */
void cut_set(struct cuts *c, struct span object, const char *key, struct span raw);
/* Appends a framed event. A name of length 0: no event line. */
void event_write(struct buf *out, struct span name, const struct cuts *c);

/* t->error may hold why an event is no JSON; makes it the error of a stream. */
void tap_garbage(struct tap *t);

/* ---- errors ---- */

/* What an error body says, in whatever shape. Spans point into the document or the body. */
struct said {
	struct span message, type, code, param;
	int64_t number; /* a numeric code or status, 0: none */
	char number_text[24];
};

/* Finds the error in a document. false: nothing in it looks like one. */
bool said_read(yyjson_val *root, struct said *said);

/* The HTTP status that type, code or number of the error stand for; 502 when they say nothing. */
int said_status(const struct said *said);

/* Fills err (class and words) and the native strings (NULL allowed). */
void said_keep(int status, const struct said *said, struct err *err, char native_type[64],
	char native_code[64]);

/* The common part of every dialect's read_error. */
void error_read(int status, struct span body, const struct json_scratch *scratch, struct err *err,
	char native_type[64], char native_code[64]);

/* ---- answers whose usage is all that matters ---- */

/*
 * The usage object's text of a whole JSON object that has `list` as an array, `usage` once as an
 * object, and no `error`. {NULL, 0}: not so, or the text is not balanced to its end.
 */
struct span scan_usage(struct span text, const char *list);

/* ---- events that differ in one piece of text ---- */

/*
 * After a parse: the event did nothing but add `bytes` of text to the answer (made: what replaced
 * it). Call it for such events only; what cannot be a template is not taken.
 */
void template_learn(struct tap *t, struct span name, struct span data, int64_t bytes,
	enum tap_verdict verdict, struct span made);
/* True: the event is the last one with another piece of text; it is counted, and `out` written. */
bool template_match(struct tap *t, struct span name, struct span data, struct buf *out,
	enum tap_verdict *verdict);
