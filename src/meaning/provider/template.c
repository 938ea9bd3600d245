/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/template.h"

#define MAX_TARGET_BYTES 8192

struct filling {
	const struct provider_setup *s;
	const struct provider_ask *ask;
	struct buf *out;
};

/*
 * RFC 3986: all but unreserved characters. '@' may stand in a segment and is left, as Google's own
 * libraries leave it in the names of versions.
 */
static void put_segment(struct buf *out, struct span text)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			     (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.' ||
			     c == '~' || c == '@';

		if (plain) {
			buf_append_char(out, (char)c);
		} else {
			buf_append_char(out, '%');
			buf_append_char(out, hex[c >> 4]);
			buf_append_char(out, hex[c & 15]);
		}
	}
}

static struct span or_else(struct span first, struct span other)
{
	return first.n > 0 ? first : other;
}

/* https://cloud.google.com/vertex-ai/docs/general/locations */
static void put_vertex_host(struct buf *out, struct span location)
{
	if (location.n == 0 || span_is(location, "global")) {
		buf_append_cstr(out, "aiplatform.googleapis.com");
	} else if (span_is(location, "us") || span_is(location, "eu")) {
		buf_printf(out, "aiplatform.%.*s.rep.googleapis.com", SPAN_ARG(location));
	} else {
		put_segment(out, location);
		buf_append_cstr(out, "-aiplatform.googleapis.com");
	}
}

/* A key is a project's own: the address names neither it nor a location. */
static void put_place(struct filling *f)
{
	if (f->s->project.n == 0)
		return;
	buf_append_cstr(f->out, "projects/");
	put_segment(f->out, f->s->project);
	buf_append_cstr(f->out, "/locations/");
	put_segment(f->out, or_else(f->ask->region, f->s->location));
	buf_append_char(f->out, '/');
}

static void put(struct filling *f, struct span name)
{
	struct span rest = name, plain = span_cut(&rest, '|');

	if (rest.p != NULL) {
		buf_append(f->out, f->ask->stream ? rest : plain);
	} else if (span_is(name, "model")) {
		put_segment(f->out, f->ask->model);
	} else if (span_is(name, "place")) {
		put_place(f);
	} else if (span_is(name, "region")) {
		put_segment(f->out, or_else(f->ask->region, f->s->region));
	} else if (span_is(name, "resource")) {
		put_segment(f->out, f->s->resource);
	} else if (span_is(name, "vertex_host")) {
		put_vertex_host(f->out, or_else(f->ask->region, f->s->location));
	} else if (span_is(name, "?api_version") && f->s->api_version.n > 0) {
		buf_append_cstr(f->out, "?api-version=");
		put_segment(f->out, f->s->api_version);
	}
}

/* A client that asks for the model ".." must not walk up the path. */
static bool is_segment(struct span model)
{
	return !span_is(model, ".") && !span_is(model, "..");
}

bool template_fill(const char *text, const struct provider_setup *s, const struct provider_ask *ask,
	struct arena *a, struct span *out, struct err *err)
{
	struct span rest = span_of(text);
	struct buf b;
	struct filling f = {s, ask, &b};
	bool ok;

	if (!is_segment(ask->model)) {
		err_param(err, "model");
		return err_set(
			err, ERR_MODEL_NOT_FOUND, "\"%.*s\" is no model", SPAN_ARG(ask->model));
	}
	if (span_find_char(rest, '{') < 0) {
		*out = rest;
		return true;
	}
	buf_init(&b, MAX_TARGET_BYTES);
	while (rest.n > 0) {
		buf_append(&b, span_cut(&rest, '{'));
		if (rest.n > 0)
			put(&f, span_cut(&rest, '}'));
	}
	ok = !b.failed;
	if (ok)
		*out = arena_copy(a, buf_span(&b));
	buf_done(&b);
	return (ok && !a->failed) || err_set(err, ERR_NO_MEMORY, NULL);
}
