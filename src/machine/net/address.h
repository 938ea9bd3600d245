/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* address - socket addresses as text and back; private to this folder. Pure. */
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "machine/base/span.h"

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un un;
	};
	socklen_t n;
};

#define ADDRESS_TEXT_BYTES 64

/* An IPv4 or IPv6 literal (a zone such as %eth0 is allowed behind the latter). */
bool address_read_ip(struct address *a, struct span literal, int port);
bool address_read_unix(struct address *a, struct span path);
/* A copy of what the system gave, IPv4 and IPv6 only, with another port. */
bool address_copy(struct address *a, const struct sockaddr *from, int port);

/* "203.0.113.7:443", "[2001:db8::1]:443" or "unix". IPv4 in IPv6 is written as IPv4. */
void address_write(const struct address *a, char out[ADDRESS_TEXT_BYTES]);
int address_port(const struct address *a);
