/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/fetch.h"
#include "exchange/exchange.h"
#include "machine/base/base64.h"

#define MAX_FETCHES 32
#define MAX_URL_BYTES 4096

/* The media of one request, one after the other. */
struct fetch {
	struct exchange *x;
	struct http_call *call; /* NULL: none runs */
	struct llm_media *media[MAX_FETCHES];
	int n, at;
	struct buf bytes;
	struct span type;
	bool refused; /* the answer's head was no good: x->err says why */
};

static bool has_to_be_fetched(const struct exchange *x, const struct llm_media *m)
{
	const struct translation *t = x->translation;
	const struct llm_quirks *quirks = t->target.quirks;

	if (m->from != LLM_FROM_URL || !span_starts_nocase(m->data, SPAN("http")))
		return false;
	if (m->kind == LLM_MEDIA_IMAGE && quirks->no_url_images)
		return true;
	if (m->kind == LLM_MEDIA_DOCUMENT && quirks->no_url_documents)
		return true;
	return (t->to->url_media & 1u << m->kind) == 0;
}

/* Gives the media that are to be fetched; NULL `out`: only counts them. */
static int find(const struct exchange *x, struct llm_block *b, struct llm_media **out, int n)
{
	for (; b != NULL; b = b->next) {
		if (b->kind == LLM_BLOCK_MEDIA && has_to_be_fetched(x, &b->media)) {
			if (out != NULL && n < MAX_FETCHES)
				out[n] = &b->media;
			n++;
		}
		if (b->kind == LLM_BLOCK_TOOL_RESULT)
			n = find(x, b->content, out, n);
	}
	return n;
}

static int find_all(const struct exchange *x, struct llm_media **out)
{
	int n = 0;

	if (x->translation == NULL)
		return 0;
	for (struct llm_turn *t = x->translation->request->turns; t != NULL; t = t->next)
		n = find(x, t->blocks, out, n);
	return n;
}

int fetch_count(const struct exchange *x)
{
	return find_all(x, NULL);
}

static void start_next(struct fetch *f);

static void fail(struct fetch *f)
{
	err_param(&f->x->err, "messages");
	exchange_fail(f->x);
}

/* The address may be secret (a signed one): only its host is named. */
static struct span host_of(struct span url)
{
	ptrdiff_t slashes = span_find(url, SPAN("://"));
	size_t n = 0;

	url = span_skip(url, (size_t)slashes + 3);
	while (n < url.n && n < 253 && url.p[n] != '/' && url.p[n] != '?' && url.p[n] != '#' &&
		url.p[n] != '@')
		n++;
	return span_head(url, n);
}

static void say(struct fetch *f, const char *what)
{
	struct span host = host_of(f->media[f->at]->data);

	err_set(&f->x->err, ERR_BAD_REQUEST,
		"The picture or file at %.*s could not be fetched: %s; send it as a data URL",
		SPAN_ARG(host), what);
}

static void on_head(void *user, const struct http_head *head)
{
	struct fetch *f = user;
	struct span type = http_field(head, "content-type");

	if (head->status != 200) {
		char text[64];
		struct buf b;

		buf_init(&b, sizeof(text));
		buf_printf(&b, "its server answered with status %d%c", head->status, '\0');
		say(f, b.failed ? "its server refused" : buf_span(&b).p);
		buf_done(&b);
		f->refused = true;
		return;
	}
	f->type = arena_copy(&f->x->translation->arena, span_trim(span_cut(&type, ';')));
}

static void on_body(void *user, struct span bytes)
{
	struct fetch *f = user;

	if (f->refused)
		return;
	if (!buf_append(&f->bytes, bytes)) {
		say(f, "it is too large");
		f->refused = true;
	}
}

/* Base64 into the request; false: no room. */
static bool keep(struct fetch *f)
{
	struct translation *t = f->x->translation;
	struct llm_media *m = f->media[f->at];
	struct buf b;

	buf_init(&b, (f->bytes.n + 2) / 3 * 4 + 64);
	if (base64_write(&b, buf_span(&f->bytes)))
		m->data = arena_copy(&t->arena, buf_span(&b));
	else
		t->arena.failed = true;
	buf_done(&b);
	buf_clear(&f->bytes);
	m->from = LLM_FROM_BASE64;
	if (m->mime.n == 0)
		m->mime = f->type;
	return !t->arena.failed;
}

/*
 * A page instead of a picture (a login, an error with status 200) would be described by the model
 * as if it were one.
 */
static bool is_page(const struct fetch *f)
{
	const struct llm_media *m = f->media[f->at];
	struct span head = span_trim(span_head(buf_span(&f->bytes), 256));

	return m->kind != LLM_MEDIA_DOCUMENT &&
	       (span_starts_nocase(f->type, SPAN("text/html")) ||
		       span_starts_nocase(head, SPAN("<!doctype html")) ||
		       span_starts_nocase(head, SPAN("<html")));
}

static void on_end(void *user)
{
	struct fetch *f = user;

	f->call = NULL;
	if (!f->refused && f->bytes.n == 0)
		say(f, "it is empty");
	else if (!f->refused && is_page(f))
		say(f, "it is an HTML page");
	if (f->x->err.code != ERR_OK) {
		fail(f);
		return;
	}
	if (!keep(f)) {
		err_set(&f->x->err, ERR_TOO_LARGE,
			"The request's pictures and files take more memory than one request may");
		fail(f);
		return;
	}
	exchange_count_bytes(f->x);
	f->at++;
	start_next(f);
}

static void on_fail(void *user, const struct http_failure *why)
{
	struct fetch *f = user;

	f->call = NULL;
	say(f, why->err.code != ERR_OK ? why->err.text : "the connection failed");
	fail(f);
}

static const struct http_call_events call_events = {
	.head = on_head, .body = on_body, .end = on_end, .fail = on_fail};

static bool is_allowed(const struct exchange *x, const char *authority)
{
	const char **allowed = x->snapshot->conf->media_allow_hosts;

	for (; allowed != NULL && *allowed != NULL; allowed++)
		if (span_eq_nocase(span_of(*allowed), span_of(authority)))
			return true;
	return false;
}

static struct http_origin *make_origin(struct fetch *f, struct span *target)
{
	struct exchange *x = f->x;
	struct span url = f->media[f->at]->data, host = host_of(url), rest;
	size_t n = (size_t)(host.p + host.n - url.p);
	struct http_origin *o;
	struct err why = {0};
	char *text;

	if (url.n > MAX_URL_BYTES) {
		say(f, "its address is too long");
		return NULL;
	}
	text = arena_cstr(&x->translation->arena, span_head(url, n));
	rest = span_skip(url, n);
	rest = span_cut(&rest, '#');
	*target = arena_join(&x->translation->arena,
		(const struct span[]){rest.n == 0 || rest.p[0] != '/' ? SPAN("/") : SPAN(""), rest},
		2);
	if (text == NULL || target->p == NULL) {
		err_set(&x->err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	if (x->env->media_tls == NULL && span_starts_nocase(url, SPAN("https:")))
		x->env->media_tls = tls_context_client(NULL, &why);
	o = why.code == ERR_OK ? http_origin_new(text, x->env->media_tls, NULL, &why) : NULL;
	if (o == NULL || (rest.n > 0 && rest.p[0] == '@') || !http_is_target(*target)) {
		say(f, "its address is not a plain http or https one");
		http_origin_unref(o);
		return NULL;
	}
	o->public_only = !is_allowed(x, o->authority);
	if (o->public_only && o->port != (o->tls ? 443 : 80)) {
		say(f, "only the usual ports of http and https are allowed");
		http_origin_unref(o);
		return NULL;
	}
	return o;
}

static void start_next(struct fetch *f)
{
	const struct conf *c = f->x->snapshot->conf;
	const struct http_field fields[] = {
		{SPAN("accept"), SPAN("*/*")}, {SPAN("user-agent"), SPAN("sluice")}};
	struct http_call_spec spec = {.method = HTTP_GET,
		.fields = fields,
		.n = 2,
		.timeouts = {c->media_ms, c->media_ms, c->media_ms, c->media_ms}};

	if (f->at == f->n) {
		if (translate_write(f->x))
			exchange_advance(f->x);
		else
			exchange_fail(f->x);
		return;
	}
	f->refused = false;
	spec.origin = make_origin(f, &spec.target);
	if (spec.origin == NULL) {
		fail(f);
		return;
	}
	f->call = http_call_start(f->x->env->client, &spec, &call_events, f);
	http_origin_unref(spec.origin);
	if (f->call == NULL) {
		err_set(&f->x->err, ERR_NO_MEMORY, NULL);
		fail(f);
	}
}

/* The step returns before anything can fail or advance. */
static void on_begin(struct loop_task *t)
{
	start_next(LIST_ITEM(t, struct exchange, fetch_task)->fetch);
}

bool fetch_start(struct exchange *x)
{
	struct fetch *f = ARENA_NEW(&x->arena, struct fetch);

	if (f == NULL)
		return err_set(&x->err, ERR_NO_MEMORY, NULL);
	f->x = x;
	f->n = find_all(x, f->media);
	if (!x->snapshot->conf->media_fetch || f->n > MAX_FETCHES) {
		err_param(&x->err, "messages");
		return err_set(&x->err, ERR_BAD_REQUEST,
			f->n > MAX_FETCHES
				? "The request names over %d addresses of pictures or files that "
				  "provider \"%.*s\" cannot fetch; send them as data URLs"
				: "The request names %d addresses of pictures or files; provider "
				  "\"%.*s\" takes them as data URLs only",
			f->n > MAX_FETCHES ? MAX_FETCHES : f->n, SPAN_ARG(x->provider->name));
	}
	buf_init(&f->bytes, (size_t)x->snapshot->conf->max_media_bytes);
	x->fetch = f;
	loop_task_init(&x->fetch_task, on_begin);
	loop_task_post(x->env->loop, &x->fetch_task);
	return true;
}

void fetch_cancel(struct exchange *x)
{
	struct fetch *f = x->fetch;

	if (f == NULL)
		return;
	loop_task_cancel(&x->fetch_task);
	if (f->call != NULL)
		http_call_cancel(f->call);
	f->call = NULL;
	buf_done(&f->bytes);
	x->fetch = NULL;
}
