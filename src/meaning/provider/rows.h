/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* rows - the types themselves, one of types.def each; private to this folder. */
#include "meaning/provider/provider.h"

#define TYPE(id, name) extern const struct provider_type provider_##id;
#include "meaning/provider/types.def"
#undef TYPE

/* openai.c; Azure has the same models. */
void openai_adapt(enum llm_op op, struct span model, struct llm_quirks *quirks);
