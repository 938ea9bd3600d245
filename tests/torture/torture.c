/* SPDX-License-Identifier: Apache-2.0 */
#include "torture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MAX_ALLOCATIONS 5000

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
void __wrap_free(void *p);

/* Code under test has threads too. */
static atomic_int asked, refused, live;
static atomic_int refuse_at; /* 0: never */
static atomic_bool refuse_rest, paused;

static bool is_refused(void)
{
	int n;

	if (atomic_load(&refuse_at) == 0 || atomic_load(&paused))
		return false;
	n = atomic_fetch_add(&asked, 1) + 1;
	if (n != atomic_load(&refuse_at) && !(atomic_load(&refuse_rest) && n > refuse_at))
		return false;
	atomic_fetch_add(&refused, 1);
	errno = ENOMEM;
	return true;
}

static void *counted(void *p)
{
	if (p != NULL)
		atomic_fetch_add(&live, 1);
	return p;
}

void *__wrap_malloc(size_t n)
{
	return is_refused() ? NULL : counted(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return is_refused() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
	return is_refused() ? NULL : counted(__real_aligned_alloc(align, n));
}

/* A refused realloc leaves the block; one that is not moves it, so that stale pointers show. */
void *__wrap_realloc(void *p, size_t n)
{
	if (is_refused())
		return NULL;
	return p == NULL ? counted(__real_realloc(NULL, n)) : __real_realloc(p, n);
}

char *__wrap_strndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *copy = __wrap_malloc(len + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *__wrap_strdup(const char *s)
{
	return __wrap_strndup(s, strlen(s));
}

void __wrap_free(void *p)
{
	if (p != NULL)
		atomic_fetch_sub(&live, 1);
	__real_free(p);
}

bool torture_has_refused(void)
{
	return atomic_load(&refused) > 0;
}

void torture_pause(void)
{
	atomic_store(&paused, true);
}

void torture_resume(void)
{
	atomic_store(&paused, false);
}

/* Returns whether something was refused. */
static bool run(const char *name, torture_operation operation, const void *arg, int at, bool rest)
{
	int before = atomic_load(&live), left;
	bool has_refused, result;

	atomic_store(&asked, 0);
	atomic_store(&refused, 0);
	atomic_store(&refuse_rest, rest);
	atomic_store(&paused, false);
	atomic_store(&refuse_at, at);
	result = operation(arg);
	atomic_store(&refuse_at, 0);
	has_refused = torture_has_refused();
	left = atomic_load(&live) - before;
	if (left != 0)
		fail_msg("%s: %d blocks left with allocation %d%s refused", name, left, at,
			rest ? " and all after it" : "");
	if (!result && !has_refused)
		fail_msg("%s: fails though its %d allocations succeed", name, atomic_load(&asked));
	return has_refused;
}

void torture(const char *name, torture_operation operation, const void *arg)
{
	int n = 1;

	/* Whatever is made once and kept is made here. */
	if (!operation(arg))
		fail_msg("%s: fails by itself", name);
	for (int rest = 0; rest <= 1; rest++) {
		for (n = 1; run(name, operation, arg, n, rest != 0); n++)
			assert_in_range(n, 1, MAX_ALLOCATIONS);
	}
	/* Else the linker's wrap does not work, and nothing was tried. */
	assert_true(n > 1);
	printf("%s: %d allocations refused, one at a time and all from each on\n", name, n - 1);
}
