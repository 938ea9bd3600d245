/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* test_tap - what the tap tests share: one event through a tap, the written bytes compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "machine/base/buf.h"
#include "meaning/dialect/shared.h"

static char scratch_mem[64 * 1024];
static const struct json_scratch scratch = {scratch_mem, sizeof(scratch_mem)};

static inline struct span fixed_cost(void *user, const struct llm_usage *u, char out[32])
{
	return SPAN("0.5");
}

/* expected: the framed event, NULL for an unchanged one, "" for one that is dropped. */
static inline void feed_named(const struct dialect *d, struct tap *t, const char *name,
	const char *data, const char *expected)
{
	struct buf out;
	enum tap_verdict verdict;

	buf_init(&out, 1 << 20);
	verdict = d->tap(t, span_of(name), span_of(data), &out);
	if (expected == NULL) {
		assert_int_equal(verdict, TAP_PASS);
		assert_int_equal(out.n, 0);
	} else if (expected[0] == '\0') {
		assert_int_equal(verdict, TAP_DROP);
		assert_int_equal(out.n, 0);
	} else {
		assert_int_equal(verdict, TAP_REPLACE);
		buf_append_char(&out, '\0');
		assert_string_equal(out.mem, expected);
	}
	buf_done(&out);
}
