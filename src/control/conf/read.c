/* SPDX-License-Identifier: Apache-2.0 */
#include "control/conf/read.h"
#include <stdlib.h>
#include <stdio.h>
#include "control/conf/expand.h"
#include "machine/base/text.h"

#define MAX_PATH_CHARS 64 /* of an option */
#define MAX_NAMES 64
#define MAX_ENTRIES 10000 /* of each section, files and built-in ones together */
#define ENVIRONMENT "SLUICE_"

struct reader {
	struct sys *sys;
	struct conf *c;
	const char *file;
	bool is_file; /* not the built-in text */
	struct err *err;
};

/* What a mapping is read into. */
struct target {
	const struct option *table;
	void *base;
	struct conf_origin *origins;
	char name[96]; /* in front of paths in messages: "" or "providers.x." */
};

static bool fail_at(struct reader *r, int line, int column, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static bool fail_at(struct reader *r, int line, int column, const char *format, ...)
{
	char text[sizeof(r->err->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return err_set(r->err, ERR_CONFIG, "%s:%d:%d: %s", r->file, line, column, text);
}

struct conf_origin *read_defaults(
	const struct option *table, struct arena *a, void *base, struct err *err)
{
	struct conf_origin *origins =
		arena_zalloc(a, sizeof(*origins) * (size_t)(option_count(table) + 1));

	if (origins == NULL) {
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	return option_defaults(table, a, base, err) ? origins : NULL;
}

/* ---- names ---- */

/* The part of `path` that would be a key below `prefix`, or an empty span. */
static struct span key_below(const char *path, struct span prefix)
{
	struct span rest = span_of(path);

	if (!span_starts(rest, prefix))
		return SPAN("");
	rest = span_skip(rest, prefix.n);
	return span_cut(&rest, '.');
}

struct names {
	char text[MAX_NAMES][MAX_PATH_CHARS];
	const char *list[MAX_NAMES + 1];
	int n;
};

static void add_name(struct names *names, struct span name)
{
	if (name.n == 0 || name.n >= MAX_PATH_CHARS || names->n == MAX_NAMES)
		return;
	for (int i = 0; i < names->n; i++)
		if (span_is(name, names->list[i]))
			return;
	memcpy(names->text[names->n], name.p, name.n);
	names->text[names->n][name.n] = '\0';
	names->list[names->n] = names->text[names->n];
	names->n++;
	names->list[names->n] = NULL;
}

/* A key of another section, as somebody who forgot the section would write it. */
static const char *elsewhere(const struct option *table, struct span key)
{
	for (const struct option *o = table; o->path != NULL; o++) {
		const char *dot = strrchr(o->path, '.');

		if (dot != NULL && span_is(key, dot + 1))
			return o->path;
	}
	return NULL;
}

static bool fail_unknown(
	struct reader *r, const struct target *t, struct span prefix, const struct yaml_node *m)
{
	struct names names = {0};
	struct buf known;
	const char *near;
	struct span key = span_head(m->key, 64);

	for (const struct option *o = t->table; o->path != NULL; o++)
		add_name(&names, key_below(o->path, prefix));
	if (t->table == general_options && prefix.n == 0) {
		add_name(&names, SPAN("providers"));
		add_name(&names, SPAN("models"));
		add_name(&names, SPAN("policies"));
	}
	if (t->table == policy_options && prefix.n == 0)
		add_name(&names, SPAN("models"));
	near = text_nearest(m->key, names.list);
	if (near == NULL)
		near = elsewhere(t->table, m->key);
	if (near != NULL)
		return fail_at(r, m->key_line, m->key_column,
			"unknown key \"%s%.*s%.*s\"; did you mean \"%s\"?", t->name,
			SPAN_ARG(prefix), SPAN_ARG(key), near);
	buf_init(&known, 512);
	for (int i = 0; i < names.n; i++)
		buf_printf(&known, "%s%s", i > 0 ? ", " : "", names.list[i]);
	fail_at(r, m->key_line, m->key_column, "unknown key \"%s%.*s%.*s\"; known here: %.*s",
		t->name, SPAN_ARG(prefix), SPAN_ARG(key), SPAN_ARG(buf_span(&known)));
	buf_done(&known);
	return false;
}

/* ---- values ---- */

static bool has_control(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

static bool check_characters(struct span s, struct err *err)
{
	if (has_control(s))
		return err_set(err, ERR_CONFIG, "has a line end or another control character");
	return text_is_utf8(s) || err_set(err, ERR_CONFIG, "is not UTF-8");
}

/* `why` behind the option's name and, where it is neither secret nor from outside, its value. */
static bool fail_value(struct reader *r, const struct target *t, const struct option *o,
	const struct yaml_node *n, bool show, const struct err *why)
{
	if (why->code == ERR_NO_MEMORY)
		return err_set(r->err, ERR_NO_MEMORY, NULL);
	if (show && !option_is_secret(o) && n->text.n > 0 && !has_control(n->text))
		return fail_at(r, n->line, n->column, "%s%s \"%.*s\" %s", t->name, o->path,
			SPAN_ARG(span_head(n->text, 80)), why->text);
	return fail_at(r, n->line, n->column, "%s%s %s", t->name, o->path, why->text);
}

static bool expand_value(struct reader *r, const struct target *t, const struct option *o,
	const struct yaml_node *n, struct expanded *out)
{
	struct err why = {0};

	if (n->kind != YAML_SCALAR)
		return fail_at(r, n->line, n->column, "%s%s: one value is expected, not a %s",
			t->name, o->path, n->kind == YAML_MAP ? "mapping" : "list");
	if (yaml_is_null(n))
		return fail_at(r, n->line, n->column, "%s%s has no value", t->name, o->path);
	if (!expand(r->sys, &r->c->arena, n->text, out, &why)) {
		if (why.code == ERR_NO_MEMORY)
			return err_set(r->err, ERR_NO_MEMORY, NULL);
		return fail_at(r, n->line, n->column, "%s%s: %s", t->name, o->path, why.text);
	}
	if (option_is_secret(o) && out->n > 0 && !out->whole)
		return fail_at(r, n->line, n->column,
			"%s%s: a variable must be the whole value of a secret", t->name, o->path);
	if (o->type != OPTION_ACCOUNT && !check_characters(out->text, &why))
		return fail_value(r, t, o, n, false, &why);
	return true;
}

static void set_origin(struct reader *r, const struct target *t, const struct option *o,
	const struct yaml_node *n, const char *source)
{
	t->origins[o - t->table] =
		(struct conf_origin){.kind = r->is_file ? ORIGIN_FILE : ORIGIN_BUILT_IN,
			.line = n->line,
			.file = r->file,
			.source = source};
}

/* What is no JSON is the path of a file that holds it. */
static bool read_account(struct reader *r, struct span *text, struct err *err)
{
	struct err why = {0};
	struct span given = span_trim(*text);
	struct buf b;
	char *path;
	bool ok = true;

	if (given.n == 0 || given.p[0] == '{')
		return true;
	if (!check_characters(given, err))
		return false;
	path = arena_cstr(&r->c->arena, given);
	if (path == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	buf_init(&b, EXPAND_MAX_BYTES);
	if (sys_read_file(r->sys, path, &b, &why))
		*text = arena_copy(&r->c->arena, buf_span(&b));
	else
		ok = err_set(err, why.code == ERR_NO_MEMORY ? why.code : ERR_CONFIG,
			"is neither JSON nor a file that can be read: %s", why.text);
	if (b.mem != NULL)
		explicit_bzero(b.mem, b.cap);
	buf_done(&b);
	return ok && (text->p != NULL || err_set(err, ERR_NO_MEMORY, NULL));
}

static bool read_value(
	struct reader *r, const struct target *t, const struct option *o, const struct yaml_node *n)
{
	struct expanded e;
	struct err why = {0};

	if (!expand_value(r, t, o, n, &e))
		return false;
	if (o->type == OPTION_BOOL && !n->plain && e.n == 0) {
		err_set(&why, ERR_CONFIG, "must be true or false without quotes");
		return fail_value(r, t, o, n, true, &why);
	}
	if (o->type == OPTION_ACCOUNT && !read_account(r, &e.text, &why))
		return fail_value(r, t, o, n, false, &why);
	if (!option_read(o, &r->c->arena, e.text, t->base, &why))
		return fail_value(r, t, o, n, e.n == 0, &why);
	set_origin(r, t, o, n, e.source);
	return true;
}

static bool read_list(
	struct reader *r, const struct target *t, const struct option *o, const struct yaml_node *n)
{
	struct buf all;
	struct err why = {0};
	bool ok = true;

	if (n->kind != YAML_LIST)
		return fail_at(r, n->line, n->column, "%s%s: a list is expected, such as [\"%s\"]",
			t->name, o->path,
			o->type == OPTION_NAMES   ? "eu-west-1"
			: o->type == OPTION_HOSTS ? "files.lan:8080"
						  : "https://app.example.org");
	buf_init(&all, EXPAND_MAX_BYTES);
	for (const struct yaml_node *m = n->first; ok && m != NULL; m = m->next) {
		struct expanded e;

		ok = expand_value(r, t, o, m, &e);
		if (ok && (e.text.n == 0 || span_find_char(e.text, ',') >= 0))
			ok = fail_at(r, m->line, m->column, "%s%s: one entry a line, not empty",
				t->name, o->path);
		/* Alone first, so that an error has its entry's place. */
		if (ok && !option_read(o, &r->c->arena, e.text, t->base, &why))
			ok = fail_value(r, t, o, m, false, &why);
		if (ok && all.n > 0)
			buf_append_char(&all, ',');
		if (ok)
			buf_append(&all, e.text);
	}
	if (ok && all.failed)
		ok = fail_at(r, n->line, n->column, "%s%s is too long", t->name, o->path);
	if (ok && !option_read(o, &r->c->arena, buf_span(&all), t->base, &why))
		ok = fail_value(r, t, o, n, false, &why);
	buf_done(&all);
	if (ok)
		set_origin(r, t, o, n, NULL);
	return ok;
}

static bool read_pairs(
	struct reader *r, const struct target *t, const struct option *o, const struct yaml_node *n)
{
	if (n->kind != YAML_MAP)
		return fail_at(r, n->line, n->column,
			"%s%s: a mapping is expected: lines of the form \"model: name\"", t->name,
			o->path);
	for (const struct yaml_node *m = n->first; m != NULL; m = m->next) {
		struct expanded e;
		struct err why = {0};

		if (!expand_value(r, t, o, m, &e))
			return false;
		if (!option_add_pair(o, &r->c->arena, m->key, e.text, t->base, &why))
			return fail_value(r, t, o, m, false, &why);
	}
	set_origin(r, t, o, n, NULL);
	return true;
}

static bool read_option(
	struct reader *r, const struct target *t, const struct option *o, const struct yaml_node *n)
{
	if (option_is_list(o))
		return read_list(r, t, o, n);
	return o->type == OPTION_PAIRS ? read_pairs(r, t, o, n) : read_value(r, t, o, n);
}

/* ---- mappings ---- */

static const struct option *find_option(const struct option *table, struct span path)
{
	for (const struct option *o = table; o->path != NULL; o++)
		if (span_is(path, o->path))
			return o;
	return NULL;
}

/* `path` ends with a dot. */
static bool is_section(const struct option *table, struct span path)
{
	for (const struct option *o = table; o->path != NULL; o++)
		if (span_starts(span_of(o->path), path))
			return true;
	return false;
}

/* A section whose entries have names; false: it is none. */
typedef bool (*read_section)(struct reader *r, const struct yaml_node *map);
static read_section section_of(struct span key);
static bool read_entries(struct reader *r, const struct yaml_node *m, read_section read);

static bool read_members(
	struct reader *r, const struct target *policy, const struct yaml_node *list);

static bool read_map(
	struct reader *r, const struct target *t, struct span prefix, const struct yaml_node *map)
{
	bool top = t->table == general_options && prefix.n == 0;

	for (const struct yaml_node *m = map->first; m != NULL; m = m->next) {
		char text[MAX_PATH_CHARS];
		int n = snprintf(
			text, sizeof(text) - 1, "%.*s%.*s", SPAN_ARG(prefix), SPAN_ARG(m->key));
		struct span path = {text, (size_t)n};
		const struct option *o;

		if (top && section_of(m->key) != NULL) {
			if (!read_entries(r, m, section_of(m->key)))
				return false;
			continue;
		}
		if (t->table == policy_options && prefix.n == 0 && span_is(m->key, "models")) {
			if (!read_members(r, t, m))
				return false;
			continue;
		}
		if (n < 0 || (size_t)n >= sizeof(text) - 1 || m->key.n == 0 ||
			span_find_char(m->key, '.') >= 0)
			return fail_unknown(r, t, prefix, m);
		o = find_option(t->table, path);
		if (o != NULL) {
			if (!read_option(r, t, o, m))
				return false;
			continue;
		}
		text[path.n++] = '.';
		if (!is_section(t->table, path))
			return fail_unknown(r, t, prefix, m);
		if (yaml_is_null(m))
			continue;
		if (m->kind != YAML_MAP)
			return fail_at(r, m->line, m->column,
				"%s%.*s: a mapping is expected: lines of the form \"name: value\"",
				t->name, (int)path.n - 1, path.p);
		if (!read_map(r, t, path, m))
			return false;
	}
	return true;
}

/* ---- entries ---- */

static bool read_provider(struct reader *r, const struct yaml_node *m, struct conf_provider *p)
{
	struct target t = {.table = provider_options, .base = p};

	if (span_is(m->key, "policy"))
		return fail_at(r, m->key_line, m->key_column,
			"no provider can be named \"policy\": policy/name is a policy");
	if (!option_name_is_valid(m->key))
		return fail_at(r, m->key_line, m->key_column,
			"provider name \"%.*s\": letters, digits, '.', '_' and '-' only, at most "
			"64",
			SPAN_ARG(span_head(m->key, 64)));
	snprintf(t.name, sizeof(t.name), "providers.%.*s.", SPAN_ARG(m->key));
	if (m->kind != YAML_MAP)
		return fail_at(r, m->line, m->column,
			"providers.%.*s: a mapping is expected, such as {type: openai, api_key: "
			"\"${KEY}\"}",
			SPAN_ARG(m->key));
	*p = (struct conf_provider){.line = m->key_line, .column = m->key_column};
	p->name = arena_cstr(&r->c->arena, m->key);
	p->origins = read_defaults(provider_options, &r->c->arena, p, r->err);
	if (p->name == NULL || p->origins == NULL)
		return err_set(r->err, ERR_NO_MEMORY, NULL);
	t.origins = p->origins;
	if (!read_map(r, &t, SPAN(""), m))
		return false;
	if (p->type == NULL)
		return fail_at(r, m->key_line, m->key_column, "providers.%s has no type", p->name);
	return true;
}

static bool read_model(struct reader *r, const struct yaml_node *m, struct conf_model *model)
{
	struct target t = {.table = model_options, .base = model};

	if (!option_model_id_is_valid(m->key))
		return fail_at(r, m->key_line, m->key_column,
			"model id \"%.*s\": provider/model is expected, without blanks",
			SPAN_ARG(span_head(m->key, 64)));
	snprintf(t.name, sizeof(t.name), "models.%.*s.", SPAN_ARG(span_head(m->key, 80)));
	if (m->kind != YAML_MAP && !yaml_is_null(m))
		return fail_at(r, m->line, m->column,
			"models.%.*s: a mapping is expected, such as {context_window: 131072}",
			SPAN_ARG(span_head(m->key, 80)));
	*model = (struct conf_model){.line = m->key_line, .column = m->key_column};
	model->id = arena_cstr(&r->c->arena, m->key);
	model->origins = read_defaults(model_options, &r->c->arena, model, r->err);
	if (model->id == NULL || model->origins == NULL)
		return err_set(r->err, ERR_NO_MEMORY, NULL);
	t.origins = model->origins;
	return read_map(r, &t, SPAN(""), m);
}

/* Room for n more. */
static void *grow(struct reader *r, const void *old, int n_old, int n, size_t size)
{
	void *p;

	if (n_old + n > MAX_ENTRIES) {
		err_set(r->err, ERR_CONFIG, "%s: too many entries in one section", r->file);
		return NULL;
	}
	p = arena_zalloc(&r->c->arena, size * (size_t)(n_old + n + 1));
	if (p == NULL)
		err_set(r->err, ERR_NO_MEMORY, NULL);
	else if (n_old > 0)
		memcpy(p, old, size * (size_t)n_old);
	return p;
}

static bool read_providers(struct reader *r, const struct yaml_node *map)
{
	struct conf *c = r->c;

	c->providers = grow(r, c->providers, c->n_providers, map->n, sizeof(*c->providers));
	if (c->providers == NULL)
		return false;
	for (const struct yaml_node *m = map->first; m != NULL; m = m->next) {
		int i = 0;

		while (i < c->n_providers && !span_is(m->key, c->providers[i].name))
			i++;
		if (!read_provider(r, m, &c->providers[i]))
			return false;
		c->n_providers += i == c->n_providers;
	}
	return true;
}

static bool read_models(struct reader *r, const struct yaml_node *map)
{
	struct conf *c = r->c;

	c->models = grow(r, c->models, c->n_models, map->n, sizeof(*c->models));
	if (c->models == NULL)
		return false;
	for (const struct yaml_node *m = map->first; m != NULL; m = m->next) {
		int i = 0;

		while (i < c->n_models && !span_is(m->key, c->models[i].id))
			i++;
		if (!read_model(r, m, &c->models[i]))
			return false;
		c->n_models += i == c->n_models;
	}
	return true;
}

/* ---- policies ---- */

/* A model's name alone, or a mapping with what else is to be said of it. */
static bool read_member(struct reader *r, const struct target *policy, const struct yaml_node *m,
	struct conf_member *member)
{
	struct target t = {.table = member_options, .base = member};

	snprintf(t.name, sizeof(t.name), "%.60smodels.", policy->name);
	*member = (struct conf_member){.line = m->line, .column = m->column};
	member->origins = read_defaults(member_options, &r->c->arena, member, r->err);
	if (member->origins == NULL)
		return false;
	t.origins = member->origins;
	if (m->kind == YAML_SCALAR)
		return read_option(r, &t, &member_options[0], m);
	if (m->kind != YAML_MAP)
		return fail_at(r, m->line, m->column,
			"%smodels: a model's name is expected, or {model: name, retries: 1}",
			policy->name);
	if (!read_map(r, &t, SPAN(""), m))
		return false;
	if (member->model == NULL)
		return fail_at(
			r, m->line, m->column, "%smodels: a member has no model", policy->name);
	return true;
}

static bool read_members(
	struct reader *r, const struct target *policy, const struct yaml_node *list)
{
	struct conf_policy *p = policy->base;

	if (list->kind != YAML_LIST)
		return fail_at(r, list->line, list->column,
			"%smodels: a list is expected, such as [openai/gpt-4o, "
			"anthropic/claude-sonnet-4-5]",
			policy->name);
	p->n_members = 0;
	p->members = grow(r, NULL, 0, list->n, sizeof(*p->members));
	if (p->members == NULL)
		return false;
	for (const struct yaml_node *m = list->first; m != NULL; m = m->next)
		if (!read_member(r, policy, m, &p->members[p->n_members++]))
			return false;
	return true;
}

static bool read_policy(struct reader *r, const struct yaml_node *m, struct conf_policy *p)
{
	struct target t = {.table = policy_options, .base = p};

	snprintf(t.name, sizeof(t.name), "policies.%.*s.", SPAN_ARG(span_head(m->key, 64)));
	if (m->kind != YAML_MAP)
		return fail_at(r, m->line, m->column,
			"policies.%.*s: a mapping is expected, such as {models: [openai/gpt-4o, "
			"anthropic/claude-sonnet-4-5]}",
			SPAN_ARG(span_head(m->key, 64)));
	*p = (struct conf_policy){.line = m->key_line, .column = m->key_column};
	p->name = arena_cstr(&r->c->arena, m->key);
	p->origins = read_defaults(policy_options, &r->c->arena, p, r->err);
	if (p->name == NULL || p->origins == NULL)
		return err_set(r->err, ERR_NO_MEMORY, NULL);
	t.origins = p->origins;
	return read_map(r, &t, SPAN(""), m);
}

static bool read_policies(struct reader *r, const struct yaml_node *map)
{
	struct conf *c = r->c;

	c->policies = grow(r, c->policies, c->n_policies, map->n, sizeof(*c->policies));
	if (c->policies == NULL)
		return false;
	for (const struct yaml_node *m = map->first; m != NULL; m = m->next) {
		int i = 0;

		while (i < c->n_policies && !span_is(m->key, c->policies[i].name))
			i++;
		if (!read_policy(r, m, &c->policies[i]))
			return false;
		c->n_policies += i == c->n_policies;
	}
	return true;
}

static read_section section_of(struct span key)
{
	if (span_is(key, "providers"))
		return read_providers;
	if (span_is(key, "models"))
		return read_models;
	return span_is(key, "policies") ? read_policies : NULL;
}

static bool read_entries(struct reader *r, const struct yaml_node *m, read_section read)
{
	if (yaml_is_null(m))
		return true;
	if (m->kind != YAML_MAP)
		return fail_at(r, m->line, m->column,
			"%.*s: a mapping is expected: lines of the form \"name: {...}\"",
			SPAN_ARG(m->key));
	return read(r, m);
}

bool read_tree(
	struct sys *sys, struct conf *c, const char *file, struct yaml_node *tree, struct err *err)
{
	struct reader r = {.sys = sys,
		.c = c,
		.file = file != NULL ? file : "(built in)",
		.is_file = file != NULL,
		.err = err};
	struct target t = {.table = general_options, .base = c, .origins = c->origins};

	return read_map(&r, &t, SPAN(""), tree);
}

/* ---- environment ---- */

void read_environment_name(const struct option *o, char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, ENVIRONMENT "%s", o->path);

	for (size_t i = 0; i < n && i + 1 < size; i++) {
		if (out[i] == '.')
			out[i] = '_';
		else if (out[i] >= 'a' && out[i] <= 'z')
			out[i] = (char)(out[i] - 'a' + 'A');
	}
}

bool read_environment(struct conf *c, const char *path, struct err *err)
{
	for (const struct option *o = general_options; o->path != NULL; o++) {
		char name[MAX_PATH_CHARS];
		const char *value;
		struct err why = {0};
		struct conf_origin *origin = &c->origins[o - general_options];

		read_environment_name(o, name, sizeof(name));
		value = getenv(name);
		if (value == NULL || value[0] == '\0' ||
			(path != NULL && strcmp(path, o->path) != 0))
			continue;
		if (!check_characters(span_of(value), &why) ||
			!option_read(o, &c->arena, span_of(value), c, &why))
			return err_set(err, why.code, "environment: %s %s", name, why.text);
		*origin = (struct conf_origin){.kind = ORIGIN_ENVIRONMENT};
		origin->source = arena_cstr(&c->arena, span_of(name));
	}
	return true;
}
