/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * translate_test_kit - answers and requests taken through the codecs, for tests and fuzz targets.
 *
 * An answer is read by one codec as the exchange reads it and written by all of them at once, as
 * streams and whole; what it says can then be compared, whatever the format. The order that event.h
 * promises is checked on the way. Pure: no files, no cmocka.
 */
#include "meaning/dialect/codec.h"
#include "meaning/dialect/dialect.h"

enum kit_framing {
	KIT_EVENTS, /* server-sent events */
	KIT_LINES   /* {"name": payload} a line: what stands for binary frames */
};

/* A format that has a codec: one row. */
struct kit_format {
	const struct dialect *dialect;
	enum llm_op op;
	bool is_client; /* clients speak it */
	enum kit_framing framing;
	/* What an answer loses when it is written in this format and read again. */
	bool keeps_refusal; /* else it is text */
	bool keeps_custom;  /* free text of custom tools; else {"input": "..."} */
	bool keeps_media;   /* else a link in the text */
	bool keeps_audio;   /* input_audio, apart from other input */
	bool keeps_written; /* tokens written to a cache */
	bool keeps_hour;    /* those for an hour, apart from those for five minutes */
	bool keeps_reasoning_count;
	unsigned stops; /* 1 << LLM_STOP_...: those that it has words for */
};

#define KIT_FORMATS 6
extern const struct kit_format kit_formats[KIT_FORMATS];
const struct kit_format *kit_format_of(enum llm_op op);
const struct kit_format *kit_format_named(struct span name);

/* ---- answers ---- */

struct kit_answer;

/* One of the streams that are written. */
struct kit_output {
	struct kit_answer *answer;
	struct writing w;
	struct buf stream;
};

struct kit_answer {
	const struct kit_format *from;
	struct arena arena;
	struct llm_quirks quirks;
	struct llm_target target;
	const struct llm_request *request;
	struct reading r;
	/* All of it; and, as the exchange has it for formats that keep nothing, without texts. */
	struct llm_message whole, bare;
	struct kit_output outputs[KIT_FORMATS];
	bool writes; /* outputs are written */

	/* What was seen of the order of events; `broken` says what was wrong with it. */
	bool started, stopped, ended, open;
	int next_index;
	enum llm_block_kind block;
	const char *broken;
};

/* `request` may be NULL: one that asks for nothing. With `writes` all streams are written too. */
void kit_begin(struct kit_answer *k, const struct kit_format *from,
	const struct llm_request *request, struct span model, bool writes);
bool kit_event(struct kit_answer *k, struct span name, struct span data);
bool kit_end(struct kit_answer *k); /* the stream ended cleanly */
bool kit_whole(struct kit_answer *k, struct span body);
void kit_done(struct kit_answer *k);

/* The answer in a format, whole; false: it could not be written. */
bool kit_write_whole(struct kit_answer *k, const struct kit_format *to, struct buf *out);

/*
 * Reads what kit_output holds: streams as our writers make them, no byte besides. false: the
 * codec's, or they are not in this form (k->broken).
 */
bool kit_read_stream(struct kit_answer *k, struct span stream);

/* Takes the next event off a stream of that form; false: none is left, or *broken is set. */
bool kit_next_event(enum kit_framing framing, struct span *rest, struct span *name,
	struct span *data, const char **broken);

/* ---- what an answer says ---- */

struct kit_said {
	struct buf text, reasoning, calls; /* calls: name(arguments) a line */
	int media;
	struct llm_usage usage;
	enum llm_stop stop;
};

void kit_said_init(struct kit_said *s);
void kit_said_done(struct kit_said *s);
/* What is left of an answer that went through `via`; NULL: all of it. */
void kit_said_take(struct kit_said *s, const struct llm_message *m, const struct kit_format *via);
/* Appends a call's line; arguments are written in one way, whatever their white space. */
void kit_said_call(struct kit_said *s, struct span name, struct span args);
/* The name of what differs, or NULL. */
const char *kit_said_differ(const struct kit_said *a, const struct kit_said *b);
