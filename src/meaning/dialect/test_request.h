/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* test_request - what the request tests share: a body read, and edited. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "machine/base/buf.h"
#include "meaning/dialect/shared.h"

struct request {
	struct arena arena;
	yyjson_doc *doc;
	struct span text;
	struct llm_facts facts;
	struct llm_metadata meta;
	struct err err;
	bool ok;
};

static inline struct request request_read(const struct dialect *d, enum llm_op op, const char *text)
{
	struct request r = {.text = span_of(text)};

	arena_init(&r.arena, 1 << 16);
	r.doc = json_read(NULL, r.text, NULL);
	assert_non_null(r.doc);
	r.ok = d->read_facts(
		op, yyjson_doc_get_root(r.doc), r.text, &r.arena, &r.facts, &r.meta, &r.err);
	assert_int_equal(r.ok, r.err.code == ERR_OK);
	return r;
}

static inline void request_done(struct request *r)
{
	json_free(r->doc);
	arena_done(&r->arena);
}

static inline void refuses(
	const struct dialect *d, enum llm_op op, const char *text, const char *param)
{
	struct request r = request_read(d, op, text);

	assert_false(r.ok);
	assert_int_equal(r.err.code, ERR_BAD_REQUEST);
	assert_string_equal(r.err.param, param);
	request_done(&r);
}

static inline void edits(const struct dialect *d, enum llm_op op, const char *text,
	const struct pass_edit *edit, const char *expected)
{
	struct request r = request_read(d, op, text);
	struct span spans[2 * JSON_MAX_SPLICES + 1];
	struct json_edit e;
	struct buf out;
	int n;

	assert_true(r.ok);
	buf_init(&out, 1 << 16);
	json_edit_init(&e, &r.arena, r.text);
	d->edit_request(op, &r.facts, edit, &e);
	n = json_edit_spans(&e, spans, 2 * JSON_MAX_SPLICES + 1);
	assert_true(n >= 0);
	for (int i = 0; i < n; i++)
		buf_append(&out, spans[i]);
	buf_append_char(&out, '\0');
	assert_string_equal(out.mem, expected);
	buf_done(&out);
	request_done(&r);
}
