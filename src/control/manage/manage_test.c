/* SPDX-License-Identifier: Apache-2.0 */
#include "control/manage/manage.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include "state/store/store_kit_test.h"
#include "control/manage/endpoint.h"
#include "control/manage/moment.h"
#include "machine/base/json.h"

#define KEYS "/v1/manage/apikey"

static char dir[64];
static struct manage_env env;
static struct manage *manage;

/* ---- the caller ---- */

static char got[1 << 16];

static int dial(void)
{
	const struct timeval wait = {.tv_sec = 20};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%.60s/control.sock", dir);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void say(int fd, const char *method, const char *path, const char *body, size_t promised)
{
	char head[512];
	int n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
		method, path);

	if (body != NULL)
		n += snprintf(
			head + n, sizeof(head) - (size_t)n, "Content-Length: %zu\r\n", promised);
	n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
	assert_int_equal(send(fd, head, (size_t)n, MSG_NOSIGNAL), n);
	for (size_t left = body != NULL ? strlen(body) : 0; left > 0;) {
		ssize_t done = send(fd, body + strlen(body) - left, left, MSG_NOSIGNAL);

		if (done <= 0) /* refused before all of it came */
			return;
		left -= (size_t)done;
	}
}

/* The status; the body is in got. */
static int hear(int fd)
{
	size_t n = 0;
	ssize_t part;
	char *body;
	int status;

	while ((part = recv(fd, got + n, sizeof(got) - 1 - n, 0)) > 0)
		n += (size_t)part;
	close(fd);
	got[n] = '\0';
	assert_int_equal(sscanf(got, "HTTP/1.1 %d", &status), 1);
	body = strstr(got, "\r\n\r\n");
	assert_non_null(body);
	memmove(got, body + 4, strlen(body + 4) + 1);
	return status;
}

static int call(const char *method, const char *path, const char *body)
{
	int fd = dial();

	say(fd, method, path, body, body != NULL ? strlen(body) : 0);
	return hear(fd);
}

static void member(const char *name, char *out, size_t size)
{
	yyjson_doc *doc = json_read(NULL, span_of(got), NULL);
	struct span text = SPAN("");

	assert_true(json_get_str(yyjson_doc_get_root(doc), name, &text));
	snprintf(out, size, "%.*s", SPAN_ARG(text));
	json_free(doc);
}

static void assert_has(const char *part)
{
	if (strstr(got, part) == NULL)
		fail_msg("\"%s\" is not in: %s", part, got);
}

static bool is_in_force(const char *key, int64_t now_ms, struct auth_identity *who)
{
	struct err err = {0};

	return auth_find(env.auth, span_of(key), now_ms, who, &err);
}

/* ---- endpoints ---- */

static void test_a_key_is_in_force_when_the_answer_comes(void **state)
{
	char key[128], id[64], path[128];
	struct auth_identity who;
	int64_t now_ms = sys_real.wall_ms(&sys_real);

	assert_int_equal(call("POST", KEYS,
				 "{\"name\":\"one\",\"permissions\":{\"manage\":\"read\","
				 "\"completions\":\"write\"}}"),
		201);
	member("api_key", key, sizeof(key));
	member("api_key_id", id, sizeof(id));
	assert_true(is_in_force(key, now_ms, &who));
	assert_string_equal(who.name, "one");
	assert_int_equal(who.manage, PERMISSION_READ);
	assert_int_equal(who.completions, PERMISSION_WRITE);

	assert_int_equal(call("GET", KEYS, NULL), 200);
	assert_has("{\"keys\":[{");
	assert_has("\"name\":\"one\"");
	assert_has("\"permissions\":{\"manage\":\"read\",\"completions\":\"write\"}");
	assert_has("\"expires_at\":null");
	assert_has("\"drop_params\":null");
	assert_null(strstr(got, key));

	snprintf(path, sizeof(path), KEYS "/%s", id);
	assert_int_equal(call("DELETE", path, NULL), 200);
	assert_false(is_in_force(key, now_ms, &who));
	assert_int_equal(call("DELETE", path, NULL), 404);
	assert_int_equal(call("GET", KEYS, NULL), 200);
	assert_string_equal(got, "{\"keys\":[]}");
}

static void test_drop_params(void **state)
{
	char key[128], id[64], path[128];
	struct auth_identity who;

	assert_int_equal(call("POST", KEYS, "{\"name\":\"strict\",\"drop_params\":\"none\"}"), 201);
	assert_has("\"drop_params\":\"none\"");
	member("api_key", key, sizeof(key));
	member("api_key_id", id, sizeof(id));
	assert_true(is_in_force(key, 1, &who));
	assert_int_equal(who.drop, LLM_DROP_NONE);
	assert_int_equal(call("GET", KEYS, NULL), 200);
	assert_has("\"drop_params\":\"none\"");
	snprintf(path, sizeof(path), KEYS "/%s", id);
	assert_int_equal(call("DELETE", path, NULL), 200);
}

static void test_expiry(void **state)
{
	char key[128];
	struct auth_identity who;
	int64_t end_ms;

	assert_true(moment_read(SPAN("2099-01-01T00:00:00Z"), &end_ms));
	assert_int_equal(
		call("POST", KEYS, "{\"name\":\"ends\",\"expires_at\":\"2099-01-01T00:00:00Z\"}"),
		201);
	assert_has("\"expires_at\":\"2099-01-01T00:00:00.000Z\"");
	member("api_key", key, sizeof(key));
	assert_true(is_in_force(key, end_ms - 1, &who));
	assert_false(is_in_force(key, end_ms + 1, &who));
}

static void test_what_is_refused(void **state)
{
	static const struct {
		const char *method, *path, *body;
		int status;
		const char *part;
	} rows[] = {
		{"POST", KEYS, "", 400, "\"error\""},
		{"POST", KEYS, "{", 400, "\"code\":\"invalid_json\""},
		{"POST", KEYS, "[]", 400, "must be a JSON object"},
		{"POST", KEYS, "{}", 400, "\"param\":\"name\""},
		{"POST", KEYS, "{\"name\":\"\"}", 400, "\"param\":\"name\""},
		{"POST", KEYS, "{\"name\":7}", 400, "\"param\":\"name\""},
		{"POST", KEYS, "{\"name\":\"a\\nb\"}", 400, "control characters"},
		{"POST", KEYS, "{\"name\":\"a\\u0000b\"}", 400, "control characters"},
		{"POST", KEYS, "{\"name\":\"x\",\"nmae\":1}", 400, "\\\"nmae\\\" is not a member"},
		{"POST", KEYS, "{\"name\":\"x\",\"nmae\":1}", 400, "\"param\":\"nmae\""},
		{"POST", KEYS, "{\"name\":\"x\",\"permissions\":3}", 400,
			"\"param\":\"permissions\""},
		{"POST", KEYS, "{\"name\":\"x\",\"permissions\":{\"manage\":\"all\"}}", 400,
			"\"param\":\"permissions.manage\""},
		{"POST", KEYS, "{\"name\":\"x\",\"permissions\":{\"delete\":\"read\"}}", 400,
			"may hold manage and completions only"},
		{"POST", KEYS, "{\"name\":\"x\",\"drop_params\":\"some\"}", 400,
			"\"param\":\"drop_params\""},
		{"POST", KEYS, "{\"name\":\"x\",\"expires_at\":\"tomorrow\"}", 400,
			"\"param\":\"expires_at\""},
		{"POST", KEYS, "{\"name\":\"x\",\"expires_at\":\"2001-01-01T00:00:00Z\"}", 400,
			"in the future"},
		{"DELETE", KEYS "/nonsense", NULL, 400, "\"param\":\"id\""},
		{"DELETE", KEYS "/01a20656-8a24-75c1-8aa5-4530d639037c", NULL, 404, "no key with"},
		{"DELETE", KEYS "/", NULL, 404, "\"error\""},
		{"DELETE", KEYS, NULL, 405, "\"method_not_allowed\""},
		{"PUT", KEYS, "{}", 405, "\"method_not_allowed\""},
		{"GET", "/", NULL, 404, "\"not_found\""},
		{"GET", KEYS "/a/b", NULL, 404, "\"not_found\""},
		{"BREW", "/", NULL, 501, "\"error\""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int status = call(rows[i].method, rows[i].path, rows[i].body);

		if (status != rows[i].status && !(status == 400 && rows[i].status == 501))
			fail_msg("%s %s %s: %d %s", rows[i].method, rows[i].path,
				rows[i].body != NULL ? rows[i].body : "", status, got);
		assert_has(rows[i].part);
	}
	assert_int_equal(call("GET", KEYS, NULL), 200);
	assert_null(strstr(got, "\"name\":\"x\""));
}

static int reloads;
static bool is_reload_fine;

static bool on_reload(void *user, struct err *err)
{
	assert_ptr_equal(user, &reloads);
	reloads++;
	return is_reload_fine || err_set(err, ERR_CONFIG, "sluice.yaml:3:1: unknown key");
}

static void test_a_reload_is_answered_when_it_is_done(void **state)
{
	is_reload_fine = true;
	assert_int_equal(call("POST", "/reload", "{}"), 200);
	assert_has("reloaded");
	is_reload_fine = false;
	assert_int_equal(call("POST", "/reload", "{}"), 500);
	assert_has("sluice.yaml:3:1: unknown key");
	assert_int_equal(reloads, 2);
	assert_int_equal(call("GET", "/reload", NULL), 405);
}

static void test_a_name_is_given_once(void **state)
{
	assert_int_equal(call("POST", KEYS, "{\"name\":\"twin\"}"), 201);
	assert_int_equal(call("POST", KEYS, "{\"name\":\"twin\"}"), 409);
	assert_has("\"code\":\"conflict\"");
}

static void test_a_body_has_a_limit(void **state)
{
	char *body = malloc(200001);

	assert_non_null(body);
	memset(body, ' ', 200000);
	body[200000] = '\0';
	assert_int_equal(call("POST", KEYS, body), 413);
	free(body);
}

static void test_livez(void **state)
{
	assert_int_equal(call("GET", "/livez", NULL), 200);
	assert_string_equal(got, "{\"status\":\"live\"}");
}

/* Who leaves before the answer, or never ends the request, holds nothing up. */
static void test_callers_that_leave(void **state)
{
	for (int i = 0; i < 20; i++) {
		int fd = dial();

		say(fd, "GET", KEYS, NULL, 0);
		close(fd);
	}
	assert_int_equal(call("GET", "/livez", NULL), 200);
}

static void test_moments(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-11-23T01:02:03Z", 1795395723000},
		{"2026-11-23t01:02:03.5z", 1795395723500},
		{"2026-11-23 01:02:03.004999Z", 1795395723004},
		{"2026-11-23T03:02:03+02:00", 1795395723000},
		{"2026-11-22T23:32:03-01:30", 1795395723000},
		{"2028-02-29T00:00:00Z", 1835395200000},
	};
	static const char *const bad[] = {"", "2026", "2026-11-23", "2026-11-23T01:02:03",
		"2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
		"2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
		"2026-01-01T00:00:60Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+24:00",
		"2026-01-01T00:00:00+0100", "2026-01-01T00:00:00Zx", "1969-12-31T00:00:00Z",
		"+026-01-01T00:00:00Z", "2026-1-01T00:00:00Z", "2026-01-01X00:00:00Z"};
	int64_t ms;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!moment_read(span_of(good[i].text), &ms))
			fail_msg("%s", good[i].text);
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (moment_read(span_of(bad[i]), &ms))
			fail_msg("%s", bad[i]);
}

/* ---- start and stop ---- */

static int set_up(void **state)
{
	struct store store;
	struct err err = {0};

	snprintf(dir, sizeof(dir), "/tmp/manage_test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	env = (struct manage_env){
		.sys = &sys_real, .data_dir = dir, .reload = on_reload, .reload_user = &reloads};
	assert_true(kit_store_open(&store, &sys_real, dir, &err));
	env.auth = auth_table_new(&err);
	assert_non_null(env.auth);
	env.budget = budget_new(&err);
	assert_non_null(env.budget);
	env.ingest = ingest_start(&sys_real, &store, dir, 1, NULL, &err);
	if (env.ingest == NULL)
		fail_msg("%s", err.text);
	manage = manage_start(&env, &err);
	if (manage == NULL)
		fail_msg("%s", err.text);
	return 0;
}

/* With a request that never ends, and one on its way. */
static int tear_down(void **state)
{
	static const char *const files[] = {
		"sluice.db", "sluice.db-wal", "sluice.db-shm", "lock", "control.sock", NULL};
	int half = dial(), whole = dial();
	char path[128];

	say(half, "POST", KEYS, "{\"name\":", 1000);
	say(whole, "POST", KEYS, "{\"name\":\"late\"}", 15);
	usleep(20000);
	manage_stop(manage);
	close(half);
	assert_int_equal(hear(whole), 201);
	ingest_stop(env.ingest);
	auth_table_free(env.auth);
	budget_free(env.budget);
	for (int i = 0; files[i] != NULL; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/journal", dir);
	rmdir(path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_key_is_in_force_when_the_answer_comes),
		cmocka_unit_test(test_drop_params),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_a_reload_is_answered_when_it_is_done),
		cmocka_unit_test(test_a_name_is_given_once),
		cmocka_unit_test(test_a_body_has_a_limit),
		cmocka_unit_test(test_livez),
		cmocka_unit_test(test_callers_that_leave),
		cmocka_unit_test(test_moments),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
