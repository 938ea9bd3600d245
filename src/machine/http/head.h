/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * head - one complete message head from bytes, by llhttp, and the policy that h1.h lists.
 *
 * Inside this folder only. Pure. The text has been seen to consist of lines that end in CR LF, none
 * of them empty but the last, none beginning with a blank.
 */
#include "machine/base/err.h"
#include "machine/http/message.h"

struct head_error {
	enum err_code code;
	const char *text;   /* static */
	struct span target; /* of the request line when that could be read; lies in the text */
};

/* Fills `head` as far as it is used (n fields); spans lie in `text`. */
bool head_parse(struct span text, bool request, struct http_head *head, struct head_error *why);
