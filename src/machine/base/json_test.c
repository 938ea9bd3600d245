/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "machine/base/buf.h"

#define EDIT_SPANS (2 * JSON_MAX_SPLICES + 1)

static char scratch_mem[64 * 1024];
static const struct json_scratch scratch = {scratch_mem, sizeof(scratch_mem)};

static bool reads(const char *text)
{
	struct err err = {0};
	yyjson_doc *doc = json_read(&scratch, span_of(text), &err);

	assert_int_equal(doc == NULL, err.code != ERR_OK);
	json_free(doc);
	return doc != NULL;
}

static void reads_rfc_8259_and_nothing_else(void **state)
{
	assert_true(reads("{}") && reads(" [1, -0.5e-3, true, null, \"\\u00e9\\ud83d\\ude00\"]\n"));
	assert_true(reads("1e400") && reads("123456789012345678901234567890"));
	assert_false(reads("") || reads(" ") || reads("{\"a\":1,}") || reads("[1] x"));
	assert_false(reads("{'a':1}") || reads("[NaN]") || reads("// c\n1") || reads("[01]"));
	assert_false(reads("\xef\xbb\xbf{}") || reads("\"\xff\"") || reads("\"\xed\xa0\x80\""));
	assert_false(reads("\"\\ud800\"") || reads("\"a\nb\"") || reads("{\"a\" 1}"));
}

static void says_where_it_is_wrong(void **state)
{
	struct err err = {0};

	assert_null(json_read(NULL, SPAN("{\n  \"a\": 1,\n  \"b\": tru\n}"), &err));
	assert_int_equal(err.code, ERR_BAD_JSON);
	assert_non_null(strstr(err.text, "line 3 column 8: "));
}

static void loose_reading_takes_broken_text_only(void **state)
{
	yyjson_doc *doc = json_read_loose(&scratch,
		SPAN("[\"a\\ud83d\",\"\xff\",\"\\ude00\\ud83d\\ude00\",\"\\\\ud83d\"]"), NULL);
	yyjson_val *root = yyjson_doc_get_root(doc);

	assert_non_null(doc);
	assert_string_equal(yyjson_get_str(yyjson_arr_get(root, 0)), "a\xef\xbf\xbd");
	assert_string_equal(yyjson_get_str(yyjson_arr_get(root, 1)), "\xff");
	assert_string_equal(
		yyjson_get_str(yyjson_arr_get(root, 2)), "\xef\xbf\xbd\xf0\x9f\x98\x80");
	assert_string_equal(yyjson_get_str(yyjson_arr_get(root, 3)), "\\ud83d");
	json_free(doc);
	assert_null(json_read_loose(&scratch, SPAN("[\"\\ud83\"]"), NULL));
	assert_null(json_read_loose(&scratch, SPAN("[\"a\",]"), NULL));
}

/* n opening brackets around a 1. */
static struct span tower(char *mem, size_t n)
{
	memset(mem, '[', n);
	mem[n] = '1';
	memset(mem + n + 1, ']', n);
	return span_from(mem, 2 * n + 1);
}

static void refuses_more_than_64_levels(void **state)
{
	struct json_scratch const *const both[] = {&scratch, NULL};
	char *mem = malloc(4000001);
	struct err err;
	yyjson_doc *doc;

	assert_non_null(mem);
	for (int i = 0; i < 2; i++) {
		doc = json_read(both[i], tower(mem, 64), NULL);
		assert_non_null(doc);
		json_free(doc);
		for (size_t n = 65; n < 2000000; n *= 3) {
			err = (struct err){0};
			assert_null(json_read(both[i], tower(mem, n), &err));
			assert_int_equal(err.code, ERR_BAD_JSON);
			assert_non_null(strstr(err.text, "64 levels"));
		}
	}
	/* Siblings are not levels. */
	memcpy(mem, "[[]", 3);
	for (size_t i = 1; i < 500; i++)
		memcpy(mem + 3 * i, ",[]", 3);
	mem[1500] = ']';
	doc = json_read(&scratch, span_from(mem, 1501), &err);
	assert_non_null(doc);
	json_free(doc);
	free(mem);
}

static void small_documents_live_in_the_scratch(void **state)
{
	yyjson_doc *doc = json_read(&scratch, SPAN("{\"a\":[1,2,3]}"), NULL);

	assert_true((char *)doc >= scratch_mem && (char *)doc < scratch_mem + sizeof(scratch_mem));
	json_free(doc);
}

/* Two-byte values need far more than the text; the scratch is too small and malloc takes over. */
static void dense_documents_grow_out_of_the_scratch(void **state)
{
	struct buf b;
	yyjson_doc *doc;

	buf_init(&b, 1 << 20);
	buf_append_char(&b, '[');
	for (int i = 0; i < 7000; i++)
		buf_append_cstr(&b, "1,");
	buf_append_cstr(&b, "1]");
	doc = json_read(&scratch, buf_span(&b), NULL);
	assert_non_null(doc);
	assert_int_equal(yyjson_arr_size(yyjson_doc_get_root(doc)), 7001);
	json_free(doc);
	buf_done(&b);
}

static void getters_check_the_type(void **state)
{
	yyjson_doc *doc = json_read(&scratch,
		SPAN("{\"s\":\"x\",\"b\":true,\"n\":7,\"big\":1099511627777,\"neg\":-1,\"f\":1.0,"
		     "\"z\":null,\"d\":1,\"d\":2,\"top\":1099511627776,\"huge\":1e400}"),
		NULL);
	yyjson_val *root = yyjson_doc_get_root(doc);
	struct span s = SPAN("kept");
	int64_t n = -5;
	bool b = false;

	assert_true(json_get_str(root, "s", &s) && span_is(s, "x"));
	assert_true(json_get_bool(root, "b", &b) && b);
	assert_true(json_get_count(root, "n", &n) && n == 7);
	assert_true(json_get_count(root, "d", &n) && n == 2);
	assert_true(json_get_count(root, "top", &n) && n == (int64_t)1 << 40);
	n = -5;
	assert_false(json_get_count(root, "big", &n) || json_get_count(root, "neg", &n) ||
		     json_get_count(root, "f", &n) || json_get_count(root, "z", &n) ||
		     json_get_count(root, "s", &n) || json_get_count(root, "no", &n) ||
		     json_get_count(root, "huge", &n));
	assert_int_equal(n, -5);
	assert_false(json_get_str(root, "n", &s) || json_get_bool(root, "n", &b));
	assert_null(json_get(yyjson_obj_get(root, "s"), "x"));
	assert_null(json_get(NULL, "x"));
	json_free(doc);
}

/* Applies "path=raw" or "path" (removed) in order and compares with what is expected. */
static void edits(const char *text, const char *const *changes, const char *expected)
{
	struct arena a;
	struct json_edit e;
	struct span spans[EDIT_SPANS];
	struct buf out;
	yyjson_doc *doc;
	int n;

	arena_init(&a, 1 << 20);
	buf_init(&out, 1 << 20);
	json_edit_init(&e, &a, span_of(text));
	for (; *changes != NULL; changes++) {
		struct span raw = span_of(*changes), path = span_cut(&raw, '=');

		if (raw.p != NULL)
			json_edit_set(&e, arena_cstr(&a, path), raw);
		else
			json_edit_remove(&e, *changes);
	}
	n = json_edit_spans(&e, spans, EDIT_SPANS);
	assert_true(n >= 0);
	for (int i = 0; i < n; i++)
		buf_append(&out, spans[i]);
	assert_int_equal(json_edit_size(&e), out.n);
	buf_append_char(&out, '\0');
	assert_string_equal(out.mem, expected);
	doc = json_read(&scratch, span_from(out.mem, out.n - 1), NULL);
	assert_non_null(doc);
	json_free(doc);
	buf_done(&out);
	arena_done(&a);
}

#define CHANGES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void edits_change_nothing_else(void **state)
{
	edits("{\"a\":1}", CHANGES("zz"), "{\"a\":1}");
	edits(" { \"model\" : \"x\" , \"n\":1.50e2 }\n", CHANGES("model=\"y\""),
		" { \"model\" : \"y\" , \"n\":1.50e2 }\n");
	edits("{\"a\":{\"model\":1},\"model\":2}", CHANGES("model=3"),
		"{\"a\":{\"model\":1},\"model\":3}");
	edits("{\"a\":\"\\\\\",\"b\":\"\\\"model\\\":\",\"model\":2}", CHANGES("model=3"),
		"{\"a\":\"\\\\\",\"b\":\"\\\"model\\\":\",\"model\":3}");
	edits("{\"model\":1,\"mod\\u0065l\":2}", CHANGES("model=3"),
		"{\"model\":1,\"mod\\u0065l\":3}");
}

static void edits_append(void **state)
{
	edits("{}", CHANGES("a=1"), "{\"a\":1}");
	edits(" { } ", CHANGES("a=1", "b=2"), " {\"a\":1,\"b\":2 } ");
	edits("{\"x\":0 }", CHANGES("a=1", "b.c=2", "b.d.e=3"),
		"{\"x\":0,\"a\":1,\"b\":{\"c\":2,\"d\":{\"e\":3}} }");
	edits("{\"s\":{\"o\":1},\"m\":[1]}", CHANGES("s.include_usage=true"),
		"{\"s\":{\"o\":1,\"include_usage\":true},\"m\":[1]}");
	edits("{\"s\":{},\"m\":[1]}", CHANGES("s.u=true", "m=2"), "{\"s\":{\"u\":true},\"m\":2}");
	edits("{\"s\":null}", CHANGES("s.u=true"), "{\"s\":{\"u\":true}}");
	edits("{\"s\":null}", CHANGES("s.u"), "{\"s\":null}");
}

static void edits_remove_with_their_comma(void **state)
{
	edits("{\"a\":1}", CHANGES("a"), "{}");
	edits("{\"a\":1,\"b\":2,\"c\":3}", CHANGES("a"), "{\"b\":2,\"c\":3}");
	edits("{\"a\":1,\"b\":2,\"c\":3}", CHANGES("b"), "{\"a\":1,\"c\":3}");
	edits("{\"a\":1,\"b\":2,\"c\":3}", CHANGES("c"), "{\"a\":1,\"b\":2}");
	edits("{\"a\":1,\"b\":2,\"c\":3}", CHANGES("c", "b"), "{\"a\":1}");
	edits("{\"a\":1,\"b\":2,\"c\":3}", CHANGES("a", "b"), "{\"c\":3}");
	edits("{\"a\":1,\"b\":2,\"c\":3}", CHANGES("a", "c"), "{\"b\":2}");
	edits("{\"a\":1,\"b\":2,\"c\":3}", CHANGES("a", "b", "c"), "{}");
	edits("{ \"a\" : 1 , \"b\" : 2 }", CHANGES("b"), "{ \"a\" : 1 }");
	edits("{\"a\":1,\"b\":2,\"a\":3}", CHANGES("a"), "{\"b\":2}");
	edits("{\"a\":1,\"b\":2}", CHANGES("b", "c=3"), "{\"a\":1,\"c\":3}");
	edits("{\"b\":2}", CHANGES("b", "c=3"), "{\"c\":3}");
	edits("{\"x\":{\"y\":1,\"z\":2}}", CHANGES("x.z", "x.w=[]"), "{\"x\":{\"y\":1,\"w\":[]}}");
}

static void a_later_change_wins(void **state)
{
	edits("{\"a\":1}", CHANGES("a=2", "a=3"), "{\"a\":3}");
	edits("{\"a\":1}", CHANGES("a=2", "a"), "{}");
	edits("{\"a\":1}", CHANGES("a", "a=2"), "{\"a\":2}");
	edits("{\"a\":1}", CHANGES("a={\"b\":1}", "a.c=2"), "{\"a\":{\"b\":1,\"c\":2}}");
	edits("{\"a\":1}", CHANGES("a.b=2", "a=3"), "{\"a\":3}");
	edits("{\"a\":{\"x\":1}}", CHANGES("a", "a.b=2"), "{\"a\":{\"b\":2}}");
	edits("{\"a\":{\"x\":1}}", CHANGES("a", "a.b"), "{}");
}

static void an_edit_too_many_fails_as_a_whole(void **state)
{
	char key[] = "k00";
	struct span spans[EDIT_SPANS];
	struct json_edit e;
	struct arena a;

	arena_init(&a, 1 << 16);
	json_edit_init(&e, &a, SPAN("{}"));
	for (int i = 0; i <= JSON_MAX_SPLICES; i++) {
		key[1] = (char)('0' + i / 10);
		key[2] = (char)('0' + i % 10);
		json_edit_set(&e, arena_cstr(&a, span_of(key)), SPAN("1"));
	}
	assert_int_equal(json_edit_spans(&e, spans, EDIT_SPANS), -1);
	assert_int_equal(json_edit_size(&e), 0);
	json_edit_init(&e, &a, SPAN("{}"));
	json_edit_set(&e, "a.b.c.d", SPAN("1"));
	assert_int_equal(json_edit_spans(&e, spans, EDIT_SPANS), -1);
	arena_done(&a);
	arena_init(&a, 16);
	json_edit_init(&e, &a, SPAN("{}"));
	json_edit_set(&e, "a.b", SPAN("\"0123456789\""));
	assert_int_equal(json_edit_spans(&e, spans, EDIT_SPANS), -1);
	arena_done(&a);
}

static void finds_raw_text(void **state)
{
	struct span text =
		SPAN("{\"a\": {\"b\": [1, {\"c\": 1.0}] },\"a2\":\"x\",\"\\u0061\":{\"b\":2}}");

	assert_true(span_is(json_raw(text, "a.b"), "2"));
	assert_true(span_is(json_raw(text, "a2"), "\"x\""));
	assert_null(json_raw(text, "a.c").p);
	assert_null(json_raw(text, "a2.c").p);
	assert_null(json_raw(text, "q.a.b").p);
	assert_true(json_has_twice(text, "a"));
	assert_false(json_has_twice(text, "a2"));
	assert_false(json_has_twice(SPAN("[\"a\",\"a\"]"), "a"));
}

static void walks_arrays(void **state)
{
	struct span text = SPAN(" [ 1, \"a\" ,{\"x\":[]}, [2] ]"),
		    want[] = {SPAN("1"), SPAN("\"a\""), SPAN("{\"x\":[]}"), SPAN("[2]")};
	struct json_member m;
	size_t at = 0;

	for (int i = 0; i < 4; i++) {
		assert_true(json_next(text, &at, &m));
		assert_true(span_eq(m.value, want[i]) && m.key.p == NULL);
	}
	assert_false(json_next(text, &at, &m));
	at = 0;
	assert_false(json_next(SPAN("[]"), &at, &m) || json_next(SPAN("1"), &at, &m));
}

/* Prefixes of valid text are not valid; the scanner must only stop, inside the text. */
static void the_scanner_survives_any_prefix(void **state)
{
	struct span text =
		SPAN("{\"a\":{\"b\":[1,\"\\\\\\\"\",{\"c\":null}]},\"long string\":\"0123456789 "
		     "0123456789 \\\" 0123456789\",\"z\":-1.5e3}");
	struct json_member m;

	for (size_t n = 0; n < text.n; n++) {
		char *copy = malloc(n + 1);
		size_t at = 0;

		assert_non_null(copy);
		memcpy(copy, text.p, n);
		while (json_next(span_from(copy, n), &at, &m))
			assert_true(m.value.p + m.value.n <= copy + n);
		json_raw(span_from(copy, n), "a.b");
		free(copy);
	}
}

static void a_string_is_found_where_it_stands(void **state)
{
	static const char *const texts[] = {
		"{\"model\":\"a/b\",\"x\":\"a/b\"}",
		" \n{ \"x\" : [1,{\"model\":\"a/b\"}] , \"model\" :\t\"a/b\" }",
		"{\"m\\u006fdel\":1,\"\":\"\",\"model\":\"a/b\"}",
	};
	yyjson_doc *doc;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct span text = span_of(texts[i]), place;

		doc = json_read(NULL, text, NULL);
		place = json_place(yyjson_doc_get_root(doc), text,
			json_get(yyjson_doc_get_root(doc), "model"));
		assert_true(span_is(place, "\"a/b\""));
		assert_true(span_eq(place, json_raw(text, "model")));
		assert_ptr_equal(place.p, json_raw(text, "model").p);
		json_free(doc);
	}
	/* Escapes, and what is no string. */
	doc = json_read(NULL, SPAN("{\"a\":1,\"model\":\"a\\/b\"}"), NULL);
	assert_null(json_place(yyjson_doc_get_root(doc), SPAN("{\"a\":1,\"model\":\"a\\/b\"}"),
		json_get(yyjson_doc_get_root(doc), "model"))
			    .p);
	assert_null(json_place(yyjson_doc_get_root(doc), SPAN("{\"a\":1,\"model\":\"a\\/b\"}"),
		json_get(yyjson_doc_get_root(doc), "a"))
			    .p);
	json_free(doc);
}

static void check_known(const char *path, const char *raw, const char *want)
{
	const struct span text = SPAN("{\"b\":{\"c\":1},\"a\":\"x\",\"d\":2}");
	struct span spans[2 * JSON_MAX_SPLICES + 1];
	struct json_edit e;
	struct arena a;
	struct buf out;
	int n;

	arena_init(&a, 1 << 16);
	buf_init(&out, 1 << 16);
	json_edit_init(&e, &a, text);
	json_edit_known(&e, "a", json_raw(text, "a"));
	json_edit_known(&e, "b", json_raw(text, "b"));
	json_edit_known(&e, "d", (struct span){NULL, 0});
	json_edit_set(&e, "a", SPAN("\"y\""));
	if (raw != NULL)
		json_edit_set(&e, path, span_of(raw));
	else
		json_edit_remove(&e, path);
	n = json_edit_spans(&e, spans, 2 * JSON_MAX_SPLICES + 1);
	for (int i = 0; i < n; i++)
		buf_append(&out, spans[i]);
	assert_true(span_is(buf_span(&out), want));
	buf_done(&out);
	arena_done(&a);
}

static void known_members_are_edited_alike(void **state)
{
	check_known("b.e", "3", "{\"b\":{\"c\":1,\"e\":3},\"a\":\"y\",\"d\":2}");
	check_known("b.c", "3", "{\"b\":{\"c\":3},\"a\":\"y\",\"d\":2}");
	check_known("b", NULL, "{\"a\":\"y\",\"d\":2}");
	check_known("b", "4", "{\"b\":4,\"a\":\"y\",\"d\":2}");
	check_known("d", NULL, "{\"b\":{\"c\":1},\"a\":\"y\"}");
	check_known("e", "5", "{\"b\":{\"c\":1},\"a\":\"y\",\"d\":2,\"e\":5}");
	check_known("a.f", "6", "{\"b\":{\"c\":1},\"a\":{\"f\":6},\"d\":2}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_rfc_8259_and_nothing_else),
		cmocka_unit_test(says_where_it_is_wrong),
		cmocka_unit_test(a_string_is_found_where_it_stands),
		cmocka_unit_test(known_members_are_edited_alike),
		cmocka_unit_test(loose_reading_takes_broken_text_only),
		cmocka_unit_test(refuses_more_than_64_levels),
		cmocka_unit_test(small_documents_live_in_the_scratch),
		cmocka_unit_test(dense_documents_grow_out_of_the_scratch),
		cmocka_unit_test(getters_check_the_type),
		cmocka_unit_test(edits_change_nothing_else),
		cmocka_unit_test(edits_append),
		cmocka_unit_test(edits_remove_with_their_comma),
		cmocka_unit_test(a_later_change_wins),
		cmocka_unit_test(an_edit_too_many_fails_as_a_whole),
		cmocka_unit_test(finds_raw_text),
		cmocka_unit_test(walks_arrays),
		cmocka_unit_test(the_scanner_survives_any_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
