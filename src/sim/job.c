/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/job.h"
#include <stdlib.h>
#include "machine/base/text.h"

#define USUAL_WORDS 16
#define USUAL_THINKING_WORDS 12
#define USUAL_ARGS_PIECE 12
#define PLAN_MAX_BYTES (64u << 20)

/* Everything of variable size, made before the job: offsets into the text. */
struct job_plan {
	struct buf text;
	struct ask_tool tools[ASK_MAX_TOOLS];
	struct ask_input inputs[ASK_MAX_INPUTS];
	size_t tool_at[ASK_MAX_TOOLS][4];
	int n_tools, n_inputs;
	size_t model_bytes;
	bool has_fixed; /* the answer's text is not made of words: */
	size_t fixed_at, fixed_end;
};

static void plan_tools(
	struct job_plan *p, const struct ask *a, const struct script *s, struct buf *b)
{
	struct span user = span_skip(buf_span(b), p->model_bytes);

	p->n_tools = ask_tools(a, s, user, p->tools);
	for (int i = 0; i < p->n_tools; i++) {
		p->tool_at[i][0] = b->n;
		text_json_string(b, p->tools[i].name);
		p->tool_at[i][1] = b->n;
		buf_append(b, p->tools[i].name);
		p->tool_at[i][2] = b->n;
		ask_tool_args(&p->tools[i], a->seed + (uint64_t)i, b);
		p->tool_at[i][3] = b->n;
	}
}

static void plan_fixed(struct job_plan *p, size_t at, size_t end)
{
	p->has_fixed = true;
	p->fixed_at = at;
	p->fixed_end = end;
}

static void plan_make(
	struct job_plan *p, const struct ask *a, const struct script *s, struct buf *b)
{
	bool echo = span_is(a->model, "echo") || span_ends(a->model, SPAN("/echo"));
	size_t at;

	p->n_tools = p->n_inputs = 0;
	p->has_fixed = false;
	buf_clear(b);
	text_json_string(b, a->model.p != NULL ? a->model : SPAN(""));
	p->model_bytes = b->n;
	if (a->fail.status != 0)
		return;
	/* The user's text is needed by echo, and to see whether it asks for a tool. */
	if (echo || a->tools != NULL)
		ask_user_text(a, b);
	if (echo)
		plan_fixed(p, p->model_bytes, b->n);
	if (a->tools != NULL)
		plan_tools(p, a, s, b);
	at = b->n;
	if (!echo && ask_document(a, b))
		plan_fixed(p, at, b->n);
	if (a->op == OP_EMBED)
		p->n_inputs = ask_inputs(a, p->inputs);
}

static struct job *allocate(const struct job_plan *p, const struct ask *a, const struct buf *b)
{
	size_t tools = (size_t)p->n_tools * sizeof(struct job_tool);
	size_t inputs = (size_t)p->n_inputs * sizeof(struct ask_input);
	size_t fail = a->fail.status != 0 ? sizeof(struct fail) : 0;
	struct job *j;
	char *at;

	if (b->failed)
		return NULL;
	j = malloc(sizeof(*j) + inputs + tools + fail + b->n);
	if (j == NULL)
		return NULL;
	*j = (struct job){.n_tools = p->n_tools, .n_inputs = p->n_inputs};
	at = (char *)(j + 1);
	j->inputs = (struct ask_input *)at;
	if (inputs > 0)
		memcpy(at, p->inputs, inputs);
	at += inputs;
	j->tools = (struct job_tool *)at;
	at += tools;
	if (fail > 0) {
		j->fail = (struct fail *)at;
		*j->fail = a->fail;
		at += fail;
	}
	memcpy(at, buf_span(b).p, b->n);
	j->model_json = span_from(at, p->model_bytes);
	for (int i = 0; i < p->n_tools; i++) {
		const size_t *t = p->tool_at[i];

		j->tools[i] = (struct job_tool){span_from(at + t[0], t[1] - t[0]),
			span_from(at + t[1], t[2] - t[1]), span_from(at + t[2], t[3] - t[2])};
	}
	if (p->has_fixed)
		j->text.fixed = span_from(at + p->fixed_at, p->fixed_end - p->fixed_at);
	return j;
}

static void make_text(struct job *j, const struct ask *a)
{
	const struct script *s = j->script;
	struct span fixed = j->text.fixed;
	uint64_t events = (uint64_t)script_num(s, OPT_EVENTS, 0);
	uint64_t pieces = j->stream ? events : 1; /* counting words takes time */
	bool scripted =
		script_has(s, OPT_EVENTS) || script_has(s, OPT_WORDS) || script_has(s, OPT_BYTES);

	if (script_has(s, OPT_BYTES))
		answer_text_bytes(&j->text, a->seed, (uint64_t)script_num(s, OPT_BYTES, 1), pieces);
	else if (scripted || fixed.p == NULL)
		answer_text_words(&j->text, a->seed,
			(uint64_t)script_num(
				s, OPT_WORDS, events > 0 ? (int64_t)events : USUAL_WORDS),
			script_has(s, OPT_WORDS) ? events : 0);
	else
		answer_text_fixed(&j->text, fixed, 0);
	if (a->max_tokens > 0 && (!scripted || script_is(s, OPT_CAP)))
		j->capped = answer_text_cap(&j->text, (uint64_t)a->max_tokens * 4);
	j->big_bytes = script_num(s, OPT_BIG_EVENT, 0);
}

static void make_thinking(struct job *j, const struct ask *a)
{
	const struct script *s = j->script;
	int64_t n = a->thinking ? USUAL_THINKING_WORDS : 0;

	j->reasoning_tokens = script_num(s, OPT_REASONING, 0);
	/* Chat shows its thoughts when told to; the others, when asked to. */
	if (a->op == OP_CHAT)
		n = 0;
	else if (script_has(s, OPT_REASONING))
		n = script_num(s, OPT_REASONING, 0) / 2;
	n = script_num(s, OPT_THINKING, n);
	if (n > 0) {
		answer_text_words(&j->thinking, a->seed + 1, (uint64_t)n, 0);
		if (!script_has(s, OPT_REASONING))
			j->reasoning_tokens = answer_tokens((int64_t)j->thinking.bytes);
	}
}

static void make_counts(struct job *j, const struct ask *a)
{
	const struct script *s = j->script;
	int64_t cached = script_num(s, OPT_CACHED, 0), write = script_num(s, OPT_CACHE_WRITE, 0);

	j->input_tokens = answer_tokens(a->prompt_bytes);
	if (a->op == OP_EMBED) {
		j->input_tokens = 0;
		for (int i = 0; i < j->n_inputs; i++)
			j->input_tokens += j->inputs[i].tokens;
	}
	j->cached_tokens = cached < j->input_tokens ? cached : j->input_tokens;
	if (write > j->input_tokens - j->cached_tokens)
		write = j->input_tokens - j->cached_tokens;
	j->cache_write_tokens = write;
}

/* The nearest of the ways to stop after some events. */
static void make_stop(struct job *j)
{
	static const struct {
		enum opt opt;
		enum after how;
	} stops[] = {{OPT_CUT_EVENTS, AFTER_CLOSE}, {OPT_RST_EVENTS, AFTER_RESET},
		{OPT_SILENCE_AFTER, AFTER_HOLD}, {OPT_ERROR_EVENT, AFTER_NEXT}};

	j->stop_at = -1;
	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		int64_t n = script_num(j->script, stops[i].opt, -1);

		if (n < 0 || (j->stop_at >= 0 && n >= j->stop_at))
			continue;
		j->stop_at = n;
		j->stop_how = stops[i].how;
		j->stop_with_error = stops[i].opt == OPT_ERROR_EVENT;
	}
}

struct job_plan *job_plan_new(void)
{
	struct job_plan *p = calloc(1, sizeof(*p));

	if (p != NULL)
		buf_init(&p->text, PLAN_MAX_BYTES);
	return p;
}

void job_plan_free(struct job_plan *p)
{
	if (p == NULL)
		return;
	buf_done(&p->text);
	free(p);
}

struct job *job_new(
	const struct ask *a, const struct format *f, struct script *s, struct job_plan *p)
{
	struct job *j;

	plan_make(p, a, s, &p->text);
	j = allocate(p, a, &p->text);
	if (j == NULL) {
		script_unref(s);
		return NULL;
	}
	j->script = s;
	j->format = f;
	j->op = a->op;
	j->seed = a->seed;
	j->stream = a->stream;
	j->include_usage = a->include_usage;
	j->base64 = a->wants_base64;
	j->dimensions = (unsigned)script_num(s, OPT_DIMENSIONS, a->dimensions);
	if (j->fail != NULL)
		return j;
	make_counts(j, a);
	if (op_is_text(a->op)) {
		make_thinking(j, a);
		make_text(j, a);
		make_stop(j);
	}
	j->part = j->thinking.words > 0 ? PART_THINKING : j->n_tools > 0 ? PART_TOOLS : PART_TEXT;
	return j;
}

void job_free(struct job *j)
{
	if (j == NULL)
		return;
	script_unref(j->script);
	free(j);
}

void job_write_id(const struct job *j, struct buf *out)
{
	static const char digits[] = "0123456789abcdef";
	char text[16];

	for (int i = 0; i < 16; i++)
		text[i] = digits[j->seq >> (60 - 4 * i) & 15];
	buf_append(out, span_from(text, sizeof(text)));
}

static void append_run(struct buf *out, int64_t n)
{
	char *p = buf_room(out, (size_t)n);

	if (p == NULL)
		return;
	memset(p, 'x', (size_t)n);
	buf_added(out, (size_t)n);
}

void job_write_text(const struct job *j, struct buf *out)
{
	size_t at;

	if (j->big_bytes == 0) {
		answer_whole(&j->text, out);
		return;
	}
	buf_append_char(out, '"');
	append_run(out, j->big_bytes);
	at = out->n;
	answer_whole(&j->text, out);
	/* Two strings become one. */
	if (!out->failed) {
		char *quote = out->mem + out->off + at;

		memmove(quote, quote + 1, out->n - at - 1);
		out->n--;
	}
}

/* The arguments as a text of pieces, for the tool at hand. */
static void args_text(const struct job *j, struct answer_text *t)
{
	uint64_t piece = (uint64_t)script_num(j->script, OPT_ARGS_PIECE, USUAL_ARGS_PIECE);
	struct span args = j->tools[j->tool].args;

	answer_text_fixed(t, args, (args.n + piece - 1) / piece);
}

void job_write_piece(struct job *j, struct buf *out)
{
	struct answer_text args;

	switch (j->part) {
	case PART_THINKING:
		answer_piece(&j->thinking, &j->cursor, out);
		break;
	case PART_TEXT:
		if (j->big_bytes > 0 && !j->big_done) {
			buf_append_char(out, '"');
			append_run(out, j->big_bytes);
			buf_append_char(out, '"');
			j->big_done = true;
			j->out_bytes += j->big_bytes;
			break;
		}
		j->out_bytes += (int64_t)answer_piece(&j->text, &j->cursor, out);
		break;
	case PART_TOOLS:
		args_text(j, &args);
		j->out_bytes += (int64_t)answer_piece(&args, &j->cursor, out);
		break;
	case PART_DONE:
		break;
	}
}

bool job_part_ended(const struct job *j)
{
	switch (j->part) {
	case PART_THINKING:
		return j->cursor.bytes >= j->thinking.bytes;
	case PART_TEXT:
		return j->cursor.bytes >= j->text.bytes && (j->big_bytes == 0 || j->big_done);
	case PART_TOOLS:
		return j->cursor.bytes >= j->tools[j->tool].args.n;
	case PART_DONE:
		break;
	}
	return true;
}

void job_next_part(struct job *j)
{
	if (j->part == PART_THINKING) {
		j->thought = true;
		j->part = j->n_tools > 0 ? PART_TOOLS : PART_TEXT;
	} else if (j->part == PART_TOOLS && j->tool + 1 < j->n_tools) {
		j->tool++;
	} else {
		j->part = PART_DONE;
	}
	j->cursor = (struct answer_cursor){0};
	j->part_begun = false;
	j->block++;
}

int64_t job_output_tokens(const struct job *j)
{
	int64_t bytes = 0;

	if (!op_is_text(j->op))
		return 0;
	for (int i = 0; i < j->n_tools; i++)
		bytes += (int64_t)(j->tools[i].name.n + j->tools[i].args.n);
	if (j->n_tools == 0)
		bytes = (int64_t)j->text.bytes + j->big_bytes;
	return answer_tokens(bytes) + j->reasoning_tokens;
}

void job_cost(const struct job *j, bool whole, bool begun, struct bill_cost *cost)
{
	if (j->fail != NULL || j->op == OP_COUNT_TOKENS || j->op == OP_MODELS || j->op == OP_MODEL)
		return;
	if (j->script->bill == BILL_FULL)
		whole = true;
	else if (!whole && j->script->bill == BILL_NONE)
		return;
	if (!whole && !begun)
		return;
	cost->input_tokens = j->input_tokens;
	cost->cached_tokens = j->cached_tokens;
	cost->cache_write_tokens = j->cache_write_tokens;
	/* A plain answer was all there before its first byte left. */
	if (whole || !j->stream) {
		cost->output_tokens = job_output_tokens(j);
		cost->reasoning_tokens = j->op == OP_EMBED ? 0 : j->reasoning_tokens;
		return;
	}
	/* Hidden reasoning comes before any content; a thinking block counts once it is written. */
	if (j->thinking.words == 0 ? j->events > 0 : j->thought)
		cost->reasoning_tokens = j->reasoning_tokens;
	cost->output_tokens =
		(j->out_bytes > 0 ? answer_tokens(j->out_bytes) : 0) + cost->reasoning_tokens;
}

static void write_break(const struct script *s, struct buf *out)
{
	buf_append(out, script_is(s, OPT_CRLF) ? SPAN("\r\n")
			: script_is(s, OPT_CR) ? SPAN("\r")
					       : SPAN("\n"));
}

/* Rewrites the lines as the script wants them. No JSON text has a raw line feed inside. */
static void dress(const struct job *j, struct span from, struct buf *out)
{
	const struct script *s = j->script;
	uint64_t pad = (uint64_t)script_num(s, OPT_PAD, 0), n = j->seed + (uint64_t)j->events;

	while (from.n > 0) {
		struct span line = span_cut(&from, '\n');

		buf_append(out, line);
		if (pad > 0 && span_starts(line, SPAN("data:")))
			for (uint64_t i = n++ * 7 % (pad + 1); i > 0; i--)
				buf_append_char(out, ' ');
		write_break(s, out);
	}
}

static bool has_lines(const struct job *j)
{
	return j->format->stream_type == NULL;
}

static void write_comments(const struct job *j, struct buf *out)
{
	if (!has_lines(j))
		return;
	for (int64_t i = script_num(j->script, OPT_COMMENTS, 0); i > 0; i--)
		buf_append_cstr(out, ": sim is still thinking\n\n");
}

static void write_bad_event(const struct job *j, struct buf *out)
{
	if (j->format->bad_event != NULL)
		j->format->bad_event(out);
	else
		buf_append_cstr(
			out, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\n\n");
}

static void write_content(struct job *j, struct buf *out)
{
	int64_t n = script_num(j->script, OPT_JOIN, 1);

	while (n-- > 0 && j->part != PART_DONE && (j->stop_at < 0 || j->events < j->stop_at)) {
		write_comments(j, out);
		if (j->events == 1 && script_is(j->script, OPT_BAD_JSON))
			write_bad_event(j, out);
		if (!j->format->content(j, out))
			break;
		j->events++;
	}
}

static void write_close(struct job *j, struct buf *out, bool *cut_last_line)
{
	j->format->close(j, out);
	*cut_last_line = script_is(j->script, OPT_NO_LAST_LINE);
}

void job_stream(struct job *j, struct buf *scratch, struct buf *out, bool *end, bool *stopped)
{
	bool dressed = j->script->dressed && has_lines(j);
	struct buf *to = dressed ? scratch : out;
	bool first = j->phase == PHASE_HEAD, cut_last_line = false;

	*end = *stopped = false;
	buf_clear(out);
	buf_clear(to);
	if (first && !(j->stop_at == 0 && j->stop_with_error))
		j->format->open(j, to);
	if (j->phase <= PHASE_CONTENT) {
		j->phase = PHASE_CONTENT;
		write_content(j, to);
	} else {
		write_close(j, to, &cut_last_line);
		*end = true;
	}
	if (!*end && j->stop_at >= 0 && j->events >= j->stop_at) {
		*stopped = true;
		if (j->stop_with_error)
			j->format->error_event(j, to);
	} else if (!*end && j->part == PART_DONE) {
		j->phase = PHASE_CLOSE;
	}
	if (*end || *stopped)
		j->phase = PHASE_OVER;
	if (!dressed)
		return;
	if (first && script_is(j->script, OPT_BOM))
		buf_append_cstr(out, "\xef\xbb\xbf");
	dress(j, buf_span(to), out);
	if (cut_last_line && out->n > 0)
		out->n -= script_is(j->script, OPT_CRLF) ? 2 : 1;
	if (*end && script_is(j->script, OPT_JUNK_AFTER_DONE))
		buf_append_cstr(out, "data: {\"junk\":\n\n\x01\x02<html>");
}

int64_t job_stream_bytes(const struct job *j, struct buf *scratch, struct buf *out)
{
	struct job copy = *j;
	int64_t bytes = 0;
	bool end, stopped;

	/* The length promises the whole, so a cut does not shorten it; an error event is a true
	 * end. */
	if (!copy.stop_with_error)
		copy.stop_at = -1;
	do {
		job_stream(&copy, scratch, out, &end, &stopped);
		bytes += (int64_t)out->n;
	} while (!end && !stopped);
	buf_clear(out);
	return bytes;
}
