/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"
#include "machine/http/multipart.h"

/*
 * Bodies of multipart/form-data: files with a few fields. Pass mode: what the client sent goes on
 * byte by byte, but for the model's name and the `requesty` field.
 */

bool form_is_wanted(const struct exchange *x)
{
	enum llm_op op = x->endpoint->op;

	return op == LLM_OP_TRANSCRIPTIONS || op == LLM_OP_TRANSLATIONS;
}

static bool take(struct exchange *x, const struct multipart *m, const char *name,
	const struct multipart_part **out)
{
	bool twice;

	*out = multipart_find(m, span_of(name), &twice);
	if (!twice)
		return true;
	err_param(&x->err, name);
	return err_set(&x->err, ERR_BAD_REQUEST, "'%s' is given more than once", name);
}

static bool read_requesty(struct exchange *x, const struct multipart_part *part)
{
	struct span text = arena_join(&x->arena,
		(const struct span[]){SPAN("{\"requesty\":"), part->content, SPAN("}")}, 3);
	yyjson_doc *doc;
	bool ok;

	if (text.p == NULL)
		return err_set(&x->err, ERR_NO_MEMORY, NULL);
	doc = json_read(NULL, text, NULL);
	if (doc == NULL) {
		err_param(&x->err, "requesty");
		return err_set(&x->err, ERR_BAD_REQUEST, "'requesty' must be a JSON object");
	}
	ok = dialect_read_requesty(yyjson_doc_get_root(doc), text, &x->arena, &x->meta, &x->err);
	json_free(doc);
	return ok;
}

static void note_parts(struct exchange *x, const struct multipart *m)
{
	for (int i = 0; i < m->n; i++)
		if (m->parts[i].filename.p == NULL)
			x->text_bytes += m->parts[i].content.n;
}

bool form_read(struct exchange *x, struct span boundary)
{
	const struct multipart_part *model, *stream, *requesty, *file;
	struct multipart m;

	if (!multipart_read(buf_span(&x->body), boundary, &m, &x->err) ||
		!take(x, &m, "model", &model) || !take(x, &m, "stream", &stream) ||
		!take(x, &m, "requesty", &requesty) ||
		(form_is_wanted(x) && !take(x, &m, "file", &file)))
		return false;
	if (form_is_wanted(x) && (file == NULL || file->content.n == 0)) {
		err_param(&x->err, "file");
		return err_set(
			&x->err, ERR_BAD_REQUEST, "'file' is missing: the sound to write down");
	}
	x->facts = (struct llm_facts){.max_output = -1, .choices = 1, .wants_usage = true};
	x->form.boundary = arena_copy(&x->arena, boundary);
	if (model != NULL) {
		x->form.model = model->content;
		x->facts.model = arena_copy(&x->arena, span_trim(model->content));
	}
	x->facts.stream = stream != NULL && span_is(span_trim(stream->content), "true");
	if (requesty != NULL && !read_requesty(x, requesty))
		return false;
	if (requesty != NULL)
		x->form.requesty = requesty->whole;
	note_parts(x, &m);
	return !x->arena.failed || err_set(&x->err, ERR_NO_MEMORY, NULL);
}

/* The spans of the body between what is replaced. */
struct cutter {
	struct exchange *x;
	struct span rest;
};

static void cut(struct cutter *c, struct span old, struct span put)
{
	struct exchange *x = c->x;
	size_t at;

	if (old.p == NULL)
		return;
	at = (size_t)(old.p - c->rest.p);
	x->body_spans[x->n_body++] = span_head(c->rest, at);
	if (put.n > 0)
		x->body_spans[x->n_body++] = put;
	c->rest = span_skip(c->rest, at + old.n);
}

bool form_edit(struct exchange *x)
{
	struct cutter c = {x, buf_span(&x->body)};
	const struct span none = {NULL, 0};

	x->n_body = 0;
	if (x->form.model.p == NULL) {
		const struct span part[] = {SPAN("--"), x->form.boundary,
			SPAN("\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n"),
			x->upstream_model, SPAN("\r\n")};

		/* The body begins with a boundary of its own, or with lines nobody reads. */
		x->body_spans[x->n_body++] = arena_join(&x->arena, part, 5);
		cut(&c, x->form.requesty, none);
	} else if (x->form.requesty.p == NULL || x->form.model.p < x->form.requesty.p) {
		cut(&c, x->form.model, x->upstream_model);
		cut(&c, x->form.requesty, none);
	} else {
		cut(&c, x->form.requesty, none);
		cut(&c, x->form.model, x->upstream_model);
	}
	x->body_spans[x->n_body++] = c.rest;
	return !x->arena.failed || err_set(&x->err, ERR_NO_MEMORY, NULL);
}
