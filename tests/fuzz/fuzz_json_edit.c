/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first line says which edits are made, a byte each; the rest is the document. What was edited
 * is still JSON, has what was set, has not what was removed, and the rest of it byte for byte.
 */
#include <assert.h>
#include <stdlib.h>
#include "machine/base/buf.h"
#include "machine/base/json.h"

#define MAX_EDITS 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = {"model", "stream", "stream_options.include_usage",
	"stream_options", "requesty", "requesty.tags", "a.b.c", "a.b", "a", "max_tokens", "user",
	""};
#define N_PATHS (sizeof(paths) / sizeof(paths[0]) - 1)

static const char *const raws[] = {"true", "\"openai/gpt-4o\"", "{\"include_usage\":true}", "[]"};

struct change {
	const char *path;
	struct span raw; /* n == 0: removed */
};

static bool is_under(const char *path, const char *parent)
{
	size_t n = strlen(parent);

	return strncmp(path, parent, n) == 0 && (path[n] == '\0' || path[n] == '.');
}

static bool is_touched(const struct change *changes, int n, struct span key)
{
	for (int i = 0; i < n; i++) {
		char top[32];
		size_t len = strcspn(changes[i].path, ".");

		memcpy(top, changes[i].path, len);
		top[len] = '\0';
		if (json_key_is(key, top))
			return true;
	}
	return false;
}

static bool next_untouched(
	struct span text, size_t *at, const struct change *changes, int n, struct json_member *m)
{
	while (json_next(text, at, m)) {
		if (!is_touched(changes, n, m->key))
			return true;
	}
	return false;
}

static void check_rest(struct span before, struct span after, const struct change *changes, int n)
{
	size_t at = 0, at_after = 0;
	struct json_member a, b;

	while (next_untouched(before, &at, changes, n, &a)) {
		assert(next_untouched(after, &at_after, changes, n, &b));
		assert(span_eq(a.key, b.key) && span_eq(a.value, b.value));
	}
	assert(!next_untouched(after, &at_after, changes, n, &b));
}

static void check_changes(struct span after, const struct change *changes, int n)
{
	for (int i = 0; i < n; i++) {
		bool is_last = true;
		struct span now;

		for (int j = i + 1; j < n; j++)
			is_last &= !is_under(changes[i].path, changes[j].path) &&
				   !is_under(changes[j].path, changes[i].path);
		if (!is_last)
			continue;
		now = json_raw(after, changes[i].path);
		if (changes[i].raw.n == 0)
			assert(now.p == NULL);
		else
			assert(span_eq(now, changes[i].raw));
	}
}

static void check_document(struct span text)
{
	struct err err = {0};
	yyjson_doc *doc = json_read(NULL, text, &err);

	assert(doc != NULL && yyjson_is_obj(yyjson_doc_get_root(doc)));
	json_free(doc);
}

static void edit(struct span text, const struct change *changes, int n)
{
	struct span spans[2 * JSON_MAX_SPLICES + 1];
	struct json_edit e;
	struct arena arena;
	struct buf out;
	int n_spans;

	arena_init(&arena, 1 << 20);
	buf_init(&out, 2 << 20);
	json_edit_init(&e, &arena, text);
	for (int i = 0; i < n; i++) {
		if (changes[i].raw.n == 0)
			json_edit_remove(&e, changes[i].path);
		else
			json_edit_set(&e, changes[i].path, changes[i].raw);
	}
	n_spans = json_edit_spans(&e, spans, 2 * JSON_MAX_SPLICES + 1);
	if (n_spans >= 0) {
		for (int i = 0; i < n_spans; i++)
			assert(buf_append(&out, spans[i]));
		assert(json_edit_size(&e) == out.n);
		check_document(buf_span(&out));
		check_rest(text, buf_span(&out), changes, n);
		check_changes(buf_span(&out), changes, n);
	} else {
		assert(json_edit_size(&e) == 0);
	}
	buf_done(&out);
	arena_done(&arena);
}

/* On text that is not JSON the scanner only has to stay inside. */
static void scan(struct span text)
{
	struct json_member m;
	size_t at = 0;

	while (json_next(text, &at, &m))
		assert(at <= text.n && m.value.p + m.value.n <= text.p + text.n);
	for (size_t i = 0; i < N_PATHS; i++) {
		struct span raw = json_raw(text, paths[i]);

		assert(raw.p == NULL || (raw.p >= text.p && raw.p + raw.n <= text.p + text.n));
		json_has_twice(text, paths[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_from(data, size), head = span_cut(&text, '\n');
	struct change changes[MAX_EDITS];
	struct json_scratch scratch = {NULL, 65536};
	yyjson_doc *doc, *loose;
	int n = 0;

	for (size_t i = 0; i < head.n && n < MAX_EDITS; i++, n++) {
		unsigned char c = (unsigned char)head.p[i];
		const char *raw = c & 0x80 ? "" : raws[c / N_PATHS % 4];

		changes[n] = (struct change){paths[c % N_PATHS], span_of(raw)};
	}
	if (text.n == 0 || size > 65536)
		return 0;
	scan(text);
	scratch.mem = malloc(scratch.n);
	assert(scratch.mem != NULL);
	doc = json_read(&scratch, text, NULL);
	if (doc != NULL && yyjson_is_obj(yyjson_doc_get_root(doc)))
		edit(text, changes, n);
	loose = json_read_loose(NULL, text, NULL);
	assert(doc == NULL || loose != NULL);
	json_free(loose);
	json_free(doc);
	free(scratch.mem);
	return 0;
}
