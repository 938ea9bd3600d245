/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/tls.h"
#include "machine/net/tls_kit_test.h"

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

/* Bytes that came in one read with the end of the handshake, and then perhaps a reset. */
static void bytes_behind_the_handshake_wait_for_their_owner(void **state)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	open_contexts();
	for (int reset = 0; reset < 2; reset++) {
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
		if (reset)
			probe_reset(&peer.p);
		probe_turns();
		assert_int_equal(b.p.reads + b.p.ends, 0);
		if (!reset)
			peer_write(&peer, SPAN(" and late"));
		probe_turns();
		probe_resume(&b.p);
		WAIT(b.p.got.n == (reset ? 5 : 14));
		assert_true(span_is(buf_span(&b.p.got), reset ? "early" : "early and late"));
		if (reset) {
			WAIT(b.p.ends == 1);
			assert_int_equal(b.p.end.code, ERR_IO);
		}
		side_done(&b);
		peer_done(&peer);
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROBE_TEST(bytes_go_both_ways_however_they_are_split),
		PROBE_TEST(small_spans_share_a_record_and_a_write),
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
	};

	return cmocka_run_group_tests(tests, make_room, remove_room);
}
