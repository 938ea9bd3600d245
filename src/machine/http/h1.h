/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * h1 - HTTP/1.1 messages from bytes: llhttp in strict mode, plus the stricter policy of a gateway.
 *
 * Pure: bytes in, events out, no I/O and no clock. The outcome does not depend on how the bytes
 * were cut. A head is parsed once it is complete, where it lies when it came in one piece, from the
 * parser's buffer when it did not; a bare LF or CR is refused as soon as it is seen. llhttp reads
 * the heads; bodies are counted here, since the policy for chunk lines is narrower than llhttp's.
 *
 * Refused besides what llhttp refuses: Content-Length with Transfer-Encoding, repeated or
 * list-valued Content-Length, any Transfer-Encoding but one "chunked" (and any on HTTP/1.0),
 * obs-fold, a method outside http_method, versions other than 1.0 and 1.1, absolute-form with a
 * foreign host, fragments, non-ASCII targets, Host missing, repeated or malformed, Expect other
 * than 100-continue, upgrades other than h2c (that one is ignored, RFC 9110 section 7.8), bodies on
 * GET, HEAD, DELETE and OPTIONS, a field whose name equals another's but for '_' and '-', chunk
 * sizes with anything but 1 to 16 digits, chunk extensions over 256 bytes, and the limits of
 * message.h. One empty line before a request is skipped. Trailers are checked, bounded and dropped.
 */
#include <sys/types.h>
#include "machine/base/buf.h"
#include "machine/base/err.h"
#include "machine/http/message.h"

#define H1_MAX_INTERIM 8
#define H1_MAX_EXTENSION_BYTES 256
#define H1_MAX_TRAILER_BYTES 8192

enum h1_kind { H1_REQUEST, H1_RESPONSE };

struct h1_events {
	/*
	 * A head is complete; it is valid during the call only (http_head_copy keeps one).
	 * Responses: 1xx are swallowed (at most 8, 101 refused). Returning false stops h1_feed at
	 * once, the rest unread; the next call goes on where it stopped.
	 */
	bool (*head)(void *user, const struct http_head *head);
	bool (*body)(void *user, struct span bytes); /* decoded; never empty */
	bool (*end)(void *user);                     /* the message is complete */
};

enum h1_state {
	H1_HEAD,
	H1_LENGTH,      /* counted body */
	H1_UNTIL_CLOSE, /* a response without length */
	H1_CHUNK_SIZE,
	H1_CHUNK_EXTENSION,
	H1_CHUNK_SIZE_LF,
	H1_CHUNK_DATA,
	H1_CHUNK_DATA_CR,
	H1_CHUNK_DATA_LF,
	H1_TRAILER_START,
	H1_TRAILER_NAME,
	H1_TRAILER_VALUE,
	H1_TRAILER_LF,
	H1_LAST_LF,
	H1_END, /* the message was read; h1_next begins another */
	H1_FAILED
};

struct h1 {
	const struct h1_events *events;
	void *user;
	struct buf held; /* a head that came in pieces */
	size_t scanned,
		line;       /* bytes of the head seen to be in order; where its last line begins */
	int64_t left;       /* of the counted body, or of the chunk */
	struct err *err;    /* during h1_feed */
	struct span target; /* of a head that was refused; see h1_target */
	uint16_t extension, trailer;
	uint8_t digits, interim, kind, state, method, minor;
	bool skipped_line, stopped;
};

void h1_init(struct h1 *p, enum h1_kind kind, const struct h1_events *events, void *user);
void h1_done(struct h1 *p);

/* Responses: the method that was asked (HEAD has no body). Call before the head arrives. */
void h1_expect(struct h1 *p, enum http_method method);

/*
 * Reads on until all bytes are used, an event returned false, or the message ended: at most one
 * message is read by a call. Returns the bytes used, or -1 with `err` set (status in its row:
 * 400, 431, 501; ERR_UPSTREAM_INVALID for responses); a parser that failed stays failed.
 */
ssize_t h1_feed(struct h1 *p, struct span bytes, struct err *err);

/*
 * The peer ended the stream. true: that completes the message (a response without length; `end`
 * is called) or nothing had begun. false: truncated.
 */
bool h1_eof(struct h1 *p);

bool h1_is_idle(const struct h1 *p); /* between messages, not a byte of a next one seen */
bool h1_in_head(const struct h1 *p); /* some bytes of a head seen */
bool h1_in_body(const struct h1 *p); /* the head was given, the end not */
/* Bytes of body known to be outstanding; -1 when only the sender knows. */
int64_t h1_left(const struct h1 *p);
void h1_next(struct h1 *p); /* make ready for the next message */

/*
 * The target of the head that h1_feed has just refused, when its first line could be read: valid
 * until the fed bytes go. Else {NULL, 0}.
 */
struct span h1_target(const struct h1 *p);
