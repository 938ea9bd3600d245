/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every byte at every place of the two fields that say where a message ends. Whoever takes such a
 * field for another than its neighbour does lets a request be smuggled: so it is either exactly the
 * field, or refused, or plainly another field.
 */
#include "machine/http/h1.h"
#include "machine/http/h1_log_test.h"

enum verdict { REFUSED, OTHER_FIELD, THE_FIELD, REFUSED_OR_THE_FIELD };

/* A model in other words than the code's. `line` has no CR LF at its end. */
static enum verdict judge(struct span line, const char *name, const char *value)
{
	struct span rest = line, n = span_cut(&rest, ':'), v = span_trim(rest);
	bool twin = n.n == strlen(name);

	if (memchr(line.p, '\r', line.n) != NULL || memchr(line.p, '\n', line.n) != NULL)
		return REFUSED;
	if (rest.p == NULL || !http_is_token(n) || !http_is_value(rest))
		return REFUSED;
	for (size_t i = 0; twin && i < n.n; i++)
		twin = (n.p[i] | 0x20) == (name[i] | 0x20) || (n.p[i] == '_' && name[i] == '-');
	if (!twin)
		return OTHER_FIELD;
	if (!span_eq_nocase(n, span_of(name)))
		return REFUSED;
	if (!span_eq_nocase(v, span_of(value)))
		return REFUSED;
	/* A tab behind the value is white space, which llhttp does not take here. */
	return memchr(line.p, '\t', line.n) != NULL ? REFUSED_OR_THE_FIELD : THE_FIELD;
}

static void run_line(struct span line, const char *body, size_t cut, struct log *log)
{
	struct buf in;

	buf_init(&in, 1000);
	buf_append_cstr(&in, "POST / HTTP/1.1\r\nHost: a\r\n");
	buf_append(&in, line);
	buf_append_cstr(&in, "\r\n\r\n");
	buf_append_cstr(&in, body);
	run(buf_span(&in), (struct options){.kind = H1_REQUEST}, cut, cut == 0 ? 1 : 0, log);
	buf_done(&in);
}

static void check_line(struct span line, const char *name, const char *value, const char *body)
{
	enum verdict verdict = judge(line, name, value);
	struct log whole, cut;
	struct span said;
	bool refused, taken;

	run_line(line, body, 500, &whole);
	said = buf_span(&whole.text);
	refused = span_is(said, "! 400") || span_is(said, "! 501");
	/* Taken: the body is the field's. Else it stands where the next request should. */
	taken = span_is(said, "POST / x\n");
	if (verdict == REFUSED                    ? !refused
		: verdict == THE_FIELD            ? !taken
		: verdict == REFUSED_OR_THE_FIELD ? !taken && !refused
						  : !span_starts(said, SPAN("POST / \n")))
		fail_msg("%.*s: %.*s", SPAN_ARG(line), SPAN_ARG(said));
	for (size_t at = 0; at < 24 + line.n; at += 5) {
		run_line(line, body, at, &cut);
		assert_true(span_eq(buf_span(&cut.text), said));
		buf_done(&cut.text);
	}
	buf_done(&whole.text);
}

static void check_field(const char *name, const char *value, const char *body)
{
	char line[100];
	size_t n = (size_t)snprintf(line, sizeof(line), "%s: %s", name, value);

	for (unsigned c = 0; c < 256; c++) {
		for (size_t at = 0; at <= n; at++) {
			char changed[101];

			/* Put in ... */
			memcpy(changed, line, at);
			changed[at] = (char)c;
			memcpy(changed + at + 1, line + at, n - at);
			check_line((struct span){changed, n + 1}, name, value, body);
			/* ... and instead. */
			if (at == n)
				continue;
			memcpy(changed, line, n);
			changed[at] = (char)c;
			check_line((struct span){changed, n}, name, value, body);
		}
	}
}

static void every_byte_in_transfer_encoding(void **state)
{
	(void)state;
	check_field("Transfer-Encoding", "chunked", "1\r\nx\r\n0\r\n\r\n");
}

/* A digit more or another one is another length, so the model is asked with what stands there. */
static void every_byte_in_content_length(void **state)
{
	static const char line[] = "Content-Length: 1";

	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		for (size_t at = 0; at <= sizeof(line) - 1; at++) {
			char changed[sizeof(line)];

			if (at >= 16 && c >= '0' && c <= '9')
				continue;
			memcpy(changed, line, at);
			changed[at] = (char)c;
			memcpy(changed + at + 1, line + at, sizeof(line) - 1 - at);
			check_line(
				(struct span){changed, sizeof(line)}, "Content-Length", "1", "x");
		}
	}
}

/* No byte before or behind a chunk's size changes it unseen. */
static void every_byte_in_chunk_lines(void **state)
{
	static const char body[] = "1\r\nx\r\n0\r\n\r\n";

	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		for (size_t at = 0; at < sizeof(body) - 1; at++) {
			char changed[sizeof(body) + 1];
			struct log log;
			struct span said;
			bool same;

			memcpy(changed, body, at);
			changed[at] = (char)c;
			memcpy(changed + at + 1, body + at, sizeof(body) - at);
			changed[sizeof(body)] = '\0';
			if (c == 0)
				continue; /* not a string; the vectors have it */
			run_line(SPAN("Transfer-Encoding: chunked"), changed, 500, &log);
			said = buf_span(&log.text);
			/* Leading zeros, and a trailer's start that never ends, are all that
			 * passes. */
			same = span_is(said, "POST / x\n");
			assert_true(!same || (c == '0' && (at == 0 || at == 6 || at == 7)));
			assert_true(same || span_find_char(said, '!') >= 0 || log.ends == 0);
			buf_done(&log.text);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_in_transfer_encoding),
		cmocka_unit_test(every_byte_in_content_length),
		cmocka_unit_test(every_byte_in_chunk_lines),
	};

	return cmocka_run_group_tests_name("http/h1_bytes", tests, NULL, NULL);
}
