/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tls_kit - certificates made for each run, a peer of plain OpenSSL with any setting, and owners of
 * handshakes that write down what they are told; for this folder's tests.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include "machine/net/pipe.h"
#include "machine/net/probe_test.h"
#include "machine/net/tls.h"

/* --- certificates, made for each run --- */

struct identity {
	EVP_PKEY *key;
	X509 *cert;
};

static char dir[64];
static struct identity ca, other_ca;

static inline const char *in_dir(const char *name)
{
	static char paths[4][128];
	static int next;

	next = (next + 1) % 4;
	snprintf(paths[next], sizeof(paths[next]), "%s/%s", dir, name);
	return paths[next];
}

static inline void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(e);
	X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
}

/* issuer NULL: signed by itself. names: as openssl.cnf writes subjectAltName, or NULL. */
static inline struct identity identity_new(
	const struct identity *issuer, const char *cn, const char *names, long from_s, long until_s)
{
	static long serial = 1;
	struct identity id = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
	X509_NAME *subject = X509_get_subject_name(id.cert);

	assert_non_null(id.key);
	X509_set_version(id.cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(id.cert), from_s);
	X509_gmtime_adj(X509_getm_notAfter(id.cert), until_s);
	X509_set_pubkey(id.cert, id.key);
	X509_NAME_add_entry_by_txt(
		subject, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(
		id.cert, issuer != NULL ? X509_get_subject_name(issuer->cert) : subject);
	if (names != NULL)
		add_extension(id.cert, id.cert, NID_subject_alt_name, names);
	if (issuer == NULL)
		add_extension(id.cert, id.cert, NID_basic_constraints, "critical,CA:TRUE");
	assert_true(X509_sign(id.cert, issuer != NULL ? issuer->key : id.key, EVP_sha256()) > 0);
	return id;
}

static inline void identity_done(struct identity *id)
{
	EVP_PKEY_free(id->key);
	X509_free(id->cert);
}

static inline void write_cert(const char *path, const struct identity *id)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, id->cert), 1);
	fclose(f);
}

static inline void write_key(const char *path, const struct identity *id, const char *password)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(
		PEM_write_PrivateKey(f, id->key, password != NULL ? EVP_aes_128_cbc() : NULL, NULL,
			0, NULL, (void *)password),
		1);
	fclose(f);
}

/* A server context with a certificate of the CA for these names. */
static inline struct tls_context *server_for(const char *names)
{
	struct identity id = identity_new(&ca, "server", names, -3600, 86400);
	struct tls_context *c;
	struct err err = {0};

	write_cert(in_dir("cert"), &id);
	write_key(in_dir("key"), &id, NULL);
	identity_done(&id);
	c = tls_context_server(in_dir("cert"), in_dir("key"), &err);
	assert_non_null(c);
	return c;
}

static inline struct tls_context *client(void)
{
	struct err err = {0};
	struct tls_context *c = tls_context_client(in_dir("ca"), &err);

	assert_non_null(c);
	return c;
}

/* --- a peer of plain OpenSSL, with any setting --- */

struct peer {
	struct probe p; /* of the encrypted side */
	SSL *ssl;
	struct buf text;
	int records, last; /* last: SSL_get_error */
	bool gathers;      /* keeps what it would send */
};

static inline void peer_send(struct peer *x)
{
	char *bytes;
	long n = BIO_get_mem_data(SSL_get_wbio(x->ssl), &bytes);
	struct span s = {bytes, (size_t)n};

	if (x->gathers)
		return;
	if (n > 0 && x->p.s != NULL)
		stream_write(x->p.s, &s, 1);
	(void)BIO_reset(SSL_get_wbio(x->ssl));
}

static inline void peer_step(struct peer *x)
{
	char text[20000];
	int n;

	ERR_clear_error();
	while ((n = SSL_read(x->ssl, text, sizeof(text))) > 0) {
		x->records++;
		buf_append(&x->text, span_from(text, (size_t)n));
	}
	x->last = SSL_get_error(x->ssl, n);
	peer_send(x);
}

static inline void on_peer_read(struct probe *p)
{
	struct peer *x = (struct peer *)p;
	struct span got = buf_span(&p->got);

	BIO_write(SSL_get_rbio(x->ssl), got.p, (int)got.n);
	buf_consume(&p->got, got.n);
	peer_step(x);
}

static inline void peer_init(struct peer *x, SSL_CTX *ctx, bool server, struct stream *s)
{
	*x = (struct peer){.ssl = SSL_new(ctx)};
	probe_init(&x->p, s);
	x->p.on_read = on_peer_read;
	buf_init(&x->text, 64u << 20);
	SSL_set_bio(x->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	BIO_set_mem_eof_return(SSL_get_rbio(x->ssl), -1);
	(server ? SSL_set_accept_state : SSL_set_connect_state)(x->ssl);
	stream_resume(s);
}

static inline void peer_write(struct peer *x, struct span text)
{
	assert_int_equal(SSL_write(x->ssl, text.p, (int)text.n), (int)text.n);
	peer_send(x);
}

static inline void peer_done(struct peer *x)
{
	SSL_free(x->ssl);
	stream_close(x->p.s);
	probe_done(&x->p);
	buf_done(&x->text);
}

static inline SSL_CTX *plain_server(const struct identity *id)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	assert_int_equal(SSL_CTX_use_certificate(ctx, id->cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, id->key), 1);
	return ctx;
}

/* --- what a handshake reported --- */

struct side {
	struct probe p;
	struct tls_handshake *h;
	int done;
	struct err err;
	void (*then)(struct side *x);
};

static inline void on_handshake(void *user, struct stream *s, const struct err *err)
{
	struct side *x = user;

	assert_false(probe_inside);
	assert_int_equal(x->done, 0);
	assert_true((s == NULL) == (err != NULL));
	x->done++;
	x->h = NULL;
	if (err != NULL)
		x->err = *err;
	probe_init(&x->p, s);
	if (x->then != NULL)
		x->then(x);
}

static const struct tls_handshake_events events = {.done = on_handshake};

static inline void start_client(
	struct side *x, struct tls_context *c, struct stream *raw, const char *host)
{
	*x = (struct side){0};
	probe_inside = true;
	x->h = tls_connect(c, raw, host, &events, x);
	probe_inside = false;
	assert_non_null(x->h);
}

static inline void start_server(struct side *x, struct tls_context *c, struct stream *raw)
{
	*x = (struct side){0};
	probe_inside = true;
	x->h = tls_accept(c, raw, &events, x);
	probe_inside = false;
	assert_non_null(x->h);
}

static inline void side_done(struct side *x)
{
	stream_close(x->p.s);
	x->p.s = NULL;
	probe_done(&x->p);
}

static struct side a, b; /* client and server */
static struct peer peer;
static struct tls_context *cc, *sc;
static struct stream *ends[2];

/* Both sides ours. */
static inline void shake_hands(size_t max_read_bytes, const char *host)
{
	assert_true(pipe_open(loop, max_read_bytes, ends));
	start_server(&b, sc, ends[1]);
	start_client(&a, cc, ends[0], host);
	WAIT(a.done && b.done);
}

static inline void open_contexts(void)
{
	sc = server_for("DNS:localhost,DNS:*.example.com,IP:127.0.0.1,IP:::1");
	cc = client();
}

static inline void close_contexts(void)
{
	tls_context_unref(cc);
	tls_context_unref(sc);
	cc = sc = NULL;
}

static inline void close_sides(void)
{
	side_done(&a);
	side_done(&b);
}

/* --- a directory with the CA --- */

static inline int make_room(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/tls_test_XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	ca = identity_new(NULL, "test CA", NULL, -86400, 864000);
	other_ca = identity_new(NULL, "another CA", NULL, -86400, 864000);
	write_cert(in_dir("ca"), &ca);
	return 0;
}

static inline int remove_room(void **state)
{
	static const char *const files[] = {"ca", "cert", "key", "other", "locked", "junk"};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		unlink(in_dir(files[i]));
	identity_done(&ca);
	identity_done(&other_ca);
	return rmdir(dir);
}
