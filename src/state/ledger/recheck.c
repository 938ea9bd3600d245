/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/recheck.h"
#include <limits.h>
#include "state/ledger/price.h"

static bool on_request(void *user, const struct request_row *r, bool final)
{
	struct recheck *c = user;
	int64_t nusd;

	if (r->price_source == LLM_PRICE_NOWHERE) {
		c->unpriced += r->cost_nusd > 0;
		return true;
	}
	c->checked++;
	if (price_by_row(&r->price, &r->usage, &nusd) && nusd == r->cost_nusd)
		return true;
	if (c->wrong < RECHECK_MAX_NAMED)
		c->named[c->wrong] = r->id;
	c->wrong++;
	return true;
}

bool recheck_prices(struct store *s, struct recheck *out, struct err *err)
{
	*out = (struct recheck){0};
	return request_each(s, 0, INT_MAX, on_request, out, err);
}
