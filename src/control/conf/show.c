/* SPDX-License-Identifier: Apache-2.0 */
#include "control/conf/conf.h"
#include "control/conf/read.h"
#include "machine/base/text.h"

/* ---- config show ---- */

static void write_source(const struct conf_origin *from, struct buf *out)
{
	switch (from->kind) {
	case ORIGIN_DEFAULT:
		buf_append_cstr(out, "  # default");
		break;
	case ORIGIN_BUILT_IN:
		buf_append_cstr(out, "  # built in");
		break;
	case ORIGIN_ENVIRONMENT:
		buf_append_cstr(out, "  # environment");
		break;
	case ORIGIN_FILE:
		buf_append_cstr(out, "  # ");
		for (const char *p = from->file; *p != '\0'; p++)
			buf_append_char(out, (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p);
		buf_printf(out, ":%d", from->line);
		break;
	}
	if (from->source != NULL)
		buf_printf(out, " %s", from->source);
}

static void indent(struct buf *out, int n)
{
	for (int i = 0; i < n; i++)
		buf_append_cstr(out, "  ");
}

/* Writes "name:" of the section when `path` is in another one than the row before. */
static void enter_section(const char *path, struct span *section, int depth, struct buf *out)
{
	struct span rest = span_of(path), first = span_cut(&rest, '.');

	if (rest.p == NULL) {
		*section = SPAN("");
		return;
	}
	if (span_eq(first, *section))
		return;
	*section = first;
	indent(out, depth);
	buf_append(out, first);
	buf_append_cstr(out, ":\n");
}

static const char *last_part(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot != NULL ? dot + 1 : path;
}

/* Returns how many were written. */
static int show_table(const struct option *table, const void *base, const struct conf_origin *from,
	bool sources, int depth, struct buf *out)
{
	struct span section = SPAN("");
	int n = 0;

	for (const struct option *o = table; o->path != NULL; o++) {
		if (!option_is_set(o, base))
			continue;
		enter_section(o->path, &section, depth, out);
		indent(out, depth + (section.n > 0));
		buf_printf(out, "%s: ", last_part(o->path));
		option_write(o, base, out);
		if (sources)
			write_source(&from[o - table], out);
		buf_append_char(out, '\n');
		n++;
	}
	return n;
}

static bool shows_any(const struct option *table, const void *base)
{
	for (const struct option *o = table; o->path != NULL; o++)
		if (option_is_set(o, base))
			return true;
	return false;
}

/* A member in one line. */
static void show_member(const struct conf_member *m, struct buf *out)
{
	const char *comma = "    - {";

	for (const struct option *o = member_options; o->path != NULL; o++) {
		if (!option_is_set(o, m))
			continue;
		buf_printf(out, "%s%s: ", comma, o->path);
		option_write(o, m, out);
		comma = ", ";
	}
	buf_append_cstr(out, "}\n");
}

static void show_policies(const struct conf *c, bool sources, struct buf *out)
{
	if (c->n_policies > 0)
		buf_append_cstr(out, "policies:\n");
	for (int i = 0; i < c->n_policies; i++) {
		const struct conf_policy *p = &c->policies[i];

		buf_append_cstr(out, "  ");
		text_json_string(out, span_of(p->name));
		buf_append_cstr(out, ":\n");
		show_table(policy_options, p, p->origins, sources, 2, out);
		buf_append_cstr(out, p->n_members > 0 ? "    models:\n" : "    models: []\n");
		for (int k = 0; k < p->n_members; k++)
			show_member(&p->members[k], out);
	}
}

bool conf_show(const struct conf *c, bool sources, struct buf *out)
{
	show_table(general_options, c, c->origins, sources, 0, out);
	if (c->n_providers > 0)
		buf_append_cstr(out, "providers:\n");
	for (int i = 0; i < c->n_providers; i++) {
		const struct conf_provider *p = &c->providers[i];

		buf_printf(out, "  \"%s\":\n", p->name);
		show_table(provider_options, p, p->origins, sources, 2, out);
	}
	if (c->n_models > 0)
		buf_append_cstr(out, "models:\n");
	for (int i = 0; i < c->n_models; i++) {
		const struct conf_model *m = &c->models[i];

		buf_append_cstr(out, "  ");
		text_json_string(out, span_of(m->id));
		buf_append_cstr(out, shows_any(model_options, m) ? ":\n" : ": {}\n");
		show_table(model_options, m, m->origins, sources, 2, out);
	}
	show_policies(c, sources, out);
	return !out->failed;
}

/* ---- sluice init ---- */

static void template_options(struct buf *out)
{
	struct span section = SPAN("");

	for (const struct option *o = general_options; o->path != NULL; o++) {
		struct span rest = span_of(o->path), first = span_cut(&rest, '.');
		bool in_section = rest.p != NULL;
		bool live = strcmp(o->path, "listen") == 0 || strcmp(o->path, "data_dir") == 0;

		if (in_section && !span_eq(first, section)) {
			section = first;
			buf_printf(out, "\n## %s\n# %.*s:\n", option_section_help(first),
				SPAN_ARG(first));
		}
		if (!in_section)
			buf_printf(out, "\n## %s\n", o->help);
		buf_printf(out, "%s%s%s:", live ? "" : "# ", in_section ? "  " : "",
			last_part(o->path));
		if (option_is_list(o))
			buf_append_cstr(out, " []");
		else
			buf_printf(out, " %s",
				o->value != NULL ? o->value
						 : (o->type == OPTION_MODEL_ID ? "provider/model"
									       : "/path/to/file"));
		if (in_section)
			buf_printf(out, "  # %s", o->help);
		buf_append_char(out, '\n');
	}
}

bool conf_template(struct buf *out)
{
	buf_append_cstr(out,
		"## Configuration of Sluice.\n"
		"##\n"
		"##   sluice config check -c FILE      is it valid?\n"
		"##   sluice config show --sources     what is in force, and where it comes from\n"
		"##   sluice config reference          all options\n"
		"##\n"
		"## A value may hold ${NAME}, ${NAME:-default}, ${NAME:?message} (environment) or\n"
		"## ${file:NAME} (a credential of systemd, a container's secret, a file). "
		"SLUICE_SECTION_KEY in\n"
		"## the environment beats this file: SLUICE_LOG_LEVEL=debug.\n");
	template_options(out);
	buf_append_cstr(out,
		"\n## Whom requests go to. The name is the prefix in model ids: "
		"openai/gpt-4o-mini.\n"
		"## A provider of type openai or anthropic without a key is switched off.\n"
		"providers:\n"
		"  openai:\n"
		"    type: openai\n"
		"    api_key: \"${OPENAI_API_KEY:-}\"\n"
		"  anthropic:\n"
		"    type: anthropic\n"
		"    api_key: \"${ANTHROPIC_API_KEY:-}\"\n"
		"#   my-vllm:\n"
		"#     type: compatible\n"
		"#     base_url: http://127.0.0.1:8000/v1\n"
		"#     api_key: \"${file:my-vllm-key}\"\n"
		"#     timeouts: {connect: 1s, header: 120s}\n"
		"\n## Additions and overrides to the catalogue of models; prices in USD a million "
		"tokens.\n"
		"# models:\n"
		"#   my-vllm/llama:\n"
		"#     context_window: 131072\n"
		"#     input_price: \"0.10\"\n"
		"#     output_price: \"0.40\"\n"
		"\n## Models that stand in for each other, called as policy/NAME.\n"
		"# policies:\n"
		"#   fast:\n"
		"#     models: [openai/gpt-4o-mini, anthropic/claude-haiku-4-5]\n");
	return !out->failed;
}

/* ---- the reference page ---- */

static void reference_row(const struct option *o, bool environment, struct buf *out)
{
	char name[64];

	buf_printf(out, "| `%s` | %s | ", o->path, option_type_name(o));
	if (o->value != NULL && o->value[0] != '\0')
		buf_printf(out, "`%s`", o->value);
	buf_append_cstr(out, " | ");
	if (o->choices != NULL) {
		struct span rest = span_of(o->choices);

		while (rest.n > 0) {
			struct span one = span_cut(&rest, '|');

			buf_printf(out, "%s`%.*s`", one.p != o->choices ? ", " : "", SPAN_ARG(one));
		}
	} else {
		option_write_bounds(o, out);
	}
	buf_append_cstr(out, " | ");
	if (environment) {
		read_environment_name(o, name, sizeof(name));
		buf_printf(out, "`%s` | ", name);
	}
	buf_printf(out, "%s |\n", o->help);
}

static void reference_table(
	const char *title, const struct option *table, bool environment, struct buf *out)
{
	buf_printf(out, "\n## %s\n\n", title);
	buf_append_cstr(out, environment ? "| option | type | default | values | environment | "
					   "meaning |\n|---|---|---|---|---|---|\n"
					 : "| option | type | default | values | meaning "
					   "|\n|---|---|---|---|---|\n");
	for (const struct option *o = table; o->path != NULL; o++)
		reference_row(o, environment, out);
}

bool conf_reference(struct buf *out)
{
	buf_append_cstr(out,
		"# Configuration reference\n\n"
		"Made by `sluice config reference` from the rows that the program itself reads "
		"by.\n\n"
		"One YAML file (JSON is fine too), at most 1 MiB. A path such as `log.level` means "
		"the key\n"
		"`level` in the mapping `log`. Unknown and duplicate keys are errors; anchors, "
		"aliases, tags\n"
		"and merge keys are not supported; booleans are `true` and `false`.\n\n"
		"| in a value | becomes |\n|---|---|\n"
		"| `${NAME}` | the environment variable; an error when it is not set |\n"
		"| `${NAME:-default}` | the default when it is not set or empty |\n"
		"| `${NAME:?message}` | an error with the message when it is not set or empty |\n"
		"| `${file:NAME}` | the text of `$CREDENTIALS_DIRECTORY/NAME`, of "
		"`/run/secrets/NAME`, or of "
		"an absolute path |\n"
		"| `$${` | a plain `${` |\n\n"
		"A variable in a secret must be its whole value. Durations are written `500ms`, "
		"`30s`, `5m`,\n"
		"`1h`, `1d`; sizes in bytes or with `KiB`, `MiB`, `GiB`, `TiB`.\n\n"
		"What counts, first to last: the command line's flag, the environment, the file, "
		"the default.\n");
	reference_table("General", general_options, true, out);
	reference_table("Each entry of `providers`", provider_options, false, out);
	buf_append_cstr(out, "\nThe entry's name is the prefix in model ids: letters, digits, `.`, "
			     "`_` and `-`, at most 64.\n");
	reference_table("Each entry of `models`", model_options, false, out);
	buf_append_cstr(out, "\nThe entry's name is the model's id, `provider/model`. What is not "
			     "given is as the catalogue\n"
			     "has it; a price that nobody knows is unknown, and the cost of a "
			     "request says so.\n");
	reference_table("Each entry of `policies`", policy_options, false, out);
	buf_append_cstr(out,
		"\nThe entry's name has 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`. Its "
		"`models` is a list of names, or of\n"
		"mappings with these options:\n");
	reference_table("Each of a policy's `models`", member_options, false, out);
	return !out->failed;
}

bool conf_environment(struct buf *out)
{
	for (const struct option *o = general_options; o->path != NULL; o++) {
		char name[64];

		read_environment_name(o, name, sizeof(name));
		buf_printf(out, "  %-32s %s\n", name, o->path);
	}
	return !out->failed;
}
