/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply - answers that are not streams, wrong answers, and every head.
 */
#include <zlib.h>
#include "machine/base/text.h"
#include "sim/caller.h"

#define NOISE_MULTIPLIER 6364136223846793005u

static const char html[] = "<!DOCTYPE html>\n<html><head><title>502 Bad "
			   "Gateway</title></head>\n<body><h1>Bad gateway</h1>\n"
			   "<p>The simulator is pretending to be a broken proxy. Authorization: "
			   "Bearer sk-secret-in-html-1234"
			   "</p></body></html>\n";

static bool option(const struct caller *c, enum opt o)
{
	return script_is(c->job->script, o);
}

enum frame reply_frame(const struct caller *c, enum frame usual)
{
	enum frame f = c->job->script->frame;

	if (f == FRAME_USUAL)
		f = usual;
	/* HTTP/1.0 has no chunks. */
	return f == FRAME_CHUNKED && c->http10 ? FRAME_CLOSE : f;
}

/* What becomes of the connection after a whole answer. */
enum after reply_after(struct caller *c)
{
	const struct script *s = c->job->script;
	bool close = !c->keep_alive || c->frame == FRAME_CLOSE || c->early ||
		     script_is(s, OPT_NO_END) || script_num(s, OPT_WRONG_LENGTH, 0) > 0;

	if (script_has(s, OPT_FLAKY) && ++c->sim->flaky % script_num(s, OPT_FLAKY, 1) == 0)
		close = true;
	if (script_is(s, OPT_HALF_CLOSE))
		return AFTER_HALF;
	return close ? AFTER_CLOSE : AFTER_NEXT;
}

static void status_line(struct buf *h, int status)
{
	if (status == 200) {
		buf_append(h, SPAN("HTTP/1.1 200 OK\r\n"));
		return;
	}
	buf_append(h, SPAN("HTTP/1.1 "));
	buf_append_u64(h, (uint64_t)status);
	buf_append_char(h, ' ');
	buf_append_cstr(h, http_reason(status));
	buf_append(h, SPAN("\r\n"));
}

static void text_field(struct buf *h, const char *name, struct span value)
{
	buf_append_cstr(h, name);
	buf_append(h, SPAN(": "));
	buf_append(h, value);
	buf_append(h, SPAN("\r\n"));
}

static void scripted_fields(struct caller *c, int status, struct buf *h)
{
	const struct script *s = c->job->script;

	if (script_has(s, OPT_RETRY_AFTER))
		text_field(h, "retry-after", s->v[OPT_RETRY_AFTER].text);
	if (script_has(s, OPT_RETRY_AFTER_MS))
		text_field(h, "retry-after-ms", s->v[OPT_RETRY_AFTER_MS].text);
	if (status >= 300 && status < 400)
		text_field(h, "location",
			script_has(s, OPT_LOCATION) ? s->v[OPT_LOCATION].text
						    : SPAN("http://127.0.0.1:9/elsewhere"));
	if (script_is(s, OPT_RATELIMIT))
		buf_append_cstr(h, c->job->format->ratelimit);
	for (int64_t i = script_num(s, OPT_FIELDS, 0); i > 0; i--) {
		buf_append(h, SPAN("x-sim-field-"));
		buf_append_i64(h, i);
		buf_append(h, SPAN(": 0123456789abcdef\r\n"));
	}
	/* Only plain answers are packed. */
	if (status == 200 && !c->job->stream &&
		(script_is(s, OPT_GZIP) || script_is(s, OPT_GZIP_TRUNCATED) ||
			script_has(s, OPT_GZIP_BOMB)))
		buf_append(h, SPAN("content-encoding: gzip\r\n"));
}

static void length_fields(struct caller *c, int64_t length, struct buf *h)
{
	const struct script *s = c->job->script;

	if (c->frame == FRAME_CHUNKED)
		buf_append(h, SPAN("transfer-encoding: chunked\r\n"));
	if (length >= 0 && (c->frame == FRAME_LENGTH || script_is(s, OPT_LENGTH_AND_CHUNKED))) {
		length += script_num(s, OPT_WRONG_LENGTH, 0);
		buf_append(h, SPAN("content-length: "));
		buf_append_i64(h, length < 0 ? 0 : length);
		buf_append(h, SPAN("\r\n"));
		if (script_is(s, OPT_TWO_LENGTHS)) {
			buf_append(h, SPAN("content-length: "));
			buf_append_i64(h, length + 1);
			buf_append(h, SPAN("\r\n"));
		}
	}
	if (c->frame == FRAME_CHUNKED && script_is(s, OPT_LENGTH_AND_CHUNKED) && length < 0)
		buf_append(h, SPAN("content-length: 7\r\n"));
	if (c->frame == FRAME_CLOSE || !c->keep_alive || c->early)
		buf_append(h, SPAN("connection: close\r\n"));
}

void reply_head(struct caller *c, int status, const char *type, int64_t length)
{
	const struct script *s = c->job->script;
	const struct format *f = c->job->format;
	struct buf *h = &c->sim->head;
	struct bill_entry *e = bill_find(&c->sim->bill, c->job->seq);

	c->status = status;
	if (e != NULL)
		e->status = status;
	buf_clear(h);
	for (int64_t i = script_num(s, OPT_INTERIM, 0); i > 0; i--)
		buf_append(
			h, SPAN("HTTP/1.1 103 Early Hints\r\nlink: </sim>; rel=preload\r\n\r\n"));
	status_line(h, status);
	if (script_has(s, OPT_CONTENT_TYPE))
		text_field(h, "content-type", s->v[OPT_CONTENT_TYPE].text);
	else if (type != NULL)
		text_field(h, "content-type", span_of(type));
	buf_append_cstr(h, f->id_field);
	buf_append(h, SPAN(": req_sim"));
	job_write_id(c->job, h);
	buf_append(h, SPAN("\r\n"));
	buf_append_cstr(h, f->fields);
	if (status >= 400 && f->error_fields != NULL)
		f->error_fields(c->job, status, h);
	if (s != c->sim->no_script)
		scripted_fields(c, status, h);
	length_fields(c, length, h);
	buf_append(h, SPAN("\r\n"));
}

/* ---- gzip ---- */

#define MIB 1048576u

static const unsigned char gzip_head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}; /* RFC 1952 */

static void append_le32(struct buf *out, unsigned long v)
{
	for (int i = 0; i < 32; i += 8)
		buf_append_char(out, (char)(v >> i & 0xff));
}

/* Raw deflate; with Z_FULL_FLUSH the piece can be repeated. */
static bool deflate_into(struct span body, int level, int flush, struct buf *out)
{
	z_stream z = {.next_in = (unsigned char *)body.p, .avail_in = (unsigned)body.n};
	size_t room = compressBound(body.n) + 64;
	char *p = buf_room(out, room);
	int result;

	if (p == NULL || deflateInit2(&z, level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	z.next_out = (unsigned char *)p;
	z.avail_out = (unsigned)room;
	result = deflate(&z, flush);
	buf_added(out, room - z.avail_out);
	deflateEnd(&z);
	return result == (flush == Z_FINISH ? Z_STREAM_END : Z_OK);
}

static void pack(struct span body, struct buf *out)
{
	buf_clear(out);
	buf_append(out, span_from(gzip_head, sizeof(gzip_head)));
	if (!deflate_into(body, 1, Z_FINISH, out))
		return;
	append_le32(out, crc32(0, (const unsigned char *)body.p, (unsigned)body.n));
	append_le32(out, body.n);
}

/* So many MiB of blanks: one MiB is compressed, and its piece repeated. */
static void pack_bomb(struct caller *c, int64_t mib, struct buf *out)
{
	struct buf *piece = &c->sim->text;
	char *blanks;
	unsigned long sum = crc32(0, NULL, 0), one;

	buf_clear(out);
	buf_clear(&c->sim->body);
	buf_clear(piece);
	blanks = buf_room(&c->sim->body, MIB);
	if (blanks == NULL)
		return;
	memset(blanks, ' ', MIB);
	one = crc32(0, (const unsigned char *)blanks, MIB);
	if (!deflate_into(span_from(blanks, MIB), 9, Z_FULL_FLUSH, piece))
		return;
	buf_append(out, span_from(gzip_head, sizeof(gzip_head)));
	for (int64_t i = 0; i < mib; i++) {
		buf_append(out, buf_span(piece));
		sum = crc32_combine(sum, one, MIB);
	}
	buf_append(out, SPAN("\x03\x00")); /* an empty last block */
	append_le32(out, sum);
	append_le32(out, (unsigned long)(mib << 20));
}

/* ---- bodies ---- */

static void reply_with(struct caller *c, int status, const char *type, struct span body)
{
	c->frame = reply_frame(c, FRAME_LENGTH);
	wire_begin(c, c->frame);
	reply_head(c, status, type, (int64_t)body.n);
	if (option(c, OPT_SILENCE_HEAD)) {
		c->job->phase = PHASE_OVER;
		if (!wire_write(c, buf_span(&c->sim->head), (struct span){NULL, 0}, false))
			caller_end(c, OUTCOME_FAILED, AFTER_RESET);
		else
			caller_hold(c);
		return;
	}
	wire_write(c, buf_span(&c->sim->head), body, true);
	caller_end(c, c->billable ? OUTCOME_COMPLETED : OUTCOME_FAILED, reply_after(c));
}

static struct span error_text(struct caller *c, const struct fail *f, const char **type)
{
	struct buf *b = &c->sim->body;

	*type = "application/json";
	buf_clear(b);
	switch (c->job->script->error_body) {
	case ERROR_HTML:
		*type = "text/html";
		return SPAN(html);
	case ERROR_EMPTY:
		return SPAN("");
	case ERROR_TEXT:
		*type = "text/plain";
		return SPAN("upstream connect error or disconnect/reset before headers");
	case ERROR_ARRAY:
		buf_append_char(b, '[');
		c->job->format->error(c->job, f, b);
		buf_append_char(b, ']');
		return buf_span(b);
	case ERROR_STRING:
		return SPAN("{\"error\":\"the simulator was told to fail\"}");
	case ERROR_DETAIL:
		return SPAN("{\"detail\":[{\"loc\":[\"body\",\"model\"],\"msg\":\"the simulator "
			    "was told to "
			    "fail\"}]}");
	case ERROR_USUAL:
		break;
	}
	c->job->format->error(c->job, f, b);
	return buf_span(b);
}

static void send_error(struct caller *c, const struct fail *f)
{
	const char *type;
	struct span body = error_text(c, f, &type);

	c->billable = false;
	reply_with(c, f->status, type, body);
}

/* A status that was asked for. false: the usual answer goes out under it. */
static bool send_status(struct caller *c, int status)
{
	struct fail f = {0};

	if (status >= 400) {
		fail_set(&f, status, NULL, NULL, "the simulator was told to answer %d %s", status,
			http_reason(status));
		send_error(c, &f);
		return true;
	}
	if (status >= 300) {
		c->billable = false;
		reply_with(c, status, NULL, SPAN(""));
		return true;
	}
	if (status >= 200) {
		c->billable = status != 204;
		return false;
	}
	c->billable = false;
	wire_begin(c, FRAME_CLOSE);
	buf_clear(&c->sim->head);
	status_line(&c->sim->head, status);
	buf_append_cstr(&c->sim->head, "upgrade: sim\r\nconnection: upgrade\r\n\r\n");
	c->status = status;
	wire_write(c, buf_span(&c->sim->head), SPAN("bytes of another protocol\n"), true);
	caller_end(c, OUTCOME_FAILED, AFTER_CLOSE);
	return true;
}

static void send_noise(struct caller *c)
{
	size_t n = (size_t)script_num(c->job->script, OPT_GARBAGE, 256);
	struct buf *b = &c->sim->body;
	uint64_t x = c->job->seed | 1;
	char *p;

	c->billable = false;
	buf_clear(b);
	p = buf_room(b, n);
	for (size_t i = 0; p != NULL && i < n; i++) {
		x = x * NOISE_MULTIPLIER + 1442695040888963407u;
		p[i] = (char)(x >> 56);
	}
	if (p != NULL)
		buf_added(b, n);
	wire_begin(c, FRAME_CLOSE);
	wire_write(c, (struct span){NULL, 0}, buf_span(b), true);
	caller_end(c, OUTCOME_FAILED, AFTER_CLOSE);
}

static void send_plain(struct caller *c, int status)
{
	const struct script *s = c->job->script;
	struct buf *b = &c->sim->body;
	struct span body;

	buf_clear(b);
	c->job->format->plain(c->job, b);
	body = buf_span(b);
	if (b->failed) {
		struct fail f = {0};

		fail_set(&f, 500, NULL, NULL, "the simulator has no memory for this answer");
		send_error(c, &f);
		return;
	}
	if (s == c->sim->no_script) {
		reply_with(c, status, "application/json", body);
		return;
	}
	if (script_is(s, OPT_BAD_JSON))
		body = span_head(body, body.n - 2);
	if (script_has(s, OPT_GZIP_BOMB)) {
		pack_bomb(c, script_num(s, OPT_GZIP_BOMB, 1), &c->sim->packed);
		body = buf_span(&c->sim->packed);
	} else if (script_is(s, OPT_GZIP) || script_is(s, OPT_GZIP_TRUNCATED)) {
		pack(body, &c->sim->packed);
		body = buf_span(&c->sim->packed);
	}
	if (script_is(s, OPT_GZIP_TRUNCATED))
		body = span_head(body, body.n / 2);
	/* What nobody can read is nobody's to pay. */
	if (script_is(s, OPT_GZIP_TRUNCATED) || script_has(s, OPT_GZIP_BOMB))
		c->billable = false;
	if (script_is(s, OPT_HTTP09)) {
		c->billable = false;
		wire_begin(c, FRAME_CLOSE);
		wire_write(c, (struct span){NULL, 0}, body, true);
		caller_end(c, OUTCOME_FAILED, AFTER_CLOSE);
		return;
	}
	reply_with(c, status, "application/json", body);
}

/* Everything but a stream. */
void reply_run(struct caller *c)
{
	const struct script *s = c->job->script;
	int status = (int)script_num(s, OPT_STATUS, 200);

	if (s == c->sim->no_script && c->job->fail == NULL) {
		send_plain(c, 200);
		return;
	}
	if (c->job->fail != NULL) {
		send_error(c, c->job->fail);
	} else if (script_has(s, OPT_GARBAGE)) {
		send_noise(c);
	} else if (script_is(s, OPT_HTML200)) {
		c->billable = false;
		reply_with(c, 200, "text/html", SPAN(html));
	} else if (script_is(s, OPT_EMPTY200)) {
		c->billable = false;
		reply_with(c, 200, "application/json", SPAN(""));
	} else if (!script_has(s, OPT_STATUS) || !send_status(c, status)) {
		send_plain(c, status);
	}
}
