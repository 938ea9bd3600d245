/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * cli - the command line: one table of commands, one file a command.
 *
 * Help, usage errors and the nearest command come from the table. Data goes to stdout, talk to
 * stderr. What runs a server is handed in, so that this folder knows nothing of it.
 */
#include <stdbool.h>

/* Exit codes, a public contract. */
enum cli_exit {
	CLI_DONE = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_CONFIG = 3,
	CLI_DENIED = 4,
	CLI_NOT_FOUND = 5,
	CLI_CONFLICT = 6,
	CLI_UNREACHABLE = 7,
	CLI_PROBLEMS = 8,
	CLI_INTERRUPTED = 130
};

struct serve_options {
	const char *config; /* NULL with dev: the built-in configuration */
	const char *listen; /* overrides the file's, or NULL */
	bool dev, check;
	const char *program; /* argv[0], for starting the simulator as a child */
};

struct sim_options {
	const char *listen; /* "127.0.0.1:0"; the bound address is printed as "listening on
			       ADDR:PORT" */
	const char *tls_cert, *tls_key; /* NULL: plain */
	int parent_fd; /* -1, or a descriptor whose end of file means that the parent is gone: then
			  stop */
};

struct cli_hooks {
	int (*serve)(const struct serve_options *o);
	int (*sim)(const struct sim_options *o);
};

int cli_main(int argc, char **argv, const struct cli_hooks *hooks);
