/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/tls_context.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "machine/base/list.h"

#define MAX_HOSTS 256
#define SESSIONS_A_HOST 4
#define TICKET_KEY_MS 3600000

/* Sessions of one host, the newest last. */
struct saved {
	struct list node;
	int n;
	SSL_SESSION *sessions[SESSIONS_A_HOST];
	char host[];
};

struct ticket_key {
	int64_t made_ms; /* 0: none */
	unsigned char name[16], cipher[32], mac[32];
};

struct tls_context {
	atomic_int refs;
	bool server;
	SSL_CTX *ctx;
	BIO_METHOD *bio;
	pthread_mutex_t lock;
	struct list saved; /* client; last used first */
	int n_saved;
	struct ticket_key keys[2]; /* server; the one in use, the one before */
};

/* --- making --- */

/* wanted: what a file should have held; NULL: nothing more can be said. */
static bool refuse(struct err *err, const char *what, const char *wanted)
{
	unsigned long number = ERR_peek_error();
	const char *reason = ERR_reason_error_string(number);

	if (ERR_SYSTEM_ERROR(number))
		reason = strerror(ERR_GET_REASON(number));
	if (reason == NULL)
		reason = "OpenSSL refused it";
	if (ERR_SYSTEM_ERROR(number) || wanted == NULL)
		err_set(err, ERR_CONFIG, "%s: %s", what, reason);
	else
		err_set(err, ERR_CONFIG, "%s holds no %s (%s)", what, wanted, reason);
	ERR_clear_error();
	return false;
}

static long bio_ctrl(BIO *bio, int cmd, long n, void *p)
{
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static bool make_bio(struct tls_context *c)
{
	c->bio = BIO_meth_new(BIO_TYPE_MEM, "stream");
	return c->bio != NULL && BIO_meth_set_read(c->bio, tls_bio_read) == 1 &&
	       BIO_meth_set_write(c->bio, tls_bio_write) == 1 &&
	       BIO_meth_set_ctrl(c->bio, bio_ctrl) == 1 &&
	       BIO_meth_set_create(c->bio, bio_create) == 1;
}

static bool restrict_versions(SSL_CTX *ctx)
{
	/* Authenticated ciphers with forward secrecy; TLS 1.3 has no others. */
	static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	/* Records' buffers go between records: most connections are idle at any time. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_cipher_list(ctx, ciphers) == 1 &&
	       SSL_CTX_set_max_early_data(ctx, 0) == 1;
}

static struct tls_context *context_new(bool server, struct err *err)
{
	struct tls_context *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	atomic_init(&c->refs, 1);
	c->server = server;
	list_init(&c->saved);
	pthread_mutex_init(&c->lock, NULL);
	c->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (c->ctx != NULL && make_bio(c) && restrict_versions(c->ctx)) {
		SSL_CTX_set_app_data(c->ctx, c);
		return c;
	}
	refuse(err, "TLS settings", NULL);
	tls_context_unref(c);
	return NULL;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

static void saved_free(struct saved *s)
{
	for (int i = 0; i < s->n; i++)
		SSL_SESSION_free(s->sessions[i]);
	free(s);
}

void tls_context_unref(struct tls_context *c)
{
	struct list *node;

	if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
		return;
	while ((node = list_take_front(&c->saved)) != NULL)
		saved_free(LIST_ITEM(node, struct saved, node));
	SSL_CTX_free(c->ctx);
	BIO_meth_free(c->bio);
	OPENSSL_cleanse(c->keys, sizeof(c->keys));
	pthread_mutex_destroy(&c->lock);
	free(c);
}

bool tls_context_is_server(const struct tls_context *c)
{
	return c->server;
}

SSL *tls_context_ssl(struct tls_context *c, struct tls_owner *owner, void *user)
{
	SSL *ssl = SSL_new(c->ctx);
	BIO *bio = BIO_new(c->bio);

	if (ssl == NULL || bio == NULL) {
		SSL_free(ssl);
		BIO_free(bio);
		ERR_clear_error();
		return NULL;
	}
	BIO_set_data(bio, user);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_app_data(ssl, owner);
	return ssl;
}

/* --- server --- */

/* RFC 7301 section 3.2: without a protocol in common the handshake ends with an alert. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
	const unsigned char *offered, unsigned n, void *user)
{
	static const struct span ours = {"http/1.1", 8};

	for (unsigned at = 0; at < n;) {
		unsigned len = offered[at++];

		if (len > n - at)
			break;
		if (span_eq(span_from(offered + at, len), ours)) {
			*out = offered + at;
			*out_n = (unsigned char)len;
			return SSL_TLSEXT_ERR_OK;
		}
		at += len;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A new key every hour; the one before still opens the tickets it made. */
static bool rotate(struct tls_context *c, int64_t now_ms)
{
	struct ticket_key fresh = {.made_ms = now_ms};

	if (c->keys[0].made_ms != 0 && now_ms - c->keys[0].made_ms < TICKET_KEY_MS)
		return true;
	if (RAND_bytes(fresh.name, sizeof(fresh.name)) != 1 ||
		RAND_priv_bytes(fresh.cipher, sizeof(fresh.cipher)) != 1 ||
		RAND_priv_bytes(fresh.mac, sizeof(fresh.mac)) != 1)
		return false;
	c->keys[1] = c->keys[0];
	c->keys[0] = fresh;
	OPENSSL_cleanse(&fresh, sizeof(fresh));
	return true;
}

/* The key to seal with, or the one of this name; false when there is none. */
static bool find_key(struct tls_context *c, int64_t now_ms, const unsigned char *name,
	struct ticket_key *out, bool *old)
{
	bool found = false;

	pthread_mutex_lock(&c->lock);
	if (name == NULL) {
		found = rotate(c, now_ms);
		*out = c->keys[0];
	}
	for (int i = 0; name != NULL && i < 2 && !found; i++) {
		const struct ticket_key *key = &c->keys[i];

		found = key->made_ms != 0 && now_ms - key->made_ms < 2 * TICKET_KEY_MS &&
			memcmp(key->name, name, sizeof(key->name)) == 0;
		if (found) {
			*out = *key;
			*old = i > 0;
		}
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 done, 2 done but renew, 0 unknown key, -1 failed. */
static int on_ticket(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int seal)
{
	struct tls_owner *owner = SSL_get_app_data(ssl);
	struct ticket_key key;
	OSSL_PARAM params[3];
	bool old = false, ok;

	if (!find_key(owner->context, loop_now_ms(owner->loop) + 1, seal ? NULL : name, &key, &old))
		return seal ? -1 : 0;
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac, sizeof(key.mac));
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256", 0);
	params[2] = OSSL_PARAM_construct_end();
	if (seal) {
		memcpy(name, key.name, sizeof(key.name));
		ok = RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 &&
		     EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv) == 1;
	} else {
		ok = EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv) == 1;
	}
	ok = ok && EVP_MAC_CTX_set_params(mac, params) == 1;
	OPENSSL_cleanse(&key, sizeof(key));
	if (!ok)
		return -1;
	/* Clients use a ticket of TLS 1.3 once and need the next one. */
	return old || SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;
}

/* Nobody is there to type one. */
static int no_password(char *out, int n, int writing, void *user)
{
	return -1;
}

struct tls_context *tls_context_server(const char *cert_file, const char *key_file, struct err *err)
{
	static const unsigned char id[] = "server";
	struct tls_context *c = context_new(true, err);

	if (c == NULL)
		return NULL;
	SSL_CTX_set_options(c->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_default_passwd_cb(c->ctx, no_password);
	SSL_CTX_set_alpn_select_cb(c->ctx, on_alpn, NULL);
	/* Sessions live in tickets only; nothing is kept for a client that went. */
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(c->ctx, id, sizeof(id) - 1);
	SSL_CTX_set_num_tickets(c->ctx, 1);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(c->ctx, on_ticket);
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(c->ctx, cert_file) != 1)
		refuse(err, cert_file, "certificate in PEM form that can be used");
	else if (SSL_CTX_use_PrivateKey_file(c->ctx, key_file, SSL_FILETYPE_PEM) != 1 &&
		 ERR_GET_REASON(ERR_peek_error()) != X509_R_KEY_VALUES_MISMATCH)
		refuse(err, key_file, "private key in PEM form without a password");
	else if (SSL_CTX_check_private_key(c->ctx) != 1)
		err_set(err, ERR_CONFIG, "%s: not the key of the certificate in %s", key_file,
			cert_file);
	else
		return c;
	ERR_clear_error();
	tls_context_unref(c);
	return NULL;
}

/* --- client --- */

static struct saved *find_saved(struct tls_context *c, const char *host)
{
	LIST_EACH(node, &c->saved)
	{
		struct saved *s = LIST_ITEM(node, struct saved, node);

		if (strcmp(s->host, host) == 0) {
			list_remove(node);
			list_add_front(&c->saved, node);
			return s;
		}
	}
	return NULL;
}

static struct saved *add_saved(struct tls_context *c, const char *host)
{
	size_t n = strlen(host) + 1;
	struct saved *s = calloc(1, sizeof(*s) + n);

	if (s == NULL)
		return NULL;
	memcpy(s->host, host, n);
	list_add_front(&c->saved, &s->node);
	if (c->n_saved < MAX_HOSTS) {
		c->n_saved++;
		return s;
	}
	struct saved *oldest = LIST_ITEM(c->saved.prev, struct saved, node);

	list_remove(&oldest->node);
	saved_free(oldest);
	return s;
}

/* Returning 1 keeps the session. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_owner *owner = SSL_get_app_data(ssl);
	struct tls_context *c = owner->context;
	SSL_SESSION *dropped = NULL;
	struct saved *s;

	if (owner->host == NULL)
		return 0;
	pthread_mutex_lock(&c->lock);
	s = find_saved(c, owner->host);
	if (s == NULL)
		s = add_saved(c, owner->host);
	if (s != NULL) {
		if (s->n == SESSIONS_A_HOST) {
			dropped = s->sessions[0];
			memmove(s->sessions, s->sessions + 1, sizeof(*s->sessions) * --s->n);
		}
		s->sessions[s->n++] = session;
	}
	pthread_mutex_unlock(&c->lock);
	SSL_SESSION_free(dropped);
	return s != NULL;
}

void tls_context_offer_session(SSL *ssl, const struct tls_owner *owner)
{
	struct tls_context *c = owner->context;
	SSL_SESSION *session = NULL;
	struct saved *s;

	pthread_mutex_lock(&c->lock);
	s = find_saved(c, owner->host);
	if (s != NULL && s->n > 0) {
		session = s->sessions[s->n - 1];
		/* A ticket of TLS 1.3 is used once (RFC 8446 appendix C.4). */
		if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION)
			s->n--;
		else
			session = SSL_SESSION_dup(session); /* two threads may use it */
	}
	pthread_mutex_unlock(&c->lock);
	if (session == NULL)
		return;
	if (SSL_SESSION_is_resumable(session))
		SSL_set_session(ssl, session);
	SSL_SESSION_free(session);
}

/*
 * The hashed directory is searched when a chain needs it. The one file with everything is read at
 * once, a megabyte and more, so only when the environment asks for it.
 */
static bool trust(SSL_CTX *ctx, const char *ca_file, struct err *err)
{
	if (ca_file != NULL) {
		X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), X509_V_FLAG_PARTIAL_CHAIN);
		return SSL_CTX_load_verify_file(ctx, ca_file) == 1 ||
		       refuse(err, ca_file, "certificate in PEM form");
	}
	if (SSL_CTX_set_default_verify_dir(ctx) != 1)
		return refuse(err, "the system's certificates", NULL);
	if (getenv(X509_get_default_cert_file_env()) != NULL &&
		SSL_CTX_set_default_verify_file(ctx) != 1)
		return refuse(err, X509_get_default_cert_file_env(), NULL);
	return true;
}

struct tls_context *tls_context_client(const char *ca_file, struct err *err)
{
	static const unsigned char protocols[] = "\x08http/1.1";
	struct tls_context *c = context_new(false, err);

	if (c == NULL)
		return NULL;
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ctx, on_session);
	ERR_clear_error();
	if (SSL_CTX_set_alpn_protos(c->ctx, protocols, sizeof(protocols) - 1) != 0)
		refuse(err, "TLS settings", NULL);
	else if (trust(c->ctx, ca_file, err))
		return c;
	tls_context_unref(c);
	return NULL;
}
