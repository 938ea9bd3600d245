/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/loop/wheel.h"

#define SLOT_MASK (WHEEL_SLOTS - 1)

void wheel_init(struct loop_wheel *w, int64_t now_ms)
{
	*w = (struct loop_wheel){.tick = now_ms / WHEEL_TICK_MS, .armed_ms = INT64_MAX};
	for (int level = 0; level < WHEEL_LEVELS; level++)
		for (int i = 0; i < WHEEL_SLOTS; i++)
			list_init(&w->slots[level][i]);
}

static bool is_empty(const struct loop_wheel *w)
{
	uint64_t any = 0;

	for (int level = 0; level < WHEEL_LEVELS; level++)
		any |= w->used[level];
	return any == 0;
}

/* `first` is the earliest tick that will still be run. */
static void place(struct loop_wheel *w, struct timer *t, int64_t first)
{
	const int64_t reach = (INT64_C(1) << (WHEEL_LEVELS * WHEEL_SLOT_BITS)) - 1;
	int64_t at = (t->due_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
	int level = 0;
	unsigned slot;

	if (at < first)
		at = first;
	/* Beyond the wheel's reach a timer waits in the last slot and is placed again from there.
	 */
	if (at - w->tick > reach)
		at = w->tick + reach;
	while (at - w->tick >= INT64_C(1) << ((level + 1) * WHEEL_SLOT_BITS))
		level++;
	slot = (unsigned)(at >> (level * WHEEL_SLOT_BITS)) & SLOT_MASK;
	w->used[level] |= UINT64_C(1) << slot;
	list_add_back(&w->slots[level][slot], &t->node);
}

void wheel_add(struct loop_wheel *w, struct timer *t, int64_t now_ms)
{
	if (is_empty(w) && w->tick < now_ms / WHEEL_TICK_MS)
		w->tick = now_ms / WHEEL_TICK_MS;
	place(w, t, w->tick + 1);
}

/* The next tick at which a slot of any level is due; INT64_MAX when all are empty. */
static int64_t next_tick(const struct loop_wheel *w)
{
	int64_t best = INT64_MAX;

	for (int level = 0; level < WHEEL_LEVELS; level++) {
		int64_t cell = (w->tick >> (level * WHEEL_SLOT_BITS)) + 1;
		unsigned turn = (unsigned)cell & SLOT_MASK;
		uint64_t used = w->used[level];

		if (used == 0)
			continue;
		if (turn > 0)
			used = used >> turn | used << (WHEEL_SLOTS - turn);
		cell = (cell + __builtin_ctzll(used)) * (INT64_C(1) << (level * WHEEL_SLOT_BITS));
		if (cell < best)
			best = cell;
	}
	return best;
}

int64_t wheel_next_ms(const struct loop_wheel *w)
{
	int64_t tick = next_tick(w);

	return tick == INT64_MAX ? INT64_MAX : tick * WHEEL_TICK_MS;
}

static void take_slot(struct loop_wheel *w, int level, int64_t tick, struct list *out)
{
	unsigned slot = (unsigned)(tick >> (level * WHEEL_SLOT_BITS)) & SLOT_MASK;
	struct list *head = &w->slots[level][slot];

	list_init(out);
	w->used[level] &= ~(UINT64_C(1) << slot);
	if (list_empty(head))
		return;
	*out = *head;
	out->next->prev = out;
	out->prev->next = out;
	list_init(head);
}

static void run_tick(struct loop_wheel *w)
{
	struct list due, *node;

	/* Coarse before fine: what comes down a level may come down another one in the same tick.
	 */
	for (int level = WHEEL_LEVELS - 1; level > 0; level--) {
		if ((w->tick & ((INT64_C(1) << (level * WHEEL_SLOT_BITS)) - 1)) != 0)
			continue;
		take_slot(w, level, w->tick, &due);
		while ((node = list_take_front(&due)) != NULL)
			place(w, LIST_ITEM(node, struct timer, node), w->tick);
	}
	/* A callback may stop or free any timer, those still in `due` included. */
	take_slot(w, 0, w->tick, &due);
	while ((node = list_take_front(&due)) != NULL) {
		struct timer *t = LIST_ITEM(node, struct timer, node);

		t->due_ms = 0;
		t->fire(t);
	}
}

void wheel_run(struct loop_wheel *w, int64_t now_ms)
{
	int64_t target = now_ms / WHEEL_TICK_MS, next;

	while ((next = next_tick(w)) <= target) {
		w->tick = next;
		run_tick(w);
	}
	if (w->tick < target)
		w->tick = target;
}
