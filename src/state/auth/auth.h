/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * auth - who is calling: API keys, made, read and looked up.
 *
 * A key's text is "sk-sluice-" + 12 characters (public id) + "-" + 43 characters base 62 (256 bits
 * from the kernel) + 6 characters checksum. It is shown once; the table holds SHA-256 of the whole
 * text. Checksum and length are refused before any lookup; the compare takes constant time, for
 * unknown ids too. The table is shared by all threads; a deletion is in force when auth_remove
 * returns.
 */
#include "machine/base/err.h"
#include "machine/sys/sys.h"
#include "state/store/store.h"

#define AUTH_KEY_CHARS 72 /* of the text, without NUL: 10 + 12 + 1 + 43 + 6 */

struct auth_table;
struct access;

struct auth_identity {
	struct id key_id;
	char name[129];
	enum permission manage, completions;
	enum llm_drop drop; /* UNSET: as configured */
	struct key_owners owners;
	struct id access_id; /* the key's own access list */
};

/* A new key: row to store and text to show once. */
bool auth_make(struct sys *sys, const char *name, enum permission manage,
	enum permission completions, int64_t expires_ms, struct key_row *row,
	char text[AUTH_KEY_CHARS + 1], struct err *err);

/*
 * The credential of a request out of its header fields' values ({NULL, 0} when absent):
 * Authorization, x-api-key, api-key. None, an empty one: ERR_UNAUTHENTICATED; two that disagree, a
 * scheme other than Bearer: ERR_KEY_MALFORMED; both name the header. Pure.
 */
bool auth_read_headers(struct span authorization, struct span x_api_key, struct span api_key,
	struct span *key, struct err *err);

struct auth_table *auth_table_new(struct err *err);
struct access *auth_access(struct auth_table *t); /* access.h; the table's own */
void auth_table_free(struct auth_table *t);
bool auth_table_load(struct auth_table *t, struct store *s, struct err *err);
bool auth_add(struct auth_table *t, const struct key_row *row, struct err *err);
bool auth_remove(struct auth_table *t, const struct id *id);

/*
 * ERR_KEY_MALFORMED: not of a key's form (with a hint when it looks like a provider's key, the
 * checksum is wrong, or it is cut). ERR_KEY_REFUSED: unknown, deleted or expired. Any thread.
 */
bool auth_find(struct auth_table *t, struct span key, int64_t now_ms, struct auth_identity *out,
	struct err *err);
int auth_count(struct auth_table *t);
