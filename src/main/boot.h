/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * boot - the process: what is made at start, what runs until a signal, what is undone at the end.
 *
 * `main` waits for signals: TERM and INT drain, HUP reloads configuration and certificates. Order
 * of start: configuration, log, snapshot, store and what earlier runs left in the journals, keys,
 * workers, control thread. The end is the reverse.
 */
#include "control/cli/cli.h"

int boot_serve(const struct serve_options *o); /* an exit code of cli.h */
