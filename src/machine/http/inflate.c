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
	f->zlib = zlib;
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

/* A "deflate" body without the zlib wrapper shows at its first bytes. */
static bool retry_raw(struct inflate *f, struct span bytes)
{
	if (!f->zlib || f->raw_tried || f->out_bytes > 0 || f->in_bytes > bytes.n)
		return false;
	f->raw_tried = true;
	return inflateReset2(&f->z, WINDOW_RAW) == Z_OK;
}

bool inflate_feed(struct inflate *f, struct span bytes, bool (*give)(void *user, struct span out),
	void *user, struct err *err)
{
	unsigned char piece[PIECE_BYTES];

	f->in_bytes += bytes.n;
	f->z.next_in = (unsigned char *)bytes.p;
	f->z.avail_in = (unsigned)bytes.n;
	while (!f->ended) {
		size_t n;
		int result;

		f->z.next_out = piece;
		f->z.avail_out = sizeof(piece);
		result = inflate(&f->z, Z_NO_FLUSH);
		if (result == Z_DATA_ERROR && retry_raw(f, bytes)) {
			f->z.next_in = (unsigned char *)bytes.p;
			f->z.avail_in = (unsigned)bytes.n;
			continue;
		}
		if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
			return err_set(err,
				result == Z_MEM_ERROR ? ERR_NO_MEMORY : ERR_UPSTREAM_INVALID,
				"the compressed body is damaged");
		n = sizeof(piece) - f->z.avail_out;
		f->out_bytes += n;
		f->ended = result == Z_STREAM_END;
		if (is_bomb(f))
			return err_set(err, ERR_UPSTREAM_INVALID,
				"the compressed body grows beyond its bound");
		if (n > 0 && !give(user, (struct span){(char *)piece, n}))
			return true;
		if (n < sizeof(piece))
			return true; /* wants more input */
	}
	return true; /* what stands behind the end is not part of it */
}

bool inflate_is_complete(const struct inflate *f)
{
	return f->ended;
}
