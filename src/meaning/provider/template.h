/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* template - addresses with names in braces, filled; private to this folder. Pure. */
#include "meaning/provider/provider.h"

/* See struct provider_path. ERR_MODEL_NOT_FOUND: the model's name can be no part of a path. */
bool template_fill(const char *text, const struct provider_setup *s, const struct provider_ask *ask,
	struct arena *a, struct span *out, struct err *err);
