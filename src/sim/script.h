/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * script - what a request asks the simulator to do, besides answering.
 *
 * Written behind the model's name ("gpt+delay=200+events=100") or in the field x-sim
 * ("delay=200; cut_bytes=500"). The options are the rows of options.def. Parsed scripts are shared
 * by all requests with the same text: immutable and counted.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/buf.h"
#include "machine/base/err.h"
#include "machine/base/list.h"
#include "machine/base/span.h"

enum opt {
#define OPT(id, name, kind, min, max, group, help) OPT_##id,
#include "sim/options.def"
#undef OPT
	OPT_COUNT
};

enum frame { FRAME_USUAL, FRAME_LENGTH, FRAME_CHUNKED, FRAME_CLOSE };
enum error_body {
	ERROR_USUAL,
	ERROR_HTML,
	ERROR_EMPTY,
	ERROR_TEXT,
	ERROR_ARRAY,
	ERROR_STRING,
	ERROR_DETAIL
};
enum bill_rule { BILL_SENT, BILL_FULL, BILL_NONE };

struct script_value {
	int64_t n;
	struct span text; /* TEXT options, decoded */
};

struct script {
	struct list node;
	int refs;
	char *mem;        /* the text, and the decoded values behind it */
	struct span text; /* as given; the key */
	bool given[OPT_COUNT];
	struct script_value v[OPT_COUNT];
	enum frame frame;
	enum error_body error_body;
	enum bill_rule bill;
	bool shaped;  /* writes go through the shaper */
	bool dressed; /* event text is changed after it was made */
	bool framed;  /* the framing has faults */
};

#define SCRIPT_MAX_BYTES 4096

static inline bool script_has(const struct script *s, enum opt o)
{
	return s->given[o];
}
/* A flag that is set (given, and not as 0). */
static inline bool script_is(const struct script *s, enum opt o)
{
	return s->given[o] && s->v[o].n != 0;
}
static inline int64_t script_num(const struct script *s, enum opt o, int64_t usual)
{
	return s->given[o] ? s->v[o].n : usual;
}

/*
 * Options separated by '+' or ';', blanks around them ignored. NULL and ERR_BAD_REQUEST when an
 * option is unknown (naming the nearest) or its value is wrong. The result has one reference.
 */
struct script *script_parse(struct span text, struct err *err);
struct script *script_ref(struct script *s);
void script_unref(struct script *s);

/* The last scripts used, by their text. */
struct script_cache {
	struct list used; /* newest first */
	int n;
};

void script_cache_init(struct script_cache *c);
void script_cache_done(struct script_cache *c);
/* Like script_parse, from the cache when it is there. */
struct script *script_cache_get(struct script_cache *c, struct span text, struct err *err);

/* Cuts the script off a model's name: "gpt+delay=1" -> "gpt", "delay=1". */
struct span script_split(struct span model, struct span *text);

/* The options' table in Markdown. */
void script_write_docs(struct buf *out);
