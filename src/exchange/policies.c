/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policies - those of the configuration, made ready for requests and checked; how the list of
 * models shows them.
 */
#include "exchange/policies.h"
#include "machine/base/text.h"

static bool policy_error(const struct snapshot *s, const struct conf_policy *from,
	const struct err *why, struct err *err)
{
	if (why->code == ERR_NO_MEMORY)
		return err_set(err, ERR_NO_MEMORY, NULL);
	return err_set(err, ERR_CONFIG, "%s:%d:%d: policy \"%s\": %s",
		s->conf->file != NULL ? s->conf->file : "configuration", from->line, from->column,
		from->name, why->text);
}

const struct policy *snapshot_policy(const struct snapshot *s, struct span name)
{
	for (int i = 0; i < s->n_policies; i++)
		if (span_eq(s->policies[i].name, name))
			return &s->policies[i];
	return NULL;
}

static const struct policy *find(void *user, struct span name)
{
	return snapshot_policy(user, name);
}

/* A provider that is switched off is known too: its models are passed over when they are due. */
static bool is_known_provider(const struct conf *c, struct span name)
{
	for (int i = 0; i < c->n_providers; i++)
		if (span_is(name, c->providers[i].name))
			return true;
	return false;
}

static bool check_providers(const struct snapshot *s, const struct policy *p, struct err *err)
{
	for (int i = 0; i < p->n; i++) {
		struct span rest = p->members[i].model, provider = span_cut(&rest, '/');

		if (policy_name_in(p->members[i].model).p == NULL &&
			!is_known_provider(s->conf, provider))
			return err_set(err, ERR_CONFIG, "there is no provider \"%.*s\"",
				SPAN_ARG(span_head(provider, 64)));
	}
	return true;
}

static bool compile(struct snapshot *s, const struct conf_policy *from, struct policy *p)
{
	*p = (struct policy){.name = span_of(from->name),
		.next_on_error = from->next_on_error,
		.deadline_ms = from->deadline_ms,
		.n = from->n_members};
	policy_kind_read(span_of(from->type), &p->kind);
	p->members = arena_zalloc(&s->arena, sizeof(*p->members) * (size_t)(p->n + 1));
	for (int i = 0; p->members != NULL && i < p->n; i++)
		p->members[i] = (struct policy_member){.model = span_of(from->members[i].model),
			.retries = from->members[i].retries,
			.weight = from->members[i].weight};
	return p->members != NULL;
}

bool policies_compile(struct snapshot *s, struct err *err)
{
	const struct conf *c = s->conf;

	s->policies = arena_zalloc(&s->arena, sizeof(*s->policies) * (size_t)(c->n_policies + 1));
	if (s->policies == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	for (; s->n_policies < c->n_policies; s->n_policies++)
		if (!compile(s, &c->policies[s->n_policies], &s->policies[s->n_policies]))
			return err_set(err, ERR_NO_MEMORY, NULL);
	for (int i = 0; i < s->n_policies; i++) {
		struct err why = {0};

		if (!policy_check(&s->policies[i], find, s, &why) ||
			!check_providers(s, &s->policies[i], &why))
			return policy_error(s, &c->policies[i], &why, err);
	}
	return true;
}

/* ---- in the list ---- */

static void narrow(int64_t *have, int64_t other)
{
	if (other > 0 && (*have == 0 || other < *have))
		*have = other;
}

/* What all of its models can, and the least of what each takes: true whoever answers. */
static void gather(const struct snapshot *s, const struct policy *p, policies_model model,
	void *user, struct llm_model *out, int *n)
{
	for (int i = 0; i < p->n; i++) {
		struct span name = policy_name_in(p->members[i].model);
		const struct policy *inner = name.p != NULL ? snapshot_policy(s, name) : NULL;
		const struct llm_model *m;

		if (inner != NULL)
			gather(s, inner, model, user, out, n);
		m = name.p == NULL ? model(user, p->members[i].model) : NULL;
		if (m == NULL)
			continue;
		narrow(&out->context_window, m->context_window);
		narrow(&out->max_output, m->max_output);
		out->can = *n == 0 ? m->can : out->can & m->can;
		out->data_retention |= m->data_retention;
		out->created = m->created > out->created ? m->created : out->created;
		(*n)++;
	}
}

const struct llm_model *policies_describe(
	struct snapshot *s, const struct policy *p, policies_model model, void *user)
{
	struct llm_model *out = ARENA_NEW(&s->arena, struct llm_model);
	int n = 0;

	if (out == NULL)
		return NULL;
	*out = (struct llm_model){.api = SPAN("chat"), .n_tiers = 1};
	out->id = arena_printf(&s->arena, POLICY_PREFIX "%.*s", SPAN_ARG(p->name));
	out->name = out->id;
	out->description = SPAN("A policy: its price is that of the model that answers");
	/* Not known before, which is not nothing. */
	for (int i = 0; llm_price_name(i) != NULL; i++)
		*llm_price_at(&out->price[0], i) = -1;
	gather(s, p, model, user, out, &n);
	return out->id.p != NULL ? out : NULL;
}
