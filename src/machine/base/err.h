/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * err - why something did not work.
 *
 * Filled by the lowest folder that knows the reason; the first reason stays. The text is for the
 * person who has to act on it and never holds a secret or a prompt. Rows are in errors.def.
 */
#include <stdbool.h>
#include "machine/base/span.h"

enum err_code {
#define ERR(name, status, type, code, retry, text) ERR_##name,
#include "machine/base/errors.def"
#undef ERR
	ERR_CODE_COUNT
};

enum err_retry { RETRY_NEVER, RETRY_LATER, RETRY_ELSEWHERE };

struct err_row {
	const char *name;        /* "BAD_REQUEST" */
	int status;              /* HTTP */
	const char *type, *code; /* code: "" means none */
	enum err_retry retry;
	const char *text;
};

struct err {
	enum err_code code; /* ERR_OK: nothing happened yet */
	char text[1024];    /* cut when longer; valid UTF-8 as long as its parts are */
	char param[64];     /* the request member at fault, or "" */
};

const struct err_row *err_row(enum err_code code);

/*
 * Sets code and text unless a reason is already there. Always returns false, so that a function
 * can `return err_set(...)`. `err` may be NULL. A NULL format takes the row's text.
 */
bool err_set(struct err *err, enum err_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Names the request member at fault; keeps the first. */
void err_param(struct err *err, const char *param);

/* errno as text behind "what: ". Always false. */
bool err_set_errno(struct err *err, enum err_code code, const char *what);
