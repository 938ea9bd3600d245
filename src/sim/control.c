/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control - the simulator's own endpoints: what it saw, what it billed, what it is to do next.
 */
#include "machine/base/text.h"
#include "sim/caller.h"

/* A number of the query, or `usual`. */
static uint64_t number(struct span query, const char *name, uint64_t usual)
{
	uint64_t n;

	while (query.n > 0) {
		struct span value = span_cut(&query, '&'), key = span_cut(&value, '=');

		if (span_is(key, name) && text_u64(value, &n))
			return n;
	}
	return usual;
}

static struct span word(struct span query, const char *name)
{
	while (query.n > 0) {
		struct span value = span_cut(&query, '&'), key = span_cut(&value, '=');

		if (span_is(key, name))
			return value;
	}
	return (struct span){NULL, 0};
}

static void refuse(struct caller *c, int status, const char *why)
{
	struct buf *b = &c->sim->body;

	buf_clear(b);
	buf_append_cstr(b, "{\"error\":");
	text_json_string(b, span_of(why));
	buf_append_char(b, '}');
	caller_reply(c, status, "application/json", buf_span(b));
}

static void done(struct caller *c)
{
	caller_reply(c, 200, "application/json", SPAN("{\"ok\":true}"));
}

static void get_bill(struct caller *c, const struct incoming *in, struct span body)
{
	bill_write(&c->sim->bill, number(in->query, "since", 0),
		number(in->query, "limit", BILL_MAX_ENTRIES), &c->sim->body);
	caller_reply(c, 200, "application/json", buf_span(&c->sim->body));
}

static void get_counts(struct caller *c, const struct incoming *in, struct span body)
{
	bill_write_counts(&c->sim->bill, &c->sim->body);
	caller_reply(c, 200, "application/json", buf_span(&c->sim->body));
}

static void get_last(struct caller *c, const struct incoming *in, struct span body)
{
	last_write(&c->sim->last, number(in->query, "n", LAST_REQUESTS), &c->sim->body);
	caller_reply(c, 200, "application/json", buf_span(&c->sim->body));
}

static void get_options(struct caller *c, const struct incoming *in, struct span body)
{
	script_write_docs(&c->sim->body);
	caller_reply(c, 200, "text/markdown; charset=utf-8", buf_span(&c->sim->body));
}

static void forget_orders(struct sim *sim)
{
	script_unref(sim->forced);
	sim->forced = NULL;
	sim->forced_count = sim->forced_skip = 0;
	sim->accept_mode = ACCEPT_USUAL;
	sim->accept_count = 0;
}

static void post_reset(struct caller *c, const struct incoming *in, struct span body)
{
	bill_reset(&c->sim->bill);
	last_reset(&c->sim->last);
	forget_orders(c->sim);
	c->sim->flaky = 0;
	done(c);
}

/* The body is a script for the next `count` requests, behind the next `skip`. */
static void post_script(struct caller *c, const struct incoming *in, struct span body)
{
	struct sim *sim = c->sim;
	struct err err = {0};
	struct script *s = script_parse(span_trim(body), &err);

	if (s == NULL) {
		refuse(c, err_row(err.code)->status, err.text);
		return;
	}
	script_unref(sim->forced);
	sim->forced = s;
	sim->forced_count = (int64_t)(number(in->query, "count", 1) & INT64_MAX);
	sim->forced_skip = (int64_t)(number(in->query, "skip", 0) & INT64_MAX);
	done(c);
}

/* The next `count` connections are reset or closed when accepted, or never read. */
static void post_accept(struct caller *c, const struct incoming *in, struct span body)
{
	static const char *const modes[] = {"usual", "reset", "close", "silent"};
	struct span mode = word(in->query, "mode");

	for (int i = 0; i < 4; i++) {
		if (!span_is(mode, modes[i]))
			continue;
		c->sim->accept_mode = (enum accept_mode)i;
		c->sim->accept_count = (int64_t)(number(in->query, "count", 1) & INT64_MAX);
		done(c);
		return;
	}
	refuse(c, 400, "mode is one of usual, reset, close, silent");
}

static const struct endpoint {
	enum http_method method;
	const char *path;
	void (*run)(struct caller *c, const struct incoming *in, struct span body);
} endpoints[] = {
	{HTTP_GET, "/_sim/bill", get_bill},
	{HTTP_GET, "/_sim/counts", get_counts},
	{HTTP_GET, "/_sim/last", get_last},
	{HTTP_GET, "/_sim/options", get_options},
	{HTTP_POST, "/_sim/reset", post_reset},
	{HTTP_POST, "/_sim/script", post_script},
	{HTTP_POST, "/_sim/accept", post_accept},
};

void caller_control(struct caller *c, const struct incoming *in, struct span body)
{
	for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
		const struct endpoint *e = &endpoints[i];

		if (e->method != in->method || !span_is(in->path, e->path))
			continue;
		buf_clear(&c->sim->body);
		e->run(c, in, body);
		return;
	}
	refuse(c, 404, "GET /_sim/bill, counts, last, options; POST /_sim/reset, script, accept");
}
