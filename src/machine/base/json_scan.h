/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * json_scan - what json's own files share: steps over JSON text that was found valid before.
 *
 * Linear, without memory. On text that is not valid they stop early and never look outside it.
 */
#include "machine/base/json.h"

const char *json_skip_blank(const char *p, const char *end);

/* More brackets open at once than `levels`; the text need not be valid, strings do not count. */
bool json_is_deeper(struct span text, int levels);

/* The code unit of the escape \\uXXXX at p, or -1. */
int json_code_unit(const char *p, const char *end);

/* Compares a raw key, escapes resolved, with a plain ASCII one. */
bool json_key_eq(struct span raw, struct span key);
