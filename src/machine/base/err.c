/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/err.h"
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const struct err_row rows[ERR_CODE_COUNT] = {
#define ERR(name, status, type, code, retry, text)                                                 \
	[ERR_##name] = {#name, status, type, code, RETRY_##retry, text},
#include "machine/base/errors.def"
#undef ERR
};

const struct err_row *err_row(enum err_code code)
{
	assert(code >= 0 && code < ERR_CODE_COUNT);
	return &rows[code];
}

/* A cut inside a UTF-8 sequence takes the whole sequence away. */
static void trim_partial(char *text)
{
	size_t n = strlen(text), at = n;

	while (at > 0 && ((unsigned char)text[at - 1] & 0xc0) == 0x80)
		at--;
	if (at > 0 && ((unsigned char)text[at - 1] & 0xc0) == 0xc0) {
		unsigned char lead = (unsigned char)text[at - 1];
		size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

		if (n - (at - 1) < want)
			text[at - 1] = '\0';
	}
}

bool err_set(struct err *err, enum err_code code, const char *format, ...)
{
	va_list args;
	int n;

	assert(code != ERR_OK);
	if (err == NULL || err->code != ERR_OK)
		return false;
	err->code = code;
	if (format == NULL) {
		snprintf(err->text, sizeof(err->text), "%s", rows[code].text);
		return false;
	}
	va_start(args, format);
	n = vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	if (n < 0)
		err->text[0] = '\0';
	else if ((size_t)n >= sizeof(err->text))
		trim_partial(err->text);
	return false;
}

void err_param(struct err *err, const char *param)
{
	if (err != NULL && err->param[0] == '\0')
		snprintf(err->param, sizeof(err->param), "%s", param);
}

bool err_set_errno(struct err *err, enum err_code code, const char *what)
{
	char text[128];
	int number = errno;

	return err_set(err, code, "%s: %s", what, strerror_r(number, text, sizeof(text)));
}
