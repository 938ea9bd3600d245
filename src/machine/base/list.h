/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * list - intrusive doubly linked ring.
 *
 * A state is often the list an object stands in. A node that is in no list points to itself, so
 * list_remove is always allowed once list_init was called on it.
 */
#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define LIST_ITEM(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))
#define LIST_EACH(pos, head) for (struct list *pos = (head)->next; pos != (head); pos = pos->next)
/* Allows removal of `pos` inside the loop. */
#define LIST_EACH_SAFE(pos, head)                                                                  \
	for (struct list *pos = (head)->next, *pos##_next = pos->next; pos != (head);              \
		pos = pos##_next, pos##_next = pos->next)

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

static inline void list_add_front(struct list *head, struct list *node)
{
	node->next = head->next;
	node->prev = head;
	head->next->prev = node;
	head->next = node;
}

static inline void list_add_back(struct list *head, struct list *node)
{
	list_add_front(head->prev, node);
}

/* Takes the first node off, or NULL. */
static inline struct list *list_take_front(struct list *head)
{
	struct list *node = head->next;

	if (node == head)
		return NULL;
	list_remove(node);
	return node;
}
