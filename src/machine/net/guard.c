/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/guard.h"

struct v4_range {
	uint32_t base;
	int bits;
};

#define V4(a, b, c, d)                                                                             \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

static const struct v4_range v4_refused[] = {
	{V4(0, 0, 0, 0), 8},
	{V4(10, 0, 0, 0), 8},
	{V4(100, 64, 0, 0), 10},
	{V4(127, 0, 0, 0), 8},
	{V4(169, 254, 0, 0), 16},
	{V4(172, 16, 0, 0), 12},
	{V4(192, 0, 0, 0), 24},
	{V4(192, 0, 2, 0), 24},
	{V4(192, 88, 99, 0), 24},
	{V4(192, 168, 0, 0), 16},
	{V4(198, 18, 0, 0), 15},
	{V4(198, 51, 100, 0), 24},
	{V4(203, 0, 113, 0), 24},
	{V4(224, 0, 0, 0), 4},
	{V4(240, 0, 0, 0), 4},
};

static bool is_public_v4(uint32_t ip)
{
	for (size_t i = 0; i < sizeof(v4_refused) / sizeof(v4_refused[0]); i++)
		if (((ip ^ v4_refused[i].base) >> (32 - v4_refused[i].bits)) == 0)
			return false;
	return true;
}

struct v6_range {
	uint8_t base[16];
	int bits;
	int v4_at; /* -1: refused; else the address is the IPv4 one at this byte */
};

/* The longer of nested prefixes first. */
static const struct v6_range v6_special[] = {
	{{[10] = 0xff, 0xff}, 96, 12},                  /* ::ffff:0:0/96, mapped */
	{{[8] = 0xff, 0xff}, 96, 12},                   /* ::ffff:0:0:0/96, translated */
	{{0x00, 0x64, 0xff, 0x9b}, 96, 12},             /* 64:ff9b::/96, NAT64 */
	{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, -1}, /* 64:ff9b:1::/48, local NAT64 */
	{{0x01, 0x00}, 64, -1},                         /* 100::/64, discard */
	{{0x20, 0x01, 0x0d, 0xb8}, 32, -1},             /* documentation */
	{{0x20, 0x01}, 32, -1},                         /* Teredo */
	{{0x20, 0x02}, 16, 2},                          /* 6to4 */
	{{0xfc}, 7, -1},                                /* unique local */
	{{0xfe, 0x80}, 10, -1},                         /* link-local */
	{{0xfe, 0xc0}, 10, -1},                         /* site-local */
	{{0xff}, 8, -1},                                /* multicast */
	{{0}, 96, -1},                                  /* ::, ::1, IPv4-compatible */
};

static bool in_range(const uint8_t ip[16], const struct v6_range *r)
{
	int whole = r->bits / 8, rest = r->bits % 8;

	if (memcmp(ip, r->base, (size_t)whole) != 0)
		return false;
	return rest == 0 || ((ip[whole] ^ r->base[whole]) >> (8 - rest)) == 0;
}

static bool is_public_v6(const uint8_t ip[16])
{
	for (size_t i = 0; i < sizeof(v6_special) / sizeof(v6_special[0]); i++) {
		const struct v6_range *r = &v6_special[i];
		const uint8_t *v4 = ip + r->v4_at;

		if (!in_range(ip, r))
			continue;
		return r->v4_at >= 0 && is_public_v4(V4(v4[0], v4[1], v4[2], v4[3]));
	}
	return true;
}

bool guard_is_public(const struct address *a)
{
	if (a->any.sa_family == AF_INET)
		return is_public_v4(ntohl(a->v4.sin_addr.s_addr));
	return a->any.sa_family == AF_INET6 && is_public_v6(a->v6.sin6_addr.s6_addr);
}
