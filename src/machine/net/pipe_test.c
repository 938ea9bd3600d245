/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/pipe.h"
#include "machine/net/probe_test.h"

static struct probe a, b;

static void open_ends(size_t max_read_bytes)
{
	struct stream *ends[2];

	assert_true(pipe_open(loop, max_read_bytes, ends));
	probe_init(&a, ends[0]);
	probe_init(&b, ends[1]);
}

static void close_ends(void)
{
	stream_close(a.s);
	stream_close(b.s);
	probe_done(&a);
	probe_done(&b);
}

static void one_read_a_write(void **state)
{
	struct span v[3] = {SPAN("one"), SPAN(""), SPAN("two")};

	open_ends(0);
	probe_resume(&b);
	assert_true(stream_write(a.s, v, 3));
	assert_true(probe_write(&a, SPAN("three")));
	assert_int_equal(stream_pending(a.s), 11);
	WAIT(a.drains == 1);
	assert_int_equal(b.reads, 2);
	assert_true(span_is(buf_span(&b.got), "onetwothree"));
	assert_int_equal(stream_pending(a.s), 0);
	close_ends();
}

static void reads_are_cut_at_the_maximum(void **state)
{
	open_ends(2);
	probe_resume(&b);
	assert_true(probe_write(&a, SPAN("12345")));
	WAIT(a.drains == 1);
	assert_int_equal(b.reads, 3);
	assert_int_equal(b.largest_read, 2);
	assert_true(span_is(buf_span(&b.got), "12345"));
	close_ends();
}

static void pause_p(struct probe *p)
{
	stream_pause(p->s);
}

static void a_pause_in_a_read_is_obeyed_at_once(void **state)
{
	open_ends(1);
	b.on_read = pause_p;
	probe_resume(&b);
	assert_true(probe_write(&a, SPAN("xyz")));
	probe_turns();
	assert_int_equal(b.reads, 1);
	assert_int_equal(stream_pending(a.s), 2);
	assert_int_equal(a.drains, 0);
	b.on_read = NULL;
	probe_resume(&b);
	WAIT(a.drains == 1);
	assert_true(span_is(buf_span(&b.got), "xyz"));
	close_ends();
}

static void a_close_comes_behind_what_was_written(void **state)
{
	open_ends(0);
	assert_true(probe_write(&a, SPAN("last words")));
	probe_close(&a);
	probe_turns();
	assert_int_equal(b.ends, 0);
	probe_resume(&b);
	WAIT(b.ends == 1);
	assert_true(span_is(buf_span(&b.got), "last words"));
	assert_int_equal(b.end.code, ERR_OK);
	/* Like a socket whose peer lingers: taken and dropped. */
	assert_true(probe_write(&b, SPAN("too late")));
	assert_int_equal(stream_pending(b.s), 0);
	close_ends();
}

static void a_reset_drops_what_was_written_and_says_so(void **state)
{
	open_ends(0);
	assert_true(probe_write(&a, SPAN("lost")));
	assert_true(probe_write(&b, SPAN("lost too")));
	probe_reset(&a);
	assert_false(probe_write(&b, SPAN("x")));
	WAIT(b.ends == 1);
	assert_int_equal(b.got.n, 0);
	assert_int_equal(b.end.code, ERR_IO);
	assert_true(b.s->broken);
	assert_int_equal(b.drains, 0);
	close_ends();
}

static void close_p(struct probe *p)
{
	stream_close(p->s);
	p->s = NULL;
}

static void reset_both(struct probe *p)
{
	stream_reset(a.s);
	stream_reset(b.s);
	a.s = b.s = NULL;
	/* The bytes stay valid during the call. */
	assert_true(buf_append(&p->got, SPAN("!")));
}

static void an_owner_may_close_in_any_callback(void **state)
{
	open_ends(1);
	b.on_read = close_p;
	probe_resume(&b);
	assert_true(probe_write(&a, SPAN("xy")));
	probe_resume(&a);
	WAIT(a.ends == 1);
	assert_int_equal(b.reads, 1);
	close_ends();

	open_ends(0);
	b.on_end = close_p;
	probe_resume(&b);
	probe_close(&a);
	WAIT(b.s == NULL);
	close_ends();

	open_ends(0);
	a.on_drain = close_p;
	probe_resume(&b);
	assert_true(probe_write(&a, SPAN("xy")));
	WAIT(a.s == NULL && b.ends == 1);
	close_ends();

	open_ends(1);
	b.on_read = reset_both;
	probe_resume(&b);
	assert_true(probe_write(&a, SPAN("xy")));
	WAIT(b.s == NULL);
	probe_turns();
	close_ends();
}

static void a_write_past_the_bound_fails_and_is_reported_later(void **state)
{
	size_t n = STREAM_MAX_PENDING_BYTES / 2 + 1;
	char *bytes = calloc(1, n);

	assert_non_null(bytes);
	open_ends(0);
	assert_true(probe_write(&a, span_from(bytes, n)));
	assert_false(probe_write(&a, span_from(bytes, n)));
	assert_true(a.s->broken);
	assert_int_equal(a.ends, 0);
	WAIT(a.ends == 1);
	assert_int_equal(a.end.code, ERR_IO);
	close_ends();
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROBE_TEST(one_read_a_write),
		PROBE_TEST(reads_are_cut_at_the_maximum),
		PROBE_TEST(a_pause_in_a_read_is_obeyed_at_once),
		PROBE_TEST(a_close_comes_behind_what_was_written),
		PROBE_TEST(a_reset_drops_what_was_written_and_says_so),
		PROBE_TEST(an_owner_may_close_in_any_callback),
		PROBE_TEST(a_write_past_the_bound_fails_and_is_reported_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
