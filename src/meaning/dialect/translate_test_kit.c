/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/translate_test_kit.h"
#include "machine/base/json_put.h"
#include "meaning/llm/schema.h"

#define MAX_BYTES ((size_t)64 << 20)

#define STOPS_ALL                                                                                  \
	(1u << LLM_STOP_END | 1u << LLM_STOP_SEQUENCE | 1u << LLM_STOP_LENGTH |                    \
		1u << LLM_STOP_CONTEXT | 1u << LLM_STOP_TOOL | 1u << LLM_STOP_FILTER |             \
		1u << LLM_STOP_PAUSE)
#define STOPS_CHAT                                                                                 \
	(1u << LLM_STOP_END | 1u << LLM_STOP_LENGTH | 1u << LLM_STOP_TOOL | 1u << LLM_STOP_FILTER)

const struct kit_format kit_formats[KIT_FORMATS] = {
	{.dialect = &dialect_openai_chat,
		.op = LLM_OP_CHAT,
		.is_client = true,
		.keeps_refusal = true,
		.keeps_custom = true,
		.keeps_media = true,
		.keeps_audio = true,
		.keeps_written = true,
		.keeps_reasoning_count = true,
		.stops = STOPS_CHAT},
	{.dialect = &dialect_openai_responses,
		.op = LLM_OP_RESPONSES,
		.is_client = true,
		.keeps_refusal = true,
		.keeps_custom = true,
		.keeps_media = true,
		.keeps_audio = true,
		.keeps_written = true,
		.keeps_reasoning_count = true,
		.stops = STOPS_CHAT},
	{.dialect = &dialect_anthropic,
		.op = LLM_OP_MESSAGES,
		.is_client = true,
		.keeps_written = true,
		.keeps_hour = true,
		.keeps_reasoning_count = true,
		.stops = STOPS_ALL},
	{.dialect = &dialect_gemini,
		.op = LLM_OP_GENERATE,
		.keeps_media = true,
		.keeps_audio = true,
		.keeps_reasoning_count = true,
		.stops = STOPS_CHAT | 1u << LLM_STOP_PAUSE},
	{.dialect = &dialect_bedrock,
		.op = LLM_OP_CONVERSE,
		.framing = KIT_LINES,
		.keeps_media = true,
		.keeps_written = true,
		.keeps_hour = true,
		.stops = STOPS_ALL},
	{.dialect = &dialect_cohere,
		.op = LLM_OP_COHERE,
		.stops = STOPS_ALL & ~(1u << LLM_STOP_PAUSE)},
};

const struct kit_format *kit_format_of(enum llm_op op)
{
	for (int i = 0; i < KIT_FORMATS; i++)
		if (kit_formats[i].op == op)
			return &kit_formats[i];
	return NULL;
}

const struct kit_format *kit_format_named(struct span name)
{
	for (int i = 0; i < KIT_FORMATS; i++)
		if (span_is(name, kit_formats[i].dialect->name))
			return &kit_formats[i];
	return NULL;
}

/* ---- the promises of event.h ---- */

static const char *check_block_event(struct kit_answer *k, const struct llm_event *ev)
{
	if (!k->started || k->stopped)
		return "a block's event before START or after STOP";
	if (ev->kind == LLM_EVENT_BLOCK) {
		if (k->open)
			return "two open blocks";
		if (ev->index != k->next_index)
			return "indices are not dense";
		if (ev->block == LLM_BLOCK_TOOL_CALL && (ev->call_id.n == 0 || ev->name.n == 0))
			return "a tool call without id or name";
		k->open = true;
		k->block = ev->block;
		k->next_index++;
		return NULL;
	}
	if (!k->open || ev->index != k->next_index - 1 || ev->block != k->block)
		return "an event of a block that is not open";
	if (ev->kind == LLM_EVENT_BLOCK_END)
		k->open = false;
	return NULL;
}

static const char *check_order(struct kit_answer *k, const struct llm_event *ev)
{
	const char *broken = NULL;

	if (k->ended)
		return "an event after END";
	switch (ev->kind) {
	case LLM_EVENT_START:
		broken = k->started ? "two STARTs" : NULL;
		k->started = true;
		break;
	case LLM_EVENT_STOP:
		broken = !k->started || k->stopped || k->open ? "STOP at a wrong place" : NULL;
		k->stopped = true;
		break;
	case LLM_EVENT_END:
		broken = k->stopped ? NULL : "END without STOP";
		k->ended = true;
		break;
	case LLM_EVENT_USAGE:
	case LLM_EVENT_PING:
		broken = k->started ? NULL : "USAGE or PING before START";
		break;
	default:
		broken = check_block_event(k, ev);
		break;
	}
	return broken;
}

/* ---- reading, and writing on the way ---- */

static bool take(void *user, const struct llm_event *ev)
{
	struct kit_answer *k = user;
	const char *broken = check_order(k, ev);

	if (k->broken == NULL)
		k->broken = broken;
	if (!message_add(&k->whole, ev) ||
		(ev->kind != LLM_EVENT_DELTA && !message_add(&k->bare, ev)))
		return err_set(&k->r.err, ERR_NO_MEMORY, NULL);
	for (int i = 0; i < KIT_FORMATS && k->writes; i++) {
		struct kit_output *o = &k->outputs[i];

		if (!kit_formats[i].dialect->codec->write_event(&o->w, ev, &o->stream))
			return err_set(&k->r.err, ERR_NO_MEMORY, NULL);
	}
	return true;
}

static struct span no_cost(void *user, const struct llm_usage *u, char out[32])
{
	return (struct span){NULL, 0};
}

static struct writing writing_for(struct kit_answer *k, const struct llm_message *m)
{
	return (struct writing){.arena = &k->arena,
		.request = k->request,
		.model = SPAN("client/model"),
		.id = SPAN("req_1"),
		.created = 1700000000,
		.scope = k->target.provider,
		.cost = no_cost,
		.message = m};
}

void kit_begin(struct kit_answer *k, const struct kit_format *from,
	const struct llm_request *request, struct span model, bool writes)
{
	struct llm_request *plain;

	*k = (struct kit_answer){.from = from, .writes = writes, .request = request};
	arena_init(&k->arena, MAX_BYTES);
	if (request == NULL) {
		plain = llm_request_new(&k->arena);
		plain->wants_usage = true;
		k->request = plain;
	}
	message_init(&k->whole, &k->arena, MAX_BYTES);
	message_init(&k->bare, &k->arena, MAX_BYTES);
	k->target = (struct llm_target){
		.model = model, .provider = SPAN("provider"), .quirks = &k->quirks};
	k->r = (struct reading){.arena = &k->arena, .target = &k->target};
	k->r.flow = (struct flow){.arena = &k->arena,
		.request = k->request,
		.schema_tool = llm_schema_tool(k->request, &k->target, from->op),
		.sink = take,
		.user = k,
		.max_held_bytes = 4 << 20,
		.err = &k->r.err};
	flow_init(&k->r.flow);
	for (int i = 0; i < KIT_FORMATS; i++) {
		k->outputs[i].answer = k;
		k->outputs[i].w =
			writing_for(k, kit_formats[i].dialect->codec->keeps ? &k->whole : &k->bare);
		buf_init(&k->outputs[i].stream, MAX_BYTES);
	}
}

bool kit_event(struct kit_answer *k, struct span name, struct span data)
{
	return k->from->dialect->codec->read_event(&k->r, name, data);
}

bool kit_end(struct kit_answer *k)
{
	return k->from->dialect->codec->read_end(&k->r) && k->ended;
}

bool kit_whole(struct kit_answer *k, struct span body)
{
	yyjson_doc *doc = json_read_raw(NULL, body, true, &k->r.err);
	bool ok = doc != NULL &&
		  k->from->dialect->codec->read_answer(&k->r, yyjson_doc_get_root(doc)) && k->ended;

	json_free(doc);
	return ok;
}

void kit_done(struct kit_answer *k)
{
	flow_done(&k->r.flow);
	message_done(&k->whole);
	message_done(&k->bare);
	for (int i = 0; i < KIT_FORMATS; i++)
		buf_done(&k->outputs[i].stream);
	arena_done(&k->arena);
}

bool kit_write_whole(struct kit_answer *k, const struct kit_format *to, struct buf *out)
{
	struct writing w = writing_for(k, &k->whole);

	return to->dialect->codec->write_answer(&w, &k->whole, out) && !out->failed;
}

/* ---- streams as our writers make them ---- */

/* {"name":payload} */
static bool next_line(struct span *rest, struct span *name, struct span *data, const char **broken)
{
	struct span line = span_cut(rest, '\n');
	struct json_member m;
	size_t at = 0;

	if (!json_next(line, &at, &m)) {
		*broken = "a line that is no object";
		return false;
	}
	*name = m.key;
	*data = m.value;
	return true;
}

/* Google ends lines by CRLF, and so does our writer of its format. */
static struct span cut_line(struct span *rest)
{
	struct span line = span_cut(rest, '\n');

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

bool kit_next_event(enum kit_framing framing, struct span *rest, struct span *name,
	struct span *data, const char **broken)
{
	struct span line;

	*name = (struct span){NULL, 0};
	if (rest->n == 0)
		return false;
	if (framing == KIT_LINES)
		return next_line(rest, name, data, broken);
	line = cut_line(rest);
	if (span_starts(line, SPAN("event: "))) {
		*name = span_skip(line, 7);
		line = cut_line(rest);
	}
	if (!span_starts(line, SPAN("data: ")) || rest->n == 0 || cut_line(rest).n > 0) {
		*broken = "an event that is not one line of data";
		return false;
	}
	*data = span_skip(line, 6);
	return true;
}

bool kit_read_stream(struct kit_answer *k, struct span stream)
{
	struct span name, data;

	while (kit_next_event(k->from->framing, &stream, &name, &data, &k->broken))
		if (!kit_event(k, name, data))
			return false;
	return k->broken == NULL && kit_end(k);
}

/* ---- what an answer says ---- */

void kit_said_init(struct kit_said *s)
{
	*s = (struct kit_said){.media = 0};
	buf_init(&s->text, MAX_BYTES);
	buf_init(&s->reasoning, MAX_BYTES);
	buf_init(&s->calls, MAX_BYTES);
}

void kit_said_done(struct kit_said *s)
{
	buf_done(&s->text);
	buf_done(&s->reasoning);
	buf_done(&s->calls);
}

void kit_said_call(struct kit_said *s, struct span name, struct span args)
{
	yyjson_doc *doc = json_read_raw(NULL, args, true, NULL);

	buf_append(&s->calls, name);
	buf_append_char(&s->calls, '(');
	if (doc != NULL)
		json_write(&s->calls, yyjson_doc_get_root(doc));
	else
		buf_append(&s->calls, span_trim(args).n == 0 ? SPAN("{}") : args);
	buf_append_cstr(&s->calls, ")\n");
	json_free(doc);
}

/* Free text as a format shows it that knows objects alone. */
static void take_custom(struct kit_said *s, const struct llm_part *p, const char *key)
{
	struct buf args;

	buf_init(&args, MAX_BYTES);
	buf_append_char(&args, '{');
	json_put_str(&args, key, p->custom ? buf_span(&p->text) : span_trim(buf_span(&p->text)));
	buf_append_char(&args, '}');
	kit_said_call(s, p->name, buf_span(&args));
	buf_done(&args);
}

static void take_part(struct kit_said *s, const struct llm_part *p, const struct kit_format *via)
{
	yyjson_doc *doc;

	switch (p->kind) {
	case LLM_BLOCK_REFUSAL:
		if (via == NULL || via->keeps_refusal)
			buf_append(&s->text, SPAN("(refusal)"));
		buf_append(&s->text, buf_span(&p->text));
		break;
	case LLM_BLOCK_TEXT:
		buf_append(&s->text, buf_span(&p->text));
		break;
	case LLM_BLOCK_THINKING:
		buf_append(&s->reasoning, buf_span(&p->text));
		break;
	case LLM_BLOCK_MEDIA:
		s->media += via == NULL || via->keeps_media;
		break;
	case LLM_BLOCK_TOOL_CALL:
		doc = json_read(NULL, buf_span(&p->text), NULL);
		if (p->custom && via != NULL && !via->keeps_custom)
			take_custom(s, p, "input");
		else if (!p->custom && via != NULL && !via->keeps_custom && p->text.n > 0 &&
			 !yyjson_is_obj(yyjson_doc_get_root(doc)))
			take_custom(s, p, "_raw"); /* what a model made, where objects are due */
		else
			kit_said_call(s, p->name, buf_span(&p->text));
		json_free(doc);
		break;
	default:
		break;
	}
}

static enum llm_stop stop_in(const struct kit_format *via, enum llm_stop stop)
{
	if (via == NULL || (via->stops >> stop & 1) != 0)
		return stop;
	return stop == LLM_STOP_CONTEXT ? LLM_STOP_LENGTH : LLM_STOP_END;
}

static struct llm_usage usage_in(const struct kit_format *via, struct llm_usage u)
{
	if (via == NULL)
		return u;
	if (!via->keeps_hour) {
		u.cache_write_5m += u.cache_write_1h;
		u.cache_write_1h = 0;
	}
	if (!via->keeps_written) {
		u.input_uncached += u.cache_write_5m;
		u.cache_write_5m = 0;
	}
	if (!via->keeps_audio) {
		u.input_uncached += u.input_audio;
		u.input_audio = u.output_audio = 0;
	}
	if (!via->keeps_reasoning_count)
		u.reasoning = 0;
	return u;
}

void kit_said_take(struct kit_said *s, const struct llm_message *m, const struct kit_format *via)
{
	for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
		take_part(s, p, via);
	s->usage = usage_in(via, m->usage);
	s->stop = stop_in(via, m->stop);
}

static bool is_same_usage(const struct llm_usage *a, const struct llm_usage *b)
{
	return a->present == b->present && a->input_uncached == b->input_uncached &&
	       a->cache_read == b->cache_read && a->cache_write_5m == b->cache_write_5m &&
	       a->cache_write_1h == b->cache_write_1h && a->input_audio == b->input_audio &&
	       a->output == b->output && a->reasoning == b->reasoning &&
	       a->output_audio == b->output_audio;
}

const char *kit_said_differ(const struct kit_said *a, const struct kit_said *b)
{
	if (!span_eq(buf_span(&a->text), buf_span(&b->text)))
		return "text";
	if (!span_eq(buf_span(&a->reasoning), buf_span(&b->reasoning)))
		return "reasoning";
	if (!span_eq(buf_span(&a->calls), buf_span(&b->calls)))
		return "calls";
	if (a->media != b->media)
		return "media";
	if (!is_same_usage(&a->usage, &b->usage))
		return "usage";
	return a->stop != b->stop ? "stop" : NULL;
}
