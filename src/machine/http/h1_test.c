/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/h1.h"
#include "machine/http/h1_log_test.h"

struct vector {
	struct span in;
	const char *expected;
};

static void check_all(const struct vector *v, size_t n, struct options o)
{
	for (size_t i = 0; i < n; i++)
		check(v[i].in, o, v[i].expected);
}

#define REQUESTS(...)                                                                              \
	do {                                                                                       \
		static const struct vector v[] = {__VA_ARGS__};                                    \
		(void)state;                                                                       \
		check_all(v, sizeof(v) / sizeof(v[0]), (struct options){.kind = H1_REQUEST});      \
	} while (0)

#define RESPONSES(...)                                                                             \
	do {                                                                                       \
		static const struct vector v[] = {__VA_ARGS__};                                    \
		(void)state;                                                                       \
		check_all(v, sizeof(v) / sizeof(v[0]),                                             \
			(struct options){.kind = H1_RESPONSE, .asked = HTTP_POST, .eof = true});   \
	} while (0)

/* A request with these further header lines, and with what stands behind the head. */
#define GET(lines) SPAN("GET / HTTP/1.1\r\nHost: a\r\n" lines "\r\n")
#define POST(lines, rest) SPAN("POST / HTTP/1.1\r\nHost: a\r\n" lines "\r\n" rest)
#define CHUNKED(rest) POST("Transfer-Encoding: chunked\r\n", rest)
#define OK_GET "GET / \n"

static void reads_requests(void **state)
{
	REQUESTS({GET(""), OK_GET},
		{SPAN("GET /a/b?c=d&e HTTP/1.1\r\nHost: a:80\r\n\r\n"), "GET /a/b?c=d&e \n"},
		{SPAN("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), OK_GET},
		{SPAN("GET / HTTP/1.0\r\n\r\n"), "GET / close \n"},
		{SPAN("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), OK_GET},
		{GET("Connection: close\r\n"), "GET / close \n"},
		{GET("Connection: x, Close\r\n"), "GET / close \n"},
		{SPAN("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), "OPTIONS * \n"},
		{SPAN("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nDELETE /x HTTP/1.1\r\nHost: a\r\n\r\n"
		      "PUT /y HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabPATCH /z "
		      "HTTP/1.1\r\nHost: a\r\n"
		      "\r\n"),
			"HEAD / \nDELETE /x \nPUT /y ab\nPATCH /z \n"},
		{POST("", ""), "POST / \n"}, {POST("Content-Length: 0\r\n", ""), "POST / \n"},
		{POST("Content-Length: 5\r\n", "hello"), "POST / hello\n"},
		{POST("content-length:5\r\n", "helloGET / HTTP/1.1\r\nHost: b\r\n\r\n"),
			"POST / hello\nGET / \n"},
		{CHUNKED("5\r\nhello\r\n0\r\n\r\n"), "POST / hello\n"},
		{CHUNKED("1\r\na\r\n00f\r\nbcdefghijklmnop\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: "
			 "b\r\n\r\n"),
			"POST / abcdefghijklmnop\nGET / \n"},
		{CHUNKED("A;x=y;z\r\n0123456789\r\n0;last\r\nTrailer: x\r\nOther:\r\n\r\n"),
			"POST / 0123456789\n"},
		{POST("Expect: 100-continue\r\nContent-Length: 1\r\n", "x"), "POST / expects x\n"});
}

static void class_01_bare_line_ends(void **state)
{
	REQUESTS({SPAN("GET / HTTP/1.1\nHost: a\r\n\r\n"), "! 400"},
		{SPAN("GET / HTTP/1.1\r\nHost: a\n\r\n"), "! 400"},
		{SPAN("GET / HTTP/1.1\r\nHost: a\r\n\n"), "! 400"},
		{SPAN("GET / HTTP/1.1\n\n"), "! 400"},
		{SPAN("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "! 400"},
		{SPAN("GET / HTTP/1.1\rHost: a\r\n\r\n"), "! 400"}, {GET("X: a\rb\r\n"), "! 400"},
		{GET("X: a\nb: c\r\n"), "! 400"}, {GET("X: a\r\r\n"), "! 400"},
		{GET("X\r: a\r\n"), "! 400"},
		{SPAN("GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n"), "! 400"},
		{SPAN("\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "! 400"},
		{SPAN("GET / HTTP/1.1\r\nHost: a\r\n\rX"), "! 400"},
		{CHUNKED("5\nhello\r\n0\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("5\rhello\r\n0\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("5;x\nhello\r\n0\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("5\r\nhello\n0\r\n\r\n"), "POST / hello! 400"},
		{CHUNKED("5\r\nhello\r0\r\n\r\n"), "POST / hello! 400"},
		{CHUNKED("0\r\n\n"), "POST / ! 400"}, {CHUNKED("0\n\r\n"), "POST / ! 400"},
		{CHUNKED("0\r\nX: y\n\r\n"), "POST / ! 400"},
		{CHUNKED("0\r\nX: y\r\r\n"), "POST / ! 400"},
		{CHUNKED("0\r\n\rX"), "POST / ! 400"});
}

static void class_02_folded_lines(void **state)
{
	REQUESTS({GET("X: a\r\n b\r\n"), "! 400"}, {GET("X: a\r\n\tb\r\n"), "! 400"},
		{GET("X:\r\n a\r\n"), "! 400"}, {GET("X: a\r\n \r\n"), "! 400"},
		{GET("Content-Length:\r\n 5\r\n"), "! 400"},
		{GET("Transfer-Encoding:\r\n chunked\r\n"), "! 400"},
		{SPAN("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), "! 400"},
		{SPAN("GET / HTTP/1.1\r\nHost:\r\n\ta\r\n\r\n"), "! 400"},
		{CHUNKED("0\r\nX: y\r\n z\r\n\r\n"), "POST / ! 400"});
}

static void class_03_field_names(void **state)
{
	REQUESTS({GET("X : a\r\n"), "! 400"}, {GET("X\t: a\r\n"), "! 400"},
		{GET(" X: a\r\n"), "! 400"}, {GET(": a\r\n"), "! 400"},
		{GET("X a: b\r\n"), "! 400"}, {GET("X\r\n"), "! 400"},
		{GET("X(a): b\r\n"), "! 400"}, {GET("X\xc3\xa9: b\r\n"), "! 400"},
		{GET("X\0: b\r\n"), "! 400"}, {GET("Content-Length : 5\r\n"), "! 400"},
		{GET("\"X\": b\r\n"), "! 400"}, {GET("X/y: b\r\n"), "! 400"},
		{GET("X=: b\r\n"), "! 400"}, {GET("X\x7f: b\r\n"), "! 400"},
		{SPAN("GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"), "! 400"},
		{GET("!#$%&'*+-.^_`|~aZ9: b\r\n"), OK_GET},
		{CHUNKED("0\r\nX : y\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("0\r\n: y\r\n\r\n"), "POST / ! 400"});
}

static void class_04_control_characters(void **state)
{
	REQUESTS({GET("X: a\0b\r\n"), "! 400"}, {GET("X: \x01\r\n"), "! 400"},
		{GET("X: a\x0b"
		     "b\r\n"),
			"! 400"},
		{GET("X: a\x0c\r\n"), "! 400"}, {GET("X: \x7f\r\n"), "! 400"},
		{GET("X: \x1b[0m\r\n"), "! 400"}, {GET("X: \x08\r\n"), "! 400"},
		{GET("X: a\x1f\r\n"), "! 400"},
		{SPAN("GET / HTTP/1.1\r\nHost: a\0\r\n\r\n"), "! 400"},
		{GET("X: a\tb\r\n"), OK_GET}, {GET("X: \xc3\xa9\xff\r\n"), OK_GET},
		{CHUNKED("0\r\nX: \0\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("1;\x01\r\na\r\n0\r\n\r\n"), "POST / ! 400"});
}

static void class_05_length_and_coding(void **state)
{
	REQUESTS(
		{POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "! 400"},
		{POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), "! 400"},
		{POST("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "! 400"},
		{POST("Transfer-Encoding: chunked\r\nX: y\r\nCONTENT-LENGTH: 5\r\n", "0\r\n\r\n"),
			"! 400"},
		{POST("content-length: 5\r\ntransfer-encoding: CHUNKED\r\n", "0\r\n\r\n"), "! 400"},
		{POST("Content-Length: 5\r\nTransfer-Encoding: identity\r\n", "hello"), "! 400"},
		{POST("Content-Length: 5\r\nTransfer-Encoding:\r\n", "hello"), "! 400"},
		{POST("Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n", "hello"), "! 400"},
		{POST("Content-Length:\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "! 400"});
}

static void class_06_content_length(void **state)
{
	REQUESTS({POST("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), "! 400"},
		{POST("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"), "! 400"},
		{POST("Content-Length: 5, 5\r\n", "hello"), "! 400"},
		{POST("Content-Length: 5,\r\n", "hello"), "! 400"},
		{POST("Content-Length: +5\r\n", "hello"), "! 400"},
		{POST("Content-Length: -5\r\n", "hello"), "! 400"},
		{POST("Content-Length: 5 5\r\n", "hello"), "! 400"},
		{POST("Content-Length: 0x5\r\n", "hello"), "! 400"},
		{POST("Content-Length: 1_0\r\n", "hello"), "! 400"},
		{POST("Content-Length: 005\r\n", "hello"), "! 400"},
		{POST("Content-Length: 00\r\n", ""), "! 400"},
		{POST("Content-Length: 9223372036854775808\r\n", "hello"), "! 400"},
		{POST("Content-Length: 18446744073709551621\r\n", "hello"), "! 400"},
		{POST("Content-Length: 99999999999999999999999\r\n", "hello"), "! 400"},
		{POST("Content-Length:\r\n", "hello"), "! 400"},
		{POST("Content-Length: \r\n", "hello"), "! 400"},
		{POST("Content-Length: 5.0\r\n", "hello"), "! 400"},
		{POST("Content-Length: five\r\n", "hello"), "! 400"},
		{POST("Content-Length: \"5\"\r\n", "hello"), "! 400"},
		{POST("Content-Length: 5;\r\n", "hello"), "! 400"},
		{POST("Content-Length: 5\x0b\r\n", "hello"), "! 400"},
		{POST("Content-Length:  5  \r\n", "hello"), "POST / hello\n"},
		{POST("Content-Length: 5\t\r\n", "hello"), "! 400"},
		{POST("Content-Length: 9223372036854775807\r\n", "hello"), "POST / hello"});
}

/* 400 or 501, whichever of the two readers sees it first; the same however it is cut. */
static void check_refused(struct span in)
{
	struct log log;
	bool first;

	run(in, (struct options){.kind = H1_REQUEST}, in.n, 0, &log);
	first = span_is(buf_span(&log.text), "! 400");
	buf_done(&log.text);
	check(in, (struct options){.kind = H1_REQUEST}, first ? "! 400" : "! 501");
}

static void class_07_transfer_encoding(void **state)
{
#define CODING(value) POST("Transfer-Encoding: " value "\r\n", "0\r\n\r\n")
	static const struct span refused[] = {CODING("gzip, chunked"), CODING("chunked, gzip"),
		CODING("identity"), CODING("chunked, chunked"), CODING("\"chunked\""),
		CODING("chunked,"), CODING(",chunked"),
		CODING("\x0b"
		       "chunked"),
		CODING("chunked\x0b"), CODING("chunked\xff"), CODING("xchunked"),
		CODING("chunkedx"), CODING("chunked;q=1"), CODING(""), CODING("chunk ed"),
		CODING("chunk\xc3\xa9"
		       "d"),
		CODING("'chunked'"), CODING("chunked\0"),
		POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
		POST("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
		POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
		SPAN("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		check_refused(refused[i]);
	REQUESTS({CODING("Chunked"), "POST / \n"}, {CODING("  chunked  "), "POST / \n"});
#undef CODING
}

static void class_08_chunk_sizes(void **state)
{
	REQUESTS({CHUNKED("+5\r\nhello\r\n0\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("-5\r\nhello\r\n0\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("0x5\r\nhello\r\n0\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("1_0\r\nhello\r\n0\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("00000000000000005\r\nhello\r\n0\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("0000000000000005\r\nhello\r\n0\r\n\r\n"), "POST / hello\n"},
		{CHUNKED(" 5\r\nhello\r\n0\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("5 \r\nhello\r\n0\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("5\t;x\r\nhello\r\n0\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("8000000000000000\r\nhello"), "POST / ! 400"},
		{CHUNKED("FFFFFFFFFFFFFFFF\r\nhello"), "POST / ! 400"},
		{CHUNKED("10000000000000005\r\nhello"), "POST / ! 400"},
		{CHUNKED("\r\nhello"), "POST / ! 400"}, {CHUNKED("g\r\nhello"), "POST / ! 400"},
		{CHUNKED(";x\r\nhello"), "POST / ! 400"}, {CHUNKED("5;\r\nhello"), "POST / ! 400"},
		{CHUNKED("5\xff\r\nhello"), "POST / ! 400"},
		{CHUNKED("5\0\r\nhello"), "POST / ! 400"},
		{CHUNKED("5;\"a\nb\"\r\nhello"), "POST / ! 400"},
		{CHUNKED("5.\r\nhello"), "POST / ! 400"},
		{CHUNKED("5,5\r\nhello"), "POST / ! 400"});
}

static void class_08_chunk_extensions(void **state)
{
	for (size_t n = 255; n <= 258; n++) {
		struct buf in;

		(void)state;
		buf_init(&in, 4096);
		buf_append(&in, CHUNKED("5;"));
		for (size_t i = 0; i < n; i++)
			buf_append_char(&in, 'x');
		buf_append_cstr(&in, "\r\nhello\r\n0\r\n\r\n");
		check(buf_span(&in), (struct options){.kind = H1_REQUEST},
			n <= 256 ? "POST / hello\n" : "POST / ! 400");
		buf_done(&in);
	}
}

static void class_09_chunk_ends_and_trailers(void **state)
{
	REQUESTS({CHUNKED("5\r\nhelloX\r\n0\r\n\r\n"), "POST / hello! 400"},
		{CHUNKED("5\r\nhell\r\n0\r\n\r\n"), "POST / hell\r! 400"},
		{CHUNKED("5\r\nhello0\r\n\r\n"), "POST / hello! 400"},
		{CHUNKED("5\r\nhello\r\n\r\n0\r\n\r\n"), "POST / hello! 400"},
		{CHUNKED("0\r\nGET / HTTP/1.1\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("0\r\n x: y\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("0\r\nx\r\n\r\n"), "POST / ! 400"},
		{CHUNKED("0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nHost: b\r\n\r\n"),
			"POST / \n"},
		{CHUNKED("000\r\n\r\n"), "POST / \n"}, {CHUNKED("0;x=\"y\"\r\n\r\n"), "POST / \n"},
		{CHUNKED("0\r\nx:y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "POST / \nGET / \n"},
		{CHUNKED("0\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "POST / \nGET / \n"},
		{CHUNKED("0\r\n\r\nX"), "POST / \n"});
}

static void class_09_many_trailers(void **state)
{
	struct buf in;

	(void)state;
	buf_init(&in, 1 << 20);
	buf_append(&in, CHUNKED("0\r\n"));
	for (int i = 0; i < 900; i++)
		buf_append_cstr(&in, "x: yyyyyy\r\n");
	buf_append_cstr(&in, "\r\n");
	check(buf_span(&in), (struct options){.kind = H1_REQUEST}, "POST / ! 400");
	buf_done(&in);
}

static void class_10_request_lines(void **state)
{
#define LINE(line) SPAN(line "\r\nHost: a\r\n\r\n")
	REQUESTS({LINE("GET  / HTTP/1.1"), "! 400"}, {LINE("GET /  HTTP/1.1"), "! 400"},
		{LINE(" GET / HTTP/1.1"), "! 400"}, {LINE("GET / HTTP/1.1 "), "! 400"},
		{LINE("GET\t/ HTTP/1.1"), "! 400"}, {LINE("GET /\tHTTP/1.1"), "! 400"},
		{LINE("GET /"), "! 400"}, {LINE("GET / "), "! 400"},
		{LINE("GET HTTP/1.1"), "! 400"}, {LINE("GET / HTTP/1.2"), "! 400"},
		{LINE("GET / HTTP/0.9"), "! 400"}, {LINE("GET / HTTP/2.0"), "! 400"},
		{LINE("GET / HTTP/1.10"), "! 400"}, {LINE("GET / HTTP/1.01"), "! 400"},
		{LINE("GET / HTTP/1."), "! 400"}, {LINE("GET / HTTP/11"), "! 400"},
		{LINE("GET / http/1.1"), "! 400"}, {LINE("GET / HTTPS/1.1"), "! 400"},
		{LINE("GET / RTSP/1.0"), "! 400"}, {LINE("GET / ICE/1.0"), "! 400"},
		{LINE("get / HTTP/1.1"), "! 501"}, {LINE("Get / HTTP/1.1"), "! 501"},
		{LINE("GET http://b/ HTTP/1.1"), "! 400"},
		{LINE("GET http://a:80/ HTTP/1.1"), "! 400"},
		{LINE("GET http://u@a/ HTTP/1.1"), "! 400"},
		{LINE("GET http://a@a/ HTTP/1.1"), "! 400"},
		{LINE("GET http:// HTTP/1.1"), "! 400"}, {LINE("GET http:///x HTTP/1.1"), "! 400"},
		{LINE("GET ftp://a/ HTTP/1.1"), "! 400"}, {LINE("GET a/ HTTP/1.1"), "! 400"},
		{LINE("GET a:80 HTTP/1.1"), "! 400"}, {LINE("GET * HTTP/1.1"), "! 400"},
		{LINE("GET /#x HTTP/1.1"), "! 400"}, {LINE("GET /?a#x HTTP/1.1"), "! 400"},
		{LINE("GET /\xc3\xa9 HTTP/1.1"), "! 400"}, {LINE("GET /\x01 HTTP/1.1"), "! 400"},
		{LINE("GET /\0 HTTP/1.1"), "! 400"}, {LINE("GET /\x7f HTTP/1.1"), "! 400"},
		{LINE("GET http://a/x?y HTTP/1.1"), "GET /x?y \n"},
		{LINE("GET HTTP://A/x HTTP/1.1"), "GET /x \n"},
		{LINE("GET https://a/x HTTP/1.1"), "GET /x \n"},
		{LINE("GET http://a?y HTTP/1.1"), "! 400"},
		{SPAN("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "! 400"});
}

static void class_10_long_targets(void **state)
{
	for (size_t n = 8191; n <= 8193; n++) {
		struct buf in;

		(void)state;
		buf_init(&in, 1 << 20);
		buf_append_cstr(&in, "GET /");
		for (size_t i = 1; i < n; i++)
			buf_append_char(&in, 'x');
		buf_append_cstr(&in, " HTTP/1.1\r\nHost: a\r\n\r\n");
		if (n > 8192) {
			check(buf_span(&in), (struct options){.kind = H1_REQUEST}, "! 431");
		} else {
			struct log log;

			run(buf_span(&in), (struct options){.kind = H1_REQUEST}, in.n, 0, &log);
			assert_int_equal(log.text.n, 4 + n + 2);
			buf_done(&log.text);
		}
		buf_done(&in);
	}
}

static void class_11_methods(void **state)
{
	REQUESTS({LINE("CONNECT a:443 HTTP/1.1"), "! 501"}, {LINE("TRACE / HTTP/1.1"), "! 501"},
		{LINE("PROPFIND / HTTP/1.1"), "! 501"}, {LINE("QUERY / HTTP/1.1"), "! 501"},
		{LINE("PURGE / HTTP/1.1"), "! 501"}, {LINE("M-SEARCH / HTTP/1.1"), "! 501"},
		{LINE("FOO / HTTP/1.1"), "! 501"}, {LINE("GETX / HTTP/1.1"), "! 501"},
		{LINE("GE / HTTP/1.1"), "! 501"}, {LINE("G\xc3\x89T / HTTP/1.1"), "! 400"},
		{LINE("G(T / HTTP/1.1"), "! 400"},
		{SPAN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "! 501"},
		{GET("Connection: Upgrade\r\nUpgrade: websocket\r\n"), "! 501"},
		{GET("Upgrade: TLS/1.0\r\n"), "! 501"},
		{GET("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: "
		     "AAMAAABk\r\n"),
			OK_GET},
		{POST("Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n", "ab"),
			"POST / ab\n"},
		{GET("Upgrade: h2c, websocket\r\n"), "! 501"});
}

static void class_12_hosts(void **state)
{
#define HOST(lines) SPAN("GET / HTTP/1.1\r\n" lines "\r\n")
	REQUESTS({HOST(""), "! 400"}, {HOST("Host: a\r\nHost: a\r\n"), "! 400"},
		{HOST("Host: a\r\nhost: b\r\n"), "! 400"}, {HOST("Host: a, b\r\n"), "! 400"},
		{HOST("Host: a b\r\n"), "! 400"}, {HOST("Host: a/b\r\n"), "! 400"},
		{HOST("Host: a?b\r\n"), "! 400"}, {HOST("Host: a#b\r\n"), "! 400"},
		{HOST("Host: u@a\r\n"), "! 400"}, {HOST("Host:\r\n"), "! 400"},
		{HOST("Host: a:b\r\n"), "! 400"}, {HOST("Host: a:80:80\r\n"), "! 400"},
		{HOST("Host: a:65536\r\n"), "! 400"}, {HOST("Host: a:123456\r\n"), "! 400"},
		{HOST("Host: :80\r\n"), "! 400"}, {HOST("Host: [::1\r\n"), "! 400"},
		{HOST("Host: [::1]x\r\n"), "! 400"}, {HOST("Host: [g::1]\r\n"), "! 400"},
		{HOST("Host: []\r\n"), "! 400"}, {HOST("Host: http://a\r\n"), "! 400"},
		{HOST("Host: a\\b\r\n"), "! 400"}, {HOST("Host: \xc3\xa9\r\n"), "! 400"},
		{HOST("Host: a|b\r\n"), "! 400"}, {HOST("Host: api.example.com\r\n"), OK_GET},
		{HOST("Host: [::1]:80\r\n"), OK_GET}, {HOST("Host: 127.0.0.1:65535\r\n"), OK_GET},
		{HOST("hOST:a_b-c.d:\r\n"), OK_GET},
		{SPAN("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), "! 400"});
#undef HOST
}

static void class_13_expectations(void **state)
{
	REQUESTS({POST("Expect: 200-ok\r\nContent-Length: 1\r\n", "x"), "! 400"},
		{POST("Expect:\r\nContent-Length: 1\r\n", "x"), "! 400"},
		{POST("Expect: 100-continue, x\r\nContent-Length: 1\r\n", "x"), "! 400"},
		{POST("Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n", "x"),
			"! 400"},
		{POST("Expect: \"100-continue\"\r\nContent-Length: 1\r\n", "x"), "! 400"},
		{POST("Expect: 100\r\nContent-Length: 1\r\n", "x"), "! 400"},
		{POST("Expect: 100-continue;q=1\r\nContent-Length: 1\r\n", "x"), "! 400"},
		{POST("Expect: 100-Continue\r\nContent-Length: 1\r\n", "x"), "POST / expects x\n"},
		{POST("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
			"POST / expects \n"},
		{GET("Expect: 100-continue\r\n"), OK_GET},
		{POST("Expect: 100-continue\r\n", ""), "POST / \n"},
		{SPAN("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"),
			"POST / close x\n"});
}

static void class_14_bodies_without_place(void **state)
{
#define BODY(method, lines, rest) SPAN(method " / HTTP/1.1\r\nHost: a\r\n" lines "\r\n" rest)
	REQUESTS({BODY("GET", "Content-Length: 1\r\n", "x"), "! 400"},
		{BODY("HEAD", "Content-Length: 1\r\n", "x"), "! 400"},
		{BODY("DELETE", "Content-Length: 1\r\n", "x"), "DELETE / x\n"},
		{BODY("OPTIONS", "Content-Length: 1\r\n", "x"), "! 400"},
		{BODY("GET", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), "! 400"},
		{BODY("HEAD", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), "! 400"},
		{BODY("DELETE", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), "DELETE / \n"},
		{BODY("OPTIONS", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), "! 400"},
		{BODY("GET", "Content-Length: 0\r\n", ""), OK_GET},
		{BODY("DELETE", "Content-Length: 0\r\n", ""), "DELETE / \n"});
#undef BODY
}

static void class_16_connection_cannot_hide_fields(void **state)
{
	struct log log;

	(void)state;
	REQUESTS({POST("Connection: content-length\r\nContent-Length: 2\r\n", "ab"), "POST / ab\n"},
		{POST("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
			 "0\r\n\r\n"),
			"POST / \n"},
		{POST("Connection: close, content-length\r\nContent-Length: 2\r\n", "ab"),
			"POST / close ab\n"},
		{GET("Connection: host\r\n"), OK_GET},
		{GET("Connection: authorization, x-api-key\r\nX-Api-Key: k\r\n"), OK_GET},
		{GET("Connection:\r\n"), OK_GET}, {GET("Connection: ,,,\r\n"), OK_GET},
		{GET("Connection: keep-alive\r\nConnection: close\r\n"), "GET / close \n"},
		{GET("Connection: close\r\nConnection: keep-alive\r\n"), "GET / close \n"});
	run(GET("Connection: authorization\r\nAuthorization: Bearer x\r\n"),
		(struct options){.kind = H1_REQUEST}, 0, 1, &log);
	assert_int_equal(log.fields, 3);
	buf_done(&log.text);
}

static void limit(size_t fields, size_t value, size_t pad, const char *expected)
{
	struct buf in;

	buf_init(&in, 1 << 20);
	buf_append_cstr(&in, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (size_t i = 1; i < fields; i++)
		buf_append_cstr(&in, "X: y\r\n");
	buf_append_cstr(&in, "Y: ");
	for (size_t i = 0; i < value; i++)
		buf_append_char(&in, 'v');
	buf_append_cstr(&in, "\r\n");
	while (pad > 0) {
		size_t n = pad > 8000 ? 8000 : pad;

		pad -= n;
		assert_true(n > 5);
		buf_append_cstr(&in, "P: ");
		for (size_t i = 0; i < n - 5; i++)
			buf_append_char(&in, 'p');
		buf_append_cstr(&in, "\r\n");
	}
	buf_append_cstr(&in, "\r\n");
	check(buf_span(&in), (struct options){.kind = H1_REQUEST}, expected);
	buf_done(&in);
}

static void class_17_limits(void **state)
{
	/* 25 bytes of first line and Host, 5 + value of Y, 2 of the end. */
	const size_t fixed = 16 + 9 + 5 + 2;

	(void)state;
	limit(98, 1, 0, OK_GET);
	limit(99, 1, 0, OK_GET);
	limit(100, 1, 0, "! 431");
	limit(500, 1, 0, "! 431");
	limit(1, 16384, 0, OK_GET);
	limit(1, 16385, 0, "! 431");
	limit(1, 0, HTTP_MAX_HEAD_BYTES - fixed - 1, OK_GET);
	limit(1, 0, HTTP_MAX_HEAD_BYTES - fixed, OK_GET);
	limit(1, 0, HTTP_MAX_HEAD_BYTES - fixed + 1, "! 431");
	limit(1, 40000, 0, "! 431");
}

static void class_18_paths_are_raw(void **state)
{
	REQUESTS({LINE("GET /a%2fb HTTP/1.1"), "GET /a%2fb \n"},
		{LINE("GET /a\\b HTTP/1.1"), "GET /a\\b \n"},
		{LINE("GET /../a HTTP/1.1"), "GET /../a \n"},
		{LINE("GET /%2e%2e/a HTTP/1.1"), "GET /%2e%2e/a \n"},
		{LINE("GET /%252e HTTP/1.1"), "GET /%252e \n"},
		{LINE("GET /%00 HTTP/1.1"), "GET /%00 \n"},
		{LINE("GET /%c0%ae HTTP/1.1"), "GET /%c0%ae \n"},
		{LINE("GET //a HTTP/1.1"), "GET //a \n"},
		{LINE("GET /a;b=c HTTP/1.1"), "GET /a;b=c \n"},
		{LINE("GET /./ HTTP/1.1"), "GET /./ \n"},
		{LINE("GET /a%zz HTTP/1.1"), "GET /a%zz \n"},
		{LINE("GET /a?b?c HTTP/1.1"), "GET /a?b?c \n"});
#undef LINE
}

static void class_19_name_twins(void **state)
{
	REQUESTS({POST("Content_Length: 5\r\n", ""), "! 400"},
		{POST("Transfer_Encoding: chunked\r\n", ""), "! 400"},
		{POST("content_length: 5\r\nContent-Length: 0\r\n", ""), "! 400"},
		{GET("X-Api-Key: a\r\nX_Api_Key: b\r\n"), "! 400"},
		{GET("X_Api_Key: b\r\nX-Api-Key: a\r\n"), "! 400"},
		{GET("X-Api_Key: a\r\nX-Api-Key: b\r\n"), "! 400"},
		{GET("x_API-key: a\r\nX-api-KEY: b\r\n"), "! 400"},
		{GET("X_Forwarded_For: a\r\nX-Forwarded-For: b\r\n"), "! 400"},
		{GET("X_Api_Key: b\r\n"), OK_GET}, {GET("A_b: 1\r\nA_b: 2\r\n"), OK_GET},
		{GET("A_b: 1\r\nA-c: 2\r\nAab: 3\r\n"), OK_GET});
}

/* ---- responses ---- */

#define ANSWER(lines, rest) SPAN("HTTP/1.1 200 OK\r\n" lines "\r\n" rest)

static void reads_responses(void **state)
{
	RESPONSES({ANSWER("Content-Length: 2\r\n", "ab"), "200 ab\n"},
		{ANSWER("Content-Length: 0\r\n", ""), "200 \n"},
		{ANSWER("Transfer-Encoding: chunked\r\n", "2\r\nab\r\n0\r\n\r\n"), "200 ab\n"},
		{ANSWER("", "until the end"), "200 close until the end\n"},
		{ANSWER("", ""), "200 close \n"},
		{SPAN("HTTP/1.0 200 OK\r\n\r\nab"), "200 close ab\n"},
		{SPAN("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab"), "200 close ab\n"},
		{SPAN("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab"),
			"200 ab\n"},
		{SPAN("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), "200 \n"},
		{SPAN("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"), "200 \n"},
		{SPAN("HTTP/1.1 204 No Content\r\n\r\n"), "204 \n"},
		{SPAN("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), "304 \n"},
		{SPAN("HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"),
			"404 close x\n"},
		{SPAN("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
		      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
			"200 x\n"},
		{SPAN(""), ""});
}

static void refuses_responses(void **state)
{
	RESPONSES({SPAN("garbage\r\n\r\n"), "! 502"}, {SPAN("<html>\r\n\r\n"), "! 502"},
		{SPAN("HTTP/1.1 20 OK\r\n\r\n"), "! 502"},
		{SPAN("HTTP/1.1 2000 OK\r\n\r\n"), "! 502"},
		{SPAN("HTTP/1.1 099 OK\r\n\r\n"), "! 502"},
		{SPAN("HTTP/1.1 600 OK\r\n\r\n"), "! 502"},
		{SPAN("HTTP/1.1 2x0 OK\r\n\r\n"), "! 502"},
		{SPAN("HTTP/2.0 200 OK\r\n\r\n"), "! 502"},
		{SPAN("HTTP/1.1  200 OK\r\n\r\n"), "! 502"},
		{SPAN("HTTP/1.1\t200 OK\r\n\r\n"), "! 502"},
		{SPAN("HTTP/1.1 200 OK\nContent-Length: 0\n\n"), "! 502"},
		{SPAN("\r\nHTTP/1.1 200 OK\r\n\r\n"), "! 502"},
		{SPAN("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: "
		      "upgrade\r\n\r\n"),
			"! 502"},
		{SPAN("RTSP/1.0 200 OK\r\n\r\n"), "! 502"}, {SPAN("ICY 200 OK\r\n\r\n"), "! 502"},
		{ANSWER("X : y\r\n", ""), "! 502"}, {ANSWER("X: y\r\n z\r\n", ""), "! 502"},
		{ANSWER("X: \0\r\n", ""), "! 502"},
		{ANSWER("Content-Length: 2\r\nContent-Length: 2\r\n", "ab"), "! 502"},
		{ANSWER("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
			"! 502"},
		{ANSWER("Content-Length: -1\r\n", ""), "! 502"},
		{ANSWER("Transfer-Encoding: gzip\r\n", ""), "! 502"},
		{ANSWER("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), "! 502"},
		{SPAN("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "! 502"},
		{ANSWER("Transfer-Encoding: chunked\r\n", "x\r\n"), "200 ! 502"},
		{ANSWER("Transfer-Encoding: chunked\r\n", "2\r\nabc"), "200 ab! 502"},
		{ANSWER("Transfer-Encoding: chunked\r\n", "0\r\nbad trailer\r\n\r\n"),
			"200 ! 502"});
}

static void sees_truncation(void **state)
{
	RESPONSES({ANSWER("Content-Length: 5\r\n", "ab"), "200 abcut"},
		{ANSWER("Transfer-Encoding: chunked\r\n", "2\r\nab\r\n"), "200 abcut"},
		{ANSWER("Transfer-Encoding: chunked\r\n", "2\r\na"), "200 acut"},
		{ANSWER("Transfer-Encoding: chunked\r\n", "0\r\n\r"), "200 cut"},
		{ANSWER("Transfer-Encoding: chunked\r\n", "0\r\n"), "200 cut"},
		{SPAN("HTTP/1.1 200 OK\r\n"), "cut"}, {SPAN("H"), "cut"},
		{SPAN("HTTP/1.1 100 Continue\r\n\r\n"), "cut"});
}

static void bounds_interim_responses(void **state)
{
	for (int n = 8; n <= 9; n++) {
		struct buf in;

		(void)state;
		buf_init(&in, 4096);
		for (int i = 0; i < n; i++)
			buf_append_cstr(&in, "HTTP/1.1 102 Processing\r\n\r\n");
		buf_append(&in, ANSWER("Content-Length: 0\r\n", ""));
		check(buf_span(&in), (struct options){.kind = H1_RESPONSE},
			n == 8 ? "200 \n" : "! 502");
		buf_done(&in);
	}
}

static void head_asks_for_no_body(void **state)
{
	const struct options o = {.kind = H1_RESPONSE, .asked = HTTP_HEAD};

	(void)state;
	check(ANSWER("Content-Length: 5\r\n", ""), o, "200 \n");
	check(ANSWER("Transfer-Encoding: chunked\r\n", ""), o, "200 \n");
	check(ANSWER("", ""), o, "200 \n");
}

static void refuses_at_the_first_bad_byte(void **state)
{
	static const char *const starts[] = {"GET / HTTP/1.1\nHo", "GET / HTTP/1.1\r\nHost: a\rX",
		"\n", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct log log = {0};
		struct h1 p;

		buf_init(&log.text, 100);
		h1_init(&p, H1_REQUEST, &events, &log);
		assert_false(feed(&p, span_of(starts[i]), &log));
		assert_int_equal(h1_feed(&p, SPAN("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), NULL), -1);
		h1_done(&p);
		buf_done(&log.text);
	}
}

static void names_the_target_it_refused(void **state)
{
	struct log log = {0};
	struct h1 p;

	(void)state;
	h1_init(&p, H1_REQUEST, &events, &log);
	assert_int_equal(h1_feed(&p, SPAN("POST /v1/messages HTTP/1.1\r\n\r\n"), NULL), -1);
	assert_true(span_is(h1_target(&p), "/v1/messages"));
	h1_done(&p);
	h1_init(&p, H1_REQUEST, &events, &log);
	assert_int_equal(h1_feed(&p, SPAN("garbage\r\n\r\n"), NULL), -1);
	assert_null(h1_target(&p).p);
	h1_done(&p);
}

static void tells_its_state(void **state)
{
	struct log log = {0};
	struct h1 p;

	(void)state;
	buf_init(&log.text, 1000);
	h1_init(&p, H1_REQUEST, &events, &log);
	assert_true(sizeof(p) <= 200);
	assert_true(h1_is_idle(&p));
	assert_int_equal(h1_feed(&p, SPAN("\r\n"), NULL), 2);
	assert_true(h1_is_idle(&p) && !h1_in_head(&p));
	assert_int_equal(h1_feed(&p, SPAN("POST / HTTP/1.1\r\n"), NULL), 17);
	assert_true(!h1_is_idle(&p) && h1_in_head(&p) && !h1_in_body(&p));
	assert_int_equal(h1_feed(&p, SPAN("Host: a\r\nContent-Length: 5\r\n\r\nhe"), NULL), 32);
	assert_true(h1_in_body(&p) && !h1_in_head(&p));
	assert_int_equal(h1_left(&p), 3);
	assert_null(p.held.mem);
	assert_int_equal(h1_feed(&p, SPAN("lloGET"), NULL), 3);
	assert_true(h1_is_idle(&p));
	assert_int_equal(h1_feed(&p, SPAN("GET"), NULL), 0);
	h1_next(&p);
	assert_int_equal(h1_feed(&p, SPAN("GET"), NULL), 3);
	assert_false(h1_eof(&p));
	h1_done(&p);
	buf_done(&log.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_requests),
		cmocka_unit_test(class_01_bare_line_ends),
		cmocka_unit_test(class_02_folded_lines),
		cmocka_unit_test(class_03_field_names),
		cmocka_unit_test(class_04_control_characters),
		cmocka_unit_test(class_05_length_and_coding),
		cmocka_unit_test(class_06_content_length),
		cmocka_unit_test(class_07_transfer_encoding),
		cmocka_unit_test(class_08_chunk_sizes),
		cmocka_unit_test(class_08_chunk_extensions),
		cmocka_unit_test(class_09_chunk_ends_and_trailers),
		cmocka_unit_test(class_09_many_trailers),
		cmocka_unit_test(class_10_request_lines),
		cmocka_unit_test(class_10_long_targets),
		cmocka_unit_test(class_11_methods),
		cmocka_unit_test(class_12_hosts),
		cmocka_unit_test(class_13_expectations),
		cmocka_unit_test(class_14_bodies_without_place),
		cmocka_unit_test(class_16_connection_cannot_hide_fields),
		cmocka_unit_test(class_17_limits),
		cmocka_unit_test(class_18_paths_are_raw),
		cmocka_unit_test(class_19_name_twins),
		cmocka_unit_test(reads_responses),
		cmocka_unit_test(refuses_responses),
		cmocka_unit_test(sees_truncation),
		cmocka_unit_test(bounds_interim_responses),
		cmocka_unit_test(head_asks_for_no_body),
		cmocka_unit_test(refuses_at_the_first_bad_byte),
		cmocka_unit_test(names_the_target_it_refused),
		cmocka_unit_test(tells_its_state),
	};

	return cmocka_run_group_tests_name("http/h1", tests, NULL, NULL);
}
