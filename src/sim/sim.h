/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sim - a provider for tests, benchmarks and demonstrations; an independent witness.
 *
 * Speaks the providers' formats with deterministic answers and counts for any model name,
 * misbehaves as scripted, and keeps its own bill. Nothing of the gateway is linked with it and it
 * uses none of the gateway's state, dialects or prices.
 */
#include "machine/base/err.h"

/* Runs until SIGTERM, SIGINT or end of file on parent_fd (-1: none). Returns an exit code. */
int sim_run(const char *listen, const char *tls_cert, const char *tls_key, int parent_fd);
