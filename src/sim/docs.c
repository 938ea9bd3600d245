/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_docs - keeps the options' table of docs/reference/simulator.md equal to options.def.
 *
 * --check FILE fails when the part between the marks differs; --write FILE replaces it.
 */
#include <stdio.h>
#include "machine/sys/sys.h"
#include "sim/script.h"

#define MAX_BYTES (1u << 20)

static const struct span begin = {"<!-- options -->\n", 17};
static const struct span end = {"<!-- /options -->\n", 18};

int main(int argc, char **argv)
{
	struct buf file, table, whole;
	struct err err = {0};
	ptrdiff_t from, to;
	struct span text;
	bool write, ok;

	if (argc != 3 || (strcmp(argv[1], "--check") != 0 && strcmp(argv[1], "--write") != 0)) {
		fprintf(stderr, "usage: sim_docs --check|--write FILE\n");
		return 2;
	}
	write = strcmp(argv[1], "--write") == 0;
	buf_init(&file, MAX_BYTES);
	buf_init(&table, MAX_BYTES);
	buf_init(&whole, MAX_BYTES);
	script_write_docs(&table);
	ok = sys_read_file(&sys_real, argv[2], &file, &err);
	text = buf_span(&file);
	from = ok ? span_find(text, begin) : -1;
	to = ok ? span_find(text, end) : -1;
	if (ok && (from < 0 || to < from))
		ok = err_set(&err, ERR_CONFIG,
			"%s has no lines <!-- options --> and <!-- /options -->", argv[2]);
	if (ok) {
		buf_append(&whole, span_head(text, (size_t)from + begin.n));
		buf_append(&whole, buf_span(&table));
		buf_append(&whole, span_skip(text, (size_t)to));
		ok = !whole.failed || err_set(&err, ERR_NO_MEMORY, NULL);
	}
	if (ok && write)
		ok = sys_write_file(&sys_real, argv[2], buf_span(&whole), 0644, &err);
	else if (ok && !span_eq(buf_span(&whole), text))
		ok = err_set(&err, ERR_CONFIG,
			"%s is not what options.def says: run sim_docs --write", argv[2]);
	if (!ok)
		fprintf(stderr, "sim_docs: %s\n", err.text);
	buf_done(&file);
	buf_done(&table);
	buf_done(&whole);
	return ok ? 0 : 1;
}
