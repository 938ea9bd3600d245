/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * manage - the control side: its thread, and the management endpoints.
 *
 * Runs on a loop of its own behind a UNIX socket, <data_dir>/control.sock (mode 0600): whoever may
 * open it is the administrator of this installation. Workers serve the same endpoints below
 * /v1/manage to keys that may (port.h). Changes go through the store thread and are in
 * force (auth table) before the answer leaves. One static table of endpoint rows: method, path,
 * right, handler.
 */
#include "machine/obs/log.h"
#include "state/auth/auth.h"
#include "state/ledger/budget.h"
#include "state/ledger/ingest.h"

struct manage_env {
	struct sys *sys;
	struct auth_table *auth;
	struct budget *budget;
	struct ingest *ingest;
	struct log *log;
	const char *data_dir;
	/* Reads the configuration again; returns when that is done. NULL: cannot. */
	bool (*reload)(void *user, struct err *err);
	void *reload_user;
};

struct manage;

struct manage *manage_start(const struct manage_env *env, struct err *err);
void manage_stop(struct manage *m);
