/* SPDX-License-Identifier: Apache-2.0 */
#include "control/cli/table.h"
#include <string.h>

#define TABLE_MAX_BYTES (64u << 20)

void table_init(struct table *t, const char *const *columns)
{
	*t = (struct table){.columns = columns};
	while (columns[t->n_columns] != NULL && t->n_columns < TABLE_MAX_COLUMNS)
		t->n_columns++;
	buf_init(&t->cells, TABLE_MAX_BYTES);
}

void table_done(struct table *t)
{
	buf_done(&t->cells);
}

void table_cell(struct table *t, struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		buf_append_char(&t->cells, c < 0x20 || c == 0x7f ? '?' : (char)c);
	}
	buf_append_char(&t->cells, '\0');
	t->n_cells++;
}

/* Characters, not bytes; wide ones count as one. */
static size_t width_of(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void measure(const struct table *t, size_t *widths)
{
	const char *cell = t->cells.n > 0 ? buf_span(&t->cells).p : NULL;

	for (int i = 0; i < t->n_columns; i++)
		widths[i] = width_of(t->columns[i]);
	for (int i = 0; i < t->n_cells; i++) {
		size_t n = width_of(cell);

		if (n > widths[i % t->n_columns])
			widths[i % t->n_columns] = n;
		cell += strlen(cell) + 1;
	}
}

static void write_cell(const char *text, size_t width, bool last, bool aligned, struct buf *out)
{
	buf_append_cstr(out, text);
	if (last)
		buf_append_char(out, '\n');
	else if (!aligned)
		buf_append_char(out, '\t');
	else
		for (size_t n = width_of(text); n < width + 2; n++)
			buf_append_char(out, ' ');
}

bool table_write(const struct table *t, bool aligned, struct buf *out)
{
	size_t widths[TABLE_MAX_COLUMNS];
	const char *cell = t->cells.n > 0 ? buf_span(&t->cells).p : NULL;

	if (t->cells.failed)
		return false;
	measure(t, widths);
	for (int i = 0; aligned && i < t->n_columns; i++)
		write_cell(t->columns[i], widths[i], i + 1 == t->n_columns, true, out);
	for (int i = 0; i < t->n_cells; i++) {
		int column = i % t->n_columns;

		write_cell(cell, widths[column], column + 1 == t->n_columns, aligned, out);
		cell += strlen(cell) + 1;
	}
	return !out->failed;
}
