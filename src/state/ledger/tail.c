/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/tail.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "state/ledger/journal.h"

static void say(const struct tail *t, const struct tail_io *io, enum log_level level,
	const char *event, const char *msg, int64_t bytes)
{
	const struct log_field f[] = {LOG_FIELD_TEXT("file", span_of(t->file)),
		LOG_FIELD_INT("offset", t->offset), LOG_FIELD_INT("bytes", bytes)};

	log_write(io->log, level, event, msg, f, 3);
}

static void path_of(const struct tail *t, const struct tail_io *io, char out[JOURNAL_PATH_BYTES])
{
	snprintf(out, JOURNAL_PATH_BYTES, "%.4000s/%s", io->dir, t->file);
}

void tail_close(struct tail *t, struct sys *sys)
{
	if (t->fd >= 0)
		sys->close(sys, t->fd);
	t->fd = -1;
}

static enum tail_result unreadable(const struct tail *t, const struct tail_io *io, struct err *err)
{
	char path[JOURNAL_PATH_BYTES];

	path_of(t, io, path);
	err_set_errno(err, ERR_IO, path);
	return TAIL_UNREADABLE;
}

static enum tail_result refresh(struct tail *t, const struct tail_io *io, struct err *err)
{
	char path[JOURNAL_PATH_BYTES];
	struct stat st;

	path_of(t, io, path);
	if (t->fd < 0)
		t->fd = io->sys->open(io->sys, path, O_RDONLY | O_CLOEXEC, 0);
	if (t->fd < 0 && errno == ENOENT) { /* somebody took it away: there is nothing more */
		t->size = t->offset;
		return TAIL_TAKEN;
	}
	if (t->fd < 0 || fstat(t->fd, &st) < 0)
		return unreadable(t, io, err);
	t->size = st.st_size;
	return TAIL_TAKEN;
}

/* ---- whole records ---- */

/*
 * Checkpoints of a batch whose end has not been met yet. Most have theirs a few records on: then
 * they need not be written at all, which is half of a stream's cost here.
 */
#define MAX_HELD 256

struct held {
	struct id id;
	struct span payload; /* p NULL: free */
};

static struct held *place_of(struct held *held, const struct id *id)
{
	return &held[(id->bytes[0] ^ id->bytes[15]) % MAX_HELD];
}

static bool put_payload(const struct tail_io *io, struct span payload, struct err *err)
{
	struct request_row row;
	bool final;

	return record_read(payload, &row, &final) && request_put(io->store, &row, final, err);
}

static bool hold(const struct tail_io *io, struct held *place, const struct id *id,
	struct span payload, struct err *err)
{
	struct held before = *place;

	*place = (struct held){*id, payload};
	return before.payload.p == NULL || memcmp(&before.id, id, sizeof(*id)) == 0 ||
	       put_payload(io, before.payload, err);
}

static bool put_held(const struct tail_io *io, const struct held *held, struct err *err)
{
	for (int i = 0; i < MAX_HELD; i++)
		if (held[i].payload.p != NULL && !put_payload(io, held[i].payload, err))
			return false;
	return true;
}

/* One record of a batch. Its frame is sound, so one that cannot be read costs only itself. */
static bool take_record(struct tail *t, const struct tail_io *io, struct held *held,
	struct span payload, struct err *err)
{
	struct request_row row;
	struct held *place;
	bool final;

	if (!record_read(payload, &row, &final)) {
		say(t, io, LOG_ERROR, "journal_damaged",
			"a record is of no known form; it is left out", (int64_t)payload.n);
		t->damaged = true;
		return true;
	}
	place = place_of(held, &row.id);
	if (!final)
		return hold(io, place, &row.id, payload, err);
	if (place->payload.p != NULL && memcmp(&place->id, &row.id, sizeof(row.id)) == 0)
		place->payload.p = NULL;
	return request_put(io->store, &row, true, err);
}

/*
 * The whole records at the front of `bytes`, in one transaction with the mark. *used 0: there is
 * none; *frame says why it ended. false: the store refused, and nothing has changed.
 */
static bool take_batch(struct tail *t, const struct tail_io *io, struct span bytes, size_t *used,
	enum journal_frame *frame, struct err *err)
{
	struct held held[MAX_HELD];
	struct span payload;
	size_t taken = 0, n;
	bool ok = true;

	*used = 0;
	*frame = journal_read_frame(bytes, &payload, &n);
	if (*frame != JOURNAL_WHOLE)
		return true;
	if (!store_begin(io->store, err))
		return false;
	memset(held, 0, sizeof(held));
	while (ok && *frame == JOURNAL_WHOLE) {
		ok = take_record(t, io, held, payload, err);
		taken += n;
		*frame = journal_read_frame(span_skip(bytes, taken), &payload, &n);
	}
	ok = ok && put_held(io, held, err) &&
	     journal_mark_put(io->store, span_of(t->file), t->offset + (int64_t)taken, err) &&
	     store_commit(io->store, err);
	if (!ok) {
		store_rollback(io->store);
		return false;
	}
	*used = taken;
	return true;
}

/* ---- what is not whole ---- */

static bool is_blank(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '\0')
			return false;
	return true;
}

/* Where the next whole record begins behind the place we are at, or the size. *blank: zeros only.
 */
static enum tail_result find_next(
	const struct tail *t, const struct tail_io *io, int64_t *next, bool *blank, struct err *err)
{
	int64_t at = t->offset;
	size_t from = 1;

	*next = t->size;
	*blank = true;
	while (at < t->size) {
		ssize_t n = io->sys->pread(io->sys, t->fd, io->window, TAIL_WINDOW_BYTES, at);
		size_t found, resume;

		if (n < 0)
			return unreadable(t, io, err);
		if (n == 0)
			break;
		*blank = *blank && is_blank(span_from(io->window, (size_t)n));
		if (journal_find_frame(span_from(io->window, (size_t)n), from, &found, &resume)) {
			*next = at + (int64_t)found;
			return TAIL_TAKEN;
		}
		if (at + n >= t->size)
			break;
		at += (int64_t)resume;
		from = 0;
	}
	return TAIL_TAKEN;
}

/*
 * At a place that is no whole record. *more: there is one behind it, and we stand before it now. A
 * live file is given a second look first: a reader may see a write half done.
 */
static enum tail_result pass_over(struct tail *t, const struct tail_io *io, bool finished,
	enum journal_frame frame, bool *more, struct err *err)
{
	enum tail_result result;
	int64_t next;
	bool blank;

	*more = false;
	if (!finished && (frame == JOURNAL_PARTIAL || t->bad_offset != t->offset)) {
		t->bad_offset = t->offset;
		return TAIL_TAKEN;
	}
	result = find_next(t, io, &next, &blank, err);
	if (result != TAIL_TAKEN || (next == t->size && !finished))
		return result;
	if (next < t->size || (frame == JOURNAL_DAMAGED && !blank)) {
		say(t, io, LOG_ERROR, "journal_damaged",
			"a part is damaged and left out; the file will be kept with the ending "
			".damaged",
			next - t->offset);
		t->damaged = true;
	} else {
		say(t, io, LOG_WARN, "journal_torn",
			"the last record was not written whole; nobody was answered by it",
			next - t->offset);
	}
	*more = next < t->size;
	t->offset = next;
	return TAIL_TAKEN;
}

enum tail_result tail_read(struct tail *t, const struct tail_io *io, bool finished, struct err *err)
{
	enum tail_result result = refresh(t, io, err);
	bool more = true;

	while (result == TAIL_TAKEN && more && t->offset < t->size) {
		ssize_t n =
			io->sys->pread(io->sys, t->fd, io->window, TAIL_WINDOW_BYTES, t->offset);
		enum journal_frame frame;
		size_t used;

		if (n < 0)
			return unreadable(t, io, err);
		if (n == 0) /* shorter than it was: what is gone is gone */
			t->size = t->offset;
		else if (!take_batch(t, io, span_from(io->window, (size_t)n), &used, &frame, err))
			return TAIL_REFUSED;
		else if (used > 0)
			t->offset += (int64_t)used;
		else
			result = pass_over(t, io, finished, frame, &more, err);
	}
	return result;
}

/* ---- its end ---- */

enum tail_result tail_drop(struct tail *t, const struct tail_io *io, struct err *err)
{
	char path[JOURNAL_PATH_BYTES], aside[JOURNAL_PATH_BYTES + 16];
	int result;

	/* The mark goes first: a file that is found again without it is read again, harmlessly. */
	if (!journal_mark_drop(io->store, span_of(t->file), err))
		return TAIL_REFUSED;
	tail_close(t, io->sys);
	path_of(t, io, path);
	snprintf(aside, sizeof(aside), "%s.damaged", path);
	result =
		t->damaged ? io->sys->rename(io->sys, path, aside) : io->sys->unlink(io->sys, path);
	if (result == 0 || errno == ENOENT)
		return TAIL_TAKEN;
	t->done = true;
	return unreadable(t, io, err);
}
