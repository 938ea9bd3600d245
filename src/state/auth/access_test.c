/* SPDX-License-Identifier: Apache-2.0 */
#include "state/auth/access.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct id group = {{1}}, other = {{2}}, first = {{3}}, second = {{4}}, none;

static void set(struct access *a, const struct id *id, const char *name, const char *rules)
{
	struct access_row row = {.id = *id, .rules = span_of(rules)};
	struct err err = {0};

	memcpy(row.name, name, strlen(name) + 1);
	assert_true(access_set(a, &row, &err));
}

static bool may(
	struct access *a, const struct auth_identity *who, enum llm_op op, const char *model)
{
	char list[129];

	return access_allows(a, who, op, span_of(model), list);
}

static void layers_count_in_their_order(void **state)
{
	struct err err = {0};
	struct access *a = access_new(&err);
	struct auth_identity key = {.owners = {.group_id = group}}, loose = {.name = "x"};
	char list[129];

	assert_true(may(a, &key, LLM_OP_CHAT, "openai/gpt"));
	assert_false(access_is_limited(a, &key));
	set(a, &first, "first", "{\"chat\":[\"openai/*\",\"claude/opus\"]}");
	assert_true(may(a, &key, LLM_OP_CHAT, "groq/x")); /* attached to nothing */
	assert_true(access_attach(a, &group, &first, &err));
	assert_true(access_is_limited(a, &key));
	assert_false(access_is_limited(a, &loose));
	assert_true(may(a, &key, LLM_OP_MESSAGES, "openai/gpt"));
	assert_true(may(a, &key, LLM_OP_CHAT, "claude/opus"));
	assert_true(may(a, &key, LLM_OP_CHAT, "claude/opus@eu-west-1"));
	assert_false(may(a, &key, LLM_OP_CHAT, "claude/opus-2"));
	assert_false(may(a, &key, LLM_OP_EMBEDDINGS, "openai/gpt")); /* of another kind */
	assert_false(access_allows(a, &key, LLM_OP_CHAT, SPAN("groq/x"), list));
	assert_string_equal(list, "first");

	set(a, &second, "second", "{\"chat\":[\"groq/x\"],\"embedding\":[]}");
	key.access_id = second; /* the key's own counts instead of the group's */
	assert_true(may(a, &key, LLM_OP_CHAT, "groq/x"));
	assert_false(may(a, &key, LLM_OP_CHAT, "openai/gpt"));
	assert_true(access_attach(a, &scope_org_id, &first, &err)); /* approved: cuts all */
	assert_false(access_allows(a, &key, LLM_OP_CHAT, SPAN("groq/x"), list));
	assert_string_equal(list, "first");
	assert_false(may(a, &loose, LLM_OP_CHAT, "groq/x"));
	assert_true(access_attach(a, &scope_org_id, &none, &err));
	assert_true(may(a, &loose, LLM_OP_CHAT, "groq/x"));

	set(a, &second, "second", "{\"chat\":[\"groq/y\"]}"); /* changed: at once */
	assert_false(may(a, &key, LLM_OP_CHAT, "groq/x"));
	assert_true(may(a, &key, LLM_OP_CHAT, "groq/y"));
	assert_true(access_attach(a, &other, &second, &err));
	assert_true(access_attach(a, &other, &first, &err));
	access_drop(a, &second);
	assert_true(may(a, &key, LLM_OP_CHAT, "openai/gpt")); /* the group's again */
	access_free(a);
}

static void a_star_is_any_characters(void **state)
{
	static const struct {
		const char *pattern, *model;
		bool fits;
	} rows[] = {{"*", "a/b", true}, {"a/*", "a/", true}, {"a/*", "b/a/", false},
		{"*/gpt-*-mini", "x/gpt-4-mini", true}, {"*/gpt-*-mini", "x/gpt-mini", false},
		{"a*a", "a", false}, {"a*a", "aa", true}, {"a**b", "ab", true},
		{"*ab", "abab", true}, {"*-*-*", "a-b-c-d", true}, {"", "a", false}};
	struct err err = {0};
	struct access *a = access_new(&err);
	struct auth_identity key = {.access_id = first};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char rules[128];

		snprintf(rules, sizeof(rules), "{\"chat\":[\"%s\"]}", rows[i].pattern);
		set(a, &first, "l", rules);
		assert_int_equal(may(a, &key, LLM_OP_CHAT, rows[i].model), rows[i].fits);
	}
	access_free(a);
}

static void rules_are_checked(void **state)
{
	struct err err = {0};

	assert_true(access_check(SPAN("{}"), false, &err));
	assert_true(access_check(SPAN("{\"chat\":[\"a/*\"],\"speech\":[]}"), true, &err));
	assert_false(access_check(SPAN("{\"chat\":[\"a/*\"]}"), false, &err));
	assert_string_equal(err.param, "chat");
	assert_non_null(strstr(err.text, "auto_approve"));
	err = (struct err){0};
	assert_false(access_check(SPAN("{\"video\":[]}"), true, &err));
	assert_string_equal(err.param, "video");
	err = (struct err){0};
	assert_false(access_check(SPAN("{\"chat\":\"a/b\"}"), true, &err));
	err = (struct err){0};
	assert_false(access_check(SPAN("{\"chat\":[1]}"), true, &err));
	err = (struct err){0};
	assert_false(access_check(SPAN("{\"chat\":[\"\"]}"), true, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layers_count_in_their_order),
		cmocka_unit_test(a_star_is_any_characters),
		cmocka_unit_test(rules_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
