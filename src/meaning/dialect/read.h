/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * read - members of documents that json_read_raw made, with their types checked. For the codecs.
 *
 * Each takes NULL and null as "not given" and writes nothing then. false: wrong type,
 * ERR_BAD_REQUEST naming `param`, the member's path.
 */
#include "meaning/dialect/codec.h"

bool read_str(yyjson_val *v, const char *param, struct span *out, struct err *err);
bool read_int(yyjson_val *v, const char *param, int64_t *out, struct err *err);
bool read_bool(yyjson_val *v, const char *param, bool *out, struct err *err);
bool read_maybe(yyjson_val *v, const char *param, enum llm_maybe *out, struct err *err);
bool read_number(yyjson_val *v, const char *param, struct span *out, struct err *err);
bool read_object(yyjson_val *v, const char *param, yyjson_val **out, struct err *err);
/* A string, or an array of strings. */
bool read_names(
	yyjson_val *v, const char *param, struct arena *a, struct llm_name **out, struct err *err);
bool read_wrong(const char *param, const char *wanted, struct err *err);

/* {"type": "ephemeral", "ttl": "5m" | "1h"}; anything else is no mark. */
enum llm_cache_mark read_cache_control(yyjson_val *object);

/* The text of a string value; {NULL, 0}: it is none. */
static inline struct span text_of(yyjson_val *v)
{
	if (!yyjson_is_str(v))
		return (struct span){NULL, 0};
	return (struct span){unsafe_yyjson_get_str(v), unsafe_yyjson_get_len(v)};
}

/* A member that is a string; {NULL, 0}: absent, or none. */
static inline struct span text_in(yyjson_val *object, const char *key)
{
	return text_of(json_get(object, key));
}

/* The value as JSON text, in the arena; {NULL, 0} without memory. */
struct span text_json(struct arena *a, yyjson_val *v);
