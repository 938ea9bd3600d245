/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cases between formats, a file each in the folder of the format that is read: <format>/cases/.
 * CASES.md says how they look. With SLUICE_WRITE_CASES=1 in the environment the expectations are
 * written anew, to be read and judged before they are believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "machine/base/text.h"
#include "meaning/dialect/case_file_test.h"
#include "meaning/dialect/test_neutral.h"
#include "meaning/dialect/translate_test_kit.h"

#define MAX_BYTES ((size_t)16 << 20)

struct one {
	const char *file;
	yyjson_val *root;
	const struct kit_format *from, *to; /* to: the one of those it names that is done now */
	struct llm_quirks quirks;
	struct llm_model facts;
	struct llm_target target;
	char model[64];
	struct arena arena;
	struct buf out; /* what came of it, in the form of `expect` */
};

static int n_bad;

__attribute__((format(printf, 2, 3))) static void bad(const struct one *c, const char *form, ...)
{
	char text[4096];
	va_list args;

	va_start(args, form);
	vsnprintf(text, sizeof(text), form, args);
	va_end(args);
	print_error("%s: %s\n", c->file, text);
	n_bad++;
}

/* ---- requests ---- */

static void run_request(struct one *c)
{
	struct llm_request *q = llm_request_new(&c->arena);
	struct llm_notes notes = {.n = 0};
	struct err err = {0};
	struct buf body;

	buf_init(&body, MAX_BYTES);
	if (c->from->dialect->codec->read_request(
		    json_get(c->root, "request"), &c->arena, q, &err) &&
		c->to->dialect->codec->write_request(q, &c->target, &c->arena, &body, &notes, &err))
		json_put_raw(&c->out, "body", buf_span(&body));
	else
		case_put_error(&c->out, &err, 0);
	case_put_notes(&c->out, &notes);
	buf_done(&body);
}

/* ---- answers ---- */

/* An event as the case has it: its data, or a string that stands as it is. */
static bool feed_event(struct one *c, struct kit_answer *k, yyjson_val *item)
{
	struct span name = neutral_str(item, "type"), data;
	struct buf text;
	bool ok;

	buf_init(&text, MAX_BYTES);
	if (yyjson_is_str(item))
		buf_append(&text, (struct span){yyjson_get_str(item), yyjson_get_len(item)});
	else
		json_write(&text, item);
	data = buf_span(&text);
	if (c->from->framing == KIT_LINES) {
		const char *broken = NULL;
		struct span rest = data;

		kit_next_event(KIT_LINES, &rest, &name, &data, &broken);
	}
	ok = kit_event(k, name, data);
	buf_done(&text);
	return ok;
}

static bool feed(struct one *c, struct kit_answer *k)
{
	yyjson_val *events = json_get(c->root, "events"), *item;
	struct buf text;
	size_t i, max;
	bool ok;

	if (events != NULL) {
		yyjson_arr_foreach(events, i, max, item)
		{
			if (!feed_event(c, k, item))
				return false;
		}
		return kit_end(k);
	}
	buf_init(&text, MAX_BYTES);
	json_write(&text, json_get(c->root, "answer"));
	ok = kit_whole(k, buf_span(&text));
	buf_done(&text);
	return ok;
}

/* The data of each event; its name, where there is one, is its type. */
static void put_stream(struct one *c, const char *key, struct span stream)
{
	struct span name, data;
	const char *broken = NULL;
	yyjson_doc *doc;

	json_put_open(&c->out, key, '[');
	while (kit_next_event(c->to->framing, &stream, &name, &data, &broken)) {
		doc = json_read_raw(NULL, data, false, NULL);
		if (doc == NULL)
			json_put_str(&c->out, NULL, data);
		else if (c->to->framing == KIT_LINES) {
			json_put_open(&c->out, NULL, '{');
			json_put_key(&c->out, NULL);
			text_json_string(&c->out, name);
			buf_append_char(&c->out, ':');
			buf_append(&c->out, data);
			buf_append_char(&c->out, '}');
		} else {
			json_put_raw(&c->out, NULL, data);
			if (!span_eq(name, neutral_str(yyjson_doc_get_root(doc), "type")))
				bad(c, "an event's name is not its type");
		}
		json_free(doc);
	}
	buf_append_char(&c->out, ']');
	if (broken != NULL)
		bad(c, "%s", broken);
}

/* In every format, streamed and whole, the answer reads as the same. */
static void check_everywhere(
	struct one *c, struct kit_answer *k, const struct kit_format *to, bool stream)
{
	struct kit_said first, second;
	struct kit_answer again;
	struct buf body;
	const char *what;
	bool ok;

	buf_init(&body, MAX_BYTES);
	kit_said_init(&first);
	kit_said_init(&second);
	kit_begin(&again, to, NULL, c->target.model, false);
	if (stream)
		ok = kit_read_stream(&again, buf_span(&k->outputs[to - kit_formats].stream));
	else
		ok = kit_write_whole(k, to, &body) && kit_whole(&again, buf_span(&body));
	kit_said_take(&first, &k->whole, to);
	kit_said_take(&second, &again.whole, to);
	what = kit_said_differ(&first, &second);
	if (!ok || again.broken != NULL)
		bad(c, "%s, %s: %s %s", to->dialect->name, stream ? "streamed" : "whole",
			again.r.err.text, again.broken != NULL ? again.broken : "");
	else if (what != NULL && json_get(c->root, "differs") == NULL)
		bad(c, "%s, %s: %s differs", to->dialect->name, stream ? "streamed" : "whole",
			what);
	kit_done(&again);
	kit_said_done(&first);
	kit_said_done(&second);
	buf_done(&body);
}

static void put_failure(struct one *c, struct kit_answer *k)
{
	const struct codec *codec = c->to->dialect->codec;
	struct buf failure;

	case_put_error(&c->out, &k->r.err, k->r.error_status);
	if (json_get(c->root, "events") == NULL)
		return;
	buf_init(&failure, MAX_BYTES);
	if (codec->write_failure != NULL)
		codec->write_failure(&k->outputs[c->to - kit_formats].w, &k->r.err, "provider",
			"req_1", &failure);
	else
		c->to->dialect->write_stream_error(&k->r.err, "provider", "req_1", 0, &failure);
	put_stream(c, "failure", buf_span(&failure));
	buf_done(&failure);
}

static struct llm_request *read_asked(struct one *c)
{
	yyjson_val *asked = json_get(c->root, "asked");
	struct llm_request *q = llm_request_new(&c->arena);
	struct err err = {0};

	q->wants_usage = true;
	if (asked != NULL && !c->to->dialect->codec->read_request(asked, &c->arena, q, &err))
		bad(c, "asked: %s", err.text);
	return q;
}

static void put_answer(struct one *c, struct kit_answer *k, bool streamed, bool ok)
{
	struct buf body;

	buf_init(&body, MAX_BYTES);
	if (streamed)
		put_stream(c, "stream", buf_span(&k->outputs[c->to - kit_formats].stream));
	else if (ok && kit_write_whole(k, c->to, &body))
		json_put_raw(&c->out, "whole", buf_span(&body));
	if (!ok)
		put_failure(c, k);
	buf_done(&body);
}

static void run_answer(struct one *c)
{
	bool streamed = json_get(c->root, "events") != NULL, ok;
	struct kit_answer k;

	kit_begin(&k, c->from, read_asked(c), c->target.model, true);
	k.target = c->target;
	ok = feed(c, &k);
	if (k.broken != NULL)
		bad(c, "%s", k.broken);
	put_answer(c, &k, streamed, ok);
	for (int i = 0; i < KIT_FORMATS && ok; i++) {
		check_everywhere(c, &k, &kit_formats[i], true);
		check_everywhere(c, &k, &kit_formats[i], false);
	}
	kit_done(&k);
}

/* ---- files ---- */

/* Lists of events stand a line each. */
static void put_lines(struct buf *b, yyjson_val *v)
{
	size_t i, max;
	yyjson_val *item;

	if (!yyjson_is_arr(v) || yyjson_arr_size(v) == 0) {
		json_write(b, v);
		return;
	}
	yyjson_arr_foreach(v, i, max, item)
	{
		buf_append_cstr(b, i == 0 ? "[\n  " : ",\n  ");
		json_write(b, item);
	}
	buf_append_cstr(b, "]");
}

static void put_members(struct buf *b, yyjson_val *object, const char *indent)
{
	size_t i, max;
	yyjson_val *key, *v;

	yyjson_obj_foreach(object, i, max, key, v)
	{
		if (yyjson_equals_str(key, "expect"))
			continue;
		buf_append_cstr(b, i > 0 ? ",\n" : "\n");
		buf_append_cstr(b, indent);
		json_write(b, key);
		buf_append_cstr(b, ": ");
		if (yyjson_is_arr(v) && yyjson_is_obj(yyjson_arr_get_first(v)))
			put_lines(b, v);
		else
			json_write(b, v);
	}
}

static void write_case(const char *path, struct one *c)
{
	yyjson_doc *made = json_read_raw(NULL, buf_span(&c->out), false, NULL);
	yyjson_val *key, *v;
	struct buf text;
	size_t i, max;
	FILE *f;

	assert_non_null(made);
	buf_init(&text, MAX_BYTES);
	buf_append_char(&text, '{');
	put_members(&text, c->root, "");
	buf_append_cstr(&text, ",\n\"expect\": {");
	yyjson_obj_foreach(yyjson_doc_get_root(made), i, max, key, v)
	{
		buf_append_cstr(&text, i > 0 ? ",\n" : "\n");
		json_write(&text, key);
		buf_append_cstr(&text, ": {");
		put_members(&text, v, " ");
		buf_append_char(&text, '}');
	}
	buf_append_cstr(&text, "}\n}\n");
	f = fopen(path, "wb");
	assert_non_null(f);
	fwrite(text.mem, 1, text.n, f);
	fclose(f);
	buf_done(&text);
	json_free(made);
}

static void compare(struct one *c)
{
	struct buf wanted;

	buf_init(&wanted, MAX_BYTES);
	json_write(&wanted, json_get(c->root, "expect"));
	if (!span_eq(buf_span(&wanted), buf_span(&c->out)))
		bad(c, "\nWANTED %.*s\nACTUAL %.*s", SPAN_ARG(span_head(buf_span(&wanted), 1900)),
			SPAN_ARG(span_head(buf_span(&c->out), 1900)));
	buf_done(&wanted);
}

/* A model that can all that its provider's can, where the case does not say which. */
static void set_target(struct one *c)
{
	static const char *const models[KIT_FORMATS] = {"gpt-5.2", "gpt-5.2", "claude-sonnet-4-5",
		"gemini-2.5-flash", "anthropic.claude-sonnet-4-5-20250929-v1:0",
		"command-a-03-2025"};
	yyjson_val *given = json_get(c->root, "target");

	memset(&c->quirks, 0, sizeof(c->quirks));
	memset(&c->facts, 0, sizeof(c->facts));
	neutral_target(given, &c->target, &c->quirks, &c->facts);
	if (c->target.model.n == 0)
		c->target.model = span_of(models[c->to - kit_formats]);
	if (c->target.provider.n == 0)
		c->target.provider = SPAN("p");
	if (given == NULL) {
		c->facts.max_output = 64000;
		c->facts.can = LLM_CAN_REASON | LLM_CAN_SEARCH | LLM_CAN_CACHE;
		c->target.facts = &c->facts;
	}
}

static void run_to(struct one *c, yyjson_val *name)
{
	struct span to = {yyjson_get_str(name), yyjson_get_len(name)};

	c->to = kit_format_named(to);
	if (c->to == NULL) {
		bad(c, "to: no such format");
		return;
	}
	arena_init(&c->arena, 64 << 20);
	set_target(c);
	json_put_open(&c->out, c->to->dialect->name, '{');
	if (json_get(c->root, "request") != NULL)
		run_request(c);
	else
		run_answer(c);
	buf_append_char(&c->out, '}');
	arena_done(&c->arena);
}

static bool run_case(const char *folder, const char *name, const struct kit_format *home)
{
	struct one c = {.file = name, .from = home};
	yyjson_val *to, *item;
	char path[1400];
	size_t i, max;
	yyjson_doc *doc;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	doc = case_read(path);
	assert_non_null(doc);
	c.root = yyjson_doc_get_root(doc);
	to = json_get(c.root, "to");
	buf_init(&c.out, MAX_BYTES);
	buf_append_char(&c.out, '{');
	yyjson_arr_foreach(to, i, max, item) run_to(&c, item);
	buf_append_char(&c.out, '}');
	if (to != NULL && getenv("SLUICE_WRITE_CASES") != NULL)
		write_case(path, &c);
	else if (to != NULL) /* else a case of one format alone: its own test runs it */
		compare(&c);
	buf_done(&c.out);
	json_free(doc);
	return to != NULL;
}

static int is_case(const struct dirent *e)
{
	return span_ends(span_of(e->d_name), SPAN(".json"));
}

static int run_folder(const struct kit_format *home)
{
	const char *source = getenv("SLUICE_SOURCE");
	struct dirent **list;
	char folder[1024];
	int n, ran = 0;

	snprintf(folder, sizeof(folder), "%s/src/meaning/dialect/%s/cases",
		source != NULL ? source : ".", home->dialect->name);
	n = scandir(folder, &list, is_case, alphasort);
	for (int i = 0; i < n; i++) {
		ran += run_case(folder, list[i]->d_name, home);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return ran;
}

static void every_case_holds(void **state)
{
	int n = 0;

	for (int i = 0; i < KIT_FORMATS; i++)
		n += run_folder(&kit_formats[i]);
	print_message("%d cases\n", n);
	assert_int_equal(n_bad, 0);
	assert_true(n >= 150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_case_holds)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
