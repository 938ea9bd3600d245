/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * credential - tokens that have to be fetched before a provider can be called.
 *
 * A worker keeps one token an account and asks for a new one before it ends: at most one such call
 * is on its way, and exchanges wait for it only where there is no token that is still good. A
 * refusal fails the exchanges that waited; the next one asks again. Tokens live in memory alone.
 */
#include "machine/crypto/jwt.h"
#include "machine/http/client.h"
#include "meaning/provider/account.h"

struct exchange;
struct exchange_env;

/* A service account made ready. Immutable and reference-counted across threads. */
struct login {
	int refs;
	struct arena arena;
	struct google_account account;
	struct jwt_key *key;
	struct http_origin *origin; /* of token_uri */
	struct span target;
};

/* From a key file's JSON. */
struct login *login_new(struct span json, struct err *err);
/* Where its tokens come from; tls may be NULL where that is http. Before it is shared. */
bool login_set_tls(struct login *l, struct tls_context *tls, struct err *err);
struct login *login_ref(struct login *l);
void login_unref(struct login *l);

/* step_credential puts the token for the exchange's provider into x->token. */
void credential_cancel(struct exchange *x); /* also when nothing is waited for */
/* The provider did not take it: the next exchange gets another one. */
void credential_forget(struct exchange *x);

void credential_init(struct exchange_env *env);
/* Cancels what is on its way; nobody waits any more. */
void credential_stop(struct exchange_env *env);
void credential_done(struct exchange_env *env);
