/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/tls.h"
#include <arpa/inet.h>
#include <assert.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define RECORD_BYTES 16384
#define MAX_SESSIONS 64
#define MAX_HOST_CHARS 255

struct session_slot {
	char host[MAX_HOST_CHARS + 1];
	SSL_SESSION *session;
};

struct tls_context {
	int refs;
	SSL_CTX *ctx;
	bool server;
	pthread_mutex_t lock; /* of the sessions */
	struct session_slot sessions[MAX_SESSIONS];
	unsigned next_slot;
};

enum tls_state { TLS_HANDSHAKE, TLS_OPEN, TLS_ENDED };

/* One object in two roles: a handshake until it reported, a stream from then on. */
struct tls_handshake {
	struct stream stream; /* first: the stream's ops cast back */
	struct stream *raw;
	struct tls_context *context;
	SSL *ssl;
	BIO *in, *out; /* owned by ssl */
	enum tls_state state;
	const struct tls_handshake_events *events;
	void *user;
	struct loop_hook later; /* what resume left to deliver, from the loop */
	bool hooked, reading;
	unsigned depth; /* callbacks running: memory stays */
	bool dead;
	char host[MAX_HOST_CHARS + 1];
};

/* ---- contexts ---- */

static int slot_of(const SSL *ssl)
{
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	static int index = -1;

	(void)ssl;
	pthread_mutex_lock(&once);
	if (index < 0)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	pthread_mutex_unlock(&once);
	return index;
}

static bool set_openssl(struct err *err, enum err_code code, const char *what)
{
	unsigned long number = ERR_peek_last_error();
	const char *reason = number != 0 ? ERR_reason_error_string(number) : NULL;

	ERR_clear_error();
	return err_set(err, code, "%s: %s", what, reason != NULL ? reason : "TLS failed");
}

static struct tls_context *context_new(const SSL_METHOD *method, struct err *err)
{
	struct tls_context *c = calloc(1, sizeof(*c));

	if (c == NULL || (c->ctx = SSL_CTX_new(method)) == NULL) {
		free(c);
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	c->refs = 1;
	pthread_mutex_init(&c->lock, NULL);
	SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(c->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS);
	/* Authenticated encryption and forward secrecy only; TLS 1.3 has nothing else. */
	if (SSL_CTX_set_cipher_list(c->ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1)
		return c;
	set_openssl(err, ERR_CONFIG, "TLS ciphers");
	tls_context_unref(c);
	return NULL;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n,
	const unsigned char *offered, unsigned int n_offered, void *user)
{
	static const unsigned char ours[] = "\x08http/1.1";

	if (SSL_select_next_proto((unsigned char **)out, n, ours, sizeof(ours) - 1, offered,
		    n_offered) == OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

struct tls_context *tls_context_server(const char *cert_file, const char *key_file, struct err *err)
{
	struct tls_context *c = context_new(TLS_server_method(), err);
	static const unsigned char id[] = "sluice";

	if (c == NULL)
		return NULL;
	c->server = true;
	SSL_CTX_set_alpn_select_cb(c->ctx, choose_protocol, NULL);
	SSL_CTX_set_session_id_context(c->ctx, id, sizeof(id) - 1);
	SSL_CTX_set_options(c->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(c->ctx, cert_file) != 1)
		set_openssl(err, ERR_CONFIG, cert_file);
	else if (SSL_CTX_use_PrivateKey_file(c->ctx, key_file, SSL_FILETYPE_PEM) != 1)
		set_openssl(err, ERR_CONFIG, key_file);
	else if (SSL_CTX_check_private_key(c->ctx) != 1)
		err_set(err, ERR_CONFIG, "%s is not the key of %s", key_file, cert_file);
	else
		return c;
	ERR_clear_error();
	tls_context_unref(c);
	return NULL;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session);

struct tls_context *tls_context_client(const char *ca_file, struct err *err)
{
	static const unsigned char protocols[] = "\x08http/1.1";
	struct tls_context *c = context_new(TLS_client_method(), err);
	int ok;

	if (c == NULL)
		return NULL;
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_alpn_protos(c->ctx, protocols, sizeof(protocols) - 1);
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ctx, on_new_session);
	ERR_clear_error();
	/* The system's store is a hashed directory: certificates are read when a chain needs them.
	 */
	ok = ca_file != NULL ? SSL_CTX_load_verify_file(c->ctx, ca_file)
			     : SSL_CTX_set_default_verify_paths(c->ctx);
	if (ok == 1)
		return c;
	set_openssl(err, ERR_CONFIG, ca_file != NULL ? ca_file : "the system's certificate store");
	tls_context_unref(c);
	return NULL;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
	__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void tls_context_unref(struct tls_context *c)
{
	if (c == NULL || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (int i = 0; i < MAX_SESSIONS; i++)
		SSL_SESSION_free(c->sessions[i].session);
	SSL_CTX_free(c->ctx);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* ---- sessions, so that the next connection to a host needs no full handshake ---- */

static struct session_slot *find_session(struct tls_context *c, const char *host)
{
	for (int i = 0; i < MAX_SESSIONS; i++)
		if (c->sessions[i].session != NULL && strcmp(c->sessions[i].host, host) == 0)
			return &c->sessions[i];
	return NULL;
}

/* Returning 1 keeps the session's reference. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_handshake *h = SSL_get_ex_data(ssl, slot_of(ssl));
	struct session_slot *slot;

	if (h == NULL)
		return 0;
	pthread_mutex_lock(&h->context->lock);
	slot = find_session(h->context, h->host);
	if (slot == NULL)
		slot = &h->context->sessions[h->context->next_slot++ % MAX_SESSIONS];
	SSL_SESSION_free(slot->session);
	slot->session = session;
	memcpy(slot->host, h->host, sizeof(slot->host));
	pthread_mutex_unlock(&h->context->lock);
	return 1;
}

static void offer_session(struct tls_handshake *h)
{
	struct session_slot *slot;

	pthread_mutex_lock(&h->context->lock);
	slot = find_session(h->context, h->host);
	if (slot != NULL) {
		SSL_set_session(h->ssl, slot->session);
		/* A ticket of TLS 1.3 is for one use (RFC 8446 appendix C.4); the server sends new
		 * ones. */
		if (SSL_SESSION_get_protocol_version(slot->session) >= TLS1_3_VERSION) {
			SSL_SESSION_free(slot->session);
			slot->session = NULL;
		}
	}
	pthread_mutex_unlock(&h->context->lock);
}

/* ---- one connection ---- */

static void release(struct tls_handshake *h)
{
	if (h->hooked)
		loop_hook_remove(&h->later);
	h->hooked = false;
	SSL_free(h->ssl);
	h->ssl = NULL;
	tls_context_unref(h->context);
	free(h);
}

static void leave(struct tls_handshake *h)
{
	h->depth--;
	if (h->dead && h->depth == 0)
		release(h);
}

/* What OpenSSL wants to send goes to the peer in one write. */
static void flush(struct tls_handshake *h)
{
	char *p;
	long n = BIO_get_mem_data(h->out, &p);
	struct span s = {p, (size_t)n};

	if (n <= 0 || h->raw == NULL)
		return;
	if (!stream_write(h->raw, &s, 1))
		h->stream.broken = true;
	(void)BIO_reset(h->out);
}

static void describe(struct tls_handshake *h, struct err *err)
{
	long verified = SSL_get_verify_result(h->ssl);

	if (!h->context->server && verified != X509_V_OK) {
		ERR_clear_error();
		err_set(err, ERR_UPSTREAM_UNREACHABLE, "the certificate of %s is refused: %s",
			h->host, X509_verify_cert_error_string(verified));
		return;
	}
	set_openssl(err, ERR_UPSTREAM_UNREACHABLE,
		h->context->server ? "TLS with a client" : "TLS handshake");
}

/* Reports a failed handshake; the object is gone afterwards (once nothing runs in it). */
static void fail_handshake(struct tls_handshake *h, const struct err *err)
{
	h->state = TLS_ENDED;
	flush(h); /* the alert */
	stream_close(h->raw);
	h->raw = NULL;
	h->dead = true;
	h->events->done(h->user, NULL, err);
}

static void shake(struct tls_handshake *h)
{
	struct err err = {0};
	int result;

	ERR_clear_error();
	result = SSL_do_handshake(h->ssl);
	if (result == 1) {
		flush(h);
		h->state = TLS_OPEN;
		stream_pause(h->raw);
		h->events->done(h->user, &h->stream, NULL);
		return;
	}
	if (SSL_get_error(h->ssl, result) == SSL_ERROR_WANT_READ) {
		flush(h);
		return;
	}
	describe(h, &err);
	fail_handshake(h, &err);
}

static void end(struct tls_handshake *h, const struct err *err)
{
	if (h->stream.ended)
		return;
	h->stream.ended = true;
	h->state = TLS_ENDED;
	if (h->stream.events != NULL)
		h->stream.events->end(h->stream.user, err);
}

/* Gives plaintext while the owner wants it. */
static void pump(struct tls_handshake *h)
{
	char text[RECORD_BYTES];

	while (h->state == TLS_OPEN && h->reading && !h->dead) {
		struct err err = {0};
		int n;

		ERR_clear_error();
		n = SSL_read(h->ssl, text, sizeof(text));
		if (n > 0) {
			h->stream.events->read(h->stream.user, (struct span){text, (size_t)n});
			continue;
		}
		switch (SSL_get_error(h->ssl, n)) {
		case SSL_ERROR_WANT_READ:
			flush(h);
			return;
		case SSL_ERROR_ZERO_RETURN:
			end(h, NULL);
			return;
		default:
			set_openssl(&err, ERR_IO, "TLS");
			flush(h);
			end(h, &err);
			return;
		}
	}
}

static void on_raw_read(void *user, struct span bytes)
{
	struct tls_handshake *h = user;

	h->depth++;
	if (BIO_write(h->in, bytes.p, (int)bytes.n) != (int)bytes.n) {
		struct err err = {0};

		err_set(&err, ERR_NO_MEMORY, NULL);
		if (h->state == TLS_HANDSHAKE)
			fail_handshake(h, &err);
		else
			end(h, &err);
	} else if (h->state == TLS_HANDSHAKE) {
		shake(h);
	} else {
		pump(h);
	}
	leave(h);
}

static void on_raw_end(void *user, const struct err *why)
{
	struct tls_handshake *h = user;
	struct err err = {0};

	h->depth++;
	if (why != NULL)
		err = *why;
	else
		err_set(&err, ERR_IO,
			h->state == TLS_HANDSHAKE ? "closed during the TLS handshake"
						  : "closed without the TLS end (close_notify)");
	if (h->state == TLS_HANDSHAKE)
		fail_handshake(h, &err);
	else if (h->state == TLS_OPEN)
		end(h, &err);
	leave(h);
}

static void on_raw_drain(void *user)
{
	struct tls_handshake *h = user;

	h->depth++;
	if (h->state == TLS_OPEN && h->stream.events != NULL)
		h->stream.events->drain(h->stream.user);
	leave(h);
}

static const struct stream_events raw_events = {
	.read = on_raw_read, .end = on_raw_end, .drain = on_raw_drain};

/* ---- as a stream ---- */

static struct tls_handshake *self(struct stream *s)
{
	return LIST_ITEM(s, struct tls_handshake, stream);
}

static void run_later(struct loop_hook *hook)
{
	struct tls_handshake *h = LIST_ITEM(hook, struct tls_handshake, later);

	loop_hook_remove(hook);
	h->hooked = false;
	h->depth++;
	pump(h);
	leave(h);
}

static void op_resume(struct stream *s)
{
	struct tls_handshake *h = self(s);

	if (h->reading)
		return;
	h->reading = true;
	stream_resume(h->raw);
	/* What was decrypted, or read and not decrypted, while reading was paused. */
	if (!h->hooked && h->state == TLS_OPEN &&
		(SSL_pending(h->ssl) > 0 || BIO_pending(h->in) > 0)) {
		h->hooked = true;
		loop_hook_add(s->loop, &h->later);
	}
}

static void op_pause(struct stream *s)
{
	struct tls_handshake *h = self(s);

	h->reading = false;
	stream_pause(h->raw);
}

static bool put(struct tls_handshake *h, const char *p, size_t n)
{
	ERR_clear_error();
	return n == 0 || SSL_write(h->ssl, p, (int)n) == (int)n;
}

/* Small spans are gathered, so that head and body share a record. */
static bool op_write(struct stream *s, const struct span *v, int n)
{
	struct tls_handshake *h = self(s);
	char record[RECORD_BYTES];
	size_t held = 0;

	if (s->broken || h->raw == NULL)
		return false;
	for (int i = 0; i < n; i++) {
		struct span rest = v[i];

		while (rest.n > 0) {
			size_t take =
				sizeof(record) - held < rest.n ? sizeof(record) - held : rest.n;

			memcpy(record + held, rest.p, take);
			held += take;
			rest = span_skip(rest, take);
			if (held < sizeof(record))
				continue;
			if (!put(h, record, held))
				goto broken;
			held = 0;
		}
	}
	if (!put(h, record, held))
		goto broken;
	flush(h);
	return !s->broken;
broken:
	s->broken = true;
	return false;
}

static size_t op_pending(const struct stream *s)
{
	const struct tls_handshake *h = (const struct tls_handshake *)s;

	return h->raw != NULL ? stream_pending(h->raw) : 0;
}

static void finish(struct tls_handshake *h)
{
	h->raw = NULL;
	h->state = TLS_ENDED;
	if (h->depth > 0)
		h->dead = true;
	else
		release(h);
}

static void op_close(struct stream *s)
{
	struct tls_handshake *h = self(s);

	if (!s->broken && SSL_is_init_finished(h->ssl)) {
		ERR_clear_error();
		SSL_shutdown(h->ssl);
		flush(h);
	}
	ERR_clear_error();
	stream_close(h->raw);
	finish(h);
}

static void op_reset(struct stream *s)
{
	struct tls_handshake *h = self(s);

	stream_reset(h->raw);
	finish(h);
}

static const struct stream_ops tls_ops = {.resume = op_resume,
	.pause = op_pause,
	.write = op_write,
	.pending = op_pending,
	.close = op_close,
	.reset = op_reset};

/* ---- beginning ---- */

static struct tls_handshake *handshake_new(struct tls_context *c, struct stream *raw,
	const struct tls_handshake_events *events, void *user)
{
	struct tls_handshake *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->ssl = SSL_new(c->ctx);
	h->in = BIO_new(BIO_s_mem());
	h->out = BIO_new(BIO_s_mem());
	if (h->ssl == NULL || h->in == NULL || h->out == NULL) {
		BIO_free(h->in);
		BIO_free(h->out);
		SSL_free(h->ssl);
		free(h);
		return NULL;
	}
	BIO_set_mem_eof_return(h->in, -1);
	SSL_set_bio(h->ssl, h->in, h->out);
	h->context = tls_context_ref(c);
	h->raw = raw;
	h->events = events;
	h->user = user;
	h->later.run = run_later;
	h->stream.ops = &tls_ops;
	h->stream.loop = raw->loop;
	memcpy(h->stream.peer, raw->peer, sizeof(h->stream.peer));
	stream_bind(raw, &raw_events, h);
	return h;
}

struct tls_handshake *tls_accept(struct tls_context *c, struct stream *raw,
	const struct tls_handshake_events *events, void *user)
{
	struct tls_handshake *h = handshake_new(c, raw, events, user);

	if (h == NULL) {
		stream_close(raw);
		return NULL;
	}
	SSL_set_accept_state(h->ssl);
	stream_resume(raw);
	return h;
}

/* The name that the certificate must have; an address literal is compared as one. */
static bool expect_host(struct tls_handshake *h, const char *host)
{
	struct in6_addr address;

	if (snprintf(h->host, sizeof(h->host), "%s", host) >= (int)sizeof(h->host))
		return false;
	if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(h->ssl), host) == 1;
	return SSL_set1_host(h->ssl, host) == 1 && SSL_set_tlsext_host_name(h->ssl, host) == 1;
}

struct tls_handshake *tls_connect(struct tls_context *c, struct stream *raw, const char *host,
	const struct tls_handshake_events *events, void *user)
{
	struct tls_handshake *h = handshake_new(c, raw, events, user);

	if (h == NULL) {
		stream_close(raw);
		return NULL;
	}
	if (!expect_host(h, host) || SSL_set_ex_data(h->ssl, slot_of(h->ssl), h) != 1) {
		ERR_clear_error();
		stream_close(raw);
		release(h);
		return NULL;
	}
	offer_session(h);
	SSL_set_connect_state(h->ssl);
	ERR_clear_error();
	SSL_do_handshake(h->ssl); /* the first flight; the rest follows what the peer says */
	flush(h);
	stream_resume(raw);
	return h;
}

void tls_handshake_cancel(struct tls_handshake *h)
{
	assert(h->state == TLS_HANDSHAKE);
	stream_reset(h->raw);
	finish(h);
}
