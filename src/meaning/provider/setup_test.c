/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/test_provider.h"

static struct provider_setup setup_of(const char *type)
{
	return (struct provider_setup){
		.type = provider_type_find(span_of(type)), .api_key = SPAN("hidden-1")};
}

static void assert_refused(const struct provider_setup *s, const char *said)
{
	struct err err = {0};

	assert_false(provider_check(s, &err));
	assert_int_equal(err.code, ERR_CONFIG);
	assert_non_null(strstr(err.text, said));
	assert_null(strstr(err.text, "hidden"));
}

static void assert_url(const struct provider_setup *s, const char *region, const char *url)
{
	struct arena a;

	arena_init(&a, 4096);
	assert_true(provider_check(s, NULL));
	assert_string_equal(provider_base_url(s, span_of(region), &a, NULL).p, url);
	arena_done(&a);
}

static void a_key_is_all_that_most_need(void **state)
{
	struct provider_setup s = setup_of("mistral");

	assert_url(&s, NULL, "https://api.mistral.ai/v1");
	s.base_url = SPAN("http://10.0.0.1/x");
	assert_url(&s, NULL, "http://10.0.0.1/x");
	assert_false(provider_lacks_key(&s));
	s.api_key = SPAN("");
	assert_true(provider_lacks_key(&s));
	s = setup_of("compatible");
	assert_refused(&s, "base_url is missing");
	s.api_key = SPAN("");
	assert_false(provider_lacks_key(&s));
}

static void azure_needs_a_resource(void **state)
{
	struct provider_setup s = setup_of("azure");

	assert_refused(&s, "resource is missing");
	s.resource = SPAN("mine");
	assert_url(&s, NULL, "https://mine.openai.azure.com");
	s.by_deployment = true;
	assert_refused(&s, "api_version is missing");
	s.api_version = SPAN("2024-10-21");
	assert_true(provider_check(&s, NULL));
}

static void vertex_lives_in_locations(void **state)
{
	struct provider_setup s = setup_of("vertex");

	assert_url(&s, NULL, "https://aiplatform.googleapis.com");
	s.project = SPAN("p");
	assert_refused(&s, "location is missing");
	s.location = SPAN("europe-west4");
	assert_url(&s, NULL, "https://europe-west4-aiplatform.googleapis.com");
	assert_url(&s, "us", "https://aiplatform.us.rep.googleapis.com");
	assert_url(&s, "global", "https://aiplatform.googleapis.com");
	s.project = SPAN("");
	s.api_key = SPAN("");
	assert_true(provider_lacks_key(&s));
	s.has_service_account = true;
	assert_false(provider_lacks_key(&s));
	assert_refused(&s, "project is missing");
}

static void bedrock_needs_a_region_and_both_keys(void **state)
{
	struct provider_setup s = setup_of("bedrock");

	assert_refused(&s, "region is missing");
	s.region = SPAN("eu-central-1");
	assert_url(&s, NULL, "https://bedrock-runtime.eu-central-1.amazonaws.com");
	assert_url(&s, "us-east-1", "https://bedrock-runtime.us-east-1.amazonaws.com");
	s.access_key_id = SPAN("AKIA");
	assert_refused(&s, "secret_access_key is missing");
	s.access_key_id = SPAN("");
	s.secret_access_key = SPAN("hidden-2");
	assert_refused(&s, "access_key_id is missing");
}

static void an_option_that_means_nothing_is_said(void **state)
{
	struct provider_setup s = setup_of("openai");

	s.region = SPAN("eu");
	assert_refused(&s, "region means nothing to providers of type openai");
	s = setup_of("anthropic");
	s.has_service_account = true;
	assert_refused(&s, "service_account means nothing");
	s = setup_of("google");
	s.secret_access_key = SPAN("hidden-2");
	assert_refused(&s, "access_key_id means nothing");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_all_that_most_need),
		cmocka_unit_test(azure_needs_a_resource),
		cmocka_unit_test(vertex_lives_in_locations),
		cmocka_unit_test(bedrock_needs_a_region_and_both_keys),
		cmocka_unit_test(an_option_that_means_nothing_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
