/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/inflate.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "machine/base/buf.h"

struct sink {
	struct buf got;
	size_t stop_at;
	struct inflate *to_free; /* as an owner does who cancels in the call */
};

static bool give(void *user, struct span out)
{
	struct sink *s = user;

	assert_true(out.n > 0);
	buf_append(&s->got, out);
	if (s->stop_at > 0 && s->got.n >= s->stop_at) {
		inflate_free(s->to_free);
		return false;
	}
	return true;
}

static size_t pack(int window, struct span plain, unsigned char *out, size_t room)
{
	z_stream z = {0};
	size_t n;

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (unsigned char *)plain.p;
	z.avail_in = (unsigned)plain.n;
	z.next_out = out;
	z.avail_out = (unsigned)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	n = room - z.avail_out;
	deflateEnd(&z);
	return n;
}

static const struct span plain = {"data: {\"a\":1}\n\ndata: {\"a\":1}\n\ndata: [DONE]\n\n", 44};

static void decodes(const char *coding, int window)
{
	unsigned char packed[512];
	size_t n = pack(window, plain, packed, sizeof(packed));

	for (size_t step = 1; step <= n; step++) {
		struct sink s = {0};
		struct inflate *f;
		struct err err = {0};

		buf_init(&s.got, 1000);
		assert_true(inflate_new(span_of(coding), &f, &err));
		assert_non_null(f);
		for (size_t at = 0; at < n; at += step) {
			assert_true(at == 0 || !inflate_is_complete(f));
			assert_true(inflate_feed(f,
				(struct span){(char *)packed + at, step < n - at ? step : n - at},
				give, &s, &err));
		}
		assert_true(inflate_is_complete(f));
		assert_true(span_eq(buf_span(&s.got), plain));
		assert_true(inflate_feed(f, SPAN("behind the end"), give, &s, &err));
		assert_int_equal(s.got.n, plain.n);
		inflate_free(f);
		buf_done(&s.got);
	}
}

static void decodes_every_form(void **state)
{
	(void)state;
	decodes("gzip", 15 + 16);
	decodes("X-GZIP", 15 + 16);
	decodes("deflate", 15);
	decodes("deflate", -15);
}

static void knows_what_it_cannot_decode(void **state)
{
	struct inflate *f = (struct inflate *)1;
	struct err err = {0};

	(void)state;
	assert_true(inflate_new(SPAN(""), &f, &err));
	assert_null(f);
	assert_true(inflate_new(SPAN("Identity"), &f, &err));
	assert_null(f);
	assert_false(inflate_new(SPAN("br"), &f, &err));
	assert_int_equal(err.code, ERR_UPSTREAM_INVALID);
	assert_false(inflate_new(SPAN("gzip, gzip"), &f, NULL));
}

static void sees_damage(void **state)
{
	unsigned char packed[512];
	size_t n = pack(15 + 16, plain, packed, sizeof(packed));

	(void)state;
	for (size_t i = 0; i < n; i++) {
		struct sink s = {0};
		struct inflate *f;
		struct err err = {0};
		bool ok;

		if (i >= 4 && i < 10) /* time, flags and system say nothing about the data */
			continue;
		buf_init(&s.got, 100000);
		assert_true(inflate_new(SPAN("gzip"), &f, &err));
		packed[i] ^= 0x5a;
		ok = inflate_feed(f, (struct span){(char *)packed, n}, give, &s, &err) &&
		     inflate_is_complete(f);
		packed[i] ^= 0x5a;
		assert_false(ok && !span_eq(buf_span(&s.got), plain));
		inflate_free(f);
		buf_done(&s.got);
	}
}

static void sees_a_cut(void **state)
{
	unsigned char packed[512];
	size_t n = pack(15 + 16, plain, packed, sizeof(packed));
	struct sink s = {0};
	struct inflate *f;

	(void)state;
	buf_init(&s.got, 1000);
	assert_true(inflate_new(SPAN("gzip"), &f, NULL));
	assert_true(inflate_is_complete(f)); /* no body at all */
	assert_true(inflate_feed(f, (struct span){(char *)packed, n - 1}, give, &s, NULL));
	assert_false(inflate_is_complete(f));
	inflate_free(f);
	buf_done(&s.got);
}

static void stops_a_bomb(void **state)
{
	const size_t zeros = 8 << 20;
	char *big = calloc(1, zeros);
	unsigned char *packed = malloc(100000);
	size_t n;
	struct sink s = {0};
	struct inflate *f;
	struct err err = {0};

	(void)state;
	assert_true(big != NULL && packed != NULL);
	n = pack(15 + 16, (struct span){big, zeros}, packed, 100000);
	buf_init(&s.got, zeros);
	assert_true(inflate_new(SPAN("gzip"), &f, &err));
	assert_false(inflate_feed(f, (struct span){(char *)packed, n}, give, &s, &err));
	assert_int_equal(err.code, ERR_UPSTREAM_INVALID);
	assert_true(s.got.n <= 1 << 20);
	inflate_free(f);
	buf_done(&s.got);
	free(big);
	free(packed);
}

static void may_be_freed_in_the_call(void **state)
{
	unsigned char packed[512];
	size_t n = pack(-15, plain, packed, sizeof(packed));
	struct sink s = {.stop_at = 1};

	(void)state;
	buf_init(&s.got, 100000);
	assert_true(inflate_new(SPAN("deflate"), &s.to_free, NULL));
	assert_true(inflate_feed(s.to_free, (struct span){(char *)packed, n}, give, &s, NULL));
	buf_done(&s.got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_every_form),
		cmocka_unit_test(knows_what_it_cannot_decode),
		cmocka_unit_test(sees_damage),
		cmocka_unit_test(sees_a_cut),
		cmocka_unit_test(stops_a_bomb),
		cmocka_unit_test(may_be_freed_in_the_call),
	};

	return cmocka_run_group_tests_name("http/inflate", tests, NULL, NULL);
}
