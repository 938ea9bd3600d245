/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * command - the table of commands, and what a command is given; private to this folder.
 *
 * A command is a row and a function. Flags are parsed by their rows, so that help and parsing
 * cannot disagree.
 */
#include "control/cli/cli.h"
#include "machine/base/buf.h"
#include "machine/base/err.h"

#define COMMAND_MAX_FLAGS 12
#define COMMAND_MAX_ARGS 4
#define CALL_PATIENCE_MS 600000 /* of one statement, where a person waits */

struct flag {
	const char *name;  /* "listen", written --listen; NULL ends a list */
	char letter;       /* 'c', written -c; 0: none */
	const char *value; /* "FILE"; NULL: a switch */
	const char *help;  /* NULL: not for people */
};

enum output { OUTPUT_AUTO, OUTPUT_TABLE, OUTPUT_TSV, OUTPUT_JSON };

struct command;

struct call {
	const struct command *command;
	const struct cli_hooks *hooks;
	const char *program;
	const char *values[COMMAND_MAX_FLAGS]; /* by the flag's place; NULL: not given */
	const char *args[COMMAND_MAX_ARGS + 1];
	int n_args;
	enum output output;
};

struct command {
	const char *name;      /* "keys create" */
	const char *arguments; /* "[FILE]", for the usage line */
	int min_args, max_args;
	const char *summary;
	const char *about;        /* more, or NULL */
	const char *examples;     /* a line each */
	const struct flag *flags; /* NULL: none */
	int (*run)(struct call *c);
};

extern const struct command commands[]; /* the last row has no name */
const struct command *command_find(struct span name);

/* The flag's value ("" for a switch), or NULL. The flag must be in the command's rows. */
const char *call_flag(const struct call *c, const char *name);

/* ---- output ---- */

/*
 * Writes everything to stdout. Returns an exit code: a reader that has gone is no failure.
 */
int call_put(const struct call *c, struct span bytes);

/*
 * Says on stderr what failed, why (err) and what to do (may be NULL); with -o json as an error
 * object. Returns the exit code that belongs to err.
 */
int call_fail(const struct call *c, const char *what, const struct err *err, const char *todo);
int exit_code_of(const struct err *err);

bool help_of(const struct command *command, struct buf *out);
bool help_overview(struct buf *out);
/* The rows of a group ("keys"); false: there is none of that name. */
bool help_of_group(struct span group, struct buf *out);

/* ---- commands ---- */

int run_serve(struct call *c);
int run_init(struct call *c);
int run_sim(struct call *c);
int run_keys_list(struct call *c);
int run_keys_create(struct call *c);
int run_keys_delete(struct call *c);
int run_audit_verify(struct call *c);
int run_audit_ledger(struct call *c);
int run_audit_correct(struct call *c);
int run_migrate(struct call *c);
int run_backup(struct call *c);
int run_restore(struct call *c);
int run_models_list(struct call *c);
int run_models_import(struct call *c);
int run_config_check(struct call *c);
int run_config_show(struct call *c);
int run_config_reference(struct call *c);
int run_version(struct call *c);
int run_help(struct call *c);

/*
 * -c, or ./sluice.yaml when there is one; NULL and an error that says how to get one otherwise.
 */
const char *call_config(const struct call *c, struct err *err);

/*
 * --data-dir, else what -c or ./sluice.yaml says, else what `serve --dev` uses. *named: somebody
 * said so; else it is that last one.
 */
bool call_data_dir(const struct call *c, char *dir, size_t size, bool *named, struct err *err);
/*
 * What -c, ./sluice.yaml or the environment says of the database; a secret, so wiped by the caller.
 */
#define CALL_DATABASE_BYTES 4096
bool call_database(const struct call *c, char *database, size_t size, struct err *err);
