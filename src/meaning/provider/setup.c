/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/template.h"

/* What of the options is given. */
static unsigned given(const struct provider_setup *s)
{
	return (s->region.n > 0 ? PROVIDER_REGION : 0u) |
	       (s->project.n > 0 ? PROVIDER_PROJECT : 0u) |
	       (s->location.n > 0 ? PROVIDER_LOCATION : 0u) |
	       (s->resource.n > 0 ? PROVIDER_RESOURCE : 0u) |
	       (s->api_version.n > 0 ? PROVIDER_API_VERSION : 0u) |
	       (s->by_deployment ? PROVIDER_ADDRESS : 0u) |
	       (s->access_key_id.n > 0 || s->secret_access_key.n > 0 || s->session_token.n > 0
			       ? PROVIDER_ACCESS_KEY
			       : 0u) |
	       (s->has_service_account ? PROVIDER_SERVICE_ACCOUNT : 0u);
}

static bool refuse_unknown(const struct provider_setup *s, struct err *err)
{
	static const struct {
		unsigned option;
		const char *name;
	} names[] = {{PROVIDER_REGION, "region"}, {PROVIDER_PROJECT, "project"},
		{PROVIDER_LOCATION, "location"}, {PROVIDER_RESOURCE, "resource"},
		{PROVIDER_API_VERSION, "api_version"}, {PROVIDER_ADDRESS, "address"},
		{PROVIDER_ACCESS_KEY, "access_key_id"},
		{PROVIDER_SERVICE_ACCOUNT, "service_account"}};
	unsigned extra = given(s) & ~s->type->takes;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if ((extra & names[i].option) != 0)
			return err_set(err, ERR_CONFIG, "%s means nothing to providers of type %s",
				names[i].name, s->type->name);
	return true;
}

static bool missing(
	const struct provider_setup *s, const char *what, const char *why, struct err *err)
{
	return err_set(
		err, ERR_CONFIG, "%s is missing: type %s needs it%s", what, s->type->name, why);
}

static bool check_addresses(const struct provider_setup *s, struct err *err)
{
	struct span url = span_of(s->type->base_url);
	unsigned takes = s->type->takes;

	if (s->base_url.n == 0 && url.n == 0)
		return missing(s, "base_url", "", err);
	if (s->base_url.n == 0 && s->resource.n == 0 && span_find(url, SPAN("{resource}")) >= 0)
		return missing(s, "resource", ", or base_url", err);
	/* A signature is made for a region, whatever the address. */
	if ((takes & PROVIDER_REGION) != 0 && s->region.n == 0)
		return missing(s, "region", "", err);
	if (s->by_deployment && s->api_version.n == 0)
		return missing(s, "api_version", " with address: deployment", err);
	return true;
}

bool provider_check(const struct provider_setup *s, struct err *err)
{
	if (!refuse_unknown(s, err) || !check_addresses(s, err))
		return false;
	if (s->has_service_account && s->project.n == 0)
		return missing(s, "project", " where the service account names none", err);
	if (s->project.n > 0 && s->location.n == 0)
		return missing(s, "location", ", such as global or europe-west4", err);
	if ((s->access_key_id.n > 0) != (s->secret_access_key.n > 0))
		return missing(s, s->access_key_id.n > 0 ? "secret_access_key" : "access_key_id",
			": they go together", err);
	return true;
}

bool provider_lacks_key(const struct provider_setup *s)
{
	return s->type->needs_key && s->api_key.n == 0 && s->access_key_id.n == 0 &&
	       !s->has_service_account;
}

struct span provider_base_url(
	const struct provider_setup *s, struct span region, struct arena *a, struct err *err)
{
	const struct provider_ask ask = {.region = region};
	struct span out = {NULL, 0};

	if (s->base_url.n > 0)
		return s->base_url;
	template_fill(s->type->base_url, s, &ask, a, &out, err);
	return out;
}
