/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * log - diagnostics and access lines, written by a thread of their own.
 *
 * A line is put into a bounded queue (1 MiB); when the sink is slow, lines are dropped and counted
 * and the request path does not notice. JSON, one object a line; on a terminal (or when
 * asked) for people. Callers pass fields, never a format with user text. No secrets, no bodies.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/err.h"
#include "machine/base/span.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_AUTO, LOG_JSON, LOG_HUMAN };

struct log_field {
	const char *name;
	/* RAW: a JSON literal; ABSENT: left out */
	enum { LOG_TEXT, LOG_INT, LOG_RAW, LOG_ABSENT } type;
	struct span text;
	int64_t i;
};

#define LOG_FIELD_TEXT(field, value)                                                               \
	((struct log_field){.name = (field), .type = LOG_TEXT, .text = (value)})
#define LOG_FIELD_INT(field, value)                                                                \
	((struct log_field){.name = (field), .type = LOG_INT, .i = (value)})

struct log;

/* fd stays the caller's. Lines below `level` are not made. */
struct log *log_new(int fd, enum log_format format, enum log_level level, struct err *err);
void log_free(struct log *l); /* writes what is queued (for at most 2 s) */

/* event: a stable name such as "request"; msg: fixed text or "". Any thread. `l` may be NULL. */
void log_write(struct log *l, enum log_level level, const char *event, const char *msg,
	const struct log_field *fields, int n);
uint64_t log_dropped(const struct log *l);
