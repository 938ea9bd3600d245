/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * dialect - one wire format: reading what the gateway must know, and the few edits of pass mode.
 *
 * Pure functions on bytes: no I/O, no clock, no prices, no URLs. All of a format's JSON keys live
 * in its folder. In pass mode the client's format is the provider's: bodies and events travel
 * as they came, except for the edits named here.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/buf.h"
#include "machine/base/err.h"
#include "machine/base/json.h"
#include "meaning/llm/op.h"
#include "meaning/llm/usage.h"

/* What a request says that the gateway acts on. Spans point into the parsed document. */
struct llm_facts {
	struct span model;     /* as the client wrote it; empty: none given */
	struct span model_raw; /* where it stands in the body; empty: not known */
	bool stream;
	bool wants_usage; /* the client asked for usage in the stream (always true where the format
			     always has it) */
	int64_t max_output;                      /* the client's cap, -1: none */
	bool has_max_tokens, has_max_completion; /* Chat's two names for it */
	int64_t choices;                         /* n, 1 when absent */
	int64_t characters;                      /* of the text that is to be spoken */
	struct span user;  /* the format's end-user field, or empty; at most 256 bytes */
	bool has_requesty; /* the body has a `requesty` member, which is taken out */
};

/* What came with the `requesty` object. Owned by the arena given to read_facts. */
struct llm_metadata {
	struct span user_id, trace_id;
	struct span tags;  /* raw JSON array of strings, or empty */
	struct span extra; /* raw JSON object, or empty */
	bool auto_cache, has_auto_cache;
};

/* Changes to make to a request in pass mode. */
struct pass_edit {
	struct span model; /* the provider's own name */
	int64_t cap;       /* of the output, instead of the client's; 0: as it is */
	bool old_cap;      /* where Chat's client gave none: by its older name, max_tokens */
	bool ask_usage;    /* make a stream report usage although the client did not ask */
	/* Messages: the version goes into the body and the model out of it (Vertex); or NULL. */
	const char *body_version;
};

enum tap_verdict { TAP_PASS, TAP_DROP, TAP_REPLACE };

/* An event without the piece of text in it: what stands before, then what stands behind. */
struct tap_frame {
	uint16_t prefix, suffix;
	char text[508];
};

/* The last event that was nothing but a piece of the answer; see template.c. Internal. */
struct tap_template {
	bool known, replaced;
	uint8_t name_n;
	char name[29];
	struct tap_frame in, out;
};

/* Watches one answer, event by event. Zeroed, then the first block set. */
struct tap {
	/* Set before the first event. */
	enum llm_op op;
	bool hide_usage; /* the client did not ask for it: leave it out */
	const struct json_scratch *scratch;
	/* The decimal text of the cost of `u` in USD ("0.000198"), or {NULL, 0} when not known. */
	struct span (*cost)(void *user, const struct llm_usage *u, char out[32]);
	void *user;
	const char *request_id; /* named in error events; may be NULL */

	/* Read after each event. */
	struct llm_usage usage;
	bool content; /* something of the answer itself was seen (an error before it may be retried)
		       */
	bool finished; /* a finish reason was seen for every choice that began */
	bool terminal; /* the format's end marker: [DONE], message_stop */
	/*
	 * This event carries what can be the last usage, as its cost is shown. Some providers send
	 * two (one with the finish reason, one after it): the later one counts.
	 */
	bool final_usage;
	int64_t output_bytes;        /* bytes of text, reasoning and tool arguments seen */
	struct err error;            /* an error event: its class and the provider's words */
	int error_status;            /* the HTTP status it stands for */
	int64_t sequence;            /* number of the next event, where events have one */
	uint64_t begun[2], ended[2]; /* internal: one bit a choice */
	struct tap_template template;
};

/* What a complete (not streamed) answer says. */
struct llm_answer {
	struct llm_usage usage;
	int64_t output_bytes;
	struct span usage_raw; /* where it stands in the answer; empty: not known */
};

struct codec;

/*
 * The formats that clients do not speak (gemini, bedrock, cohere) have a name, read_error, status
 * and codec alone.
 */
struct dialect {
	const char *name; /* "openai_chat" */

	/* Facts and metadata; ERR_BAD_REQUEST naming the member when a member the gateway needs is
	 * malformed. */
	bool (*read_facts)(enum llm_op op, yyjson_val *root, struct span text, struct arena *a,
		struct llm_facts *facts, struct llm_metadata *meta, struct err *err);
	void (*edit_request)(enum llm_op op, const struct llm_facts *facts,
		const struct pass_edit *edit, struct json_edit *e);

	/*
	 * A 2xx body: usage, and cost put in as an edit. false: not an answer of this format
	 * (ERR_UPSTREAM_INVALID), or an error object under status 200 (its own class).
	 */
	bool (*read_answer)(
		enum llm_op op, yyjson_val *root, struct llm_answer *out, struct err *err);
	/*
	 * The same for the usual answer, by a walk over its outermost members: one usage, no error.
	 * Only the usage is parsed; what stands in the others is the client's to read. false: not
	 * so plain, read_answer decides.
	 */
	bool (*scan_answer)(enum llm_op op, struct span text, const struct json_scratch *scratch,
		struct llm_answer *out);
	void (*edit_answer)(enum llm_op op, const struct llm_answer *answer, struct span cost,
		struct json_edit *e);

	/*
	 * One event of a stream. With TAP_REPLACE the whole event, framed, was appended to `out`.
	 * An error event, and one that is not JSON, sets t->error and is replaced by an error event
	 * with all members that clients need; nothing good comes after it.
	 */
	enum tap_verdict (*tap)(struct tap *t, struct span name, struct span data, struct buf *out);

	const char *error_field; /* a header field that says which error it is; NULL: none */
	/* The status that stands for what the field says; the answer's own when it says nothing. */
	int (*error_status)(struct span field, int status);
	/*
	 * The error of a non-2xx answer, read tolerantly: any JSON shape, HTML, empty. The
	 * provider's own words are kept (cut to what struct err holds, without anything that looks
	 * like a key); the code is the class of wire-formats 1.9; native_type and native_code (may
	 * be empty) go back to the client unchanged in pass mode.
	 */
	void (*read_error)(int status, struct span body, const struct json_scratch *scratch,
		struct err *err, char native_type[64], char native_code[64]);

	/* A complete error body in this format. origin: "router" or "provider". native_* may be
	 * NULL. */
	void (*write_error)(const struct err *err, const char *origin, const char *request_id,
		const char *native_type, const char *native_code, struct buf *out);
	/* The event(s) that end a stream whose answer failed. Never an end marker that means
	 * success. sequence: the tap's; formats that number their events go on with it. */
	void (*write_stream_error)(const struct err *err, const char *origin,
		const char *request_id, int64_t sequence, struct buf *out);
	const char *keep_alive; /* bytes that may be sent while waiting: ": keep-alive\n\n" */
	/* Added when the provider framed its end properly after a finish reason but left the marker
	 * out. */
	const char *end_marker;               /* "data: [DONE]\n\n" */
	int (*status)(const struct err *err); /* 529 and such differ by format */

	const struct codec *codec; /* translation; codec.h */
};

extern const struct dialect dialect_openai_chat, dialect_openai_responses, dialect_openai_media,
	dialect_anthropic, dialect_gemini, dialect_bedrock, dialect_cohere;

/* The dialect that a client speaks when it calls `op`. */
const struct dialect *dialect_of(enum llm_op op);

/* Shared by the formats: the `requesty` object, with the limits of its documentation. Removes
 * nothing. */
bool dialect_read_requesty(yyjson_val *root, struct span text, struct arena *a,
	struct llm_metadata *meta, struct err *err);

/* Copies words of a provider into err->text: control characters and whatever looks like a key
 * masked. */
void dialect_keep_words(struct err *err, enum err_code code, struct span words);
