/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/sys/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[64];

static int make_room(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/sys_test_XXXXXX");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_room(void **state)
{
	return rmdir(dir);
}

static const char *in_room(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void clock_goes_forward(void **state)
{
	int64_t last = sys_real.mono_us(&sys_real);
	int64_t wall = sys_real.wall_ms(&sys_real);

	for (int i = 0; i < 100000; i++) {
		int64_t now = sys_real.mono_us(&sys_real);

		assert_true(now >= last);
		last = now;
	}
	assert_true(wall > INT64_C(1700000000000));
}

static void random_bytes_differ(void **state)
{
	uint8_t a[32] = {0}, b[32] = {0};

	assert_true(sys_real.random(&sys_real, a, sizeof(a)));
	assert_true(sys_real.random(&sys_real, b, sizeof(b)));
	assert_memory_not_equal(a, b, sizeof(a));
}

static void a_file_comes_back_as_written(void **state)
{
	size_t n = 200000;
	char *bytes = malloc(n);
	struct buf back;
	struct err err = {0};
	struct stat st;
	mode_t old = umask(077);

	assert_non_null(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i * 31);
	assert_true(sys_write_file(&sys_real, in_room("f"), span_from(bytes, n), 0640, &err));
	umask(old);
	assert_int_equal(stat(in_room("f"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	buf_init(&back, n);
	assert_true(sys_read_file(&sys_real, in_room("f"), &back, &err));
	assert_true(span_eq(buf_span(&back), span_from(bytes, n)));
	buf_done(&back);
	/* Written over: the new content, whole. */
	assert_true(sys_write_file(&sys_real, in_room("f"), SPAN("new"), 0600, &err));
	buf_init(&back, 3);
	assert_true(sys_read_file(&sys_real, in_room("f"), &back, &err));
	assert_true(span_is(buf_span(&back), "new"));
	buf_done(&back);
	unlink(in_room("f"));
	free(bytes);
}

static void a_file_above_the_maximum_is_refused(void **state)
{
	struct buf back;
	struct err err = {0};

	assert_true(sys_write_file(&sys_real, in_room("f"), SPAN("four"), 0600, &err));
	buf_init(&back, 3);
	assert_false(sys_read_file(&sys_real, in_room("f"), &back, &err));
	assert_int_equal(err.code, ERR_TOO_LARGE);
	buf_done(&back);
	unlink(in_room("f"));
}

static void a_missing_file_is_named(void **state)
{
	struct buf back;
	struct err err = {0};

	buf_init(&back, 10);
	assert_false(sys_read_file(&sys_real, in_room("absent"), &back, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "absent"));
	buf_done(&back);
}

static int failing_sync(struct sys *sys, int fd)
{
	errno = EIO;
	return -1;
}

static ssize_t short_write(struct sys *sys, int fd, const void *p, size_t n)
{
	return write(fd, p, n > 3 ? 3 : n);
}

static void a_failed_sync_leaves_the_old_file_and_nothing_beside(void **state)
{
	struct sys broken = sys_real;
	struct buf back;
	struct err err = {0};

	assert_true(sys_write_file(&sys_real, in_room("f"), SPAN("old"), 0600, &err));
	broken.sync = failing_sync;
	assert_false(sys_write_file(&broken, in_room("f"), SPAN("new"), 0600, &err));
	assert_int_equal(err.code, ERR_IO);
	buf_init(&back, 10);
	err.code = ERR_OK;
	assert_true(sys_read_file(&sys_real, in_room("f"), &back, &err));
	assert_true(span_is(buf_span(&back), "old"));
	buf_done(&back);
	unlink(in_room("f"));
	/* remove_room fails when a file was left beside. */
}

static void short_writes_are_continued(void **state)
{
	struct sys slow = sys_real;
	struct buf back;
	struct err err = {0};

	slow.write = short_write;
	assert_true(sys_write_file(&slow, in_room("f"), SPAN("0123456789"), 0600, &err));
	buf_init(&back, 20);
	assert_true(sys_read_file(&sys_real, in_room("f"), &back, &err));
	assert_true(span_is(buf_span(&back), "0123456789"));
	buf_done(&back);
	unlink(in_room("f"));
}

static void directories_are_made_two_levels_deep(void **state)
{
	struct err err = {0};
	struct stat st;

	assert_true(sys_make_dir(&sys_real, in_room("a/b/"), &err));
	assert_int_equal(stat(in_room("a/b"), &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_true(sys_make_dir(&sys_real, in_room("a/b"), &err));
	assert_false(sys_make_dir(&sys_real, in_room("x/y/z"), &err));
	assert_int_equal(err.code, ERR_IO);
	rmdir(in_room("a/b"));
	rmdir(in_room("a"));
}

static void a_file_is_no_directory(void **state)
{
	struct err err = {0};

	assert_true(sys_write_file(&sys_real, in_room("f"), SPAN(""), 0600, &err));
	assert_false(sys_make_dir(&sys_real, in_room("f"), &err));
	unlink(in_room("f"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clock_goes_forward),
		cmocka_unit_test(random_bytes_differ),
		cmocka_unit_test(a_file_comes_back_as_written),
		cmocka_unit_test(a_file_above_the_maximum_is_refused),
		cmocka_unit_test(a_missing_file_is_named),
		cmocka_unit_test(a_failed_sync_leaves_the_old_file_and_nothing_beside),
		cmocka_unit_test(short_writes_are_continued),
		cmocka_unit_test(directories_are_made_two_levels_deep),
		cmocka_unit_test(a_file_is_no_directory),
	};

	return cmocka_run_group_tests(tests, make_room, remove_room);
}
