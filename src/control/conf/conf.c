/* SPDX-License-Identifier: Apache-2.0 */
#include "control/conf/conf.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "control/conf/read.h"
#include "machine/base/text.h"

#define CONF_ARENA_BYTES (16u << 20)
#define TREE_ARENA_BYTES (64u << 20)
#define MAX_WORKERS 256

static int count_cores(void)
{
	cpu_set_t set;
	long n = 0;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	if (n < 1)
		n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : n > MAX_WORKERS ? MAX_WORKERS : (int)n;
}

/* ---- making ---- */

static struct conf *conf_new(struct err *err)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	arena_init(&c->arena, CONF_ARENA_BYTES);
	c->origins = read_defaults(general_options, &c->arena, c, err);
	if (c->origins == NULL) {
		conf_free(c);
		return NULL;
	}
	return c;
}

/* The arena's memory held secrets. */
void conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	for (int i = 0; i < c->n_providers; i++)
		for (const struct option *o = provider_options; o->path != NULL; o++)
			if (option_is_secret(o))
				option_wipe(o, &c->providers[i]);
	arena_done(&c->arena);
	free(c);
}

/* A text on top of what is there; file NULL: built in. */
static bool put_text(
	struct sys *sys, struct conf *c, const char *file, struct span text, struct err *err)
{
	struct arena a;
	struct yaml_node *tree;
	const char *name = file != NULL ? file : "(built in)";
	bool ok = false;

	if (text.n > CONF_MAX_BYTES)
		return err_set(err, ERR_CONFIG, "%s: larger than %d bytes", name, CONF_MAX_BYTES);
	arena_init(&a, TREE_ARENA_BYTES);
	tree = yaml_read(&a, name, text, err);
	if (tree != NULL)
		ok = read_tree(sys, c, file, tree, err);
	arena_done(&a);
	return ok;
}

static bool load_file(struct sys *sys, const char *file, struct buf *text, struct err *err)
{
	struct err why = {0};

	if (sys_read_file(sys, file, text, &why))
		return true;
	if (why.code == ERR_NOT_FOUND)
		return err_set(err, ERR_CONFIG, "%s; `sluice init %s` writes one", why.text, file);
	return err_set(err, why.code == ERR_NO_MEMORY ? ERR_NO_MEMORY : ERR_CONFIG, "%s", why.text);
}

/* The text of a file may hold secrets. */
static void forget(struct buf *text)
{
	if (text->mem != NULL)
		explicit_bzero(text->mem, text->cap);
	buf_done(text);
}

static bool put_file(struct sys *sys, struct conf *c, const char *file, struct err *err)
{
	struct buf text;
	bool ok;

	buf_init(&text, CONF_MAX_BYTES);
	ok = load_file(sys, file, &text, err) && put_text(sys, c, c->file, buf_span(&text), err);
	forget(&text);
	return ok;
}

static bool name_file(struct conf *c, const char *file, struct err *err)
{
	c->file = arena_cstr(&c->arena, span_of(file));
	return c->file != NULL || err_set(err, ERR_NO_MEMORY, NULL);
}

/* What no single value shows, once all of them are read. */
static bool complete(struct conf *c, struct err *err)
{
	const char *file = c->file != NULL ? c->file : "(built in)";

	if (!read_environment(c, NULL, err))
		return false;
	if ((c->tls_cert == NULL) != (c->tls_key == NULL))
		return err_set(err, ERR_CONFIG, "%s: tls.%s is missing: cert and key go together",
			file, c->tls_cert == NULL ? "cert" : "key");
	if (c->workers == 0)
		c->workers = count_cores();
	return !c->arena.failed || err_set(err, ERR_NO_MEMORY, NULL);
}

/* Takes c. */
static struct conf *finish(struct conf *c, bool ok, struct err *err)
{
	if (ok && complete(c, err))
		return c;
	conf_free(c);
	return NULL;
}

struct conf *conf_read(struct sys *sys, const char *file, struct span text, struct err *err)
{
	struct conf *c = conf_new(err);

	if (c == NULL)
		return NULL;
	return finish(c, name_file(c, file, err) && put_text(sys, c, c->file, text, err), err);
}

struct conf *conf_read_file(struct sys *sys, const char *file, struct err *err)
{
	struct conf *c = conf_new(err);

	if (c == NULL)
		return NULL;
	return finish(c, name_file(c, file, err) && put_file(sys, c, file, err), err);
}

/* ---- serve --dev ---- */

static bool put_built_in(struct sys *sys, struct conf *c, const char *sim_url, struct err *err)
{
	static const struct {
		const char *name, *variable;
	} known[] = {{"openai", "OPENAI_API_KEY"}, {"anthropic", "ANTHROPIC_API_KEY"}};
	struct buf text;
	bool ok;

	buf_init(&text, 4096);
	buf_append_cstr(&text, "providers:\n");
	if (sim_url != NULL && sim_url[0] != '\0') {
		buf_append_cstr(&text, "  sim: {type: sim, api_key: simulator, base_url: ");
		text_json_string(&text, span_of(sim_url));
		buf_append_cstr(&text, "}\n");
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const char *value = getenv(known[i].variable);

		if (value != NULL && value[0] != '\0')
			buf_printf(&text, "  %s: {type: %s, api_key: \"${%s}\"}\n", known[i].name,
				known[i].name, known[i].variable);
	}
	ok = text.failed ? err_set(err, ERR_NO_MEMORY, NULL)
			 : put_text(sys, c, NULL, buf_span(&text), err);
	buf_done(&text);
	return ok;
}

struct conf *conf_dev(struct sys *sys, const char *file, const char *sim_url, struct err *err)
{
	struct conf *c = conf_new(err);
	bool ok;

	if (c == NULL)
		return NULL;
	ok = put_built_in(sys, c, sim_url, err);
	if (ok && file != NULL)
		ok = name_file(c, file, err) && put_file(sys, c, file, err);
	return finish(c, ok, err);
}

/* ---- one option alone ---- */

/* Cuts the tree down to one member. */
static struct yaml_node *keep_only(struct yaml_node *tree, const char *key)
{
	struct yaml_node *m = tree->first;

	while (m != NULL && !span_is(m->key, key))
		m = m->next;
	tree->first = m;
	tree->n = m != NULL;
	if (m != NULL)
		m->next = NULL;
	return tree;
}

static bool put_one(
	struct sys *sys, struct conf *c, const char *file, const char *name, struct err *err)
{
	struct arena a;
	struct buf text;
	struct yaml_node *tree;
	bool ok;

	buf_init(&text, CONF_MAX_BYTES);
	arena_init(&a, TREE_ARENA_BYTES);
	ok = load_file(sys, file, &text, err);
	tree = ok ? yaml_read(&a, file, buf_span(&text), err) : NULL;
	ok = tree != NULL && read_tree(sys, c, file, keep_only(tree, name), err);
	arena_done(&a);
	forget(&text);
	return ok;
}

bool conf_find(struct sys *sys, const char *file, const char *name, char *out, size_t size,
	struct err *err)
{
	struct conf *c = conf_new(err);
	bool ok;

	if (c == NULL)
		return false;
	ok = (file == NULL || put_one(sys, c, file, name, err)) && read_environment(c, name, err);
	if (ok && snprintf(out, size, "%s",
			  strcmp(name, "data_dir") == 0 ? c->data_dir : c->database) >= (int)size)
		ok = err_set(err, ERR_CONFIG, "%s is too long", name);
	conf_free(c);
	return ok;
}
