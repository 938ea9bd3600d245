/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/address.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include "machine/base/text.h"
#include "machine/net/socket.h"

#define MAX_PORT 65535

bool socket_split_address(struct span address, struct span *host, int *port)
{
	ptrdiff_t colon = span_find_last_char(address, ':');
	struct span name;
	uint64_t number;

	if (colon <= 0 || !text_u64(span_skip(address, (size_t)colon + 1), &number) ||
		number > MAX_PORT)
		return false;
	name = span_head(address, (size_t)colon);
	if (name.p[0] == '[') {
		if (name.n < 3 || name.p[name.n - 1] != ']')
			return false;
		name = (struct span){name.p + 1, name.n - 2};
	} else if (span_find_char(name, ':') >= 0) {
		return false;
	}
	if (span_find_char(name, '[') >= 0 || span_find_char(name, ']') >= 0)
		return false;
	*host = name;
	*port = (int)number;
	return true;
}

bool address_read_ip(struct address *a, struct span literal, int port)
{
	char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
	struct address out = {0};
	char *zone;

	if (literal.n == 0 || literal.n >= sizeof(text) || memchr(literal.p, '\0', literal.n))
		return false;
	memcpy(text, literal.p, literal.n);
	text[literal.n] = '\0';
	if (inet_pton(AF_INET, text, &out.v4.sin_addr) == 1) {
		out.v4.sin_family = AF_INET;
		out.v4.sin_port = htons((uint16_t)port);
		out.n = sizeof(out.v4);
		*a = out;
		return true;
	}
	zone = strchr(text, '%');
	if (zone != NULL) {
		*zone = '\0';
		out.v6.sin6_scope_id = if_nametoindex(zone + 1);
		if (out.v6.sin6_scope_id == 0)
			return false;
	}
	if (inet_pton(AF_INET6, text, &out.v6.sin6_addr) != 1)
		return false;
	out.v6.sin6_family = AF_INET6;
	out.v6.sin6_port = htons((uint16_t)port);
	out.n = sizeof(out.v6);
	*a = out;
	return true;
}

bool address_read_unix(struct address *a, struct span path)
{
	struct address out = {0};

	if (path.n == 0 || path.n >= sizeof(out.un.sun_path) || memchr(path.p, '\0', path.n))
		return false;
	out.un.sun_family = AF_UNIX;
	memcpy(out.un.sun_path, path.p, path.n);
	out.n = sizeof(out.un);
	*a = out;
	return true;
}

bool address_copy(struct address *a, const struct sockaddr *from, int port)
{
	struct address out = {0};

	if (from->sa_family == AF_INET) {
		memcpy(&out.v4, from, sizeof(out.v4));
		out.v4.sin_port = htons((uint16_t)port);
		out.n = sizeof(out.v4);
	} else if (from->sa_family == AF_INET6) {
		memcpy(&out.v6, from, sizeof(out.v6));
		out.v6.sin6_port = htons((uint16_t)port);
		out.n = sizeof(out.v6);
	} else {
		return false;
	}
	*a = out;
	return true;
}

int address_port(const struct address *a)
{
	if (a->any.sa_family == AF_INET)
		return ntohs(a->v4.sin_port);
	return a->any.sa_family == AF_INET6 ? ntohs(a->v6.sin6_port) : 0;
}

void address_write(const struct address *a, char out[ADDRESS_TEXT_BYTES])
{
	char ip[INET6_ADDRSTRLEN] = "?";

	switch (a->any.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &a->v4.sin_addr, ip, sizeof(ip));
		break;
	case AF_INET6:
		if (!IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) {
			inet_ntop(AF_INET6, &a->v6.sin6_addr, ip, sizeof(ip));
			snprintf(out, ADDRESS_TEXT_BYTES, "[%s]:%d", ip, address_port(a));
			return;
		}
		inet_ntop(AF_INET, a->v6.sin6_addr.s6_addr + 12, ip, sizeof(ip));
		break;
	default:
		snprintf(out, ADDRESS_TEXT_BYTES, "unix");
		return;
	}
	snprintf(out, ADDRESS_TEXT_BYTES, "%s:%d", ip, address_port(a));
}
