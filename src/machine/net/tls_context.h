/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tls_context - what the connections of one side share: settings, sessions, ticket keys; private to
 * this folder.
 *
 * Used by several threads: the settings never change, the rest is behind the lock, which is never
 * held while a connection's code runs.
 */
#include <openssl/ssl.h>
#include "machine/net/tls.h"

/* The connection an SSL belongs to, as far as this file must know it (SSL_get_app_data). */
struct tls_owner {
	struct tls_context *context;
	struct loop *loop;
	char *host; /* client only */
};

/* A new SSL that reads and writes by `bio_read` and `bio_write`, whose BIO data is `user`. */
SSL *tls_context_ssl(struct tls_context *c, struct tls_owner *owner, void *user);
bool tls_context_is_server(const struct tls_context *c);

/* Makes a saved session of the owner's host, if there is one, the one to resume. */
void tls_context_offer_session(SSL *ssl, const struct tls_owner *owner);

/* What is behind the BIO; defined by the stream. */
int tls_bio_read(BIO *bio, char *out, int n);
int tls_bio_write(BIO *bio, const char *p, int n);
