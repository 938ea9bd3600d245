/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * job - one request being answered.
 *
 * Holds a copy of all it needs from the request, in one piece of memory, so that nothing of the
 * body stays while a slow stream lives. The text is made event by event from the seed. Its
 * connection drives it.
 */
#include "sim/answer.h"
#include "sim/ask.h"
#include "sim/bill.h"
#include "sim/script.h"

struct job;

/* A provider's format: writes texts; knows nothing of connections. */
struct format {
	const char *id_field;  /* header that carries the request's id */
	const char *fields;    /* further header lines */
	const char *ratelimit; /* more of them, on demand */
	/* NULL: text/event-stream. Of another type: it is not made of lines. */
	const char *stream_type;
	void (*plain)(const struct job *j, struct buf *out);
	/* The events before the content, one content event (false: none left), the events behind
	 * it. */
	void (*open)(struct job *j, struct buf *out);
	bool (*content)(struct job *j, struct buf *out);
	void (*close)(struct job *j, struct buf *out);
	void (*bad_event)(struct buf *out); /* no JSON; NULL: a line that is none */
	void (*error)(const struct job *j, const struct fail *f, struct buf *out);
	void (*error_event)(const struct job *j, struct buf *out);
	/* Header lines of an error; NULL: none. */
	void (*error_fields)(const struct job *j, int status, struct buf *head);
};

extern const struct format format_openai, format_responses, format_anthropic, format_gemini,
	format_bedrock, format_cohere;

/* The error object that OpenAI's formats share. */
void job_write_openai_error(const struct job *j, const struct fail *f, struct buf *out);

enum part { PART_THINKING, PART_TEXT, PART_TOOLS, PART_DONE };
enum phase { PHASE_HEAD, PHASE_CONTENT, PHASE_CLOSE, PHASE_OVER };

struct job_tool {
	struct span name_json, name, args;
};

/* What happens to the connection when the answer is over. */
enum after { AFTER_NEXT, AFTER_CLOSE, AFTER_RESET, AFTER_HALF, AFTER_HOLD };

struct job {
	struct script *script;
	const struct format *format;
	enum op op;
	uint64_t seq;
	int64_t started_ms;
	uint64_t seed;
	struct span model_json; /* in quotes */
	bool stream, include_usage, base64, capped;
	struct fail *fail; /* NULL: nothing is wrong */

	int64_t input_tokens, cached_tokens, cache_write_tokens, reasoning_tokens;
	struct answer_text text, thinking;
	int64_t big_bytes;
	struct job_tool *tools;
	int n_tools;
	struct ask_input *inputs;
	int n_inputs;
	unsigned dimensions;

	/* The stream. */
	enum phase phase;
	enum part part;
	int tool, block;
	bool part_begun, big_done;
	struct answer_cursor cursor;
	int64_t events;    /* content events written */
	int64_t out_bytes; /* of text and tools written */
	bool thought;      /* the thinking is written */
	int64_t stop_at;   /* events; -1: no stop */
	enum after stop_how;
	bool stop_with_error;
	int64_t due_ms;   /* of the next content event */
	int64_t sequence; /* number of the next event (Responses) */
};

/* Memory for making jobs; one is enough. */
struct job_plan *job_plan_new(void);
void job_plan_free(struct job_plan *p);

/* NULL without memory. The script reference is taken in every case. The caller sets seq and clock.
 */
struct job *job_new(
	const struct ask *a, const struct format *f, struct script *s, struct job_plan *p);
void job_free(struct job *j);

/*
 * The text of the next write of a stream; *end when nothing follows, *stopped when the script's
 * stop has come (then j->stop_how says how). Moves the job's state.
 */
void job_stream(struct job *j, struct buf *scratch, struct buf *out, bool *end, bool *stopped);
/* How many bytes the whole stream has: a run of a copy. */
int64_t job_stream_bytes(const struct job *j, struct buf *scratch, struct buf *out);

int64_t job_output_tokens(const struct job *j); /* of the whole answer */
/* What is billed: the whole, or for an unfinished stream what was sent, as the script says. */
void job_cost(const struct job *j, bool whole, bool begun, struct bill_cost *cost);

/* For formats. */
void job_write_text(const struct job *j, struct buf *out); /* whole, as a JSON string */
void job_write_piece(struct job *j, struct buf *out);      /* of the part at hand */
bool job_part_ended(const struct job *j);
void job_next_part(struct job *j);
void job_write_id(const struct job *j, struct buf *out); /* 16 hex digits */
