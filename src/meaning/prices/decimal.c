/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/prices/decimal.h"

#define MAX_DIGITS 40
#define MAX_EXPONENT 1000
#define MAX_VALUE 900000000000000000
#define DOUBLE_DIGITS 15 /* what a double holds of any decimal number */

/* digits * 10^exponent */
struct number {
	char digits[MAX_DIGITS];
	int n, exponent;
	bool negative;
};

static bool is_digit(const char *p, const char *end)
{
	return p < end && *p >= '0' && *p <= '9';
}

/* Leading zeros are no digits; what does not fit any more is far below what can matter. */
static void add_digit(struct number *d, char c, bool behind_point)
{
	if (d->n == MAX_DIGITS) {
		d->exponent += !behind_point;
		return;
	}
	if (d->n > 0 || c != '0')
		d->digits[d->n++] = c;
	d->exponent -= behind_point;
}

static const char *read_exponent(const char *p, const char *end, struct number *d)
{
	bool down;
	int e = 0;

	if (p == end || (*p != 'e' && *p != 'E'))
		return p;
	p++;
	down = p < end && *p == '-';
	p += p < end && (*p == '-' || *p == '+');
	if (!is_digit(p, end))
		return NULL;
	for (; is_digit(p, end); p++)
		e = e < MAX_EXPONENT ? e * 10 + (*p - '0') : e;
	d->exponent += down ? -e : e;
	return p;
}

static bool parse(struct span text, struct number *d)
{
	const char *p = text.p, *end = text.p + text.n;

	*d = (struct number){.negative = text.n > 0 && *p == '-'};
	/* Longer than any number of a list; the exponent stays far from its type's end. */
	if (text.n > 400)
		return false;
	p += d->negative;
	if (!is_digit(p, end))
		return false;
	for (; is_digit(p, end); p++)
		add_digit(d, *p, false);
	if (p < end && *p == '.') {
		if (!is_digit(++p, end))
			return false;
		for (; is_digit(p, end); p++)
			add_digit(d, *p, true);
	}
	p = read_exponent(p, end, d);
	while (d->n > 0 && d->digits[d->n - 1] == '0') {
		d->n--;
		d->exponent++;
	}
	return p == end;
}

enum decimal decimal_read(struct span text, int shift, int64_t *out)
{
	struct number d;
	int64_t v = 0;
	int whole;

	if (!parse(text, &d))
		return DECIMAL_NONE;
	if (d.negative && d.n > 0)
		return DECIMAL_NEGATIVE;
	whole = d.n + d.exponent + shift; /* digits before the point */
	if (d.n > 0 && whole > 18)
		return DECIMAL_LARGE;
	if (whole < d.n && d.n <= DOUBLE_DIGITS)
		return DECIMAL_FINE;
	for (int i = 0; d.n > 0 && i < whole; i++)
		v = v * 10 + (i < d.n ? d.digits[i] - '0' : 0);
	if (whole >= 0 && whole < d.n)
		v += d.digits[whole] >= '5';
	if (v > MAX_VALUE)
		return DECIMAL_LARGE;
	*out = v;
	return DECIMAL_OK;
}
