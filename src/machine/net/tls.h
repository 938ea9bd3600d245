/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tls - OpenSSL over memory BIOs, as a stream over another stream.
 *
 * 1.2 and 1.3, AEAD and forward-secret suites, no renegotiation, no compression, no early data.
 * Upstream: the chain and the name are verified always (system store unless a CA file is given),
 * SNI sent, sessions resumed per (context, host). The hashed certificate directory is looked up
 * when needed; no store is loaded at start.
 */
#include "machine/net/stream.h"

struct tls_context; /* reference-counted, immutable, shared by threads */

struct tls_context *tls_context_server(
	const char *cert_file, const char *key_file, struct err *err);
/* ca_file NULL: the system's store. */
struct tls_context *tls_context_client(const char *ca_file, struct err *err);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c);

struct tls_handshake_events {
	/* Done: `s` is the TLS stream, with no events bound and reading paused; or NULL and why. */
	void (*done)(void *user, struct stream *s, const struct err *err);
};

/*
 * Takes the raw stream. Reports once, from the loop. `host` (client only) is the name to verify
 * and to send as SNI; an address literal is verified as an address and not sent.
 * Returns NULL without memory: then `raw` was closed and nothing is reported.
 */
struct tls_handshake *tls_accept(struct tls_context *c, struct stream *raw,
	const struct tls_handshake_events *events, void *user);
struct tls_handshake *tls_connect(struct tls_context *c, struct stream *raw, const char *host,
	const struct tls_handshake_events *events, void *user);
/* Ends it before it reported; nothing is reported any more. */
void tls_handshake_cancel(struct tls_handshake *h);
