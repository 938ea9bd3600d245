/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/shared.h"
#include <stdio.h>

/* Limits of the `requesty` object; what is beyond them is refused, not cut. */
enum {
	MAX_TAGS = 32,
	MAX_TAG_BYTES = 128,
	MAX_ID_BYTES = 256,
	MAX_EXTRA_KEYS = 32,
	MAX_EXTRA_KEY_BYTES = 64,
	MAX_EXTRA_VALUE_BYTES = 1024,
};

static bool refuse(struct err *err, const char *param, const char *why)
{
	char path[64];

	snprintf(path, sizeof(path), "requesty%s%s", param[0] != '\0' ? "." : "", param);
	err_param(err, path);
	return err_set(err, ERR_BAD_REQUEST, "'%s' %s", path, why);
}

static bool read_id(
	yyjson_val *v, const char *key, struct arena *a, struct span *out, struct err *err)
{
	if (v == NULL)
		return true;
	if (!yyjson_is_str(v))
		return refuse(err, key, "must be a string");
	if (yyjson_get_len(v) > MAX_ID_BYTES)
		return refuse(err, key, "is longer than 256 bytes");
	*out = arena_copy(a, (struct span){yyjson_get_str(v), yyjson_get_len(v)});
	return out->p != NULL || err_set(err, ERR_NO_MEMORY, NULL);
}

static bool check_tags(yyjson_val *tags, struct err *err)
{
	size_t i, max;
	yyjson_val *tag;

	if (!yyjson_is_arr(tags))
		return refuse(err, "tags", "must be an array of strings");
	if (yyjson_arr_size(tags) > MAX_TAGS)
		return refuse(err, "tags", "has more than 32 entries");
	yyjson_arr_foreach(tags, i, max, tag)
	{
		if (!yyjson_is_str(tag))
			return refuse(err, "tags", "must be an array of strings");
		if (yyjson_get_len(tag) > MAX_TAG_BYTES)
			return refuse(err, "tags", "has an entry longer than 128 bytes");
	}
	return true;
}

static bool check_extra(yyjson_val *extra, struct span raw, struct err *err)
{
	struct json_member m;
	size_t i, max, at = 0;
	yyjson_val *key, *value;

	if (!yyjson_is_obj(extra))
		return refuse(err, "extra", "must be an object");
	if (yyjson_obj_size(extra) > MAX_EXTRA_KEYS)
		return refuse(err, "extra", "has more than 32 keys");
	yyjson_obj_foreach(extra, i, max, key, value)
	{
		if (yyjson_get_len(key) > MAX_EXTRA_KEY_BYTES)
			return refuse(err, "extra", "has a key longer than 64 bytes");
		if (!json_next(raw, &at, &m))
			return refuse(err, "extra", "cannot be read");
		/* Strings count without their escapes, all else as its JSON text. */
		if ((yyjson_is_str(value) ? yyjson_get_len(value) : m.value.n) >
			MAX_EXTRA_VALUE_BYTES)
			return refuse(err, "extra", "has a value longer than 1024 bytes");
	}
	return true;
}

static bool keep_raw(
	struct span text, const char *path, struct arena *a, struct span *out, struct err *err)
{
	*out = arena_copy(a, json_raw(text, path));
	return out->p != NULL || err_set(err, ERR_NO_MEMORY, NULL);
}

bool dialect_read_requesty(yyjson_val *root, struct span text, struct arena *a,
	struct llm_metadata *meta, struct err *err)
{
	yyjson_val *object = json_get(root, "requesty");
	struct pick picks[] = {{"tags"}, {"user_id"}, {"trace_id"}, {"extra"}, {"auto_cache"}};

	if (object == NULL || yyjson_is_null(object))
		return true;
	if (!yyjson_is_obj(object))
		return refuse(err, "", "must be an object");
	if (!pick_members(object, picks, 5, err))
		return false;
	if (picks[0].value != NULL &&
		(!check_tags(picks[0].value, err) ||
			!keep_raw(text, "requesty.tags", a, &meta->tags, err)))
		return false;
	if (!read_id(picks[1].value, "user_id", a, &meta->user_id, err) ||
		!read_id(picks[2].value, "trace_id", a, &meta->trace_id, err))
		return false;
	if (picks[3].value != NULL &&
		(!check_extra(picks[3].value, json_raw(text, "requesty.extra"), err) ||
			!keep_raw(text, "requesty.extra", a, &meta->extra, err)))
		return false;
	if (picks[4].value == NULL)
		return true;
	if (!yyjson_is_bool(picks[4].value))
		return refuse(err, "auto_cache", "must be true or false");
	meta->auto_cache = yyjson_get_bool(picks[4].value);
	meta->has_auto_cache = true;
	return true;
}
