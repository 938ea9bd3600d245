/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fetch - pictures and documents that a request names by address, for providers that take bytes.
 *
 * Inside this folder. Only http and https on their usual ports, no redirects, only public addresses
 * (machine/net/guard.h) but for hosts the operator allows by `media.allow_hosts`; size and time are
 * bounded by `limits.max_media` and `timeouts.media`. What was fetched takes the address's place
 * in the neutral request.
 */
#include "meaning/llm/request.h"

struct exchange;
struct fetch;

/* How many of the request's media have to be fetched first. */
int fetch_count(const struct exchange *x);

/* Fetches them all; then exchange_advance or exchange_fail, from the loop. false: x->err is set. */
bool fetch_start(struct exchange *x);
/* Also when nothing runs. */
void fetch_cancel(struct exchange *x);
