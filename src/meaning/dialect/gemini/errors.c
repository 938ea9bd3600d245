/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/gemini/gemini.h"
#include <ctype.h>
#include <stdio.h>

#define MAX_BODY_BYTES ((size_t)1 << 20)
#define MAX_DETAILS 16

/* google.rpc.Code and the HTTP status that its definition maps it to. */
static const struct {
	const char *word;
	int status;
} codes[] = {
	{"CANCELLED", 499},
	{"UNKNOWN", 500},
	{"INVALID_ARGUMENT", 400},
	{"DEADLINE_EXCEEDED", 504},
	{"NOT_FOUND", 404},
	{"ALREADY_EXISTS", 409},
	{"PERMISSION_DENIED", 403},
	{"UNAUTHENTICATED", 401},
	{"RESOURCE_EXHAUSTED", 429},
	{"FAILED_PRECONDITION", 400},
	{"ABORTED", 409},
	{"OUT_OF_RANGE", 400},
	{"UNIMPLEMENTED", 501},
	{"INTERNAL", 500},
	{"UNAVAILABLE", 503},
	{"DATA_LOSS", 500},
};

struct detail {
	struct span reason;      /* ErrorInfo */
	struct span retry_delay; /* RetryInfo: "34s" */
};

static int status_of(struct span word)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (span_is(word, codes[i].word))
			return codes[i].status;
	return 0;
}

/* The error object of a body: bare, in an array of one, or under "error". */
static yyjson_val *find_error(yyjson_val *root)
{
	yyjson_val *error;

	if (yyjson_is_arr(root))
		root = yyjson_arr_get_first(root);
	error = json_get(root, "error");
	return yyjson_is_obj(error) ? error : NULL;
}

static void read_details(yyjson_val *error, struct detail *out)
{
	size_t i, max;
	yyjson_val *item;

	yyjson_arr_foreach(json_get(error, "details"), i, max, item)
	{
		struct span type = {NULL, 0};

		if (i == MAX_DETAILS)
			return;
		json_get_str(item, "@type", &type);
		if (span_ends(type, SPAN("ErrorInfo")) && out->reason.n == 0)
			json_get_str(item, "reason", &out->reason);
		else if (span_ends(type, SPAN("RetryInfo")) && out->retry_delay.n == 0)
			json_get_str(item, "retryDelay", &out->retry_delay);
	}
}

/* Our own key is refused under other statuses than 401, too. */
static bool is_about_key(struct span reason)
{
	static const char *const reasons[] = {"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED",
		"API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED",
		"API_KEY_ANDROID_APP_BLOCKED", "API_KEY_IOS_APP_BLOCKED", "ACCESS_TOKEN_EXPIRED",
		"ACCESS_TOKEN_SCOPE_INSUFFICIENT", "CREDENTIALS_MISSING", "SERVICE_DISABLED",
		"BILLING_DISABLED", "CONSUMER_INVALID", "CONSUMER_SUSPENDED"};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (span_is(reason, reasons[i]))
			return true;
	return false;
}

/* "34s", "0.5s": there is no Retry-After field, so the person who reads the error is told. */
static void tell_delay(struct err *err, struct span delay)
{
	size_t n = strlen(err->text);

	if (err->code != ERR_RATE_LIMITED && err->code != ERR_OVERLOADED)
		return;
	if (delay.n < 2 || delay.n > 16 || delay.p[delay.n - 1] != 's')
		return;
	for (size_t i = 0; i + 1 < delay.n; i++)
		if (!isdigit((unsigned char)delay.p[i]) && delay.p[i] != '.')
			return;
	if (n + delay.n + 32 < sizeof(err->text) &&
		span_find(span_of(err->text), SPAN("retry in")) < 0)
		snprintf(err->text + n, sizeof(err->text) - n, " (retry after %.*s)",
			SPAN_ARG(delay));
}

/* What the error object says, and the HTTP status it stands for. */
static int read_object(yyjson_val *error, int status, struct said *said, struct detail *detail)
{
	int64_t code = 0;
	yyjson_val *v = json_get(error, "code");

	*said = (struct said){0};
	json_get_str(error, "message", &said->message);
	json_get_str(error, "status", &said->type);
	if (!json_int(v, &code) && yyjson_is_int(v))
		code = yyjson_get_sint(v);
	if (code >= 400 && code <= 599) {
		snprintf(said->number_text, sizeof(said->number_text), "%d", (int)code);
		said->code = span_of(said->number_text);
		said->number = code;
	}
	if (status == 0)
		status = code >= 400 && code <= 599 ? (int)code : status_of(said->type);
	if (status == 0)
		status = 502;
	read_details(error, detail);
	if (is_about_key(detail->reason) || span_is(said->type, "UNAUTHENTICATED"))
		status = 401;
	return status;
}

static int keep(
	yyjson_val *error, int status, struct err *err, char native_type[64], char native_code[64])
{
	struct detail detail = {{NULL, 0}, {NULL, 0}};
	struct said said;
	int meant = read_object(error, status, &said, &detail);

	said_keep(meant, &said, err, native_type, native_code);
	tell_delay(err, detail.retry_delay);
	return meant;
}

void gemini_read_error(int status, struct span body, const struct json_scratch *scratch,
	struct err *err, char native_type[64], char native_code[64])
{
	yyjson_doc *doc = NULL;
	yyjson_val *error = NULL;

	if (body.n > 0 && body.n <= MAX_BODY_BYTES && *body.p != '<')
		doc = json_read_loose(scratch, body, NULL);
	error = find_error(yyjson_doc_get_root(doc));
	if (error != NULL)
		keep(error, status, err, native_type, native_code);
	json_free(doc);
	if (error == NULL)
		error_read(status, body, scratch, err, native_type, native_code);
}

bool gemini_take_error(struct reading *r, yyjson_val *root)
{
	char type[64], code[64];

	r->error_status = keep(find_error(root), 0, &r->err, type, code);
	r->from_provider = true;
	return false;
}

static int status(const struct err *err)
{
	return err_row(err->code)->status;
}

const struct dialect dialect_gemini = {
	.name = "gemini",
	.read_error = gemini_read_error,
	.status = status,
	.codec = &codec_gemini,
};
