/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/route/policy.h"
#include <stdio.h>
#include <string.h>

static const char *const kinds[POLICY_KINDS] = {"fallback", "load_balance"};

const char *policy_kind_name(enum policy_kind k)
{
	return kinds[k];
}

bool policy_kind_read(struct span text, enum policy_kind *out)
{
	for (int i = 0; i < POLICY_KINDS; i++)
		if (span_is(text, kinds[i])) {
			*out = (enum policy_kind)i;
			return true;
		}
	return false;
}

struct span policy_name_in(struct span model)
{
	return span_starts(model, SPAN(POLICY_PREFIX)) ? span_skip(model, strlen(POLICY_PREFIX))
						       : (struct span){NULL, 0};
}

bool policy_name_is_valid(struct span name)
{
	if (name.n == 0 || name.n > POLICY_MAX_NAME)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (!word && (i == 0 || (c != '.' && c != '_' && c != '-')))
			return false;
	}
	return true;
}

static bool check_member(const struct policy_member *m, struct err *err)
{
	struct span policy = policy_name_in(m->model);
	struct span shown = span_head(m->model, 100);

	if (m->model.n == 0)
		return err_set(err, ERR_CONFIG, "a member has no model");
	if (policy.p != NULL && !policy_name_is_valid(policy))
		return err_set(err, ERR_CONFIG, "\"%.*s\" is no name of a policy", SPAN_ARG(shown));
	if (policy.p == NULL && span_find_char(m->model, '/') <= 0)
		return err_set(err, ERR_CONFIG,
			"member \"%.*s\" must be named provider/model or policy/name",
			SPAN_ARG(shown));
	if (m->retries < 0 || m->retries > POLICY_MAX_RETRIES)
		return err_set(err, ERR_CONFIG, "retries of member \"%.*s\" must be 0 to %d",
			SPAN_ARG(shown), POLICY_MAX_RETRIES);
	if (policy.p != NULL && m->retries > 0)
		return err_set(err, ERR_CONFIG,
			"member \"%.*s\" is a policy: its own members have retries",
			SPAN_ARG(shown));
	if (m->weight < 0 || m->weight > POLICY_MAX_WEIGHT)
		return err_set(err, ERR_CONFIG, "the weight of member \"%.*s\" must be 0 to %d",
			SPAN_ARG(shown), POLICY_MAX_WEIGHT);
	return true;
}

/* The policies that led here, outermost first. */
struct path {
	struct span names[POLICY_MAX_DEPTH + 1];
	int n;
};

static void write_path(const struct path *path, struct span last, char out[512])
{
	int n = 0;

	for (int i = 0; i < path->n && n < 400; i++)
		n += snprintf(out + n, 512 - (size_t)n, "%.*s -> ", SPAN_ARG(path->names[i]));
	snprintf(out + n, 512 - (size_t)n, "%.*s", SPAN_ARG(last));
}

static bool check_nested(
	const struct policy *p, struct path *path, policy_find find, void *user, struct err *err)
{
	char text[512];

	path->names[path->n++] = p->name;
	for (int i = 0; i < p->n; i++) {
		struct span name = policy_name_in(p->members[i].model);
		const struct policy *inner;

		if (name.p == NULL)
			continue;
		for (int k = 0; k < path->n; k++)
			if (span_eq(path->names[k], name)) {
				write_path(path, name, text);
				return err_set(
					err, ERR_CONFIG, "it leads back to itself: %s", text);
			}
		inner = find(user, name);
		if (inner == NULL)
			return err_set(err, ERR_CONFIG, "there is no policy \"%.*s\"",
				SPAN_ARG(span_head(name, POLICY_MAX_NAME)));
		if (path->n == POLICY_MAX_DEPTH) {
			write_path(path, name, text);
			return err_set(err, ERR_CONFIG, "policies are nested more than %d deep: %s",
				POLICY_MAX_DEPTH, text);
		}
		if (!check_nested(inner, path, find, user, err))
			return false;
	}
	path->n--;
	return true;
}

bool policy_check(const struct policy *p, policy_find find, void *user, struct err *err)
{
	struct path path = {.n = 0};
	int64_t weights = 0;

	if (!policy_name_is_valid(p->name))
		return err_set(err, ERR_CONFIG,
			"a policy's name has 1 to %d of a-z, 0-9, '.', '_' and '-', the first a "
			"letter or digit",
			POLICY_MAX_NAME);
	if (p->n < 1 || p->n > POLICY_MAX_MEMBERS)
		return err_set(err, ERR_CONFIG, "it has %d models; 1 to %d are possible", p->n,
			POLICY_MAX_MEMBERS);
	for (int i = 0; i < p->n; i++) {
		if (!check_member(&p->members[i], err))
			return false;
		weights += p->members[i].weight;
	}
	if (p->kind == POLICY_LOAD_BALANCE && weights == 0)
		return err_set(err, ERR_CONFIG, "all weights are 0: nothing would be chosen");
	return check_nested(p, &path, find, user, err);
}
