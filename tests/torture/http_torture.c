/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "machine/http/h1.h"
#include "machine/http/sse.h"
#include "torture.h"

/* What came out, in memory that is not asked for. */
struct seen {
	struct http_head *head;
	bool copy_failed;
	int heads, ends, events;
	size_t n;
	char text[4096];
};

static void add(struct seen *s, struct span bytes)
{
	assert_true(s->n + bytes.n < sizeof(s->text));
	if (bytes.n > 0)
		memcpy(s->text + s->n, bytes.p, bytes.n);
	s->n += bytes.n;
}

static bool on_head(void *user, const struct http_head *head)
{
	struct seen *s = user;
	void *tail = NULL;

	s->heads++;
	s->head = http_head_copy(head, 64, &tail);
	if (s->head == NULL)
		s->copy_failed = true;
	else
		assert_non_null(tail);
	return true;
}

static bool on_body(void *user, struct span bytes)
{
	add(user, bytes);
	return true;
}

static bool on_end(void *user)
{
	struct seen *s = user;

	s->ends++;
	return true;
}

static const struct h1_events h1_events = {on_head, on_body, on_end};

struct message {
	enum h1_kind kind;
	size_t piece;
	struct span text;
};

static bool read_message(const void *arg)
{
	const struct message *m = arg;
	struct seen seen = {.n = 0};
	struct span rest = m->text;
	struct err err = {0};
	struct h1 h1;
	bool ok = true;

	h1_init(&h1, m->kind, &h1_events, &seen);
	h1_expect(&h1, HTTP_POST);
	while (ok && rest.n > 0) {
		ssize_t used = h1_feed(&h1, span_head(rest, m->piece), &err);

		ok = used >= 0;
		if (ok)
			rest = span_skip(rest, (size_t)used);
	}
	if (ok) {
		assert_int_equal(seen.heads, 1);
		assert_int_equal(seen.ends, 1);
		assert_true(span_is(span_from(seen.text, seen.n), "hello world"));
		if (seen.head != NULL)
			assert_true(span_is(http_field(seen.head, "x-test"), "yes"));
	} else {
		struct err again = {0};

		assert_int_equal(err.code, ERR_NO_MEMORY);
		assert_int_equal(seen.ends, 0);
		assert_int_equal(h1_feed(&h1, SPAN("G"), &again), -1);
	}
	free(seen.head);
	h1_done(&h1);
	return ok && !seen.copy_failed;
}

static bool on_event(void *user, const struct sse_event *ev)
{
	struct seen *s = user;

	s->events++;
	add(s, ev->data);
	add(s, SPAN("|"));
	return true;
}

static bool read_events(const void *arg)
{
	static const char expected[] = "one|two\nlines|||three|";
	const size_t *piece = arg;
	struct span rest = SPAN("event: a\ndata: one\n\ndata: two\r\ndata: lines\r\n\r\n: wait\n\n"
				"data: three\n");
	struct seen seen = {.n = 0};
	struct err err = {0};
	struct sse sse;
	bool ok = true;

	sse_init(&sse, 1 << 20);
	for (; ok && rest.n > 0; rest = span_skip(rest, *piece))
		ok = sse_feed(&sse, span_head(rest, *piece), on_event, &seen, &err);
	ok = ok && sse_end(&sse, on_event, &seen, &err);
	/* Either way what came out is a beginning of what should have come. */
	assert_true(span_starts(SPAN(expected), span_from(seen.text, seen.n)));
	if (ok)
		assert_int_equal(seen.n, sizeof(expected) - 1);
	if (!ok) {
		assert_int_equal(err.code, ERR_NO_MEMORY);
		assert_false(sse_feed(&sse, SPAN("data: x\n\n"), on_event, &seen, NULL));
	}
	sse_done(&sse);
	return ok;
}

static bool read_big_event(const void *arg)
{
	char line[600];
	struct seen seen = {.n = 0};
	struct err err = {0};
	struct sse sse;
	bool ok = true;

	memset(line, 'x', sizeof(line));
	memcpy(line, "data: ", 6);
	line[sizeof(line) - 1] = '\n';
	sse_init(&sse, 1 << 20);
	/* Joined it is nearly the text that `seen` has room for. */
	for (int i = 0; ok && i < 6; i++)
		ok = sse_feed(&sse, span_from(line, sizeof(line)), on_event, &seen, &err);
	ok = ok && sse_feed(&sse, SPAN("\n"), on_event, &seen, &err);
	assert_int_equal(seen.events, ok ? 1 : 0);
	if (!ok)
		assert_int_equal(err.code, ERR_NO_MEMORY);
	sse_done(&sse);
	return ok;
}

static const struct span request_text =
	SPAN("POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: localhost\r\nX-Test: yes\r\n"
	     "Content-Length: 11\r\n\r\nhello world");
static const struct span response_text =
	SPAN("HTTP/1.1 200 OK\r\nX-Test: yes\r\nTransfer-Encoding: chunked\r\n\r\n"
	     "6\r\nhello \r\n5;x=y\r\nworld\r\n0\r\nTrailer: z\r\n\r\n");

static void messages_survive(void **state)
{
	static const size_t pieces[] = {1, 7, 1000};

	for (int i = 0; i < 3; i++) {
		const struct message request = {H1_REQUEST, pieces[i], request_text};
		const struct message response = {H1_RESPONSE, pieces[i], response_text};

		torture("h1 request", read_message, &request);
		torture("h1 response", read_message, &response);
	}
}

static void events_survive(void **state)
{
	static const size_t pieces[] = {1, 5, 1000};

	for (int i = 0; i < 3; i++)
		torture("sse", read_events, &pieces[i]);
	torture("sse, an event of many lines", read_big_event, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_survive),
		cmocka_unit_test(events_survive),
	};

	return cmocka_run_group_tests_name("torture/http", tests, NULL, NULL);
}
