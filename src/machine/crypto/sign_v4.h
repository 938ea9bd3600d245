/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sign_v4 - AWS Signature Version 4 in the authorization field, for requests whose body is known.
 *
 * Pure: the time is given. For every service but S3: the path is taken as it is sent and each of
 * its segments is percent-encoded once more, so that a model's "%3A" is signed as "%253A".
 * Source: AWS General Reference, "Create a signed AWS API request".
 */
#include "machine/base/arena.h"
#include "machine/base/err.h"
#include "machine/crypto/hash.h"

struct sign_v4_field {
	struct span name, value;
};

struct sign_v4 {
	struct span method;
	struct span host;  /* as sent: with the port where it is not the scheme's own */
	struct span path;  /* as sent, already percent-encoded; empty: "/" */
	struct span query; /* as sent, without the '?' */
	/*
	 * Fields to sign besides host and those that are made here. No field that a proxy on the
	 * way may change. Names in any case, no more than SIGN_V4_MAX_SIGNED.
	 */
	const struct sign_v4_field *fields;
	int n_fields;
	uint8_t body_sha256[HASH_SHA256_BYTES];
	bool send_sha256; /* add x-amz-content-sha256, which some services want */

	struct span access_key, secret;
	struct span session_token; /* of temporary credentials, or empty */
	struct span region, service;
	int64_t wall_ms; /* since 1970 */
};

#define SIGN_V4_MAX_SIGNED 24
#define SIGN_V4_MAX_ADDED 4

/*
 * The fields to add, in lower case, texts from the arena: x-amz-date, maybe x-amz-security-token,
 * maybe x-amz-content-sha256, and authorization. Returns how many, or 0 and an error that holds
 * nothing secret.
 */
int sign_v4(const struct sign_v4 *in, struct arena *a, struct sign_v4_field out[SIGN_V4_MAX_ADDED],
	struct err *err);
