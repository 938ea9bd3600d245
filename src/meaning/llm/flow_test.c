/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/flow.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "meaning/llm/message.h"
#include "meaning/llm/names.h"

/* The events in short: "[text" opens, "'hi'" is a delta, "]" closes. */
static bool note(void *user, const struct llm_event *ev)
{
	static const char *const kinds[] = {
		"text", "refusal", "media", "think", "call", "result", "search", "native"};
	struct buf *b = user;

	switch (ev->kind) {
	case LLM_EVENT_START:
		return buf_append_cstr(b, "start ");
	case LLM_EVENT_BLOCK:
		return buf_printf(b, "[%d:%s%s%.*s ", ev->index, kinds[ev->block],
			ev->name.n > 0 ? "=" : "", SPAN_ARG(ev->name));
	case LLM_EVENT_DELTA:
		return buf_printf(b, "'%.*s' ", SPAN_ARG(ev->text));
	case LLM_EVENT_STATE:
		return buf_printf(b, "state(%.*s) ", SPAN_ARG(ev->state->data));
	case LLM_EVENT_CITATION:
		return buf_printf(b, "cite(%.*s) ", SPAN_ARG(ev->citation->url));
	case LLM_EVENT_LOGPROBS:
		return buf_printf(b, "logprobs(%zu) ", yyjson_arr_size(ev->native));
	case LLM_EVENT_BLOCK_END:
		return buf_append_cstr(b, "] ");
	case LLM_EVENT_USAGE:
		return buf_append_cstr(b, "usage ");
	case LLM_EVENT_STOP:
		return buf_printf(b, "stop%d ", ev->stop);
	case LLM_EVENT_END:
		return buf_append_cstr(b, "end");
	case LLM_EVENT_PING:
		return buf_append_cstr(b, "ping ");
	}
	return false;
}

struct fixture {
	struct arena arena;
	struct buf seen;
	struct err err;
	struct flow f;
};

static const struct span none = {NULL, 0};

static void set_up(struct fixture *x, const struct llm_request *q)
{
	*x = (struct fixture){0};
	arena_init(&x->arena, 1 << 20);
	buf_init(&x->seen, 1 << 20);
	x->f = (struct flow){.arena = &x->arena,
		.request = q,
		.sink = note,
		.user = &x->seen,
		.max_held_bytes = 1000,
		.err = &x->err};
	flow_init(&x->f);
}

static void tear_down(struct fixture *x, const char *want)
{
	buf_append_char(&x->seen, '\0');
	assert_string_equal(buf_span(&x->seen).p, want);
	flow_done(&x->f);
	buf_done(&x->seen);
	arena_done(&x->arena);
}

static void kinds_take_turns(void **state)
{
	struct fixture x;

	set_up(&x, NULL);
	flow_thinking(&x.f, SPAN("hm"));
	flow_state(
		&x.f, &(struct llm_state){.maker = LLM_MAKER_ANTHROPIC, .data = SPAN("sig")}, true);
	flow_text(&x.f, SPAN(""));
	flow_text(&x.f, SPAN("a"));
	flow_text(&x.f, SPAN("b"));
	flow_citation(&x.f, &(struct llm_citation){.url = SPAN("u")});
	flow_stop(&x.f, LLM_STOP_END, none, none);
	flow_end(&x.f);
	tear_down(&x, "start [0:think 'hm' state(sig) ] [1:text 'a' 'b' cite(u) ] stop0 end");
}

static void calls_one_after_the_other(void **state)
{
	struct fixture x;

	set_up(&x, NULL);
	flow_text(&x.f, SPAN("a"));
	flow_call_start(&x.f, 0, SPAN("c0"), SPAN("f"), false);
	flow_call_args(&x.f, 0, SPAN("{1"));
	flow_call_start(&x.f, 1, SPAN("c1"), SPAN("g"), false);
	flow_call_args(&x.f, 1, SPAN("{2"));
	flow_call_args(&x.f, 0, SPAN("}"));
	flow_call_args(&x.f, 1, SPAN("}"));
	flow_usage(&x.f, &(struct llm_usage){.present = true});
	flow_stop(&x.f, LLM_STOP_END, none, none); /* corrected: there were calls */
	flow_end(&x.f);
	tear_down(&x, "start [0:text 'a' ] [1:call=f '{1' '}' usage ] [2:call=g '{2}' ] stop4 end");
}

static void late_names_and_no_arguments(void **state)
{
	struct fixture x;

	set_up(&x, NULL);
	flow_call_args(&x.f, 7, SPAN("{}"));
	flow_call_start(&x.f, 7, none, SPAN("f"), false);
	flow_call_end(&x.f, 7);
	flow_call_start(&x.f, 8, none, SPAN("f"), false);
	flow_call_end(&x.f, 8);
	flow_call_start(&x.f, 9, none, none, false); /* never anything: no call */
	flow_stop(&x.f, LLM_STOP_TOOL, none, none);
	assert_true(flow_end(&x.f));
	tear_down(&x, "start [0:call=f '{}' ] [1:call=f '{}' ] stop4 end");
}

static bool keep_id(void *user, const struct llm_event *ev)
{
	struct buf *b = user;

	if (ev->kind == LLM_EVENT_BLOCK)
		buf_printf(b, "%.*s ", SPAN_ARG(ev->call_id));
	return true;
}

static void ids_are_made_and_never_twice(void **state)
{
	struct span first, second, third, rest;
	struct fixture x;

	set_up(&x, NULL);
	x.f.sink = keep_id;
	flow_call_start(&x.f, 0, none, SPAN("f"), false);
	flow_call_end(&x.f, 0);
	flow_call_start(&x.f, 1, SPAN("same"), SPAN("f"), false);
	flow_call_end(&x.f, 1);
	flow_call_start(&x.f, 2, SPAN("same"), SPAN("f"), false);
	flow_end(&x.f);
	rest = buf_span(&x.seen);
	first = span_cut(&rest, ' ');
	second = span_cut(&rest, ' ');
	third = span_cut(&rest, ' ');
	assert_true(span_starts(first, SPAN("call_")) && first.n == 29);
	assert_true(span_is(second, "same"));
	assert_true(span_starts(third, SPAN("call_")));
	assert_false(span_eq(first, third));
	buf_clear(&x.seen);
	tear_down(&x, "");
}

static void the_schema_tool_is_text(void **state)
{
	struct fixture x;

	set_up(&x, NULL);
	x.f.schema_tool = SPAN("respond_json");
	flow_call_start(&x.f, 0, SPAN("c"), SPAN("respond_json"), false);
	flow_call_args(&x.f, 0, SPAN("{\"a\":"));
	flow_call_args(&x.f, 0, SPAN("1}"));
	flow_stop(&x.f, LLM_STOP_TOOL, none, none);
	flow_end(&x.f);
	tear_down(&x, "start [0:text '{\"a\":' '1}' ] stop0 end");
}

static void what_was_wrapped_is_unwrapped(void **state)
{
	struct fixture x;
	struct llm_request *q;
	struct arena a;

	arena_init(&a, 1 << 16);
	q = llm_request_new(&a);
	llm_add_tool(&a, q, LLM_TOOL_CUSTOM)->name = SPAN("shell");
	llm_add_tool(&a, q, LLM_TOOL_FUNCTION)->name = SPAN("a name with blanks");
	set_up(&x, q);
	flow_call_start(&x.f, 0, SPAN("c"), SPAN("shell"), false);
	flow_call_args(&x.f, 0, SPAN("{\"input\":\"ls "));
	flow_call_args(&x.f, 0, SPAN("-l\"}"));
	flow_call_start(&x.f, 1, SPAN("d"),
		llm_fit_name(&a, SPAN("a name with blanks"), LLM_NAME_MAX), false);
	flow_call_args(&x.f, 1, SPAN("{}"));
	flow_end(&x.f);
	tear_down(&x, "start [0:call=shell 'ls -l' ] [1:call=a name with blanks '{}' ] stop4 end");
	arena_done(&a);
}

static void text_closes_a_call_for_good(void **state)
{
	struct fixture x;

	set_up(&x, NULL);
	flow_call_start(&x.f, 0, SPAN("c"), SPAN("f"), false);
	flow_call_args(&x.f, 0, SPAN("{}"));
	flow_text(&x.f, SPAN("after"));
	assert_false(flow_call_args(&x.f, 0, SPAN("x")));
	assert_int_equal(x.err.code, ERR_UPSTREAM_INVALID);
	tear_down(&x, "start [0:call=f '{}' ] [1:text 'after' ");
}

static void what_waits_is_bounded(void **state)
{
	char big[1001] = {0};
	struct fixture x;

	set_up(&x, NULL);
	flow_call_start(&x.f, 0, SPAN("c"), SPAN("f"), false);
	flow_call_start(&x.f, 1, SPAN("d"), SPAN("g"), false);
	assert_false(flow_call_args(&x.f, 1, span_from(big, sizeof(big))));
	assert_int_equal(x.err.code, ERR_UPSTREAM_INVALID);
	for (int64_t i = 2; i < FLOW_MAX_CALLS; i++)
		assert_true(flow_call_start(&x.f, i, none, SPAN("f"), false));
	assert_false(flow_call_start(&x.f, FLOW_MAX_CALLS, none, SPAN("f"), false));
	buf_clear(&x.seen);
	tear_down(&x, "");
}

static bool gather(void *user, const struct llm_event *ev)
{
	return message_add(user, ev);
}

static void a_message_gathers(void **state)
{
	struct llm_message m;
	struct fixture x;

	set_up(&x, NULL);
	message_init(&m, &x.arena, 20);
	x.f.sink = gather;
	x.f.user = &m;
	flow_start(&x.f, SPAN("id1"), SPAN("m"), 5);
	flow_text(&x.f, SPAN("ab"));
	flow_text(&x.f, SPAN("cd"));
	flow_call_start(&x.f, 0, SPAN("c"), SPAN("f"), false);
	flow_call_state(
		&x.f, 0, &(struct llm_state){.maker = LLM_MAKER_GEMINI, .data = SPAN("s1")});
	flow_call_state(
		&x.f, 0, &(struct llm_state){.maker = LLM_MAKER_GEMINI, .data = SPAN("s2")});
	flow_usage(&x.f, &(struct llm_usage){.present = true, .output = 3});
	flow_stop(&x.f, LLM_STOP_SEQUENCE, SPAN("X"), SPAN("native"));
	assert_true(flow_end(&x.f));
	assert_true(span_is(m.id, "id1"));
	assert_true(span_is(buf_span(&m.parts->text), "abcd"));
	assert_true(m.parts->ended);
	assert_true(span_is(m.parts->next->name, "f"));
	assert_true(span_is(buf_span(&m.parts->next->text), "{}"));
	assert_true(span_is(m.parts->next->state.data, "s1s2"));
	assert_int_equal(m.usage.output, 3);
	assert_int_equal(m.stop, LLM_STOP_SEQUENCE);
	assert_true(span_is(m.stop_sequence, "X") && span_is(m.native_stop, "native"));
	assert_true(m.stopped && m.ended);
	message_done(&m);
	tear_down(&x, "");
}

static void a_message_is_bounded(void **state)
{
	struct llm_message m;
	struct fixture x;

	set_up(&x, NULL);
	message_init(&m, &x.arena, 3);
	x.f.sink = gather;
	x.f.user = &m;
	assert_true(flow_text(&x.f, SPAN("abc")));
	assert_false(flow_text(&x.f, SPAN("d")));
	message_done(&m);
	tear_down(&x, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_take_turns),
		cmocka_unit_test(calls_one_after_the_other),
		cmocka_unit_test(late_names_and_no_arguments),
		cmocka_unit_test(ids_are_made_and_never_twice),
		cmocka_unit_test(the_schema_tool_is_text),
		cmocka_unit_test(what_was_wrapped_is_unwrapped),
		cmocka_unit_test(text_closes_a_call_for_good),
		cmocka_unit_test(what_waits_is_bounded),
		cmocka_unit_test(a_message_gathers),
		cmocka_unit_test(a_message_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
