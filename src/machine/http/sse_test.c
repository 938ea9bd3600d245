/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/sse.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

struct log {
	struct buf text, raw;
	int stop_after, events, unfinished;
};

/* "name|data" in brackets; an absent part is '-', an event without both nothing at all. */
static bool on_event(void *user, const struct sse_event *ev)
{
	struct log *log = user;

	buf_append(&log->raw, ev->raw);
	log->events++;
	log->unfinished += ev->unfinished;
	if (ev->data.p != NULL || ev->name.p != NULL) {
		buf_append_char(&log->text, '[');
		buf_append(&log->text, ev->name.p != NULL ? ev->name : SPAN("-"));
		buf_append_char(&log->text, '|');
		buf_append(&log->text, ev->data.p != NULL ? ev->data : SPAN("-"));
		buf_append_char(&log->text, ']');
	}
	return log->stop_after == 0 || log->events < log->stop_after;
}

static void log_init(struct log *log)
{
	*log = (struct log){0};
	buf_init(&log->text, 1 << 24);
	buf_init(&log->raw, 1 << 24);
}

static void log_done(struct log *log)
{
	buf_done(&log->text);
	buf_done(&log->raw);
}

/* Feeds an exact copy of each piece, so that a sanitizer sees every read outside it. */
static bool feed(struct sse *s, struct span piece, struct log *log)
{
	char *copy = malloc(piece.n > 0 ? piece.n : 1);
	bool ok;

	assert_non_null(copy);
	if (piece.n > 0)
		memcpy(copy, piece.p, piece.n);
	ok = sse_feed(s, (struct span){copy, piece.n}, on_event, log, NULL);
	free(copy);
	return ok;
}

/* step 0: cut at `cut`; else pieces of `step` bytes. */
static bool run(struct span in, size_t max, size_t cut, size_t step, struct log *log)
{
	struct sse s;
	bool ok = true;

	log_init(log);
	sse_init(&s, max);
	if (step == 0) {
		ok = feed(&s, span_head(in, cut), log) && feed(&s, span_skip(in, cut), log);
	} else {
		for (size_t at = 0; ok && at < in.n; at += step)
			ok = feed(&s, span_head(span_skip(in, at), step), log);
	}
	if (ok)
		ok = sse_end(&s, on_event, log, NULL);
	sse_done(&s);
	return ok;
}

static void same(const struct log *a, const struct log *b)
{
	assert_int_equal(a->events, b->events);
	assert_int_equal(a->text.n, b->text.n);
	assert_memory_equal(buf_span(&a->text).p, buf_span(&b->text).p, a->text.n);
	assert_int_equal(a->raw.n, b->raw.n);
	assert_memory_equal(buf_span(&a->raw).p, buf_span(&b->raw).p, a->raw.n);
}

static void check(struct span in, const char *expected)
{
	struct log whole, other;

	assert_true(run(in, 1 << 20, in.n, 0, &whole));
	buf_append_char(&whole.text, '\0');
	assert_string_equal(buf_span(&whole.text).p, expected);
	whole.text.n--;
	for (size_t cut = 0; cut < in.n; cut++) {
		assert_true(run(in, 1 << 20, cut, 0, &other));
		same(&whole, &other);
		log_done(&other);
	}
	for (size_t step = 1; step < 5; step++) {
		assert_true(run(in, 1 << 20, 0, step, &other));
		same(&whole, &other);
		log_done(&other);
	}
	/* Every byte is in some event's raw part, in order. */
	assert_true(whole.raw.n >= in.n);
	assert_memory_equal(buf_span(&whole.raw).p, in.p, in.n);
	log_done(&whole);
}

static void reads_the_grammar(void **state)
{
	static const struct {
		struct span in;
		const char *expected;
	} rows[] = {
		{SPAN("data: a\n\n"), "[-|a]"},
		{SPAN("data:a\n\ndata:  b\n\n"), "[-|a][-| b]"},
		{SPAN("data: a\r\n\r\ndata: b\r\n\r\n"), "[-|a][-|b]"},
		{SPAN("data: a\r\rdata: b\r\r"), "[-|a][-|b]"},
		{SPAN("data: a\n\rdata: b\r\n\ndata: c\r\r\ndata: d\n\r\n"),
			"[-|a][-|b][-|c][-|d]"},
		{SPAN("event: x\ndata: a\n\n"), "[x|a]"},
		{SPAN("data: a\nevent: x\nevent: y\n\n"), "[y|a]"},
		{SPAN("event: x\n\n"), "[x|-]"},
		{SPAN("event\ndata\n\n"), "[|]"},
		{SPAN("data\ndata\n\n"), "[-|\n]"},
		{SPAN("data: a\ndata: b\r\ndata:c\rdata\n\n"), "[-|a\nb\nc\n]"},
		{SPAN("\xef\xbb\xbf"
		      "data: a\n\ndata: b\n\n"),
			"[-|a][-|b]"},
		{SPAN("\xef\xbb\xbf"
		      "data: a\ndata: b\n\n"),
			"[-|a\nb]"},
		{SPAN("data: a\n\n\xef\xbb\xbf"
		      "data: b\n\n"),
			"[-|a]"},
		{SPAN("\xef\xbb\xbf: c\n\ndata: a\n\n"), "[-|a]"},
		{SPAN(": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\ndata: a\n\n"),
			"[-|a]"},
		{SPAN(":\r\n:x\r\rdata: a\n:y\ndata: b\n\n"), "[-|a\nb]"},
		{SPAN("\n\n\r\n\rdata: a\n\n\n\n"), "[-|a]"},
		{SPAN("id: 1\nretry: bogus\nid: a\0b\nunknown: x\nDATA: no\n data: no\ndatax: "
		      "no\n\n"),
			""},
		{SPAN("data: {\"x\":\"\xe2\x80\xa8\xe2\x80\xa9\xc2\x85\"}   \n\n"),
			"[-|{\"x\":\"\xe2\x80\xa8\xe2\x80\xa9\xc2\x85\"}   ]"},
		{SPAN("data: last"), "[-|last]"},
		{SPAN("data: last\n"), "[-|last]"},
		{SPAN("data: last\r"), "[-|last]"},
		{SPAN("data: last\r\n"), "[-|last]"},
		{SPAN("data: last\r\n\r"), "[-|last]"},
		{SPAN("data: a\n\n: bye"), "[-|a]"},
		{SPAN("data: a\n\ndata: [DONE]\n\ntrailing"), "[-|a][-|[DONE]]"},
		{SPAN("event: message_start\ndata: {}\n\nevent: ping\ndata: {\"type\": "
		      "\"ping\"}\n\n"),
			"[message_start|{}][ping|{\"type\": \"ping\"}]"},
		{SPAN(""), ""},
		{SPAN("\n"), ""},
		{SPAN("\r"), ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(rows[i].in, rows[i].expected);
}

static void keeps_a_nul_in_data(void **state)
{
	struct log log;

	(void)state;
	assert_true(run(SPAN("data: a\0b\n\n"), 100, 0, 1, &log));
	assert_int_equal(log.text.n, 7);
	assert_memory_equal(buf_span(&log.text).p, "[-|a\0b]", 7);
	log_done(&log);
}

static void completes_a_last_event(void **state)
{
	static const struct {
		struct span in, raw;
		int unfinished;
	} rows[] = {
		{SPAN("data: x"), SPAN("data: x\n\n"), 1},
		{SPAN("data: x\n"), SPAN("data: x\n\n"), 1},
		{SPAN("data: x\r"), SPAN("data: x\r\n\n"), 1},
		{SPAN("data: x\r\n"), SPAN("data: x\r\n\n"), 1},
		{SPAN("data: x\n\r"), SPAN("data: x\n\r"), 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct log log;

		assert_true(run(rows[i].in, 7 + 2, 0, 1, &log));
		assert_int_equal(log.raw.n, rows[i].raw.n);
		assert_memory_equal(buf_span(&log.raw).p, rows[i].raw.p, rows[i].raw.n);
		assert_int_equal(log.unfinished, rows[i].unfinished);
		log_done(&log);
	}
}

static void gives_an_event_with_the_read_that_ends_it(void **state)
{
	static const char *const streams[] = {"data: a\n\n", "data: a\r\r"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct sse s;
		struct log log;

		log_init(&log);
		sse_init(&s, 100);
		assert_true(feed(&s, span_of(streams[i]), &log));
		assert_int_equal(log.events, 1);
		assert_int_equal(sse_held_bytes(&s), 0);
		assert_true(feed(&s, SPAN(": c\n"), &log));
		assert_int_equal(log.events, 2);
		assert_int_equal(sse_held_bytes(&s), 0);
		sse_done(&s);
		log_done(&log);
	}
}

static void bounds_an_event(void **state)
{
	/* 9 bytes: "data: a\n\n". */
	struct span in = SPAN("data: a\n\ndata: bb\n\n");
	struct span cr = SPAN("data: a\r\n\rdata: b\r\n\r");
	struct log log;

	(void)state;
	for (size_t step = 1; step <= in.n; step++) {
		assert_false(run(in, 9, 0, step, &log));
		assert_int_equal(log.events, 1);
		log_done(&log);
		assert_true(run(in, 10, 0, step, &log));
		assert_int_equal(log.events, 2);
		log_done(&log);
		assert_true(run(cr, 10, 0, step, &log));
		assert_int_equal(log.events, 2);
		log_done(&log);
		assert_false(run(SPAN("data: 0123456789"), 10, 0, step, &log));
		log_done(&log);
	}
}

static void takes_comments_without_end(void **state)
{
	struct sse s;
	struct log log;

	(void)state;
	log_init(&log);
	sse_init(&s, 64);
	for (int i = 0; i < 100000; i++) {
		assert_true(feed(&s, SPAN(": still there\n"), &log));
		buf_clear(&log.raw);
	}
	assert_int_equal(log.events, 100000);
	assert_true(s.held.cap <= 4096);
	sse_done(&s);
	log_done(&log);
}

static void reads_8_mib_in_small_pieces(void **state)
{
	const size_t n = 8 << 20;
	char *big = malloc(n);
	struct log log;

	(void)state;
	assert_non_null(big);
	memset(big, 'x', n);
	memcpy(big, "data: ", 6);
	big[n - 2] = big[n - 1] = '\n';
	assert_true(run((struct span){big, n}, n, 0, 7, &log));
	assert_int_equal(log.events, 1);
	assert_int_equal(log.text.n, n - 8 + 4);
	log_done(&log);
	assert_false(run((struct span){big, n}, n - 1, 0, 1000, &log));
	assert_int_equal(log.events, 0);
	log_done(&log);
	free(big);
}

static void stops_when_told(void **state)
{
	struct span in = SPAN("data: a\n\ndata: b\n\ndata: c\n\n");

	(void)state;
	for (size_t cut = 0; cut <= in.n; cut++) {
		struct sse s;
		struct log log;

		log_init(&log);
		log.stop_after = 1;
		sse_init(&s, 100);
		assert_true(feed(&s, span_head(in, cut), &log));
		if (log.events == 0)
			assert_true(feed(&s, span_skip(in, cut), &log));
		assert_int_equal(log.events, 1);
		assert_int_equal(sse_held_bytes(&s), 0);
		sse_done(&s);
		log_done(&log);
	}
}

static void is_split_invariant_on_noise(void **state)
{
	static const char *const words[] = {"data: a", "data:", "event: e", ":", "id", "\n", "\r",
		"\r\n", "\n\n", "\r\n\r\n", "\r\r", "\xef\xbb\xbf", "x", "data"};
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct buf in;
		struct log whole, other;

		buf_init(&in, 4096);
		for (int i = 0; i < 12; i++) {
			seed = seed * 1103515245u + 12345u;
			buf_append_cstr(
				&in, words[(seed >> 16) % (sizeof(words) / sizeof(words[0]))]);
		}
		assert_true(run(buf_span(&in), 4000, in.n, 0, &whole));
		for (size_t cut = 0; cut < in.n; cut++) {
			assert_true(run(buf_span(&in), 4000, cut, 0, &other));
			same(&whole, &other);
			log_done(&other);
		}
		assert_true(run(buf_span(&in), 4000, 0, 1, &other));
		same(&whole, &other);
		log_done(&other);
		log_done(&whole);
		buf_done(&in);
	}
}

static bool keep_others(void *user, const struct sse_event *ev)
{
	assert_true(ev->has_others || ev->data.p != NULL);
	if (ev->has_others)
		sse_copy_others(ev->raw, user);
	return true;
}

static void other_lines_can_be_kept(void **state)
{
	const struct span in = SPAN("\xef\xbb\xbfid: 1\r\nevent: a\r\ndata: x\r\nretry:5\r\n\r\n"
				    "data: y\n\nid\rdata\r: words\r\rdatum: z\n\n");
	struct buf out;
	struct sse s;

	buf_init(&out, 1024);
	for (size_t step = 1; step <= in.n; step++) {
		sse_init(&s, 1024);
		for (size_t at = 0; at < in.n; at += step)
			assert_true(sse_feed(
				&s, span_head(span_skip(in, at), step), keep_others, &out, NULL));
		sse_done(&s);
		assert_true(span_is(buf_span(&out), "id: 1\nretry:5\nid\n: words\ndatum: z\n"));
		buf_clear(&out);
	}
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_lines_can_be_kept),
		cmocka_unit_test(reads_the_grammar),
		cmocka_unit_test(keeps_a_nul_in_data),
		cmocka_unit_test(completes_a_last_event),
		cmocka_unit_test(gives_an_event_with_the_read_that_ends_it),
		cmocka_unit_test(bounds_an_event),
		cmocka_unit_test(takes_comments_without_end),
		cmocka_unit_test(reads_8_mib_in_small_pieces),
		cmocka_unit_test(stops_when_told),
		cmocka_unit_test(is_split_invariant_on_noise),
	};

	return cmocka_run_group_tests_name("http/sse", tests, NULL, NULL);
}
