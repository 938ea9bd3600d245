/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/endpoint.h"

const struct endpoint endpoints[] = {
	{"/chat/completions", true, HTTP_POST, ENDPOINT_INFERENCE, LLM_OP_CHAT},
	{"/responses", true, HTTP_POST, ENDPOINT_INFERENCE, LLM_OP_RESPONSES},
	{"/messages", true, HTTP_POST, ENDPOINT_INFERENCE, LLM_OP_MESSAGES},
	{"/messages/count_tokens", true, HTTP_POST, ENDPOINT_INFERENCE, LLM_OP_COUNT_TOKENS},
	{"/embeddings", true, HTTP_POST, ENDPOINT_INFERENCE, LLM_OP_EMBEDDINGS},
	{"/images/generations", true, HTTP_POST, ENDPOINT_INFERENCE, LLM_OP_IMAGES},
	{"/images/edits", true, HTTP_POST, ENDPOINT_INFERENCE, LLM_OP_IMAGE_EDITS},
	{"/audio/speech", true, HTTP_POST, ENDPOINT_INFERENCE, LLM_OP_SPEECH},
	{"/audio/transcriptions", true, HTTP_POST, ENDPOINT_INFERENCE, LLM_OP_TRANSCRIPTIONS},
	{"/audio/translations", true, HTTP_POST, ENDPOINT_INFERENCE, LLM_OP_TRANSLATIONS},
	{"/models", true, HTTP_GET, ENDPOINT_MODELS, 0},
	{"/models/", true, HTTP_GET, ENDPOINT_MODEL, 0},
	{"/auth/check", true, HTTP_GET, ENDPOINT_AUTH_CHECK, 0},
	{"/api/hello", false, HTTP_GET, ENDPOINT_HELLO, 0},
	{"/livez", false, HTTP_GET, ENDPOINT_LIVE, 0},
	{"/readyz", false, HTTP_GET, ENDPOINT_READY, 0},
	{"/metrics", false, HTTP_GET, ENDPOINT_METRICS, 0},
};
const int endpoint_count = sizeof(endpoints) / sizeof(endpoints[0]);

/* Takes "/v1" parts off the front and one slash off the end; says what was odd. */
static struct span normalise(struct span path, bool *below_v1, const char **hint)
{
	const struct span v1 = SPAN("/v1/");
	int n = 0;

	*hint = NULL;
	while (n < 3 && span_starts(path, v1)) {
		path = span_skip(path, 3);
		n++;
	}
	*below_v1 = n > 0;
	if (n > 1)
		*hint = "base URL has a duplicated /v1";
	if (path.n > 1 && path.p[path.n - 1] == '/') {
		path.n--;
		if (*hint == NULL)
			*hint = "path has a trailing slash";
	}
	return path;
}

static bool fits(const struct endpoint *e, struct span path, bool below_v1)
{
	struct span own = span_of(e->path);

	if (below_v1 && !e->below_v1)
		return false;
	if (e->kind == ENDPOINT_MODEL)
		return path.n > own.n && span_starts(path, own);
	return span_eq(path, own);
}

struct endpoint_match endpoint_find(enum http_method method, struct span path)
{
	struct endpoint_match m = {0};
	bool below_v1;

	path = normalise(path, &below_v1, &m.hint);
	for (int i = 0; i < endpoint_count; i++) {
		const struct endpoint *e = &endpoints[i];

		if (!fits(e, path, below_v1))
			continue;
		m.endpoint = e;
		m.wrong_method =
			method != e->method && !(method == HTTP_HEAD && e->method == HTTP_GET);
		if (e->kind == ENDPOINT_MODEL)
			m.rest = span_skip(path, strlen(e->path));
		/* The Anthropic SDKs take the origin, the others the origin with /v1: both are
		 * right. */
		if (e->below_v1 && !below_v1 && m.hint == NULL)
			m.hint = "base URL lacks /v1";
		return m;
	}
	return m;
}

const struct dialect *endpoint_dialect(struct span path, bool anthropic_client)
{
	bool below_v1;
	const char *hint;

	path = normalise(path, &below_v1, &hint);
	if (anthropic_client || span_starts(path, SPAN("/messages")))
		return dialect_of(LLM_OP_MESSAGES);
	return dialect_of(LLM_OP_CHAT);
}
