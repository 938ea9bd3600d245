/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/repair.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define ALL                                                                                        \
	(LLM_MERGE_ROLES | LLM_PAIR_CALLS | LLM_DROP_EMPTY | LLM_SYSTEM_AS_USER | LLM_USER_FIRST)

/*
 * A history in words: "S", "U", "A" begin a turn; then text, "!id" a call, "?id" a result whose
 * text is "r" and the id.
 */
static struct llm_request *read_words(struct arena *a, const char *words)
{
	struct llm_request *q = llm_request_new(a);
	struct span rest = span_of(words);
	struct llm_turn *t = NULL;

	while (rest.p != NULL && rest.n > 0) {
		struct span word = span_cut(&rest, ' ');
		struct llm_block *b;

		if (span_is(word, "S") || span_is(word, "U") || span_is(word, "A")) {
			t = llm_add_turn(a, q,
				*word.p == 'S'   ? LLM_ROLE_SYSTEM
				: *word.p == 'U' ? LLM_ROLE_USER
						 : LLM_ROLE_ASSISTANT);
			continue;
		}
		if (*word.p == '!') {
			b = llm_add_block(a, &t->blocks, LLM_BLOCK_TOOL_CALL);
			b->id = span_skip(word, 1);
			b->name = SPAN("f");
		} else if (*word.p == '?') {
			b = llm_add_block(a, &t->blocks, LLM_BLOCK_TOOL_RESULT);
			b->id = span_skip(word, 1);
			llm_add_block(a, &b->content, LLM_BLOCK_TEXT)->text =
				arena_printf(a, "r%.*s", SPAN_ARG(b->id));
		} else {
			b = llm_add_block(a, &t->blocks, LLM_BLOCK_TEXT);
			b->text = span_is(word, "_") ? SPAN(" \n") : word;
		}
	}
	return q;
}

static void write_block(struct buf *out, const struct llm_block *b)
{
	buf_append_char(out, ' ');
	if (b->kind == LLM_BLOCK_TOOL_CALL)
		buf_append_char(out, '!');
	if (b->kind == LLM_BLOCK_TOOL_RESULT)
		buf_append_char(out, b->is_error ? 'X' : '?');
	buf_append(out, b->kind == LLM_BLOCK_TEXT ? b->text : b->id);
}

static void check(unsigned repairs, const char *words, const char *want)
{
	struct llm_notes notes = {.n = 0};
	struct arena a;
	struct buf out;

	arena_init(&a, 1 << 20);
	buf_init(&out, 1 << 20);
	for (const struct llm_turn *t =
			llm_repair_turns(read_words(&a, words), repairs, &a, &notes);
		t != NULL; t = t->next) {
		if (out.n > 0)
			buf_append_char(&out, ' ');
		buf_append_char(&out, "SUA"[t->role]);
		for (const struct llm_block *b = t->blocks; b != NULL; b = b->next)
			write_block(&out, b);
	}
	buf_append_char(&out, '\0');
	assert_string_equal(buf_span(&out).p, want);
	buf_done(&out);
	arena_done(&a);
}

static void good_histories_stay(void **state)
{
	check(ALL, "S s1 S s2 U hi A hello U bye", "S s1 S s2 U hi A hello U bye");
	check(ALL, "U hi A !1 U ?1 A done", "U hi A !1 U ?1 A done");
}

static void equal_roles_merge(void **state)
{
	check(ALL, "U a U b A c A d U e", "U a b A c d U e");
	check(0, "U a U b", "U a U b");
}

static void results_follow_their_calls(void **state)
{
	check(ALL, "U a A !1 !2 U ?2 U ?1 U more", "U a A !1 !2 U ?1 ?2 more");
	/* Calls that came as turns of their own. */
	check(ALL, "U a A !1 A !2 U ?1 U ?2", "U a A !1 !2 U ?1 ?2");
	/* Text before its results. */
	check(ALL, "U a A !1 U text ?1", "U a A !1 U ?1 text");
	/* A system turn in between. */
	check(ALL & ~LLM_SYSTEM_AS_USER, "U a A !1 S s U ?1 b", "U a A !1 U ?1 S s U b");
}

static void calls_without_result_are_cancelled(void **state)
{
	check(ALL, "U a A !1 !2 U ?2", "U a A !1 !2 U X1 ?2");
	check(ALL, "U a A !1 A b", "U a A !1 b U X1");
	check(ALL, "U a A !1", "U a A !1 U X1");
}

static void results_without_call_become_text(void **state)
{
	check(ALL, "U a A b U ?9 c", "U a A b U r9 c");
	check(ALL, "U ?9", "U r9");
	/* Given twice: the last counts. */
	check(ALL, "U a A !1 U ?1 ?1", "U a A !1 U ?1");
}

static void blank_texts_go(void **state)
{
	check(ALL, "U _ a A b _ U c", "U a A b U c");
	check(ALL, "U a A _ U c", "U a A . U c");
	check(ALL, "S _ U a A _", "U a");
}

static void system_turns_in_the_middle(void **state)
{
	check(ALL, "S s U a S b A c", "S s U a <system>b</system> A c");
	check(ALL & ~LLM_SYSTEM_AS_USER, "S s U a S b A c", "S s U a S b A c");
}

static void a_user_comes_first(void **state)
{
	check(ALL, "S s", "U s");
	check(ALL, "S s A b U c", "S s U . A b U c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_histories_stay),
		cmocka_unit_test(equal_roles_merge),
		cmocka_unit_test(results_follow_their_calls),
		cmocka_unit_test(calls_without_result_are_cancelled),
		cmocka_unit_test(results_without_call_become_text),
		cmocka_unit_test(blank_texts_go),
		cmocka_unit_test(system_turns_in_the_middle),
		cmocka_unit_test(a_user_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
