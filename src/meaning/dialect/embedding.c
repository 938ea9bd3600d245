/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/embedding.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "machine/base/base64.h"
#include "machine/base/json_put.h"
#include "meaning/dialect/shared.h"

#define MAX_VECTOR 65536
#define MAX_VECTOR_BYTES ((size_t)MAX_VECTOR * 6)
#define MAX_TOKENS 300000

/* ---- the client's body ---- */

static bool bad(struct err *err, const char *param, const char *wanted)
{
	err_param(err, param);
	return err_set(err, ERR_BAD_REQUEST, "'%s' must be %s", param, wanted);
}

static bool is_tokens(yyjson_val *v)
{
	yyjson_val *item;
	size_t i, max;
	int64_t n;

	if (!yyjson_is_arr(v) || yyjson_arr_size(v) == 0 || yyjson_arr_size(v) > MAX_TOKENS)
		return false;
	yyjson_arr_foreach(v, i, max, item)
	{
		if (!json_int(item, &n) || n < 0)
			return false;
	}
	return true;
}

static struct embed_input *add_input(
	struct arena *a, struct embed_request *q, struct embed_input *last, yyjson_val *v)
{
	struct embed_input *in = ARENA_NEW(a, struct embed_input);

	if (in == NULL)
		return NULL;
	if (yyjson_is_str(v))
		in->text = (struct span){yyjson_get_str(v), yyjson_get_len(v)};
	else
		in->tokens = v;
	if (last != NULL)
		last->next = in;
	else
		q->inputs = in;
	q->n_inputs++;
	return in;
}

static bool read_inputs(yyjson_val *v, struct arena *a, struct embed_request *q, struct err *err)
{
	static const char wanted[] =
		"a text, a list of texts, a list of tokens, or a list of lists of tokens";
	struct embed_input *last = NULL;
	yyjson_val *item;
	size_t i, max;

	if (yyjson_is_str(v) || is_tokens(v))
		return add_input(a, q, NULL, v) != NULL || err_set(err, ERR_NO_MEMORY, NULL);
	if (!yyjson_is_arr(v) || yyjson_arr_size(v) == 0)
		return bad(err, "input", wanted);
	if (yyjson_arr_size(v) > EMBED_MAX_INPUTS)
		return bad(err, "input", "at most 2048 items");
	yyjson_arr_foreach(v, i, max, item)
	{
		if (!yyjson_is_str(item) && !is_tokens(item))
			return bad(err, "input", wanted);
		last = add_input(a, q, last, item);
		if (last == NULL)
			return err_set(err, ERR_NO_MEMORY, NULL);
	}
	return true;
}

bool embed_read_request(yyjson_val *root, struct arena *a, struct embed_request *q, struct err *err)
{
	enum { MODEL, INPUT, DIMENSIONS, ENCODING, USER, TYPE, COUNT };
	struct pick picks[COUNT] = {[MODEL] = {"model"},
		[INPUT] = {"input"},
		[DIMENSIONS] = {"dimensions"},
		[ENCODING] = {"encoding_format"},
		[USER] = {"user"},
		[TYPE] = {"input_type"}};
	struct span encoding = {NULL, 0};

	*q = (struct embed_request){.dimensions = -1};
	if (!pick_members(root, picks, COUNT, err) ||
		!pick_str(&picks[MODEL], MAX_MODEL_BYTES, &q->model, err) ||
		!pick_str(&picks[ENCODING], 64, &encoding, err) ||
		!pick_str(&picks[USER], 1u << 16, &q->user, err) ||
		!pick_str(&picks[TYPE], 64, &q->input_type, err))
		return false;
	if (picks[DIMENSIONS].value != NULL &&
		(!json_int(picks[DIMENSIONS].value, &q->dimensions) || q->dimensions < 1 ||
			q->dimensions > MAX_VECTOR))
		return bad(err, "dimensions", "a whole number from 1 on");
	q->base64 = span_is(encoding, "base64");
	if (encoding.n > 0 && !q->base64 && !span_is(encoding, "float"))
		return bad(err, "encoding_format", "\"float\" or \"base64\"");
	if (picks[INPUT].value == NULL)
		return bad(err, "input", "given");
	return read_inputs(picks[INPUT].value, a, q, err);
}

/* ---- vectors in both forms ---- */

static bool invalid(struct err *err, const char *what)
{
	return err_set(err, ERR_UPSTREAM_INVALID, "The provider's embedding %s", what);
}

/* The numbers' values, and what to multiply them with to get the length 1. */
struct values {
	float *v;
	size_t n;
	double scale;
};

static bool parse_number(yyjson_val *v, float *out)
{
	struct span text = json_number(v);
	char copy[64];
	double d;

	if (yyjson_is_num(v)) {
		*out = (float)yyjson_get_num(v);
		return isfinite(*out);
	}
	if (text.n == 0 || text.n >= sizeof(copy))
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	d = strtod(copy, NULL);
	*out = (float)d;
	return isfinite(*out);
}

static bool parse_numbers(yyjson_val *list, struct values *out)
{
	yyjson_val *item;
	size_t i, max;

	out->n = yyjson_arr_size(list);
	if (out->n == 0 || out->n > MAX_VECTOR)
		return false;
	yyjson_arr_foreach(list, i, max, item)
	{
		if (!parse_number(item, &out->v[i]))
			return false;
	}
	return true;
}

/* Little-endian whatever the machine is. */
static bool parse_bytes(struct span base64, struct values *out)
{
	struct buf b;
	bool ok;

	buf_init(&b, MAX_VECTOR_BYTES);
	ok = base64_read(&b, base64) && b.n > 0 && b.n % 4 == 0 && b.n / 4 <= MAX_VECTOR;
	out->n = ok ? b.n / 4 : 0;
	for (size_t i = 0; i < out->n; i++) {
		const unsigned char *p = (const unsigned char *)buf_span(&b).p + i * 4;
		uint32_t bits =
			p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;

		memcpy(&out->v[i], &bits, sizeof(bits));
		ok = ok && isfinite(out->v[i]);
	}
	buf_done(&b);
	return ok;
}

static void find_scale(struct values *values)
{
	double sum = 0;

	for (size_t i = 0; i < values->n; i++)
		sum += (double)values->v[i] * values->v[i];
	values->scale = 1;
	if (sum > 0 && fabs(sqrt(sum) - 1) > 1e-3)
		values->scale = 1 / sqrt(sum);
}

static void put_bytes(struct buf *out, const struct values *values)
{
	struct buf b;

	buf_init(&b, MAX_VECTOR_BYTES);
	for (size_t i = 0; i < values->n; i++) {
		float f = (float)(values->v[i] * values->scale);
		uint32_t bits;
		char *p = buf_room(&b, 4);

		if (p == NULL)
			break;
		memcpy(&bits, &f, sizeof(bits));
		for (int k = 0; k < 4; k++)
			p[k] = (char)(bits >> (8 * k) & 255);
		buf_added(&b, 4);
	}
	buf_append_char(out, '"');
	base64_write(out, buf_span(&b));
	buf_append_char(out, '"');
	out->failed |= b.failed;
	buf_done(&b);
}

/* The shortest of two spellings that gives the same float again. */
static void put_float(struct buf *out, float f)
{
	char text[32];

	snprintf(text, sizeof(text), "%.8g", (double)f);
	if (strtof(text, NULL) != f)
		snprintf(text, sizeof(text), "%.9g", (double)f);
	json_put_raw(out, NULL, span_of(text));
}

static bool put_values(struct buf *out, const struct embed_vector *v, bool base64, bool normalize,
	struct values *values, struct err *err)
{
	if (v->numbers != NULL ? !parse_numbers(v->numbers, values)
			       : !parse_bytes(v->base64, values))
		return invalid(err, "is no list of numbers");
	values->scale = 1;
	if (normalize)
		find_scale(values);
	if (base64) {
		put_bytes(out, values);
		return true;
	}
	if (values->scale == 1 && v->numbers != NULL) {
		json_write(out, v->numbers);
		return true;
	}
	buf_append_char(out, '[');
	for (size_t i = 0; i < values->n; i++)
		put_float(out, (float)(values->v[i] * values->scale));
	buf_append_char(out, ']');
	return true;
}

static bool put_vector(struct buf *out, const struct embed_vector *v, bool base64, bool normalize,
	struct values *values, struct err *err)
{
	json_put_key(out, "embedding");
	/* Bytes that stay bytes need only be checked. */
	if (base64 && !normalize && v->numbers == NULL) {
		if (!parse_bytes(v->base64, values))
			return invalid(err, "is no base64 of floats");
		json_put_str(out, NULL, v->base64);
		return true;
	}
	return put_values(out, v, base64, normalize, values, err);
}

bool embed_write_answer(const struct embed_request *q, const struct embed_answer *answer,
	struct span model, struct span cost, struct buf *out, struct err *err)
{
	struct values values = {.n = 0};
	bool ok = true;
	int index = 0;

	if (answer->n_vectors != q->n_inputs)
		return err_set(err, ERR_UPSTREAM_INVALID,
			"The provider sent %d embeddings for %d inputs", answer->n_vectors,
			q->n_inputs);
	values.v = malloc(MAX_VECTOR * sizeof(float));
	if (values.v == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	buf_append_cstr(out, "{\"object\":\"list\",\"data\":[");
	for (const struct embed_vector *v = answer->vectors; v != NULL && ok; v = v->next) {
		json_put_open(out, NULL, '{');
		json_put_cstr(out, "object", "embedding");
		json_put_int(out, "index", index++);
		ok = put_vector(out, v, q->base64, answer->normalize, &values, err);
		buf_append_char(out, '}');
	}
	free(values.v);
	buf_append_char(out, ']');
	json_put_str(out, "model", model);
	json_put_open(out, "usage", '{');
	json_put_int(out, "prompt_tokens", answer->input_tokens);
	json_put_int(out, "total_tokens", answer->input_tokens);
	if (cost.n > 0)
		json_put_raw(out, "cost", cost);
	buf_append_cstr(out, "}}");
	return ok && (!out->failed || err_set(err, ERR_NO_MEMORY, NULL));
}

/* ---- for the formats ---- */

bool embed_add(struct arena *a, struct embed_answer *answer, yyjson_val *numbers,
	struct span base64, struct err *err)
{
	struct embed_vector *v = ARENA_NEW(a, struct embed_vector);

	if (v == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	v->numbers = numbers;
	v->base64 = base64;
	if (answer->last != NULL)
		answer->last->next = v;
	else
		answer->vectors = v;
	answer->last = v;
	answer->n_vectors++;
	return true;
}

void embed_count(struct embed_answer *answer, int64_t tokens)
{
	if (tokens < 0)
		answer->tokens_unknown = true;
	else
		answer->input_tokens += tokens;
}

bool embed_refuse(yyjson_val *root, struct err *err)
{
	struct said said;

	if (json_get(root, "error") != NULL && said_read(root, &said)) {
		said_keep(said_status(&said), &said, err, NULL, NULL);
		return false;
	}
	return err_set(err, ERR_UPSTREAM_INVALID, "The provider's answer holds no embeddings");
}

bool embed_check_texts(const struct embed_input *first, int n, struct span model, struct err *err)
{
	for (; n > 0 && first != NULL; n--, first = first->next) {
		if (first->tokens == NULL)
			continue;
		err_param(err, "input");
		return err_set(err, ERR_UNSUPPORTED_PARAM,
			"Tokens mean something to models of OpenAI only; give model \"%.*s\" the "
			"text",
			SPAN_ARG(span_head(model, 128)));
	}
	return true;
}
