/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is accepted is shown, and what is shown reads again as the same values. What is refused has
 * a reason. There are no files and no variables here but those set below.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include "control/conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int no_file(struct sys *sys, const char *path, int flags, mode_t mode)
{
	errno = ENOENT;
	return -1;
}

static void show(struct sys *sys, struct span text, struct buf *out)
{
	struct err err = {0};
	struct conf *c = conf_read(sys, "f", text, &err);

	assert(c != NULL);
	assert(conf_show(c, false, out));
	conf_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_set_up;
	struct sys sys = sys_real;
	struct err err = {0};
	struct buf first, second;
	struct conf *c;

	if (!is_set_up) {
		clearenv();
		setenv("A", "value", 1);
		setenv("E", "", 1);
		is_set_up = true;
	}
	sys.open = no_file;
	c = conf_read(&sys, "f", span_from(data, size), &err);
	if (c == NULL) {
		assert(err.code == ERR_CONFIG || err.code == ERR_NO_MEMORY);
		assert(err.text[0] != '\0');
		return 0;
	}
	buf_init(&first, 16 << 20);
	buf_init(&second, 16 << 20);
	assert(conf_show(c, false, &first));
	conf_free(c);
	show(&sys, buf_span(&first), &second);
	assert(span_eq(buf_span(&first), buf_span(&second)));
	buf_done(&first);
	buf_done(&second);
	return 0;
}
