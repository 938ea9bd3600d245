/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* rows - the types themselves, one of types.def each; private to this folder. */
#include "meaning/provider/provider.h"

#define TYPE(id, name) extern const struct provider_type provider_##id;
#include "meaning/provider/types.def"
#undef TYPE

/*
 * OpenAI's models, also at Azure. These exist in the Responses API alone: they are asked there
 * whatever the client speaks.
 */
#define RESPONSES_ONLY                                                                             \
	"o1-pro|o3-pro|o3-deep-research|o4-mini-deep-research|gpt-5-pro|gpt-5.2-pro|gpt-5.4-pro|"  \
	"gpt-5.5-pro|gpt-5-codex|gpt-5.1-codex|gpt-5.2-codex|gpt-5.3-codex|codex-|"                \
	"computer-use-preview"
void openai_adapt(enum llm_op op, struct span model, struct llm_quirks *quirks);
