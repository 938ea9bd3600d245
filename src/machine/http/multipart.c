/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/multipart.h"

#define MAX_BOUNDARY_BYTES 70 /* RFC 2046 5.1.1 */
#define MAX_HEAD_BYTES 4096

static bool is_boundary_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("'()+_,-./:=? ", c) != NULL);
}

/* The value of a parameter behind a header's value: name=token or name="quoted". */
static struct span parameter(struct span value, const char *name)
{
	struct span rest = value, none = {NULL, 0};

	span_cut(&rest, ';');
	while (rest.p != NULL && rest.n > 0) {
		ptrdiff_t equals = span_find_char(rest, '=');
		struct span key, text;

		if (equals < 0)
			return none;
		key = span_trim(span_head(rest, (size_t)equals));
		rest = span_skip(rest, (size_t)equals + 1);
		if (rest.n > 0 && rest.p[0] == '"') {
			size_t end = 1;

			while (end < rest.n && rest.p[end] != '"')
				end += rest.p[end] == '\\' ? 2 : 1;
			if (end >= rest.n)
				return none;
			text = (struct span){rest.p + 1, end - 1};
			rest = span_skip(rest, end);
			span_cut(&rest, ';');
		} else {
			text = span_trim(span_cut(&rest, ';'));
		}
		if (span_eq_nocase(key, span_of(name)))
			return text;
	}
	return none;
}

struct span multipart_boundary(struct span content_type)
{
	struct span rest = content_type, none = {NULL, 0}, boundary;

	if (!span_eq_nocase(span_trim(span_cut(&rest, ';')), SPAN("multipart/form-data")))
		return none;
	boundary = parameter(content_type, "boundary");
	if (boundary.n == 0 || boundary.n > MAX_BOUNDARY_BYTES || boundary.p[boundary.n - 1] == ' ')
		return none;
	for (size_t i = 0; i < boundary.n; i++)
		if (!is_boundary_char(boundary.p[i]))
			return none;
	return boundary;
}

static bool wrong(struct err *err, const char *what)
{
	return err_set(err, ERR_BAD_REQUEST, "The form is not valid multipart/form-data: %s", what);
}

/* The head lines of a part; the content begins behind them. */
static bool read_head(struct span head, struct multipart_part *part, struct err *err)
{
	bool named = false;

	while (head.n > 0) {
		ptrdiff_t end = span_find(head, SPAN("\r\n"));
		struct span line = end >= 0 ? span_head(head, (size_t)end) : head, value;
		ptrdiff_t colon = span_find_char(line, ':');

		if (colon <= 0)
			return wrong(err, "a part has a head line without a name");
		head = end >= 0 ? span_skip(head, (size_t)end + 2) : (struct span){NULL, 0};
		value = span_trim(span_skip(line, (size_t)colon + 1));
		line = span_head(line, (size_t)colon);
		if (span_eq_nocase(line, SPAN("content-disposition"))) {
			if (named || !span_starts_nocase(value, SPAN("form-data")))
				return wrong(err, "a part's Content-Disposition is not form-data");
			part->name = parameter(value, "name");
			part->filename = parameter(value, "filename");
			named = true;
		} else if (span_eq_nocase(line, SPAN("content-type"))) {
			part->type = value;
		} else if (span_eq_nocase(line, SPAN("content-transfer-encoding"))) {
			return wrong(err, "a part has a Content-Transfer-Encoding (RFC 7578 4.7)");
		}
	}
	return (named && part->name.p != NULL) || wrong(err, "a part has no name");
}

/* Behind a boundary: *last when it was the closing one. */
static bool end_boundary(struct span *rest, bool *last, struct err *err)
{
	*last = span_starts(*rest, SPAN("--"));
	if (*last)
		return true;
	while (rest->n > 0 && (rest->p[0] == ' ' || rest->p[0] == '\t'))
		*rest = span_skip(*rest, 1);
	if (!span_starts(*rest, SPAN("\r\n")))
		return wrong(err, "a boundary is not followed by a line end");
	*rest = span_skip(*rest, 2);
	return true;
}

static bool read_part(
	struct span *rest, struct span delimiter, struct multipart_part *part, struct err *err)
{
	ptrdiff_t head = span_find(span_head(*rest, MAX_HEAD_BYTES), SPAN("\r\n\r\n")), end;

	*part = (struct multipart_part){0};
	if (head < 0)
		return wrong(err, "a part has no head, or one over 4096 bytes");
	if (!read_head(span_head(*rest, (size_t)head), part, err))
		return false;
	/* An empty content: its delimiter begins with the empty line's end. */
	*rest = span_skip(*rest, (size_t)head + 2);
	end = span_find(*rest, delimiter);
	if (end < 0)
		return wrong(err, "the last boundary is missing");
	part->content = end >= 2 ? (struct span){rest->p + 2, (size_t)end - 2}
				 : (struct span){rest->p + 2, 0};
	*rest = span_skip(*rest, (size_t)end + delimiter.n);
	return true;
}

bool multipart_read(struct span body, struct span boundary, struct multipart *out, struct err *err)
{
	char text[MAX_BOUNDARY_BYTES + 4] = "\r\n--";
	struct span delimiter = {text, boundary.n + 4}, rest = body;
	const char *part_from = body.p;
	ptrdiff_t first;
	bool last = false;

	if (boundary.n == 0 || boundary.n > MAX_BOUNDARY_BYTES)
		return wrong(err, "it has no boundary");
	memcpy(text + 4, boundary.p, boundary.n);
	if (span_starts(rest, span_skip(delimiter, 2))) {
		rest = span_skip(rest, delimiter.n - 2);
	} else {
		first = span_find(rest, delimiter);
		if (first < 0)
			return wrong(err, "the first boundary is missing");
		part_from = rest.p + first;
		rest = span_skip(rest, (size_t)first + delimiter.n);
	}
	out->n = 0;
	for (;;) {
		struct multipart_part *part = &out->parts[out->n];

		if (!end_boundary(&rest, &last, err))
			return false;
		if (last)
			return true;
		if (out->n == MULTIPART_MAX_PARTS)
			return wrong(err, "it has over 128 parts");
		if (!read_part(&rest, delimiter, part, err))
			return false;
		part->whole = span_from(part_from, (size_t)(rest.p - delimiter.n - part_from));
		part_from = rest.p - delimiter.n;
		out->n++;
	}
}

const struct multipart_part *multipart_find(
	const struct multipart *m, struct span name, bool *twice)
{
	const struct multipart_part *found = NULL;

	*twice = false;
	for (int i = 0; i < m->n; i++) {
		if (!span_eq(m->parts[i].name, name))
			continue;
		*twice |= found != NULL;
		found = &m->parts[i];
	}
	return found;
}
