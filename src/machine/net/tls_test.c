/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/tls.h"
#include "machine/net/probe_test.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include "machine/net/pipe.h"

/* --- certificates, made for each run --- */

struct identity {
	EVP_PKEY *key;
	X509 *cert;
};

static char dir[64];
static struct identity ca, other_ca;

static const char *in_dir(const char *name)
{
	static char paths[4][128];
	static int next;

	next = (next + 1) % 4;
	snprintf(paths[next], sizeof(paths[next]), "%s/%s", dir, name);
	return paths[next];
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
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
static struct identity identity_new(
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

static void identity_done(struct identity *id)
{
	EVP_PKEY_free(id->key);
	X509_free(id->cert);
}

static void write_cert(const char *path, const struct identity *id)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, id->cert), 1);
	fclose(f);
}

static void write_key(const char *path, const struct identity *id, const char *password)
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
static struct tls_context *server_for(const char *names)
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

static struct tls_context *client(void)
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

static void peer_send(struct peer *x)
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

static void peer_step(struct peer *x)
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

static void on_peer_read(struct probe *p)
{
	struct peer *x = (struct peer *)p;
	struct span got = buf_span(&p->got);

	BIO_write(SSL_get_rbio(x->ssl), got.p, (int)got.n);
	buf_consume(&p->got, got.n);
	peer_step(x);
}

static void peer_init(struct peer *x, SSL_CTX *ctx, bool server, struct stream *s)
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

static void peer_write(struct peer *x, struct span text)
{
	assert_int_equal(SSL_write(x->ssl, text.p, (int)text.n), (int)text.n);
	peer_send(x);
}

static void peer_done(struct peer *x)
{
	SSL_free(x->ssl);
	stream_close(x->p.s);
	probe_done(&x->p);
	buf_done(&x->text);
}

static SSL_CTX *plain_server(const struct identity *id)
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

static void on_handshake(void *user, struct stream *s, const struct err *err)
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

static void start_client(
	struct side *x, struct tls_context *c, struct stream *raw, const char *host)
{
	*x = (struct side){0};
	probe_inside = true;
	x->h = tls_connect(c, raw, host, &events, x);
	probe_inside = false;
	assert_non_null(x->h);
}

static void start_server(struct side *x, struct tls_context *c, struct stream *raw)
{
	*x = (struct side){0};
	probe_inside = true;
	x->h = tls_accept(c, raw, &events, x);
	probe_inside = false;
	assert_non_null(x->h);
}

static void side_done(struct side *x)
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
static void shake_hands(size_t max_read_bytes, const char *host)
{
	assert_true(pipe_open(loop, max_read_bytes, ends));
	start_server(&b, sc, ends[1]);
	start_client(&a, cc, ends[0], host);
	WAIT(a.done && b.done);
}

static void open_contexts(void)
{
	sc = server_for("DNS:localhost,DNS:*.example.com,IP:127.0.0.1,IP:::1");
	cc = client();
}

static void close_contexts(void)
{
	tls_context_unref(cc);
	tls_context_unref(sc);
	cc = sc = NULL;
}

static void close_sides(void)
{
	side_done(&a);
	side_done(&b);
}

/* --- the stream --- */

static void bytes_go_both_ways_however_they_are_split(void **state)
{
	static const size_t cuts[] = {0, 1, 2, 3, 5, 7, 100, 1400, 16389};
	size_t n = 300000;
	char *bytes = malloc(n);

	assert_non_null(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i * 7 + i / 256);
	open_contexts();
	for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
		size_t part = cuts[i] == 0 || cuts[i] > 50 ? n : 2000;
		struct span v[4] = {span_from(bytes, 10), span_from(bytes + 10, 1000), SPAN(""),
			span_from(bytes + 1010, part - 1010)};

		shake_hands(cuts[i], "localhost");
		assert_non_null(a.p.s);
		assert_non_null(b.p.s);
		assert_string_equal(a.p.s->peer, "pipe");
		probe_resume(&a.p);
		probe_resume(&b.p);
		assert_true(stream_write(a.p.s, v, 4));
		assert_true(stream_pending(a.p.s) > part);
		assert_true(probe_write(&b.p, span_from(bytes, part)));
		WAIT(b.p.got.n == part && a.p.got.n == part);
		WAIT(a.p.drains > 0 && b.p.drains > 0);
		assert_int_equal(stream_pending(a.p.s), 0);
		assert_memory_equal(buf_span(&b.p.got).p, bytes, part);
		assert_memory_equal(buf_span(&a.p.got).p, bytes, part);
		probe_close(&a.p);
		WAIT(b.p.ends == 1);
		assert_int_equal(b.p.end.code, ERR_OK);
		close_sides();
	}
	close_contexts();
	free(bytes);
}

static void small_spans_share_a_record_and_a_write(void **state)
{
	struct identity id = identity_new(&ca, "s", "DNS:localhost", -10, 1000);
	SSL_CTX *ctx = plain_server(&id);
	struct span v[3] = {SPAN("POST / HTTP/1.1\r\n"), SPAN("\r\n"), SPAN("{\"model\":1}")};
	int reads;

	cc = client();
	assert_true(pipe_open(loop, 0, ends));
	peer_init(&peer, ctx, true, ends[1]);
	start_client(&a, cc, ends[0], "localhost");
	WAIT(a.done && SSL_is_init_finished(peer.ssl));
	reads = peer.p.reads;
	assert_true(stream_write(a.p.s, v, 3));
	WAIT(peer.text.n == 30);
	assert_int_equal(peer.records, 1);
	assert_int_equal(peer.p.reads, reads + 1);
	side_done(&a);
	peer_done(&peer);
	SSL_CTX_free(ctx);
	identity_done(&id);
	tls_context_unref(cc);
}

static void version_1_2_works_and_older_ones_do_not(void **state)
{
	struct identity id = identity_new(&ca, "s", "DNS:localhost", -10, 1000);
	SSL_CTX *ctx = plain_server(&id);

	cc = client();
	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	assert_true(pipe_open(loop, 11, ends));
	peer_init(&peer, ctx, true, ends[1]);
	start_client(&a, cc, ends[0], "localhost");
	WAIT(a.done);
	assert_non_null(a.p.s);
	WAIT(SSL_is_init_finished(peer.ssl));
	assert_int_equal(SSL_version(peer.ssl), TLS1_2_VERSION);
	probe_resume(&a.p);
	peer_write(&peer, SPAN("hello"));
	WAIT(a.p.got.n == 5);
	assert_true(probe_write(&a.p, SPAN("back")));
	WAIT(peer.text.n == 4);
	side_done(&a);
	peer_done(&peer);

	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
	assert_true(pipe_open(loop, 0, ends));
	peer_init(&peer, ctx, true, ends[1]);
	start_client(&a, cc, ends[0], "localhost");
	WAIT(a.done);
	assert_null(a.p.s);
	side_done(&a);
	peer_done(&peer);
	SSL_CTX_free(ctx);
	tls_context_unref(cc);
	identity_done(&id);
}

/* A client that offers what must be refused (or not) by our server. */
static bool server_accepts(void (*limit)(SSL_CTX *ctx), SSL *(*look)(SSL *ssl))
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	bool accepted;

	SSL_CTX_set_security_level(ctx, 0);
	limit(ctx);
	assert_true(pipe_open(loop, 0, ends));
	peer_init(&peer, ctx, false, ends[0]);
	start_server(&b, sc, ends[1]);
	peer_step(&peer);
	WAIT(b.done);
	probe_turns();
	accepted = b.p.s != NULL;
	if (accepted) {
		assert_true(SSL_is_init_finished(peer.ssl));
	} else {
		/* It is told by an alert, not by silence. */
		assert_int_equal(peer.last, SSL_ERROR_SSL);
		assert_int_equal(b.err.code, ERR_IO);
	}
	if (look != NULL)
		look(peer.ssl);
	side_done(&b);
	peer_done(&peer);
	SSL_CTX_free(ctx);
	return accepted;
}

static void no_limit(SSL_CTX *ctx)
{
}

static void only_1_1(SSL_CTX *ctx)
{
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
}

static void only_1_2(SSL_CTX *ctx)
{
	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
}

static void only_cbc(SSL_CTX *ctx)
{
	only_1_2(ctx);
	SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA");
}

static void only_h2(SSL_CTX *ctx)
{
	SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2", 3);
}

static void h2_or_http(SSL_CTX *ctx)
{
	SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2\x08http/1.1", 12);
}

static SSL *chose_http(SSL *ssl)
{
	const unsigned char *name;
	unsigned n;

	SSL_get0_alpn_selected(ssl, &name, &n);
	assert_true(span_is(span_from(name, n), "http/1.1"));
	return ssl;
}

static SSL *chose_nothing(SSL *ssl)
{
	const unsigned char *name;
	unsigned n;

	SSL_get0_alpn_selected(ssl, &name, &n);
	assert_int_equal(n, 0);
	return ssl;
}

static void the_server_refuses_what_is_weak_or_unknown(void **state)
{
	open_contexts();
	assert_true(server_accepts(no_limit, chose_nothing));
	assert_true(server_accepts(only_1_2, chose_nothing));
	assert_true(server_accepts(h2_or_http, chose_http));
	assert_false(server_accepts(only_1_1, NULL));
	assert_false(server_accepts(only_cbc, NULL));
	assert_false(server_accepts(only_h2, NULL));
	close_contexts();
}

/* --- verification --- */

/* Whether our client takes this server's certificate for the host. */
static bool client_accepts(const struct identity *id, const char *host, const char *reason)
{
	SSL_CTX *ctx = plain_server(id);
	bool accepted;

	cc = client();
	assert_true(pipe_open(loop, 0, ends));
	peer_init(&peer, ctx, true, ends[1]);
	start_client(&a, cc, ends[0], host);
	WAIT(a.done);
	probe_turns();
	accepted = a.p.s != NULL;
	if (!accepted) {
		assert_int_equal(a.err.code, ERR_UPSTREAM_UNREACHABLE);
		assert_non_null(strstr(a.err.text, host));
		if (strstr(a.err.text, reason) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", a.err.text, reason);
		/* The server learns that, and not a byte of plaintext. */
		assert_int_equal(peer.last, SSL_ERROR_SSL);
		assert_int_equal(peer.text.n, 0);
	}
	side_done(&a);
	peer_done(&peer);
	SSL_CTX_free(ctx);
	tls_context_unref(cc);
	cc = NULL;
	return accepted;
}

static void certificates_are_verified(void **state)
{
	static const struct {
		const char *names, *host, *reason; /* reason NULL: accepted */
	} cases[] = {
		{"DNS:api.example.com", "api.example.com", NULL},
		{"DNS:api.example.com", "API.Example.com", NULL},
		{"DNS:*.example.com", "api.example.com", NULL},
		{"DNS:api.example.com", "example.com", "ostname mismatch"},
		{"DNS:*.example.com", "a.b.example.com", "ostname mismatch"},
		{"DNS:a*.example.com", "api.example.com", "ostname mismatch"},
		{"DNS:127.0.0.1", "127.0.0.1", "IP address mismatch"},
		{"IP:127.0.0.1", "127.0.0.1", NULL},
		{"IP:127.0.0.2", "127.0.0.1", "IP address mismatch"},
		{"IP:::1", "::1", NULL},
		/* A common name is no name any more. */
		{NULL, "server", "ostname mismatch"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct identity id = identity_new(&ca, "server", cases[i].names, -3600, 86400);
		bool ok = client_accepts(&id, cases[i].host, cases[i].reason);

		if (ok != (cases[i].reason == NULL))
			fail_msg("%s for %s", cases[i].names, cases[i].host);
		identity_done(&id);
	}
}

static void expired_foreign_and_self_signed_certificates_are_refused(void **state)
{
	struct identity ids[] = {
		identity_new(&ca, "s", "DNS:localhost", -7200, -3600),
		identity_new(&ca, "s", "DNS:localhost", 3600, 7200),
		identity_new(&other_ca, "s", "DNS:localhost", -3600, 3600),
		identity_new(NULL, "s", "DNS:localhost", -3600, 3600),
	};
	static const char *const reasons[] = {
		"has expired", "not yet valid", "local issuer", "self-signed"};

	for (int i = 0; i < 4; i++) {
		assert_false(client_accepts(&ids[i], "localhost", reasons[i]));
		identity_done(&ids[i]);
	}
}

static void a_host_that_no_certificate_can_have_is_reported_later(void **state)
{
	cc = client();
	assert_true(pipe_open(loop, 0, ends));
	start_client(&a, cc, ends[0], "");
	assert_int_equal(a.done, 0);
	WAIT(a.done);
	assert_null(a.p.s);
	side_done(&a);
	stream_close(ends[1]);
	tls_context_unref(cc);
}

static char sni[64];

static int on_sni(SSL *ssl, int *alert, void *user)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	snprintf(sni, sizeof(sni), "%s", name != NULL ? name : "none");
	return SSL_TLSEXT_ERR_OK;
}

static void names_are_sent_and_addresses_are_not(void **state)
{
	struct identity id = identity_new(&ca, "s", "DNS:localhost,IP:127.0.0.1", -10, 1000);
	static const char *const hosts[][2] = {{"localhost", "localhost"}, {"127.0.0.1", "none"}};
	SSL_CTX *ctx = plain_server(&id);

	cc = client();
	SSL_CTX_set_tlsext_servername_callback(ctx, on_sni);
	for (int i = 0; i < 2; i++) {
		assert_true(pipe_open(loop, 0, ends));
		peer_init(&peer, ctx, true, ends[1]);
		start_client(&a, cc, ends[0], hosts[i][0]);
		WAIT(a.done);
		assert_non_null(a.p.s);
		assert_string_equal(sni, hosts[i][1]);
		side_done(&a);
		peer_done(&peer);
	}
	SSL_CTX_free(ctx);
	identity_done(&id);
	tls_context_unref(cc);
}

/* --- handshakes that do not end well --- */

static void a_peer_that_leaves_or_talks_nonsense_fails_the_handshake(void **state)
{
	enum { CLOSE, RESET, NONSENSE, ALERT, COUNT };
	static const char *const last_words[COUNT] = {
		"", "", "HTTP/1.1 400 no\r\n\r\n", "\x15\x03\x03\x00\x02\x02\x28"};
	static const size_t n_words[COUNT] = {0, 0, 19, 7};

	open_contexts();
	for (int how = 0; how < COUNT; how++) {
		for (int server = 0; server < 2; server++) {
			struct side *x = server ? &b : &a;
			struct probe raw;

			assert_true(pipe_open(loop, 0, ends));
			if (server)
				start_server(x, sc, ends[0]);
			else
				start_client(x, cc, ends[0], "localhost");
			probe_init(&raw, ends[1]);
			probe_turns();
			assert_int_equal(x->done, 0);
			if (n_words[how] > 0)
				probe_write(&raw, span_from(last_words[how], n_words[how]));
			if (how == RESET)
				probe_reset(&raw);
			else if (how == CLOSE)
				probe_close(&raw);
			WAIT(x->done);
			assert_null(x->p.s);
			assert_int_equal(x->err.code, server ? ERR_IO : ERR_UPSTREAM_UNREACHABLE);
			assert_true(strlen(x->err.text) > 20);
			side_done(x);
			stream_close(raw.s);
			probe_done(&raw);
		}
	}
	close_contexts();
}

/* At every byte of what a good server says. */
static void a_cut_at_any_byte_of_the_handshake_is_reported(void **state)
{
	struct identity id = identity_new(&ca, "s", "DNS:localhost", -10, 1000);
	SSL_CTX *ctx = plain_server(&id);
	bool whole = false;

	cc = client();
	for (size_t cut = 0; !whole; cut += 13) {
		struct span said;
		struct probe raw;
		char *bytes;
		SSL *ssl = SSL_new(ctx);

		assert_true(pipe_open(loop, 0, ends));
		start_client(&a, cc, ends[0], "localhost");
		probe_init(&raw, ends[1]);
		probe_resume(&raw);
		WAIT(raw.reads == 1);
		SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
		BIO_write(SSL_get_rbio(ssl), buf_span(&raw.got).p, (int)raw.got.n);
		SSL_accept(ssl);
		said.n = (size_t)BIO_get_mem_data(SSL_get_wbio(ssl), &bytes);
		said.p = bytes;
		whole = cut >= said.n;
		probe_write(&raw, span_head(said, cut));
		probe_close(&raw);
		WAIT(a.done);
		assert_true(whole == (a.p.s != NULL));
		side_done(&a);
		probe_done(&raw);
		SSL_free(ssl);
	}
	SSL_CTX_free(ctx);
	identity_done(&id);
	tls_context_unref(cc);
}

static void a_handshake_can_be_cancelled(void **state)
{
	open_contexts();
	for (int turns = 0; turns < 3; turns++) {
		assert_true(pipe_open(loop, 100, ends));
		start_server(&b, sc, ends[1]);
		start_client(&a, cc, ends[0], "localhost");
		for (int i = 0; i < turns; i++)
			uv_run(&loop->uv, UV_RUN_NOWAIT);
		if (a.h != NULL)
			tls_handshake_cancel(a.h);
		else
			stream_reset(a.p.s);
		if (b.h != NULL)
			tls_handshake_cancel(b.h);
		else
			stream_reset(b.p.s);
		probe_done(&a.p);
		probe_done(&b.p);
	}
	tls_handshake_cancel(NULL);
	close_contexts();
}

/* --- ends --- */

static void an_end_without_close_notify_is_a_failure(void **state)
{
	struct identity id = identity_new(&ca, "s", "DNS:localhost", -10, 1000);
	SSL_CTX *ctx = plain_server(&id);

	cc = client();
	for (int orderly = 0; orderly < 2; orderly++) {
		assert_true(pipe_open(loop, 0, ends));
		peer_init(&peer, ctx, true, ends[1]);
		start_client(&a, cc, ends[0], "localhost");
		WAIT(a.done && SSL_is_init_finished(peer.ssl));
		probe_resume(&a.p);
		peer_write(&peer, SPAN("half a body"));
		if (orderly) {
			SSL_shutdown(peer.ssl);
			peer_send(&peer);
		}
		stream_close(peer.p.s);
		peer.p.s = NULL;
		WAIT(a.p.ends == 1);
		assert_true(span_is(buf_span(&a.p.got), "half a body"));
		assert_int_equal(a.p.end.code, orderly ? ERR_OK : ERR_IO);
		if (!orderly)
			assert_non_null(strstr(a.p.end.text, "close_notify"));
		side_done(&a);
		peer_done(&peer);
	}
	SSL_CTX_free(ctx);
	identity_done(&id);
	tls_context_unref(cc);
}

static void writing_goes_on_after_the_peers_close_notify(void **state)
{
	struct identity id = identity_new(&ca, "s", "DNS:localhost", -10, 1000);
	SSL_CTX *ctx = plain_server(&id);

	cc = client();
	assert_true(pipe_open(loop, 0, ends));
	peer_init(&peer, ctx, true, ends[1]);
	start_client(&a, cc, ends[0], "localhost");
	WAIT(a.done && SSL_is_init_finished(peer.ssl));
	probe_resume(&a.p);
	SSL_shutdown(peer.ssl);
	peer_send(&peer);
	WAIT(a.p.ends == 1);
	assert_int_equal(a.p.end.code, ERR_OK);
	assert_true(probe_write(&a.p, SPAN("still here")));
	WAIT(peer.text.n == 10);
	probe_close(&a.p);
	WAIT(peer.last == SSL_ERROR_ZERO_RETURN);
	side_done(&a);
	peer_done(&peer);
	SSL_CTX_free(ctx);
	identity_done(&id);
	tls_context_unref(cc);
}

static void a_damaged_record_ends_the_stream(void **state)
{
	struct identity id = identity_new(&ca, "s", "DNS:localhost", -10, 1000);
	SSL_CTX *ctx = plain_server(&id);
	struct span v[2];
	char *bytes, flipped;
	size_t n;

	cc = client();
	assert_true(pipe_open(loop, 0, ends));
	peer_init(&peer, ctx, true, ends[1]);
	start_client(&a, cc, ends[0], "localhost");
	WAIT(a.done && SSL_is_init_finished(peer.ssl));
	probe_resume(&a.p);
	probe_turns();
	SSL_write(peer.ssl, "secret", 6);
	n = (size_t)BIO_get_mem_data(SSL_get_wbio(peer.ssl), &bytes);
	flipped = (char)(bytes[n - 1] ^ 1);
	v[0] = span_from(bytes, n - 1);
	v[1] = span_from(&flipped, 1);
	stream_write(peer.p.s, v, 2);
	WAIT(a.p.ends == 1);
	assert_int_equal(a.p.reads, 0);
	assert_int_equal(a.p.end.code, ERR_IO);
	assert_non_null(strstr(a.p.end.text, "record mac"));
	assert_false(probe_write(&a.p, SPAN("x")));
	side_done(&a);
	peer_done(&peer);
	SSL_CTX_free(ctx);
	identity_done(&id);
	tls_context_unref(cc);
}

static void a_reset_below_is_reported(void **state)
{
	open_contexts();
	shake_hands(0, "localhost");
	probe_resume(&a.p);
	probe_reset(&b.p);
	WAIT(a.p.ends == 1);
	assert_int_equal(a.p.end.code, ERR_IO);
	assert_false(probe_write(&a.p, SPAN("x")));
	close_sides();
	close_contexts();
}

/* --- pausing --- */

static void pause_p(struct probe *p)
{
	stream_pause(p->s);
}

static void a_pause_holds_bytes_and_the_end_back(void **state)
{
	size_t n = 200000;
	char *bytes = calloc(1, n);
	int reads = 0;

	assert_non_null(bytes);
	open_contexts();
	shake_hands(0, "localhost");
	a.p.on_read = pause_p;
	assert_true(probe_write(&b.p, span_from(bytes, n)));
	probe_close(&b.p);
	probe_turns();
	assert_int_equal(a.p.reads, 0);
	while (a.p.got.n < n) {
		probe_resume(&a.p);
		WAIT(a.p.reads == reads + 1);
		probe_turns();
		assert_int_equal(a.p.reads, ++reads);
		assert_int_equal(a.p.ends, 0);
		assert_true(a.p.largest_read <= LOOP_READ_BYTES);
	}
	assert_true(reads > 2);
	probe_resume(&a.p);
	WAIT(a.p.ends == 1);
	assert_int_equal(a.p.end.code, ERR_OK);
	close_sides();
	close_contexts();
	free(bytes);
}

/* Bytes that came in one read with the end of the handshake. */
static void bytes_behind_the_handshake_wait_for_their_owner(void **state)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	open_contexts();
	assert_true(pipe_open(loop, 0, ends));
	peer_init(&peer, ctx, false, ends[0]);
	start_server(&b, sc, ends[1]);
	peer_step(&peer);
	peer.gathers = true;
	WAIT(SSL_is_init_finished(peer.ssl));
	assert_int_equal(b.done, 0);
	peer.gathers = false;
	peer_write(&peer, SPAN("early"));
	WAIT(b.done);
	assert_non_null(b.p.s);
	probe_turns();
	assert_int_equal(b.p.reads, 0);
	peer_write(&peer, SPAN(" and late"));
	probe_turns();
	probe_resume(&b.p);
	WAIT(b.p.got.n == 14);
	assert_true(span_is(buf_span(&b.p.got), "early and late"));
	side_done(&b);
	peer_done(&peer);
	SSL_CTX_free(ctx);
	close_contexts();
}

/* --- callbacks that end everything --- */

static void close_side(struct side *x)
{
	stream_close(x->p.s);
	x->p.s = NULL;
}

static void close_p(struct probe *p)
{
	stream_close(p->s);
	p->s = NULL;
}

static void reset_p(struct probe *p)
{
	stream_reset(p->s);
	p->s = NULL;
}

static void an_owner_may_close_in_any_callback(void **state)
{
	void (*const closers[])(struct probe *) = {close_p, reset_p};

	open_contexts();
	assert_true(pipe_open(loop, 0, ends));
	start_server(&b, sc, ends[1]);
	start_client(&a, cc, ends[0], "localhost");
	a.then = close_side;
	WAIT(a.done && b.done);
	close_sides();
	for (int i = 0; i < 2; i++) {
		shake_hands(0, "localhost");
		a.p.on_read = closers[i];
		probe_resume(&a.p);
		assert_true(probe_write(&b.p, SPAN("x")));
		WAIT(a.p.s == NULL);
		close_sides();

		shake_hands(0, "localhost");
		a.p.on_end = closers[i];
		probe_resume(&a.p);
		probe_close(&b.p);
		WAIT(a.p.s == NULL);
		close_sides();

		shake_hands(0, "localhost");
		b.p.on_drain = closers[i];
		probe_resume(&a.p);
		assert_true(probe_write(&b.p, SPAN("x")));
		WAIT(b.p.s == NULL);
		close_sides();
	}
	close_contexts();
}

/* --- resumption --- */

static bool resumed(SSL_CTX *ctx, const char *host)
{
	bool reused;

	assert_true(pipe_open(loop, 0, ends));
	peer_init(&peer, ctx, true, ends[1]);
	start_client(&a, cc, ends[0], host);
	WAIT(a.done && SSL_is_init_finished(peer.ssl));
	assert_non_null(a.p.s);
	probe_resume(&a.p);
	peer_write(&peer, SPAN("x"));
	WAIT(a.p.reads == 1);
	reused = SSL_session_reused(peer.ssl) == 1;
	side_done(&a);
	peer_done(&peer);
	return reused;
}

static void the_client_resumes_sessions_of_the_same_host(void **state)
{
	struct identity id = identity_new(&ca, "s", "DNS:localhost,DNS:other", -10, 1000);
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	for (int i = 0; i < 2; i++) {
		SSL_CTX *ctx = plain_server(&id);

		SSL_CTX_set_max_proto_version(ctx, versions[i]);
		SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"t", 1);
		cc = client();
		assert_false(resumed(ctx, "localhost"));
		assert_true(resumed(ctx, "localhost"));
		assert_true(resumed(ctx, "localhost"));
		assert_false(resumed(ctx, "other"));
		assert_true(resumed(ctx, "other"));
		/* Another context knows nothing of them. */
		tls_context_unref(cc);
		cc = client();
		assert_false(resumed(ctx, "localhost"));
		tls_context_unref(cc);
		SSL_CTX_free(ctx);
	}
	identity_done(&id);
}

static SSL_SESSION *kept;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION_free(kept);
	kept = session;
	return 1;
}

/* Whether our server resumes the session of the last call. */
static bool server_resumes(SSL_CTX *ctx)
{
	bool reused;

	assert_true(pipe_open(loop, 0, ends));
	peer_init(&peer, ctx, false, ends[0]);
	if (kept != NULL)
		SSL_set_session(peer.ssl, kept);
	start_server(&b, sc, ends[1]);
	peer_step(&peer);
	probe_wait_start();
	while (!b.done || !SSL_is_init_finished(peer.ssl))
		uv_run(&loop->uv, UV_RUN_NOWAIT);
	timer_stop(&probe_guard);
	assert_non_null(b.p.s);
	assert_true(probe_write(&b.p, SPAN("x")));
	probe_turns();
	assert_int_equal(peer.text.n, 1);
	reused = SSL_session_reused(peer.ssl) == 1;
	SSL_shutdown(peer.ssl);
	side_done(&b);
	peer_done(&peer);
	return reused;
}

static void the_servers_tickets_open_for_an_hour_or_two(void **state)
{
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

		SSL_CTX_set_max_proto_version(ctx, version);
		SSL_CTX_set_session_cache_mode(
			ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(ctx, keep_session);
		open_contexts();
		assert_false(server_resumes(ctx));
		assert_true(server_resumes(ctx));
		probe_pass_ms(3700 * 1000);
		/* Sealed with the key before, opened and renewed. */
		assert_true(server_resumes(ctx));
		assert_true(server_resumes(ctx));
		probe_pass_ms(7300 * 1000);
		assert_false(server_resumes(ctx));
		close_contexts();
		SSL_CTX_free(ctx);
		SSL_SESSION_free(kept);
		kept = NULL;
	}
}

/* --- contexts --- */

static void bad_files_are_named(void **state)
{
	struct identity id = identity_new(&ca, "s", "DNS:localhost", -10, 1000);
	struct identity other = identity_new(&ca, "s", "DNS:localhost", -10, 1000);
	static const char *const pairs[][2] = {{"absent", "key"}, {"cert", "absent"},
		{"cert", "other"}, {"cert", "locked"}, {"key", "key"}, {"cert", "cert"}};
	FILE *f;

	write_cert(in_dir("cert"), &id);
	write_key(in_dir("key"), &id, NULL);
	write_key(in_dir("other"), &other, NULL);
	write_key(in_dir("locked"), &id, "password");
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		struct err err = {0};

		assert_null(tls_context_server(in_dir(pairs[i][0]), in_dir(pairs[i][1]), &err));
		assert_int_equal(err.code, ERR_CONFIG);
		assert_non_null(strstr(err.text, dir));
	}
	f = fopen(in_dir("junk"), "w");
	fputs("junk\n", f);
	fclose(f);
	for (int i = 0; i < 2; i++) {
		struct err err = {0};

		assert_null(tls_context_client(in_dir(i == 0 ? "junk" : "absent"), &err));
		assert_int_equal(err.code, ERR_CONFIG);
		assert_non_null(strstr(err.text, dir));
	}
	identity_done(&id);
	identity_done(&other);
}

static void the_system_store_is_looked_up_and_not_loaded(void **state)
{
	struct err err = {0};
	struct tls_context *c = tls_context_client(NULL, &err);

	assert_non_null(c);
	assert_ptr_equal(tls_context_ref(c), c);
	tls_context_unref(c);
	/* A private CA is not in it. */
	sc = server_for("DNS:localhost");
	assert_true(pipe_open(loop, 0, ends));
	start_server(&b, sc, ends[1]);
	start_client(&a, c, ends[0], "localhost");
	WAIT(a.done && b.done);
	assert_null(a.p.s);
	assert_null(b.p.s);
	close_sides();
	tls_context_unref(c);
	tls_context_unref(sc);
	tls_context_unref(NULL);
}

static int make_room(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/tls_test_XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	ca = identity_new(NULL, "test CA", NULL, -86400, 864000);
	other_ca = identity_new(NULL, "another CA", NULL, -86400, 864000);
	write_cert(in_dir("ca"), &ca);
	return 0;
}

static int remove_room(void **state)
{
	static const char *const files[] = {"ca", "cert", "key", "other", "locked", "junk"};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		unlink(in_dir(files[i]));
	identity_done(&ca);
	identity_done(&other_ca);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROBE_TEST(bytes_go_both_ways_however_they_are_split),
		PROBE_TEST(small_spans_share_a_record_and_a_write),
		PROBE_TEST(version_1_2_works_and_older_ones_do_not),
		PROBE_TEST(the_server_refuses_what_is_weak_or_unknown),
		PROBE_TEST(certificates_are_verified),
		PROBE_TEST(expired_foreign_and_self_signed_certificates_are_refused),
		PROBE_TEST(a_host_that_no_certificate_can_have_is_reported_later),
		PROBE_TEST(names_are_sent_and_addresses_are_not),
		PROBE_TEST(a_peer_that_leaves_or_talks_nonsense_fails_the_handshake),
		PROBE_TEST(a_cut_at_any_byte_of_the_handshake_is_reported),
		PROBE_TEST(a_handshake_can_be_cancelled),
		PROBE_TEST(an_end_without_close_notify_is_a_failure),
		PROBE_TEST(writing_goes_on_after_the_peers_close_notify),
		PROBE_TEST(a_damaged_record_ends_the_stream),
		PROBE_TEST(a_reset_below_is_reported),
		PROBE_TEST(a_pause_holds_bytes_and_the_end_back),
		PROBE_TEST(bytes_behind_the_handshake_wait_for_their_owner),
		PROBE_TEST(an_owner_may_close_in_any_callback),
		PROBE_TEST(the_client_resumes_sessions_of_the_same_host),
		PROBE_CLOCK_TEST(the_servers_tickets_open_for_an_hour_or_two),
		PROBE_TEST(bad_files_are_named),
		PROBE_TEST(the_system_store_is_looked_up_and_not_loaded),
	};

	return cmocka_run_group_tests(tests, make_room, remove_room);
}
