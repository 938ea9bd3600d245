/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/text.h"
#include <stdio.h>
#include <time.h>

bool text_u64(struct span s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';

		if (digit > 9 || __builtin_mul_overflow(v, (uint64_t)10, &v) ||
			__builtin_add_overflow(v, (uint64_t)digit, &v))
			return false;
	}
	*out = v;
	return true;
}

bool text_i64(struct span s, int64_t *out)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	uint64_t v;

	if (!text_u64(negative ? span_skip(s, 1) : s, &v))
		return false;
	if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
		return false;
	*out = negative ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

size_t text_write_u64(char out[20], uint64_t v)
{
	char reversed[20];
	size_t n = 0;

	do {
		reversed[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	for (size_t i = 0; i < n; i++)
		out[i] = reversed[n - 1 - i];
	return n;
}

/* Length of the sequence at p (0: malformed or cut). RFC 3629 section 4. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
	unsigned char c = p[0];
	unsigned char low = 0x80, high = 0xbf;
	size_t want;

	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	want = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	if (n < want || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < want; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return want;
}

bool text_is_utf8(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i = 0;

	while (i < s.n) {
		size_t n = utf8_length(p + i, s.n - i);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

static bool escape_one(struct buf *b, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

	switch (c) {
	case '"':
		return buf_append(b, SPAN("\\\""));
	case '\\':
		return buf_append(b, SPAN("\\\\"));
	case '\n':
		return buf_append(b, SPAN("\\n"));
	case '\r':
		return buf_append(b, SPAN("\\r"));
	case '\t':
		return buf_append(b, SPAN("\\t"));
	default:
		return buf_append(b, (struct span){text, sizeof(text)});
	}
}

struct span text_head(struct span s, size_t n)
{
	if (s.n <= n)
		return s;
	while (n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return span_head(s, n);
}

bool text_json_string(struct buf *b, struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i = 0, from = 0;

	buf_append_char(b, '"');
	while (i < s.n) {
		size_t n = utf8_length(p + i, s.n - i);

		if (n == 1 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' && p[i] != 0x7f) {
			i++;
			continue;
		}
		if (n > 1) {
			i += n;
			continue;
		}
		buf_append(b, (struct span){s.p + from, i - from});
		if (n == 0)
			buf_append(b, SPAN("\xef\xbf\xbd"));
		else
			escape_one(b, p[i]);
		i++;
		from = i;
	}
	if (s.n > from)
		buf_append(b, (struct span){s.p + from, s.n - from});
	return buf_append_char(b, '"');
}

void text_hex(char *out, const void *bytes, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *p = bytes;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = hex[p[i] >> 4];
		out[2 * i + 1] = hex[p[i] & 15];
	}
}

static int unhex_one(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool text_unhex(void *out, size_t n, struct span hex)
{
	unsigned char *p = out;

	if (hex.n != 2 * n)
		return false;
	for (size_t i = 0; i < hex.n; i++)
		if (unhex_one(hex.p[i]) < 0)
			return false;
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(unhex_one(hex.p[2 * i]) << 4 | unhex_one(hex.p[2 * i + 1]));
	return true;
}

#define DISTANCE_MAX 64

unsigned text_distance(struct span a, struct span b)
{
	unsigned row[DISTANCE_MAX + 1];

	a = span_head(a, DISTANCE_MAX);
	b = span_head(b, DISTANCE_MAX);
	for (size_t j = 0; j <= b.n; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a.n; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b.n; j++) {
			unsigned change = diagonal + (a.p[i - 1] != b.p[j - 1]);
			unsigned least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

			diagonal = row[j];
			row[j] = change < least ? change : least;
		}
	}
	return row[b.n];
}

const char *text_nearest(struct span s, const char *const *names)
{
	const char *best = NULL;
	unsigned best_distance = 0;

	for (; *names != NULL; names++) {
		struct span name = span_of(*names);
		unsigned distance = text_distance(s, name);
		size_t longer = name.n > s.n ? name.n : s.n;

		if (distance * 3 > longer + 2)
			continue;
		if (best == NULL || distance < best_distance) {
			best = *names;
			best_distance = distance;
		}
	}
	return best;
}

size_t text_rfc3339(char out[32], int64_t wall_ms)
{
	int64_t ms = wall_ms % 1000;
	time_t seconds;
	struct tm tm;
	int n;

	if (ms < 0)
		ms += 1000;
	seconds = (time_t)((wall_ms - ms) / 1000);
	/* Years of more than four digits have no RFC 3339 form. */
	if (seconds < -62135596800 || seconds > 253402300799 || gmtime_r(&seconds, &tm) == NULL) {
		out[0] = '\0';
		return 0;
	}
	n = snprintf(out, 32, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
		(unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
		(unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
		(unsigned)tm.tm_sec % 100, (unsigned)ms % 1000);
	return n > 0 ? (size_t)n : 0;
}
