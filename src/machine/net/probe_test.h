/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* probe - one loop and owners of streams that write down what they are told; for this folder's
 * tests. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "machine/base/buf.h"
#include "machine/net/stream.h"

#define PROBE_GUARD_MS 20000
#define PROBE_TICK_MS 5

struct probe {
	struct stream *s;
	struct buf got;
	int reads, ends, drains;
	size_t largest_read;
	struct err end; /* ERR_OK: an orderly end */
	void (*on_read)(struct probe *p);
	void (*on_end)(struct probe *p);
	void (*on_drain)(struct probe *p);
};

static struct loop *loop;
static struct timer probe_guard;
static int64_t probe_wait_us;
static bool probe_inside; /* a stream_* call runs: no callback may come now */

static void probe_read(void *user, struct span bytes)
{
	struct probe *p = user;

	assert_false(probe_inside);
	assert_true(bytes.n > 0);
	assert_int_equal(p->ends, 0);
	p->reads++;
	if (bytes.n > p->largest_read)
		p->largest_read = bytes.n;
	assert_true(buf_append(&p->got, bytes));
	if (p->on_read != NULL)
		p->on_read(p);
}

static void probe_end(void *user, const struct err *err)
{
	struct probe *p = user;

	assert_false(probe_inside);
	assert_int_equal(p->ends, 0);
	assert_true(p->s->ended);
	p->ends++;
	if (err != NULL) {
		assert_true(err->code != ERR_OK);
		p->end = *err;
	}
	if (p->on_end != NULL)
		p->on_end(p);
}

static void probe_drain(void *user)
{
	struct probe *p = user;

	assert_false(probe_inside);
	assert_int_equal(stream_pending(p->s), 0);
	p->drains++;
	if (p->on_drain != NULL)
		p->on_drain(p);
}

static const struct stream_events probe_events = {
	.read = probe_read, .end = probe_end, .drain = probe_drain};

static inline void probe_init(struct probe *p, struct stream *s)
{
	*p = (struct probe){.s = s};
	buf_init(&p->got, 256u << 20);
	if (s != NULL)
		stream_bind(s, &probe_events, p);
}

static inline void probe_done(struct probe *p)
{
	buf_done(&p->got);
}

/* As the stream_ functions, checking that they call nobody. */
static inline bool probe_write(struct probe *p, struct span bytes)
{
	bool ok;

	probe_inside = true;
	ok = stream_write(p->s, &bytes, 1);
	probe_inside = false;
	return ok;
}

static inline void probe_resume(struct probe *p)
{
	probe_inside = true;
	stream_resume(p->s);
	probe_inside = false;
}

static inline void probe_close(struct probe *p)
{
	probe_inside = true;
	stream_close(p->s);
	probe_inside = false;
	p->s = NULL;
}

static inline void probe_reset(struct probe *p)
{
	probe_inside = true;
	stream_reset(p->s);
	probe_inside = false;
	p->s = NULL;
}

/* Wakes the loop now and then, because what is waited for may have happened before it slept. */
static void probe_tick(struct timer *t)
{
	if (loop_now_us(loop) - probe_wait_us > PROBE_GUARD_MS * 1000)
		fail_msg("what the test waits for did not happen");
	timer_start(t, PROBE_TICK_MS);
}

static inline void probe_wait_start(void)
{
	probe_wait_us = loop_now_us(loop);
	timer_start(&probe_guard, PROBE_TICK_MS);
}

static struct sys probe_sys; /* its clock is moved by hand in a PROBE_CLOCK_TEST */
static int64_t probe_now_us;

static inline int64_t probe_mono_us(struct sys *sys)
{
	return probe_now_us;
}

static inline int probe_setup_with(struct sys *sys)
{
	probe_inside = false;
	loop = loop_new(sys, NULL);
	if (loop == NULL)
		return -1;
	timer_init(&probe_guard, loop, probe_tick);
	return 0;
}

static inline int probe_setup(void **state)
{
	return probe_setup_with(&sys_real);
}

static inline int probe_clock_setup(void **state)
{
	probe_sys = sys_real;
	probe_sys.mono_us = probe_mono_us;
	probe_now_us = 1000000;
	return probe_setup_with(&probe_sys);
}

static inline int probe_teardown(void **state)
{
	timer_done(&probe_guard);
	loop_free(loop);
	return 0;
}

#define WAIT(condition)                                                                            \
	do {                                                                                       \
		probe_wait_start();                                                                \
		while (!(condition))                                                               \
			uv_run(&loop->uv, UV_RUN_ONCE);                                            \
		timer_stop(&probe_guard);                                                          \
	} while (0)

static inline void probe_pass_ms(int64_t ms)
{
	probe_now_us += ms * 1000;
	for (int i = 0; i < 5; i++)
		uv_run(&loop->uv, UV_RUN_NOWAIT);
}

/* A few turns in which nothing new is expected. */
static inline void probe_turns(void)
{
	for (int i = 0; i < 5; i++)
		uv_run(&loop->uv, UV_RUN_NOWAIT);
}

/* Some machines have IPv6 switched off. */
static inline bool probe_has_ipv6(void)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

#define PROBE_TEST(f) cmocka_unit_test_setup_teardown(f, probe_setup, probe_teardown)
#define PROBE_CLOCK_TEST(f) cmocka_unit_test_setup_teardown(f, probe_clock_setup, probe_teardown)
