/* SPDX-License-Identifier: Apache-2.0 */
/* Embeddings of the Gemini API (batchEmbedContents) and of Vertex AI (predict). */
#include "machine/base/json_put.h"
#include "machine/base/text.h"
#include "meaning/dialect/embedding.h"

static int gemini_max(struct span model)
{
	return 100;
}

/* Vertex takes one text a call for its newest models, lists for the older. */
static int vertex_max(struct span model)
{
	return span_find(model, SPAN("gemini-embedding")) >= 0 ? 1 : 250;
}

/* TaskType; by the names that Cohere's clients use, or the API's own. */
static struct span task_of(struct span said)
{
	static const char *const names[][2] = {{"search_query", "RETRIEVAL_QUERY"},
		{"query", "RETRIEVAL_QUERY"}, {"search_document", "RETRIEVAL_DOCUMENT"},
		{"document", "RETRIEVAL_DOCUMENT"}, {"classification", "CLASSIFICATION"},
		{"clustering", "CLUSTERING"}};
	static const char *const own[] = {"RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT",
		"SEMANTIC_SIMILARITY", "CLASSIFICATION", "CLUSTERING", "QUESTION_ANSWERING",
		"FACT_VERIFICATION", "CODE_RETRIEVAL_QUERY"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_is(said, names[i][0]))
			return span_of(names[i][1]);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (span_is(said, own[i]))
			return said;
	return (struct span){NULL, 0};
}

static bool gemini_write(const struct embed_request *q, const struct embed_input *first, int n,
	struct span model, struct buf *out, struct err *err)
{
	struct span task = task_of(q->input_type);

	if (!embed_check_texts(first, n, model, err))
		return false;
	buf_append_char(out, '{');
	json_put_open(out, "requests", '[');
	for (; n > 0 && first != NULL; n--, first = first->next) {
		json_put_open(out, NULL, '{');
		/* The name stands in the address as well: no blank or quote is part of it. */
		json_put_key(out, "model");
		buf_append_cstr(out, "\"models/");
		for (size_t i = 0; i < model.n; i++)
			if (model.p[i] != '"' && model.p[i] != '\\' &&
				(unsigned char)model.p[i] > ' ')
				buf_append_char(out, model.p[i]);
		buf_append_char(out, '"');
		json_put_open(out, "content", '{');
		json_put_open(out, "parts", '[');
		json_put_open(out, NULL, '{');
		json_put_str(out, "text", first->text);
		buf_append_cstr(out, "}]}");
		if (task.n > 0)
			json_put_str(out, "taskType", task);
		if (q->dimensions > 0)
			json_put_int(out, "outputDimensionality", q->dimensions);
		buf_append_char(out, '}');
	}
	buf_append_cstr(out, "]}");
	return !out->failed || err_set(err, ERR_NO_MEMORY, NULL);
}

/* Vectors cut to fewer dimensions are not of length 1 there, as OpenAI's are. */
static void note_cut(const struct embed_request *q, struct embed_answer *answer)
{
	answer->normalize |= q->dimensions > 0;
}

static bool gemini_read(yyjson_val *root, const struct embed_request *q, struct arena *a,
	struct embed_answer *answer, struct err *err)
{
	const struct span none = {NULL, 0};
	yyjson_val *list = json_get(root, "embeddings"), *item;
	int64_t tokens = -1;
	size_t i, max;

	if (yyjson_arr_size(list) == 0)
		return embed_refuse(root, err);
	yyjson_arr_foreach(list, i, max, item)
	{
		yyjson_val *values = json_get(item, "values");

		if (!yyjson_is_arr(values))
			return embed_refuse(root, err);
		if (!embed_add(a, answer, values, none, err))
			return false;
	}
	json_get_count(json_get(root, "usageMetadata"), "promptTokenCount", &tokens);
	embed_count(answer, tokens);
	note_cut(q, answer);
	return true;
}

const struct embed_format embed_gemini = {gemini_max, gemini_write, gemini_read};

/* ---- Vertex ---- */

static bool vertex_write(const struct embed_request *q, const struct embed_input *first, int n,
	struct span model, struct buf *out, struct err *err)
{
	struct span task = task_of(q->input_type);

	if (!embed_check_texts(first, n, model, err))
		return false;
	buf_append_char(out, '{');
	json_put_open(out, "instances", '[');
	for (; n > 0 && first != NULL; n--, first = first->next) {
		json_put_open(out, NULL, '{');
		json_put_str(out, "content", first->text);
		if (task.n > 0)
			json_put_str(out, "task_type", task);
		buf_append_char(out, '}');
	}
	buf_append_char(out, ']');
	if (q->dimensions > 0) {
		json_put_open(out, "parameters", '{');
		json_put_int(out, "outputDimensionality", q->dimensions);
		buf_append_char(out, '}');
	}
	buf_append_char(out, '}');
	return !out->failed || err_set(err, ERR_NO_MEMORY, NULL);
}

static bool vertex_read(yyjson_val *root, const struct embed_request *q, struct arena *a,
	struct embed_answer *answer, struct err *err)
{
	const struct span none = {NULL, 0};
	yyjson_val *list = json_get(root, "predictions"), *item;
	size_t i, max;

	if (yyjson_arr_size(list) == 0)
		return embed_refuse(root, err);
	yyjson_arr_foreach(list, i, max, item)
	{
		yyjson_val *made = json_get(item, "embeddings");
		yyjson_val *values = json_get(made, "values");
		struct span number;
		int64_t tokens = -1;

		if (!yyjson_is_arr(values))
			return embed_refuse(root, err);
		if (!embed_add(a, answer, values, none, err))
			return false;
		/* Written as 6.0 by some regions. */
		number = json_number(json_get(json_get(made, "statistics"), "token_count"));
		if (span_ends(number, SPAN(".0")))
			number.n -= 2;
		if (!json_get_count(json_get(made, "statistics"), "token_count", &tokens))
			text_i64(number, &tokens);
		embed_count(answer, tokens);
	}
	note_cut(q, answer);
	return true;
}

const struct embed_format embed_vertex = {vertex_max, vertex_write, vertex_read};
