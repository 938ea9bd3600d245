/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json_scan.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

const char *json_skip_blank(const char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

/* An even run of backslashes before the quote escapes itself, not the quote. */
static bool is_escaped(const char *start, const char *quote)
{
	const char *p = quote;

	while (p > start && p[-1] == '\\')
		p--;
	return (quote - p) % 2 != 0;
}

/* Which of 16 bytes are quotes, and which are quotes or brackets, a bit each. */
#ifdef __SSE2__
#define BLOCK_BYTES 16

static unsigned quotes_in(const char *p)
{
	__m128i x = _mm_loadu_si128((const __m128i *)p);

	return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')));
}

static unsigned marks_in(const char *p)
{
	__m128i x = _mm_loadu_si128((const __m128i *)p);
	/* '[' and ']' differ from '{' and '}' in this one bit. */
	__m128i folded = _mm_or_si128(x, _mm_set1_epi8(0x20));
	__m128i hits = _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')),
		_mm_or_si128(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{')),
			_mm_cmpeq_epi8(folded, _mm_set1_epi8('}'))));

	return (unsigned)_mm_movemask_epi8(hits);
}
#else
#define BLOCK_BYTES 8

static unsigned quotes_in(const char *p)
{
	unsigned hits = 0;

	for (int i = 0; i < BLOCK_BYTES; i++)
		hits |= (unsigned)(p[i] == '"') << i;
	return hits;
}

static unsigned marks_in(const char *p)
{
	unsigned hits = 0;

	for (int i = 0; i < BLOCK_BYTES; i++)
		hits |= (unsigned)(p[i] == '"' || (p[i] | 0x20) == '{' || (p[i] | 0x20) == '}')
			<< i;
	return hits;
}
#endif

/* p at the opening quote; returns what is behind the closing one. */
static const char *skip_string(const char *p, const char *end)
{
	const char *start = ++p;

	for (; end - p >= BLOCK_BYTES; p += BLOCK_BYTES)
		for (unsigned hits = quotes_in(p); hits != 0; hits &= hits - 1) {
			const char *quote = p + __builtin_ctz(hits);

			if (!is_escaped(start, quote))
				return quote + 1;
		}
	for (; p < end; p++)
		if (*p == '"' && !is_escaped(start, p))
			return p + 1;
	return NULL;
}

/* The next quote or bracket, or `end`. */
static const char *next_mark(const char *p, const char *end)
{
	for (; end - p >= BLOCK_BYTES; p += BLOCK_BYTES) {
		unsigned hits = marks_in(p);

		if (hits != 0)
			return p + __builtin_ctz(hits);
	}
	while (p < end && *p != '"' && (*p | 0x20) != '{' && (*p | 0x20) != '}')
		p++;
	return p;
}

bool json_is_deeper(struct span text, int levels)
{
	const char *p = text.p, *end = text.p + text.n;
	int depth = 0;

	while (p != NULL && (p = next_mark(p, end)) < end) {
		if (*p == '"') {
			p = skip_string(p, end);
			continue;
		}
		depth += (*p++ | 0x20) == '{' ? 1 : -1;
		if (depth > levels)
			return true;
	}
	return false;
}

static const char *skip_container(const char *p, const char *end)
{
	size_t depth = 0;

	while ((p = next_mark(p, end)) < end) {
		if (*p == '"') {
			p = skip_string(p, end);
			if (p == NULL)
				return NULL;
			continue;
		}
		if ((*p | 0x20) == '{')
			depth++;
		else if (--depth == 0)
			return p + 1;
		p++;
	}
	return NULL;
}

static const char *skip_value(const char *p, const char *end)
{
	if (p == end)
		return NULL;
	if (*p == '"')
		return skip_string(p, end);
	if (*p == '{' || *p == '[')
		return skip_container(p, end);
	while (p < end && *p != ',' && *p != '}' && *p != ']' && !is_blank(*p))
		p++;
	return p;
}

bool json_next(struct span text, size_t *at, struct json_member *m)
{
	const char *end = text.p + text.n, *p = text.p + *at, *behind;

	p = json_skip_blank(p, end);
	if (*at == 0) {
		if (p == end || (*p != '{' && *p != '['))
			return false;
	} else if (p == end || *p != ',') {
		return false;
	}
	p = json_skip_blank(p + 1, end);
	if (p == end || *p == '}' || *p == ']')
		return false;
	m->key = (struct span){NULL, 0};
	behind = skip_value(p, end);
	if (behind == NULL || behind == p)
		return false;
	if (*p == '"' && json_skip_blank(behind, end) < end &&
		*json_skip_blank(behind, end) == ':') {
		m->key = (struct span){p + 1, (size_t)(behind - p) - 2};
		p = json_skip_blank(json_skip_blank(behind, end) + 1, end);
		behind = skip_value(p, end);
		if (behind == NULL || behind == p)
			return false;
	}
	m->value = (struct span){p, (size_t)(behind - p)};
	*at = (size_t)(behind - text.p);
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int json_code_unit(const char *p, const char *end)
{
	int c = 0;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		int digit = hex_digit(p[i]);

		if (digit < 0)
			return -1;
		c = c * 16 + digit;
	}
	return c;
}

/* The next character of a raw string, escapes resolved; -1 when it is not plain ASCII. */
static int next_char(const char **p, const char *end)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *s = *p, *known;
	int c;

	if (*s != '\\') {
		*p = s + 1;
		return (unsigned char)*s < 0x80 ? *s : -1;
	}
	if (end - s < 2)
		return -1;
	if (s[1] != 'u') {
		known = memchr(from, s[1], sizeof(from) - 1);
		*p = s + 2;
		return known != NULL ? to[known - from] : -1;
	}
	c = json_code_unit(s, end);
	*p = s + 6;
	return c < 0x80 ? c : -1;
}

bool json_key_eq(struct span raw, struct span key)
{
	const char *p = raw.p, *end = raw.p + raw.n;

	if (raw.n == key.n && memcmp(raw.p, key.p, key.n) == 0)
		return true;
	if (raw.n < key.n + 1 || memchr(raw.p, '\\', raw.n) == NULL)
		return false;
	for (size_t i = 0; i < key.n; i++)
		if (p == end || next_char(&p, end) != (unsigned char)key.p[i])
			return false;
	return p == end;
}

bool json_key_is(struct span raw_key, const char *key)
{
	return json_key_eq(raw_key, span_of(key));
}

static struct span find_last(struct span object, struct span key)
{
	struct span found = {NULL, 0};
	struct json_member m;
	size_t at = 0;

	while (json_next(object, &at, &m))
		if (m.key.p != NULL && json_key_eq(m.key, key))
			found = m.value;
	return found;
}

struct span json_raw(struct span text, const char *path)
{
	struct span rest = span_of(path);

	while (rest.p != NULL && text.p != NULL)
		text = find_last(text, span_cut(&rest, '.'));
	return text;
}

bool json_has_twice(struct span text, const char *key)
{
	struct json_member m;
	size_t at = 0;
	int n = 0;

	while (n < 2 && json_next(text, &at, &m))
		n += m.key.p != NULL && json_key_is(m.key, key);
	return n > 1;
}
