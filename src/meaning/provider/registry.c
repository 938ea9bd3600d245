/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/rows.h"

static const struct provider_type *const types[] = {
#define TYPE(id, name) &provider_##id,
#include "meaning/provider/types.def"
#undef TYPE
};

const char *const provider_type_names[] = {
#define TYPE(id, name) name,
#include "meaning/provider/types.def"
#undef TYPE
	NULL};

const struct provider_type *provider_type_find(struct span name)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (span_is(name, types[i]->name))
			return types[i];
	return NULL;
}
