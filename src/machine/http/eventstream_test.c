/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/eventstream.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <zlib.h>
#include "machine/base/text.h"

/* Made by AWS's botocore: a messageStart and a throttlingException. */
#define START                                                                                      \
	"000000760000005296d5fade0b3a6576656e742d7479706507000c6d65737361676553746172740d3a636f"   \
	"6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74797065"   \
	"0700056576656e747b22726f6c65223a22617373697374616e74227d6fa8c599"
#define THROTTLED                                                                                  \
	"0000008800000061de0175f40f3a657863657074696f6e2d747970650700137468726f74746c696e674578"   \
	"63657074696f6e0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d"   \
	"6573736167652d74797065070009657863657074696f6e7b226d657373616765223a22736c6f7720646f77"   \
	"6e227d832ee072"

struct log {
	struct buf text;
	int events, stop_after;
	struct eventstream *done; /* ended from inside the callback */
};

/* "kind name|message|payload" in brackets. */
static bool on_event(void *user, const struct eventstream_event *ev)
{
	static const char *const kinds[] = {"event", "exception", "error"};
	struct log *log = user;

	buf_printf(&log->text, "[%s %.*s|%.*s|", kinds[ev->kind], SPAN_ARG(ev->name),
		SPAN_ARG(ev->message));
	buf_append(&log->text, ev->payload);
	buf_append_char(&log->text, ']');
	if (log->done != NULL)
		eventstream_done(log->done);
	return ++log->events != log->stop_after;
}

static void log_init(struct log *log)
{
	*log = (struct log){0};
	buf_init(&log->text, 1 << 20);
}

/* Feeds an exact copy of each piece, so that a sanitizer sees every read outside it. */
static bool feed(struct eventstream *s, struct span piece, struct log *log, struct err *err)
{
	char *copy = malloc(piece.n > 0 ? piece.n : 1);
	bool ok;

	assert_non_null(copy);
	if (piece.n > 0)
		memcpy(copy, piece.p, piece.n);
	ok = eventstream_feed(s, (struct span){copy, piece.n}, on_event, log, err);
	free(copy);
	return ok;
}

static struct span unhex(const char *hex, char *out)
{
	size_t n = strlen(hex) / 2;

	assert_true(text_unhex(out, n, span_of(hex)));
	return (struct span){out, n};
}

static const char three[] = "[event messageStart||{\"role\":\"assistant\"}]"
			    "[exception throttlingException||{\"message\":\"slow down\"}]"
			    "[error internal|it broke|]"
			    "[event empty||]";

static void write_three(struct buf *b)
{
	buf_init(b, 1 << 20);
	eventstream_write(
		b, EVENTSTREAM_EVENT, SPAN("messageStart"), SPAN("{\"role\":\"assistant\"}"));
	eventstream_write(b, EVENTSTREAM_EXCEPTION, SPAN("throttlingException"),
		SPAN("{\"message\":\"slow down\"}"));
	eventstream_write(b, EVENTSTREAM_ERROR, SPAN("internal"), SPAN("it broke"));
	assert_true(eventstream_write(b, EVENTSTREAM_EVENT, SPAN("empty"), (struct span){NULL, 0}));
}

static void frames_are_as_botocore_makes_them(void **state)
{
	char mem[512];
	struct span start = unhex(START, mem), throttled = unhex(THROTTLED, mem + 256);
	struct buf b;

	write_three(&b);
	assert_true(span_starts(buf_span(&b), start));
	assert_true(span_starts(span_skip(buf_span(&b), start.n), throttled));
	buf_done(&b);
}

static void every_cut_gives_the_same_events(void **state)
{
	struct eventstream s;
	struct log log;
	struct buf b;
	struct span all;

	write_three(&b);
	all = buf_span(&b);
	for (size_t from = 0; from <= all.n; from++)
		for (size_t to = from; to <= all.n; to += 1 + (to - from) / 7) {
			log_init(&log);
			eventstream_init(&s, 4096);
			assert_true(feed(&s, span_head(all, from), &log, NULL));
			assert_true(
				feed(&s, span_head(span_skip(all, from), to - from), &log, NULL));
			assert_true(feed(&s, span_skip(all, to), &log, NULL));
			assert_true(eventstream_end(&s, NULL));
			assert_int_equal(eventstream_held_bytes(&s), 0);
			assert_true(span_is(buf_span(&log.text), three));
			eventstream_done(&s);
			buf_done(&log.text);
		}
	for (size_t step = 1; step < 40; step++) {
		log_init(&log);
		eventstream_init(&s, 4096);
		for (size_t at = 0; at < all.n; at += step)
			assert_true(feed(&s, span_head(span_skip(all, at), step), &log, NULL));
		assert_true(eventstream_end(&s, NULL));
		assert_true(span_is(buf_span(&log.text), three));
		eventstream_done(&s);
		buf_done(&log.text);
	}
	buf_done(&b);
}

/* Every byte counts: with any of them changed nothing false comes out. */
static void every_changed_byte_is_noticed(void **state)
{
	char mem[256];
	struct span frame = unhex(START, mem);

	for (size_t i = 0; i < frame.n; i++)
		for (size_t cut = 0; cut < frame.n; cut += 17) {
			struct eventstream s;
			struct err err = {0};
			struct log log;
			bool ok;

			log_init(&log);
			eventstream_init(&s, 4096);
			mem[i] ^= 0x40;
			ok = feed(&s, span_head(frame, cut), &log, &err) &&
			     feed(&s, span_skip(frame, cut), &log, &err);
			mem[i] ^= 0x40;
			assert_false(ok);
			assert_int_equal(err.code, ERR_UPSTREAM_INVALID);
			assert_int_equal(log.events, 0);
			/* What follows a broken frame is not read either. */
			assert_false(feed(&s, frame, &log, NULL));
			assert_false(eventstream_end(&s, NULL));
			eventstream_done(&s);
			buf_done(&log.text);
		}
}

/* A prelude with right checksum. */
static void put_prelude(struct buf *b, uint32_t total, uint32_t headers)
{
	unsigned char p[12] = {(unsigned char)(total >> 24), (unsigned char)(total >> 16),
		(unsigned char)(total >> 8), (unsigned char)total, (unsigned char)(headers >> 24),
		(unsigned char)(headers >> 16), (unsigned char)(headers >> 8),
		(unsigned char)headers};
	uint32_t crc = (uint32_t)crc32(0, p, 8);

	for (int i = 0; i < 4; i++)
		p[8 + i] = (unsigned char)(crc >> (24 - 8 * i));
	buf_append(b, (struct span){(const char *)p, 12});
}

static void put_crc(struct buf *b, size_t at)
{
	uint32_t crc = (uint32_t)crc32(
		0, (const unsigned char *)buf_span(b).p + at, (unsigned)(b->n - at));

	for (int i = 0; i < 4; i++)
		buf_append_char(b, (char)(crc >> (24 - 8 * i)));
}

static void impossible_lengths_are_refused_at_once(void **state)
{
	static const uint32_t rows[][2] = {{0, 0}, {15, 0}, {16, 1}, {100, 85}, {100, 0xffffffff},
		{0xffffffff, 0}, {0xffffffff, 0xffffffff}, {4097, 0}, {0x80000000, 0x7ffffff0}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int slow = 0; slow < 2; slow++) {
			struct eventstream s;
			struct err err = {0};
			struct log log;
			struct buf b;
			bool ok = true;

			log_init(&log);
			buf_init(&b, 64);
			put_prelude(&b, rows[i][0], rows[i][1]);
			eventstream_init(&s, 4096);
			for (size_t at = 0; ok && at < 12; at += slow ? 1 : 12)
				ok = feed(&s, span_head(span_skip(buf_span(&b), at), slow ? 1 : 12),
					&log, &err);
			assert_false(ok);
			assert_int_equal(err.code, ERR_UPSTREAM_INVALID);
			assert_int_equal(eventstream_held_bytes(&s), 0);
			eventstream_done(&s);
			buf_done(&b);
			buf_done(&log.text);
		}
}

static void a_cut_stream_is_no_whole_one(void **state)
{
	char mem[256];
	struct span frame = unhex(START, mem);

	for (size_t n = 1; n < frame.n; n++) {
		struct eventstream s;
		struct err err = {0};
		struct log log;

		log_init(&log);
		eventstream_init(&s, 4096);
		assert_true(feed(&s, span_head(frame, n), &log, &err));
		assert_false(eventstream_end(&s, &err));
		assert_int_equal(err.code, ERR_UPSTREAM_INTERRUPTED);
		assert_int_equal(log.events, 0);
		eventstream_done(&s);
		buf_done(&log.text);
	}
}

static void frame_of(struct buf *b, struct span headers)
{
	buf_init(b, 1 << 20);
	put_prelude(b, (uint32_t)(16 + headers.n), (uint32_t)headers.n);
	buf_append(b, headers);
	put_crc(b, 0);
}

#define HEADERS                                                                                    \
	"\001a\000"                                                                                \
	"\001b\001"                                                                                \
	"\001c\002\377"                                                                            \
	"\001d\003\200\000"                                                                        \
	"\001e\004\000\001\000\000"                                                                \
	"\001f\005\377\377\377\377\377\377\377\376"                                                \
	"\001g\006\000\002\000\001"                                                                \
	"\001h\007\000\000"                                                                        \
	"\001i\010\000\000\001\200\000\000\000\000"                                                \
	"\001j\0110123456789abcdef"

static bool headers_hold(void *user, const struct eventstream_event *ev)
{
	static const int64_t numbers[] = {
		0, 0, -1, -32768, 65536, -2, 0, 0, INT64_C(0x18000000000), 0};
	static const size_t bytes[] = {0, 0, 0, 0, 0, 0, 2, 0, 0, 16};
	struct eventstream_header h;
	struct span rest = ev->headers;
	int n = 0;

	while (eventstream_next_header(&rest, &h)) {
		assert_int_equal(h.name.p[0], 'a' + n);
		assert_int_equal(h.type, n);
		assert_true(h.number == numbers[n]);
		assert_int_equal(h.bytes.n, bytes[n]);
		n++;
	}
	assert_int_equal(rest.n, 0);
	assert_int_equal(n, EVENTSTREAM_TYPE_COUNT);
	assert_int_equal(ev->kind, EVENTSTREAM_EVENT);
	*(bool *)user = true;
	return true;
}

static void headers_of_every_type_are_read(void **state)
{
	struct eventstream s;
	struct buf b;
	bool seen = false;

	frame_of(&b, SPAN(HEADERS));
	eventstream_init(&s, 4096);
	assert_true(eventstream_feed(&s, buf_span(&b), headers_hold, &seen, NULL));
	assert_true(seen);
	eventstream_done(&s);
	buf_done(&b);
}

static void broken_headers_break_the_frame(void **state)
{
	const struct span rows[] = {SPAN("\000"), SPAN("\005ab"), SPAN("\001a"), SPAN("\001a\012"),
		SPAN("\001a\007\000\005abc"), SPAN("\001a\011short"), SPAN("\001a\005\000"),
		SPAN("\001a\000\001a\001"), SPAN("\001a\000\001b\000\001a\000"),
		SPAN("\001a\007\377\377")};
	struct eventstream s;
	struct log log;
	struct buf b;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = {0};

		frame_of(&b, rows[i]);
		log_init(&log);
		eventstream_init(&s, 4096);
		assert_false(feed(&s, buf_span(&b), &log, &err));
		assert_int_equal(err.code, ERR_UPSTREAM_INVALID);
		assert_int_equal(log.events, 0);
		eventstream_done(&s);
		buf_done(&log.text);
		buf_done(&b);
	}
}

static void too_many_headers_break_the_frame(void **state)
{
	struct eventstream s;
	struct log log;
	struct buf b, headers;

	buf_init(&headers, 4096);
	for (int i = 0; i < 65; i++)
		buf_printf(&headers, "\002%c%c%c", 'a' + i / 26, 'a' + i % 26, 1);
	frame_of(&b, buf_span(&headers));
	log_init(&log);
	eventstream_init(&s, 4096);
	assert_false(feed(&s, buf_span(&b), &log, NULL));
	eventstream_done(&s);
	buf_done(&log.text);
	buf_done(&b);
	buf_done(&headers);
}

/* The callback may end the reader, and with false nothing more is touched. */
static void a_callback_may_stop_it(void **state)
{
	struct buf b;

	write_three(&b);
	for (size_t cut = 0; cut < 118; cut += 117) {
		struct eventstream s;
		struct log log;

		log_init(&log);
		log.stop_after = 1;
		log.done = &s;
		eventstream_init(&s, 4096);
		assert_true(feed(&s, span_head(buf_span(&b), cut), &log, NULL));
		assert_true(feed(&s, span_skip(buf_span(&b), cut), &log, NULL));
		assert_int_equal(log.events, 1);
		buf_done(&log.text);
	}
	buf_done(&b);
}

static void what_does_not_fit_is_not_written(void **state)
{
	static char name[70000];
	struct buf b;

	memset(name, 'x', sizeof(name));
	buf_init(&b, 1 << 20);
	assert_false(eventstream_write(
		&b, EVENTSTREAM_EVENT, (struct span){name, sizeof(name)}, (struct span){NULL, 0}));
	buf_done(&b);
	buf_init(&b, 32);
	assert_false(eventstream_write(&b, EVENTSTREAM_EVENT, SPAN("x"), (struct span){NULL, 0}));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_as_botocore_makes_them),
		cmocka_unit_test(every_cut_gives_the_same_events),
		cmocka_unit_test(every_changed_byte_is_noticed),
		cmocka_unit_test(impossible_lengths_are_refused_at_once),
		cmocka_unit_test(a_cut_stream_is_no_whole_one),
		cmocka_unit_test(headers_of_every_type_are_read),
		cmocka_unit_test(broken_headers_break_the_frame),
		cmocka_unit_test(too_many_headers_break_the_frame),
		cmocka_unit_test(a_callback_may_stop_it),
		cmocka_unit_test(what_does_not_fit_is_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
