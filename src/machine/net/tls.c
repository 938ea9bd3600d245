/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/tls.h"
#include <assert.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include "machine/base/buf.h"
#include "machine/net/address.h"
#include "machine/net/tls_context.h"

#define RECORD_BYTES 16384
#define MAX_HELD_BYTES (4 * LOOP_READ_BYTES)

/* Has a struct err, whose filling with zeros a read should not pay for. */
#define COLD __attribute__((noinline, cold))

enum tls_state {
	TLS_SHAKING,
	TLS_OPEN,
	TLS_ENDING, /* the end was read while paused: to be told */
	TLS_ENDED
};

/* A handshake until it reported, a stream from then on: one object, two names. */
struct tls_handshake {
	struct stream s;
	struct tls_owner owner;
	struct stream *raw; /* NULL once given up */
	SSL *ssl;
	struct span in;  /* encrypted, being worked on; only during `work` */
	struct buf held; /* encrypted, waits for resume; no memory when empty */
	size_t out_n;    /* encrypted, in the loop's scratch; only during a call */
	struct loop_task task;
	const struct tls_handshake_events *done;
	void *user;      /* of done */
	struct err *why; /* what ends the stream, when it was not told at once */
	uint8_t state;
	bool resumed;
	bool busy;     /* inside `work`: what is given up is freed behind it */
	bool raw_over; /* `raw` ended while bytes were held: they come first, then `why` */
	bool gone;
};

/* --- encrypted bytes --- */

/* What OpenSSL made leaves in one write. */
static void flush(struct tls_handshake *t)
{
	struct span bytes = {t->s.loop->scratch[LOOP_SCRATCH_CIPHER], t->out_n};

	t->out_n = 0;
	if (bytes.n > 0 && t->raw != NULL && !t->s.broken)
		t->s.broken = !stream_write(t->raw, &bytes, 1);
}

int tls_bio_write(BIO *bio, const char *p, int n)
{
	struct tls_handshake *t = BIO_get_data(bio);
	struct span rest = {p, n > 0 ? (size_t)n : 0};
	char *scratch = loop_scratch(t->s.loop, LOOP_SCRATCH_CIPHER);

	BIO_clear_retry_flags(bio);
	if (scratch == NULL)
		return -1;
	while (rest.n > 0) {
		size_t take;

		if (t->out_n == LOOP_READ_BYTES)
			flush(t);
		take = LOOP_READ_BYTES - t->out_n < rest.n ? LOOP_READ_BYTES - t->out_n : rest.n;
		memcpy(scratch + t->out_n, rest.p, take);
		t->out_n += take;
		rest = span_skip(rest, take);
	}
	return n;
}

int tls_bio_read(BIO *bio, char *out, int n)
{
	struct tls_handshake *t = BIO_get_data(bio);
	size_t take = n > 0 && (size_t)n < t->in.n ? (size_t)n : t->in.n;

	BIO_clear_retry_flags(bio);
	if (take == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(out, t->in.p, take);
	t->in = span_skip(t->in, take);
	return (int)take;
}

/* --- ending --- */

static void release(struct tls_handshake *t)
{
	loop_task_cancel(&t->task);
	if (t->ssl != NULL && !SSL_in_init(t->ssl))
		/* Else OpenSSL takes the session for a bad one and does not resume it. */
		SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->ssl);
	buf_done(&t->held);
	tls_context_unref(t->owner.context);
	free(t->owner.host);
	free(t->why);
	free(t);
}

/* The owner's pointer is gone; `raw` was closed or reset. */
static void give_up(struct tls_handshake *t)
{
	t->raw = NULL;
	t->gone = true;
	if (!t->busy)
		release(t);
}

/* What OpenSSL complains about, as a person has to act on it. */
static void explain(
	struct tls_handshake *t, const char *doing, unsigned long number, struct err *err)
{
	long verdict = SSL_get_verify_result(t->ssl);
	const char *reason = ERR_reason_error_string(number);
	const char *who = t->owner.host != NULL ? t->owner.host : t->s.peer;

	ERR_clear_error();
	if (t->owner.host != NULL && verdict != X509_V_OK && t->state == TLS_SHAKING)
		err_set(err, ERR_UPSTREAM_UNREACHABLE, "%s: the certificate is refused: %s", who,
			X509_verify_cert_error_string(verdict));
	else
		err_set(err,
			t->owner.host != NULL && t->state == TLS_SHAKING ? ERR_UPSTREAM_UNREACHABLE
									 : ERR_IO,
			"%s with %s: %s", doing, who, reason != NULL ? reason : "failed");
}

/* Tells the owner of the handshake that there will be no stream. From the loop only. */
COLD static void fail_handshake(struct tls_handshake *t, const struct err *why)
{
	struct err err = *why;
	const struct tls_handshake_events *done = t->done;
	void *user = t->user;

	flush(t); /* the alert, if OpenSSL made one */
	stream_close(t->raw);
	give_up(t);
	done->done(user, NULL, &err);
}

/* why NULL: in order. From the loop only. */
static void end(struct tls_handshake *t, const struct err *why)
{
	t->state = TLS_ENDED;
	t->s.ended = true;
	if (why != NULL)
		t->s.broken = true;
	if (t->s.events != NULL)
		t->s.events->end(t->s.user, why);
}

COLD static void fail_memory(struct tls_handshake *t)
{
	struct err err = {0};

	err_set(&err, ERR_NO_MEMORY, NULL);
	if (t->state == TLS_SHAKING)
		fail_handshake(t, &err);
	else
		end(t, &err);
}

/* A pausing owner is told of the end when it resumes. */
static void end_behind_reads(struct tls_handshake *t, const struct err *why)
{
	if (t->resumed) {
		end(t, why);
		return;
	}
	t->state = TLS_ENDING;
	free(t->why); /* what befell the raw stream later counts no more */
	t->why = NULL;
	if (why == NULL)
		return;
	t->why = malloc(sizeof(*t->why));
	if (t->why != NULL)
		*t->why = *why;
	else
		end(t, why);
}

/* --- reading --- */

COLD static void fail_shaking(struct tls_handshake *t)
{
	struct err err = {0};

	explain(t, "TLS handshake", ERR_peek_error(), &err);
	fail_handshake(t, &err);
}

static void shake(struct tls_handshake *t)
{
	int result, why;

	ERR_clear_error();
	result = SSL_do_handshake(t->ssl);
	why = result == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, result);
	if (why == SSL_ERROR_NONE) {
		const struct tls_handshake_events *done = t->done;

		flush(t);
		t->state = TLS_OPEN;
		stream_pause(t->raw);
		done->done(t->user, &t->s, NULL);
	} else if (why == SSL_ERROR_WANT_READ) {
		flush(t);
	} else {
		fail_shaking(t);
	}
}

/* Decrypts as much as fits into the scratch; returns why it stopped. */
static int decrypt(struct tls_handshake *t, char *text, size_t *n)
{
	*n = 0;
	ERR_clear_error();
	/* With room for a whole record none is left half read inside OpenSSL. */
	while (LOOP_READ_BYTES - *n >= RECORD_BYTES) {
		int got = SSL_read(t->ssl, text + *n, (int)(LOOP_READ_BYTES - *n));

		if (got <= 0)
			return SSL_get_error(t->ssl, got);
		*n += (size_t)got;
	}
	return SSL_ERROR_NONE;
}

/* Decrypting failed: behind what was read before, the stream ends. */
COLD static void fail_reading(struct tls_handshake *t, unsigned long number)
{
	struct err err = {0};

	explain(t, "TLS", number, &err);
	end_behind_reads(t, &err);
}

/* Gives plaintext while the owner wants it. */
static void deliver(struct tls_handshake *t)
{
	char *text = loop_scratch(t->s.loop, LOOP_SCRATCH_PLAIN);

	if (text == NULL) {
		fail_memory(t);
		return;
	}
	while (t->resumed && !t->gone && t->state == TLS_OPEN) {
		size_t n;
		int why = decrypt(t, text, &n);
		unsigned long number = why == SSL_ERROR_SSL ? ERR_peek_error() : 0;

		flush(t);
		if (n > 0)
			t->s.events->read(t->s.user, span_from(text, n));
		if (t->gone || t->state != TLS_OPEN || why == SSL_ERROR_WANT_READ)
			return;
		if (why == SSL_ERROR_ZERO_RETURN)
			end_behind_reads(t, NULL);
		else if (why != SSL_ERROR_NONE)
			fail_reading(t, number);
	}
}

/* Works on t->in; what is left of it then was not wanted yet. */
static void work(struct tls_handshake *t)
{
	t->busy = true;
	if (t->state == TLS_SHAKING)
		shake(t);
	if (!t->gone && t->state == TLS_OPEN && t->resumed)
		deliver(t);
	t->busy = false;
}

static bool hold(struct tls_handshake *t, struct span bytes)
{
	if (bytes.n == 0 || t->state == TLS_ENDED || buf_append(&t->held, bytes))
		return true;
	t->busy = true;
	fail_memory(t);
	t->busy = false;
	return false;
}

static void work_on_held(struct tls_handshake *t)
{
	size_t left;

	t->in = buf_span(&t->held);
	work(t);
	left = t->in.n;
	t->in = (struct span){NULL, 0};
	if (t->gone) {
		release(t);
		return;
	}
	buf_consume(&t->held, t->held.n - left);
	if (t->held.n == 0)
		buf_done(&t->held);
}

static void on_raw_read(void *user, struct span bytes)
{
	struct tls_handshake *t = user;
	struct span left;

	if (t->state == TLS_ENDING || t->state == TLS_ENDED)
		return; /* nothing counts behind close_notify */
	if (t->held.n > 0) {
		if (hold(t, bytes))
			work_on_held(t);
		else if (t->gone)
			release(t);
		return;
	}
	t->in = bytes;
	work(t);
	left = t->in;
	t->in = (struct span){NULL, 0};
	if (!t->gone)
		hold(t, left);
	if (t->gone)
		release(t);
}

static void end_behind_held(struct tls_handshake *t, const struct err *why)
{
	struct err *copy = t->held.n > 0 && t->why == NULL ? malloc(sizeof(*copy)) : NULL;

	if (copy == NULL) {
		end(t, why);
		return;
	}
	*copy = *why;
	t->why = copy;
	t->raw_over = true;
	if (t->resumed)
		loop_task_post(t->s.loop, &t->task);
}

static void on_raw_end(void *user, const struct err *why)
{
	struct tls_handshake *t = user;
	struct err err = {0};

	if (why != NULL)
		t->s.broken = true;
	if (t->state == TLS_SHAKING) {
		const char *who = t->owner.host != NULL ? t->owner.host : t->s.peer;

		err_set(&err, t->owner.host != NULL ? ERR_UPSTREAM_UNREACHABLE : ERR_IO,
			"TLS handshake with %s: %s", who,
			why != NULL ? why->text : "the peer closed the connection");
		fail_handshake(t, &err);
	} else if (t->state == TLS_OPEN) {
		/* RFC 8446 section 6.1: without close_notify anyone may have cut the stream. */
		if (why == NULL)
			err_set(&err, ERR_IO,
				"connection with %s: ended without close_notify, so "
				"what came may not be all",
				t->s.peer);
		end_behind_held(t, why != NULL ? why : &err);
	}
}

static void on_raw_drain(void *user)
{
	struct tls_handshake *t = user;

	if (t->state != TLS_SHAKING && t->s.events != NULL && t->s.events->drain != NULL)
		t->s.events->drain(t->s.user);
}

static const struct stream_events raw_events = {
	.read = on_raw_read, .end = on_raw_end, .drain = on_raw_drain};

/* What a call of the owner left to be done from the loop. */
static void on_task(struct loop_task *task)
{
	struct tls_handshake *t = LIST_ITEM(task, struct tls_handshake, task);
	struct err *why = t->why;
	bool behind;

	if (t->state == TLS_ENDED)
		return;
	if (t->state == TLS_SHAKING && why != NULL) {
		fail_handshake(t, why);
		return;
	}
	/* What was read ends behind it; what we broke off ourselves is told at once. */
	behind = t->state == TLS_ENDING || (t->raw_over && t->held.n == 0);
	if (behind ? t->resumed : t->state == TLS_OPEN && why != NULL && !t->raw_over) {
		t->why = NULL;
		end(t, why);
		free(why);
		return;
	}
	if (t->state != TLS_OPEN || !t->resumed)
		return;
	/* Not through on_raw_read: only bytes held before may be worked on here. */
	if (t->held.n > 0) {
		struct loop *l = t->s.loop;

		loop_task_post(l, task); /* comes back to look, unless released */
		work_on_held(t);
		return;
	}
	stream_resume(t->raw);
}

/* --- as a stream --- */

static void tls_resume(struct stream *s)
{
	struct tls_handshake *t = (struct tls_handshake *)s;

	t->resumed = true;
	if (t->state == TLS_ENDED)
		return;
	if (t->held.n > 0 || t->busy || t->raw_over || t->state == TLS_ENDING)
		loop_task_post(s->loop, &t->task);
	else
		stream_resume(t->raw);
}

static void tls_pause(struct stream *s)
{
	struct tls_handshake *t = (struct tls_handshake *)s;

	t->resumed = false;
	stream_pause(t->raw);
}

/* The stream cannot go on for a reason of our own; told from the loop. */
COLD static bool break_off(struct tls_handshake *t)
{
	struct err err = {0};

	explain(t, "TLS", ERR_peek_error(), &err);
	t->s.broken = true;
	if (t->state == TLS_OPEN && t->why == NULL) {
		t->why = malloc(sizeof(*t->why));
		if (t->why != NULL)
			*t->why = err;
		/* Without memory even for that the raw stream says it. */
		if (t->why != NULL)
			loop_task_post(t->s.loop, &t->task);
	}
	return false;
}

static bool encrypt(struct tls_handshake *t, struct span text)
{
	while (text.n > 0) {
		int n = text.n > INT_MAX ? INT_MAX : (int)text.n;

		if (SSL_write(t->ssl, text.p, n) != n)
			return false;
		text = span_skip(text, (size_t)n);
	}
	return true;
}

/* Small neighbours share a record, so that a head and its body are one; large spans are not copied.
 */
static bool tls_write(struct stream *s, const struct span *v, int n)
{
	struct tls_handshake *t = (struct tls_handshake *)s;
	char *gather = n > 1 ? loop_scratch(s->loop, LOOP_SCRATCH_GATHER) : NULL;
	size_t held = 0;
	bool ok = true;

	if (s->broken)
		return false;
	ERR_clear_error();
	for (int i = 0; i < n && ok; i++) {
		if (gather == NULL || v[i].n > RECORD_BYTES - held) {
			ok = encrypt(t, span_from(gather, held));
			held = 0;
		}
		if (ok && (gather == NULL || v[i].n >= RECORD_BYTES)) {
			ok = encrypt(t, v[i]);
		} else if (ok && v[i].n > 0) {
			memcpy(gather + held, v[i].p, v[i].n);
			held += v[i].n;
		}
	}
	ok = ok && encrypt(t, span_from(gather, held));
	flush(t);
	return ok ? !s->broken : break_off(t);
}

static size_t tls_pending(const struct stream *s)
{
	return stream_pending(((const struct tls_handshake *)s)->raw);
}

static void tls_close(struct stream *s)
{
	struct tls_handshake *t = (struct tls_handshake *)s;

	if (!s->broken) {
		ERR_clear_error();
		SSL_shutdown(t->ssl);
		flush(t);
		ERR_clear_error();
	}
	stream_close(t->raw);
	give_up(t);
}

static void tls_reset(struct stream *s)
{
	struct tls_handshake *t = (struct tls_handshake *)s;

	stream_reset(t->raw);
	give_up(t);
}

static const struct stream_ops ops = {
	.resume = tls_resume,
	.pause = tls_pause,
	.write = tls_write,
	.pending = tls_pending,
	.close = tls_close,
	.reset = tls_reset,
};

/* --- beginning --- */

static struct tls_handshake *handshake_new(struct tls_context *c, struct stream *raw,
	const char *host, const struct tls_handshake_events *events, void *user)
{
	struct tls_handshake *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->s.ops = &ops;
	t->s.loop = raw->loop;
	memcpy(t->s.peer, raw->peer, sizeof(t->s.peer));
	t->raw = raw;
	t->done = events;
	t->user = user;
	buf_init(&t->held, MAX_HELD_BYTES);
	loop_task_init(&t->task, on_task);
	t->owner.loop = raw->loop;
	t->owner.context = tls_context_ref(c);
	t->owner.host = host != NULL ? strdup(host) : NULL;
	t->ssl = tls_context_ssl(c, &t->owner, t);
	if (t->ssl == NULL || (host != NULL && t->owner.host == NULL)) {
		release(t);
		return NULL;
	}
	stream_bind(raw, &raw_events, t);
	return t;
}

struct tls_handshake *tls_accept(struct tls_context *c, struct stream *raw,
	const struct tls_handshake_events *events, void *user)
{
	struct tls_handshake *t;

	assert(tls_context_is_server(c));
	t = handshake_new(c, raw, NULL, events, user);
	if (t == NULL) {
		stream_close(raw);
		return NULL;
	}
	SSL_set_accept_state(t->ssl);
	stream_resume(raw);
	return t;
}

/* The certificate must be for this very name or address (RFC 6125, RFC 9525: no common names). */
static bool expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	struct address a;

	if (address_read_ip(&a, span_of(host), 0))
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
	X509_VERIFY_PARAM_set_hostflags(
		param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	return host[0] != '\0' && X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
	       SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct tls_handshake *tls_connect(struct tls_context *c, struct stream *raw, const char *host,
	const struct tls_handshake_events *events, void *user)
{
	struct tls_handshake *t;
	int result = -1;

	assert(!tls_context_is_server(c));
	t = handshake_new(c, raw, host, events, user);
	if (t != NULL)
		t->why = calloc(1, sizeof(*t->why));
	if (t == NULL || t->why == NULL) {
		if (t != NULL)
			release(t);
		stream_close(raw);
		return NULL;
	}
	SSL_set_connect_state(t->ssl);
	ERR_clear_error();
	if (expect_host(t->ssl, host)) {
		tls_context_offer_session(t->ssl, &t->owner);
		result = SSL_do_handshake(t->ssl);
	} else {
		err_set(t->why, ERR_UPSTREAM_UNREACHABLE,
			"\"%.100s\" is no host name that a certificate can have", host);
	}
	flush(t);
	if (result != 1 && SSL_get_error(t->ssl, result) != SSL_ERROR_WANT_READ) {
		explain(t, "TLS handshake", ERR_peek_error(), t->why);
		loop_task_post(raw->loop, &t->task);
		return t;
	}
	free(t->why);
	t->why = NULL;
	stream_resume(raw);
	return t;
}

void tls_handshake_cancel(struct tls_handshake *h)
{
	if (h == NULL)
		return;
	assert(h->state == TLS_SHAKING);
	tls_reset(&h->s);
}
