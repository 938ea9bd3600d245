/* SPDX-License-Identifier: Apache-2.0 */
#include "control/manage/moment.h"
#include <time.h>
#include "machine/base/text.h"

/* Cuts n digits and the separator behind them off. */
static bool cut_digits(struct span *text, size_t n, char behind, int *out)
{
	uint64_t v;

	if (!text_u64(span_head(*text, n), &v) || text->n < n)
		return false;
	*text = span_skip(*text, n);
	if (behind != '\0') {
		if (text->n == 0 || text->p[0] != behind)
			return false;
		*text = span_skip(*text, 1);
	}
	*out = (int)v;
	return true;
}

static bool cut_fraction(struct span *text, int *ms)
{
	int digits = 0;

	*ms = 0;
	if (text->n == 0 || text->p[0] != '.')
		return true;
	*text = span_skip(*text, 1);
	for (; text->n > 0 && text->p[0] >= '0' && text->p[0] <= '9'; digits++) {
		if (digits < 3)
			*ms = *ms * 10 + (text->p[0] - '0');
		*text = span_skip(*text, 1);
	}
	for (int i = digits; i < 3; i++)
		*ms *= 10;
	return digits > 0 && digits <= 9;
}

static bool read_offset(struct span text, int *minutes)
{
	int hours, rest;
	bool west = text.n > 0 && text.p[0] == '-';

	*minutes = 0;
	if (span_eq_nocase(text, SPAN("Z")))
		return true;
	if (text.n != 6 || (!west && text.p[0] != '+'))
		return false;
	text = span_skip(text, 1);
	if (!cut_digits(&text, 2, ':', &hours) || !cut_digits(&text, 2, '\0', &rest) ||
		hours > 23 || rest > 59)
		return false;
	*minutes = (west ? -1 : 1) * (hours * 60 + rest);
	return true;
}

bool moment_read(struct span text, int64_t *wall_ms)
{
	struct tm t = {0}, back;
	int year, month, ms, offset;
	time_t s;

	if (!cut_digits(&text, 4, '-', &year) || !cut_digits(&text, 2, '-', &month) ||
		!cut_digits(&text, 2, '\0', &t.tm_mday) || text.n == 0 ||
		(text.p[0] != 'T' && text.p[0] != 't' && text.p[0] != ' '))
		return false;
	text = span_skip(text, 1);
	if (!cut_digits(&text, 2, ':', &t.tm_hour) || !cut_digits(&text, 2, ':', &t.tm_min) ||
		!cut_digits(&text, 2, '\0', &t.tm_sec) || !cut_fraction(&text, &ms) ||
		!read_offset(text, &offset) || year < 1970 || t.tm_hour > 23 || t.tm_min > 59 ||
		t.tm_sec > 59)
		return false;
	t.tm_year = year - 1900;
	t.tm_mon = month - 1;
	back = t;
	s = timegm(&back);
	/* A day that the month does not have was moved on. */
	if (back.tm_mday != t.tm_mday || back.tm_mon != t.tm_mon)
		return false;
	*wall_ms = (int64_t)s * 1000 + ms - (int64_t)offset * 60000;
	return true;
}
