/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * admin - changes to an installation, with its server running or not; private to this folder.
 *
 * Through <data_dir>/control.sock when a server listens there, so that a change is in force in it
 * at once; else in the store itself, under the lock that keeps a server out meanwhile.
 */
#include "control/cli/command.h"
#include "machine/base/buf.h"
#include "machine/base/err.h"
#include "machine/http/message.h"
#include "machine/sys/sys.h"
#include "state/auth/auth.h"
#include "state/store/store.h"

struct admin {
	struct sys *sys;
	char socket_path[108]; /* of a running server; "" with a store */
	struct store store;
	int lock_fd; /* -1: none */
};

/*
 * `make`: a data directory that is not there is made; without it that is ERR_NOT_FOUND. The
 * database's address need only be readable where no server runs.
 */
bool admin_open(
	struct admin *a, const struct call *c, const char *data_dir, bool make, struct err *err);
void admin_close(struct admin *a);

/* What is known of a key; never its text. */
struct key_info {
	char id[ID_UUID_CHARS + 1];
	char name[129], public_id[13], manage[8], completions[8];
	char created[32], expires[32]; /* RFC 3339; expires "": never */
	char drop[12];                 /* "": as configured */
};

struct key_list {
	struct key_info *v;
	int n;
};

struct key_wanted {
	const char *name;
	enum permission manage, completions;
	int64_t expires_ms; /* 0: never */
	enum llm_drop drop;
};

/* The caller frees list->v. */
bool admin_list_keys(struct admin *a, struct key_list *list, struct err *err);
bool admin_create_key(struct admin *a, const struct key_wanted *wanted, struct key_info *made,
	char text[AUTH_KEY_CHARS + 1], struct err *err);
bool admin_delete_key(struct admin *a, const char *id, struct err *err);

/* What a settled request really cost; `wanted` is the amount in US dollars as text. */
bool admin_correct(
	struct admin *a, const char *request, const char *amount, const char *why, struct err *err);

/*
 * A running server reads its configuration and what belongs to it again; without one nothing
 * happens. false: why it did not like them; it goes on with what it had.
 */
bool admin_reload(struct admin *a, bool *is_running, struct err *err);

/*
 * One request to the server behind a UNIX socket, waiting for the answer; `body` empty: none. An
 * answer of 400 and more is an error with the server's words.
 */
bool control_call(const char *socket_path, enum http_method method, const char *target,
	struct span body, struct buf *answer, struct err *err);
/* Connects. -1: see errno. */
int control_connect(const char *socket_path);
