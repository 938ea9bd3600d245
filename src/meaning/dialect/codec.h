/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * codec - one wire format, translated: bytes to the neutral form and back.
 *
 * The other half of a dialect, used when client and provider speak different formats. Pure. All
 * functions that return bool set the error they are given and return false; the first reason
 * stays. Formats and their sources: the header of each folder.
 */
#include "meaning/llm/flow.h"
#include "meaning/llm/message.h"
#include "meaning/llm/target.h"

/* One answer of a provider being read. */
struct reading {
	/* Given. */
	struct arena *arena;
	const struct json_scratch *scratch;
	const struct llm_target *target;
	int choice;       /* which of several answers is read: 0 the first */
	struct flow flow; /* given: initialised, with its sink */

	/* Made by the dialect. */
	bool finished; /* the model's stop reason was seen: usage may still follow */
	struct llm_usage usage;
	bool stop_known; /* `stop` waits for usage that comes after it */
	enum llm_stop stop;
	char native_stop[48];
	void *state; /* from the arena */
	struct err err;
	int error_status;   /* of an error event: the HTTP status it stands for */
	bool from_provider; /* err holds the provider's own words */
};

/* Keeps the provider's own word for the end, as much of it as there is room for. */
void keep_native_stop(struct reading *r, struct span word);

/* One answer being written for a client. */
struct writing {
	/* Given. */
	struct arena *arena;
	const struct llm_request *request;
	struct span model; /* as the client named it: shown to it */
	struct span id;    /* of the request: the answer's id is made of it */
	int64_t created;   /* seconds since 1970 */
	struct span scope; /* the provider whose answer this is: scope of its states */
	int choice;        /* which of several answers this is, in a stream */
	/* The decimal text of the cost of `u` in USD, or {NULL, 0} when not known. */
	struct span (*cost)(void *user, const struct llm_usage *u, char out[32]);
	void *user;
	/*
	 * The answer so far. Maintained for every format by the caller: when write_event is called
	 * the event is already in it. For formats with `keeps` false a stream's message holds no
	 * text.
	 */
	const struct llm_message *message;

	void *state; /* the dialect's, from the arena */
};

struct codec {
	/* Client's body -> request. Unknown members are listed, not refused. */
	bool (*read_request)(
		yyjson_val *root, struct arena *a, struct llm_request *q, struct err *err);
	/*
	 * Request -> provider's body. Notes what is left out (wire-formats.md 2 says what is
	 * dropped, approximated, refused). Deterministic: equal requests give equal bytes, and a
	 * longer history begins with the bytes of a shorter one.
	 */
	bool (*write_request)(const struct llm_request *q, const struct llm_target *t,
		struct arena *a, struct buf *out, struct llm_notes *notes, struct err *err);

	/*
	 * One event of a provider's stream (its name may be empty). After flow_end nothing more is
	 * read. An error event: r->err, r->error_status, from_provider, and false.
	 */
	bool (*read_event)(struct reading *r, struct span name, struct span data);
	/* The stream ended cleanly. Emits STOP and END if the answer was complete, else fails. */
	bool (*read_end)(struct reading *r);
	/* A complete 2xx body, as events up to END. */
	bool (*read_answer)(struct reading *r, yyjson_val *root);

	/* Event -> the client's stream. Nothing is appended for events the format does not show. */
	bool (*write_event)(struct writing *w, const struct llm_event *ev, struct buf *out);
	/*
	 * The events that end an answer which failed behind its beginning, where they show what
	 * was so far; NULL: the dialect's write_stream_error serves. Never a mark of success.
	 */
	bool (*write_failure)(struct writing *w, const struct err *err, const char *origin,
		const char *request_id, struct buf *out);
	/* The whole answer, as one document. */
	bool (*write_answer)(struct writing *w, const struct llm_message *m, struct buf *out);

	unsigned url_media;   /* 1 << LLM_MEDIA_...: kinds that may be given by http(s) address */
	enum llm_maker maker; /* whose opaque states are native here */
	bool keeps;           /* write_event needs the texts of the message (Responses) */
};

/*
 * Writes the arguments of a tool call where a JSON object is due: as they came when they are one
 * (on one line), {} when empty, {"input": "..."} for the free text of a custom tool, else {"_raw":
 * "..."}, so that what a model made is neither lost nor a broken body; false then.
 */
bool put_args(struct buf *b, const char *key, struct span args, bool custom);

/* The same for a stream of free text: what stands before it, each piece of it, what stands behind.
 */
#define FREE_TEXT_OPEN "{\"input\":\""
#define FREE_TEXT_CLOSE "\"}"
void put_free_text(struct buf *b, const char *key, struct span piece);
