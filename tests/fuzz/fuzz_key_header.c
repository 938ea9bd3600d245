/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials as a stranger sends them. The first byte says which of the three headers are there,
 * the rest are their values, 0x1f between them; the byte 0x01 stands for the text of the one key
 * that exists. Only that text, whole, is let in; and no refusal repeats what was sent.
 */
#include <assert.h>
#include <stdlib.h>
#include "machine/base/buf.h"
#include "state/auth/auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW_MS 1795435200000

static char key_text[AUTH_KEY_CHARS + 1];
static struct key_row key_row;
static struct auth_table *table;

static int64_t wall_ms(struct sys *sys)
{
	return NOW_MS;
}

static bool not_random(struct sys *sys, void *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)out)[i] = (uint8_t)(i * 37 + 11);
	return true;
}

static void set_up(void)
{
	struct sys sys = {.wall_ms = wall_ms, .random = not_random};
	struct err err = {0};

	assert(auth_make(
		&sys, "fuzz", PERMISSION_NONE, PERMISSION_WRITE, 0, &key_row, key_text, &err));
	table = auth_table_new(&err);
	assert(table != NULL && auth_add(table, &key_row, &err));
}

/* No run of 8 bytes of the secret part in a text that people and logs see. */
static void assert_discreet(const struct err *err, struct span sent)
{
	struct span text = span_of(err->text);

	assert(err->code == ERR_UNAUTHENTICATED || err->code == ERR_KEY_MALFORMED ||
		err->code == ERR_KEY_REFUSED);
	assert(text.n > 0);
	for (size_t at = 23; at + 8 <= AUTH_KEY_CHARS; at++)
		assert(span_find(text, span_from(key_text + at, 8)) < 0);
	assert(sent.n < 24 || span_find(text, sent) < 0);
}

static void find(struct span key)
{
	struct auth_identity who;
	struct err err = {0};
	bool is_known = span_eq(key, span_from(key_text, AUTH_KEY_CHARS));

	assert(auth_find(table, key, NOW_MS, &who, &err) == is_known);
	if (is_known)
		assert(memcmp(&who.key_id, &key_row.id, sizeof(who.key_id)) == 0);
	else
		assert_discreet(&err, key);
}

static bool is_inside(struct span part, struct span whole)
{
	return whole.p != NULL && part.p >= whole.p && part.p + part.n <= whole.p + whole.n;
}

static void read_headers(const struct span values[3])
{
	struct err err = {0};
	struct span key;

	if (!auth_read_headers(values[0], values[1], values[2], &key, &err)) {
		assert(err.code == ERR_UNAUTHENTICATED || err.code == ERR_KEY_MALFORMED);
		assert_discreet(&err, values[0]);
		return;
	}
	assert(key.n > 0 && span_eq(span_trim(key), key));
	assert(is_inside(key, values[0]) || is_inside(key, values[1]) || is_inside(key, values[2]));
	find(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span values[3] = {{NULL, 0}}, rest, part;
	struct buf text;

	if (table == NULL)
		set_up();
	if (size < 1 || size > 8192)
		return 0;
	buf_init(&text, 1 << 20);
	for (size_t i = 1; i < size; i++) {
		if (data[i] == 1)
			buf_append_cstr(&text, key_text);
		else
			buf_append_char(&text, (char)data[i]);
	}
	rest = buf_span(&text);
	find(rest);
	for (int i = 0; i < 3; i++) {
		part = span_cut(&rest, 0x1f);
		if ((data[0] & 1 << i) != 0)
			values[i] = part.p != NULL ? part : SPAN("");
	}
	read_headers(values);
	buf_done(&text);
	return 0;
}
