/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/crypto/jwt.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include "machine/base/base64.h"

static void write_pem(EVP_PKEY *key, struct buf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;

	assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &text);
	buf_init(out, 1 << 16);
	buf_append(out, span_from(text, (size_t)n));
	BIO_free(bio);
}

/* Made once: a new key takes a while. */
static EVP_PKEY *key;
static struct buf pem;

static int make_key(void **state)
{
	key = EVP_RSA_gen(2048);
	write_pem(key, &pem);
	return key == NULL;
}

static int free_key(void **state)
{
	EVP_PKEY_free(key);
	buf_done(&pem);
	return 0;
}

static void decode(struct span text, struct buf *out)
{
	struct buf padded;

	buf_init(&padded, 1 << 16);
	buf_init(out, 1 << 16);
	for (size_t i = 0; i < text.n; i++)
		buf_append_char(&padded, text.p[i] == '-'   ? '+'
					 : text.p[i] == '_' ? '/'
							    : text.p[i]);
	while (padded.n % 4 != 0)
		buf_append_char(&padded, '=');
	assert_true(base64_read(out, buf_span(&padded)));
	buf_done(&padded);
}

/* As the receiver does it: with the public key alone. */
static bool verifies(EVP_PKEY *public, struct span token)
{
	ptrdiff_t dot = span_find_last_char(token, '.');
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct buf signature;
	bool ok;

	decode(span_skip(token, (size_t)dot + 1), &signature);
	ok = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, public) == 1 &&
	     EVP_DigestVerify(ctx, (const unsigned char *)buf_span(&signature).p, signature.n,
		     (const unsigned char *)token.p, (size_t)dot) == 1;
	EVP_MD_CTX_free(ctx);
	buf_done(&signature);
	return ok;
}

static void a_token_is_verified_with_the_public_key(void **state)
{
	struct jwt_key *k = jwt_key_new(buf_span(&pem), NULL);
	struct span rest, part;
	struct buf out, plain;

	assert_non_null(k);
	buf_init(&out, 1 << 16);
	assert_true(jwt_sign(k, SPAN("id-1"), SPAN("{\"iss\":\"a@b\"}"), &out, NULL));
	assert_true(verifies(key, buf_span(&out)));
	rest = buf_span(&out);
	part = span_cut(&rest, '.');
	decode(part, &plain);
	assert_true(
		span_is(buf_span(&plain), "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"id-1\"}"));
	buf_done(&plain);
	part = span_cut(&rest, '.');
	decode(part, &plain);
	assert_true(span_is(buf_span(&plain), "{\"iss\":\"a@b\"}"));
	buf_done(&plain);
	out.mem[out.off + 3] ^= 1;
	assert_false(verifies(key, buf_span(&out)));
	buf_done(&out);
	jwt_key_unref(k);
}

/* Behind what is in the buf already, and without an id. */
static void a_token_is_appended(void **state)
{
	struct jwt_key *k = jwt_key_ref(jwt_key_new(buf_span(&pem), NULL));
	struct buf out;

	jwt_key_unref(k);
	buf_init(&out, 1 << 16);
	buf_append_cstr(&out, "assertion=");
	assert_true(jwt_sign(k, SPAN(""), SPAN("{}"), &out, NULL));
	assert_true(verifies(key, span_skip(buf_span(&out), 10)));
	buf_done(&out);
	buf_init(&out, 100);
	assert_false(jwt_sign(k, SPAN(""), SPAN("{}"), &out, NULL));
	buf_done(&out);
	jwt_key_unref(k);
}

static void refuses_other_keys_and_says_nothing_of_them(void **state)
{
	EVP_PKEY *other[] = {EVP_EC_gen("P-256"), EVP_RSA_gen(1024)};
	static const char *const bad[] = {
		"", "secret", "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"};
	struct err err = {0};
	struct jwt_key *k;
	struct buf out;

	for (size_t i = 0; i < 2; i++) {
		write_pem(other[i], &out);
		assert_null(jwt_key_new(buf_span(&out), &err));
		assert_int_equal(err.code, ERR_CONFIG);
		buf_done(&out);
		EVP_PKEY_free(other[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err = (struct err){0};
		assert_null(jwt_key_new(span_of(bad[i]), &err));
		assert_null(strstr(err.text, "secret"));
	}
	k = jwt_key_new(buf_span(&pem), NULL);
	buf_init(&out, 1 << 16);
	assert_false(jwt_sign(k, SPAN("a\"b"), SPAN("{}"), &out, NULL));
	buf_done(&out);
	jwt_key_unref(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_is_verified_with_the_public_key),
		cmocka_unit_test(a_token_is_appended),
		cmocka_unit_test(refuses_other_keys_and_says_nothing_of_them),
	};

	return cmocka_run_group_tests(tests, make_key, free_key);
}
