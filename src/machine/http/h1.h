/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * h1 - HTTP/1.1 messages from bytes: llhttp in strict mode, plus the stricter policy of a gateway.
 *
 * Pure: bytes in, events out, no I/O and no clock. The outcome does not depend on how the bytes
 * were cut. A head is parsed once it is complete (held in the parser's buffer when it came in
 * pieces), except that a bare LF or CR is refused as soon as it is seen. Refused besides what
 * llhttp refuses: Content-Length with Transfer-Encoding, repeated or list-valued Content-Length,
 * any Transfer-Encoding but one "chunked" (and any on HTTP/1.0), obs-fold, a method outside
 * http_method, versions other than 1.0 and 1.1, absolute-form with a foreign host, fragments,
 * non-ASCII targets, Host missing, repeated or malformed, Expect other than 100-continue,
 * bodies on GET, HEAD, DELETE and OPTIONS, chunk extensions over 256 bytes, and the limits of message.h.
 * Trailers are checked, bounded and dropped.
 */
#include <llhttp.h>
#include "machine/base/buf.h"
#include "machine/base/err.h"
#include "machine/http/message.h"

enum h1_kind { H1_REQUEST, H1_RESPONSE };

struct h1_events {
	/*
	 * A head is complete; it is valid until the next head or h1_done. Return false to stop
	 * (h1_feed returns at once, the rest unread). Responses: 1xx are swallowed (at most 8, 101 refused).
	 */
	bool (*head)(void *user, const struct http_head *head);
	bool (*body)(void *user, struct span bytes); /* decoded; never empty */
	bool (*end)(void *user); /* the message is complete */
};

struct h1; /* see h1.c; about 300 bytes while no head is being read */

struct h1 *h1_new(enum h1_kind kind, const struct h1_events *events, void *user);
void h1_free(struct h1 *p);

/* Responses: the method that was asked (HEAD has no body). Call before the head arrives. */
void h1_expect(struct h1 *p, enum http_method method);

/*
 * Reads on until all bytes are used, an event returned false, or the message ended: at most one
 * message is read by a call. Returns the bytes used, or -1 with `err` set (status in its row:
 * 400, 413, 431, 501); a parser that failed stays failed.
 */
ssize_t h1_feed(struct h1 *p, struct span bytes, struct err *err);

/*
 * The peer ended the stream. true: that completes the message (a response without length; `end`
 * is called) or nothing had begun. false: truncated.
 */
bool h1_eof(struct h1 *p);

bool h1_idle(const struct h1 *p);      /* between messages, not a byte of a next one seen */
bool h1_in_head(const struct h1 *p);   /* some bytes of a head seen */
void h1_next(struct h1 *p);            /* make ready for the next message; frees the head's buffer */
