/* SPDX-License-Identifier: Apache-2.0 */
#include "control/conf/conf.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static struct conf *read_ok(const char *text)
{
	struct err err = {0};
	struct conf *c = conf_read(&sys_real, "f.yaml", span_of(text), &err);

	if (c == NULL)
		fail_msg("%s", err.text);
	return c;
}

static void assert_shows(const struct conf *c, bool sources, const char *part, bool wanted)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	assert_true(conf_show(c, sources, &out));
	if ((span_find(buf_span(&out), span_of(part)) >= 0) != wanted)
		fail_msg("\"%s\" %s in:\n%.*s", part, wanted ? "is not" : "is",
			SPAN_ARG(buf_span(&out)));
	buf_done(&out);
}

static void test_defaults(void **state)
{
	struct conf *c = read_ok("# nothing but a comment\n");

	assert_string_equal(c->file, "f.yaml");
	assert_string_equal(c->listen, "127.0.0.1:4000");
	assert_string_equal(c->data_dir, "./data");
	assert_true(c->workers >= 1);
	assert_null(c->tls_cert);
	assert_string_equal(c->log_level, "info");
	assert_null(c->log_file);
	assert_false(c->durability_power);
	assert_null(c->cors_origins[0]);
	assert_int_equal(c->max_body_bytes, 20 << 20);
	assert_int_equal(c->max_event_bytes, 32 << 20);
	assert_int_equal(c->max_answer_bytes, 64 << 20);
	assert_int_equal(c->max_memory_bytes, 1 << 30);
	assert_int_equal(c->max_connections, 20000);
	assert_int_equal(c->head_ms, 10000);
	assert_int_equal(c->idle_ms, 75000);
	assert_int_equal(c->body_stall_ms, 30000);
	assert_int_equal(c->write_stall_ms, 60000);
	assert_int_equal(c->drain_ms, 30000);
	assert_int_equal(c->keep_alive_ms, 15000);
	assert_int_equal(c->connect_ms, 3000);
	assert_int_equal(c->header_ms, 60000);
	assert_int_equal(c->plain_header_ms, 600000);
	assert_int_equal(c->first_event_ms, 120000);
	assert_int_equal(c->stream_idle_ms, 120000);
	assert_int_equal(c->total_ms, 1800000);
	assert_int_equal(c->n_providers, 0);
	assert_int_equal(c->n_models, 0);
	conf_free(c);
}

static void test_what_single_kinds_of_providers_need(void **state)
{
	struct conf *c = read_ok(
		"providers:\n"
		"  az: {type: azure, api_key: k, resource: mine, address: deployment, "
		"api_version: 2024-10-21, deployments: {gpt-4o: my-gpt, \"a/b@c\": '$${x'}}\n"
		"  br: {type: bedrock, region: eu-central-1, regions: [us-east-1, eu-west-1], "
		"access_key_id: AKIAIOSFODNN7EXAMPLE, secret_access_key: secret-value}\n"
		"  vx: {type: vertex, location: global, service_account: '{\"a\": \"b c\"}'}\n");
	const struct conf_provider *p = c->providers;

	assert_string_equal(p[0].address, "deployment");
	assert_string_equal(p[0].resource, "mine");
	assert_string_equal(p[0].api_version, "2024-10-21");
	assert_string_equal(p[0].deployments[0].name, "gpt-4o");
	assert_string_equal(p[0].deployments[0].value, "my-gpt");
	assert_string_equal(p[0].deployments[1].name, "a/b@c");
	assert_string_equal(p[0].deployments[1].value, "${x");
	assert_null(p[0].deployments[2].name);
	assert_null(p[0].regions[0]);
	assert_string_equal(p[1].regions[1], "eu-west-1");
	assert_null(p[1].regions[2]);
	assert_string_equal(p[1].secret_access_key, "secret-value");
	assert_string_equal(p[2].service_account, "{\"a\": \"b c\"}");
	assert_shows(
		c, false, "    deployments: {\"gpt-4o\": \"my-gpt\", \"a/b@c\": \"$${x\"}\n", true);
	assert_shows(c, false, "    regions: [\"us-east-1\", \"eu-west-1\"]\n", true);
	assert_shows(c, false, "    service_account: \"***\"\n", true);
	assert_shows(c, false, "    secret_access_key: \"***\"\n", true);
	assert_shows(c, false, "secret-value", false);
	assert_shows(c, false, "session_token", false);
	conf_free(c);
}

/* A path is followed; nothing of the file's text is in a message. */
static void test_the_file_of_a_service_account(void **state)
{
	char path[] = "/tmp/conf_test_account_XXXXXX", text[256];
	int fd = mkstemp(path);
	struct conf *c;
	struct err err = {0};

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "{\n\"x\": 1\n}\n", 11), 11);
	snprintf(
		text, sizeof(text), "providers:\n  v: {type: vertex, service_account: %s}\n", path);
	c = read_ok(text);
	assert_string_equal(c->providers[0].service_account, "{\n\"x\": 1\n}\n");
	conf_free(c);
	assert_int_equal(pwrite(fd, "secret", 6, 0), 6);
	assert_null(conf_read(&sys_real, "f.yaml", span_of(text), &err));
	assert_non_null(strstr(err.text, "f.yaml:2:"));
	assert_non_null(strstr(err.text, "no JSON object"));
	assert_null(strstr(err.text, "secret"));
	close(fd);
	unlink(path);
	err = (struct err){0};
	assert_null(conf_read(&sys_real, "f.yaml", span_of(text), &err));
	assert_non_null(strstr(err.text, "neither JSON nor a file"));
}

static void test_a_whole_file(void **state)
{
	struct conf *c =
		read_ok("listen: '[::1]:0'\n"
			"workers: 3\n"
			"durability: power\n"
			"tls: {cert: a.pem, key: b.pem}\n"
			"log: {level: debug, file: /var/log/x}\n"
			"cors:\n  origins: [https://a.example, \"*\"]\n"
			"limits: {max_body: 64KiB, head: 500ms, drain: 0}\n"
			"timeouts: {total: 2h}\n"
			"providers:\n"
			"  my-vllm: {type: compatible, base_url: 'http://127.0.0.1:8000/v1', "
			"api_key: x, timeouts: {connect: 1s, stream_idle: 7s}}\n"
			"  off: {type: openai, enabled: false}\n"
			"models:\n"
			"  my-vllm/llama: {context_window: 131072, input_price: \"0.10\", "
			"output_price: 0.400000001}\n"
			"  openai/new:\n");

	assert_string_equal(c->listen, "[::1]:0");
	assert_int_equal(c->workers, 3);
	assert_true(c->durability_power);
	assert_string_equal(c->tls_key, "b.pem");
	assert_string_equal(c->log_level, "debug");
	assert_string_equal(c->log_file, "/var/log/x");
	assert_string_equal(c->cors_origins[0], "https://a.example");
	assert_string_equal(c->cors_origins[1], "*");
	assert_null(c->cors_origins[2]);
	assert_int_equal(c->max_body_bytes, 65536);
	assert_int_equal(c->head_ms, 500);
	assert_int_equal(c->drain_ms, 0);
	assert_int_equal(c->total_ms, 7200000);
	assert_int_equal(c->n_providers, 2);
	assert_string_equal(c->providers[0].name, "my-vllm");
	assert_string_equal(c->providers[0].type, "compatible");
	assert_string_equal(c->providers[0].base_url, "http://127.0.0.1:8000/v1");
	assert_string_equal(c->providers[0].api_key, "x");
	assert_int_equal(c->providers[0].connect_ms, 1000);
	assert_int_equal(c->providers[0].idle_ms, 7000);
	assert_int_equal(c->providers[0].head_ms, 0);
	assert_int_equal(c->providers[0].line, 11);
	assert_true(c->providers[0].enabled);
	assert_false(c->providers[1].enabled);
	assert_string_equal(c->providers[1].api_key, "");
	assert_null(c->providers[1].base_url);
	assert_int_equal(c->n_models, 2);
	assert_string_equal(c->models[0].id, "my-vllm/llama");
	assert_int_equal(c->models[0].context_window, 131072);
	assert_int_equal(c->models[0].max_output, -1);
	assert_string_equal(c->models[0].input_price, "0.10");
	assert_string_equal(c->models[0].output_price, "0.400000001");
	assert_null(c->models[0].cached_price);
	assert_int_equal(c->models[0].line, 14);
	assert_string_equal(c->models[1].id, "openai/new");
	assert_int_equal(c->models[1].context_window, -1);
	conf_free(c);
}

static void test_quotes(void **state)
{
	struct conf *c = read_ok("data_dir: 'it''s ''fine'' # \\n'\n"
				 "log: {file: \"\\\"\\\"\\u00e9\\x41\\\\ # '\"}\n"
				 "tls: {cert: a'b\"c, key: a#b # c\n  }\n");

	assert_string_equal(c->data_dir, "it's 'fine' # \\n");
	assert_string_equal(c->log_file, "\"\"\xc3\xa9"
					 "A\\ # '");
	assert_string_equal(c->tls_cert, "a'b\"c");
	assert_string_equal(c->tls_key, "a#b");
	conf_free(c);
}

static void test_json_is_yaml(void **state)
{
	struct conf *c = read_ok("{\n \"workers\": 2, \"providers\": {\n  \"a\": {\n   \"type\": "
				 "\"openai\",\n   \"api_key\": \"k\\u0065y\"\n  }\n }\n}\n");

	assert_int_equal(c->workers, 2);
	assert_string_equal(c->providers[0].api_key, "key");
	conf_free(c);
}

/* The whole text of every error, so that none gets worse unseen. */
static const struct {
	const char *file, *error;
} bad_files[] = {
	{"providers:\n  a: {type: azure, deployments: x}\n",
		"f.yaml:2:33: providers.a.deployments: a mapping is expected: lines of the form "
		"\"model: name\""},
	{"providers:\n  a: {type: azure, deployments: {m: ''}}\n",
		"f.yaml:2:37: providers.a.deployments is empty"},
	{"providers:\n  a: {type: azure, address: v2}\n",
		"f.yaml:2:29: providers.a.address \"v2\" must be one of v1|deployment"},
	{"providers:\n  a: {type: bedrock, regions: eu}\n",
		"f.yaml:2:31: providers.a.regions: a list is expected, such as [\"eu-west-1\"]"},
	{"providers:\n  a: {type: bedrock, regions: [a/b]}\n",
		"f.yaml:2:32: providers.a.regions \"a/b\" must be a name of letters, digits, '.', "
		"'_' "
		"and '-'"},
	{"listne: 1\n", "f.yaml:1:1: unknown key \"listne\"; did you mean \"listen\"?"},
	{"\nlimits:\n  max_bdoy: 1MiB\n",
		"f.yaml:3:3: unknown key \"limits.max_bdoy\"; did you mean \"max_body\"?"},
	{"max_body: 1MiB\n",
		"f.yaml:1:1: unknown key \"max_body\"; did you mean \"limits.max_body\"?"},
	{"log: {zzzzzz: 1}\n",
		"f.yaml:1:7: unknown key \"log.zzzzzz\"; known here: level, format, file"},
	{"log.level: info\n",
		"f.yaml:1:1: unknown key \"log.level\"; known here: listen, data_dir, database, "
		"workers, "
		"default_model, durability, drop_params, spend_limit_status, tls, log, cors, "
		"media, limits, answers, usage, timeouts, "
		"providers, "
		"models, policies"},
	{"policies: {a: [x/y]}\n",
		"f.yaml:1:15: policies.a: a mapping is expected, such as {models: "
		"[openai/gpt-4o, anthropic/claude-sonnet-4-5]}"},
	{"policies: {a: {models: x/y}}\n",
		"f.yaml:1:24: policies.a.models: a list is expected, such as [openai/gpt-4o, "
		"anthropic/claude-sonnet-4-5]"},
	{"policies: {a: {models: [{retries: 1}]}}\n",
		"f.yaml:1:25: policies.a.models: a member has no model"},
	{"policies: {a: {models: [x/y, [z]]}}\n",
		"f.yaml:1:30: policies.a.models: a model's name is expected, or {model: name, "
		"retries: 1}"},
	{"policies: {a: {models: [{model: x/y, retries: 11}]}}\n",
		"f.yaml:1:47: policies.a.models.retries \"11\" is out of range: 0 to 10"},
	{"policies: {a: {member: 1}}\n",
		"f.yaml:1:16: unknown key \"policies.a.member\"; known here: type, on_error, "
		"deadline, models"},
	{"providers: {policy: {type: openai}}\n",
		"f.yaml:1:13: no provider can be named \"policy\": policy/name is a policy"},
	{"providers: {a: {typ: openai}}\n",
		"f.yaml:1:17: unknown key \"providers.a.typ\"; did you mean \"type\"?"},
	{"models: {a/b: {price: 1}}\n",
		"f.yaml:1:16: unknown key \"models.a/b.price\"; known here: context_window, "
		"max_output, input_price, output_price, cached_price, caching_price, "
		"character_price, sound_price, picture_price"},
	{"workers: 1\nlisten: unix:/x\nworkers: 2\n",
		"f.yaml:3:1: \"workers\" is there twice; it was first in line 1"},
	{"providers:\n  a: {type: openai}\n  a: {type: openai}\n",
		"f.yaml:3:3: \"a\" is there twice; it was first in line 2"},
	{"listen:\n", "f.yaml:1:1: listen has no value"},
	{"listen: [a]\n", "f.yaml:1:9: listen: one value is expected, not a list"},
	{"listen: {a: b}\n", "f.yaml:1:9: listen: one value is expected, not a mapping"},
	{"limits: 3\n",
		"f.yaml:1:9: limits: a mapping is expected: lines of the form \"name: value\""},
	{"- a\n", "f.yaml:1:1: the file must be a mapping: lines of the form \"name: value\""},
	{"just words\n",
		"f.yaml:1:1: the file must be a mapping: lines of the form \"name: value\""},
	{"listen: 4000\n", "f.yaml:1:9: listen \"4000\" needs IP:PORT, such as 127.0.0.1:4000"},
	{"listen: 127.0.0.1:99999\n", "f.yaml:1:9: listen \"127.0.0.1:99999\" needs a port of 0 to "
				      "65535 behind the last colon"},
	{"listen: localhost:80\n",
		"f.yaml:1:9: listen \"localhost:80\" needs an IP address (127.0.0.1 for this "
		"machine only, 0.0.0.0 for all, [::1])"},
	{"listen: 'unix:'\n", "f.yaml:1:9: listen \"unix:\" needs unix:/path with a path of 1 to "
			      "107 bytes"},
	{"data_dir: ''\n", "f.yaml:1:11: data_dir is empty"},
	{"workers: two\n", "f.yaml:1:10: workers \"two\" must be a whole number"},
	{"workers: 0\n", "f.yaml:1:10: workers \"0\" is out of range: 1 to 256"},
	{"workers: -1\n", "f.yaml:1:10: workers \"-1\" is out of range: 1 to 256"},
	{"workers: 99999999999999999999\n",
		"f.yaml:1:10: workers \"99999999999999999999\" must be a whole number"},
	{"durability: disk\n", "f.yaml:1:13: durability \"disk\" must be one of process|power"},
	{"log: {level: loud}\n",
		"f.yaml:1:14: log.level \"loud\" must be one of debug|info|warn|error"},
	{"default_model: gpt\n",
		"f.yaml:1:16: default_model \"gpt\" must be a model's id: provider/model"},
	{"tls: {cert: a.pem}\n", "f.yaml: tls.key is missing: cert and key go together"},
	{"tls: {key: a.pem}\n", "f.yaml: tls.cert is missing: cert and key go together"},
	{"limits: {head: 10}\n",
		"f.yaml:1:16: limits.head \"10\" must be a whole number with ms, s, "
		"m, h or d, such as 30s"},
	{"limits: {head: 1.5s}\n",
		"f.yaml:1:16: limits.head \"1.5s\" must be a whole number with ms, s, "
		"m, h or d, such as 30s"},
	{"limits: {head: 2h}\n", "f.yaml:1:16: limits.head \"2h\" is out of range: 10ms to 1h"},
	{"limits: {head: 9223372036854775807d}\n",
		"f.yaml:1:16: limits.head \"9223372036854775807d\" must be a whole number with ms, "
		"s, "
		"m, h or d, such as 30s"},
	{"limits: {max_body: 20MB}\n",
		"f.yaml:1:20: limits.max_body \"20MB\" must be a whole number of bytes, or with "
		"KiB, MiB, GiB or TiB, such as 20MiB"},
	{"limits: {max_body: 2GiB}\n",
		"f.yaml:1:20: limits.max_body \"2GiB\" is out of range: 1KiB to 64MiB"},
	{"cors: {origins: https://a}\n", "f.yaml:1:17: cors.origins: a list is expected, such as "
					 "[\"https://app.example.org\"]"},
	{"cors:\n  origins: [https://a, ftp://b]\n",
		"f.yaml:2:24: cors.origins \"ftp://b\" must begin with https:// or http://"},
	{"cors:\n  origins: [https://a/]\n", "f.yaml:2:13: cors.origins \"https://a/\" must end "
					     "behind the host and port, without "
					     "a slash"},
	{"cors:\n  origins: ['https://a,https://b']\n",
		"f.yaml:2:13: cors.origins: one entry a line, not empty"},
	{"providers: {a/b: {type: openai}}\n", "f.yaml:1:13: provider name \"a/b\": letters, "
					       "digits, '.', '_' and '-' only, at most "
					       "64"},
	{"providers: {a@b: {type: openai}}\n", "f.yaml:1:13: provider name \"a@b\": letters, "
					       "digits, '.', '_' and '-' only, at most "
					       "64"},
	{"providers: {'a b': {type: openai}}\n", "f.yaml:1:13: provider name \"a b\": letters, "
						 "digits, '.', '_' and '-' only, at most "
						 "64"},
	{"providers: {a: {api_key: b}}\n", "f.yaml:1:13: providers.a has no type"},
	{"providers: {a: }\n", "f.yaml:1:13: providers.a: a mapping is expected, such as {type: "
			       "openai, api_key: \"${KEY}\"}"},
	{"providers: [a]\n",
		"f.yaml:1:12: providers: a mapping is expected: lines of the form \"name: {...}\""},
	{"providers: {a: {type: x, base_url: 'ftp://h'}}\n",
		"f.yaml:1:36: providers.a.base_url \"ftp://h\" must begin with https:// or "
		"http://"},
	{"providers: {a: {type: x, base_url: 'http://'}}\n",
		"f.yaml:1:36: providers.a.base_url \"http://\" has no host name"},
	{"providers: {a: {type: x, base_url: 'http://u:p@h/'}}\n",
		"f.yaml:1:36: providers.a.base_url \"http://u:p@h/\" must be a plain address: no "
		"blank, user name, query or fragment"},
	{"providers: {a: {type: x, base_url: 'http://h:0/'}}\n",
		"f.yaml:1:36: providers.a.base_url \"http://h:0/\" has a port that is not 1 to "
		"65535"},
	{"providers: {a: {type: x, base_url: 'http://[::g]/'}}\n",
		"f.yaml:1:36: providers.a.base_url \"http://[::g]/\" has no valid IPv6 address in "
		"its "
		"brackets"},
	{"providers: {a: {type: x, api_key: 'secret words'}}\n",
		"f.yaml:1:35: providers.a.api_key has a blank or a character that no key has; is "
		"the "
		"variable or file right?"},
	{"providers: {a: {type: x, enabled: yes}}\n",
		"f.yaml:1:35: providers.a.enabled \"yes\" must be true or false"},
	{"providers: {a: {type: x, enabled: 'true'}}\n",
		"f.yaml:1:35: providers.a.enabled \"true\" must be true or false without quotes"},
	{"models: {llama: {}}\n",
		"f.yaml:1:10: model id \"llama\": provider/model is expected, without blanks"},
	{"models: {a/b: 3}\n",
		"f.yaml:1:15: models.a/b: a mapping is expected, such as {context_window: 131072}"},
	{"models: {a/b: {input_price: 0.0000000001}}\n",
		"f.yaml:1:29: models.a/b.input_price \"0.0000000001\" has more than 9 decimals"},
	{"models: {a/b: {input_price: 1e3}}\n",
		"f.yaml:1:29: models.a/b.input_price \"1e3\" must be a plain decimal number of "
		"dollars, such as \"0.25\""},
	{"models: {a/b: {input_price: -1}}\n",
		"f.yaml:1:29: models.a/b.input_price \"-1\" must be a plain decimal number of "
		"dollars, such as \"0.25\""},
	{"models: {a/b: {input_price: 1.}}\n",
		"f.yaml:1:29: models.a/b.input_price \"1.\" must be a plain decimal number of "
		"dollars, such as \"0.25\""},
	{"models: {a/b: {context_window: -5}}\n",
		"f.yaml:1:32: models.a/b.context_window \"-5\" is out of range"},
	{"data_dir: ${SLUICE_TEST_ABSENT}\n", "f.yaml:1:11: data_dir: the environment has no "
					      "variable SLUICE_TEST_ABSENT; set it, or "
					      "write ${SLUICE_TEST_ABSENT:-} for an empty default"},
	{"data_dir: \"${SLUICE_TEST_ABSENT:?say where}\"\n",
		"f.yaml:1:11: data_dir: the variable SLUICE_TEST_ABSENT is not set: say where"},
	{"data_dir: ${a\n", "f.yaml:1:11: data_dir: ${ without }; a plain ${ is written $${"},
	{"data_dir: ${9}\n",
		"f.yaml:1:11: data_dir: what stands in ${...} is none of NAME, NAME:-default, "
		"NAME:?message, file:NAME; a plain ${ is written $${"},
	{"data_dir: \"${A:-${B}}\"\n",
		"f.yaml:1:11: data_dir: a variable inside a variable is not supported"},
	{"data_dir: ${file:sluice-test-absent}\n",
		"f.yaml:1:11: data_dir: there is no secret file sluice-test-absent in "
		"$CREDENTIALS_DIRECTORY or /run/secrets"},
	{"data_dir: ${file:../x}\n",
		"f.yaml:1:11: data_dir: ${file:../x}: a name without '/' or an "
		"absolute path is needed"},
	{"providers: {a: {type: x, api_key: \"Bearer-${SLUICE_TEST_SET}\"}}\n",
		"f.yaml:1:35: providers.a.api_key: a variable must be the whole value of a secret"},
	{"data_dir: \"a\\nb\"\n",
		"f.yaml:1:11: data_dir has a line end or another control character"},
	{"data_dir: |\n  a\n  b\n", "f.yaml:2:1: a value must stand on one line"},
	{"data_dir: a\n  b\n", "f.yaml:1:11: a value must stand on one line"},
	{"data_dir: 'a\n  b'\n", "f.yaml:1:11: a value must stand on one line"},
	{"data_dir: 'it''''s'\n",
		"f.yaml:1:11: write a text with several quotes in a row in double quotes"},
	{"a: &x 1\n", "f.yaml:1:7: anchors (&name) are not supported"},
	{"a: *x\n", "f.yaml:1:5: aliases (*name) are not supported"},
	{"a: !!str 1\n", "f.yaml:1:10: tags (!name) are not supported"},
	{"limits: {<<: 1}\n", "f.yaml:1:10: merge keys (<<) are not supported"},
	{"? [a]\n: b\n", "f.yaml:1:3: a key must be a plain name"},
	{": b\n", "f.yaml:1:1: a key is missing in front of the colon"},
	{"a: \x01\n", "f.yaml:1:4: a control character is not allowed here"},
	{"a: b\nc: \xff\n", "f.yaml:2:1: this line is not UTF-8"},
	{"workers: 1\n---\nworkers: 2\n", "f.yaml:2:1: one document only"},
	{"%YAML 1.1\n---\nworkers: 1\n", "f.yaml:2:1: directives (%YAML, %TAG) are not supported"},
	{"limits:\n  head: 1s\n idle: 3s\n", "f.yaml:3:2: invalid indentation in mapping"},
	{"limits: {head: 1s\n", "f.yaml:2:1: missing comma in flow mapping"},
	{"a: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]\n", "f.yaml:1:19: nested too deeply"},
};

static void test_bad_files(void **state)
{
	int wrong = 0;

	for (size_t i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++) {
		struct err err = {0};
		struct conf *c = conf_read(&sys_real, "f.yaml", span_of(bad_files[i].file), &err);

		if (c == NULL && err.code == ERR_CONFIG &&
			strcmp(err.text, bad_files[i].error) == 0)
			continue;
		wrong++;
		print_message("%s-> %s\nbut  %s\n", bad_files[i].file, bad_files[i].error,
			c == NULL ? err.text : "accepted");
		conf_free(c);
	}
	assert_int_equal(wrong, 0);
}

/* ---- variables ---- */

static void test_variables(void **state)
{
	struct conf *c;

	setenv("SLUICE_TEST_EMPTY", "", 1);
	c = read_ok("data_dir: a-${SLUICE_TEST_SET}-${SLUICE_TEST_ABSENT:-b c}-$${X}-$\n"
		    "workers: ${SLUICE_TEST_ABSENT:-7}\n"
		    "log: {file: \"${SLUICE_TEST_EMPTY:-was-empty}\"}\n"
		    "providers:\n"
		    "  a: {type: openai, api_key: \"${SLUICE_TEST_SET}\"}\n"
		    "  b: {type: openai, api_key: \"${SLUICE_TEST_EMPTY}\"}\n"
		    "  c: {type: openai, api_key: \"${SLUICE_TEST_ABSENT:-}\"}\n");
	assert_string_equal(c->data_dir, "a-value${x}-b c-${X}-$"); /* looked at once */
	assert_int_equal(c->workers, 7);
	assert_string_equal(c->log_file, "was-empty");
	assert_string_equal(c->providers[0].api_key, "value${x}");
	assert_string_equal(c->providers[1].api_key, "");
	assert_string_equal(c->providers[2].api_key, "");
	conf_free(c);
}

static void write_file(const char *path, const char *text)
{
	struct err err = {0};

	if (!sys_write_file(&sys_real, path, span_of(text), 0600, &err))
		fail_msg("%s", err.text);
}

static void test_secret_files(void **state)
{
	char dir[] = "/tmp/conf_test.XXXXXX", path[64], text[256];
	struct conf *c;

	assert_non_null(mkdtemp(dir));
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	snprintf(path, sizeof(path), "%s/provider-key", dir);
	write_file(path, "sk-from-file\r\n");
	snprintf(text, sizeof(text),
		"providers:\n  a: {type: x, api_key: '${file:provider-key}'}\n"
		"  b: {type: x, api_key: '${file:%s}'}\n",
		path);
	c = read_ok(text);
	assert_string_equal(c->providers[0].api_key, "sk-from-file");
	assert_string_equal(c->providers[1].api_key, "sk-from-file");
	conf_free(c);
	unsetenv("CREDENTIALS_DIRECTORY");
	unlink(path);
	rmdir(dir);
}

static void test_environment_beats_the_file(void **state)
{
	struct err err = {0};
	struct conf *c;

	setenv("SLUICE_LISTEN", "127.0.0.1:1", 1);
	setenv("SLUICE_LIMITS_MAX_BODY", "2MiB", 1);
	setenv("SLUICE_CORS_ORIGINS", "https://a, https://b", 1);
	setenv("SLUICE_LOG_LEVEL", "", 1);
	c = read_ok("listen: 127.0.0.1:2\nlog: {level: warn}\n");
	assert_string_equal(c->listen, "127.0.0.1:1");
	assert_int_equal(c->max_body_bytes, 2 << 20);
	assert_string_equal(c->cors_origins[1], "https://b");
	assert_string_equal(c->log_level, "warn");
	assert_shows(c, true, "listen: \"127.0.0.1:1\"  # environment SLUICE_LISTEN\n", true);
	assert_shows(c, true, "  level: warn  # f.yaml:2\n", true);
	conf_free(c);
	setenv("SLUICE_LIMITS_MAX_BODY", "huge", 1);
	assert_null(conf_read(&sys_real, "f.yaml", SPAN(""), &err));
	assert_string_equal(err.text,
		"environment: SLUICE_LIMITS_MAX_BODY must be a whole number of bytes, or with KiB, "
		"MiB, GiB or TiB, such as 20MiB");
	unsetenv("SLUICE_LISTEN");
	unsetenv("SLUICE_LIMITS_MAX_BODY");
	unsetenv("SLUICE_CORS_ORIGINS");
	unsetenv("SLUICE_LOG_LEVEL");
}

/* ---- show, template, reference ---- */

static void test_secrets_are_masked(void **state)
{
	struct conf *c = read_ok("providers:\n"
				 "  a: {type: x, api_key: sk-12345678901234567890}\n"
				 "  b: {type: x, api_key: short-secret}\n"
				 "  c: {type: x, api_key: ''}\n"
				 "  d: {type: x, api_key: 'sk-1234567890123456$${a'}\n");

	assert_shows(c, false, "api_key: \"***7890\"", true);
	assert_shows(c, false, "sk-1", false);
	assert_shows(c, false, "api_key: \"***\"", true);
	assert_shows(c, false, "short", false);
	assert_shows(c, false, "api_key: \"\"", true);
	conf_free(c);
}

static void test_the_databases_address_is_masked(void **state)
{
	struct conf *c = read_ok("database: postgres://u:canary@host/db\n");
	struct err err = {0};

	assert_string_equal(c->database, "postgres://u:canary@host/db");
	assert_shows(c, false, "database: \"postgres://***\"", true);
	assert_shows(c, true, "canary", false);
	conf_free(c);
	c = read_ok("listen: 127.0.0.1:1\n");
	assert_shows(c, false, "database: \"sqlite\"", true);
	conf_free(c);
	assert_null(conf_read(&sys_real, "f.yaml", SPAN("database: mysql://u:canary@h/d\n"), &err));
	assert_int_equal(err.code, ERR_CONFIG);
	assert_null(strstr(err.text, "canary"));
}

static void assert_shown_again(const char *text)
{
	struct buf first, second;
	struct err err = {0};
	struct conf *c = read_ok(text), *d;

	buf_init(&first, 1 << 20);
	buf_init(&second, 1 << 20);
	assert_true(conf_show(c, true, &first));
	d = conf_read(&sys_real, "f.yaml", buf_span(&first), &err);
	if (d == NULL)
		fail_msg("%s in:\n%.*s", err.text, SPAN_ARG(buf_span(&first)));
	buf_clear(&first);
	assert_true(conf_show(c, false, &first));
	assert_true(conf_show(d, false, &second));
	assert_true(span_eq(buf_span(&first), buf_span(&second)));
	buf_done(&first);
	buf_done(&second);
	conf_free(c);
	conf_free(d);
}

static void test_what_is_shown_reads_again(void **state)
{
	assert_shown_again("");
	assert_shown_again("data_dir: \"\\\" $${X} \\\\ # é\"\n"
			   "tls: {cert: 'a: b', key: '- x'}\n"
			   "limits: {max_body: 1500, head: 1500ms, drain: 0}\n"
			   "cors: {origins: ['*', http://a:1]}\n"
			   "providers: {null-1: {type: x, api_key: '$${SLUICE_TEST_SET'}}\n"
			   "models: {a/b: {}, 'a/\"q\"': {input_price: 000.5}}\n"
			   "policies: {p: {models: []}, q: {type: load_balance, deadline: 1s, "
			   "on_error: next, models: [x/y, {model: policy/p, weight: 0}]}}\n");
}

static void test_policies(void **state)
{
	struct err err = {0};
	struct conf *c = conf_read(&sys_real, "f.yaml",
		SPAN("policies:\n"
		     "  fast: {models: [a/b, {model: c/d, retries: 2}]}\n"
		     "  split:\n"
		     "    type: load_balance\n"
		     "    deadline: 30s\n"
		     "    models:\n"
		     "      - {model: policy/fast, weight: 3}\n"),
		&err);

	if (c == NULL)
		fail_msg("%s", err.text);
	assert_int_equal(c->n_policies, 2);
	assert_string_equal(c->policies[0].name, "fast");
	assert_string_equal(c->policies[0].type, "fallback");
	assert_int_equal(c->policies[0].deadline_ms, 120000);
	assert_int_equal(c->policies[0].n_members, 2);
	assert_string_equal(c->policies[0].members[0].model, "a/b");
	assert_int_equal(c->policies[0].members[0].retries, 0);
	assert_int_equal(c->policies[0].members[1].retries, 2);
	assert_string_equal(c->policies[1].type, "load_balance");
	assert_int_equal(c->policies[1].deadline_ms, 30000);
	assert_int_equal(c->policies[1].members[0].weight, 3);
	assert_int_equal(c->policies[1].line, 3);
	conf_free(c);
}

static void test_template(void **state)
{
	struct buf out, all;
	struct err err = {0};
	struct conf *c;
	struct span rest;

	buf_init(&out, 65536);
	buf_init(&all, 65536);
	assert_true(conf_template(&out));
	c = conf_read(&sys_real, "f.yaml", buf_span(&out), &err);
	if (c == NULL)
		fail_msg("%s", err.text);
	assert_int_equal(c->n_providers, 2);
	conf_free(c);
	/* With every option of it switched on it is valid too. */
	setenv("SLUICE_TEST_FILE", "", 1);
	for (rest = buf_span(&out); rest.n > 0;) {
		struct span line = span_cut(&rest, '\n');

		if (span_starts(line, SPAN("# ")))
			line = span_skip(line, 2);
		if (span_find(line, SPAN("${file:")) >= 0)
			continue;
		buf_append(&all, line);
		buf_append_char(&all, '\n');
	}
	c = conf_read(&sys_real, "f.yaml", buf_span(&all), &err);
	if (c == NULL)
		fail_msg("%s in\n%.*s", err.text, SPAN_ARG(buf_span(&all)));
	assert_int_equal(c->n_providers, 3);
	assert_int_equal(c->n_models, 1);
	conf_free(c);
	buf_done(&out);
	buf_done(&all);
}

static void test_reference_has_every_option(void **state)
{
	struct buf out;

	buf_init(&out, 65536);
	assert_true(conf_reference(&out));
#define SECTION(path, help)
#define GENERAL(path, ...) assert_true(span_find(buf_span(&out), SPAN("| `" path "` |")) >= 0);
#define PROVIDER GENERAL
#define MODEL GENERAL
#define POLICY GENERAL
#define MEMBER GENERAL
#include "control/conf/options.def"
	buf_done(&out);
}

/* ---- files ---- */

static void test_no_file(void **state)
{
	struct err err = {0};

	assert_null(conf_read_file(&sys_real, "/nonexistent/s.yaml", &err));
	assert_int_equal(err.code, ERR_CONFIG);
	assert_string_equal(err.text,
		"/nonexistent/s.yaml: No such file or directory; `sluice init "
		"/nonexistent/s.yaml` writes one");
}

static void test_too_large(void **state)
{
	char *text = malloc(CONF_MAX_BYTES + 1);
	struct err err = {0};

	assert_non_null(text);
	memset(text, '\n', CONF_MAX_BYTES + 1);
	assert_null(conf_read(&sys_real, "f.yaml", span_from(text, CONF_MAX_BYTES + 1), &err));
	assert_string_equal(err.text, "f.yaml: larger than 1048576 bytes");
	free(text);
}

static void test_data_dir_alone(void **state)
{
	char path[] = "/tmp/conf_test.XXXXXX", out[64], small[4];
	struct err err = {0};
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	write_file(path, "data_dir: /x/${SLUICE_TEST_ABSENT:-y}\nworkers: none\n"
			 "providers: {a: {type: openai, api_key: '${SLUICE_TEST_ABSENT}'}}\n");
	assert_true(conf_find(&sys_real, path, "data_dir", out, sizeof(out), &err));
	assert_string_equal(out, "/x/y");
	setenv("SLUICE_WORKERS", "none", 1);
	setenv("SLUICE_DATA_DIR", "/z", 1);
	assert_true(conf_find(&sys_real, path, "data_dir", out, sizeof(out), &err));
	assert_string_equal(out, "/z");
	unsetenv("SLUICE_WORKERS");
	unsetenv("SLUICE_DATA_DIR");
	assert_true(conf_find(&sys_real, NULL, "data_dir", out, sizeof(out), &err));
	assert_string_equal(out, "./data");
	assert_false(conf_find(&sys_real, NULL, "data_dir", small, sizeof(small), &err));
	err = (struct err){0};
	write_file(path, "data_dir: [\n");
	assert_false(conf_find(&sys_real, path, "data_dir", out, sizeof(out), &err));
	assert_int_equal(err.code, ERR_CONFIG);
	unlink(path);
}

static void test_dev(void **state)
{
	char path[] = "/tmp/conf_test.XXXXXX";
	struct err err = {0};
	struct conf *c;
	int fd;

	unsetenv("OPENAI_API_KEY");
	setenv("ANTHROPIC_API_KEY", "sk-ant", 1);
	c = conf_dev(&sys_real, NULL, "http://127.0.0.1:5", &err);
	if (c == NULL)
		fail_msg("%s", err.text);
	assert_null(c->file);
	assert_string_equal(c->listen, "127.0.0.1:4000");
	assert_int_equal(c->n_providers, 2);
	assert_string_equal(c->providers[0].name, "sim");
	assert_string_equal(c->providers[0].base_url, "http://127.0.0.1:5");
	assert_string_equal(c->providers[1].name, "anthropic");
	assert_string_equal(c->providers[1].api_key, "sk-ant");
	assert_shows(c, true, "type: \"sim\"  # built in\n", true);
	conf_free(c);
	unsetenv("ANTHROPIC_API_KEY");

	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	write_file(path, "workers: 5\nproviders:\n  sim: {type: openai}\n  b: {type: openai}\n");
	c = conf_dev(&sys_real, path, "http://127.0.0.1:5", &err);
	if (c == NULL)
		fail_msg("%s", err.text);
	assert_string_equal(c->file, path);
	assert_int_equal(c->workers, 5);
	assert_int_equal(c->n_providers, 2);
	assert_string_equal(c->providers[0].type, "openai"); /* replaced whole */
	assert_null(c->providers[0].base_url);
	conf_free(c);
	unlink(path);
	c = conf_dev(&sys_real, NULL, "", &err);
	assert_non_null(c);
	assert_int_equal(c->n_providers, 0);
	conf_free(c);
}

static int set_up(void **state)
{
	setenv("SLUICE_TEST_SET", "value${x}", 1);
	unsetenv("SLUICE_TEST_ABSENT");
	unsetenv("CREDENTIALS_DIRECTORY");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_what_single_kinds_of_providers_need),
		cmocka_unit_test(test_the_file_of_a_service_account),
		cmocka_unit_test(test_a_whole_file),
		cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_json_is_yaml),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_variables),
		cmocka_unit_test(test_secret_files),
		cmocka_unit_test(test_environment_beats_the_file),
		cmocka_unit_test(test_secrets_are_masked),
		cmocka_unit_test(test_the_databases_address_is_masked),
		cmocka_unit_test(test_what_is_shown_reads_again),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_template),
		cmocka_unit_test(test_reference_has_every_option),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_data_dir_alone),
		cmocka_unit_test(test_dev),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
