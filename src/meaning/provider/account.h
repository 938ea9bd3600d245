/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * account - a Google service account: its key file, what it asks a token with, the token.
 *
 * https://developers.google.com/identity/protocols/oauth2/service-account. Pure: signing and
 * sending are the caller's. No error holds anything of the file or of an answer but Google's name
 * of the error.
 */
#include "machine/base/arena.h"
#include "machine/base/buf.h"
#include "machine/base/err.h"

struct google_account {
	struct span client_email, private_key, token_uri;
	struct span private_key_id, project_id; /* may be empty */
};

/* ERR_CONFIG names the member that is missing. Copies into the arena, each followed by a NUL. */
bool google_account_read(
	struct span json, struct arena *a, struct google_account *out, struct err *err);

/* The claims to sign, valid for an hour from now_s. */
bool google_claims_write(const struct google_account *account, int64_t now_s, struct buf *out);
/* What stands in front of the signed claims in the form that is posted. */
#define GOOGLE_FORM_HEAD                                                                           \
	"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="

/*
 * The answer to it: the token (arena) and for how long it is good. ERR_UPSTREAM_AUTH when it was
 * refused, ERR_UPSTREAM when there was none for another reason.
 */
bool google_token_read(int status, struct span body, struct arena *a, struct span *token,
	int64_t *seconds, struct err *err);
