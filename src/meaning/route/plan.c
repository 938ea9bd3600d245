/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/route/plan.h"
#include <math.h>

struct making {
	const struct plan_ask *ask;
	struct plan *out;
};

/* ---- weighted rendezvous ---- */

static uint64_t hash_of(uint64_t h, struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3u; /* FNV-1a */
	return h;
}

/* FNV alone spreads short texts badly over the high bits. */
static uint64_t mixed(uint64_t h)
{
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
	h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
	return h ^ (h >> 31);
}

static struct span key_of(const struct plan_ask *ask)
{
	if (ask->trace_id.n > 0)
		return ask->trace_id;
	return ask->user_id.n > 0 ? ask->user_id : ask->request_id;
}

/*
 * Highest random weight: each member draws from the hash of policy, key and member, and the draw is
 * scaled so that it wins as often as its weight says. A change of one weight moves only what that
 * member gains or loses.
 */
static double score(const struct policy *p, const struct policy_member *m, struct span key)
{
	uint64_t h = 0xcbf29ce484222325u;
	double u;

	h = hash_of(h, p->name);
	h = hash_of(h ^ 0xff, key);
	h = hash_of(h ^ 0xff, m->model);
	u = ((double)(mixed(h) >> 11) + 0.5) / 9007199254740992.0; /* 2^53: in (0, 1) */
	return -log(u) / (double)m->weight;
}

/* The members by their scores, those without weight left out; how many. */
static int order_by_weight(const struct policy *p, struct span key, int order[POLICY_MAX_MEMBERS])
{
	double scores[POLICY_MAX_MEMBERS];
	int n = 0;

	for (int i = 0; i < p->n && i < POLICY_MAX_MEMBERS; i++) {
		int at = n;
		double s;

		if (p->members[i].weight <= 0)
			continue;
		s = score(p, &p->members[i], key);
		for (; at > 0 && scores[at - 1] > s; at--) {
			scores[at] = scores[at - 1];
			order[at] = order[at - 1];
		}
		scores[at] = s;
		order[at] = i;
		n++;
	}
	return n;
}

/* ---- the order ---- */

static void add(struct making *m, const struct policy *p, int depth);

static void add_member(struct making *m, const struct policy_member *member, int depth)
{
	struct span name = policy_name_in(member->model);
	const struct policy *inner;

	if (name.p != NULL) {
		inner = depth < POLICY_MAX_DEPTH ? m->ask->find(m->ask->user, name) : NULL;
		if (inner != NULL)
			add(m, inner, depth + 1);
		return;
	}
	if (!m->ask->allows(m->ask->user, member->model)) {
		m->out->n_refused++;
		return;
	}
	if (m->out->n < PLAN_MAX_TARGETS)
		m->out->targets[m->out->n++] =
			(struct plan_target){.model = member->model, .retries = member->retries};
}

/*
 * One member is chosen, however often it fails, unless the policy says otherwise; a member whose
 * models the key may not use is no member.
 */
static void add_balanced(struct making *m, const struct policy *p, int depth)
{
	int order[POLICY_MAX_MEMBERS];
	int n = order_by_weight(p, key_of(m->ask), order), before = m->out->n;

	for (int i = 0; i < n && (p->next_on_error || m->out->n == before); i++)
		add_member(m, &p->members[order[i]], depth);
}

static void add(struct making *m, const struct policy *p, int depth)
{
	if (p->kind == POLICY_LOAD_BALANCE) {
		add_balanced(m, p, depth);
		return;
	}
	for (int i = 0; i < p->n; i++)
		add_member(m, &p->members[i], depth);
}

bool plan_make(
	const struct policy *p, const struct plan_ask *ask, struct arena *a, struct plan *out)
{
	struct making m = {.ask = ask, .out = out};

	*out = (struct plan){
		.targets = arena_alloc(a, PLAN_MAX_TARGETS * sizeof(struct plan_target))};
	if (out->targets == NULL)
		return false;
	add(&m, p, 1);
	return true;
}
