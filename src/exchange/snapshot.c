/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/snapshot.h"
#include <stdio.h>
#include <stdlib.h>
#include "exchange/policies.h"
#include "machine/base/json_put.h"
#include "machine/base/text.h"
#include "state/ledger/imported.h"

#define SNAPSHOT_ARENA_BYTES (64u << 20)
#define MODEL_LIST_BYTES (64u << 20)

static bool config_error(const struct conf *c, int line, int column, struct err *err,
	const char *what, const char *name, const char *hint)
{
	return err_set(err, ERR_CONFIG, "%s:%d:%d: %s \"%s\"%s%s%s",
		c->file != NULL ? c->file : "configuration", line, column, what, name,
		hint != NULL ? "; did you mean \"" : "", hint != NULL ? hint : "",
		hint != NULL ? "\"?" : "");
}

static int or_else(int own, int general)
{
	return own > 0 ? own : general;
}

/* The context of the system's store is made for the first provider that needs one, then shared. */
static struct tls_context *context_for(const struct conf_provider *from, struct span url,
	struct tls_context **system_tls, struct err *err)
{
	if (from->ca_file != NULL)
		return tls_context_client(from->ca_file, err);
	if (!span_starts_nocase(url, SPAN("https:")))
		return NULL;
	if (*system_tls == NULL)
		*system_tls = tls_context_client(NULL, err);
	return *system_tls != NULL ? tls_context_ref(*system_tls) : NULL;
}

static bool provider_error(const struct snapshot *s, const struct conf_provider *from,
	const struct err *why, struct err *err)
{
	return err_set(err, ERR_CONFIG, "%s:%d:%d: provider \"%s\": %s",
		s->conf->file != NULL ? s->conf->file : "configuration", from->line, from->column,
		from->name, why->text);
}

static bool compile_place(struct snapshot *s, const struct conf_provider *from,
	const struct provider_setup *setup, struct span region, struct provider_place *place,
	struct tls_context **system_tls, struct err *err)
{
	struct err why = {0};
	struct span url = provider_base_url(setup, region, &s->arena, &why);
	struct tls_context *tls = NULL;
	const char *path;

	if (why.code == ERR_OK)
		tls = context_for(from, url, system_tls, &why);
	if (why.code == ERR_OK)
		place->origin = http_origin_new(url.p, tls, &path, &why);
	tls_context_unref(tls);
	if (place->origin == NULL)
		return provider_error(s, from, &why, err);
	place->region = region;
	place->base_path = arena_copy(&s->arena, span_of(path));
	return true;
}

static bool read_aliases(
	struct snapshot *s, const struct conf_provider *from, struct provider_setup *setup)
{
	const struct conf_pair *pairs = from->deployments;
	struct provider_alias *all;
	int n = 0;

	while (pairs != NULL && pairs[n].name != NULL)
		n++;
	if (n == 0)
		return true;
	all = arena_alloc(&s->arena, sizeof(*all) * (size_t)n);
	for (int i = 0; all != NULL && i < n; i++)
		all[i] = (struct provider_alias){span_of(pairs[i].name), span_of(pairs[i].value)};
	setup->deployments = all;
	setup->n_deployments = n;
	return all != NULL;
}

static bool read_setup(struct snapshot *s, const struct conf_provider *from,
	struct provider_setup *setup, struct err *err)
{
	const struct provider_type *type = provider_type_find(span_of(from->type));

	if (type == NULL)
		return config_error(s->conf, from->line, from->column, err, "unknown provider type",
			from->type, text_nearest(span_of(from->type), provider_type_names));
	*setup = (struct provider_setup){.type = type,
		.base_url = span_of(from->base_url),
		.api_key = span_of(from->api_key),
		.access_key_id = span_of(from->access_key_id),
		.secret_access_key = span_of(from->secret_access_key),
		.session_token = span_of(from->session_token),
		.region = span_of(from->region),
		.project = span_of(from->project),
		.location = span_of(from->location),
		.resource = span_of(from->resource),
		.api_version = span_of(from->api_version),
		.by_deployment = from->address != NULL && strcmp(from->address, "deployment") == 0,
		.has_service_account = from->service_account != NULL};
	return read_aliases(s, from, setup) || err_set(err, ERR_NO_MEMORY, NULL);
}

static bool compile_places(struct snapshot *s, const struct conf_provider *from, struct provider *p,
	struct tls_context **tls, struct err *err)
{
	const char **regions = from->regions;
	struct err why = {0};
	int n = 0;

	while (regions[n] != NULL)
		n++;
	if (n > 0 && !p->setup.type->regional) {
		err_set(&why, ERR_CONFIG, "regions means nothing to providers of type %s",
			p->setup.type->name);
		return provider_error(s, from, &why, err);
	}
	p->places = arena_zalloc(&s->arena, sizeof(*p->places) * (size_t)(n + 1));
	if (p->places == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	for (; p->n_places < n + 1; p->n_places++) {
		struct span region = span_of(p->n_places > 0 ? regions[p->n_places - 1] : NULL);

		if (!compile_place(s, from, &p->setup, region, &p->places[p->n_places], tls, err))
			return false;
	}
	return true;
}

/* The account may know the project, so that what is missing is looked for behind it. */
static bool compile_login(struct snapshot *s, const struct conf_provider *from, struct provider *p,
	struct tls_context **system_tls, struct err *err)
{
	struct tls_context *tls = NULL;
	struct err why = {0};

	if (from->service_account != NULL)
		p->login = login_new(span_of(from->service_account), &why);
	if (p->login != NULL && p->setup.project.n == 0)
		p->setup.project = p->login->account.project_id;
	if (why.code != ERR_OK || !provider_check(&p->setup, &why))
		return provider_error(s, from, &why, err);
	if (p->login == NULL)
		return true;
	tls = context_for(from, p->login->account.token_uri, system_tls, &why);
	if (why.code == ERR_OK)
		login_set_tls(p->login, tls, &why);
	tls_context_unref(tls);
	return why.code == ERR_OK || provider_error(s, from, &why, err);
}

static enum provider_unknown read_unknown(const char *word)
{
	if (word != NULL && strcmp(word, "none") == 0)
		return UNKNOWN_NONE;
	return word != NULL && strcmp(word, "hold") == 0 ? UNKNOWN_HOLD : UNKNOWN_INPUT;
}

static bool compile_provider(struct snapshot *s, const struct conf_provider *from,
	const struct provider_setup *setup, struct tls_context **tls, struct err *err)
{
	const struct conf *c = s->conf;
	struct provider *p = &s->providers[s->n_providers];

	p->setup = *setup;
	p->name = span_of(from->name);
	p->plain_head_ms = or_else(from->head_ms, c->plain_header_ms);
	p->first_event_ms = or_else(from->first_event_ms, c->first_event_ms);
	p->timeouts = (struct http_timeouts){.connect_ms = or_else(from->connect_ms, c->connect_ms),
		.head_ms = or_else(from->head_ms, c->header_ms),
		.idle_ms = or_else(from->idle_ms, c->stream_idle_ms),
		.total_ms = or_else(from->total_ms, c->total_ms)};
	p->bills_on_abort = strcmp(from->bills_on_abort, "true") == 0;
	p->unknown_outcome = read_unknown(from->unknown_outcome);
	s->n_providers++;
	return compile_login(s, from, p, tls, err) && compile_places(s, from, p, tls, err);
}

static void say_off(const struct conf_provider *from, struct log *log)
{
	struct log_field f = LOG_FIELD_TEXT("provider", span_of(from->name));

	log_write(log, from->enabled ? LOG_WARN : LOG_INFO, "provider_off",
		from->enabled ? "its api_key is empty" : "enabled: false", &f, 1);
}

static bool compile_providers(struct snapshot *s, struct log *log, struct err *err)
{
	const struct conf *c = s->conf;
	struct tls_context *tls = NULL;
	bool ok = true;

	s->providers =
		arena_zalloc(&s->arena, sizeof(*s->providers) * (size_t)(c->n_providers + 1));
	if (s->providers == NULL)
		ok = err_set(err, ERR_NO_MEMORY, NULL);
	for (int i = 0; ok && i < c->n_providers; i++) {
		const struct conf_provider *from = &c->providers[i];
		struct provider_setup setup;
		bool on = from->enabled;

		ok = !on || read_setup(s, from, &setup, err);
		on = on && ok && !provider_lacks_key(&setup);
		if (on)
			ok = compile_provider(s, from, &setup, &tls, err);
		else if (ok)
			say_off(from, log);
	}
	tls_context_unref(tls);
	return ok;
}

/* ---- models ---- */

/* What `sluice models import` wrote; mostly there is nothing. */
static bool read_imported(struct snapshot *s, struct sys *sys, struct err *err)
{
	struct catalog *imported = imported_read(sys, s->conf->data_dir, err);
	bool ok = imported != NULL && catalog_merge(s->catalog, imported, err);

	catalog_free(imported);
	return ok;
}

/* An override takes what it names and leaves the catalogue's rest. */
static bool override_model(struct snapshot *s, const struct conf_model *from, struct err *err)
{
	const struct conf *c = s->conf;
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
	const struct provider *p;
	struct model_name name;
	struct err why = {0};

	if (!model_name_read(o.id, &name, &why))
		return config_error(c, from->line, from->column, err,
			"a model is named provider/model, not", from->id, NULL);
	p = snapshot_provider(s, name.provider);
	if (p != NULL && p->setup.type->catalog_prefix != NULL)
		o.like = arena_printf(
			&s->arena, "%s%.*s", p->setup.type->catalog_prefix, SPAN_ARG(name.full));
	if (catalog_override(s->catalog, &o, &why))
		return true;
	if (why.code == ERR_NO_MEMORY)
		return err_set(err, ERR_NO_MEMORY, NULL);
	return err_set(err, ERR_CONFIG, "%s:%d:%d: %s of model \"%s\": %s",
		c->file != NULL ? c->file : "configuration", from->line, from->column, why.param,
		from->id, why.text);
}

const struct provider *snapshot_provider(const struct snapshot *s, struct span name)
{
	for (int i = 0; i < s->n_providers; i++)
		if (span_eq(s->providers[i].name, name))
			return &s->providers[i];
	return NULL;
}

const struct provider_place *snapshot_place(const struct provider *p, struct span region)
{
	if (region.n == 0 || span_eq(region, p->setup.region) || span_eq(region, p->setup.location))
		return &p->places[0];
	for (int i = 1; i < p->n_places; i++)
		if (span_eq(region, p->places[i].region))
			return &p->places[i];
	return NULL;
}

static int by_id(const void *a, const void *b)
{
	struct span x = ((const struct model_entry *)a)->id,
		    y = ((const struct model_entry *)b)->id;
	int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);

	return order != 0 ? order : (x.n > y.n) - (x.n < y.n);
}

const struct model_entry *snapshot_entry(const struct snapshot *s, struct span id)
{
	struct model_entry key = {.id = id};

	if (s->n_models == 0)
		return NULL;
	return bsearch(&key, s->models, (size_t)s->n_models, sizeof(key), by_id);
}

const struct llm_model *snapshot_model(const struct snapshot *s, struct span id)
{
	const struct model_entry *entry = snapshot_entry(s, id);
	ptrdiff_t region = span_find_last_char(id, '@');

	if (entry == NULL && region > 0)
		entry = snapshot_entry(s, span_head(id, (size_t)region));
	return entry != NULL ? entry->model : NULL;
}

/* ---- the list ---- */

/* USD a token, as a JSON number: nano-USD a million has 15 decimals. */
static struct span price_digits(int64_t nusd_per_million, char digits[32])
{
	int n = snprintf(digits, 32, "%lld.%015lld",
		(long long)(nusd_per_million / 1000000000000000),
		(long long)(nusd_per_million % 1000000000000000));

	while (n > 1 && digits[n - 1] == '0' && digits[n - 2] != '.')
		n--;
	return (struct span){digits, (size_t)n};
}

static void write_price(struct buf *b, const char *name, int64_t nusd_per_million)
{
	char digits[32];

	buf_printf(b, ",\"%s\":", name);
	if (nusd_per_million < 0) {
		buf_append_cstr(b, "null");
		return;
	}
	buf_append(b, price_digits(nusd_per_million, digits));
}

/* As OpenRouter has it, which some clients look for: decimal text, what is not known left out. */
static void write_pricing(struct buf *b, const struct llm_price *price)
{
	char prompt[32], completion[32];

	if (price->input < 0 || price->output < 0)
		return;
	buf_append_cstr(b, ",\"pricing\":{\"prompt\":\"");
	buf_append(b, price_digits(price->input, prompt));
	buf_append_cstr(b, "\",\"completion\":\"");
	buf_append(b, price_digits(price->output, completion));
	buf_append_cstr(b, "\"}");
}

static void write_flag(struct buf *b, const char *name, bool set)
{
	buf_printf(b, ",\"%s\":%s", name, set ? "true" : "false");
}

/* One object for every reader: OpenAI's, Anthropic's and Requesty's members together. */
static void write_object(
	struct buf *b, const struct llm_model *m, struct span id, const struct provider *p)
{
	const struct llm_price *price = &m->price[0];
	struct span shown = m->name.n > 0 ? m->name : id;
	char created_at[32];

	text_rfc3339(created_at, m->created * 1000);
	buf_append_cstr(b, "{\"id\":");
	text_json_string(b, id);
	buf_append_cstr(b, ",\"object\":\"model\",\"type\":\"model\",\"name\":");
	text_json_string(b, shown);
	buf_append_cstr(b, ",\"display_name\":");
	text_json_string(b, shown);
	buf_printf(b,
		",\"created\":%lld,\"created_at\":\"%s\",\"owned_by\":", (long long)m->created,
		created_at);
	text_json_string(b, p->name);
	buf_append_cstr(b, ",\"api\":");
	text_json_string(b, m->api);
	buf_append_cstr(b, ",\"description\":");
	text_json_string(b, m->description);
	buf_printf(b, ",\"context_window\":%lld,\"context_length\":%lld,\"max_output_tokens\":%lld",
		(long long)m->context_window, (long long)m->context_window,
		(long long)m->max_output);
	write_price(b, "input_price", price->input);
	write_price(b, "output_price", price->output);
	write_price(b, "cached_price", price->cache_read);
	write_price(b, "caching_price", price->cache_write_5m);
	write_pricing(b, price);
	write_flag(b, "supports_caching", m->can & LLM_CAN_CACHE);
	write_flag(b, "supports_vision", m->can & LLM_CAN_SEE);
	write_flag(b, "supports_tool_calling", m->can & LLM_CAN_CALL_TOOLS);
	write_flag(b, "supports_reasoning", m->can & LLM_CAN_REASON);
	write_flag(b, "supports_computer_use", m->can & LLM_CAN_USE_COMPUTER);
	write_flag(b, "supports_web_search", m->can & LLM_CAN_SEARCH);
	write_flag(b, "supports_image_generation", m->can & LLM_CAN_MAKE_IMAGES);
	write_flag(b, "supports_output_json_object", m->can & LLM_CAN_JSON_OBJECT);
	write_flag(b, "supports_output_json_schema", m->can & LLM_CAN_JSON_SCHEMA);
	write_flag(b, "supports_role_developer", m->can & LLM_CAN_ROLE_DEVELOPER);
	write_flag(b, "data_retention", m->data_retention);
	buf_append_cstr(b, ",\"geolocation\":");
	text_json_string(b, m->geolocation);
	/* Anthropic's format wants it since 2026-10-21. Of what can be asked nothing is retired. */
	buf_append_cstr(b, ",\"lifecycle\":\"active\"}");
}

/* The id under which a provider offers a catalogue entry, or {NULL, 0}. */
static struct span offered_as(
	struct snapshot *s, const struct provider *p, const struct llm_model *m)
{
	struct span own = arena_printf(&s->arena, "%.*s/", SPAN_ARG(p->name));
	struct span prefix = p->setup.type->catalog_prefix != NULL
				     ? span_of(p->setup.type->catalog_prefix)
				     : own;

	if (own.n > 0 && span_starts(m->id, own))
		return m->id;
	if (!span_starts(m->id, prefix))
		return (struct span){NULL, 0};
	return arena_printf(
		&s->arena, "%.*s%.*s", SPAN_ARG(own), SPAN_ARG(span_skip(m->id, prefix.n)));
}

struct listed {
	struct model_entry entry; /* object: offsets until all are written */
	const struct llm_model *model;
	const struct provider *provider;
};

static int by_listed_id(const void *a, const void *b)
{
	return by_id(&((const struct listed *)a)->entry, &((const struct listed *)b)->entry);
}

static int collect(struct snapshot *s, struct listed *all)
{
	int n = 0, kept = 0;

	for (int i = 0; i < s->n_providers; i++) {
		for (int j = 0; j < catalog_count(s->catalog); j++) {
			const struct llm_model *m = catalog_at(s->catalog, j);
			struct span id = offered_as(s, &s->providers[i], m);

			if (id.p != NULL)
				all[n++] = (struct listed){{.id = id}, m, &s->providers[i]};
		}
	}
	if (n > 0)
		qsort(all, (size_t)n, sizeof(*all), by_listed_id);
	/* An override under the configured name stands beside the type's entry: it wins. */
	for (int i = 0; i < n; i++) {
		if (kept > 0 && span_eq(all[kept - 1].entry.id, all[i].entry.id)) {
			if (span_eq(all[i].model->id, all[i].entry.id))
				all[kept - 1] = all[i];
			continue;
		}
		all[kept++] = all[i];
	}
	return kept;
}

static uint64_t fnv1a(struct span s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3u;
	return h;
}

static void put_id(struct buf *b, const char *key, const struct model_entry *e)
{
	if (e != NULL)
		json_put_str(b, key, e->id);
	else
		json_put_null(b, key);
}

void snapshot_end_list(
	struct buf *b, const struct model_entry *first, const struct model_entry *last)
{
	buf_append_char(b, ']');
	json_put_bool(b, "has_more", false);
	put_id(b, "first_id", first);
	put_id(b, "last_id", last);
	buf_append_char(b, '}');
}

static void write_list(struct snapshot *s, const struct listed *all)
{
	struct buf *b = &s->model_list;

	buf_append_cstr(b, "{\"object\":\"list\",\"data\":[");
	for (int i = 0; i < s->n_models; i++) {
		size_t from;

		if (i > 0)
			buf_append_char(b, ',');
		from = b->n;
		write_object(b, all[i].model, all[i].entry.id, all[i].provider);
		s->models[i] = (struct model_entry){.id = all[i].entry.id,
			.object = {(const char *)from, b->n - from},
			.model = all[i].model};
	}
	snapshot_end_list(b, s->n_models > 0 ? &s->models[0] : NULL,
		s->n_models > 0 ? &s->models[s->n_models - 1] : NULL);
}

/* The models collected so far, in order. */
struct collected {
	const struct listed *all;
	int n;
};

static const struct llm_model *find_collected(void *user, struct span id)
{
	const struct collected *c = user;
	struct listed key = {.entry = {.id = id}};
	const struct listed *found =
		c->n > 0 ? bsearch(&key, c->all, (size_t)c->n, sizeof(key), by_listed_id) : NULL;

	return found != NULL ? found->model : NULL;
}

/* Policies stand in the list as models do. */
static bool add_policies(struct snapshot *s, struct listed *all)
{
	static const struct provider owner = {.name = {"policy", 6}};
	struct collected models = {all, s->n_models};

	for (int i = 0; i < s->n_policies; i++) {
		const struct llm_model *m =
			policies_describe(s, &s->policies[i], find_collected, &models);

		if (m == NULL)
			return false;
		all[s->n_models++] = (struct listed){{.id = m->id}, m, &owner};
	}
	qsort(all, (size_t)s->n_models, sizeof(*all), by_listed_id);
	return true;
}

static bool list_models(struct snapshot *s, struct err *err)
{
	size_t max = (size_t)catalog_count(s->catalog) *
		     (size_t)(s->n_providers > 0 ? s->n_providers : 1);
	struct listed *all = calloc(max + (size_t)s->n_policies + 1, sizeof(*all));

	if (all == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	s->n_models = collect(s, all);
	if (!add_policies(s, all)) {
		free(all);
		return err_set(err, ERR_NO_MEMORY, NULL);
	}
	s->models = arena_zalloc(&s->arena, sizeof(*s->models) * (size_t)(s->n_models + 1));
	if (s->models != NULL)
		write_list(s, all);
	free(all);
	if (s->models == NULL || s->arena.failed || s->model_list.failed)
		return err_set(err, ERR_NO_MEMORY, NULL);
	/* The list does not move any more: offsets become pointers. */
	for (int i = 0; i < s->n_models; i++)
		s->models[i].object.p = buf_span(&s->model_list).p + (size_t)s->models[i].object.p;
	snprintf(s->etag, sizeof(s->etag), "\"%016llx\"",
		(unsigned long long)fnv1a(buf_span(&s->model_list)));
	return true;
}

struct snapshot *snapshot_new(struct sys *sys, struct conf *conf, struct log *log, struct err *err)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	bool ok;

	if (s == NULL) {
		conf_free(conf);
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	s->refs = 1;
	s->conf = conf;
	arena_init(&s->arena, SNAPSHOT_ARENA_BYTES);
	buf_init(&s->model_list, MODEL_LIST_BYTES);
	s->catalog = catalog_new();
	ok = s->catalog != NULL ? catalog_read(s->catalog, catalog_embedded, err)
				: err_set(err, ERR_NO_MEMORY, NULL);
	ok = ok && read_imported(s, sys, err) && compile_providers(s, log, err);
	for (int i = 0; ok && i < conf->n_models; i++)
		ok = override_model(s, &conf->models[i], err);
	ok = ok && policies_compile(s, err) && list_models(s, err);
	if (ok)
		return s;
	snapshot_unref(s);
	return NULL;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
	__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

static void done_provider(struct provider *p)
{
	login_unref(p->login);
	for (int i = 0; i < p->n_places; i++)
		http_origin_unref(p->places[i].origin);
}

void snapshot_unref(struct snapshot *s)
{
	if (s == NULL || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (int i = 0; i < s->n_providers; i++)
		done_provider(&s->providers[i]);
	catalog_free(s->catalog);
	buf_done(&s->model_list);
	conf_free(s->conf);
	arena_done(&s->arena);
	free(s);
}
