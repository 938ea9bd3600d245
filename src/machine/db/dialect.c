/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/text.h"
#include "machine/db/driver.h"

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

/* With both quotes; a doubled one ends it and begins it again, which comes to the same. */
static size_t quoted(const char *at)
{
	size_t n = 1;

	while (at[n] != '\0' && at[n] != at[0])
		n++;
	return n + (at[n] != '\0');
}

static size_t to_line_end(const char *at)
{
	size_t n = 0;

	while (at[n] != '\0' && at[n] != '\n')
		n++;
	return n;
}

static void put_word(struct span word, struct buf *out)
{
	static const struct {
		const char *sqlite, *postgres;
	} words[] = {{"INTEGER", "BIGINT"}, {"BLOB", "BYTEA"}, {"WITHOUT", ""}, {"ROWID", ""}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_is(word, words[i].sqlite)) {
			buf_append_cstr(out, words[i].postgres);
			return;
		}
	buf_append(out, word);
}

/* A word, or x'00ff'; how many bytes of it there were. */
static size_t take_word(const char *at, struct buf *out)
{
	size_t n = 0, q;

	while (is_word(at[n]))
		n++;
	if (n != 1 || (at[0] != 'x' && at[0] != 'X') || at[1] != '\'') {
		put_word(span_from(at, n), out);
		return n;
	}
	q = quoted(at + 1);
	buf_append_cstr(out, "'\\x");
	buf_append(out, span_from(at + 2, q - 1));
	buf_append_cstr(out, "::bytea");
	return 1 + q;
}

bool dialect_postgres(const char *sql, struct buf *out)
{
	while (*sql != '\0') {
		size_t n = 1;

		if (sql[0] == '-' && sql[1] == '-')
			n = to_line_end(sql);
		else if (is_word(*sql))
			n = take_word(sql, out);
		else if (*sql == '\'' || *sql == '"')
			buf_append(out, span_from(sql, n = quoted(sql)));
		else
			buf_append_char(out, *sql == '?' ? '$' : *sql);
		sql += n;
	}
	return buf_append_char(out, '\0');
}

/* Bytes of the UTF-8 character in front; 0: it is none. */
static size_t character(struct span s)
{
	for (size_t n = 1; n <= 4 && n <= s.n; n++)
		if (s.p[0] != '\0' && text_is_utf8(span_head(s, n)))
			return n;
	return 0;
}

struct span dialect_text(struct span s, struct buf *out)
{
	if (s.n == 0 || (text_is_utf8(s) && memchr(s.p, '\0', s.n) == NULL))
		return s;
	while (s.n > 0) {
		size_t n = character(s);

		buf_append(out, n > 0 ? span_head(s, n) : SPAN("\xef\xbf\xbd"));
		s = span_skip(s, n > 0 ? n : 1);
	}
	return buf_span(out);
}
