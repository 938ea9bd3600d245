/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * h1_check - what holds for every input of the HTTP/1.1 reader, requests and responses.
 *
 * The first byte says how the rest is cut (0: byte by byte), the second whether a response answers
 * HEAD. However it is cut, the same comes out; and what is accepted keeps the promises of h1.h.
 */
#include <assert.h>
#include <stdlib.h>
#include "machine/http/h1.h"

struct transcript {
	struct buf text;
	enum h1_kind kind;
	bool in_body, ended;
};

static void assert_inside(struct span part, struct span whole)
{
	assert(part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void assert_head(const struct http_head *h, enum h1_kind kind)
{
	assert(h->n >= 0 && h->n <= HTTP_MAX_FIELDS && h->text.n <= HTTP_MAX_HEAD_BYTES);
	assert(h->minor == 0 || h->minor == 1);
	for (int i = 0; i < h->n; i++) {
		struct span value = h->fields[i].value;

		assert_inside(h->fields[i].name, h->text);
		assert_inside(value, h->text);
		assert(http_is_token(h->fields[i].name) && http_is_value(value));
		assert(span_eq(span_trim(value), value) && value.n <= HTTP_MAX_VALUE_BYTES);
	}
	/* One framing, said once. */
	assert(!h->chunked || h->content_length < 0);
	assert(http_field_count(h, "content-length") == (h->content_length >= 0));
	assert(http_field_count(h, "transfer-encoding") == h->chunked);
	assert(!h->chunked || h->minor == 1);
	if (kind == H1_RESPONSE) {
		assert(h->status >= 200 && h->status <= 999);
		return;
	}
	assert(h->method >= 0 && h->method < HTTP_METHOD_COUNT);
	assert(http_is_target(h->target) && h->target.n <= HTTP_MAX_TARGET_BYTES);
	assert_inside(h->target, h->text);
	assert_inside(h->path, h->target);
	assert_inside(h->query, h->target);
	assert(http_field_count(h, "host") == 1 || h->minor == 0);
	if (h->method != HTTP_POST && h->method != HTTP_PUT && h->method != HTTP_PATCH)
		assert(!h->chunked && h->content_length <= 0);
}

static bool on_head(void *user, const struct http_head *h)
{
	struct transcript *t = user;
	void *tail;
	struct http_head *copy = http_head_copy(h, 8, &tail);

	assert_head(h, t->kind);
	assert(!t->in_body && copy != NULL && copy->n == h->n);
	t->in_body = true;
	buf_printf(&t->text, "head %d %d %d %d%d%d %lld", (int)h->method, h->status, h->minor,
		h->keep_alive, h->chunked, h->expect_continue, (long long)h->content_length);
	buf_append(&t->text, h->target);
	for (int i = 0; i < h->n; i++) {
		buf_append_char(&t->text, '\n');
		buf_append(&t->text, copy->fields[i].name);
		buf_append_char(&t->text, ':');
		buf_append(&t->text, copy->fields[i].value);
		assert(span_eq(copy->fields[i].value, h->fields[i].value));
	}
	buf_append_cstr(&t->text, "\nbody ");
	free(copy);
	return true;
}

static bool on_body(void *user, struct span bytes)
{
	struct transcript *t = user;

	assert(t->in_body && bytes.n > 0);
	buf_append(&t->text, bytes);
	return true;
}

static bool on_end(void *user)
{
	struct transcript *t = user;

	assert(t->in_body);
	t->in_body = false;
	t->ended = true;
	buf_append_cstr(&t->text, "\nend\n");
	return true;
}

/* A source of piece sizes that depends on the seed alone. */
static size_t next_piece(uint32_t *dice)
{
	if (*dice == 0)
		return 1;
	*dice = *dice * 1664525u + 1013904223u;
	return 1 + (*dice >> 24) % 23;
}

/* One connection: messages one behind the other until the bytes end or make no sense. */
static void read_all(
	struct transcript *t, struct span in, size_t whole, uint32_t dice, bool is_head)
{
	static const struct h1_events events = {on_head, on_body, on_end};
	struct h1 h1;
	bool failed = false;

	h1_init(&h1, t->kind, &events, t);
	h1_expect(&h1, is_head ? HTTP_HEAD : HTTP_POST);
	while (in.n > 0 && !failed) {
		size_t n = whole > 0 ? whole : next_piece(&dice);
		struct span piece = span_head(in, n);
		struct err err = {0};
		ssize_t used;

		t->ended = false;
		used = h1_feed(&h1, piece, &err);
		failed = used < 0;
		if (failed) {
			assert(err.code != ERR_OK && err.code != ERR_NO_MEMORY &&
				err.text[0] != '\0');
			assert(t->kind == H1_REQUEST || err.code == ERR_UPSTREAM_INVALID);
			buf_printf(&t->text, "\nfail %d %s\n", (int)err.code, err.text);
			continue;
		}
		assert((size_t)used <= piece.n);
		/* All of it, unless a message ended there. */
		assert((size_t)used == piece.n || t->ended);
		assert(h1_in_body(&h1) == t->in_body);
		in = span_skip(in, (size_t)used);
		if (t->ended)
			h1_next(&h1);
	}
	if (!failed)
		buf_printf(
			&t->text, "\neof %d%d %d\n", h1_is_idle(&h1), h1_in_head(&h1), h1_eof(&h1));
	h1_done(&h1);
}

static void check(enum h1_kind kind, const uint8_t *data, size_t size)
{
	struct transcript once = {.kind = kind}, cut = {.kind = kind};
	struct span in;

	if (size < 3 || size > 65536)
		return;
	in = span_from(data + 2, size - 2);
	buf_init(&once.text, 4 << 20);
	buf_init(&cut.text, 4 << 20);
	read_all(&once, in, in.n, 0, data[1] & 1);
	read_all(&cut, in, 0, data[0], data[1] & 1);
	assert(span_eq(buf_span(&once.text), buf_span(&cut.text)));
	buf_done(&once.text);
	buf_done(&cut.text);
}
