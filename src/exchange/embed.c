/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/embed.h"
#include <inttypes.h>
#include "exchange/exchange.h"
#include "state/ledger/price.h"

#define ARENA_BYTES (64u << 20)

/* A document of the provider's: vectors point into it. */
struct answered {
	yyjson_doc *doc;
	struct answered *next;
};

struct embedding {
	struct arena arena;
	yyjson_doc *doc; /* the client's body */
	struct embed_request request;
	const struct embed_format *format;
	const struct embed_input *next; /* of the inputs: not asked for yet */
	int n_left;
	struct buf body; /* for the provider */
	struct answered *answered;
	struct embed_answer answer;
	size_t answer_bytes; /* of all documents */
};

static const struct provider_path *path_of(const struct exchange *x)
{
	return provider_path(&x->provider->setup, LLM_OP_EMBEDDINGS, x->upstream_model);
}

/*
 * Servers that speak OpenAI's format do not all know that vectors can be asked for as bytes, and
 * OpenAI's own SDKs ask for nothing else: where that is not sure the answer is checked and turned.
 */
bool embed_is_needed(const struct exchange *x)
{
	const struct provider_path *path = path_of(x);

	if (x->endpoint->op != LLM_OP_EMBEDDINGS || path == NULL)
		return false;
	return path->embed != NULL ||
	       (!x->provider->setup.type->embeds_base64 &&
		       span_find(buf_span(&x->body), SPAN("\"base64\"")) >= 0);
}

bool embed_read(struct exchange *x)
{
	struct embedding *e = ARENA_NEW(&x->arena, struct embedding);
	const struct embed_format *format = path_of(x)->embed;

	if (e == NULL)
		return err_set(&x->err, ERR_NO_MEMORY, NULL);
	arena_init(&e->arena, ARENA_BYTES);
	buf_init(&e->body, (size_t)x->snapshot->conf->max_body_bytes * 2 + (1u << 20));
	x->embedding = e;
	e->format = format != NULL ? format : &embed_openai;
	e->doc = json_read_raw(NULL, buf_span(&x->body), false, &x->err);
	if (e->doc == NULL ||
		!embed_read_request(yyjson_doc_get_root(e->doc), &e->arena, &e->request, &x->err))
		return false;
	e->next = e->request.inputs;
	e->n_left = e->request.n_inputs;
	return !e->arena.failed || err_set(&x->err, ERR_NO_MEMORY, NULL);
}

bool embed_write(struct exchange *x)
{
	struct embedding *e = x->embedding;
	int n = e->format->max_inputs(x->upstream_model);

	if (n > e->n_left)
		n = e->n_left;
	buf_clear(&e->body);
	if (!e->format->write_request(
		    &e->request, e->next, n, x->upstream_model, &e->body, &x->err))
		return false;
	e->n_left -= n;
	while (n-- > 0)
		e->next = e->next->next;
	x->body_spans[0] = buf_span(&e->body);
	x->n_body = 1;
	return true;
}

static bool keep(struct embedding *e, yyjson_doc *doc)
{
	struct answered *a = ARENA_NEW(&e->arena, struct answered);

	if (a == NULL) {
		json_free(doc);
		return false;
	}
	*a = (struct answered){doc, e->answered};
	e->answered = a;
	return true;
}

bool embed_take(struct exchange *x, struct span text, bool *more)
{
	struct embedding *e = x->embedding;
	yyjson_doc *doc = json_read_raw(NULL, text, true, NULL);

	if (doc == NULL)
		return err_set(&x->err, ERR_UPSTREAM_INVALID, "Provider \"%.*s\" answered with %s",
			SPAN_ARG(x->provider->name),
			text.n == 0 ? "an empty body" : "something that is not JSON");
	if (!keep(e, doc))
		return err_set(&x->err, ERR_NO_MEMORY, NULL);
	e->answer_bytes += text.n;
	if (e->answer_bytes > (size_t)x->snapshot->conf->max_answer_bytes)
		return err_set(&x->err, ERR_UPSTREAM_INVALID,
			"The provider's answers are over %" PRId64 " bytes",
			x->snapshot->conf->max_answer_bytes);
	if (!e->format->read_answer(
		    yyjson_doc_get_root(doc), &e->request, &e->arena, &e->answer, &x->err))
		return false;
	x->usage = (struct llm_usage){
		.present = !e->answer.tokens_unknown, .input_uncached = e->answer.input_tokens};
	*more = e->n_left > 0;
	return *more || e->answer.n_vectors == e->request.n_inputs ||
	       err_set(&x->err, ERR_UPSTREAM_INVALID,
		       "Provider \"%.*s\" answered with %d vectors for %d inputs",
		       SPAN_ARG(x->provider->name), e->answer.n_vectors, e->request.n_inputs);
}

bool embed_answer_client(struct exchange *x, struct buf *out)
{
	struct embedding *e = x->embedding;
	struct span cost = {NULL, 0};
	char text[32];

	/* What the provider did not count was estimated for the bill. */
	e->answer.input_tokens = llm_usage_input(&x->usage);
	if (x->cost_nusd != COST_UNKNOWN)
		cost = price_write(x->cost_nusd, text);
	return embed_write_answer(&e->request, &e->answer, x->target, cost, out, &x->err) &&
	       !out->failed;
}

/* A document takes about as much again as its text for its values. */
size_t embed_bytes(const struct embedding *e)
{
	return e != NULL ? e->arena.used_bytes + e->body.cap + 3 * e->answer_bytes : 0;
}

void embed_done(struct embedding *e)
{
	if (e == NULL)
		return;
	for (struct answered *a = e->answered; a != NULL; a = a->next)
		json_free(a->doc);
	json_free(e->doc);
	buf_done(&e->body);
	arena_done(&e->arena);
}
