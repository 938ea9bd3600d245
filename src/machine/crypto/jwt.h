/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * jwt - JSON Web Tokens signed with RSA and SHA-256 (RFC 7519, RFC 7515, "RS256").
 *
 * A key is immutable and reference-counted; any thread. No error says anything of the key's text.
 */
#include "machine/base/buf.h"
#include "machine/base/err.h"

struct jwt_key;

/* A private key in PEM (PKCS#8 or PKCS#1), without a password, 2048 bits or more. */
struct jwt_key *jwt_key_new(struct span pem, struct err *err);
struct jwt_key *jwt_key_ref(struct jwt_key *k);
void jwt_key_unref(struct jwt_key *k);

/*
 * Appends header.claims.signature; claims is a JSON object, key_id (may be empty) plain text that
 * needs no escapes. About a millisecond of work.
 */
bool jwt_sign(const struct jwt_key *k, struct span key_id, struct span claims, struct buf *out,
	struct err *err);
