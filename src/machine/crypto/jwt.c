/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/crypto/jwt.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include "machine/base/base64.h"

#define MIN_KEY_BITS 2048
#define MAX_HEADER_BYTES 1024

struct jwt_key {
	int refs;
	EVP_PKEY *key;
};

/* An encrypted key is refused: the library would ask for its password at the terminal. */
static int no_password(char *text, int size, int writing, void *user)
{
	return -1;
}

static EVP_PKEY *read_key(struct span pem)
{
	BIO *bio = pem.n <= INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	EVP_PKEY *key = NULL;

	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	BIO_free(bio);
	ERR_clear_error();
	return key;
}

struct jwt_key *jwt_key_new(struct span pem, struct err *err)
{
	struct jwt_key *k = calloc(1, sizeof(*k));

	if (k == NULL) {
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	k->refs = 1;
	k->key = pem.n > 0 ? read_key(pem) : NULL;
	if (k->key != NULL && EVP_PKEY_is_a(k->key, "RSA") &&
		EVP_PKEY_get_bits(k->key) >= MIN_KEY_BITS)
		return k;
	jwt_key_unref(k);
	err_set(err, ERR_CONFIG, "is no RSA private key in PEM of %d bits or more", MIN_KEY_BITS);
	return NULL;
}

struct jwt_key *jwt_key_ref(struct jwt_key *k)
{
	__atomic_add_fetch(&k->refs, 1, __ATOMIC_RELAXED);
	return k;
}

void jwt_key_unref(struct jwt_key *k)
{
	if (k == NULL || __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	EVP_PKEY_free(k->key);
	free(k);
}

static bool put_header(struct buf *out, struct span key_id)
{
	struct buf header;
	bool ok;

	buf_init(&header, MAX_HEADER_BYTES);
	buf_append_cstr(&header, "{\"alg\":\"RS256\",\"typ\":\"JWT\"");
	if (key_id.n > 0)
		buf_printf(&header, ",\"kid\":\"%.*s\"", SPAN_ARG(key_id));
	buf_append_char(&header, '}');
	ok = !header.failed && base64url_write(out, buf_span(&header));
	buf_done(&header);
	return ok;
}

static bool put_signature(EVP_PKEY *key, struct buf *out, size_t from)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = (size_t)EVP_PKEY_get_size(key);
	unsigned char *signature = malloc(n);
	struct span text = span_skip(buf_span(out), from);
	bool ok;

	ok = ctx != NULL && signature != NULL &&
	     EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	     EVP_DigestSign(ctx, signature, &n, (const unsigned char *)text.p, text.n) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	ok = ok && buf_append_char(out, '.') && base64url_write(out, span_from(signature, n));
	free(signature);
	return ok;
}

bool jwt_sign(const struct jwt_key *k, struct span key_id, struct span claims, struct buf *out,
	struct err *err)
{
	size_t from = out->n;

	for (size_t i = 0; i < key_id.n; i++)
		if (key_id.p[i] < ' ' || key_id.p[i] > '~' || key_id.p[i] == '"' ||
			key_id.p[i] == '\\')
			return err_set(
				err, ERR_CONFIG, "The key's id holds a character that no id has");
	if (put_header(out, key_id) && buf_append_char(out, '.') && base64url_write(out, claims) &&
		put_signature(k->key, out, from))
		return true;
	return err_set(err, ERR_NO_MEMORY, NULL);
}
