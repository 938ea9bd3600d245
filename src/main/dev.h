/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * dev - `serve --dev`: the simulator as a child process, the first keys, the words on the screen.
 */
#include <sys/types.h>
#include "machine/obs/log.h"
#include "state/auth/auth.h"
#include "state/ledger/ingest.h"

struct dev {
	pid_t sim;   /* 0: not running */
	int life_fd; /* the child ends when this closes */
	char sim_url[64];
	bool made_keys;
	char manage_key[AUTH_KEY_CHARS + 1],
		inference_key[AUTH_KEY_CHARS + 1]; /* wiped once shown */
};

void dev_init(struct dev *d);
bool dev_start_sim(struct dev *d, const char *program, struct err *err);
/* Makes a management and an inference key where the store has none. */
bool dev_first_keys(struct dev *d, struct sys *sys, struct ingest *ingest, struct auth_table *auth,
	struct err *err);
/* program: how this one was called, for the commands it names. */
void dev_banner(struct dev *d, const char *program, const char *listen, int port, bool tls);
void dev_reap(struct dev *d, struct log *log); /* after SIGCHLD */
void dev_stop(struct dev *d);
