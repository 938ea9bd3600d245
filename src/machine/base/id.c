/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/id.h"
#include "machine/base/text.h"

static const char crockford[] = "0123456789abcdefghjkmnpqrstvwxyz";

void id_make(struct id *id, int64_t wall_ms, const uint8_t random[10])
{
	uint64_t ms = wall_ms > 0 ? (uint64_t)wall_ms : 0;

	for (int i = 0; i < 6; i++)
		id->bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
	memcpy(id->bytes + 6, random, 10);
	id->bytes[6] = (uint8_t)(0x70 | (id->bytes[6] & 0x0f)); /* version 7 */
	id->bytes[8] = (uint8_t)(0x80 | (id->bytes[8] & 0x3f)); /* variant of RFC 9562 */
}

bool id_is_none(const struct id *id)
{
	static const struct id none;

	return memcmp(id, &none, sizeof(none)) == 0;
}

void id_write_uuid(const struct id *id, char out[ID_UUID_CHARS + 1])
{
	static const int groups[] = {4, 2, 2, 2, 6};
	const uint8_t *p = id->bytes;

	for (int i = 0; i < 5; i++) {
		if (i > 0)
			*out++ = '-';
		text_hex(out, p, (size_t)groups[i]);
		out += 2 * groups[i];
		p += groups[i];
	}
	*out = '\0';
}

bool id_read_uuid(struct span text, struct id *id)
{
	static const size_t groups[] = {4, 2, 2, 2, 6};
	struct id made;
	uint8_t *p = made.bytes;

	if (text.n != ID_UUID_CHARS)
		return false;
	for (int i = 0; i < 5; i++) {
		if (i > 0) {
			if (text.p[0] != '-')
				return false;
			text = span_skip(text, 1);
		}
		if (!text_unhex(p, groups[i], span_head(text, 2 * groups[i])))
			return false;
		p += groups[i];
		text = span_skip(text, 2 * groups[i]);
	}
	*id = made;
	return true;
}

/* 128 bits in 26 digits of 5: the first digit has the top 3 bits. */
void id_write_request(const struct id *id, char out[ID_REQUEST_CHARS + 1])
{
	unsigned __int128 v = 0;

	for (int i = 0; i < 16; i++)
		v = v << 8 | id->bytes[i];
	memcpy(out, "req_", 4);
	for (int i = 25; i >= 0; i--) {
		out[4 + i] = crockford[(unsigned)v & 31];
		v >>= 5;
	}
	out[ID_REQUEST_CHARS] = '\0';
}

bool id_read_request(struct span text, struct id *id)
{
	unsigned __int128 v = 0;

	if (text.n != ID_REQUEST_CHARS || !span_starts(text, SPAN("req_")))
		return false;
	for (size_t i = 4; i < text.n; i++) {
		const char *at = text.p[i] != '\0' ? strchr(crockford, text.p[i]) : NULL;

		if (at == NULL || (i == 4 && at - crockford > 7))
			return false;
		v = v << 5 | (unsigned)(at - crockford);
	}
	for (int i = 15; i >= 0; i--) {
		id->bytes[i] = (uint8_t)v;
		v >>= 8;
	}
	return true;
}
