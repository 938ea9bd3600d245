/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * provider - where a provider lives, how it is greeted, which formats it speaks.
 *
 * One row (or small file) a type. Pure: it writes the address and header fields of a call; the
 * body is the dialect's, the sending the exchange's. The configured name is the prefix in model
 * ids.
 */
#include "machine/base/arena.h"
#include "machine/base/err.h"
#include "meaning/dialect/dialect.h"

#define PROVIDER_MAX_FIELDS 16

struct provider_type {
	const char *name;     /* "openai": the value of `type:` */
	const char *base_url; /* default; NULL: base_url is required */
	bool needs_key;
	/* Path below base_url for an operation, or NULL: it cannot be served in pass mode. */
	const char *path[LLM_OP_COUNT];
	const char *catalog_prefix; /* "openai/": its models' ids in the catalogue; NULL: the
				       configured name */
	enum { PROVIDER_AUTH_BEARER, PROVIDER_AUTH_X_API_KEY } auth;
	bool asks_usage;     /* understands stream_options.include_usage */
	bool usage_optional; /* answers may lack usage (compatible servers): estimated, not refused
			      */
	bool finish_ends;    /* U-15: a missing end marker is fine once a finish reason was seen */
	bool bills_on_abort; /* goes on generating (and billing) when the connection is closed */
	bool scripted;       /* takes the client's x-sim field: the simulator */
};

/* NULL-terminated, for "did you mean". */
extern const char *const provider_type_names[];
const struct provider_type *provider_type_find(struct span name);

struct provider_field {
	struct span name, value;
};

/* A header field of the client, offered for the short allow-list. */
typedef struct span (*provider_client_field)(void *user, const char *name);

struct provider_call {
	struct span target; /* base path + operation's path */
	struct provider_field fields[PROVIDER_MAX_FIELDS];
	int n;
};

/*
 * Address and fields of a call, made in the arena. base_path is the path part of base_url ("" or
 * "/v1"). From the client pass only, value-checked: anthropic-version, anthropic-beta (Anthropic),
 * x-sim (the simulator); OpenAI-Organization and OpenAI-Project never. The api key may be empty.
 */
bool provider_prepare(const struct provider_type *type, enum llm_op op, struct span base_path,
	struct span api_key, provider_client_field client, void *user, struct arena *a,
	struct provider_call *out, struct err *err);

/* Response fields of the provider that may go on to the client (rate limits, its request id). */
bool provider_passes_field(struct span name);

/* "provider/rest", the last '@' begins the region. Case-sensitive, nothing decoded. */
struct model_name {
	struct span provider, model, region; /* model without region; with it: full */
	struct span full;                    /* behind the first slash, region included */
};
bool model_name_read(struct span text, struct model_name *out, struct err *err);
