/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * option - the option rows, and values of each type from text and back; private to this folder.
 *
 * What is written reads again as the same value. Error texts are without place and name: the
 * reader puts both in front.
 */
#include <stdint.h>
#include "machine/base/arena.h"
#include "machine/base/buf.h"
#include "machine/base/err.h"

enum option_type {
	OPTION_TEXT,     /* const char * */
	OPTION_NAME,     /* const char *, no blanks */
	OPTION_ADDRESS,  /* const char * */
	OPTION_URL,      /* const char * */
	OPTION_MODEL_ID, /* const char *, provider/model */
	OPTION_SECRET,   /* const char *, visible ASCII */
	OPTION_PRICE,    /* const char *, a plain decimal */
	OPTION_CHOICE,   /* const char *, one of `choices` */
	OPTION_SWITCH,   /* bool: the second of two choices */
	OPTION_BOOL,     /* bool */
	OPTION_INT,      /* int */
	OPTION_WORKERS,  /* int; "auto" is 0 until all is read */
	OPTION_DURATION, /* int, ms; 0 where there is no default */
	OPTION_SIZE,     /* int64_t, bytes */
	OPTION_COUNT,    /* int64_t; -1: not given */
	OPTION_ORIGINS,  /* const char **, NULL-terminated */
	OPTION_HOSTS,    /* const char **, NULL-terminated: host or host:port */
	OPTION_NAMES,    /* const char **, NULL-terminated: as OPTION_NAME */
	OPTION_PAIRS,    /* const struct conf_pair *, ends with name NULL */
	OPTION_ACCOUNT,  /* const char *, a secret JSON object; or the path of its file */
	OPTION_DATABASE, /* const char *, "sqlite" or a secret connection string of PostgreSQL */
};

struct option {
	const char *path; /* "limits.max_body" */
	enum option_type type;
	size_t at;         /* of the member in its struct */
	const char *value; /* default as text, or NULL */
	int64_t least, most;
	const char *choices; /* "a|b" */
	const char *help;
};

struct option_section {
	const char *path, *help;
};

/* Each ends with a row whose path is NULL. */
extern const struct option general_options[], provider_options[], model_options[], policy_options[],
	member_options[];
extern const struct option_section option_sections[];

int option_count(const struct option *table);
const char *option_section_help(struct span path); /* NULL: no such section */

/* Fills the struct at `base` with the defaults. */
bool option_defaults(const struct option *table, struct arena *a, void *base, struct err *err);

/* Its value is a list of texts. */
static inline bool option_is_list(const struct option *o)
{
	return o->type == OPTION_ORIGINS || o->type == OPTION_HOSTS || o->type == OPTION_NAMES;
}
static inline bool option_is_secret(const struct option *o)
{
	return o->type == OPTION_SECRET || o->type == OPTION_ACCOUNT || o->type == OPTION_DATABASE;
}

/*
 * The member from one scalar's text; text without control characters. For OPTION_ORIGINS a
 * comma-separated list.
 */
bool option_read(
	const struct option *o, struct arena *a, struct span text, void *base, struct err *err);
/* The same for OPTION_PAIRS, one pair more. */
bool option_add_pair(const struct option *o, struct arena *a, struct span name, struct span value,
	void *base, struct err *err);
void option_wipe(const struct option *o, void *base);         /* of a secret */
bool option_is_set(const struct option *o, const void *base); /* false: there is nothing to show */
/* As YAML in one line, secrets masked. */
void option_write(const struct option *o, const void *base, struct buf *out);

/* Bounds in words, "1KiB to 1GiB"; false when the type has none. */
bool option_write_bounds(const struct option *o, struct buf *out);
const char *option_type_name(const struct option *o);

bool option_name_is_valid(struct span name); /* of a provider */
bool option_model_id_is_valid(struct span id);
