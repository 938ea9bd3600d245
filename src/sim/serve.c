/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve - which request is for which format, who may ask, and which script it carries.
 */
#include "sim/caller.h"

struct route {
	struct span path; /* without /v1 */
	enum http_method method;
	enum op op;
	const struct format *format;
};

static const struct route routes[] = {
	{SPAN("/chat/completions"), HTTP_POST, OP_CHAT, &format_openai},
	{SPAN("/responses"), HTTP_POST, OP_RESPONSES, &format_responses},
	{SPAN("/v2/chat"), HTTP_POST, OP_COHERE, &format_cohere},
	{SPAN("/embeddings"), HTTP_POST, OP_EMBED, &format_openai},
	{SPAN("/messages"), HTTP_POST, OP_MESSAGES, &format_anthropic},
	{SPAN("/messages/count_tokens"), HTTP_POST, OP_COUNT_TOKENS, &format_anthropic},
	{SPAN("/models"), HTTP_GET, OP_MODELS, &format_openai},
};

/* Gemini's addresses end in a model and what to do with it, whatever stands before. */
static bool is_generate(struct span path, struct span *model, bool *stream)
{
	ptrdiff_t colon = span_find_last_char(path, ':'), models;
	struct span method;

	if (colon < 0)
		return false;
	method = span_skip(path, (size_t)colon + 1);
	path = span_head(path, (size_t)colon);
	*stream = span_is(method, "streamGenerateContent");
	if (!*stream && !span_is(method, "generateContent"))
		return false;
	models = span_find(path, SPAN("/models/"));
	if (models < 0)
		return false;
	*model = span_skip(path, (size_t)models + 8);
	return model->n > 0;
}

/* Bedrock's are /model/{id}/converse, the id percent-encoded. */
static bool is_converse(struct span path, struct span *model, bool *stream)
{
	ptrdiff_t at = span_find(path, SPAN("/model/")), slash;
	struct span rest, action;

	if (at < 0)
		return false;
	rest = span_skip(path, (size_t)at + 7);
	slash = span_find_last_char(rest, '/');
	if (slash <= 0)
		return false;
	action = span_skip(rest, (size_t)slash + 1);
	*model = span_head(rest, (size_t)slash);
	*stream = span_is(action, "converse-stream");
	return *stream || span_is(action, "converse");
}

static struct span without_version(struct span path)
{
	return span_starts(path, SPAN("/v1/")) ? span_skip(path, 3) : path;
}

/* Models are the one path that both formats have. */
static enum op route(const struct incoming *in, const struct format **format, struct fail *fail)
{
	struct span path = without_version(in->path);
	bool anthropic = in->anthropic_version || in->anthropic_key, stream;
	struct span model;

	*format = anthropic ? &format_anthropic : &format_openai;
	if (in->method == HTTP_POST && is_generate(in->path, &model, &stream)) {
		*format = &format_gemini;
		return OP_GENERATE;
	}
	if (in->method == HTTP_POST && is_converse(in->path, &model, &stream)) {
		*format = &format_bedrock;
		return OP_CONVERSE;
	}
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct route *r = &routes[i];

		if (!span_eq(path, r->path))
			continue;
		if (in->method != r->method) {
			fail_set(fail, 405, NULL, NULL, "Not allowed to %s on %.*s",
				http_method_name(in->method), SPAN_ARG(in->path));
			return OP_UNKNOWN;
		}
		if (r->op != OP_MODELS)
			*format = r->format;
		return r->op;
	}
	if (span_starts(path, SPAN("/models/")) && in->method == HTTP_GET)
		return OP_MODEL;
	fail_set(fail, 404, NULL, NULL, "Unknown request URL: %s %.*s",
		http_method_name(in->method), SPAN_ARG(span_head(in->path, 200)));
	return OP_UNKNOWN;
}

static void check_key(const struct incoming *in, bool anthropic, struct fail *fail)
{
	if (in->key.n == 0)
		fail_set(fail, 401, NULL, NULL,
			anthropic ? "x-api-key header is required"
				  : "You didn't provide an API key. Provide it in an Authorization "
				    "header "
				    "using Bearer auth.");
	else if (span_is(in->key, "bad"))
		fail_set(fail, 401, anthropic ? NULL : "invalid_api_key", NULL,
			anthropic ? "invalid x-api-key" : "Incorrect API key provided: bad.");
}

static struct script *forced(struct sim *sim)
{
	if (sim->forced == NULL || sim->forced_count == 0)
		return NULL;
	if (sim->forced_skip > 0) {
		sim->forced_skip--;
		return NULL;
	}
	sim->forced_count--;
	return script_ref(sim->forced);
}

/* What was ordered for all comes first, then the header, then the model's name. */
static struct script *find_script(
	struct sim *sim, const struct incoming *in, const struct ask *a, struct fail *fail)
{
	struct span text = in->script.n > 0 ? in->script : a->script_text;
	struct script *s = forced(sim);
	struct err err = {0};

	if (s != NULL)
		return s;
	if (text.n == 0)
		return script_ref(sim->no_script);
	s = script_cache_get(&sim->scripts, text, &err);
	if (s != NULL)
		return s;
	fail_set(fail, err.code == ERR_NO_MEMORY ? 500 : 400, NULL, "model", "%s", err.text);
	return script_ref(sim->no_script);
}

static void enter_bill(
	struct sim *sim, struct job *j, const struct incoming *in, const struct ask *a)
{
	struct bill_entry *e = bill_open(&sim->bill, in->path, a->asked_model, in->key);

	j->started_ms = loop_now_ms(sim->loop);
	j->seq = sim->bill.seq;
	if (e == NULL)
		return;
	e->stream = j->stream;
	e->started_wall_ms = j->started_ms + sim->wall_offset_ms;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-encoding (RFC 3986 2.1) undone, in the simulator's buffer for texts. */
static struct span decode(struct sim *sim, struct span text)
{
	buf_clear(&sim->path);
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '%' && i + 2 < text.n && hex(text.p[i + 1]) >= 0 &&
			hex(text.p[i + 2]) >= 0) {
			c = (char)(hex(text.p[i + 1]) << 4 | hex(text.p[i + 2]));
			i += 2;
		}
		buf_append_char(&sim->path, c);
	}
	return buf_span(&sim->path);
}

static void read_ask(struct caller *c, struct ask *a, enum op op, const struct incoming *in,
	struct span body, yyjson_doc **doc)
{
	struct span model = {NULL, 0};
	struct err err = {0};
	bool stream = false;

	if (op == OP_MODEL) {
		ask_read(a, op, model, NULL, NULL);
		a->model = a->asked_model = span_skip(without_version(in->path), 8);
		return;
	}
	if (c->early || c->too_big) {
		ask_read(a, OP_UNKNOWN, model, NULL, NULL);
		a->op = op;
		return;
	}
	if (op_is_text(op) || op == OP_EMBED || op == OP_COUNT_TOKENS)
		*doc = json_read(&c->sim->json, body, &err);
	if ((op == OP_GENERATE && is_generate(in->path, &model, &stream)) ||
		(op == OP_CONVERSE && is_converse(in->path, &model, &stream)))
		model = decode(c->sim, model);
	ask_read(a, op, model, *doc != NULL ? yyjson_doc_get_root(*doc) : NULL, &err);
	a->stream |= stream;
}

/* The script as the body's first bytes have it, in the model's name. */
static struct span early_script(struct span part)
{
	ptrdiff_t at = span_find(part, SPAN("\"model\"")), end;
	struct span rest, script;

	if (at < 0)
		return (struct span){NULL, 0};
	rest = span_skip(part, (size_t)at + 7);
	at = span_find_char(rest, '"');
	rest = span_skip(rest, at < 0 ? rest.n : (size_t)at + 1);
	end = span_find_char(rest, '"');
	if (end < 0)
		return (struct span){NULL, 0};
	script_split(span_head(rest, (size_t)end), &script);
	return script;
}

bool caller_serve_early(struct caller *c, const struct incoming *in, struct span body_part)
{
	struct span text = in->script.n > 0 ? in->script : early_script(body_part);
	struct script *s;
	bool early;

	if (text.n == 0 || span_find(text, SPAN("early")) < 0)
		return false;
	s = script_cache_get(&c->sim->scripts, text, NULL);
	early = s != NULL && script_is(s, OPT_EARLY);
	script_unref(s);
	return early;
}

void caller_serve(struct caller *c, const struct incoming *in, struct span body)
{
	struct sim *sim = c->sim;
	const struct format *format;
	struct fail fail = {0};
	yyjson_doc *doc = NULL;
	struct script *script;
	struct ask ask;
	struct job *j;
	enum op op;

	if (span_starts(in->path, SPAN("/_sim/"))) {
		caller_control(c, in, body);
		return;
	}
	op = route(in, &format, &fail);
	check_key(in, format == &format_anthropic, &fail);
	if (format == &format_anthropic && !in->anthropic_version)
		fail_set(&fail, 400, NULL, NULL, "anthropic-version: header is required");
	if (c->too_big)
		fail_set(&fail, 413, NULL, NULL, "Request exceeds the maximum size");
	read_ask(c, &ask, op, in, body, &doc);
	if (fail.status != 0)
		ask.fail = fail;
	if (c->early)
		ask.script_text = early_script(body);
	script = find_script(sim, in, &ask, &ask.fail);
	if (c->early && !script_has(script, OPT_STATUS))
		fail_set(&ask.fail, 413, NULL, NULL, "Request exceeds the maximum size");
	j = job_new(&ask, format, script, sim->plan);
	if (j == NULL) {
		json_free(doc);
		caller_close(c, true);
		return;
	}
	enter_bill(sim, j, in, &ask);
	last_keep(&sim->last, j->seq, in->text, body);
	json_free(doc);
	caller_start(c, j);
}
