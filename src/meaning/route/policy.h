/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * policy - a named rule by which a request finds its model: called as "policy/NAME".
 *
 * Pure data and its checks. A policy is immutable and belongs to whoever made it. Its members are
 * models as clients name them ("provider/model", "provider/model@region") or other policies.
 */
#include "machine/base/err.h"
#include "machine/base/span.h"

#define POLICY_PREFIX "policy/"
#define POLICY_MAX_NAME 64
#define POLICY_MAX_MEMBERS 20
#define POLICY_MAX_DEPTH 3 /* a policy in a policy in a policy */
#define POLICY_MAX_RETRIES 10
#define POLICY_MAX_WEIGHT 1000000

enum policy_kind {
	POLICY_FALLBACK,     /* one after the other, until one answers */
	POLICY_LOAD_BALANCE, /* one of them, by weight; the same for the same trace or user */
	POLICY_KINDS
};
const char *policy_kind_name(enum policy_kind k); /* "fallback" */
bool policy_kind_read(struct span text, enum policy_kind *out);

struct policy_member {
	struct span model;
	int retries;    /* at the same model, after the first attempt */
	int64_t weight; /* of LOAD_BALANCE; 0: drained */
};

struct policy {
	struct span name; /* without the prefix */
	enum policy_kind kind;
	bool next_on_error; /* LOAD_BALANCE: the other members stand in for one that fails */
	int deadline_ms;    /* of all attempts together, to the first byte for the client */
	struct policy_member *members;
	int n;
};

/* The policy of that name, or NULL. */
typedef const struct policy *(*policy_find)(void *user, struct span name);

/* The policy that a model's text names, or {NULL, 0}: it names none. */
struct span policy_name_in(struct span model);
/* [a-z0-9][a-z0-9._-]{0,63} */
bool policy_name_is_valid(struct span name);

/*
 * Members, weights, nesting: that it can be used as it is. ERR_CONFIG, without the policy's name in
 * front; a cycle is told with its path. Whether models exist is not looked at.
 */
bool policy_check(const struct policy *p, policy_find find, void *user, struct err *err);
