/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/obs/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <yyjson.h>
#include "machine/base/text.h"

#define NOON_MS 1795435200123 /* 2026-11-23T12:00:00.123Z */

static const struct line_head head = {NOON_MS, LOG_INFO, "request", ""};
static char line[LINE_MAX_BYTES];

static size_t write(enum line_style style, const struct log_field *fields, int n)
{
	return line_write(line, style, &head, fields, n);
}

static void assert_line(size_t n, const char *expected)
{
	assert_int_equal(n, strlen(expected));
	assert_memory_equal(line, expected, n);
}

/* Whatever was put in: one line, well-formed, nothing in it that a terminal obeys. */
static void assert_harmless(size_t n, bool has_colour)
{
	assert_in_range(n, 1, LINE_MAX_BYTES);
	assert_int_equal(line[n - 1], '\n');
	for (size_t i = 0; i + 1 < n; i++) {
		unsigned char c = (unsigned char)line[i];

		assert_true(c >= 0x20 || (has_colour && c == 033));
		assert_int_not_equal(c, 0x7f);
		/* C1 as UTF-8 */
		assert_false(c == 0xc2 && (unsigned char)line[i + 1] < 0xa0);
	}
	assert_true(text_is_utf8(span_from(line, n)));
}

static yyjson_doc *parse(size_t n)
{
	yyjson_doc *doc = yyjson_read(line, n, 0);

	assert_non_null(doc);
	assert_true(yyjson_is_obj(yyjson_doc_get_root(doc)));
	return doc;
}

static void writes_json(void **state)
{
	const struct log_field fields[] = {
		LOG_FIELD_TEXT("model", SPAN("openai/gpt-4o")),
		LOG_FIELD_INT("status", 200),
		{.name = "absent", .type = LOG_ABSENT, .text = SPAN("x")},
		{.name = "cost", .type = LOG_RAW, .text = SPAN("0.00012")},
		{.name = "none", .type = LOG_RAW},
		LOG_FIELD_TEXT("empty", SPAN("")),
		LOG_FIELD_INT("least", INT64_MIN),
	};
	struct line_head with_msg = head;

	assert_line(write(LINE_JSON, fields, 7),
		"{\"ts\":\"2026-11-23T12:00:00.123Z\",\"level\":\"info\",\"event\":\"request\","
		"\"model\":\"openai/gpt-4o\",\"status\":200,\"cost\":0.00012,\"none\":null,"
		"\"empty\":\"\",\"least\":-9223372036854775808}\n");
	with_msg.msg = "said \"hello\"";
	with_msg.level = LOG_ERROR;
	with_msg.wall_ms = 1005;
	assert_line(line_write(line, LINE_JSON, &with_msg, NULL, 0),
		"{\"ts\":\"1970-01-01T00:00:01.005Z\",\"level\":\"error\",\"event\":\"request\","
		"\"msg\":\"said \\\"hello\\\"\"}\n");
}

static void writes_for_people(void **state)
{
	const struct log_field fields[] = {
		LOG_FIELD_TEXT("model", SPAN("gpt-4o")),
		LOG_FIELD_TEXT("why", SPAN("a b=\"c\"")),
		LOG_FIELD_TEXT("empty", SPAN("")),
		LOG_FIELD_INT("status", 200),
		{.name = "absent", .type = LOG_ABSENT},
	};
	struct line_head with_msg = head;

	assert_line(write(LINE_HUMAN, fields, 5),
		"12:00:00.123 INFO  request          model=gpt-4o why=\"a b=\\\"c\\\"\" empty=\"\" "
		"status=200\n");
	with_msg.msg = "all is well";
	assert_line(line_write(line, LINE_HUMAN, &with_msg, NULL, 0),
		"12:00:00.123 INFO  request          all is well\n");
	with_msg.level = LOG_WARN;
	assert_line(line_write(line, LINE_COLOUR, &with_msg, fields, 1),
		"\033[2m12:00:00.123\033[0m \033[33mWARN \033[0m \033[1mrequest\033[0m          "
		"all is well \033[2mmodel=\033[0mgpt-4o\n");
}

/* Every pair of bytes, at the start of a word, inside one and across its border. */
static void no_byte_gets_through(void **state)
{
	char text[12];

	for (unsigned pair = 0; pair < 0x10000; pair++) {
		struct log_field field = LOG_FIELD_TEXT("x", span_from(text, sizeof(text)));
		enum line_style style = pair % 3 == 0 ? LINE_HUMAN : LINE_JSON;
		size_t at = pair % 11;

		memset(text, 'a', sizeof(text));
		text[at] = (char)(pair >> 8);
		text[at + 1] = (char)pair;
		assert_harmless(write(style, &field, 1), false);
		field.type = LOG_RAW;
		assert_harmless(write(style, &field, 1), false);
	}
}

/* What was well-formed is read back as it was. */
static void text_survives(void **state)
{
	static const char *const parts[] = {"a", "\"", "\\", "\n", "\x01", "\x7f", "\xc2\x9b",
		"\xc3\xa9", "\xe2\x80\xa8", "\xe2\x80\xae", "\xf0\x9f\x92\xa9", "plain ascii",
		"\xef\xbb\xbf", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"};
	const size_t n_parts = sizeof(parts) / sizeof(parts[0]);
	uint64_t dice = 1;

	for (int round = 0; round < 5000; round++) {
		char text[256];
		size_t n = 0;

		while (n < 100) {
			const char *part = parts[(dice >> 33) % n_parts];

			memcpy(text + n, part, strlen(part));
			n += strlen(part);
			dice = dice * 6364136223846793005u + 1442695040888963407u;
		}
		const struct log_field field = LOG_FIELD_TEXT("x", span_from(text, n));
		size_t len = write(LINE_JSON, &field, 1);
		yyjson_doc *doc = parse(len);
		yyjson_val *value = yyjson_obj_get(yyjson_doc_get_root(doc), "x");

		assert_harmless(len, false);
		assert_int_equal(yyjson_get_len(value), n);
		assert_memory_equal(yyjson_get_str(value), text, n);
		yyjson_doc_free(doc);
	}
}

static void damaged_text_shows_where(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"a\xff"
		 "b",
			"a\xef\xbf\xbd"
			"b"},
		{"\xc3", "\xef\xbf\xbd"},
		{"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct log_field field = LOG_FIELD_TEXT("x", span_of(cases[i].in));
		yyjson_doc *doc = parse(write(LINE_JSON, &field, 1));

		assert_string_equal(yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "x")),
			cases[i].out);
		yyjson_doc_free(doc);
	}
}

static void cuts_what_is_too_long(void **state)
{
	static const char *const units[] = {"x", "\xc3\xa9", "\xf0\x9f\x92\xa9", "\n", "\x01"};
	char *text = malloc(40000);

	for (size_t u = 0; u < 5; u++) {
		size_t unit = strlen(units[u]);

		for (size_t i = 0; i + unit <= 40000; i += unit)
			memcpy(text + i, units[u], unit);
		for (int n = 1; n <= 12; n++) {
			struct log_field fields[12];

			/* Of many lengths, so that the end of the line meets every part of a field.
			 */
			for (int i = 0; i < n; i++)
				fields[i] = (struct log_field)LOG_FIELD_TEXT("name",
					span_from(text, (size_t)(n * 391 + i) / unit * unit));
			fields[0].text.n = 4000 / unit * unit;
			size_t len = write(LINE_JSON, fields, n);
			yyjson_doc *doc = parse(len);

			assert_harmless(len, false);
			assert_true(yyjson_get_bool(
				yyjson_obj_get(yyjson_doc_get_root(doc), "truncated")));
			yyjson_doc_free(doc);
			assert_harmless(write(LINE_HUMAN, fields, n), false);
			assert_harmless(write(LINE_COLOUR, fields, n), true);
			fields[n - 1].type = LOG_RAW;
			assert_harmless(write(LINE_HUMAN, fields, n), false);
		}
	}
	/* A literal is never cut. */
	memset(text, '1', 40000);
	const struct log_field fields[] = {
		{.name = "raw", .type = LOG_RAW, .text = {text, 40000}},
		LOG_FIELD_INT("after", 7),
	};
	yyjson_doc *doc = parse(write(LINE_JSON, fields, 2));

	assert_null(yyjson_obj_get(yyjson_doc_get_root(doc), "raw"));
	assert_int_equal(yyjson_get_int(yyjson_obj_get(yyjson_doc_get_root(doc), "after")), 7);
	yyjson_doc_free(doc);
	free(text);
}

/* All ends: a field of each length near the end of the line. */
static void ends_well_at_every_length(void **state)
{
	char text[2000];

	memset(text, 'y', sizeof(text));
	for (size_t n = 0; n < 600; n++) {
		struct log_field fields[6];

		for (int i = 0; i < 4; i++)
			fields[i] = (struct log_field)LOG_FIELD_TEXT("f", span_from(text, 1900));
		fields[4] = (struct log_field)LOG_FIELD_TEXT("g", span_from(text, n));
		fields[5] = (struct log_field)LOG_FIELD_INT("h", 123456);
		size_t len = write(LINE_JSON, fields, 6);
		yyjson_doc *doc = parse(len);
		yyjson_val *root = yyjson_doc_get_root(doc);
		bool is_whole = yyjson_get_len(yyjson_obj_get(root, "g")) == n &&
				yyjson_obj_get(root, "g") != NULL &&
				yyjson_obj_get(root, "h") != NULL;

		assert_harmless(len, false);
		assert_int_equal(is_whole, yyjson_obj_get(root, "truncated") == NULL);
		yyjson_doc_free(doc);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_json),
		cmocka_unit_test(writes_for_people),
		cmocka_unit_test(no_byte_gets_through),
		cmocka_unit_test(text_survives),
		cmocka_unit_test(damaged_text_shows_where),
		cmocka_unit_test(cuts_what_is_too_long),
		cmocka_unit_test(ends_well_at_every_length),
	};

	return cmocka_run_group_tests_name("obs/line", tests, NULL, NULL);
}
