/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* h1_log - what a parser says of an input, in words, however it is cut; for this folder's tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "machine/http/h1.h"

/*
 * Requests are described by lines "POST /path?q body", responses by "200 body"; what was refused by
 * "! status". Every vector is fed whole, cut in two at every byte, and in pieces of 1 to 3 bytes:
 * the description must be the same.
 */
struct log {
	struct buf text;
	enum h1_kind kind;
	int fields, ends;
	bool keep_alive, stop; /* stop: every event asks to stop once */
};

static bool on_head(void *user, const struct http_head *h)
{
	struct log *log = user;

	if (log->kind == H1_REQUEST) {
		buf_append_cstr(&log->text, http_method_name(h->method));
		buf_append_char(&log->text, ' ');
		buf_append(&log->text, h->path);
		if (h->query.n > 0) {
			buf_append_char(&log->text, '?');
			buf_append(&log->text, h->query);
		}
		if (h->expect_continue)
			buf_append_cstr(&log->text, " expects");
	} else {
		buf_append_i64(&log->text, h->status);
	}
	if (!h->keep_alive)
		buf_append_cstr(&log->text, " close");
	buf_append_char(&log->text, ' ');
	log->fields = h->n;
	log->keep_alive = h->keep_alive;
	return !log->stop;
}

static bool on_body(void *user, struct span bytes)
{
	struct log *log = user;

	assert_true(bytes.n > 0);
	buf_append(&log->text, bytes);
	return !log->stop;
}

static bool on_end(void *user)
{
	struct log *log = user;

	log->ends++;
	buf_append_char(&log->text, '\n');
	return !log->stop;
}

static const struct h1_events events = {on_head, on_body, on_end};

/* Feeds an exact copy, so that a sanitizer sees a read outside it. False: refused. */
static bool feed(struct h1 *p, struct span piece, struct log *log)
{
	char *copy = malloc(piece.n > 0 ? piece.n : 1);
	size_t at = 0;
	bool ok = true;

	assert_non_null(copy);
	if (piece.n > 0)
		memcpy(copy, piece.p, piece.n);
	for (;;) {
		struct err err = {0};
		ssize_t used = h1_feed(p, (struct span){copy + at, piece.n - at}, &err);

		if (used < 0) {
			buf_append_cstr(&log->text, "! ");
			buf_append_i64(&log->text, err_row(err.code)->status);
			assert_true(err.text[0] != '\0');
			ok = false;
			break;
		}
		at += (size_t)used;
		if (p->state == H1_END) {
			enum http_method m = p->method;

			h1_next(p);
			h1_expect(p, m);
		} else if (at == piece.n && (used == 0 || !log->stop)) {
			break;
		}
		if (at == piece.n && p->state == H1_HEAD)
			break;
	}
	free(copy);
	return ok;
}

struct options {
	enum h1_kind kind;
	enum http_method asked;
	bool eof, stop;
};

static void run(struct span in, struct options o, size_t cut, size_t step, struct log *log)
{
	struct h1 p;
	bool ok = true;

	*log = (struct log){.kind = o.kind, .stop = o.stop};
	buf_init(&log->text, 1 << 20);
	h1_init(&p, o.kind, &events, log);
	h1_expect(&p, o.asked);
	if (step == 0) {
		ok = feed(&p, span_head(in, cut), log) && feed(&p, span_skip(in, cut), log);
	} else {
		for (size_t at = 0; ok && at < in.n; at += step)
			ok = feed(&p, span_head(span_skip(in, at), step), log);
	}
	if (ok && o.eof && !h1_eof(&p))
		buf_append_cstr(&log->text, "cut");
	h1_done(&p);
	assert_false(log->text.failed);
}

static inline void check(struct span in, struct options o, const char *expected)
{
	struct log whole, other;

	run(in, o, in.n, 0, &whole);
	buf_append_char(&whole.text, '\0');
	if (strcmp(buf_span(&whole.text).p, expected) != 0)
		print_error("input: %.*s\n", (int)(in.n < 400 ? in.n : 400), in.p);
	assert_string_equal(buf_span(&whole.text).p, expected);
	whole.text.n--;
	for (int stop = 0; stop < 2; stop++) {
		o.stop = stop;
		for (size_t cut = 0; cut <= in.n; cut += in.n < 2000 ? 1 : 97) {
			run(in, o, cut, 0, &other);
			assert_int_equal(other.text.n, whole.text.n);
			assert_memory_equal(
				buf_span(&other.text).p, buf_span(&whole.text).p, whole.text.n);
			buf_done(&other.text);
		}
		for (size_t step = 1; step < 4; step++) {
			run(in, o, 0, step, &other);
			assert_int_equal(other.text.n, whole.text.n);
			assert_memory_equal(
				buf_span(&other.text).p, buf_span(&whole.text).p, whole.text.n);
			buf_done(&other.text);
		}
	}
	buf_done(&whole.text);
}
