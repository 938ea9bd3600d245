/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/case_file_test.h"
#include <stdio.h>
#include <stdlib.h>
#include "machine/base/json_put.h"

void case_put_notes(struct buf *b, const struct llm_notes *notes)
{
	if (notes->n > 0) {
		json_put_open(b, "notes", '[');
		for (int i = 0; i < notes->n; i++)
			json_put_cstr(b, NULL, notes->codes[i]);
		buf_append_char(b, ']');
	}
	if (notes->n_betas > 0) {
		json_put_open(b, "betas", '[');
		for (int i = 0; i < notes->n_betas; i++)
			json_put_cstr(b, NULL, notes->betas[i]);
		buf_append_char(b, ']');
	}
}

void case_put_error(struct buf *b, const struct err *err, int status)
{
	json_put_open(b, "error", '{');
	json_put_cstr(b, "class", err_row(err->code)->name);
	json_put_cstr(b, "text", err->text);
	if (err->param[0] != '\0')
		json_put_cstr(b, "param", err->param);
	if (status > 0)
		json_put_int(b, "status", status);
	buf_append_char(b, '}');
}

yyjson_doc *case_read(const char *path)
{
	struct buf text;
	yyjson_doc *doc;
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL)
		return NULL;
	buf_init(&text, (size_t)16 << 20);
	do {
		char *room = buf_room(&text, 1 << 16);

		if (room == NULL)
			abort();
		n = fread(room, 1, 1 << 16, f);
		buf_added(&text, n);
	} while (n > 0);
	fclose(f);
	doc = json_read_raw(NULL, buf_span(&text), false, NULL);
	buf_done(&text);
	return doc;
}
