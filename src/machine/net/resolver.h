/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * resolver - names to addresses with a cache, one a loop; private to this folder.
 *
 * The system's getaddrinfo, on libuv's threads; questions for one name are asked once however many
 * wait. An answer that is too old is asked for again, and used once more if that fails or takes
 * long (RFC 8767).
 */
#include "machine/net/address.h"
#include "machine/net/socket.h"

#define RESOLVER_MAX_ADDRESSES 16 /* of a name; further ones are not tried */
#define RESOLVER_MAX_NAMES 1024
#define RESOLVER_FRESH_MS 30000
#define RESOLVER_USABLE_MS 3600000
#define RESOLVER_SLOW_MS 1000  /* then an old answer is used */
#define RESOLVER_RETRY_MS 5000 /* after a failure an old answer is used without asking */

/* Embedded in who waits. */
struct resolver_query {
	struct list node;
	/* From the loop. n == 0: `error` says why. The addresses are valid during the call. */
	void (*done)(struct resolver_query *q, const struct address *a, int n, const char *error);
};

/* NO_MEMORY: nothing is known and nothing will be called. */
enum resolver_answer { RESOLVER_KNOWN, RESOLVER_ASKED, RESOLVER_NO_MEMORY };

/*
 * KNOWN: `out`, which has RESOLVER_MAX_ADDRESSES places, holds *n > 0 addresses and nothing is
 * called. ASKED: `done` will be called. The ports of the addresses are 0.
 */
enum resolver_answer resolver_ask(struct resolver *r, const char *name, struct resolver_query *q,
	struct address *out, int *n);
void resolver_cancel(struct resolver_query *q);

/* What asks the system; tests bring their own. As uv_getaddrinfo, which is the default. */
typedef int (*resolver_lookup)(uv_loop_t *loop, uv_getaddrinfo_t *req, uv_getaddrinfo_cb done,
	const char *name, const char *service, const struct addrinfo *hints);
void resolver_set_lookup(struct resolver *r, resolver_lookup lookup);
