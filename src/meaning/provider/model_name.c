/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/model_name.h"

bool model_name_read(struct span text, struct model_name *out, struct err *err)
{
	ptrdiff_t slash = span_find_char(text, '/'), at;
	struct model_name m;

	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return err_set(
				err, ERR_BAD_REQUEST, "The model's name holds a control character");
	if (slash < 0)
		return err_set(err, ERR_MODEL_NOT_FOUND,
			"Provider and/or model not supported: \"%.*s\" names no provider; write it "
			"as "
			"provider/model",
			SPAN_ARG(span_head(text, 128)));
	m.provider = span_head(text, (size_t)slash);
	m.full = span_skip(text, (size_t)slash + 1);
	if (m.provider.n == 0 || m.full.n == 0)
		return err_set(err, ERR_MODEL_NOT_FOUND,
			"Provider and/or model not supported: \"%.*s\" lacks a part; write it as "
			"provider/model",
			SPAN_ARG(span_head(text, 128)));
	m.model = m.full;
	m.region = (struct span){NULL, 0};
	at = span_find_last_char(m.full, '@');
	if (at > 0 && (size_t)at + 1 < m.full.n) {
		m.model = span_head(m.full, (size_t)at);
		m.region = span_skip(m.full, (size_t)at + 1);
	}
	*out = m;
	return true;
}

bool model_region_is_place(struct span region)
{
	if (region.n == 0 || region.n > 32 || region.p[0] < 'a' || region.p[0] > 'z')
		return false;
	for (size_t i = 0; i < region.n; i++) {
		char c = region.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
			return false;
	}
	return !span_is(region, "default") && !span_is(region, "latest");
}

bool model_begins(struct span model, const char *list)
{
	struct span rest = span_of(list);

	if (list == NULL)
		return true;
	while (rest.n > 0) {
		struct span one = span_cut(&rest, '|');

		if (span_starts(model, one))
			return true;
	}
	return false;
}
