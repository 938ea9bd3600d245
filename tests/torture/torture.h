/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * torture - every allocation of an operation fails once.
 *
 * The linker sends malloc and its kin of the code under test through torture.c (--wrap; libraries
 * of the system keep their own). An operation is run with its first allocation refused, then
 * with its second, until it gets through without a refusal; then the same with everything refused
 * from the n-th on. Each time it must come back, free what it took, and tell the truth.
 */
#include <stdbool.h>

/*
 * Makes everything it needs and frees all of it. Returns true when it had its result, and then
 * the result was checked; false when it had a clean failure, and then that was checked.
 */
typedef bool (*torture_operation)(const void *arg);

/* Fails the running cmocka test when the operation leaks, or fails though nothing was refused. */
void torture(const char *name, torture_operation operation, const void *arg);

/* Whether an allocation was refused since the operation began: its excuse for failing. */
bool torture_has_refused(void);

/* Between these nothing is refused: for the set-up and the checks inside an operation. */
void torture_pause(void);
void torture_resume(void);
