/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* test_rows - a request row to write and look for, and a folder to do it in; for this folder's
 * tests. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "state/ledger/journal.h"

/*
 * A child that is meant to be killed: it dies with its parent too, and by itself after a while, so
 * that a test that is cut short leaves nothing running. Never returns -1, which kill(2) would take
 * for everybody.
 */
static inline pid_t test_fork(void)
{
	pid_t parent = getpid(), child = fork();

	if (child < 0)
		abort();
	if (child == 0) {
		alarm(30);
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
			_exit(1);
	}
	return child;
}

static inline struct request_row test_row(uint32_t n)
{
	struct request_row r = {.started_ms = 1000 + n,
		.duration_us = 5,
		.first_token_us = -1,
		.op = SPAN("chat"),
		.model_asked = SPAN("sim/gpt"),
		.provider = SPAN("sim"),
		.model_served = SPAN("gpt"),
		.extra = SPAN("{\"a\":1}"),
		.status = 200,
		.attempts = 1,
		.stream = true,
		.outcome = OUTCOME_OK,
		.basis = BASIS_PROVIDER_FINAL,
		.usage = {.present = true, .input_uncached = 10, .output = n},
		.cost_nusd = n};

	memcpy(r.id.bytes, &n, sizeof(n));
	return r;
}

static inline void test_dir(char out[64])
{
	snprintf(out, 64, "/tmp/ledger-test-XXXXXX");
	if (mkdtemp(out) == NULL)
		abort();
}

static inline void test_remove_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char inner[512];

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		if (snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name) >= (int)sizeof(inner))
			continue;
		if (e->d_type == DT_DIR)
			test_remove_dir(inner);
		else
			unlink(inner);
	}
	if (d != NULL)
		closedir(d);
	rmdir(path);
}
