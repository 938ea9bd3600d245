/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/inflate.h"
#include <stdlib.h>

#define PIECE_BYTES 16384
#define WINDOW_GZIP (15 + 16)
#define WINDOW_ZLIB 15
#define WINDOW_RAW (-15)

bool inflate_new(struct span coding, struct inflate **out, struct err *err)
{
	bool gzip = span_eq_nocase(coding, SPAN("gzip")) || span_eq_nocase(coding, SPAN("x-gzip"));
	bool zlib = span_eq_nocase(coding, SPAN("deflate"));
	struct inflate *f;

	*out = NULL;
	if (coding.n == 0 || span_eq_nocase(coding, SPAN("identity")))
		return true;
	if (!gzip && !zlib)
		return err_set(err, ERR_UPSTREAM_INVALID, "the content coding %.*s is not known",
			(int)(coding.n > 32 ? 32 : coding.n), coding.p);
	f = calloc(1, sizeof(*f));
	if (f == NULL || inflateInit2(&f->z, gzip ? WINDOW_GZIP : WINDOW_ZLIB) != Z_OK) {
		free(f);
		return err_set(err, ERR_NO_MEMORY, NULL);
	}
	f->unsure = zlib;
	*out = f;
	return true;
}

void inflate_free(struct inflate *f)
{
	if (f == NULL)
		return;
	inflateEnd(&f->z);
	free(f);
}

static bool is_bomb(const struct inflate *f)
{
	return f->out_bytes > INFLATE_MAX_BYTES ||
	       (f->out_bytes > INFLATE_FREE_BYTES &&
		       f->out_bytes / INFLATE_MAX_RATIO > f->in_bytes);
}

enum ran { RAN, RAN_STOP, RAN_FAILED };

/* After RAN_STOP `f` may be gone. */
static enum ran run(struct inflate *f, struct span bytes, bool (*give)(void *user, struct span out),
	void *user, struct err *err)
{
	unsigned char piece[PIECE_BYTES] __attribute__((uninitialized));

	f->z.next_in = (unsigned char *)bytes.p;
	f->z.avail_in = (unsigned)bytes.n;
	while (!f->ended) {
		size_t n;
		int result;

		f->z.next_out = piece;
		f->z.avail_out = sizeof(piece);
		result = inflate(&f->z, Z_NO_FLUSH);
		if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
			err_set(err, result == Z_MEM_ERROR ? ERR_NO_MEMORY : ERR_UPSTREAM_INVALID,
				"the compressed body is damaged");
			return RAN_FAILED;
		}
		n = sizeof(piece) - f->z.avail_out;
		f->out_bytes += n;
		f->ended = result == Z_STREAM_END;
		if (is_bomb(f)) {
			err_set(err, ERR_UPSTREAM_INVALID,
				"the compressed body grows beyond its bound");
			return RAN_FAILED;
		}
		if (n > 0 && !give(user, (struct span){(char *)piece, n}))
			return RAN_STOP;
		if (n < sizeof(piece))
			return RAN; /* wants more input */
	}
	return RAN; /* what stands behind the end is not part of it */
}

/* RFC 1950 section 2.2: method 8, and a sum that 31 divides; else there is no wrapper. */
static bool settle_form(struct inflate *f)
{
	bool wrapped = (f->start[0] & 0x0f) == 8 && (f->start[0] << 8 | f->start[1]) % 31 == 0;

	f->unsure = false;
	return wrapped || inflateReset2(&f->z, WINDOW_RAW) == Z_OK;
}

bool inflate_feed(struct inflate *f, struct span bytes, bool (*give)(void *user, struct span out),
	void *user, struct err *err)
{
	enum ran ran = RAN;

	f->in_bytes += bytes.n;
	if (f->unsure) {
		for (; bytes.n > 0 && f->n_start < sizeof(f->start); bytes = span_skip(bytes, 1))
			f->start[f->n_start++] = (unsigned char)bytes.p[0];
		if (f->n_start < sizeof(f->start))
			return true;
		if (!settle_form(f))
			return err_set(err, ERR_NO_MEMORY, NULL);
		ran = run(f, (struct span){(char *)f->start, sizeof(f->start)}, give, user, err);
	}
	if (ran == RAN && bytes.n > 0)
		ran = run(f, bytes, give, user, err);
	return ran != RAN_FAILED;
}

bool inflate_is_complete(const struct inflate *f)
{
	return f->ended || f->in_bytes == 0;
}
