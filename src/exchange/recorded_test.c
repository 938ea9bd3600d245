/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real exchanges with providers, from a folder beside the project that is not part of it: every
 * answer is read, compared with a plain walk over its JSON, written in every format and read again.
 * Skips where the folder is absent.
 */
#include "exchange/recorded_kit_test.h"
#include "exchange/recorded_walk_test.h"
#include "machine/http/eventstream.h"
#include "machine/http/sse.h"

static int n_answers, n_streams, n_errors;

/* ---- answers ---- */

/* A stream on its way through a framing to the walk, a codec or both. */
struct pump {
	struct kit_answer *k;
	struct walk *walk;
	enum llm_op op;
	bool ok;
};

static bool pump_event(struct pump *p, struct span name, struct span data)
{
	yyjson_doc *doc;

	if (data.p == NULL)
		return true;
	if (p->walk != NULL) {
		doc = json_read_raw(NULL, span_trim(data), true, NULL);
		walk_any(p->walk, p->op, yyjson_doc_get_root(doc));
		json_free(doc);
	}
	p->ok = p->ok && (p->k == NULL || kit_event(p->k, name, data));
	return p->ok;
}

static bool on_sse(void *user, const struct sse_event *ev)
{
	return pump_event(user, ev->name, ev->data);
}

static bool on_frame(void *user, const struct eventstream_event *ev)
{
	return pump_event(user, ev->name, ev->payload);
}

/* The body in two pieces, or with cut 0 byte by byte. */
static void pump_body(const struct record *r, struct pump *p, size_t cut)
{
	struct span rest = buf_span(&r->body);
	struct eventstream frames;
	struct err err = {0};
	struct sse events;
	bool ok = true;

	eventstream_init(&frames, 16 << 20);
	sse_init(&events, 16 << 20);
	while (rest.n > 0 && ok) {
		struct span piece = span_head(rest, cut > 0 ? cut : 1);

		rest = span_skip(rest, piece.n);
		if (cut > 0)
			cut = rest.n;
		ok = r->binary ? eventstream_feed(&frames, piece, on_frame, p, &err)
			       : sse_feed(&events, piece, on_sse, p, &err);
	}
	ok = ok && (r->binary ? eventstream_end(&frames, &err) : sse_end(&events, on_sse, p, &err));
	p->ok = p->ok && ok && (p->k == NULL || kit_end(p->k));
	eventstream_done(&frames);
	sse_done(&events);
}

/* The request that was asked, so that tools are known; what it hides is shown here. */
static struct llm_request *read_asked(const struct record *r, struct arena *a)
{
	struct llm_request *q = llm_request_new(a);
	struct err err = {0};

	if (yyjson_is_obj(r->request) &&
		!r->format->dialect->codec->read_request(r->request, a, q, &err))
		failed(r, "request: %s", err.text);
	q->wants_usage = true;
	q->reasoning.show = LLM_YES;
	return q;
}

static void explain(const struct record *r, const char *where, const char *what,
	const struct kit_said *a, const struct kit_said *b)
{
	failed(r,
		"%s: %s differs\n%.400s\n--\n%.400s\n%.400s--\n%.400s\n%lld %lld %lld %lld %lld "
		"%lld "
		"%lld, %lld %lld %lld %lld %lld %lld %lld, %d %d",
		where, what, a->text.n > 0 ? a->text.mem : "", b->text.n > 0 ? b->text.mem : "",
		a->calls.n > 0 ? a->calls.mem : "", b->calls.n > 0 ? b->calls.mem : "",
		(long long)a->usage.input_uncached, (long long)a->usage.cache_read,
		(long long)a->usage.cache_write_5m, (long long)a->usage.cache_write_1h,
		(long long)a->usage.input_audio, (long long)a->usage.output,
		(long long)a->usage.reasoning, (long long)b->usage.input_uncached,
		(long long)b->usage.cache_read, (long long)b->usage.cache_write_5m,
		(long long)b->usage.cache_write_1h, (long long)b->usage.input_audio,
		(long long)b->usage.output, (long long)b->usage.reasoning, (int)a->stop,
		(int)b->stop);
}

static void same_as_walk(const struct record *r, struct kit_answer *k, const struct walk *w)
{
	const struct llm_usage *u = &k->whole.usage;
	struct kit_said walked, read;
	const char *what;

	kit_said_init(&walked);
	kit_said_init(&read);
	walk_take(w, &walked);
	kit_said_take(&read, &k->whole, NULL);
	if (w->input != llm_usage_input(u) || w->cached != u->cache_read ||
		w->output != u->output || (w->reasoned > 0 && w->reasoned != u->reasoning))
		failed(r, "usage %lld %lld %lld %lld is read as %lld %lld %lld %lld",
			(long long)w->input, (long long)w->cached, (long long)w->output,
			(long long)w->reasoned, (long long)llm_usage_input(u),
			(long long)u->cache_read, (long long)u->output, (long long)u->reasoning);
	walked.usage = read.usage;
	what = kit_said_differ(&walked, &read);
	if (what != NULL)
		explain(r, "read", what, &walked, &read);
	kit_said_done(&walked);
	kit_said_done(&read);
}

/* The opaque pieces: only in their own format can they be told from others. */
static bool same_states(const struct llm_message *a, const struct llm_message *b)
{
	struct buf all[2];
	bool same;

	for (int i = 0; i < 2; i++) {
		buf_init(&all[i], 64 << 20);
		for (const struct llm_part *p = (i == 0 ? a : b)->parts; p != NULL; p = p->next) {
			struct llm_state s; /* it goes out wrapped, with whose it is */

			llm_state_read(p->state.data, p->state.maker, &s);
			buf_append(&all[i], s.data);
		}
	}
	same = span_eq(buf_span(&all[0]), buf_span(&all[1]));
	buf_done(&all[0]);
	buf_done(&all[1]);
	return same;
}

/* What was written in a format reads the same again. */
static void check_written(
	const struct record *r, struct kit_answer *k, const struct kit_format *to, bool stream)
{
	struct kit_said first, second;
	struct kit_answer again;
	const char *what;
	struct buf body;
	bool ok;
	char where[64];

	snprintf(where, sizeof(where), "%s, %s", to->dialect->name, stream ? "streamed" : "whole");
	buf_init(&body, 64 << 20);
	kit_said_init(&first);
	kit_said_init(&second);
	kit_begin(&again, to, NULL, r->model, false);
	if (stream)
		ok = kit_read_stream(&again, buf_span(&k->outputs[to - kit_formats].stream));
	else
		ok = kit_write_whole(k, to, &body) && kit_whole(&again, buf_span(&body));
	kit_said_take(&first, &k->whole, to);
	kit_said_take(&second, &again.whole, to);
	what = kit_said_differ(&first, &second);
	if (what == NULL && to == r->format && to->dialect->codec->maker != LLM_MAKER_NONE &&
		!same_states(&k->whole, &again.whole))
		what = "opaque reasoning";
	if (!ok || again.broken != NULL)
		failed(r, "%s: %s %s", where, again.r.err.text,
			again.broken != NULL ? again.broken : "");
	else if (what != NULL)
		explain(r, where, what, &first, &second);
	kit_done(&again);
	kit_said_done(&first);
	kit_said_done(&second);
	buf_done(&body);
}

static void check_answer(const struct record *r)
{
	struct kit_answer k;
	struct arena asked;
	struct walk walk;
	bool ok;

	if (r->status != 200)
		return;
	arena_init(&asked, 64 << 20);
	walk_init(&walk);
	kit_begin(&k, r->format, read_asked(r, &asked), r->model, true);
	if (r->stream) {
		struct pump p = {.k = &k, .walk = &walk, .op = r->format->op, .ok = true};

		pump_body(r, &p, r->body.n);
		ok = p.ok;
		n_streams++;
	} else {
		yyjson_doc *doc = json_read_raw(NULL, buf_span(&r->body), true, NULL);

		walk_any(&walk, r->format->op, yyjson_doc_get_root(doc));
		json_free(doc);
		ok = kit_whole(&k, buf_span(&r->body));
		n_answers++;
	}
	if (walk.error[0] != '\0') {
		n_errors++;
		if (ok || strncmp(k.r.err.text, walk.error, strlen(walk.error)) != 0)
			failed(r, "the error \"%s\" is read as \"%s\"", walk.error, k.r.err.text);
	} else if (!ok || k.broken != NULL) {
		failed(r, "%s %s", k.r.err.text, k.broken != NULL ? k.broken : "");
	} else {
		same_as_walk(r, &k, &walk);
		for (int i = 0; i < KIT_FORMATS; i++) {
			check_written(r, &k, &kit_formats[i], true);
			check_written(r, &k, &kit_formats[i], false);
		}
	}
	kit_done(&k);
	walk_done(&walk);
	arena_done(&asked);
}

static void answers_say_the_same_in_every_format(void **state)
{
	each_record(check_answer);
	print_message("%d answers, %d streams, %d errors inside\n", n_answers, n_streams, n_errors);
	assert_true(n_answers >= 700 && n_streams >= 60 && n_errors >= 2);
}

/* ---- what is none of these ---- */

static int n_others;

/*
 * An exchange that no dialect reads is no answer of a model: tokens are counted, vectors made
 * (embedding_test reads those), or something is kept at the provider.
 */
static void check_other(const struct record *r)
{
	static const char *const kinds[] = {"count_tokens", "count-tokens", ":countTokens",
		"/input_tokens", "/tokenize", "mbed", "application-inference-profile", "/files",
		"/vector_stores", "fileSearchStore", "/conversations", "/responses/compact"};

	n_others++;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (span_find(r->path, span_of(kinds[i])) >= 0)
			return;
	failed(r, "no dialect reads %.*s", SPAN_ARG(r->path));
}

static void pass_over(const struct record *r)
{
}

static void every_answer_is_read_by_a_dialect(void **state)
{
	on_other = check_other;
	each_record(pass_over);
	on_other = NULL;
	print_message("%d are no answers of a model\n", n_others);
	assert_true(n_others > 0);
}

/* ---- errors ---- */

static int n_refusals;

/* Whatever the shape, a person reads the provider's own words. */
static void check_error(const struct record *r)
{
	struct span message = {NULL, 0};
	struct err err = {0};
	char type[64], code[64];

	if (r->status < 400)
		return;
	n_refusals++;
	if (!json_get_str(json_get(r->response, "error"), "message", &message))
		json_get_str(r->response, "message", &message);
	r->format->dialect->read_error((int)r->status, buf_span(&r->body), NULL, &err, type, code);
	if (err.code == ERR_OK || message.n == 0 || !span_starts(message, span_of(err.text)))
		failed(r, "the error \"%.*s\" is read as \"%s\"", SPAN_ARG(message), err.text);
}

static void errors_have_their_words(void **state)
{
	each_record(check_error);
	print_message("%d errors\n", n_refusals);
	assert_true(n_refusals >= 20);
}

/* ---- the same stream, cut elsewhere ---- */

#define CUT_EVERYWHERE 4096 /* bytes: longer streams are cut at some places */
#define SOME_CUTS 60

static void read_cut(const struct record *r, struct kit_answer *k, struct arena *asked, size_t cut)
{
	struct pump p = {.k = k, .op = r->format->op, .ok = true};

	arena_init(asked, 64 << 20);
	kit_begin(k, r->format, read_asked(r, asked), r->model, true);
	pump_body(r, &p, cut);
}

static void check_cut(const struct record *r, const struct kit_answer *whole, size_t cut)
{
	struct kit_answer k;
	struct arena asked;

	read_cut(r, &k, &asked, cut);
	for (int i = 0; i < KIT_FORMATS; i++)
		if (!span_eq(buf_span(&k.outputs[i].stream), buf_span(&whole->outputs[i].stream)))
			failed(r, "cut at %zu: %s differs", cut, kit_formats[i].dialect->name);
	kit_done(&k);
	arena_done(&asked);
}

static void check_cuts(const struct record *r)
{
	struct kit_answer whole;
	struct arena asked;
	size_t step = r->body.n <= CUT_EVERYWHERE ? 1 : r->body.n / SOME_CUTS + 1;

	if (r->status != 200 || !r->stream)
		return;
	read_cut(r, &whole, &asked, r->body.n);
	for (size_t cut = 0; cut < r->body.n; cut += step)
		check_cut(r, &whole, cut);
	kit_done(&whole);
	arena_done(&asked);
}

static void streams_do_not_depend_on_how_they_are_cut(void **state)
{
	each_record(check_cuts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_say_the_same_in_every_format),
		cmocka_unit_test(every_answer_is_read_by_a_dialect),
		cmocka_unit_test(errors_have_their_words),
		cmocka_unit_test(streams_do_not_depend_on_how_they_are_cut),
	};

	if (!has_records())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
