/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * policies - those of the configuration, made ready for requests. Inside this folder.
 */
#include "exchange/snapshot.h"

/* Fills the snapshot's policies; ERR_CONFIG with the place of what is wrong. */
bool policies_compile(struct snapshot *s, struct err *err);

/* What is known of a model by its id, or NULL. */
typedef const struct llm_model *(*policies_model)(void *user, struct span id);
/* How the list of models shows it; from the snapshot's arena, NULL without memory. */
const struct llm_model *policies_describe(
	struct snapshot *s, const struct policy *p, policies_model model, void *user);
