/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * guard - addresses that a name given by a client must not lead to. Pure.
 *
 * Refused is what is not the public Internet (IANA special-purpose registries, RFC 6890): this
 * host, private and shared networks, link-local (where clouds keep their metadata), benchmarks,
 * documentation, multicast, reserved; and IPv6 that carries one of these inside.
 */
#include "machine/net/address.h"

bool guard_is_public(const struct address *a);
