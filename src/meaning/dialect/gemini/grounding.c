/* SPDX-License-Identifier: Apache-2.0 */
/* What an answer is based on: searches, sources, and where in the text they stand. */
#include "meaning/dialect/gemini/gemini.h"
#include "meaning/llm/names.h"

#define MAX_TEXT_BYTES (4u << 20)
#define MAX_SOURCES 256
#define MAX_CITATIONS 1024
#define MAX_SEARCHES 32

void gemini_keep_text(struct arena *a, struct gemini_text *text, struct span piece)
{
	if (text->lost || piece.n == 0)
		return;
	if (piece.n > MAX_TEXT_BYTES - text->n) {
		text->lost = true;
		return;
	}
	if (text->n + piece.n > text->cap) {
		size_t cap = (text->n + piece.n) * 2 + 1024;
		char *p = arena_alloc(a, cap);

		if (p == NULL)
			return;
		if (text->n > 0)
			memcpy(p, text->p, text->n);
		text->p = p;
		text->cap = cap;
	}
	memcpy(text->p + text->n, piece.p, piece.n);
	text->n += piece.n;
}

/* ---- offsets ---- */

/* Counts characters up to a byte; goes on from the last answer, as sources mostly ascend. */
struct cursor {
	const struct gemini_text *text;
	size_t byte;
	int64_t chars;
};

static int64_t chars_before(struct cursor *c, size_t byte)
{
	if (byte < c->byte) {
		c->byte = 0;
		c->chars = 0;
	}
	for (; c->byte < byte && c->byte < c->text->n; c->byte++)
		c->chars += ((unsigned char)c->text->p[c->byte] & 0xc0) != 0x80;
	return c->chars;
}

static bool stands_at(const struct gemini_text *text, int64_t start, struct span quote)
{
	return (size_t)start <= text->n && quote.n <= text->n - (size_t)start &&
	       memcmp(text->p + start, quote.p, quote.n) == 0;
}

/* Byte offsets count within a part, and there may have been several: the quote decides. */
static void place(struct cursor *c, int64_t start, int64_t end, struct llm_citation *out)
{
	const struct gemini_text *text = c->text;

	out->start = out->end = -1;
	if (text->n == 0 || text->lost)
		return;
	if (out->quote.n > 0 && !stands_at(text, start, out->quote)) {
		start = span_find((struct span){text->p, text->n}, out->quote);
		end = start + (int64_t)out->quote.n;
	}
	if (start < 0 || end <= start || (size_t)end > text->n)
		return;
	out->start = chars_before(c, (size_t)start);
	out->end = chars_before(c, (size_t)end);
}

/* ---- sources ---- */

static void read_source(yyjson_val *chunk, struct llm_citation *out)
{
	static const char *const kinds[] = {"web", "retrievedContext", "maps", "image"};
	yyjson_val *source = NULL;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && source == NULL; i++)
		source = json_get(chunk, kinds[i]);
	if (!json_get_str(source, "uri", &out->url))
		json_get_str(source, "sourceUri", &out->url);
	json_get_str(source, "title", &out->title);
	out->native = chunk;
}

static bool read_support(struct reading *r, yyjson_val *support, yyjson_val *const *chunks,
	size_t n_chunks, struct cursor *cursor, int *left)
{
	yyjson_val *segment = json_get(support, "segment"), *index;
	int64_t start = 0, end = -1;
	size_t i, max;

	json_get_count(segment, "startIndex", &start);
	json_get_count(segment, "endIndex", &end);
	yyjson_arr_foreach(json_get(support, "groundingChunkIndices"), i, max, index)
	{
		struct llm_citation c = {.document = -1};
		int64_t n;

		if (!json_int(index, &n) || n < 0 || (size_t)n >= n_chunks || (*left)-- <= 0)
			continue;
		read_source(chunks[n], &c);
		json_get_str(segment, "text", &c.quote);
		place(cursor, start, end, &c);
		if (!flow_citation(&r->flow, &c))
			return false;
	}
	return true;
}

bool gemini_read_sources(struct reading *r, yyjson_val *grounding, const struct gemini_text *text)
{
	yyjson_val *chunks[MAX_SOURCES], *item;
	yyjson_val *supports = json_get(grounding, "groundingSupports");
	struct cursor cursor = {.text = text};
	size_t n = 0, i, max;
	int left = MAX_CITATIONS;

	yyjson_arr_foreach(json_get(grounding, "groundingChunks"), i, max, item)
	{
		if (n < MAX_SOURCES)
			chunks[n++] = item;
	}
	yyjson_arr_foreach(supports, i, max, item)
	{
		if (!read_support(r, item, chunks, n, &cursor, &left))
			return false;
	}
	if (yyjson_arr_size(supports) > 0)
		return true;
	/* Sources without a place are sources still. */
	for (i = 0; i < n; i++) {
		struct llm_citation c = {.start = -1, .end = -1, .document = -1};

		read_source(chunks[i], &c);
		if ((c.url.n > 0 || c.title.n > 0) && !flow_citation(&r->flow, &c))
			return false;
	}
	return true;
}

bool gemini_read_citations(struct reading *r, yyjson_val *citations, const struct gemini_text *text)
{
	yyjson_val *list = json_get(citations, "citationSources"), *item;
	struct cursor cursor = {.text = text};
	size_t i, max;

	if (list == NULL)
		list = json_get(citations, "citations");
	yyjson_arr_foreach(list, i, max, item)
	{
		struct llm_citation c = {.document = -1, .native = item};
		int64_t start = 0, end = -1;

		if (i == MAX_CITATIONS)
			break;
		json_get_str(item, "uri", &c.url);
		json_get_str(item, "title", &c.title);
		json_get_count(item, "startIndex", &start);
		json_get_count(item, "endIndex", &end);
		place(&cursor, start, end, &c);
		if (!flow_citation(&r->flow, &c))
			return false;
	}
	return true;
}

bool gemini_read_searches(struct reading *r, yyjson_val *grounding)
{
	yyjson_val *queries = json_get(grounding, "webSearchQueries"), *item;
	size_t i, max, n = yyjson_arr_size(queries);

	if (n > MAX_SEARCHES)
		n = MAX_SEARCHES;
	yyjson_arr_foreach(queries, i, max, item)
	{
		struct span id, query;

		if (i == n)
			break;
		if (!yyjson_is_str(item))
			continue;
		query = (struct span){yyjson_get_str(item), yyjson_get_len(item)};
		id = llm_make_id(r->arena, r->flow.id_seed, UINT64_MAX - i);
		if (id.p == NULL)
			return err_set(&r->err, ERR_NO_MEMORY, NULL);
		/* All searches have their results together: the last one shows them. */
		if (!flow_search(
			    &r->flow, id, query, LLM_OP_GENERATE, i + 1 == n ? grounding : NULL))
			return false;
	}
	return true;
}
