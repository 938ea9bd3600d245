/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * recheck - settled requests against their price: what each cost is its usage times the price row
 * that it keeps, to the nano-dollar. Reads alone.
 */
#include "state/store/store.h"

#define RECHECK_MAX_NAMED 5

struct recheck {
	int64_t checked;  /* requests that keep a price */
	int64_t unpriced; /* that cost something and keep none: from before prices were kept, or
			     held */
	int64_t wrong;
	struct id named[RECHECK_MAX_NAMED]; /* the first that are wrong */
};
bool recheck_prices(struct store *s, struct recheck *out, struct err *err);
