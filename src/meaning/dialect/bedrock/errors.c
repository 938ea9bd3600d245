/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/bedrock/bedrock.h"
#include "meaning/dialect/read.h"

#define MAX_BODY_BYTES ((size_t)1 << 20)
#define MAX_WORD_BYTES ((size_t)2048)

/*
 * The exceptions of Converse and ConverseStream and the common ones, by the status that their class
 * has with us: a model that failed (424) is the provider's failure, a quota (400) is a rate.
 */
static const struct {
	const char *name;
	int status;
} exceptions[] = {
	{"accessDeniedException", 403},
	{"expiredTokenException", 403},
	{"incompleteSignature", 403},
	{"internalFailure", 500},
	{"internalServerException", 500},
	{"invalidSignatureException", 403},
	{"missingAuthenticationTokenException", 403},
	{"modelErrorException", 502},
	{"modelNotReadyException", 429},
	{"modelStreamErrorException", 502},
	{"modelTimeoutException", 504},
	{"optInRequired", 403},
	{"requestTimeoutException", 504},
	{"resourceNotFoundException", 404},
	{"serviceQuotaExceededException", 429},
	{"serviceUnavailableException", 503},
	{"serviceUnavailable", 503},
	{"throttlingException", 429},
	{"tooManyRequestsException", 429},
	{"unrecognizedClientException", 403},
	{"validationException", 400},
};

/* "com.amazon.coral.validate#ValidationException:http://..." is a ValidationException. */
static struct span bare_name(struct span type)
{
	ptrdiff_t hash = span_find_char(type, '#');

	if (hash >= 0)
		type = span_skip(type, (size_t)hash + 1);
	return span_cut(&type, ':');
}

static int status_of(struct span name)
{
	for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++)
		if (span_eq_nocase(name, span_of(exceptions[i].name)))
			return exceptions[i].status;
	return 0;
}

bool bedrock_is_error(struct span name)
{
	static const struct span ends[] = {SPAN("Exception"), SPAN("Error"), SPAN("Failure")};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (span_ends(name, ends[i]))
			return true;
	return status_of(name) != 0;
}

static bool says(struct span text, const char *phrase)
{
	return span_find(text, span_of(phrase)) >= 0;
}

/* A model that is not there is told as a bad request. */
static bool is_unknown_model(const struct said *said)
{
	return says(said->message, "model identifier is invalid") ||
	       says(said->message, "model ID is invalid") ||
	       says(said->message, "reached the end of its life");
}

/*
 * AWS names the account and its users in what it refuses ("User: arn:aws:iam::123456789012:user/x
 * is not authorized ..."): they are not the caller's to know.
 */
static struct span without_arns(struct span text, char mem[MAX_WORD_BYTES])
{
	const struct span arn = SPAN("arn:");
	size_t n = 0;

	text = span_head(text, MAX_WORD_BYTES);
	if (span_find(text, arn) < 0)
		return text;
	while (text.n > 0) {
		if (!span_starts(text, arn)) {
			mem[n++] = *text.p;
			text = span_skip(text, 1);
			continue;
		}
		memcpy(mem + n, arn.p, arn.n);
		n += arn.n;
		text = span_skip(text, arn.n);
		while (text.n > 0 && *text.p != ' ' && *text.p != ',' && *text.p != '"')
			text = span_skip(text, 1);
	}
	return (struct span){mem, n};
}

/* What the error says under `name` (may be empty), and the status it stands for. */
static int read_said(yyjson_val *root, struct span name, int status, struct said *said)
{
	int64_t original = 0;
	int named;

	*said = (struct said){.message = text_in(root, "message")};
	if (said->message.n == 0)
		said->message = text_in(root, "Message");
	if (said->message.n == 0)
		said->message = text_in(root, "originalMessage");
	said->type = bare_name(name.n > 0 ? name : text_in(root, "__type"));
	if (said->type.n == 0)
		said->type = bare_name(text_in(root, "code"));
	named = status_of(said->type);
	if (named != 0)
		status = named;
	/* What the model's own server said counts more than that it failed. */
	json_int(json_get(root, "originalStatusCode"), &original);
	if (original >= 400 && original <= 599)
		status = (int)original;
	if (status == 424 || status == 0)
		status = 502;
	return status == 400 && is_unknown_model(said) ? 404 : status;
}

bool bedrock_has_error(yyjson_val *root)
{
	return yyjson_is_str(json_get(root, "message")) ||
	       yyjson_is_str(json_get(root, "Message")) || yyjson_is_str(json_get(root, "__type"));
}

static void read_error(int status, struct span body, const struct json_scratch *scratch,
	struct err *err, char native_type[64], char native_code[64])
{
	const struct span none = {NULL, 0};
	yyjson_doc *doc = NULL;
	yyjson_val *root;
	struct said said;
	char words[MAX_WORD_BYTES];

	if (body.n > 0 && body.n <= MAX_BODY_BYTES && *body.p != '<')
		doc = json_read_raw(scratch, body, true, NULL);
	root = yyjson_doc_get_root(doc);
	if (bedrock_has_error(root)) {
		status = read_said(root, none, status, &said);
		said.message = without_arns(said.message, words);
		said_keep(status, &said, err, native_type, native_code);
	}
	json_free(doc);
	if (err->code == ERR_OK)
		error_read(
			status == 424 ? 502 : status, body, scratch, err, native_type, native_code);
}

bool bedrock_take_error(struct reading *r, struct span name, yyjson_val *root, struct span data)
{
	struct said said;
	char words[MAX_WORD_BYTES];

	r->error_status = read_said(root, name, 0, &said);
	/* Errors that are not modelled have their words alone. */
	if (said.message.n == 0 && root == NULL)
		said.message = data;
	said.message = without_arns(said.message, words);
	said_keep(r->error_status, &said, &r->err, NULL, NULL);
	r->from_provider = true;
	return false;
}

static int error_status(struct span field, int status)
{
	int named = status_of(bare_name(field));

	return named != 0 ? named : status;
}

static int status(const struct err *err)
{
	return err_row(err->code)->status;
}

const struct dialect dialect_bedrock = {
	.name = "bedrock",
	.error_field = "x-amzn-errortype",
	.error_status = error_status,
	.read_error = read_error,
	.status = status,
	.codec = &codec_bedrock,
};
