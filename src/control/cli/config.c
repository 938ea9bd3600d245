/* SPDX-License-Identifier: Apache-2.0 */
#include "control/conf/conf.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include "control/cli/command.h"

#define MAX_PAGE_BYTES (16u << 20)

static int put_page(const struct call *c, bool ok, struct buf *page)
{
	struct err err = {0};
	int code;

	if (!ok) {
		err_set(&err, ERR_NO_MEMORY, NULL);
		code = call_fail(c, "the output could not be made", &err, NULL);
	} else {
		code = call_put(c, buf_span(page));
	}
	buf_done(page);
	return code;
}

int run_config_show(struct call *c)
{
	struct err err = {0};
	const char *file = call_config(c, &err);
	struct conf *conf;
	struct buf page;
	bool ok;

	if (file == NULL)
		return call_fail(c, "nothing to show", &err, "write one: sluice init");
	conf = conf_read_file(&sys_real, file, &err);
	if (conf == NULL)
		return call_fail(c, "the configuration is not valid", &err, NULL);
	buf_init(&page, MAX_PAGE_BYTES);
	ok = conf_show(conf, call_flag(c, "sources") != NULL, &page);
	conf_free(conf);
	return put_page(c, ok, &page);
}

int run_config_reference(struct call *c)
{
	struct buf page;

	buf_init(&page, MAX_PAGE_BYTES);
	return put_page(c, conf_reference(&page), &page);
}

/* ---- init ---- */

/* A new file: what is there stays, also when somebody else makes it at this moment. */
static bool write_new(const char *file, struct span text, struct err *err)
{
	struct sys *sys = &sys_real;
	int fd = sys->open(sys, file, O_WRONLY | O_CREAT | O_EXCL, 0600);
	bool ok = true;

	if (fd < 0 && errno == EEXIST)
		return err_set(err, ERR_CONFLICT, "%s is there already", file);
	if (fd < 0)
		return err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, file);
	while (ok && text.n > 0) {
		ssize_t n = sys->write(sys, fd, text.p, text.n);

		ok = n > 0;
		text = span_skip(text, ok ? (size_t)n : 0);
	}
	ok = ok && sys->sync(sys, fd) == 0;
	if (!ok)
		err_set_errno(err, ERR_IO, file);
	sys->close(sys, fd);
	if (!ok)
		sys->unlink(sys, file);
	return ok;
}

int run_init(struct call *c)
{
	const char *file = c->n_args > 0 ? c->args[0] : "sluice.yaml";
	struct err err = {0};
	struct buf page;
	bool ok;

	buf_init(&page, MAX_PAGE_BYTES);
	ok = conf_template(&page);
	if (!ok || strcmp(file, "-") == 0)
		return put_page(c, ok, &page);
	ok = write_new(file, buf_span(&page), &err);
	buf_done(&page);
	if (!ok)
		return call_fail(c, "no configuration was written", &err,
			err.code == ERR_CONFLICT ? "choose another name, or move it away first"
						 : NULL);
	fprintf(stderr,
		"Wrote %s. Next:\n\n"
		"  export OPENAI_API_KEY=...            or ANTHROPIC_API_KEY\n"
		"  sluice config check -c %s\n"
		"  sluice keys create --name me -c %s\n"
		"  sluice serve -c %s\n",
		file, file, file, file);
	return CLI_DONE;
}
