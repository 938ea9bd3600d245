/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/client.h"
#include <stdatomic.h>
#include <stdlib.h>
#include "machine/base/text.h"

static bool read_port(struct span text, bool tls, int *port)
{
	uint64_t v;

	*port = tls ? 443 : 80;
	if (text.p == NULL)
		return true;
	if (!text_u64(text, &v) || v == 0 || v > 65535 || text.n > 5)
		return false;
	*port = (int)v;
	return true;
}

/* "host", "host:port", "[v6]", "[v6]:port". RFC 3986 section 3.2 without userinfo. */
static bool read_authority(struct span text, bool tls, struct span *host, int *port)
{
	struct span rest = text;
	ptrdiff_t end;

	if (text.n > 0 && text.p[0] == '[') {
		end = span_find_char(text, ']');
		if (end < 3)
			return false;
		*host = (struct span){text.p + 1, (size_t)end - 1};
		for (size_t i = 0; i < host->n; i++)
			if (memchr("0123456789abcdefABCDEF:.", host->p[i], 24) == NULL)
				return false;
		rest = span_skip(text, (size_t)end + 1);
		if (rest.n > 0 && rest.p[0] != ':')
			return false;
		return read_port(
			rest.n > 0 ? span_skip(rest, 1) : (struct span){NULL, 0}, tls, port);
	}
	*host = span_cut(&rest, ':');
	for (size_t i = 0; i < host->n; i++) {
		char c = host->p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '-' || c == '.' || c == '_'))
			return false;
	}
	return host->n > 0 && host->n <= 253 && read_port(rest, tls, port);
}

static char *copy(struct span s)
{
	char *p = malloc(s.n + 1);

	if (p == NULL)
		return NULL;
	memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

struct http_origin *http_origin_new(
	const char *url, struct tls_context *tls, const char **path, struct err *err)
{
	static atomic_uint last_id;
	struct span text = span_of(url), host, authority;
	struct http_origin *o;
	size_t n = 0;
	int port = 0;
	bool is_tls = false, is_unix = span_starts(text, SPAN("unix:/"));

	if (is_unix) {
		host = text;
		authority = SPAN("localhost");
		n = text.n;
	} else if (span_starts_nocase(text, SPAN("https://")) ||
		   span_starts_nocase(text, SPAN("http://"))) {
		is_tls = (text.p[4] | 0x20) == 's';
		text = span_skip(text, is_tls ? 8 : 7);
		while (n < text.n && text.p[n] != '/')
			n++;
		authority = span_head(text, n);
		if (!http_is_target(text) || span_find_char(text, '?') >= 0 ||
			!read_authority(authority, is_tls, &host, &port)) {
			/* It may hold a password: only what cannot is repeated. */
			err_set(err, ERR_CONFIG,
				"\"%s\" is not an address of the form https://host[:port][/path]",
				strchr(url, '@') == NULL ? url : "...@...");
			return NULL;
		}
	} else {
		err_set(err, ERR_CONFIG, "\"%s\" must begin with http:// or https://",
			strchr(url, '@') == NULL ? url : "...@...");
		return NULL;
	}
	if (is_tls && tls == NULL) {
		err_set(err, ERR_CONFIG, "https needs a TLS context");
		return NULL;
	}
	o = calloc(1, sizeof(*o));
	if (o != NULL) {
		o->refs = 1;
		o->host = copy(host);
		o->authority = copy(authority);
	}
	if (o == NULL || o->host == NULL || o->authority == NULL) {
		http_origin_unref(o);
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	o->port = port;
	o->tls = is_tls;
	o->tls_context = is_tls ? tls_context_ref(tls) : NULL;
	o->pool_id = atomic_fetch_add(&last_id, 1) + 1;
	if (path != NULL)
		*path = text.p + n;
	return o;
}

struct http_origin *http_origin_ref(struct http_origin *o)
{
	__atomic_add_fetch(&o->refs, 1, __ATOMIC_RELAXED);
	return o;
}

void http_origin_unref(struct http_origin *o)
{
	if (o == NULL || __atomic_sub_fetch(&o->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	tls_context_unref(o->tls_context);
	free(o->host);
	free(o->authority);
	free(o);
}
