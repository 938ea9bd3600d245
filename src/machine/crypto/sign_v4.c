/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/crypto/sign_v4.h"
#include <stdlib.h>
#include "machine/base/text.h"

#define MAX_TEXT_BYTES ((size_t)64 << 10) /* a request's head is far smaller */
#define MAX_SECRET_BYTES 256
#define MAX_SEGMENTS 128
#define MAX_PARAMS 128

struct signer {
	const struct sign_v4 *in;
	char date[16]; /* 20150830T123600Z */
	struct sign_v4_field fields[SIGN_V4_MAX_SIGNED + SIGN_V4_MAX_ADDED + 1];
	int n_fields;
	struct buf names;     /* of the signed fields: "host;x-amz-date" */
	struct buf canonical; /* the request in the form that is hashed */
};

static bool is_unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.' || c == '~';
}

static void put_encoded(struct buf *b, struct span text)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (is_unreserved(c)) {
			buf_append_char(b, (char)c);
			continue;
		}
		buf_append_char(b, '%');
		buf_append_char(b, digits[c >> 4]);
		buf_append_char(b, digits[c & 15]);
	}
}

static void put_hex(struct buf *b, const uint8_t bytes[HASH_SHA256_BYTES])
{
	char hex[2 * HASH_SHA256_BYTES];

	text_hex(hex, bytes, HASH_SHA256_BYTES);
	buf_append(b, (struct span){hex, sizeof(hex)});
}

/* ---- path and query ---- */

/* Empty and "." segments go, ".." takes the one before it along (RFC 3986 6.2.2.3). */
static bool put_path(struct buf *b, struct span path)
{
	struct span kept[MAX_SEGMENTS], rest = path;
	bool slash_ends = path.n == 0 || path.p[path.n - 1] == '/';
	int n = 0;

	while (rest.n > 0) {
		struct span segment = span_cut(&rest, '/');

		slash_ends |= rest.n == 0 && (span_is(segment, ".") || span_is(segment, ".."));
		if (segment.n == 0 || span_is(segment, "."))
			continue;
		if (span_is(segment, "..")) {
			n -= n > 0;
			continue;
		}
		if (n == MAX_SEGMENTS)
			return false;
		kept[n++] = segment;
	}
	for (int i = 0; i < n; i++) {
		buf_append_char(b, '/');
		put_encoded(b, kept[i]);
	}
	if (n == 0 || slash_ends)
		buf_append_char(b, '/');
	return true;
}

/* What the text is when its percent-encoding is taken away, encoded anew in the one way. */
static void put_recoded(struct buf *b, struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '%' && i + 2 < text.n &&
			text_unhex(&c, 1, (struct span){text.p + i + 1, 2}))
			i += 2;
		put_encoded(b, (struct span){&c, 1});
	}
}

static int by_text(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int by_name_and_value(const void *a, const void *b)
{
	const struct sign_v4_field *x = a, *y = b;
	int order = by_text(x->name, y->name);

	return order != 0 ? order : by_text(x->value, y->value);
}

/* The parameters by name, then by value, each with its '='. */
static bool put_query(struct buf *b, struct span query)
{
	struct sign_v4_field params[MAX_PARAMS];
	size_t at[MAX_PARAMS][2]; /* where name and value end: `text` moves as it grows */
	struct buf text;
	struct span all;
	int n = 0;

	buf_init(&text, MAX_TEXT_BYTES);
	while (query.n > 0 && n < MAX_PARAMS) {
		struct span value = span_cut(&query, '&'), name = span_cut(&value, '=');

		if (name.n == 0 && value.n == 0)
			continue;
		put_recoded(&text, name);
		at[n][0] = text.n;
		put_recoded(&text, value);
		at[n++][1] = text.n;
	}
	all = buf_span(&text);
	for (int i = 0; i < n && !text.failed; i++) {
		size_t from = i > 0 ? at[i - 1][1] : 0;

		params[i].name = (struct span){all.p + from, at[i][0] - from};
		params[i].value = (struct span){all.p + at[i][0], at[i][1] - at[i][0]};
	}
	if (!text.failed && n > 0)
		qsort(params, (size_t)n, sizeof(params[0]), by_name_and_value);
	for (int i = 0; i < n && !text.failed; i++) {
		if (i > 0)
			buf_append_char(b, '&');
		buf_append(b, params[i].name);
		buf_append_char(b, '=');
		buf_append(b, params[i].value);
	}
	b->failed |= text.failed;
	buf_done(&text);
	return query.n == 0;
}

/* ---- fields ---- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static int by_name(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return (unsigned char)lower(a.p[i]) - (unsigned char)lower(b.p[i]);
	return (a.n > b.n) - (a.n < b.n);
}

/* In order of name; of one name, in the order in which they are sent. */
static void add_field(struct signer *s, struct span name, struct span value)
{
	int i = s->n_fields++;

	for (; i > 0 && by_name(s->fields[i - 1].name, name) > 0; i--)
		s->fields[i] = s->fields[i - 1];
	s->fields[i] = (struct sign_v4_field){name, value};
}

/* Without blanks at its ends; of blanks in a row one is left. */
static void put_value(struct buf *b, struct span value)
{
	bool blank = false;

	value = span_trim(value);
	for (size_t i = 0; i < value.n; i++) {
		bool now = value.p[i] == ' ' || value.p[i] == '\t';

		if (!now || !blank)
			buf_append_char(b, now ? ' ' : value.p[i]);
		blank = now;
	}
}

static void put_fields(struct signer *s)
{
	for (int i = 0; i < s->n_fields; i++) {
		struct span name = s->fields[i].name;

		if (i > 0)
			buf_append_char(&s->names, ';');
		for (size_t k = 0; k < name.n; k++) {
			buf_append_char(&s->canonical, lower(name.p[k]));
			buf_append_char(&s->names, lower(name.p[k]));
		}
		buf_append_char(&s->canonical, ':');
		put_value(&s->canonical, s->fields[i].value);
		while (i + 1 < s->n_fields && by_name(s->fields[i + 1].name, name) == 0) {
			buf_append_char(&s->canonical, ',');
			put_value(&s->canonical, s->fields[++i].value);
		}
		buf_append_char(&s->canonical, '\n');
	}
	buf_append_char(&s->canonical, '\n');
	buf_append(&s->canonical, buf_span(&s->names));
	buf_append_char(&s->canonical, '\n');
}

/* ---- the signature ---- */

static bool put_canonical(struct signer *s, struct err *err)
{
	buf_append(&s->canonical, s->in->method);
	buf_append_char(&s->canonical, '\n');
	if (!put_path(&s->canonical, s->in->path))
		return err_set(err, ERR_BAD_REQUEST, "A path of over %d segments cannot be signed",
			MAX_SEGMENTS);
	buf_append_char(&s->canonical, '\n');
	if (!put_query(&s->canonical, s->in->query))
		return err_set(err, ERR_BAD_REQUEST,
			"A query of over %d parameters cannot be signed", MAX_PARAMS);
	buf_append_char(&s->canonical, '\n');
	put_fields(s);
	put_hex(&s->canonical, s->in->body_sha256);
	return (!s->canonical.failed && !s->names.failed) || err_set(err, ERR_NO_MEMORY, NULL);
}

/* "20150830/us-east-1/bedrock/aws4_request" */
static struct span make_scope(const struct signer *s, struct arena *a)
{
	return arena_join(a,
		(const struct span[]){{s->date, 8}, SPAN("/"), s->in->region, SPAN("/"),
			s->in->service, SPAN("/aws4_request")},
		6);
}

static void derive_key(const struct signer *s, uint8_t key[HASH_SHA256_BYTES])
{
	const struct span steps[] = {
		{s->date, 8}, s->in->region, s->in->service, SPAN("aws4_request")};
	char first[4 + MAX_SECRET_BYTES] = "AWS4";
	struct span with = {first, 4 + s->in->secret.n};

	memcpy(first + 4, s->in->secret.p, s->in->secret.n);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		hash_hmac_sha256(with, steps[i], key);
		with = (struct span){(const char *)key, HASH_SHA256_BYTES};
	}
	hash_wipe(first, sizeof(first));
}

static struct span make_authorization(const struct signer *s, struct arena *a)
{
	struct span scope = make_scope(s, a), text;
	uint8_t key[HASH_SHA256_BYTES], digest[HASH_SHA256_BYTES];
	char hex[2 * HASH_SHA256_BYTES];

	hash_sha256(buf_span(&s->canonical), digest);
	text_hex(hex, digest, sizeof(digest));
	text = arena_join(a,
		(const struct span[]){SPAN("AWS4-HMAC-SHA256\n"), {s->date, sizeof(s->date)},
			SPAN("\n"), scope, SPAN("\n"), {hex, sizeof(hex)}},
		6);
	if (text.p == NULL || scope.p == NULL)
		return (struct span){NULL, 0};
	derive_key(s, key);
	hash_hmac_sha256((struct span){(const char *)key, sizeof(key)}, text, digest);
	hash_wipe(key, sizeof(key));
	text_hex(hex, digest, sizeof(digest));
	return arena_join(a,
		(const struct span[]){SPAN("AWS4-HMAC-SHA256 Credential="), s->in->access_key,
			SPAN("/"), scope, SPAN(", SignedHeaders="), buf_span(&s->names),
			SPAN(", Signature="), {hex, sizeof(hex)}},
		8);
}

/* What would break out of its field, or of the scope. */
static bool is_plain(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] > '~')
			return false;
	return text.n > 0;
}

static bool check(const struct sign_v4 *in, struct err *err)
{
	const struct {
		struct span text;
		const char *what;
	} rows[] = {{in->access_key, "access key"}, {in->secret, "secret key"},
		{in->region, "region"}, {in->service, "service"}, {in->host, "host"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!is_plain(rows[i].text))
			return err_set(err, ERR_UPSTREAM_AUTH,
				"The AWS %s is empty or holds a character that cannot be sent; "
				"check it in the configuration",
				rows[i].what);
	if (in->session_token.n > 0 && !is_plain(in->session_token))
		return err_set(err, ERR_UPSTREAM_AUTH,
			"The AWS session token holds a character that cannot be sent; check it in "
			"the configuration");
	if (in->secret.n > MAX_SECRET_BYTES)
		return err_set(err, ERR_UPSTREAM_AUTH, "The AWS secret key is over %d bytes",
			MAX_SECRET_BYTES);
	return in->n_fields <= SIGN_V4_MAX_SIGNED ||
	       err_set(err, ERR_INTERNAL, "Over %d fields cannot be signed", SIGN_V4_MAX_SIGNED);
}

/* RFC 3339's time without its marks and its fraction. */
static void write_date(int64_t wall_ms, char out[16])
{
	char text[32];
	size_t n = 0, length = text_rfc3339(text, wall_ms);

	for (size_t i = 0; i < length && text[i] != '.' && n < 15; i++)
		if (text[i] != '-' && text[i] != ':')
			out[n++] = text[i];
	out[n] = 'Z';
}

static int collect(struct signer *s, struct arena *a, struct sign_v4_field *out)
{
	const struct sign_v4 *in = s->in;
	char hex[2 * HASH_SHA256_BYTES];
	int n = 0;

	out[n++] = (struct sign_v4_field){
		SPAN("x-amz-date"), arena_copy(a, (struct span){s->date, sizeof(s->date)})};
	if (in->session_token.n > 0)
		out[n++] = (struct sign_v4_field){
			SPAN("x-amz-security-token"), arena_copy(a, in->session_token)};
	if (in->send_sha256) {
		text_hex(hex, in->body_sha256, HASH_SHA256_BYTES);
		out[n++] = (struct sign_v4_field){SPAN("x-amz-content-sha256"),
			arena_copy(a, (struct span){hex, sizeof(hex)})};
	}
	return n;
}

int sign_v4(const struct sign_v4 *in, struct arena *a, struct sign_v4_field out[SIGN_V4_MAX_ADDED],
	struct err *err)
{
	struct signer s = {.in = in};
	struct span authorization = {NULL, 0};
	bool ok;
	int n;

	if (!check(in, err))
		return 0;
	write_date(in->wall_ms, s.date);
	buf_init(&s.names, MAX_TEXT_BYTES);
	buf_init(&s.canonical, MAX_TEXT_BYTES);
	n = collect(&s, a, out);
	add_field(&s, SPAN("host"), in->host);
	for (int i = 0; i < in->n_fields; i++)
		add_field(&s, in->fields[i].name, in->fields[i].value);
	for (int i = 0; i < n; i++)
		add_field(&s, out[i].name, out[i].value);
	ok = put_canonical(&s, err);
	if (ok)
		authorization = make_authorization(&s, a);
	buf_done(&s.names);
	buf_done(&s.canonical);
	if (ok && a->failed)
		ok = err_set(err, ERR_NO_MEMORY, NULL);
	if (!ok)
		return 0;
	out[n++] = (struct sign_v4_field){SPAN("authorization"), authorization};
	return n;
}
