/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* models - the catalogue as it is for the server of a data directory; private to this folder. */
#include "control/cli/command.h"
#include "meaning/llm/catalog.h"

struct models {
	struct catalog *imported; /* what stands in <data_dir>/models.json */
	struct catalog *all;      /* what is built in, with that on top */
};

/* Done with models_done, also after a failure. */
bool models_open(struct models *m, const char *data_dir, struct err *err);
void models_done(struct models *m);

/* A table on a terminal, tab-separated lines otherwise. */
bool call_wants_aligned(const struct call *c);
