/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * provider - where a provider lives, how it is greeted, which formats it speaks and how it differs
 * from their documentation.
 *
 * One row (or small file) a type. Pure: it writes the address and header fields of a call; the
 * body is the dialect's, the sending the exchange's, and so are tokens that have to be fetched and
 * signatures over a body. The configured name is the prefix in model ids.
 */
#include "machine/base/arena.h"
#include "machine/base/err.h"
#include "meaning/dialect/dialect.h"
#include "meaning/dialect/embedding.h"
#include "meaning/llm/target.h"
#include "meaning/provider/model_name.h"

#define PROVIDER_MAX_FIELDS 16
#define PROVIDER_MAX_BETAS 8

enum provider_auth {
	PROVIDER_AUTH_BEARER,
	PROVIDER_AUTH_X_API_KEY,
	PROVIDER_AUTH_X_GOOG_API_KEY,
	PROVIDER_AUTH_API_KEY, /* Azure */
	PROVIDER_AUTH_SIGV4,   /* the caller signs, see provider_call.sign; a bearer with api_key */
	PROVIDER_AUTH_GOOGLE   /* a bearer from a service account; x-goog-api-key with api_key */
};

/* What may be configured beside base_url and api_key, as bits. */
enum provider_option {
	PROVIDER_REGION = 1 << 0,
	PROVIDER_PROJECT = 1 << 1,
	PROVIDER_LOCATION = 1 << 2,
	PROVIDER_RESOURCE = 1 << 3,
	PROVIDER_API_VERSION = 1 << 4,
	PROVIDER_ADDRESS = 1 << 5,
	PROVIDER_ACCESS_KEY = 1 << 6, /* with secret and session token */
	PROVIDER_SERVICE_ACCOUNT = 1 << 7
};

/* Whose Claude this is: which betas of Anthropic's it knows. */
enum provider_claude {
	CLAUDE_ELSEWHERE,
	CLAUDE_ANTHROPIC,
	CLAUDE_VERTEX,
	CLAUDE_BEDROCK,
	CLAUDE_AZURE
};

/*
 * One operation. In `path`: {model} (one encoded segment), {project}, {location}, {api_version},
 * {place} ("projects/P/locations/L/", or nothing where an API key stands for both) and {a|b}: a,
 * or b when the answer is streamed. `models`: beginnings of names, parted by '|'; a row with them
 * is for these models alone, and for them rows without are not.
 */
struct provider_path {
	enum llm_op op;
	const char *path;
	const char *models;
	const struct embed_format *embed; /* EMBEDDINGS; NULL: OpenAI's own, passed as it came */
};

struct provider_setup;

struct provider_type {
	const char *name;     /* "openai": the value of `type:` */
	const char *base_url; /* default, may hold {region}, {resource}, {vertex_host}; NULL:
				 base_url is required */
	bool needs_key;       /* without any credential it is switched off */
	unsigned takes;       /* enum provider_option */
	const struct provider_path *paths; /* ends with path NULL; the first that fits counts */
	const struct provider_path *(*choose)(const struct provider_setup *s); /* instead */
	const char *vendors; /* beginnings that are cut off a model's name: "google/|models/" */
	bool regional;       /* "model@region" pins a call to a region */
	const char *catalog_prefix; /* "openai/": its models' ids in the catalogue; NULL: the
				       configured name */
	enum provider_auth auth, messages_auth;
	enum provider_claude claude;
	struct llm_quirks quirks;
	/* What depends on operation and model, on top of the row's. */
	void (*adapt)(enum llm_op op, struct span model, struct llm_quirks *quirks);
	bool embeds_base64; /* knows encoding_format, as OpenAI does */
	bool scripted;      /* takes the client's x-sim field: the simulator */
};

/* NULL-terminated, for "did you mean". */
extern const char *const provider_type_names[];
const struct provider_type *provider_type_find(struct span name);

/* The provider's own name of a model (an Azure deployment, a Bedrock profile). */
struct provider_alias {
	struct span model, name;
};

/* One provider as it is configured; what is not given is empty. */
struct provider_setup {
	const struct provider_type *type;
	struct span base_url;
	struct span api_key, access_key_id, secret_access_key, session_token;
	struct span region, project, location, resource, api_version;
	bool by_deployment; /* Azure: addresses that name the deployment, instead of v1 */
	const struct provider_alias *deployments;
	int n_deployments;
	bool has_service_account;
};

/*
 * Is all there that the type needs, and nothing that means nothing to it? ERR_CONFIG names the
 * member.
 */
bool provider_check(const struct provider_setup *s, struct err *err);
/* A credential is missing that the type cannot do without: it is switched off, no error. */
bool provider_lacks_key(const struct provider_setup *s);
/* Where calls go: base_url, or the type's filled in. `region`: of a model's name, or empty. */
struct span provider_base_url(
	const struct provider_setup *s, struct span region, struct arena *a, struct err *err);

/* The provider's own name of the model that a client names: alias, region and vendor taken off. */
struct span provider_model(const struct provider_setup *s, const struct model_name *name);
/* The region that the name pins, or empty. */
struct span provider_region(const struct provider_setup *s, const struct model_name *name);

/* NULL: not served for this model. */
const struct provider_path *provider_path(
	const struct provider_setup *s, enum llm_op op, struct span model);
/*
 * The operation to ask for what a client asks: the client's own where the provider has it for this
 * model, else one of those in `known` (1 << op: formats that can be translated to). LLM_OP_COUNT:
 * there is none.
 */
enum llm_op provider_op(
	const struct provider_setup *s, enum llm_op client, struct span model, unsigned known);
/* How the provider's format differs from its documentation, for this model. */
void provider_quirks(const struct provider_type *type, enum llm_op op, struct span model,
	struct llm_quirks *out);

struct provider_field {
	struct span name, value;
};

/* A header field of the client, offered for the short allow-list. */
typedef struct span (*provider_client_field)(void *user, const char *name);

/* What is asked of a provider. */
struct provider_ask {
	enum llm_op op;
	struct span model;     /* the provider's own name */
	struct span base_path; /* path part of base_url: "" or "/v1" */
	struct span region;    /* instead of the configured one; empty: that */
	struct span token;     /* from the service account; empty: none was made */
	bool stream;
	const char *const *betas; /* that a translated body needs */
	int n_betas;
	provider_client_field client; /* may be NULL */
	void *user;
};

/* What the caller signs the call with (AWS Signature 4), once the body is known. */
struct provider_sign {
	struct span region, service, access_key_id, secret_access_key, session_token;
};

struct provider_call {
	struct span target; /* base path + operation's path */
	struct provider_field fields[PROVIDER_MAX_FIELDS];
	int n;
	bool to_sign;
	struct provider_sign sign;
};

/*
 * Address and fields of a call, made in the arena. From the client pass only, value-checked:
 * anthropic-version, anthropic-beta (those that the provider knows), x-sim (the simulator);
 * OpenAI-Organization and OpenAI-Project never. The api key may be empty.
 */
bool provider_prepare(const struct provider_setup *s, const struct provider_ask *ask,
	struct arena *a, struct provider_call *out, struct err *err);

/*
 * Of a list of betas those that this host knows, by the names it knows them by, parted by commas.
 * Unknown betas go to Anthropic alone. {NULL, 0}: none.
 */
struct span provider_betas(enum provider_claude host, struct span list, struct arena *a);

/* Response fields of the provider that may go on to the client (rate limits, its request id). */
bool provider_passes_field(struct span name);
