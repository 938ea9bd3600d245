/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* model_name - a model as clients name it. Pure. */
#include "machine/base/err.h"

/* "provider/rest", the last '@' begins the region. Case-sensitive, nothing decoded. */
struct model_name {
	struct span provider, model, region; /* model without region; with it: full */
	struct span full;                    /* behind the first slash, region included */
};
bool model_name_read(struct span text, struct model_name *out, struct err *err);

/* "eu-central-1", "global", "eu"; not the versions that some names have behind their '@'. */
bool model_region_is_place(struct span region);
/* One of the beginnings in `list` ("gpt-5|o1-"), or all of them when NULL. */
bool model_begins(struct span model, const char *list);
