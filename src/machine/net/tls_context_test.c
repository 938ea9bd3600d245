/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/tls_context.h"
#include "machine/net/tls_kit_test.h"

/* --- versions, ciphers, protocols --- */

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
	static const char *const pairs[][3] = {{"absent", "key", "No such file"},
		{"cert", "absent", "No such file"},
		{"cert", "other", "not the key of the certificate"},
		{"cert", "locked", "without a password"}, {"key", "key", "holds no certificate"},
		{"cert", "cert", "holds no private key"}};
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
		assert_non_null(strstr(err.text, pairs[i][2]));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROBE_TEST(version_1_2_works_and_older_ones_do_not),
		PROBE_TEST(the_server_refuses_what_is_weak_or_unknown),
		PROBE_TEST(certificates_are_verified),
		PROBE_TEST(expired_foreign_and_self_signed_certificates_are_refused),
		PROBE_TEST(a_host_that_no_certificate_can_have_is_reported_later),
		PROBE_TEST(names_are_sent_and_addresses_are_not),
		PROBE_TEST(the_client_resumes_sessions_of_the_same_host),
		PROBE_CLOCK_TEST(the_servers_tickets_open_for_an_hour_or_two),
		PROBE_TEST(bad_files_are_named),
		PROBE_TEST(the_system_store_is_looked_up_and_not_loaded),
	};

	return cmocka_run_group_tests(tests, make_room, remove_room);
}
