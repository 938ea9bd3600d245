/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * conf - the configuration file: option rows, YAML, environment, values.
 *
 * One table of rows (options.def) says every option's path, type, default, bounds and help;
 * reading, checking, `config show`, `sluice init` and the reference page are made from it. Unknown
 * and duplicate keys are errors with line, column and the nearest valid name. Values may hold
 * ${NAME}, ${NAME:-default},
 * ${NAME:?message} and ${file:NAME} ($CREDENTIALS_DIRECTORY/NAME, /run/secrets/NAME or an absolute
 * path). Environment SLUICE_SECTION_KEY beats the file. Immutable once read.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/arena.h"
#include "machine/base/buf.h"
#include "machine/base/err.h"
#include "machine/sys/sys.h"

#define CONF_MAX_BYTES (1 << 20) /* of a file */

struct conf_origin; /* where a value came from; private */

struct conf_pair {
	const char *name, *value;
};

struct conf_provider {
	const char *name, *type;
	const char *base_url; /* NULL: the type's */
	const char *api_key;  /* "" when it resolved to nothing */
	const char *access_key_id, *secret_access_key, *session_token; /* or NULL, as all below */
	const char *service_account;                                   /* JSON */
	const char *region, *project, *location, *resource, *address, *api_version;
	const char **regions;                         /* NULL-terminated */
	const struct conf_pair *deployments;          /* ends with name NULL */
	const char *bills_on_abort, *unknown_outcome; /* "true" "false"; input none hold; or NULL */
	const char *ca_file;                          /* NULL: the system's store */
	bool enabled;                                 /* false: switched off in the file */
	int connect_ms, head_ms, first_event_ms, idle_ms, total_ms; /* 0: the general ones */
	int line, column; /* of the entry's name in the file */
	struct conf_origin *origins;
};

struct conf_model {
	const char *id;                     /* "my-vllm/llama" */
	int64_t context_window, max_output; /* -1: as the catalogue has it */
	const char *input_price, *output_price, *cached_price,
		*caching_price; /* USD a million, or NULL */
	const char *character_price, *sound_price, *picture_price;
	int line, column; /* of the entry's name in the file */
	struct conf_origin *origins;
};

struct conf_member {
	const char *model; /* "openai/gpt-4o", "policy/other" */
	int retries;
	int64_t weight;
	int line, column;
	struct conf_origin *origins;
};

struct conf_policy {
	const char *name, *type;
	bool next_on_error;
	int deadline_ms;
	struct conf_member *members;
	int n_members;
	int line, column; /* of the entry's name in the file */
	struct conf_origin *origins;
};

struct conf {
	struct arena arena;
	const char *file;   /* as given, or NULL (built in: --dev) */
	const char *listen; /* "127.0.0.1:4000" */
	const char *data_dir;
	const char *database; /* "sqlite", or a connection string with its secrets */
	int workers;
	const char *tls_cert, *tls_key; /* NULL: plain HTTP */
	const char *log_level;          /* debug info warn error */
	const char *log_format;         /* auto json human */
	const char *log_file;           /* NULL: stderr */
	bool durability_power;
	const char *drop_params;   /* harmless all none */
	int spend_limit_status;    /* 402; the hosted service has 412 */
	const char *default_model; /* NULL: none */
	const char **cors_origins; /* NULL-terminated; empty: CORS off; "*" allowed */
	bool media_fetch;
	const char **media_allow_hosts; /* NULL-terminated */
	/* limits */
	int64_t max_media_bytes, max_body_bytes, max_event_bytes, max_answer_bytes,
		max_memory_bytes, max_journal_bytes;
	int max_connections, head_ms, idle_ms, body_stall_ms, write_stall_ms, drain_ms,
		keep_alive_ms;
	int idempotency_keep_ms; /* answers that are kept */
	int minutes_ms;          /* sums by the minute */
	int64_t answers_max_bytes, answer_max_bytes;
	/* timeouts toward providers */
	int connect_ms, header_ms, plain_header_ms, first_event_ms, stream_idle_ms, media_ms,
		abandoned_ms, total_ms;
	struct conf_provider *providers;
	int n_providers;
	struct conf_model *models;
	int n_models;
	struct conf_policy *policies;
	int n_policies;
	struct conf_origin *origins;
};

/*
 * `text` with its name for messages. The caller frees with conf_free. NULL: ERR_CONFIG with
 * "file:line:column: ...".
 */
struct conf *conf_read(struct sys *sys, const char *file, struct span text, struct err *err);
struct conf *conf_read_file(struct sys *sys, const char *file, struct err *err);
/*
 * The configuration of `serve --dev`: loopback, ./data, provider sim at `sim_url` (none when that
 * is NULL or ""), and openai, anthropic when their variables are set. A file given besides is read
 * on top of it: its entries replace those of the same name.
 */
struct conf *conf_dev(struct sys *sys, const char *file, const char *sim_url, struct err *err);
void conf_free(struct conf *c);

/* The effective values as YAML, secrets masked; with sources: each with a comment where it came
 * from. */
bool conf_show(const struct conf *c, bool sources, struct buf *out);
/* The commented file of `sluice init`. */
bool conf_template(struct buf *out);
/* The reference page (Markdown) of all options. */
bool conf_reference(struct buf *out);
/* A line for each variable that beats the file: its name, and the option. */
bool conf_environment(struct buf *out);

/*
 * Nothing but one option of the top level that is a text, "data_dir" or "database", for a command
 * that needs no more: what else the file says is not looked at, and its variables need not be set.
 * file NULL: the environment and the default alone.
 */
bool conf_find(struct sys *sys, const char *file, const char *name, char *out, size_t size,
	struct err *err);
