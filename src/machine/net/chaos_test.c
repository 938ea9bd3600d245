/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kind of stream, both ends in one loop, owners that do anything at any time. What must hold:
 * bytes arrive in order and none twice; an orderly end comes behind all of them; `end` comes once;
 * `drain` only when nothing waits; nothing is left afterwards.
 */
#include "machine/net/pipe.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "machine/net/conn.h"
#include "machine/net/socket.h"
#include "machine/net/tls.h"

enum kind { PIPE, UNIX, TCP, KIND_COUNT };
enum { ROUNDS = 150, STEPS = 60, MAX_WRITE = 150000 };

struct end {
	struct stream *s; /* NULL: closed, or not there */
	struct end *other;
	size_t written, read;
	int ends;
	bool orderly;  /* it was closed, all written before */
	bool reset;    /* by us */
	bool reported; /* handshake */
	bool open;     /* a stream came out of it */
	struct tls_handshake *handshake;
};

static struct loop *loop;
static struct end ends[2];
static unsigned seed;
static char pattern[MAX_WRITE + 256];
static struct tls_context *server, *client;
static struct stream *accepted, *dialled;

static unsigned roll(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 12) % n;
}

static bool is_unix; /* without TLS over it */

static void act(struct end *e);

static void on_read(void *user, struct span bytes)
{
	struct end *e = user;

	assert_non_null(e->s);
	assert_int_equal(e->ends, 0);
	assert_true(e->read + bytes.n <= e->other->written);
	assert_memory_equal(bytes.p, pattern + e->read % 251, bytes.n < 200 ? bytes.n : 200);
	assert_int_equal(bytes.p[bytes.n - 1], pattern[(e->read + bytes.n - 1) % 251]);
	e->read += bytes.n;
	if (roll(4) == 0)
		act(e);
}

static void on_end(void *user, const struct err *err)
{
	struct end *e = user;

	assert_non_null(e->s);
	assert_int_equal(e->ends++, 0);
	if (err == NULL) {
		/* A UNIX socket has no other way to end. */
		if (is_unix && !e->other->orderly)
			return;
		/* Whoever says that this was all has to have sent all. */
		assert_true(e->other->orderly);
		assert_int_equal(e->read, e->other->written);
	}
	if (roll(2) == 0)
		act(e);
}

static void on_drain(void *user)
{
	struct end *e = user;

	assert_non_null(e->s);
	assert_int_equal(stream_pending(e->s), 0);
	if (roll(2) == 0)
		act(e);
}

static const struct stream_events events = {.read = on_read, .end = on_end, .drain = on_drain};

static void write_some(struct end *e)
{
	struct span v[4];
	size_t at = e->written, total = 0;
	int n = 1 + (int)roll(4);

	for (int i = 0; i < n; i++) {
		size_t size = roll(8) == 0 ? roll(MAX_WRITE - 300) : roll(3) == 0 ? 0 : roll(900);

		v[i] = span_from(pattern + (at + total) % 251, size);
		total += size;
	}
	/* A write that failed may still have sent a part. */
	e->written += total;
	if (!stream_write(e->s, v, n))
		assert_true(e->s->broken);
}

/* One thing that an owner may do. */
static void act(struct end *e)
{
	if (e->s == NULL)
		return;
	switch (roll(24)) {
	case 0:
		e->orderly = !e->s->broken;
		stream_close(e->s);
		e->s = NULL;
		break;
	case 1:
		e->reset = true;
		stream_reset(e->s);
		e->s = NULL;
		break;
	case 2:
	case 3:
		stream_pause(e->s);
		break;
	case 4:
	case 5:
		stream_pause(e->s);
		stream_resume(e->s);
		break;
	case 6:
	case 7:
	case 8:
	case 9:
	case 10:
	case 11:
		stream_resume(e->s);
		break;
	default:
		if (stream_pending(e->s) < (1u << 20))
			write_some(e);
	}
}

static void take(struct end *e, struct stream *s)
{
	e->s = s;
	e->open = s != NULL;
	if (s == NULL)
		return;
	assert_null(s->events);
	stream_bind(s, &events, e);
	if (roll(2) == 0)
		stream_resume(s);
}

static void on_handshake(void *user, struct stream *s, const struct err *err)
{
	struct end *e = user;

	assert_false(e->reported);
	e->reported = true;
	e->handshake = NULL;
	take(e, s);
	if (roll(3) == 0)
		act(e);
}

static const struct tls_handshake_events handshake_events = {.done = on_handshake};

static void on_accept(void *user, struct stream *s)
{
	accepted = s;
}

static void on_dialled(void *user, struct stream *s)
{
	dialled = s;
}

static void on_dial_failed(void *user, enum dial_failure why, const struct err *err)
{
	fail_msg("%s", err->text);
}

static const struct dial_events dial_events = {.done = on_dialled, .fail = on_dial_failed};

static void open_pair(enum kind kind, struct stream *pair[2])
{
	struct listener *ls;
	int fds[2];

	switch (kind) {
	case PIPE:
		assert_true(pipe_open(loop, roll(3) == 0 ? 0 : 1 + roll(5000), pair));
		break;
	case UNIX:
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
		for (int i = 0; i < 2; i++)
			pair[i] = &conn_adopt(loop, fds[i], false, "unix")->s;
		break;
	default:
		accepted = dialled = NULL;
		ls = listener_open(loop, "127.0.0.1:0", on_accept, NULL, NULL);
		assert_non_null(ls);
		assert_non_null(dial_start(loop, NULL, "127.0.0.1", listener_port(ls), 10000, false,
			&dial_events, NULL));
		while (accepted == NULL || dialled == NULL)
			uv_run(&loop->uv, UV_RUN_ONCE);
		listener_close(ls);
		pair[0] = dialled;
		pair[1] = accepted;
	}
}

/* Ends what the owners left open; what is under way arrives before that. */
static void settle(void)
{
	for (int i = 0; i < 2; i++) {
		if (ends[i].handshake != NULL) {
			tls_handshake_cancel(ends[i].handshake);
			ends[i].handshake = NULL;
		}
		if (ends[i].s != NULL)
			stream_resume(ends[i].s);
	}
	for (int i = 0; i < 20; i++)
		uv_run(&loop->uv, UV_RUN_NOWAIT);
	for (int i = 0; i < 2; i++) {
		/* As is said in stream.h: the end of both at once loses nothing that was read. */
		stream_reset(ends[i].s);
		ends[i].s = NULL;
	}
}

static void run(enum kind kind, bool tls)
{
	struct stream *pair[2];

	memset(ends, 0, sizeof(ends));
	is_unix = kind == UNIX && !tls;
	ends[0].other = &ends[1];
	ends[1].other = &ends[0];
	open_pair(kind, pair);
	if (tls) {
		ends[0].handshake =
			tls_connect(client, pair[0], "localhost", &handshake_events, &ends[0]);
		ends[1].handshake = tls_accept(server, pair[1], &handshake_events, &ends[1]);
		assert_true(ends[0].handshake != NULL && ends[1].handshake != NULL);
	} else {
		take(&ends[0], pair[0]);
		take(&ends[1], pair[1]);
	}
	for (int i = 0; i < STEPS; i++) {
		struct end *e = &ends[roll(2)];

		if (e->handshake != NULL && roll(60) == 0) {
			tls_handshake_cancel(e->handshake);
			e->handshake = NULL;
			e->reported = true;
		}
		act(e);
		if (roll(2) == 0)
			uv_run(&loop->uv, UV_RUN_NOWAIT);
	}
	settle();
}

static void run_all(bool tls)
{
	size_t bytes = 0;
	int orderly = 0;

	for (int kind = 0; kind < KIND_COUNT; kind++) {
		for (int round = 0; round < ROUNDS; round++) {
			loop = loop_new(&sys_real, NULL);
			assert_non_null(loop);
			seed = (unsigned)(round * 977 + kind * 131 + tls);
			run((enum kind)kind, tls);
			for (int i = 0; i < 2; i++) {
				bytes += ends[i].read;
				orderly += ends[i].orderly;
			}
			loop_free(loop);
		}
	}
	/* The rounds must not have become empty. */
	assert_true(bytes > 10000000);
	assert_true(orderly > 50);
}

static void bare_streams_keep_their_promises(void **state)
{
	run_all(false);
}

static void make_contexts(void)
{
	char cert[] = "/tmp/chaos_test_XXXXXX", key[] = "/tmp/chaos_test_XXXXXX";
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_EXTENSION *names;
	FILE *f;

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, pair);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
		(const unsigned char *)"localhost", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost");
	X509_add_ext(x, names, -1);
	X509_EXTENSION_free(names);
	assert_true(X509_sign(x, pair, EVP_sha256()) > 0);
	f = fdopen(mkstemp(cert), "w");
	PEM_write_X509(f, x);
	fclose(f);
	f = fdopen(mkstemp(key), "w");
	PEM_write_PrivateKey(f, pair, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	server = tls_context_server(cert, key, NULL);
	client = tls_context_client(cert, NULL);
	assert_true(server != NULL && client != NULL);
	unlink(cert);
	unlink(key);
	X509_free(x);
	EVP_PKEY_free(pair);
}

static void tls_streams_keep_their_promises(void **state)
{
	make_contexts();
	run_all(true);
	tls_context_unref(server);
	tls_context_unref(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bare_streams_keep_their_promises),
		cmocka_unit_test(tls_streams_keep_their_promises),
	};

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (char)(i % 251);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
