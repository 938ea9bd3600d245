/* SPDX-License-Identifier: Apache-2.0 */
#include "control/cli/models.h"
#include <stdio.h>
#include <unistd.h>
#include "control/cli/table.h"
#include "control/conf/conf.h"
#include "machine/base/json_put.h"
#include "meaning/provider/model_name.h"
#include "meaning/provider/provider.h"
#include "state/ledger/imported.h"

#define MAX_OUTPUT_BYTES (64u << 20)
#define MAX_ABILITIES_BYTES 256

bool models_open(struct models *m, const char *data_dir, struct err *err)
{
	*m = (struct models){.imported = imported_read(&sys_real, data_dir, err)};
	if (m->imported == NULL)
		return false;
	m->all = catalog_new();
	if (m->all == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	return catalog_read(m->all, catalog_embedded, err) &&
	       catalog_merge(m->all, m->imported, err);
}

void models_done(struct models *m)
{
	catalog_free(m->imported);
	catalog_free(m->all);
	*m = (struct models){0};
}

bool call_wants_aligned(const struct call *c)
{
	return c->output == OUTPUT_TABLE || (c->output == OUTPUT_AUTO && isatty(STDOUT_FILENO));
}

/* ---- the configuration's part ---- */

static const struct conf_provider *find_provider(const struct conf *conf, struct span name)
{
	for (int i = 0; i < conf->n_providers; i++)
		if (span_is(name, conf->providers[i].name))
			return &conf->providers[i];
	return NULL;
}

/* As the server does it: a model that it would refuse is an error here too. */
static bool override(
	struct models *m, const struct conf *conf, const struct conf_model *from, struct err *err)
{
	struct llm_override o = {.id = span_of(from->id),
		.context_window = from->context_window,
		.max_output = from->max_output,
		.input = from->input_price,
		.output = from->output_price,
		.cache_read = from->cached_price,
		.cache_write = from->caching_price,
		.characters = from->character_price,
		.sound_hour = from->sound_price,
		.picture = from->picture_price};
	const struct provider_type *type = NULL;
	const struct conf_provider *p;
	struct model_name name;
	struct err why = {0};
	char like[512];

	if (!model_name_read(o.id, &name, &why))
		return err_set(err, ERR_CONFIG, "%s:%d:%d: \"%s\" is not provider/model",
			conf->file, from->line, from->column, from->id);
	p = find_provider(conf, name.provider);
	if (p != NULL)
		type = provider_type_find(span_of(p->type));
	if (type != NULL && type->catalog_prefix != NULL &&
		snprintf(like, sizeof(like), "%s%.*s", type->catalog_prefix, SPAN_ARG(name.full)) <
			(int)sizeof(like))
		o.like = span_of(like);
	return catalog_override(m->all, &o, &why) ||
	       err_set(err, ERR_CONFIG, "%s:%d:%d: %s of model \"%s\": %s", conf->file, from->line,
		       from->column, why.param, from->id, why.text);
}

static bool override_all(struct models *m, const struct conf *conf, struct err *err)
{
	for (int i = 0; i < conf->n_models; i++)
		if (!override(m, conf, &conf->models[i], err))
			return false;
	return true;
}

/* ---- the list ---- */

static const char *source_of(const struct models *m, const struct conf *conf, struct span id)
{
	for (int i = 0; conf != NULL && i < conf->n_models; i++)
		if (span_is(id, conf->models[i].id))
			return "configuration";
	return catalog_find_exact(m->imported, id) != NULL ? "imported" : "built in";
}

static bool is_wanted(const struct call *c, const struct llm_model *m)
{
	const char *given = call_flag(c, "provider");
	struct span name = span_of(given);

	return given == NULL ||
	       (span_starts(m->id, name) && m->id.n > name.n && m->id.p[name.n] == '/');
}

static void cell_number(struct table *t, int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)n);
	table_cell(t, n > 0 ? span_of(text) : SPAN("-"));
}

static void cell_price(struct table *t, int64_t price)
{
	char text[32];

	table_cell(t, price == LLM_PRICE_UNKNOWN ? SPAN("-") : price_write(price, text));
}

static void cell_abilities(struct table *t, unsigned can)
{
	struct buf names;

	buf_init(&names, MAX_ABILITIES_BYTES);
	for (int i = 0; llm_capability_name(i) != NULL; i++)
		if (can & (1u << i))
			buf_printf(&names, "%s%s", names.n > 0 ? "," : "", llm_capability_name(i));
	table_cell(t, names.n > 0 ? buf_span(&names) : SPAN("-"));
	buf_done(&names);
}

static void write_rows(
	const struct call *c, const struct models *m, const struct conf *conf, struct buf *out)
{
	static const char *const columns[] = {"MODEL", "WINDOW", "MAX OUTPUT", "INPUT $",
		"OUTPUT $", "CACHED $", "CAN", "SOURCE", NULL};
	struct table t;

	table_init(&t, columns);
	for (int i = 0; i < catalog_count(m->all); i++) {
		const struct llm_model *model = catalog_at(m->all, i);

		if (!is_wanted(c, model))
			continue;
		table_cell(&t, model->id);
		cell_number(&t, model->context_window);
		cell_number(&t, model->max_output);
		cell_price(&t, model->price[0].input);
		cell_price(&t, model->price[0].output);
		cell_price(&t, model->price[0].cache_read);
		cell_abilities(&t, model->can);
		table_cell(&t, span_of(source_of(m, conf, model->id)));
	}
	if (!table_write(&t, call_wants_aligned(c), out))
		out->failed = true;
	table_done(&t);
}

static void write_json(
	const struct call *c, const struct models *m, const struct conf *conf, struct buf *out)
{
	buf_append_cstr(out, "{\"data\":[");
	for (int i = 0; i < catalog_count(m->all); i++) {
		const struct llm_model *model = catalog_at(m->all, i);

		if (!is_wanted(c, model))
			continue;
		catalog_write_model(model, out);
		/* One more member, into the object that has just been closed. */
		if (out->failed)
			return;
		out->n--;
		json_put_cstr(out, "source", source_of(m, conf, model->id));
		buf_append_char(out, '}');
	}
	buf_append_cstr(out, "],\"next\":null}\n");
}

static int put_list(const struct call *c, const struct models *m, const struct conf *conf)
{
	struct err err = {0};
	struct buf out;
	int code;

	buf_init(&out, MAX_OUTPUT_BYTES);
	if (c->output == OUTPUT_JSON)
		write_json(c, m, conf, &out);
	else
		write_rows(c, m, conf, &out);
	if (out.failed) {
		err_set(&err, ERR_NO_MEMORY, NULL);
		code = call_fail(c, "the models cannot be shown", &err, NULL);
	} else {
		code = call_put(c, buf_span(&out));
	}
	buf_done(&out);
	return code;
}

int run_models_list(struct call *c)
{
	struct models m = {0};
	struct conf *conf = NULL;
	struct err err = {0}, none = {0};
	const char *file = call_config(c, &none);
	char dir[4096];
	bool named, ok;
	int code;

	ok = call_data_dir(c, dir, sizeof(dir), &named, &err) && models_open(&m, dir, &err);
	if (ok && file != NULL) {
		conf = conf_read_file(&sys_real, file, &err);
		ok = conf != NULL && override_all(&m, conf, &err);
	}
	code = ok ? put_list(c, &m, conf) : call_fail(c, "the models cannot be shown", &err, NULL);
	conf_free(conf);
	models_done(&m);
	return code;
}
