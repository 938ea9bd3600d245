/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/head.h"
/* llhttp's names for the methods are ours too. */
#define HTTP_GET LLHTTP_GET
#define HTTP_HEAD LLHTTP_HEAD
#define HTTP_POST LLHTTP_POST
#define HTTP_PUT LLHTTP_PUT
#define HTTP_PATCH LLHTTP_PATCH
#define HTTP_DELETE LLHTTP_DELETE
#define HTTP_OPTIONS LLHTTP_OPTIONS
#include <llhttp.h>
#undef HTTP_GET
#undef HTTP_HEAD
#undef HTTP_POST
#undef HTTP_PUT
#undef HTTP_PATCH
#undef HTTP_DELETE
#undef HTTP_OPTIONS
#include "machine/base/text.h"

struct parse {
	llhttp_t ll;
	struct http_head *head;
	struct head_error *why;
	struct span host, expect; /* {NULL, 0}: absent */
	int hosts, lengths, codings, expects;
	bool request, complete, close, keep_alive, upgrade;
};

static bool refuse(struct parse *s, enum err_code code, const char *text)
{
	if (s->why->code == ERR_OK) {
		s->why->code = code;
		s->why->text = text;
	}
	return false;
}

/* ---- the first line ---- */

static bool read_version(struct parse *s, struct span version)
{
	if (span_is(version, "HTTP/1.1"))
		s->head->minor = 1;
	else if (span_is(version, "HTTP/1.0"))
		s->head->minor = 0;
	else
		return refuse(s, ERR_BAD_REQUEST, "its version is not HTTP/1.1 or HTTP/1.0");
	return true;
}

static bool read_method(struct parse *s, struct span name)
{
	for (int m = 0; m < HTTP_METHOD_COUNT; m++)
		if (span_is(name, http_method_name((enum http_method)m))) {
			s->head->method = (enum http_method)m;
			return true;
		}
	if (!http_is_token(name))
		return refuse(s, ERR_BAD_REQUEST, "its method is not a token");
	return refuse(s, ERR_UNSUPPORTED, "its method is not one that is served here");
}

/* RFC 9110 section 7.2: uri-host and port, nothing else; a comma would be a list. */
static bool is_authority(struct span s)
{
	static const char ok[] = "-._~!$&'()*+;=%";
	struct span port = {NULL, 0};
	ptrdiff_t colon;

	if (s.n > 0 && s.p[0] == '[') {
		ptrdiff_t end = span_find_char(s, ']');

		if (end < 3)
			return false;
		for (ptrdiff_t i = 1; i < end; i++)
			if (strchr("0123456789abcdefABCDEF:.", s.p[i]) == NULL || s.p[i] == '\0')
				return false;
		port = span_skip(s, (size_t)end + 1);
		if (port.n > 0 && port.p[0] != ':')
			return false;
		port = span_skip(port, 1);
	} else {
		colon = span_find_char(s, ':');
		if (colon >= 0) {
			port = span_skip(s, (size_t)colon + 1);
			s.n = (size_t)colon;
		}
		for (size_t i = 0; i < s.n; i++) {
			char c = s.p[i];
			bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
				     (c >= 'A' && c <= 'Z');

			if (!alnum && (c == '\0' || strchr(ok, c) == NULL))
				return false;
		}
		if (s.n == 0)
			return false;
	}
	if (port.n > 0) {
		uint64_t v;

		return port.n <= 5 && text_u64(port, &v) && v <= 65535;
	}
	return true;
}

/* Sets target, path, query. *authority: of the absolute form. */
static bool read_target(struct parse *s, struct span target, struct span *authority)
{
	struct http_head *head = s->head;
	struct span rest = target;

	head->target = target;
	s->why->target = target;
	if (target.n > HTTP_MAX_TARGET_BYTES)
		return refuse(s, ERR_HEAD_TOO_LARGE, "its target is over 8 KiB");
	if (!http_is_target(target))
		return refuse(s, ERR_BAD_REQUEST,
			"its target has a fragment, a blank, a control or a non-ASCII character");
	if (span_is(target, "*") && head->method == HTTP_OPTIONS) {
		head->path = target;
		head->query = (struct span){target.p + 1, 0};
		return true;
	}
	if (target.p[0] != '/') {
		size_t scheme = span_starts_nocase(target, SPAN("http://"))    ? 7
				: span_starts_nocase(target, SPAN("https://")) ? 8
									       : 0;
		size_t n = 0;

		if (scheme == 0)
			return refuse(
				s, ERR_BAD_REQUEST, "its target is neither a path nor an address");
		rest = span_skip(target, scheme);
		while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
			n++;
		*authority = span_head(rest, n);
		rest = span_skip(rest, n);
		if (!is_authority(*authority))
			return refuse(s, ERR_BAD_REQUEST, "its target's host is malformed");
		if (rest.n == 0 || rest.p[0] != '/')
			return refuse(s, ERR_BAD_REQUEST, "its target has no path");
	}
	head->path = span_cut(&rest, '?');
	head->query = rest.p != NULL ? rest : (struct span){head->path.p + head->path.n, 0};
	return true;
}

static bool read_request_line(struct parse *s, struct span line, struct span *authority)
{
	ptrdiff_t first = span_find_char(line, ' '), last = span_find_last_char(line, ' ');
	struct span target;

	if (first <= 0 || last <= first)
		return refuse(
			s, ERR_BAD_REQUEST, "its first line is not method, target and version");
	target = span_head(span_skip(line, (size_t)first + 1), (size_t)(last - first - 1));
	return read_method(s, span_head(line, (size_t)first)) &&
	       read_target(s, target, authority) &&
	       read_version(s, span_skip(line, (size_t)last + 1));
}

static bool read_status_line(struct parse *s, struct span line)
{
	int status = 0;

	if (line.n < 12 || line.p[8] != ' ' || (line.n > 12 && line.p[12] != ' '))
		return refuse(s, ERR_UPSTREAM_INVALID, "its first line is not version and status");
	for (int i = 9; i < 12; i++) {
		if (line.p[i] < '0' || line.p[i] > '9')
			return refuse(s, ERR_UPSTREAM_INVALID, "its status is not a number");
		status = status * 10 + (line.p[i] - '0');
	}
	if (status < 100 || status > 599)
		return refuse(s, ERR_UPSTREAM_INVALID, "its status is not between 100 and 599");
	s->head->status = status;
	return read_version(s, span_head(line, 8));
}

/* ---- fields ---- */

static int on_name(llhttp_t *ll, const char *at, size_t n)
{
	struct parse *s = ll->data;
	struct http_head *head = s->head;

	if (head->n == HTTP_MAX_FIELDS) {
		refuse(s, ERR_HEAD_TOO_LARGE, "it has more than 100 header fields");
		return -1;
	}
	head->fields[head->n++] = (struct http_field){{at, n}, {at + n, 0}};
	return 0;
}

static int on_value(llhttp_t *ll, const char *at, size_t n)
{
	struct parse *s = ll->data;
	struct http_head *head = s->head;

	if (n > HTTP_MAX_VALUE_BYTES) {
		refuse(s, ERR_HEAD_TOO_LARGE, "one of its header fields is over 16 KiB");
		return -1;
	}
	if (head->n == 0)
		return -1;
	head->fields[head->n - 1].value = (struct span){at, n};
	return 0;
}

static int on_complete(llhttp_t *ll)
{
	struct parse *s = ll->data;

	s->complete = true;
	return HPE_PAUSED;
}

static bool read_fields(struct parse *s, struct span text)
{
	static const llhttp_settings_t settings = {.on_header_field = on_name,
		.on_header_value = on_value,
		.on_headers_complete = on_complete};

	llhttp_init(&s->ll, s->request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	s->ll.data = s;
	llhttp_execute(&s->ll, text.p, text.n);
	if (s->why->code != ERR_OK)
		return false;
	if (!s->complete)
		return refuse(s, ERR_BAD_REQUEST,
			llhttp_get_error_reason(&s->ll) != NULL &&
					llhttp_get_errno(&s->ll) != HPE_OK
				? llhttp_get_error_reason(&s->ll)
				: "its head is incomplete");
	return true;
}

static bool read_length(struct parse *s, struct span v)
{
	uint64_t n;

	if (++s->lengths > 1)
		return refuse(s, ERR_BAD_REQUEST, "Content-Length is given more than once");
	if (!text_u64(v, &n) || n > INT64_MAX || (v.n > 1 && v.p[0] == '0'))
		return refuse(s, ERR_BAD_REQUEST, "Content-Length is not a plain number");
	s->head->content_length = (int64_t)n;
	return true;
}

static bool read_coding(struct parse *s, struct span v)
{
	if (++s->codings > 1)
		return refuse(s, ERR_BAD_REQUEST, "Transfer-Encoding is given more than once");
	if (s->head->minor == 0)
		return refuse(s, ERR_BAD_REQUEST, "Transfer-Encoding with HTTP/1.0");
	if (!span_eq_nocase(v, SPAN("chunked")))
		return refuse(s, ERR_UNSUPPORTED, "Transfer-Encoding is not \"chunked\"");
	s->head->chunked = true;
	return true;
}

static void read_connection(struct parse *s, struct span v)
{
	while (v.p != NULL) {
		struct span option = span_trim(span_cut(&v, ','));

		if (span_eq_nocase(option, SPAN("close")))
			s->close = true;
		else if (span_eq_nocase(option, SPAN("keep-alive")))
			s->keep_alive = true;
	}
}

/* Two names that a less careful reader takes for one another. */
static bool are_twins(struct span a, struct span b)
{
	bool differ = false;

	/* The bound keeps a head of long crafted names cheap; no real name is that long. */
	if (a.n != b.n || a.n > 64)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		char x = a.p[i], y = b.p[i];

		if (x == y)
			continue;
		if ((x == '_' && y == '-') || (x == '-' && y == '_'))
			differ = true;
		else if ((x | 0x20) != (y | 0x20) || (x | 0x20) < 'a' || (x | 0x20) > 'z')
			return false;
	}
	return differ;
}

static bool check_twins(struct parse *s, struct span name)
{
	static const char *const framing[] = {"content-length", "transfer-encoding"};
	bool found = false;

	for (size_t i = 0; i < sizeof(framing) / sizeof(framing[0]); i++)
		found = found || are_twins(name, span_of(framing[i]));
	for (int i = 0; i < s->head->n; i++)
		found = found || are_twins(name, s->head->fields[i].name);
	return found ? refuse(s, ERR_BAD_REQUEST, "two header fields differ only in '_' and '-'")
		     : true;
}

static bool read_field(struct parse *s, struct http_field *f)
{
	struct span v = f->value = span_trim(f->value);

	/* By length first: most fields are none of these. */
	switch (f->name.n) {
	case 4:
		if (span_eq_nocase(f->name, SPAN("host"))) {
			s->host = v;
			s->hosts++;
		}
		break;
	case 6:
		if (span_eq_nocase(f->name, SPAN("expect"))) {
			s->expect = v;
			s->expects++;
		}
		break;
	case 7:
		if (span_eq_nocase(f->name, SPAN("upgrade")))
			s->upgrade = s->upgrade || !span_eq_nocase(v, SPAN("h2c"));
		break;
	case 10:
		if (span_eq_nocase(f->name, SPAN("connection")))
			read_connection(s, v);
		break;
	case 14:
		if (span_eq_nocase(f->name, SPAN("content-length")))
			return read_length(s, v);
		break;
	case 17:
		if (span_eq_nocase(f->name, SPAN("transfer-encoding")))
			return read_coding(s, v);
		break;
	default:
		break;
	}
	return !s->request || memchr(f->name.p, '_', f->name.n) == NULL || check_twins(s, f->name);
}

static bool check_request(struct parse *s, struct span authority)
{
	struct http_head *head = s->head;
	bool bodyless = head->method == HTTP_GET || head->method == HTTP_HEAD ||
			head->method == HTTP_OPTIONS; /* RFC 9110 9.3.5 lets DELETE have one */

	if (s->hosts > 1)
		return refuse(s, ERR_BAD_REQUEST, "Host is given more than once");
	if (s->hosts == 0 && head->minor == 1)
		return refuse(s, ERR_BAD_REQUEST, "Host is missing");
	if (s->hosts == 1 && !is_authority(s->host))
		return refuse(s, ERR_BAD_REQUEST, "Host is not a host and port");
	if (authority.p != NULL && !span_eq_nocase(authority, s->host))
		return refuse(s, ERR_BAD_REQUEST, "Host differs from the target's host");
	if (s->upgrade)
		return refuse(s, ERR_UNSUPPORTED, "it asks for another protocol by Upgrade");
	if (bodyless && (head->chunked || head->content_length > 0))
		return refuse(s, ERR_BAD_REQUEST, "a body with a method that has none");
	if (s->expects > 0 && head->minor == 1) {
		if (s->expects > 1 || !span_eq_nocase(s->expect, SPAN("100-continue")))
			return refuse(s, ERR_BAD_REQUEST, "Expect is not \"100-continue\"");
		head->expect_continue = head->chunked || head->content_length > 0;
	}
	return true;
}

bool head_parse(struct span text, bool request, struct http_head *head, struct head_error *why)
{
	struct parse s = {.head = head, .why = why, .request = request};
	struct span authority = {NULL, 0};
	ptrdiff_t end = span_find_char(text, '\r');
	struct span line = span_head(text, end < 0 ? text.n : (size_t)end);

	*why = (struct head_error){0};
	memset(head, 0, offsetof(struct http_head, fields));
	head->text = text;
	head->content_length = -1;
	if (!(request ? read_request_line(&s, line, &authority) : read_status_line(&s, line)))
		return false;
	if (!read_fields(&s, text))
		return false;
	for (int i = 0; i < head->n; i++)
		if (!read_field(&s, &head->fields[i]))
			return false;
	if (s.codings > 0 && s.lengths > 0)
		return refuse(&s, ERR_BAD_REQUEST, "Content-Length with Transfer-Encoding");
	if (request && !check_request(&s, authority))
		return false;
	head->keep_alive = !s.close && (head->minor == 1 || s.keep_alive);
	return true;
}
