/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/script.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static struct script *parse(const char *text)
{
	struct err err = {0};
	struct script *s = script_parse(span_of(text), &err);

	if (s == NULL)
		print_message("%s\n", err.text);
	assert_non_null(s);
	return s;
}

static void refuses(const char *text, const char *why)
{
	struct err err = {0};

	assert_null(script_parse(span_of(text), &err));
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	assert_non_null(strstr(err.text, why));
}

static void test_reads(void **state)
{
	struct script *s = parse(" delay=200; cut_bytes = 0 +no_done+retry_after=Wed%2C%2021%3B ");

	assert_int_equal(script_num(s, OPT_DELAY, 0), 200);
	assert_true(script_has(s, OPT_CUT_BYTES));
	assert_int_equal(script_num(s, OPT_CUT_BYTES, 9), 0);
	assert_true(script_is(s, OPT_NO_DONE));
	assert_false(script_has(s, OPT_GAP));
	assert_int_equal(script_num(s, OPT_GAP, 7), 7);
	assert_true(span_is(s->v[OPT_RETRY_AFTER].text, "Wed, 21;"));
	assert_true(s->shaped);
	assert_false(s->framed);
	script_unref(s);
}

static void test_signs_and_flags(void **state)
{
	struct script *s = parse("wrong_length=+7+delay=1");

	assert_int_equal(script_num(s, OPT_WRONG_LENGTH, 0), 7);
	assert_int_equal(script_num(s, OPT_DELAY, 0), 1);
	assert_int_equal(s->frame, FRAME_LENGTH);
	script_unref(s);
	s = parse("wrong_length=-3+rst=0+bad_chunk");
	assert_int_equal(script_num(s, OPT_WRONG_LENGTH, 0), -3);
	assert_false(script_is(s, OPT_RST));
	assert_int_equal(script_num(s, OPT_BAD_CHUNK, 0), 1);
	assert_int_equal(s->frame, FRAME_CHUNKED);
	script_unref(s);
}

static void test_refuses(void **state)
{
	char text[SCRIPT_MAX_BYTES + 2];

	refuses("dellay=1", "nearest is \"delay\"");
	refuses("quite_unknown", "unknown sim option");
	refuses("delay=x", "number");
	refuses("delay=-1", "number");
	refuses("delay=99999999999999999999", "number");
	refuses("status", "number");
	refuses("frame=odd", "none of its values");
	refuses("location=%2", "%XX");
	memset(text, '+', sizeof(text));
	assert_null(script_parse(span_from(text, sizeof(text)), NULL));
}

static void test_split(void **state)
{
	struct span script, name = script_split(SPAN("vendor/gpt+a=1+b"), &script);

	assert_true(span_is(name, "vendor/gpt"));
	assert_true(span_is(script, "a=1+b"));
	name = script_split(SPAN("gpt"), &script);
	assert_true(span_is(name, "gpt"));
	assert_int_equal(script.n, 0);
	name = script_split(SPAN("command-r+"), &script);
	assert_true(span_is(name, "command-r"));
	assert_int_equal(script.n, 0);
}

static void test_cache_shares(void **state)
{
	struct script_cache c;
	struct script *a, *b, *kept;
	char text[32];

	script_cache_init(&c);
	kept = script_cache_get(&c, SPAN("delay=1"), NULL);
	a = script_cache_get(&c, SPAN("delay=1"), NULL);
	assert_ptr_equal(a, kept);
	script_unref(a);
	for (int i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "delay=%d", i + 10);
		b = script_cache_get(&c, span_of(text), NULL);
		assert_non_null(b);
		script_unref(b);
	}
	assert_true(c.n <= 64);
	assert_int_equal(script_num(kept, OPT_DELAY, 0), 1);
	assert_null(script_cache_get(&c, SPAN("nonsense=1"), NULL));
	script_unref(kept);
	script_cache_done(&c);
}

static void test_docs_name_every_option(void **state)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	script_write_docs(&b);
	assert_false(b.failed);
#define OPT(id, name, kind, min, max, group, help)                                                 \
	assert_true(span_find(buf_span(&b), SPAN("| `" name)) >= 0);
#include "sim/options.def"
#undef OPT
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_signs_and_flags),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_cache_shares),
		cmocka_unit_test(test_docs_name_every_option),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
