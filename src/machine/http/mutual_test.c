/* SPDX-License-Identifier: Apache-2.0 */
/* The client and the server of this folder with each other: TCP, UNIX socket, TLS. */
#include "machine/http/client.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "machine/http/server.h"

/* ---- a server that sends back what it gets, in chunks ---- */

struct echo {
	struct http_request *r;
	struct buf body;
};

static void echo_body(void *user, struct span bytes)
{
	struct echo *e = user;

	buf_append(&e->body, bytes);
}

static void echo_end(void *user)
{
	struct echo *e = user;
	const struct http_reply reply = {.status = 200, .content_type = "text/plain"};
	struct span all = buf_span(&e->body);

	request_begin(e->r, &reply);
	for (size_t at = 0; at < all.n; at += 10000) {
		struct span part = span_head(span_skip(all, at), 10000);

		request_write(e->r, &part, 1);
	}
	request_end(e->r);
	buf_done(&e->body);
	free(e);
}

static void echo_gone(void *user, const struct err *why)
{
	struct echo *e = user;

	(void)why;
	buf_done(&e->body);
	free(e);
}

static const struct http_request_events echo_events = {
	.body = echo_body, .body_end = echo_end, .gone = echo_gone};

static bool saw_local;

static void echo_request(void *user, struct http_request *r)
{
	struct echo *e = calloc(1, sizeof(*e));

	(void)user;
	assert_non_null(e);
	saw_local = request_is_local_socket(r);
	e->r = r;
	buf_init(&e->body, 64 << 20);
	request_bind(r, &echo_events, e);
}

/* ---- one loop with both ---- */

struct world {
	struct loop *loop;
	struct resolver *resolver;
	struct http_client *client;
	struct http_server *server;
	struct http_call *call;
	struct buf got;
	int ends, fails;
	struct http_failure failure;
};

static void on_head(void *user, const struct http_head *head)
{
	(void)user;
	assert_int_equal(head->status, 200);
}

static void on_body(void *user, struct span bytes)
{
	struct world *w = user;

	buf_append(&w->got, bytes);
}

static void on_end(void *user)
{
	struct world *w = user;

	w->ends++;
}

static void on_fail(void *user, const struct http_failure *f)
{
	struct world *w = user;

	w->fails++;
	w->failure = *f;
}

static const struct http_call_events call_events = {
	.head = on_head, .body = on_body, .end = on_end, .fail = on_fail};

static void turns(struct world *w, int n)
{
	for (int i = 0; i < n; i++) {
		uv_run(&w->loop->uv, UV_RUN_NOWAIT);
		usleep(100);
	}
}

static void world_open(struct world *w, const char *address, struct tls_context *tls)
{
	static const struct http_service service = {.request = echo_request};
	const struct http_server_limits server_limits = {.head_ms = 10000,
		.idle_ms = 75000,
		.body_stall_ms = 30000,
		.body_floor = 64,
		.write_stall_ms = 60000,
		.max_connections = 10,
		.max_pending_bytes = 64 << 20};
	const struct http_client_limits limits = {.max_idle_per_origin = 4, .idle_ms = 55000};
	struct err err = {0};

	*w = (struct world){0};
	w->loop = loop_new(&sys_real, &err);
	assert_non_null(w->loop);
	w->resolver = resolver_new(w->loop);
	w->client = http_client_new(w->loop, w->resolver, &limits);
	w->server = http_server_new(w->loop, &server_limits, &service, NULL);
	assert_true(w->resolver != NULL && w->client != NULL && w->server != NULL);
	if (tls != NULL)
		http_server_set_tls(w->server, tls);
	assert_true(http_server_listen(w->server, address, &err));
	buf_init(&w->got, 64 << 20);
}

static void world_close(struct world *w)
{
	http_client_free(w->client);
	http_server_free(w->server);
	buf_done(&w->got);
	turns(w, 50);
	resolver_free(w->resolver);
	loop_free(w->loop);
}

static void call(struct world *w, struct http_origin *o, struct span body, int connect_ms)
{
	const struct http_call_spec spec = {.origin = o,
		.method = HTTP_POST,
		.target = SPAN("/x"),
		.body = &body,
		.n_body = 1,
		.timeouts = {.connect_ms = connect_ms,
			.head_ms = 60000,
			.idle_ms = 60000,
			.total_ms = 60000}};

	w->ends = w->fails = 0;
	buf_clear(&w->got);
	assert_non_null(http_call_start(w->client, &spec, &call_events, w));
	for (int i = 0; i < 50000 && w->ends + w->fails == 0; i++)
		turns(w, 1);
}

static void echoes(struct world *w, struct http_origin *o)
{
	const size_t n = 3000000;
	char *big = malloc(n);

	assert_non_null(big);
	for (size_t i = 0; i < n; i++)
		big[i] = (char)(i * 7 + i / 251);
	for (int round = 0; round < 3; round++) {
		call(w, o, (struct span){big, round == 1 ? 10 : n}, 5000);
		if (w->fails > 0)
			print_error("%s\n", w->failure.err.text);
		assert_int_equal(w->ends, 1);
		assert_int_equal(w->got.n, round == 1 ? 10 : n);
		assert_memory_equal(buf_span(&w->got).p, big, w->got.n);
		assert_int_equal(http_server_connections(w->server), 1); /* kept */
	}
	http_client_close_idle(w->client);
	turns(w, 100);
	assert_int_equal(http_server_connections(w->server), 0);
	free(big);
}

static struct http_origin *origin(
	struct world *w, const char *scheme, const char *host, struct tls_context *tls)
{
	struct err err = {0};
	struct http_origin *o;
	const char *path;
	char url[100];

	snprintf(url, sizeof(url), "%s://%s:%d", scheme, host, http_server_port(w->server));
	o = http_origin_new(url, tls, &path, &err);
	assert_non_null(o);
	return o;
}

static void over_tcp(void **state)
{
	struct world w;
	struct http_origin *o;

	(void)state;
	world_open(&w, "127.0.0.1:0", NULL);
	o = origin(&w, "http", "127.0.0.1", NULL);
	echoes(&w, o);
	assert_false(saw_local);
	http_origin_unref(o);
	world_close(&w);
}

static void over_a_unix_socket(void **state)
{
	char dir[] = "/tmp/http-test-XXXXXX", url[100];
	struct err err = {0};
	struct http_origin *o;
	const char *path;
	struct world w;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(url, sizeof(url), "unix:%s/s", dir);
	world_open(&w, url, NULL);
	o = http_origin_new(url, NULL, &path, &err);
	assert_non_null(o);
	echoes(&w, o);
	assert_true(saw_local);
	http_origin_unref(o);
	world_close(&w);
	unlink(url + 5);
	rmdir(dir);
}

/* ---- TLS ---- */

static char cert_file[64], key_file[64], dir[] = "/tmp/http-test-XXXXXX";

/* A certificate for 127.0.0.1 that is its own authority. */
static int make_certificate(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	X509_EXTENSION *ext;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(cert_file, sizeof(cert_file), "%s/cert", dir);
	snprintf(key_file, sizeof(key_file), "%s/key", dir);
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(cert, name);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	f = fopen(cert_file, "w");
	PEM_write_X509(f, cert);
	fclose(f);
	f = fopen(key_file, "w");
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(cert);
	EVP_PKEY_free(key);
	return 0;
}

static int remove_certificate(void **state)
{
	(void)state;
	unlink(cert_file);
	unlink(key_file);
	rmdir(dir);
	return 0;
}

static void over_tls(void **state)
{
	struct err err = {0};
	struct tls_context *server = tls_context_server(cert_file, key_file, &err);
	struct tls_context *client = tls_context_client(cert_file, &err);
	struct http_origin *o;
	struct world w;

	(void)state;
	assert_true(server != NULL && client != NULL);
	world_open(&w, "127.0.0.1:0", server);
	o = origin(&w, "https", "127.0.0.1", client);
	echoes(&w, o);
	http_origin_unref(o);
	world_close(&w);
	tls_context_unref(server);
	tls_context_unref(client);
}

static void a_wrong_certificate_gets_no_byte(void **state)
{
	struct err err = {0};
	struct tls_context *server = tls_context_server(cert_file, key_file, &err);
	struct tls_context *system = tls_context_client(NULL, &err);
	struct tls_context *client = tls_context_client(cert_file, &err);
	struct http_origin *o[2];
	struct world w;

	(void)state;
	assert_true(server != NULL && system != NULL && client != NULL);
	world_open(&w, "127.0.0.1:0", server);
	o[0] = origin(&w, "https", "127.0.0.1", system); /* unknown authority */
	o[1] = origin(&w, "https", "localhost", client); /* another name */
	for (int i = 0; i < 2; i++) {
		call(&w, o[i], SPAN("secret"), 5000);
		assert_int_equal(w.fails, 1);
		assert_int_equal(w.failure.kind, HTTP_FAIL_TLS);
		assert_int_equal(w.failure.phase, HTTP_PHASE_CONNECT);
		assert_false(w.failure.sent);
		assert_false(w.failure.received);
		http_origin_unref(o[i]);
	}
	turns(&w, 100);
	assert_int_equal(http_server_connections(w.server), 0);
	world_close(&w);
	tls_context_unref(server);
	tls_context_unref(system);
	tls_context_unref(client);
}

static struct stream *mute;

static void keep_mute(void *user, struct stream *s)
{
	(void)user;
	mute = s; /* nobody reads it */
}

static void a_silent_handshake_has_its_time(void **state)
{
	struct err err = {0};
	struct tls_context *client = tls_context_client(cert_file, &err);
	struct listener *ls;
	struct http_origin *o;
	struct world w;
	const char *path;
	char url[64];

	(void)state;
	world_open(&w, "127.0.0.1:0", NULL);
	ls = listener_open(w.loop, "127.0.0.1:0", keep_mute, NULL, &err);
	assert_non_null(ls);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d", listener_port(ls));
	o = http_origin_new(url, client, &path, &err);
	assert_non_null(o);
	call(&w, o, SPAN("secret"), 50);
	assert_int_equal(w.fails, 1);
	assert_int_equal(w.failure.kind, HTTP_FAIL_TIMEOUT);
	assert_int_equal(w.failure.phase, HTTP_PHASE_CONNECT);
	assert_false(w.failure.sent);
	stream_close(mute);
	listener_close(ls);
	http_origin_unref(o);
	/* And one that is answered by something else than TLS. */
	o = origin(&w, "https", "127.0.0.1", client);
	call(&w, o, SPAN("secret"), 5000);
	assert_int_equal(w.fails, 1);
	assert_int_equal(w.failure.kind, HTTP_FAIL_TLS);
	assert_false(w.failure.sent);
	http_origin_unref(o);
	world_close(&w);
	tls_context_unref(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(over_tcp),
		cmocka_unit_test(over_a_unix_socket),
		cmocka_unit_test(over_tls),
		cmocka_unit_test(a_wrong_certificate_gets_no_byte),
		cmocka_unit_test(a_silent_handshake_has_its_time),
	};

	return cmocka_run_group_tests_name(
		"http/mutual", tests, make_certificate, remove_certificate);
}
