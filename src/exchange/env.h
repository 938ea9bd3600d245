/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * env - what a worker's exchanges share: its loop and pools, and the process's tables.
 *
 * One a worker, touched by its thread alone (what the pointers lead to says by itself which of it
 * is shared). The snapshot is replaced by the worker when it is told to.
 */
#include "exchange/health.h"
#include "exchange/snapshot.h"
#include "machine/http/server.h"
#include "machine/obs/metrics.h"
#include "state/auth/auth.h"
#include "state/cache/answers.h"
#include "state/ledger/budget.h"
#include "state/ledger/ingest.h"
#include "state/ledger/journal.h"

struct exchange_env {
	/* Given. */
	struct loop *loop;
	struct http_server *server;
	struct http_client *client;
	struct journal *journal;
	struct snapshot *snapshot;
	struct auth_table *auth;
	struct budget *budget;
	struct answers *answers;
	struct mailbox *mailbox; /* of its loop */
	struct ingest *ingest;
	struct log *log;
	struct metrics_registry *registry;
	struct metrics *metrics;
	int64_t max_buffered_bytes; /* of bodies and answers held by this worker */
	const char *version;
	/* The management endpoints, for a key that was identified. */
	void (*manage)(void *user, struct http_request *r, const struct auth_identity *who);
	void *manage_user;

	/* Its own. */
	struct list exchanges;
	int n_exchanges;
	int64_t buffered_bytes;
	int n_left; /* answers that are read though their clients left */
	bool draining;
	struct json_scratch scratch;
	struct tls_context *media_tls; /* made when first needed */
	struct list credentials;       /* tokens; credential.h */
	struct health health;          /* of the targets of policies */
	struct buf out;                /* events that had to be rewritten, during one read */
	char refused_id[ID_REQUEST_CHARS + 1]; /* of a request that could not be read */
	struct http_field refused_fields[2];
	struct exchange_meters *meters;
	uint8_t random[512]; /* taken from the kernel in blocks, for ids */
	size_t random_left;
};

/* Fills what is its own. */
bool exchange_env_init(struct exchange_env *env, struct err *err);
void exchange_env_done(struct exchange_env *env); /* no exchange may be left */

/* For http_server_new, with the env as its user. */
extern const struct http_service exchange_service;

/*
 * Exchanges end with "shutting_down": in the stream where one runs, as 503 otherwise, and no new
 * one begins. Those that are left wait for the journal alone and hold no call.
 */
void exchange_shutdown_all(struct exchange_env *env);
