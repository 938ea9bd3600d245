/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool base64_write(struct buf *out, struct span bytes)
{
	const unsigned char *p = (const unsigned char *)bytes.p;
	size_t groups = bytes.n / 3, rest = bytes.n % 3;
	char *to;

	if (bytes.n == 0)
		return !out->failed;
	if (groups > (SIZE_MAX - 4) / 4) {
		out->failed = true;
		return false;
	}
	to = buf_room(out, groups * 4 + (rest > 0 ? 4 : 0));
	if (to == NULL)
		return false;
	for (size_t i = 0; i < groups; i++, p += 3, to += 4) {
		to[0] = alphabet[p[0] >> 2];
		to[1] = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
		to[2] = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
		to[3] = alphabet[p[2] & 63];
	}
	if (rest > 0) {
		to[0] = alphabet[p[0] >> 2];
		to[1] = alphabet[(p[0] & 3) << 4 | (rest == 2 ? p[1] >> 4 : 0)];
		to[2] = rest == 2 ? alphabet[(p[1] & 15) << 2] : '=';
		to[3] = '=';
	}
	buf_added(out, groups * 4 + (rest > 0 ? 4 : 0));
	return true;
}

bool base64url_write(struct buf *out, struct span bytes)
{
	size_t from = out->n;

	if (!base64_write(out, bytes))
		return false;
	while (out->n > from && buf_span(out).p[out->n - 1] == '=')
		out->n--;
	for (size_t i = from; i < out->n; i++) {
		char *c = out->mem + out->off + i;

		if (*c == '+')
			*c = '-';
		else if (*c == '/')
			*c = '_';
	}
	return true;
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_read(struct buf *out, struct span text)
{
	size_t pad = 0, n;
	unsigned char *to;
	uint32_t bits = 0;

	if (text.n % 4 != 0)
		return false;
	if (text.n == 0)
		return !out->failed;
	while (pad < 2 && text.p[text.n - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < text.n - pad; i++)
		if (value_of(text.p[i]) < 0)
			return false;
	/* Bits that fall off the end must be zero: one text for one value. */
	if (pad > 0 && (value_of(text.p[text.n - 1 - pad]) & (pad == 1 ? 3 : 15)) != 0)
		return false;
	n = text.n / 4 * 3 - pad;
	to = (unsigned char *)buf_room(out, n);
	if (to == NULL)
		return false;
	for (size_t i = 0, made = 0; i < text.n; i++) {
		bits = bits << 6 | (uint32_t)(i < text.n - pad ? value_of(text.p[i]) : 0);
		if (i % 4 != 3)
			continue;
		for (int shift = 16; shift >= 0 && made < n; shift -= 8)
			to[made++] = (unsigned char)(bits >> shift);
		bits = 0;
	}
	buf_added(out, n);
	return true;
}
