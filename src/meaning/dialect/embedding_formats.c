/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of the providers that are no format of their own otherwise. */
#include "machine/base/json_put.h"
#include "meaning/dialect/embedding.h"

static struct span text_of(yyjson_val *v)
{
	return yyjson_is_str(v) ? (struct span){yyjson_get_str(v), yyjson_get_len(v)}
				: (struct span){NULL, 0};
}

static int64_t count_of(yyjson_val *object, const char *key)
{
	int64_t n = -1;

	json_get_count(object, key, &n);
	return n;
}

static bool finished(struct buf *out, struct err *err)
{
	return !out->failed || err_set(err, ERR_NO_MEMORY, NULL);
}

/* ---- OpenAI's ---- */

static int openai_max(struct span model)
{
	return EMBED_MAX_INPUTS;
}

static bool openai_write(const struct embed_request *q, const struct embed_input *first, int n,
	struct span model, struct buf *out, struct err *err)
{
	buf_append_char(out, '{');
	json_put_str(out, "model", model);
	json_put_open(out, "input", '[');
	for (; n > 0 && first != NULL; n--, first = first->next) {
		if (first->tokens != NULL)
			json_put_val(out, NULL, first->tokens);
		else
			json_put_str(out, NULL, first->text);
	}
	buf_append_char(out, ']');
	if (q->dimensions > 0)
		json_put_int(out, "dimensions", q->dimensions);
	json_put_cstr(out, "encoding_format", q->base64 ? "base64" : "float");
	if (q->user.n > 0)
		json_put_str(out, "user", q->user);
	if (q->input_type.n > 0)
		json_put_str(out, "input_type", q->input_type);
	buf_append_char(out, '}');
	return finished(out, err);
}

/* The items may come in any order: their index counts. */
static bool openai_read(yyjson_val *root, const struct embed_request *q, struct arena *a,
	struct embed_answer *answer, struct err *err)
{
	yyjson_val *list = json_get(root, "data"), *item, **by_index;
	size_t i, max, n = yyjson_arr_size(list);

	if (n == 0 || n > EMBED_MAX_INPUTS)
		return embed_refuse(root, err);
	by_index = arena_zalloc(a, n * sizeof(yyjson_val *));
	if (by_index == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	yyjson_arr_foreach(list, i, max, item)
	{
		int64_t index = count_of(item, "index");

		if (index < 0)
			index = (int64_t)i;
		if ((size_t)index >= n || by_index[index] != NULL)
			return embed_refuse(root, err);
		by_index[index] = json_get(item, "embedding");
	}
	for (i = 0; i < n; i++) {
		bool list_of_numbers = yyjson_is_arr(by_index[i]);

		if (!list_of_numbers && !yyjson_is_str(by_index[i]))
			return embed_refuse(root, err);
		if (!embed_add(a, answer, list_of_numbers ? by_index[i] : NULL,
			    text_of(by_index[i]), err))
			return false;
	}
	embed_count(answer, count_of(json_get(root, "usage"), "prompt_tokens"));
	return true;
}

const struct embed_format embed_openai = {openai_max, openai_write, openai_read};

/* ---- Cohere's, also on Bedrock ---- */

static int cohere_max(struct span model)
{
	return 96;
}

static struct span cohere_type(struct span said)
{
	static const char *const known[] = {
		"search_document", "search_query", "classification", "clustering"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (span_is(said, known[i]))
			return said;
	return span_is(said, "query") ? SPAN("search_query") : SPAN("search_document");
}

static void put_texts(struct buf *out, const struct embed_input *first, int n)
{
	json_put_open(out, "texts", '[');
	for (; n > 0 && first != NULL; n--, first = first->next)
		json_put_str(out, NULL, first->text);
	buf_append_char(out, ']');
}

static bool cohere_put(const struct embed_request *q, const struct embed_input *first, int n,
	struct span model, bool bedrock, struct buf *out, struct err *err)
{
	if (!embed_check_texts(first, n, model, err))
		return false;
	buf_append_char(out, '{');
	if (!bedrock)
		json_put_str(out, "model", model);
	put_texts(out, first, n);
	json_put_str(out, "input_type", cohere_type(q->input_type));
	json_put_raw(out, "embedding_types", SPAN("[\"float\"]"));
	if (q->dimensions > 0)
		json_put_int(out, "output_dimension", q->dimensions);
	buf_append_char(out, '}');
	return finished(out, err);
}

static bool cohere_write(const struct embed_request *q, const struct embed_input *first, int n,
	struct span model, struct buf *out, struct err *err)
{
	return cohere_put(q, first, n, model, false, out, err);
}

static bool bedrock_cohere_write(const struct embed_request *q, const struct embed_input *first,
	int n, struct span model, struct buf *out, struct err *err)
{
	return cohere_put(q, first, n, model, true, out, err);
}

/* By type, or (when no type was asked for, and of old models) the list itself. */
static bool cohere_read(yyjson_val *root, const struct embed_request *q, struct arena *a,
	struct embed_answer *answer, struct err *err)
{
	const struct span none = {NULL, 0};
	yyjson_val *list = json_get(root, "embeddings"), *item;
	size_t i, max;

	if (yyjson_is_obj(list))
		list = json_get(list, "float");
	if (yyjson_arr_size(list) == 0)
		return embed_refuse(root, err);
	yyjson_arr_foreach(list, i, max, item)
	{
		if (!yyjson_is_arr(item))
			return embed_refuse(root, err);
		if (!embed_add(a, answer, item, none, err))
			return false;
	}
	embed_count(
		answer, count_of(json_get(json_get(root, "meta"), "billed_units"), "input_tokens"));
	return true;
}

const struct embed_format embed_cohere = {cohere_max, cohere_write, cohere_read};
const struct embed_format embed_bedrock_cohere = {cohere_max, bedrock_cohere_write, cohere_read};

/* ---- Amazon Titan, one text a call ---- */

static int titan_max(struct span model)
{
	return 1;
}

static bool titan_write(const struct embed_request *q, const struct embed_input *first, int n,
	struct span model, struct buf *out, struct err *err)
{
	if (!embed_check_texts(first, n, model, err))
		return false;
	buf_append_char(out, '{');
	json_put_str(out, "inputText", first->text);
	if (q->dimensions > 0)
		json_put_int(out, "dimensions", q->dimensions);
	buf_append_char(out, '}');
	return finished(out, err);
}

static bool titan_read(yyjson_val *root, const struct embed_request *q, struct arena *a,
	struct embed_answer *answer, struct err *err)
{
	const struct span none = {NULL, 0};
	yyjson_val *numbers = json_get(root, "embedding");

	if (!yyjson_is_arr(numbers))
		numbers = json_get(json_get(root, "embeddingsByType"), "float");
	if (!yyjson_is_arr(numbers))
		return embed_refuse(root, err);
	embed_count(answer, count_of(root, "inputTextTokenCount"));
	return embed_add(a, answer, numbers, none, err);
}

const struct embed_format embed_titan = {titan_max, titan_write, titan_read};

/* ---- Amazon Nova, one text a call ---- */

static const char *nova_purpose(struct span said)
{
	if (span_is(said, "search_query") || span_is(said, "query"))
		return "GENERIC_RETRIEVAL";
	if (span_is(said, "classification"))
		return "CLASSIFICATION";
	if (span_is(said, "clustering"))
		return "CLUSTERING";
	return "GENERIC_INDEX";
}

static bool nova_write(const struct embed_request *q, const struct embed_input *first, int n,
	struct span model, struct buf *out, struct err *err)
{
	if (!embed_check_texts(first, n, model, err))
		return false;
	buf_append_cstr(out, "{\"taskType\":\"SINGLE_EMBEDDING\",\"singleEmbeddingParams\":{");
	json_put_cstr(out, "embeddingPurpose", nova_purpose(q->input_type));
	if (q->dimensions > 0)
		json_put_int(out, "embeddingDimension", q->dimensions);
	json_put_open(out, "text", '{');
	json_put_cstr(out, "truncationMode", "NONE");
	json_put_str(out, "value", first->text);
	buf_append_cstr(out, "}}}");
	return finished(out, err);
}

static bool nova_read(yyjson_val *root, const struct embed_request *q, struct arena *a,
	struct embed_answer *answer, struct err *err)
{
	const struct span none = {NULL, 0};
	yyjson_val *first = yyjson_arr_get_first(json_get(root, "embeddings"));
	yyjson_val *numbers = json_get(first, "embedding");

	if (!yyjson_is_arr(numbers))
		return embed_refuse(root, err);
	embed_count(answer, -1);
	return embed_add(a, answer, numbers, none, err);
}

const struct embed_format embed_nova = {titan_max, nova_write, nova_read};
