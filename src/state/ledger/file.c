/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/file.h"
#include <inttypes.h>
#include <stdio.h>
#include "machine/base/text.h"
#include "machine/crypto/hash.h"
#include "state/ledger/journal.h"

bool journal_dir(const char *data_dir, char out[4096], struct err *err)
{
	if (snprintf(out, 4096, "%s/journal", data_dir) >= 4096)
		return err_set(err, ERR_CONFIG, "data_dir is too long");
	return true;
}

void journal_file_path(
	const char *dir, int64_t epoch, int worker, int number, char out[JOURNAL_PATH_BYTES])
{
	snprintf(out, JOURNAL_PATH_BYTES, "%s/%" PRId64 "-%d-%d.journal", dir, epoch, worker,
		number);
}

bool journal_read_name(const char *name, struct journal_name *out)
{
	struct span rest = span_of(name), part;
	int64_t v[3];

	if (!span_ends(rest, SPAN(".journal")))
		return false;
	rest.n -= SPAN(".journal").n;
	for (int i = 0; i < 3; i++) {
		part = span_cut(&rest, '-');
		if (!text_i64(part, &v[i]) || v[i] < 0 || (i > 0 && v[i] > INT32_MAX))
			return false;
	}
	if (rest.p != NULL)
		return false;
	*out = (struct journal_name){v[0], (int)v[1], (int)v[2]};
	return true;
}

static void put_u32(unsigned char *to, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		to[i] = (unsigned char)(v >> (8 * i));
}

static uint32_t get_u32(const char *from)
{
	uint32_t v = 0;

	for (int i = 3; i >= 0; i--)
		v = v << 8 | (unsigned char)from[i];
	return v;
}

void journal_write_head(unsigned char head[JOURNAL_HEAD_BYTES], struct span payload, size_t n)
{
	put_u32(head, (uint32_t)n);
	put_u32(head + 4, hash_crc32c(0, span_head(payload, n)));
}

enum journal_frame journal_read_frame(struct span bytes, struct span *payload, size_t *used)
{
	uint32_t n;

	if (bytes.n < JOURNAL_HEAD_BYTES)
		return JOURNAL_PARTIAL;
	n = get_u32(bytes.p);
	if (n == 0 || n > JOURNAL_MAX_PAYLOAD)
		return JOURNAL_DAMAGED;
	if (bytes.n - JOURNAL_HEAD_BYTES < n)
		return JOURNAL_PARTIAL;
	*payload = (struct span){bytes.p + JOURNAL_HEAD_BYTES, n};
	if (hash_crc32c(0, *payload) != get_u32(bytes.p + 4))
		return JOURNAL_DAMAGED;
	*used = JOURNAL_HEAD_BYTES + n;
	return JOURNAL_WHOLE;
}

bool journal_find_frame(struct span bytes, size_t from, size_t *found, size_t *resume)
{
	struct request_row row;
	struct span payload;
	size_t used, at;
	bool final, is_open = false;

	for (at = from; at + JOURNAL_HEAD_BYTES <= bytes.n; at++) {
		struct span rest = span_skip(bytes, at);
		uint32_t n = get_u32(rest.p);

		if (n == 0 || n > JOURNAL_MAX_PAYLOAD)
			continue;
		if (rest.n - JOURNAL_HEAD_BYTES < n) {
			if (!is_open && at > 0)
				*resume = at;
			is_open = is_open || at > 0;
			continue;
		}
		/* The form first: it refuses sooner than the sum over a wrong length. */
		if (record_read((struct span){rest.p + JOURNAL_HEAD_BYTES, n}, &row, &final) &&
			journal_read_frame(rest, &payload, &used) == JOURNAL_WHOLE) {
			*found = at;
			return true;
		}
	}
	if (!is_open)
		*resume = at > 0 ? at : 1;
	return false;
}
