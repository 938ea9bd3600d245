/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * snapshot - a configuration made ready for requests: providers with their origins, the catalogue
 * with its overrides, the model list as text.
 *
 * Immutable and reference-counted; an exchange keeps the one it began with. Swapped whole.
 */
#include "control/conf/conf.h"
#include "exchange/credential.h"
#include "machine/http/client.h"
#include "machine/obs/log.h"
#include "meaning/llm/catalog.h"
#include "meaning/provider/provider.h"
#include "meaning/route/policy.h"

/* An address of a provider. */
struct provider_place {
	struct span region; /* as models name it; empty: the configured one */
	struct http_origin *origin;
	struct span base_path; /* "" or "/v1" */
};

/* What a request costs that was sent and of which nothing came back. */
enum provider_unknown { UNKNOWN_INPUT, UNKNOWN_NONE, UNKNOWN_HOLD };

struct provider {
	struct span name; /* as configured: the prefix in model ids */
	struct provider_setup setup;
	struct provider_place *places; /* the first: of models that name no region */
	int n_places;
	struct login *login;           /* NULL: no service account */
	struct http_timeouts timeouts; /* head_ms for streams; plain_head_ms otherwise */
	int plain_head_ms, first_event_ms;
	bool bills_on_abort;
	enum provider_unknown unknown_outcome;
};

/* The model list and where each model's object stands in it. */
struct model_entry {
	struct span id;     /* "openai/gpt-4o-mini" under the configured name */
	struct span object; /* its JSON */
	const struct llm_model *model;
};

struct snapshot {
	int refs;
	struct conf *conf; /* owned */
	struct catalog *catalog;
	struct provider *providers;
	int n_providers;
	struct policy *policies;
	int n_policies;
	struct buf model_list;      /* the whole answer of GET /v1/models */
	struct model_entry *models; /* in order of id */
	int n_models;
	char etag[40];
	struct arena arena;
};

/*
 * Takes the configuration, also on failure. Reads <data_dir>/models.json, imported prices, when it
 * is there. ERR_CONFIG says which provider or model is wrong.
 */
struct snapshot *snapshot_new(struct sys *sys, struct conf *conf, struct log *log, struct err *err);
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s);

const struct provider *snapshot_provider(const struct snapshot *s, struct span name);
/* Where the provider runs models of this region (empty: its own). NULL: it is not set up there. */
const struct provider_place *snapshot_place(const struct provider *p, struct span region);
const struct policy *snapshot_policy(const struct snapshot *s, struct span name); /* or NULL */
/* What is known of a model as clients name it, with its region or without. NULL: nothing. */
const struct llm_model *snapshot_model(const struct snapshot *s, struct span id);
/* Ends a list of models that was begun: {"object":"list","data":[... Both NULL: it is empty. */
void snapshot_end_list(
	struct buf *b, const struct model_entry *first, const struct model_entry *last);
const struct model_entry *snapshot_entry(const struct snapshot *s, struct span id);
