/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal file after a crash. The first byte says what the rest is: a record's payload, the bytes
 * of a file, or the name of one. What is read and written again is the same bytes.
 */
#include <assert.h>
#include <stdlib.h>
#include "machine/base/buf.h"
#include "state/ledger/file.h"
#include "state/ledger/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_record(struct span payload)
{
	struct request_row row, again;
	bool final, final_again;
	struct buf out;

	if (!record_read(payload, &row, &final))
		return;
	assert(row.status >= 0 && row.attempts >= 0 && row.cost_nusd >= COST_UNKNOWN);
	assert(row.outcome >= 0 && row.outcome < OUTCOME_COUNT);
	assert(row.basis >= 0 && row.basis < BASIS_COUNT);
	buf_init(&out, 2 << 20);
	assert(record_write(&row, final, &out));
	/* A record of an older version is written as one of today's; texts over the limit are left
	 * out. */
	if (*payload.p == *buf_span(&out).p)
		assert(out.n <= payload.n);
	if (out.n == payload.n)
		assert(span_eq(buf_span(&out), payload));
	assert(record_read(buf_span(&out), &again, &final_again) && final == final_again);
	assert(again.cost_nusd == row.cost_nusd && span_eq(again.op, row.op));
	buf_done(&out);
}

static void read_file(struct span bytes)
{
	enum journal_frame frame = JOURNAL_WHOLE;

	while (frame == JOURNAL_WHOLE) {
		unsigned char head[JOURNAL_HEAD_BYTES];
		struct span payload = {NULL, 0};
		size_t used = 0;

		frame = journal_read_frame(bytes, &payload, &used);
		if (frame != JOURNAL_WHOLE)
			break;
		assert(used == payload.n + JOURNAL_HEAD_BYTES && used <= bytes.n);
		assert(payload.p == bytes.p + JOURNAL_HEAD_BYTES);
		journal_write_head(head, payload, payload.n);
		assert(memcmp(head, bytes.p, sizeof(head)) == 0);
		read_record(payload);
		bytes = span_skip(bytes, used);
	}
}

static void read_name(struct span text)
{
	char name[256], path[JOURNAL_PATH_BYTES];
	struct journal_name n, again;

	if (text.n >= sizeof(name))
		return;
	memcpy(name, text.p, text.n);
	name[text.n] = '\0';
	if (!journal_read_name(name, &n))
		return;
	assert(n.epoch >= 0 && n.worker >= 0 && n.number >= 0);
	journal_file_path("d", n.epoch, n.worker, n.number, path);
	assert(path[0] == 'd' && path[1] == '/' && journal_read_name(path + 2, &again));
	assert(again.epoch == n.epoch && again.worker == n.worker && again.number == n.number);
}

/* The payload as a file of its own, so that the frame's checksum is no wall. */
static void read_framed(struct span payload)
{
	unsigned char head[JOURNAL_HEAD_BYTES];
	struct buf file;

	if (payload.n == 0)
		return;
	buf_init(&file, 2 << 20);
	journal_write_head(head, payload, payload.n);
	buf_append(&file, span_from(head, sizeof(head)));
	buf_append(&file, payload);
	buf_append(&file, span_from(head, 5));
	read_file(buf_span(&file));
	buf_done(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest;

	if (size < 1 || size > 65536)
		return 0;
	rest = span_from(data + 1, size - 1);
	switch (data[0] % 4) {
	case 0:
		read_record(rest);
		break;
	case 1:
		read_file(rest);
		break;
	case 2:
		read_name(rest);
		break;
	default:
		read_framed(rest);
		break;
	}
	return 0;
}
