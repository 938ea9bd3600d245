/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/crypto/sign_v4.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* AWS's published suite (aws4_testsuite): its key, its moment, its service. */
#define KEY "AKIDEXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define MOMENT INT64_C(1440938160000) /* 2015-08-30T12:36:00Z */

static struct arena arena;

static const struct span none = {NULL, 0};

static struct sign_v4 suite(const char *method, const char *path, const char *query)
{
	struct sign_v4 s = {.method = span_of(method),
		.host = SPAN("example.amazonaws.com"),
		.path = span_of(path),
		.query = span_of(query),
		.access_key = SPAN(KEY),
		.secret = SPAN(SECRET),
		.region = SPAN("us-east-1"),
		.service = SPAN("service"),
		.wall_ms = MOMENT};

	hash_sha256(none, s.body_sha256);
	return s;
}

static struct span field(const struct sign_v4_field *out, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (span_is(out[i].name, name))
			return out[i].value;
	return none;
}

static void signs(const struct sign_v4 *in, const char *names, const char *signature)
{
	struct sign_v4_field out[SIGN_V4_MAX_ADDED];
	struct err err = {0};
	char wanted[512];
	int n;

	arena_init(&arena, 1 << 16);
	n = sign_v4(in, &arena, out, &err);
	assert_int_not_equal(n, 0);
	snprintf(wanted, sizeof(wanted),
		"AWS4-HMAC-SHA256 Credential=%.*s/20150830/%.*s/%.*s/aws4_request, "
		"SignedHeaders=%s, Signature=%s",
		SPAN_ARG(in->access_key), SPAN_ARG(in->region), SPAN_ARG(in->service), names,
		signature);
	if (!span_is(field(out, n, "authorization"), wanted))
		fail_msg(
			"wanted %s\n   got %.*s", wanted, SPAN_ARG(field(out, n, "authorization")));
	assert_true(span_is(field(out, n, "x-amz-date"), "20150830T123600Z"));
	arena_done(&arena);
}

static void published_suite_paths_and_queries(void **state)
{
	static const struct {
		const char *method, *path, *query, *signature;
	} rows[] = {
		/* get-vanilla, and what is the same: get-vanilla-query, normalize-path */
		{"GET", "/", "",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"GET", "", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"GET", "//", "",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"GET", "/./", "",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"GET", "/example/..", "",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"GET", "/example1/example2/../..", "",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"GET", "/../..", "",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		/* get-vanilla-query-order-key-case */
		{"GET", "/", "Param2=value2&Param1=value1",
			"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		/* get-vanilla-query-unreserved */
		{"GET", "/",
			"-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz="
			"-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
			"9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
		/* get-utf8 */
		{"GET", "/\xe1\x88\xb4", "",
			"8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
		/* get-vanilla-utf8-query, as it is and percent-encoded */
		{"GET", "/", "\xe1\x88\xb4=bar",
			"2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
		{"GET", "/", "%e1%88%b4=bar",
			"2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
		/* post-vanilla */
		{"POST", "/", "",
			"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sign_v4 s = suite(rows[i].method, rows[i].path, rows[i].query);

		signs(&s, "host;x-amz-date", rows[i].signature);
	}
}

static void published_suite_fields(void **state)
{
	static const struct {
		struct sign_v4_field fields[3];
		int n;
		const char *method, *names, *signature;
	} rows[] = {
		/* post-header-key-sort */
		{{{SPAN("My-Header1"), SPAN("value1")}}, 1, "POST", "host;my-header1;x-amz-date",
			"c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
		/* get-header-key-duplicate */
		{{{SPAN("My-Header1"), SPAN("value2")}, {SPAN("My-Header1"), SPAN("value2")},
			 {SPAN("My-Header1"), SPAN("value1")}},
			3, "GET", "host;my-header1;x-amz-date",
			"c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
		/* get-header-value-trim */
		{{{SPAN("My-Header1"), SPAN(" value1")},
			 {SPAN("My-Header2"), SPAN(" \"a   b   c\"")}},
			2, "GET", "host;my-header1;my-header2;x-amz-date",
			"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sign_v4 s = suite(rows[i].method, "/", "");

		s.fields = rows[i].fields;
		s.n_fields = rows[i].n;
		signs(&s, rows[i].names, rows[i].signature);
	}
}

/* post-x-www-form-urlencoded */
static void published_suite_body(void **state)
{
	const struct sign_v4_field type = {
		SPAN("Content-Type"), SPAN("application/x-www-form-urlencoded")};
	struct sign_v4 s = suite("POST", "/", "");

	s.fields = &type;
	s.n_fields = 1;
	hash_sha256(SPAN("Param1=value1"), s.body_sha256);
	signs(&s, "content-type;host;x-amz-date",
		"ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
}

/* AWS General Reference: IAM's ListUsers. */
static void documentation_example(void **state)
{
	const struct sign_v4_field type = {
		SPAN("content-type"), SPAN("application/x-www-form-urlencoded; charset=utf-8")};
	struct sign_v4 s = suite("GET", "/", "Action=ListUsers&Version=2010-05-08");

	s.host = SPAN("iam.amazonaws.com");
	s.service = SPAN("iam");
	s.fields = &type;
	s.n_fields = 1;
	signs(&s, "content-type;host;x-amz-date",
		"5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
}

/* Computed by botocore: the path's "%3A" is encoded once more. */
static void a_model_with_a_colon(void **state)
{
	const struct sign_v4_field type = {SPAN("content-type"), SPAN("application/json")};
	struct sign_v4 s =
		suite("POST", "/model/anthropic.claude-3-5-sonnet-20240620-v1%3A0/converse", "");

	s.host = SPAN("bedrock-runtime.us-east-1.amazonaws.com");
	s.service = SPAN("bedrock");
	s.fields = &type;
	s.n_fields = 1;
	hash_sha256(SPAN("{\"a\":1}"), s.body_sha256);
	signs(&s, "content-type;host;x-amz-date",
		"8a781119d9cde2c8fecabd4b47ac2ca1132990136a96fcf8b7a3d39dba38d195");
	/* An ARN holds '/' too; computed by another implementation of the algorithm. */
	s.path = SPAN("/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2F"
		      "us.amazon.nova-2-lite-v1%3A0/converse-stream");
	signs(&s, "content-type;host;x-amz-date",
		"e5be441634d2a395a9bb16bfbbe510dfee9eaa2628594d302869406e376d1ab5");
}

/* post-sts-header-before with its token signed; then the body's hash, too. */
static void what_is_added_is_signed(void **state)
{
	struct sign_v4 s = suite("POST", "/", "");
	struct sign_v4_field out[SIGN_V4_MAX_ADDED];
	int n;

	s.session_token =
		SPAN("AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQW"
		     "LWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGd"
		     "QrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU"
		     "9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz"
		     "+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==");
	signs(&s, "host;x-amz-date;x-amz-security-token",
		"85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead");
	s.send_sha256 = true;
	arena_init(&arena, 1 << 16);
	n = sign_v4(&s, &arena, out, NULL);
	assert_int_equal(n, 4);
	assert_true(span_eq(field(out, n, "x-amz-security-token"), s.session_token));
	assert_true(span_is(field(out, n, "x-amz-content-sha256"),
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
	assert_true(span_find(field(out, n, "authorization"),
			    SPAN("host;x-amz-content-sha256;x-amz-date;x-amz-security-token")) > 0);
	arena_done(&arena);
}

static void bad_credentials_are_told_without_them(void **state)
{
	const struct span bad[] = {SPAN(""), SPAN("two words"), SPAN("line\nbreak")};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (int which = 0; which < 5; which++) {
			struct sign_v4 s = suite("GET", "/", "");
			struct span *texts[] = {
				&s.access_key, &s.secret, &s.region, &s.service, &s.session_token};
			struct sign_v4_field out[SIGN_V4_MAX_ADDED];
			struct err err = {0};

			if (which == 4 && bad[i].n == 0)
				continue;
			*texts[which] = bad[i];
			arena_init(&arena, 1 << 16);
			assert_int_equal(sign_v4(&s, &arena, out, &err), 0);
			assert_int_equal(err.code, ERR_UPSTREAM_AUTH);
			assert_true(bad[i].n == 0 || span_find(span_of(err.text), bad[i]) < 0);
			arena_done(&arena);
		}
}

static void what_is_too_much_is_refused(void **state)
{
	static char path[600], query[600];
	struct sign_v4_field out[SIGN_V4_MAX_ADDED], fields[SIGN_V4_MAX_SIGNED + 1];
	struct sign_v4 s = suite("GET", "/", "");
	struct err err = {0};

	for (size_t i = 0; i + 1 < sizeof(path); i += 2) {
		memcpy(path + i, "/a", 2);
		memcpy(query + i, "&a", 2);
	}
	arena_init(&arena, 1 << 16);
	s.path = (struct span){path, sizeof(path)};
	assert_int_equal(sign_v4(&s, &arena, out, &err), 0);
	s.path = SPAN("/");
	s.query = (struct span){query, sizeof(query)};
	assert_int_equal(sign_v4(&s, &arena, out, NULL), 0);
	s.query = none;
	for (int i = 0; i <= SIGN_V4_MAX_SIGNED; i++)
		fields[i] = (struct sign_v4_field){SPAN("a"), SPAN("b")};
	s.fields = fields;
	s.n_fields = SIGN_V4_MAX_SIGNED + 1;
	assert_int_equal(sign_v4(&s, &arena, out, NULL), 0);
	s.n_fields = SIGN_V4_MAX_SIGNED;
	assert_int_equal(sign_v4(&s, &arena, out, NULL), 2);
	arena_done(&arena);
	/* No memory is an error, not half a signature. */
	arena_init(&arena, 32);
	err = (struct err){0};
	assert_int_equal(sign_v4(&s, &arena, out, &err), 0);
	assert_int_equal(err.code, ERR_NO_MEMORY);
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_suite_paths_and_queries),
		cmocka_unit_test(published_suite_fields),
		cmocka_unit_test(published_suite_body),
		cmocka_unit_test(documentation_example),
		cmocka_unit_test(a_model_with_a_colon),
		cmocka_unit_test(what_is_added_is_signed),
		cmocka_unit_test(bad_credentials_are_told_without_them),
		cmocka_unit_test(what_is_too_much_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
