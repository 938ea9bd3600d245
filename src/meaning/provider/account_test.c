/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/account.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define FILE_TEXT                                                                                  \
	"{\"type\":\"service_account\",\"project_id\":\"p\",\"private_key_id\":\"id\","            \
	"\"private_key\":\"-----BEGIN\\nhidden\\n\",\"client_email\":\"a@p.iam\","                 \
	"\"token_uri\":\"https://oauth2.example/token\"}"

static void reads_a_key_file(void **state)
{
	struct google_account account;
	struct arena a;

	arena_init(&a, 1 << 16);
	assert_true(google_account_read(SPAN(FILE_TEXT), &a, &account, NULL));
	assert_true(span_is(account.client_email, "a@p.iam") &&
		    span_is(account.private_key, "-----BEGIN\nhidden\n") &&
		    span_is(account.private_key_id, "id") && span_is(account.project_id, "p") &&
		    span_is(account.token_uri, "https://oauth2.example/token"));
	arena_done(&a);
}

static void a_file_that_lacks_something_is_refused(void **state)
{
	static const char *const rows[][2] = {
		{"nonsense hidden", "no valid JSON"},
		{"[]", "not one of a service account"},
		{"{\"type\":\"authorized_user\",\"refresh_token\":\"hidden\"}",
			"not one of a service account"},
		{"{\"type\":\"service_account\"}", "no \"client_email\""},
		{"{\"type\":\"service_account\",\"client_email\":\"a\"}", "no \"private_key\""},
		{"{\"type\":\"service_account\",\"client_email\":\"a\",\"private_key\":\"hidden\"}",
			"no \"token_uri\""},
		{"{\"type\":\"service_account\",\"client_email\":\"a\\u0000b\"}", "is not valid"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct google_account account;
		struct err err = {0};
		struct arena a;

		arena_init(&a, 1 << 16);
		assert_false(google_account_read(span_of(rows[i][0]), &a, &account, &err));
		assert_int_equal(err.code, ERR_CONFIG);
		assert_non_null(strstr(err.text, rows[i][1]));
		assert_null(strstr(err.text, "hidden"));
		arena_done(&a);
	}
}

static void claims_are_good_for_an_hour(void **state)
{
	const struct google_account account = {
		.client_email = SPAN("a@p.iam"), .token_uri = SPAN("https://oauth2.example/token")};
	struct buf b;

	buf_init(&b, 1 << 12);
	assert_true(google_claims_write(&account, 1700000000, &b));
	assert_true(span_is(buf_span(&b),
		"{\"iss\":\"a@p.iam\",\"scope\":\"https://www.googleapis.com/auth/cloud-platform\","
		"\"aud\":\"https://oauth2.example/token\",\"iat\":1700000000,\"exp\":1700003600}"));
	buf_done(&b);
}

static void reads_a_token(void **state)
{
	struct span token;
	int64_t seconds;
	struct arena a;

	arena_init(&a, 1 << 16);
	assert_true(google_token_read(200,
		SPAN("{\"access_token\":\"ya29.x\",\"expires_in\":1800,\"token_type\":\"Bearer\"}"),
		&a, &token, &seconds, NULL));
	assert_true(span_is(token, "ya29.x"));
	assert_int_equal(seconds, 1800);
	assert_true(google_token_read(200, SPAN("{\"access_token\":\"t\",\"expires_in\":999999}"),
		&a, &token, &seconds, NULL));
	assert_int_equal(seconds, 3600);
	assert_true(google_token_read(
		200, SPAN("{\"access_token\":\"t\"}"), &a, &token, &seconds, NULL));
	assert_int_equal(seconds, 3600);
	arena_done(&a);
}

static void says_why_there_is_no_token(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum err_code code;
		const char *said;
	} rows[] = {
		{400, "{\"error\":\"invalid_grant\",\"error_description\":\"hidden\"}",
			ERR_UPSTREAM_AUTH, "invalid_grant"},
		{401, "{\"error\":\"hidden key: AIza\"}", ERR_UPSTREAM_AUTH, "status 401"},
		{403, "<html>hidden</html>", ERR_UPSTREAM_AUTH, "status 403"},
		{503, "", ERR_UPSTREAM, "status 503"},
		{200, "{}", ERR_UPSTREAM, "holds no token"},
		{200, "{\"access_token\":\"hidden x\"}", ERR_UPSTREAM, "holds no token"},
		{200, "{\"access_token\":7}", ERR_UPSTREAM, "holds no token"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span token;
		int64_t seconds;
		struct err err = {0};
		struct arena a;

		arena_init(&a, 1 << 16);
		assert_false(google_token_read(
			rows[i].status, span_of(rows[i].body), &a, &token, &seconds, &err));
		assert_int_equal(err.code, rows[i].code);
		assert_non_null(strstr(err.text, rows[i].said));
		assert_null(strstr(err.text, "hidden"));
		arena_done(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_key_file),
		cmocka_unit_test(a_file_that_lacks_something_is_refused),
		cmocka_unit_test(claims_are_good_for_an_hour),
		cmocka_unit_test(reads_a_token),
		cmocka_unit_test(says_why_there_is_no_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
