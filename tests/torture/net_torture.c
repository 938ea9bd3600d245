/* SPDX-License-Identifier: Apache-2.0 */
/* Connections over loopback and TLS over a pipe, without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include "machine/loop/mailbox.h"
#include "machine/net/pipe.h"
#include "machine/net/socket.h"
#include "machine/net/tls.h"
#include "torture.h"

#define MAX_TURNS 4000
/* More than the kernel takes at once, so that there is something to keep. */
#define LARGE_BYTES (8u << 20)

static char *large;
static struct tls_context *server_context, *client_context;

/* One end of a connection: counts what comes, answers nothing. */
struct end {
	struct stream *s;
	size_t got;
	int ends, drains;
	struct tls_handshake *handshake;
	int reported;
};

static void on_read(void *user, struct span bytes)
{
	struct end *e = user;

	e->got += bytes.n;
}

static void on_end(void *user, const struct err *err)
{
	struct end *e = user;

	assert_true(err == NULL || err->code != ERR_OK);
	assert_int_equal(e->ends++, 0);
}

static void on_drain(void *user)
{
	struct end *e = user;

	assert_int_equal(stream_pending(e->s), 0);
	e->drains++;
}

static const struct stream_events events = {.read = on_read, .end = on_end, .drain = on_drain};

static void take(struct end *e, struct stream *s)
{
	e->s = s;
	if (s == NULL)
		return;
	stream_bind(s, &events, e);
	stream_resume(s);
}

static void turn(struct loop *l, int i)
{
	uv_run(&l->uv, UV_RUN_NOWAIT);
	if (i > 100)
		usleep(100);
}

/* --- sockets --- */

struct call {
	struct end here, there;
	int done, failed;
};

static void on_accept(void *user, struct stream *s)
{
	struct call *c = user;

	take(&c->there, s);
}

static void on_done(void *user, struct stream *s)
{
	struct call *c = user;

	c->done++;
	take(&c->here, s);
}

static void on_fail(void *user, enum dial_failure why, const struct err *err)
{
	struct call *c = user;

	assert_true(err->code != ERR_OK);
	c->failed++;
}

static const struct dial_events dial_events = {.done = on_done, .fail = on_fail};

static bool talk(struct loop *l, struct call *c)
{
	struct span v[2] = {{large, 10}, {large, LARGE_BYTES}};
	bool wrote;

	for (int i = 0; i < MAX_TURNS && c->done + c->failed == 0; i++)
		turn(l, i);
	assert_int_equal(c->done + c->failed, 1);
	if (c->done == 0)
		return false;
	wrote = stream_write(c->here.s, v, 2) && stream_write(c->here.s, v, 1);
	for (int i = 0; i < MAX_TURNS && c->here.ends == 0 && c->there.ends == 0 &&
			c->there.got < LARGE_BYTES + 20;
		i++) {
		/* A peer that could not be accepted without memory was closed. */
		if (c->there.s == NULL && i > 50 && torture_has_refused())
			break;
		turn(l, i);
	}
	/* A write that failed is reported by `end`, and what was kept was kept whole. */
	if (!wrote) {
		for (int i = 0; i < MAX_TURNS && c->here.ends == 0; i++)
			turn(l, i);
		assert_int_equal(c->here.ends, 1);
		return false;
	}
	return c->there.got == LARGE_BYTES + 20;
}

static bool sockets(const void *arg)
{
	const char *host = arg;
	struct err err = {0};
	struct call c = {0};
	struct loop *l = loop_new(&sys_real, &err);
	struct resolver *r = l != NULL ? resolver_new(l) : NULL;
	struct mailbox *box = l != NULL ? mailbox_new(l, &err) : NULL;
	struct listener *ls =
		box != NULL ? listener_open(l, "127.0.0.1:0", on_accept, &c, &err) : NULL;
	bool ok = r != NULL && ls != NULL;

	if (l == NULL || box == NULL || ls == NULL)
		assert_int_equal(err.code, ERR_NO_MEMORY);
	if (ok)
		ok = dial_start(l, r, host, listener_port(ls), 3000, false, &dial_events, &c) !=
			     NULL &&
		     talk(l, &c);
	stream_close(c.here.s);
	stream_close(c.there.s);
	listener_close(ls);
	mailbox_free(box);
	resolver_free(r);
	loop_free(l);
	return ok;
}

/* --- TLS --- */

static void on_handshake(void *user, struct stream *s, const struct err *err)
{
	struct end *e = user;

	assert_true((s == NULL) == (err != NULL));
	e->reported++;
	e->handshake = NULL;
	take(e, s);
}

static const struct tls_handshake_events handshake_events = {.done = on_handshake};

static void leave_when_ended(struct end *e)
{
	if (e->s == NULL || e->ends == 0)
		return;
	stream_close(e->s);
	e->s = NULL;
}

static bool tls(const void *arg)
{
	const size_t *cut = arg;
	struct end a = {0}, b = {0};
	struct span v[3] = {{large, 10}, {large, 100000}, {large, 10}};
	struct loop *l = loop_new(&sys_real, NULL);
	struct stream *ends[2];
	bool ok;

	if (l == NULL || !pipe_open(l, *cut, ends)) {
		loop_free(l);
		return false;
	}
	b.handshake = tls_accept(server_context, ends[1], &handshake_events, &b);
	a.handshake = tls_connect(client_context, ends[0], "localhost", &handshake_events, &a);
	for (int i = 0; i < MAX_TURNS && (a.handshake != NULL || b.handshake != NULL); i++) {
		turn(l, i);
		/* One end may be ready and broken while the other waits for its last words. */
		leave_when_ended(&a);
		leave_when_ended(&b);
	}
	assert_true(a.handshake == NULL && b.handshake == NULL);
	ok = a.s != NULL && b.s != NULL && stream_write(a.s, v, 3);
	for (int i = 0; i < MAX_TURNS && ok && b.ends == 0 && a.ends == 0 && b.got < 100020; i++) {
		turn(l, i);
		/* The reader stops and goes on, so that bytes are held. */
		if (i % 2 == 0)
			stream_pause(b.s);
		else
			stream_resume(b.s);
	}
	ok = ok && b.got == 100020;
	stream_close(a.s);
	stream_close(b.s);
	loop_free(l);
	return ok;
}

/* A certificate for localhost, signed by itself. */
static void make_contexts(void)
{
	char cert[] = "/tmp/net_torture_XXXXXX", key[] = "/tmp/net_torture_XXXXXX";
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_EXTENSION *names;
	struct err err = {0};
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
	server_context = tls_context_server(cert, key, &err);
	client_context = tls_context_client(cert, &err);
	assert_true(server_context != NULL && client_context != NULL);
	unlink(cert);
	unlink(key);
	X509_free(x);
	EVP_PKEY_free(pair);
}

static void sockets_survive(void **state)
{
	torture("an address", sockets, "127.0.0.1");
	torture("a name", sockets, "localhost");
}

/* Contexts are made inside, so that saved sessions are freed with them. */
static bool tls_in_new_contexts(const void *arg)
{
	bool ok;

	torture_pause();
	make_contexts();
	torture_resume();
	ok = tls(arg);
	torture_pause();
	tls_context_unref(server_context);
	tls_context_unref(client_context);
	torture_resume();
	return ok;
}

static void tls_survives(void **state)
{
	static const size_t cuts[] = {0, 1400};

	for (int i = 0; i < 2; i++)
		torture("TLS", tls_in_new_contexts, &cuts[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sockets_survive),
		cmocka_unit_test(tls_survives),
	};
	int failed;

	large = calloc(1, LARGE_BYTES);
	if (large == NULL)
		return 1;
	failed = cmocka_run_group_tests_name("torture/net", tests, NULL, NULL);
	free(large);
	return failed;
}
