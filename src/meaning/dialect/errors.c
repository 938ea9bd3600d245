/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include "machine/base/text.h"
#include "meaning/dialect/shared.h"

#define MAX_BODY_BYTES ((size_t)1 << 20)
#define MAX_WORD_BYTES ((size_t)2048)

static bool is_key_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '*';
}

static bool has_prefix(struct span word, const char *const *prefixes)
{
	for (; *prefixes != NULL; prefixes++)
		if (span_starts_nocase(word, span_of(*prefixes)))
			return true;
	return false;
}

/*
 * Keys of the makers we know begin in their own way; of others, a long run of letters and digits
 * without a break is taken for one. Names of requests and calls look so too and are harmless.
 */
static bool looks_secret(struct span word)
{
	static const char *const secret[] = {"sk-", "sk_", "pk-", "gsk_", "xai-", "AIza", "hf_",
		"r8_", "nvapi-", "fw_", "pplx-", "tgp_", "csk-", "org-", "proj_", NULL};
	static const char *const harmless[] = {"req_", "req-", "msg_", "call_", "toolu_",
		"chatcmpl-", "resp_", "gen-", "file-", NULL};
	size_t run = 0, digits = 0, letters = 0;

	if (word.n >= 8 && has_prefix(word, secret))
		return true;
	if (has_prefix(word, harmless))
		return false;
	for (size_t i = 0; i <= word.n; i++) {
		if (i < word.n && isalnum((unsigned char)word.p[i])) {
			run++;
			digits += isdigit((unsigned char)word.p[i]) != 0;
			letters += isalpha((unsigned char)word.p[i]) != 0;
			continue;
		}
		if (run >= 20 && digits >= 2 && letters >= 2)
			return true;
		run = digits = letters = 0;
	}
	return false;
}

static size_t keep_word(char *out, size_t room, struct span word, bool after_bearer)
{
	if (after_bearer || looks_secret(word)) {
		size_t n = word.n < 4 || after_bearer ? 0 : 3;

		if (room < n + 3)
			return 0;
		memcpy(out, word.p, n);
		memcpy(out + n, "***", 3);
		return n + 3;
	}
	if (room < word.n)
		return 0;
	memcpy(out, word.p, word.n);
	return word.n;
}

/* Copies with control characters blanked and secrets masked. Returns the length. */
static size_t scrub(char *out, size_t room, struct span words)
{
	size_t n = 0, i = 0;
	bool bearer = false;

	while (i < words.n && n < room) {
		size_t from = i;

		while (i < words.n && is_key_char(words.p[i]))
			i++;
		if (i > from) {
			struct span word = {words.p + from, i - from};
			size_t added = keep_word(out + n, room - n, word, bearer);

			if (added == 0)
				break;
			n += added;
			bearer = span_eq_nocase(word, SPAN("bearer"));
			continue;
		}
		if (words.p[i] != ' ')
			bearer = false;
		out[n++] =
			(unsigned char)words.p[i] < 0x20 || words.p[i] == 0x7f ? ' ' : words.p[i];
		i++;
	}
	return n;
}

void dialect_keep_words(struct err *err, enum err_code code, struct span words)
{
	char text[sizeof(err->text) + 8];
	size_t n = scrub(text, sizeof(text), span_head(span_trim(words), MAX_WORD_BYTES));

	if (n == 0) {
		err_set(err, code, NULL);
		return;
	}
	/* Bytes that are not UTF-8 would make our own answer invalid. */
	if (!text_is_utf8(words))
		for (size_t i = 0; i < n; i++)
			if ((unsigned char)text[i] >= 0x80)
				text[i] = '?';
	err_set(err, code, "%.*s", (int)n, text);
}

static struct span str_of(yyjson_val *v)
{
	return yyjson_is_str(v) ? (struct span){yyjson_get_str(v), yyjson_get_len(v)}
				: (struct span){NULL, 0};
}

/* The first string in a list of validation errors: [{"msg": ...}] or ["..."]. */
static struct span first_of(yyjson_val *list)
{
	yyjson_val *first = yyjson_arr_get_first(list);
	struct span text = str_of(first);

	if (text.n == 0)
		text = str_of(json_get(first, "msg"));
	if (text.n == 0)
		text = str_of(json_get(first, "message"));
	return text;
}

static struct span words_of(yyjson_val *object)
{
	static const char *const keys[] = {
		"message", "msg", "detail", "error_description", "error"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		yyjson_val *v = json_get(object, keys[i]);
		struct span text = yyjson_is_arr(v) ? first_of(v) : str_of(v);

		/* Some put a whole object there; its own message is what a person can read. */
		if (text.n == 0 && yyjson_is_obj(v))
			text = str_of(json_get(v, "message"));
		if (text.n == 0 && yyjson_is_obj(v))
			text = first_of(json_get(v, "detail"));
		if (text.n > 0)
			return text;
	}
	return (struct span){NULL, 0};
}

static void take_code(struct said *said, yyjson_val *v)
{
	if (yyjson_is_str(v) && said->code.n == 0)
		said->code = str_of(v);
	if (!yyjson_is_int(v) || yyjson_get_sint(v) < 0 || yyjson_get_sint(v) > 9999999)
		return;
	if (said->number == 0)
		said->number = yyjson_get_sint(v);
	if (said->code.n == 0) {
		snprintf(said->number_text, sizeof(said->number_text), "%lld",
			(long long)yyjson_get_sint(v));
		said->code = span_of(said->number_text);
	}
}

/* A type as makers write one: no blank, short. "Bad Request" is a title. */
static void take_type(struct said *said, yyjson_val *v)
{
	struct span type = str_of(v);

	if (said->type.n == 0 && type.n > 0 && type.n < 64 && span_find_char(type, ' ') < 0)
		said->type = type;
}

static void take_object(struct said *said, yyjson_val *object)
{
	if (said->message.n == 0)
		said->message = words_of(object);
	take_type(said, json_get(object, "type"));
	take_type(said, json_get(object, "status"));
	take_code(said, json_get(object, "code"));
	if (yyjson_is_int(json_get(object, "status")) && said->number == 0)
		said->number = yyjson_get_sint(json_get(object, "status"));
	if (yyjson_is_int(json_get(object, "status_code")) && said->number == 0)
		said->number = yyjson_get_sint(json_get(object, "status_code"));
	if (said->param.n == 0)
		said->param = str_of(json_get(object, "param"));
}

bool said_read(yyjson_val *root, struct said *said)
{
	yyjson_val *error;

	*said = (struct said){0};
	if (yyjson_is_arr(root) && yyjson_arr_size(root) > 0)
		root = yyjson_arr_get_first(root);
	if (yyjson_is_str(root)) {
		said->message = str_of(root);
		return said->message.n > 0;
	}
	if (!yyjson_is_obj(root))
		return false;
	error = json_get(root, "error");
	if (yyjson_is_arr(error))
		error = yyjson_arr_get_first(error);
	if (yyjson_is_obj(error)) {
		take_object(said, error);
		take_code(said, json_get(root, "code"));
		return true;
	}
	if (yyjson_is_str(error))
		said->message = str_of(error);
	/* {"object":"error","message":...}, {"detail":...}, {"message":...} and the like. */
	take_object(said, root);
	return said->message.n > 0 || yyjson_is_str(error);
}

struct class_row {
	const char *word; /* a type or code */
	int status;
};

/* Types and codes of OpenAI, Anthropic, Google and the servers that follow them. */
static const struct class_row words_status[] = {
	{"invalid_request_error", 400},
	{"bad_request_error", 400},
	{"context_length_exceeded", 400},
	{"BadRequestError", 400},
	{"exceed_context_size_error", 400},
	{"INVALID_ARGUMENT", 400},
	{"authentication_error", 401},
	{"invalid_api_key", 401},
	{"UNAUTHENTICATED", 401},
	{"billing_error", 402},
	{"insufficient_quota", 402},
	{"permission_error", 403},
	{"PERMISSION_DENIED", 403},
	{"not_found_error", 404},
	{"model_not_found", 404},
	{"NOT_FOUND", 404},
	{"NotFoundError", 404},
	{"timeout_error", 504},
	{"timeout", 504},
	{"request_too_large", 413},
	{"rate_limit_error", 429},
	{"rate_limit_exceeded", 429},
	{"tokens", 429},
	{"requests", 429},
	{"RESOURCE_EXHAUSTED", 429},
	{"overloaded_error", 529},
	{"overloaded", 503},
	{"service_unavailable", 503},
	{"UNAVAILABLE", 503},
	{"api_error", 500},
	{"server_error", 500},
	{"internal_error", 500},
	{"internal_server_error", 500},
	{"INTERNAL", 500},
	{"InternalServerError", 500},
	{"tool_use_failed", 400},
};

static int status_of_word(struct span word)
{
	for (size_t i = 0; i < sizeof(words_status) / sizeof(words_status[0]); i++)
		if (word.n > 0 && span_is(word, words_status[i].word))
			return words_status[i].status;
	return 0;
}

int said_status(const struct said *said)
{
	int status;

	if (said->number >= 400 && said->number <= 599)
		return (int)said->number;
	status = status_of_word(said->code);
	if (status == 0)
		status = status_of_word(said->type);
	return status != 0 ? status : 502;
}

static bool speaks_of(struct span text, const char *const *phrases)
{
	for (; *phrases != NULL; phrases++) {
		struct span phrase = span_of(*phrases), rest = text;

		for (; rest.n >= phrase.n; rest = span_skip(rest, 1))
			if (span_starts_nocase(rest, phrase))
				return true;
	}
	return false;
}

static bool is_context_overflow(const struct said *said)
{
	static const char *const codes[] = {"context_length_exceeded", "exceed_context_size_error",
		"context_window_exceeded", NULL};
	static const char *const phrases[] = {"maximum context length", "context window",
		"context length", "prompt is too long", "input is too long", "too many tokens",
		"exceeds the available context", "token count exceeds", "too large for model with",
		"exceeds the maximum number of tokens", NULL};

	for (int i = 0; codes[i] != NULL; i++)
		if (span_is(said->code, codes[i]) || span_is(said->type, codes[i]))
			return true;
	return speaks_of(span_head(said->message, MAX_WORD_BYTES), phrases);
}

/* The gateway's own account at the provider has a problem that the caller cannot mend. */
static bool is_account_trouble(const struct said *said)
{
	static const char *const phrases[] = {"credit balance is too low", "insufficient balance",
		"exceeded your current quota", NULL};

	return span_is(said->code, "insufficient_quota") ||
	       span_is(said->type, "insufficient_quota") || span_is(said->type, "billing_error") ||
	       span_is(said->code, "billing_not_active") ||
	       speaks_of(span_head(said->message, MAX_WORD_BYTES), phrases);
}

static bool is_about_content(const struct said *said)
{
	static const char *const phrases[] = {"moderation", "flagged", "content policy",
		"content_filter", "content management policy", NULL};

	return speaks_of(said->code, phrases) || speaks_of(said->type, phrases) ||
	       speaks_of(span_head(said->message, MAX_WORD_BYTES), phrases);
}

static enum err_code class_of(int status, const struct said *said)
{
	static const char *const model[] = {"model", NULL};

	if (status >= 400 && status < 500 && is_account_trouble(said))
		return ERR_UPSTREAM_AUTH;
	switch (status) {
	case 400:
	case 422:
		return is_context_overflow(said) ? ERR_CONTEXT_LENGTH : ERR_BAD_REQUEST;
	case 403:
		return is_about_content(said) ? ERR_BAD_REQUEST : ERR_UPSTREAM_AUTH;
	case 401:
	case 402:
	case 407:
		return ERR_UPSTREAM_AUTH;
	case 404:
	case 410:
		return speaks_of(said->code, model) || speaks_of(said->message, model)
			       ? ERR_MODEL_NOT_FOUND
			       : ERR_NOT_FOUND;
	case 408:
	case 504:
	case 524:
		return ERR_UPSTREAM_TIMEOUT;
	case 409:
		return ERR_CONFLICT;
	case 413:
		return is_context_overflow(said) ? ERR_CONTEXT_LENGTH : ERR_TOO_LARGE;
	case 415:
		return ERR_MEDIA_TYPE;
	case 429:
		return ERR_RATE_LIMITED;
	case 503:
	case 529:
		return ERR_OVERLOADED;
	default:
		break;
	}
	if (status >= 500)
		return ERR_UPSTREAM;
	return status >= 400 ? ERR_BAD_REQUEST : ERR_UPSTREAM_INVALID;
}

static void keep_native(char out[64], struct span word, bool hidden)
{
	size_t n = 0;

	if (out == NULL)
		return;
	if (!hidden && word.n < 64 && text_is_utf8(word))
		n = scrub(out, 63, word);
	out[n] = '\0';
}

void said_keep(int status, const struct said *said, struct err *err, char native_type[64],
	char native_code[64])
{
	enum err_code code = class_of(status, said);
	/* That our credential is bad is not the caller's business, nor is it the caller's 401. */
	bool hidden = code == ERR_UPSTREAM_AUTH;
	char param[64];

	dialect_keep_words(err, code, said->message);
	keep_native(native_type, said->type, hidden);
	keep_native(native_code, said->code, hidden);
	keep_native(param, said->param, hidden);
	if (param[0] != '\0')
		err_param(err, param);
}

static bool is_html(struct span body)
{
	return span_starts_nocase(body, SPAN("<!doctype")) ||
	       span_starts_nocase(body, SPAN("<html"));
}

/* Of a page only its title is worth showing. */
static struct span title_of(struct span page)
{
	ptrdiff_t from = span_find(page, SPAN("<title>")), to;

	if (from < 0)
		return (struct span){NULL, 0};
	page = span_skip(page, (size_t)from + 7);
	to = span_find(page, SPAN("</title>"));
	return to > 0 ? span_trim(span_head(page, (size_t)to)) : (struct span){NULL, 0};
}

void error_read(int status, struct span body, const struct json_scratch *scratch, struct err *err,
	char native_type[64], char native_code[64])
{
	yyjson_doc *doc = NULL;
	struct said said = {0};

	while (body.n > 0 && isspace((unsigned char)body.p[0]))
		body = span_skip(body, 1);
	if (body.n > 0 && body.n <= MAX_BODY_BYTES && *body.p != '<')
		doc = json_read_loose(scratch, body, NULL);
	if (doc != NULL)
		said_read(yyjson_doc_get_root(doc), &said);
	else if (is_html(body))
		said.message = title_of(span_head(body, MAX_BODY_BYTES));
	else
		said.message = span_head(body, MAX_WORD_BYTES);
	said_keep(status, &said, err, native_type, native_code);
	json_free(doc);
}
