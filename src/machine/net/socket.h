/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * socket - TCP and UNIX sockets as streams: listening, and connecting with DNS and happy eyeballs.
 *
 * TCP_NODELAY on every TCP socket, both sides. Listeners of several loops share an address by
 * SO_REUSEPORT.
 */
#include "machine/net/stream.h"

struct listener;

/* The accepted stream has no events bound and reading is paused. */
typedef void (*listener_accept)(void *user, struct stream *s);

/*
 * `address` is "127.0.0.1:4000", "[::1]:4000", "0.0.0.0:0" or "unix:/path" (mode 0600; a stale
 * socket file is replaced, a live one is ERR_CONFLICT). When the descriptors run out, accepting
 * pauses 100 ms instead of spinning; the peer is closed by the spare descriptor.
 */
struct listener *listener_open(
	struct loop *l, const char *address, listener_accept accept, void *user, struct err *err);
/*
 * A second listener on the socket of another one, for another loop: what SO_REUSEPORT is for TCP.
 * The socket's file goes with the first.
 */
struct listener *listener_share(struct loop *l, const struct listener *from, listener_accept accept,
	void *user, struct err *err);
bool listener_is_unix(const struct listener *ls);
int listener_port(const struct listener *ls); /* as bound; 0 for UNIX */
void listener_close(struct listener *ls);     /* stops accepting; accepted streams live on */

/*
 * False and ERR_CONFLICT when somebody listens at the address. SO_REUSEPORT lets a second process
 * of the same user share it unnoticed; a process asks once before it opens its listeners.
 */
bool listener_is_free(const char *address, struct err *err);

/* "host:port" or "[v6]:port" split; false when it is neither. Port 0 allowed. */
bool socket_split_address(struct span address, struct span *host, int *port);

/* One a loop. Answers are cached 30 s, and used up to 1 h when the system's resolver fails. */
struct resolver;

struct resolver *resolver_new(struct loop *l);
void resolver_free(struct resolver *r);

enum dial_failure { DIAL_DNS, DIAL_REFUSED, DIAL_TIMEOUT, DIAL_GUARD, DIAL_OTHER };

struct dial_events {
	void (*done)(void *user, struct stream *s); /* connected; no events bound, reading paused */
	void (*fail)(void *user, enum dial_failure why, const struct err *err);
};

/*
 * Resolves and connects within timeout_ms in all. Addresses are tried in the resolver's order,
 * families alternating (RFC 8305): the next one is started when the last one failed or 250 ms
 * passed, the first to connect wins. `host` may be "unix:/path" (port ignored). Reports once, from
 * the loop. NULL without memory: nothing is reported. public_only, for hosts that a client named:
 * fails (DIAL_GUARD) when any address of the host is not public, as guard.h has it.
 */
struct dial *dial_start(struct loop *l, struct resolver *r, const char *host, int port,
	int timeout_ms, bool public_only, const struct dial_events *events, void *user);
void dial_cancel(struct dial *d);
