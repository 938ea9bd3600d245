/* SPDX-License-Identifier: Apache-2.0 */
/* The turns of a request: contents and their parts. */
#include "machine/base/base64.h"
#include "machine/base/json_put.h"
#include "meaning/dialect/gemini/gemini.h"
#include "meaning/llm/media.h"
#include "meaning/llm/repair.h"

/* Stands for a signature that was lost on the way ("Thought signatures", FAQ). */
#define NO_SIGNATURE "skip_thought_signature_validator"

/* ---- media ---- */

/* Text that is base64 needs no escapes; what only claims to be is quoted as any text. */
static void put_plain(struct buf *b, const char *key, struct span text)
{
	if (text.n > 0 && memchr(text.p, '"', text.n) == NULL &&
		memchr(text.p, '\\', text.n) == NULL && memchr(text.p, '\n', text.n) == NULL &&
		memchr(text.p, '\r', text.n) == NULL) {
		json_put_key(b, key);
		buf_append_char(b, '"');
		buf_append(b, text);
		buf_append_char(b, '"');
		return;
	}
	json_put_str(b, key, text);
}

static struct span type_in_query(struct span url)
{
	static const char *const names[] = {"?mime=", "&mime=", "?mime_type=", "&mime_type="};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ptrdiff_t at = span_find(url, span_of(names[i]));
		struct span rest;

		if (at < 0)
			continue;
		rest = span_skip(url, (size_t)at + strlen(names[i]));
		return span_cut(&rest, '&');
	}
	return (struct span){NULL, 0};
}

/* The API wants a type with every file. */
static struct span type_of(const struct llm_media *m)
{
	static const char *const usual[] = {[LLM_MEDIA_IMAGE] = "image/jpeg",
		[LLM_MEDIA_DOCUMENT] = "application/pdf",
		[LLM_MEDIA_AUDIO] = "audio/mpeg",
		[LLM_MEDIA_VIDEO] = "video/mp4"};
	struct span type = llm_media_type(m);

	if (type.n == 0 && m->from == LLM_FROM_URL) {
		struct llm_media named = *m;
		struct span path = m->data;

		type = type_in_query(m->data);
		named.name = span_cut(&path, '?');
		if (type.n == 0)
			type = llm_media_type(&named);
	}
	return type.n > 0 ? type : span_of(usual[m->kind]);
}

static void put_inline(struct gemini_writer *w, const struct llm_media *m)
{
	json_put_open(w->out, "inlineData", '{');
	json_put_str(w->out, "mimeType", type_of(m));
	if (m->from == LLM_FROM_TEXT) {
		json_put_key(w->out, "data");
		buf_append_char(w->out, '"');
		base64_write(w->out, m->data);
		buf_append_char(w->out, '"');
	} else {
		put_plain(w->out, "data", m->data);
	}
	buf_append_char(w->out, '}');
}

/* A file's name belongs to one account; Google's own are addresses or begin so. */
static bool is_google_file(struct span name)
{
	return span_starts(name, SPAN("files/")) || span_starts(name, SPAN("https://")) ||
	       span_starts(name, SPAN("gs://"));
}

bool gemini_put_media(struct gemini_writer *w, const struct llm_media *m)
{
	if (m->from == LLM_FROM_FILE_ID && !is_google_file(m->data)) {
		err_param(w->err, "file_id");
		return err_set(w->err, ERR_UNSUPPORTED_PARAM,
			"A file given by its id is known to the provider alone that took it; give "
			"provider \"%.*s\" its content or an address",
			SPAN_ARG(w->t->provider));
	}
	if (m->detail.n > 0 && !span_is(m->detail, "auto"))
		llm_note(w->notes, "approx:image_detail");
	if (m->from == LLM_FROM_BASE64 || m->from == LLM_FROM_TEXT) {
		put_inline(w, m);
		return true;
	}
	json_put_open(w->out, "fileData", '{');
	json_put_str(w->out, "mimeType", type_of(m));
	json_put_str(w->out, "fileUri", m->data);
	buf_append_char(w->out, '}');
	return true;
}

/* ---- signatures ---- */

static bool fits(struct gemini_writer *w, const struct llm_state *s)
{
	if (s->maker == LLM_MAKER_NONE)
		return false;
	if (llm_state_fits(s, LLM_MAKER_GEMINI, w->t->provider))
		return true;
	llm_note(w->notes, "dropped:reasoning_state");
	return false;
}

static void put_signature(struct gemini_writer *w, const struct llm_state *s)
{
	if (fits(w, s))
		put_plain(w->out, "thoughtSignature", s->data);
}

/* A signature alone. Clients' formats can often not hold it in the block it was in. */
static bool is_bare_signature(struct gemini_writer *w, const struct llm_block *b)
{
	return b != NULL && b->kind == LLM_BLOCK_THINKING && b->text.n == 0 &&
	       llm_state_fits(&b->state, LLM_MAKER_GEMINI, w->t->provider);
}

/* ---- parts ---- */

static void put_text(struct buf *b, struct span text)
{
	json_put_open(b, NULL, '{');
	json_put_str(b, "text", text);
	buf_append_char(b, '}');
}

static bool is_object(struct span text)
{
	yyjson_doc *doc;
	bool ok;

	text = span_trim(text);
	if (text.n < 2 || *text.p != '{')
		return false;
	doc = json_read_raw(NULL, text, false, NULL);
	ok = yyjson_is_obj(yyjson_doc_get_root(doc));
	json_free(doc);
	return ok;
}

static bool put_call(struct gemini_writer *w, const struct llm_block *b,
	const struct llm_state *state, bool first)
{
	struct span name = gemini_fit_name(w->a, b->name);

	json_put_open(w->out, NULL, '{');
	json_put_open(w->out, "functionCall", '{');
	if (b->id.n > 0)
		json_put_str(w->out, "id", b->id);
	json_put_str(w->out, "name", name);
	if (!put_args(w->out, "args", b->args, b->custom))
		llm_note(w->notes, "approx:tool_arguments");
	buf_append_char(w->out, '}');
	if (fits(w, state))
		put_plain(w->out, "thoughtSignature", state->data);
	else if (first && w->model.needs_signature)
		json_put_cstr(w->out, "thoughtSignature", NO_SIGNATURE);
	buf_append_char(w->out, '}');
	return true;
}

/* The texts of a result as one; a copy only when there are several. */
static struct span result_text(struct gemini_writer *w, const struct llm_block *b)
{
	struct span text = {NULL, 0};

	for (const struct llm_block *c = b->content; c != NULL; c = c->next) {
		if (c->kind != LLM_BLOCK_TEXT && c->kind != LLM_BLOCK_REFUSAL)
			continue;
		if (text.n == 0)
			text = c->text;
		else
			text = arena_join(
				w->a, (const struct span[]){text, SPAN("\n"), c->text}, 3);
	}
	return text;
}

/* What can stand inside a result; older models get it as a part of its own. */
static bool goes_inside(const struct gemini_writer *w, const struct llm_block *c)
{
	return c->kind == LLM_BLOCK_MEDIA && w->model.generation >= 30 &&
	       (c->media.kind == LLM_MEDIA_IMAGE || c->media.kind == LLM_MEDIA_DOCUMENT);
}

static bool put_media_inside(struct gemini_writer *w, const struct llm_block *b)
{
	bool any = false;

	for (const struct llm_block *c = b->content; c != NULL; c = c->next) {
		if (!goes_inside(w, c))
			continue;
		if (!any)
			json_put_open(w->out, "parts", '[');
		any = true;
		json_put_open(w->out, NULL, '{');
		if (!gemini_put_media(w, &c->media))
			return false;
		buf_append_char(w->out, '}');
	}
	if (any)
		buf_append_char(w->out, ']');
	return true;
}

static bool put_result(struct gemini_writer *w, const struct llm_block *b)
{
	struct span text = result_text(w, b);

	json_put_open(w->out, NULL, '{');
	json_put_open(w->out, "functionResponse", '{');
	if (b->id.n > 0)
		json_put_str(w->out, "id", b->id);
	json_put_str(w->out, "name", gemini_fit_name(w->a, b->name.n > 0 ? b->name : b->id));
	if (!b->is_error && is_object(text)) {
		json_put_raw(w->out, "response", span_trim(text));
	} else {
		json_put_open(w->out, "response", '{');
		json_put_str(w->out, b->is_error ? "error" : "result", text);
		buf_append_char(w->out, '}');
	}
	if (!put_media_inside(w, b))
		return false;
	buf_append_cstr(w->out, "}}");
	return true;
}

/* Media of results that could not stand in them: behind the last result. */
static bool put_results_media(struct gemini_writer *w, const struct llm_turn *t)
{
	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
		if (b->kind != LLM_BLOCK_TOOL_RESULT)
			continue;
		for (const struct llm_block *c = b->content; c != NULL; c = c->next) {
			if (c->kind != LLM_BLOCK_MEDIA || goes_inside(w, c))
				continue;
			json_put_open(w->out, NULL, '{');
			if (!gemini_put_media(w, &c->media))
				return false;
			buf_append_char(w->out, '}');
		}
	}
	return true;
}

static void put_thinking(struct gemini_writer *w, const struct llm_block *b)
{
	/* What the model thought, without a signature, is no part of its memory. */
	if (b->state.maker == LLM_MAKER_NONE)
		llm_note(w->notes, "dropped:reasoning_content");
	if (!fits(w, &b->state))
		return;
	json_put_open(w->out, NULL, '{');
	json_put_str(w->out, "text", b->text);
	if (b->text.n > 0)
		json_put_bool(w->out, "thought", true);
	put_signature(w, &b->state);
	buf_append_char(w->out, '}');
}

/* ---- turns ---- */

/* One turn being written. */
struct turn {
	bool seen_call, results_done;
	const struct llm_block *bare; /* a signature that waits for the part it belongs to */
};

static void flush_bare(struct gemini_writer *w, struct turn *turn)
{
	if (turn->bare != NULL)
		put_thinking(w, turn->bare);
	turn->bare = NULL;
}

/*
 * The state of a block, its own or from the bare signature beside it: clients' formats carry a
 * call's signature in a block before it or after it. *b moves over one that was after it.
 */
static struct llm_state state_of(
	struct gemini_writer *w, struct turn *turn, const struct llm_block **b, bool after)
{
	struct llm_state state = (*b)->state;

	if (state.maker != LLM_MAKER_NONE) {
		flush_bare(w, turn);
	} else if (turn->bare != NULL) {
		state = turn->bare->state;
		turn->bare = NULL;
	} else if (after && is_bare_signature(w, (*b)->next)) {
		*b = (*b)->next;
		state = (*b)->state;
	}
	return state;
}

static bool put_block(struct gemini_writer *w, struct turn *turn, const struct llm_block **at)
{
	const struct llm_block *b = *at;
	struct llm_state state;

	switch (b->kind) {
	case LLM_BLOCK_TEXT:
	case LLM_BLOCK_REFUSAL:
		state = state_of(w, turn, at, false);
		json_put_open(w->out, NULL, '{');
		json_put_str(w->out, "text", b->text);
		put_signature(w, &state);
		buf_append_char(w->out, '}');
		return true;
	case LLM_BLOCK_MEDIA:
		state = state_of(w, turn, at, true);
		json_put_open(w->out, NULL, '{');
		if (!gemini_put_media(w, &b->media))
			return false;
		put_signature(w, &state);
		buf_append_char(w->out, '}');
		return true;
	case LLM_BLOCK_THINKING:
		flush_bare(w, turn);
		if (is_bare_signature(w, b))
			turn->bare = b;
		else
			put_thinking(w, b);
		return true;
	case LLM_BLOCK_TOOL_CALL:
		state = state_of(w, turn, at, true);
		put_call(w, b, &state, !turn->seen_call);
		turn->seen_call = true;
		return true;
	case LLM_BLOCK_TOOL_RESULT:
		return put_result(w, b);
	case LLM_BLOCK_NATIVE:
		flush_bare(w, turn);
		if (b->native_op == LLM_OP_GENERATE)
			json_put_val(w->out, NULL, b->native);
		return true;
	case LLM_BLOCK_SEARCH:
		return true;
	}
	return true;
}

static bool put_turn(struct gemini_writer *w, const struct llm_turn *t)
{
	struct turn turn = {.results_done = false};
	size_t before;

	json_put_open(w->out, NULL, '{');
	json_put_cstr(w->out, "role", t->role == LLM_ROLE_ASSISTANT ? "model" : "user");
	json_put_open(w->out, "parts", '[');
	before = w->out->n;
	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
		if (b->cache != LLM_CACHE_NONE)
			llm_note(w->notes, "dropped:cache_control");
		if (b->kind != LLM_BLOCK_TOOL_RESULT && !turn.results_done) {
			turn.results_done = true;
			if (!put_results_media(w, t))
				return false;
		}
		if (!put_block(w, &turn, &b))
			return false;
	}
	if (!turn.results_done && !put_results_media(w, t))
		return false;
	flush_bare(w, &turn);
	/* A turn without parts is refused; without the turn two of one role would meet. */
	if (w->out->n == before)
		put_text(w->out, SPAN("."));
	buf_append_cstr(w->out, "]}");
	return true;
}

static void open_system(struct gemini_writer *w, bool *any)
{
	if (*any)
		return;
	*any = true;
	json_put_open(w->out, "systemInstruction", '{');
	json_put_open(w->out, "parts", '[');
}

static void put_format_words(struct gemini_writer *w)
{
	struct buf b;

	buf_init(&b, 1u << 20);
	buf_append_cstr(&b, "Answer with JSON alone, without any other text");
	if (w->q->format.schema != NULL) {
		buf_append_cstr(&b, ". It must be valid for this JSON Schema: ");
		json_write(&b, w->q->format.schema);
	}
	w->out->failed |= b.failed;
	put_text(w->out, buf_span(&b));
	buf_done(&b);
	llm_note(w->notes, "approx:response_format");
}

static void put_system(struct gemini_writer *w, const struct llm_turn **at)
{
	const struct llm_turn *t = *at;
	bool any = false;

	for (; t != NULL && t->role == LLM_ROLE_SYSTEM; t = t->next)
		for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
			if (b->cache != LLM_CACHE_NONE)
				llm_note(w->notes, "dropped:cache_control");
			if (b->kind != LLM_BLOCK_TEXT)
				continue;
			open_system(w, &any);
			put_text(w->out, b->text);
		}
	*at = t;
	if (gemini_format_in_words(w)) {
		open_system(w, &any);
		put_format_words(w);
	}
	if (any)
		buf_append_cstr(w->out, "]}");
}

bool gemini_put_contents(struct gemini_writer *w)
{
	const struct llm_turn *t = llm_repair_turns(w->q,
		LLM_MERGE_ROLES | LLM_PAIR_CALLS | LLM_DROP_EMPTY | LLM_DROP_NAMES |
			LLM_SYSTEM_AS_USER | LLM_USER_FIRST,
		w->a, w->notes);

	if (w->a->failed)
		return err_set(w->err, ERR_NO_MEMORY, NULL);
	put_system(w, &t);
	json_put_open(w->out, "contents", '[');
	for (; t != NULL; t = t->next)
		if (!put_turn(w, t))
			return false;
	buf_append_char(w->out, ']');
	return true;
}
