/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * row - ids and short texts between rows and structs. For this folder.
 */
#include <string.h>
#include "state/store/store.h"

/* NULL when it is none. */
static inline struct db_value db_id(const struct id *id)
{
	return id_is_none(id) ? db_null() : db_blob(span_from(id->bytes, sizeof(id->bytes)));
}

/* An empty blob when it is none: part of a key that must not be NULL. */
static inline struct db_value db_id_or_empty(const struct id *id)
{
	return db_blob(span_from(id->bytes, id_is_none(id) ? 0 : sizeof(id->bytes)));
}

/* false: neither an id, nor empty or NULL. */
static inline bool row_id(const struct db_row *r, int column, struct id *out)
{
	struct span s = db_get_blob(r, column);

	*out = (struct id){0};
	if (s.n == sizeof(out->bytes))
		memcpy(out->bytes, s.p, s.n);
	return s.n == 0 || s.n == sizeof(out->bytes);
}

/* All but the month's, in five columns. */
static inline void row_limits(const struct db_row *r, int column, struct limits *out)
{
	out->nusd[PERIOD_WEEK] = db_get_int(r, column);
	out->nusd[PERIOD_DAY] = db_get_int(r, column + 1);
	out->requests = db_get_int(r, column + 2);
	out->tokens = db_get_int(r, column + 3);
	out->in_flight = db_get_int(r, column + 4);
}

/* With its NUL; false: it does not fit. */
static inline bool row_text(char *to, size_t room, struct span from)
{
	if (from.n >= room)
		return false;
	memcpy(to, from.n > 0 ? from.p : "", from.n);
	to[from.n] = '\0';
	return true;
}
