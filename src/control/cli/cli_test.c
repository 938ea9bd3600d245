/* SPDX-License-Identifier: Apache-2.0 */
#include "control/cli/cli.h"
#include <stdarg.h>
#include <setjmp.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include "control/cli/command.h"
#include "control/cli/table.h"
#include "machine/base/json.h"
#include "state/store/store.h"

#define MAX_ARGS 16

/* What the last command wrote. */
static char out[1 << 20], err_out[1 << 16];
static struct serve_options served;
static struct sim_options simulated;
static int n_served, n_simulated;
static char home[64];

static int on_serve(const struct serve_options *o)
{
	served = *o;
	n_served++;
	return CLI_DONE;
}

static int on_sim(const struct sim_options *o)
{
	simulated = *o;
	n_simulated++;
	return CLI_DONE;
}

static const struct cli_hooks hooks = {.serve = on_serve, .sim = on_sim};

static void read_back(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, size - 1);

	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
}

/* Runs a command line with both outputs in files. */
static int run_line(const char *line, const char *to)
{
	static char words[4096];
	char *argv[MAX_ARGS + 1] = {NULL}, *rest;
	int argc = 0, saved[2] = {dup(STDOUT_FILENO), dup(STDERR_FILENO)}, code;
	int fds[2] = {open(to, O_RDWR | O_CREAT | O_TRUNC, 0600),
		open("err", O_RDWR | O_CREAT | O_TRUNC, 0600)};

	snprintf(words, sizeof(words), "sluice %s", line);
	for (char *w = strtok_r(words, " ", &rest); w != NULL && argc < MAX_ARGS;
		w = strtok_r(NULL, " ", &rest))
		argv[argc++] = w;
	fflush(stdout);
	fflush(stderr);
	for (int i = 0; i < 2; i++) {
		assert_true(fds[i] >= 0);
		dup2(fds[i], i == 0 ? STDOUT_FILENO : STDERR_FILENO);
		close(fds[i]);
	}
	code = cli_main(argc, argv, &hooks);
	fflush(stdout);
	fflush(stderr);
	for (int i = 0; i < 2; i++) {
		dup2(saved[i], i == 0 ? STDOUT_FILENO : STDERR_FILENO);
		close(saved[i]);
	}
	if (strcmp(to, "out") == 0)
		read_back("out", out, sizeof(out));
	read_back("err", err_out, sizeof(err_out));
	return code;
}

static int run(const char *line)
{
	return run_line(line, "out");
}

static void assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part) != NULL)
		fail_msg("\"%s\" is in:\n%s", part, text);
}

static void write_text(const char *path, const char *text)
{
	struct err err = {0};

	if (!sys_write_file(&sys_real, path, span_of(text), 0600, &err))
		fail_msg("%s", err.text);
}

/* ---- help and usage ---- */

static void test_every_command_has_help(void **state)
{
	for (const struct command *c = commands; c->name != NULL; c++) {
		char line[128], example[128];

		snprintf(line, sizeof(line), "%s --help", c->name);
		assert_int_equal(run(line), CLI_DONE);
		assert_has(out, c->summary);
		assert_string_equal(err_out, "");
		snprintf(example, sizeof(example), "\n  sluice %s", c->name);
		assert_has(
			out, strcmp(c->name, "keys create") == 0 ? "sluice keys create" : example);
		for (const struct flag *f = c->flags; f != NULL && f->name != NULL; f++) {
			snprintf(line, sizeof(line), "--%s", f->name);
			if (f->help != NULL)
				assert_has(out, line);
			else
				assert_lacks(out, line);
		}
		snprintf(line, sizeof(line), "help %s", c->name);
		assert_int_equal(run(line), CLI_DONE);
		assert_has(out, c->summary);
		assert_int_equal(run(""), CLI_DONE);
		assert_has(out, c->name);
	}
}

static void test_topics(void **state)
{
	assert_int_equal(run("help exit-codes"), CLI_DONE);
	assert_has(out, "  6  conflict");
	assert_int_equal(run("help env"), CLI_DONE);
	assert_has(out, "SLUICE_LIMITS_MAX_BODY");
	assert_int_equal(run("help config"), CLI_DONE);
	assert_has(out, "# Configuration reference");
	assert_int_equal(run("help keys"), CLI_DONE);
	assert_has(out, "keys delete");
	assert_int_equal(run("help nonsense"), CLI_USAGE);
	assert_int_equal(run("keys --help"), CLI_DONE);
	assert_has(out, "keys delete");
}

/* What failed, why, what to do; nothing on stdout. */
static void test_wrong_use(void **state)
{
	static const struct {
		const char *line, *what, *why, *todo;
	} rows[] = {
		{"serv", "unknown command", "no command \"serv\"", "did you mean: sluice serve"},
		{"keys lsit", "unknown command", "no command \"keys lsit\"",
			"did you mean: sluice keys list"},
		{"kyes create", "unknown command", "no command \"kyes\"",
			"did you mean: sluice keys create"},
		{"zzzzzzzzz", "unknown command", "no command \"zzzzzzzzz\"", "sluice help"},
		{"keys", "incomplete command", "keys needs to be told what to do", "keys list"},
		{"serve --lsiten x", "wrong use", "--lsiten is unknown; did you mean --listen?",
			"sluice serve --help"},
		{"serve --listen", "wrong use", "--listen needs a value: ADDRESS", "--help"},
		{"serve --listen=", "wrong use", "--listen needs a value", "--help"},
		{"serve --dev=1", "wrong use", "--dev takes no value", "--help"},
		{"serve --dev --dev", "wrong use", "--dev is given twice", "--help"},
		{"serve -x", "wrong use", "-x is unknown", "--help"},
		{"serve file", "wrong use", "\"file\" is one argument too many", "--help"},
		{"init a b", "wrong use", "\"b\" is one argument too many", "--help"},
		{"keys delete", "wrong use", "ID|NAME is missing", "sluice keys delete --help"},
		{"keys list -o xml", "wrong use", "-o takes json, table or tsv", "--help"},
		{"keys create", "wrong use", "--name NAME is missing", "--help"},
		{"keys create --name a --manage all", "wrong use",
			"--manage is none, read or write, not \"all\"", "--help"},
		{"keys create --name a --expires soon", "wrong use", "--expires is a number",
			"--help"},
		{"keys create --name a --expires 0d", "wrong use", "--expires is 1s to", "--help"},
		{"keys create --name a --expires 99999999999999999999d", "wrong use",
			"--expires is a number", "--help"},
		{"sim --tls-cert a", "wrong use", "--tls-cert and --tls-key go together", "--help"},
		{"sim --parent-fd x", "wrong use", "--parent-fd takes a descriptor", "--help"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(run(rows[i].line), CLI_USAGE);
		assert_string_equal(out, "");
		assert_has(err_out, rows[i].what);
		assert_has(err_out, rows[i].why);
		assert_has(err_out, rows[i].todo);
	}
	assert_int_equal(n_served + n_simulated, 0);
}

static void assert_error_object(const char *code)
{
	struct err err = {0};
	yyjson_doc *doc = json_read(NULL, span_of(err_out), &err);
	yyjson_val *error = json_get(yyjson_doc_get_root(doc), "error");

	if (doc == NULL)
		fail_msg("%s: %s", err.text, err_out);
	assert_int_equal(yyjson_obj_size(error), 4);
	assert_true(yyjson_is_str(json_get(error, "message")));
	assert_true(yyjson_is_str(json_get(error, "type")));
	assert_non_null(json_get(error, "param"));
	if (code != NULL)
		assert_string_equal(yyjson_get_str(json_get(error, "code")), code);
	json_free(doc);
	assert_string_equal(out, "");
}

static void test_errors_as_json(void **state)
{
	assert_int_equal(run("keys list --data-dir none -o json"), CLI_NOT_FOUND);
	assert_error_object("not_found");
	assert_int_equal(run("keys list --wrong --output=json"), CLI_USAGE);
	assert_error_object(NULL);
	assert_int_equal(run("keys create -o json --name"), CLI_USAGE);
	assert_error_object(NULL);
}

/* ---- serve, sim, init, config, version ---- */

static void test_serve(void **state)
{
	n_served = 0;
	unlink("sluice.yaml");
	assert_int_equal(run("serve"), CLI_CONFIG);
	assert_has(err_out, "sluice init");
	assert_has(err_out, "sluice serve --dev");
	assert_int_equal(n_served, 0);

	assert_int_equal(run("serve -c f.yaml --listen=127.0.0.1:1"), CLI_DONE);
	assert_string_equal(served.config, "f.yaml");
	assert_string_equal(served.listen, "127.0.0.1:1");
	assert_string_equal(served.program, "sluice");
	assert_false(served.dev || served.check);
	assert_int_equal(run("serve -cf.yaml --check"), CLI_DONE);
	assert_string_equal(served.config, "f.yaml");
	assert_true(served.check);
	assert_int_equal(run("serve --dev"), CLI_DONE);
	assert_null(served.config);
	assert_true(served.dev);

	write_text("sluice.yaml", "");
	assert_int_equal(run("serve"), CLI_DONE);
	assert_string_equal(served.config, "sluice.yaml");
	assert_int_equal(run("serve --dev"), CLI_DONE);
	assert_null(served.config);
	assert_int_equal(run("config check"), CLI_DONE);
	assert_string_equal(served.config, "sluice.yaml");
	assert_true(served.check);
	unlink("sluice.yaml");
	assert_int_equal(run("config check"), CLI_CONFIG);
	assert_int_equal(run("config show"), CLI_CONFIG);
}

static void test_sim(void **state)
{
	assert_int_equal(run("sim"), CLI_DONE);
	assert_string_equal(simulated.listen, "127.0.0.1:4010");
	assert_null(simulated.tls_cert);
	assert_int_equal(simulated.parent_fd, -1);
	assert_int_equal(
		run("sim --listen 127.0.0.1:0 --tls-cert c --tls-key k --parent-fd 3"), CLI_DONE);
	assert_string_equal(simulated.listen, "127.0.0.1:0");
	assert_string_equal(simulated.tls_cert, "c");
	assert_string_equal(simulated.tls_key, "k");
	assert_int_equal(simulated.parent_fd, 3);
}

static void test_init(void **state)
{
	struct stat st;

	unlink("new.yaml");
	assert_int_equal(run("init new.yaml"), CLI_DONE);
	assert_string_equal(out, "");
	assert_has(err_out, "sluice serve -c new.yaml");
	assert_int_equal(stat("new.yaml", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	write_text("new.yaml", "mine");
	assert_int_equal(run("init new.yaml"), CLI_CONFLICT);
	assert_has(err_out, "new.yaml is there already");
	read_back("new.yaml", out, sizeof(out));
	assert_string_equal(out, "mine");
	unlink("new.yaml");
	assert_int_equal(run("init"), CLI_DONE);
	assert_int_equal(run("config show"), CLI_DONE);
	assert_has(out, "listen: \"127.0.0.1:4000\"\n");
	unlink("sluice.yaml");
	assert_int_equal(run("init -"), CLI_DONE);
	assert_has(out, "providers:\n");
	assert_int_equal(run("init none/there.yaml"), CLI_NOT_FOUND);
}

static void test_config(void **state)
{
	write_text("c.yaml", "providers: {a: {type: openai, api_key: sk-abcdefghijklmnopqrst}}\n");
	assert_int_equal(run("config show -c c.yaml --sources"), CLI_DONE);
	assert_has(out, "api_key: \"***qrst\"  # c.yaml:1\n");
	assert_lacks(out, "abcd");
	write_text("c.yaml", "\nlistne: x\n");
	assert_int_equal(run("config show -c c.yaml"), CLI_CONFIG);
	assert_has(err_out, "c.yaml:2:1: unknown key \"listne\"; did you mean \"listen\"?");
	assert_string_equal(out, "");
	assert_int_equal(run("config show -c none.yaml"), CLI_CONFIG);
	assert_int_equal(run("config reference"), CLI_DONE);
	assert_has(out, "| `limits.max_body` |");
}

static void test_version(void **state)
{
	assert_int_equal(run("version"), CLI_DONE);
	assert_string_equal(out, "sluice " SLUICE_VERSION "\n");
	assert_int_equal(run("--version"), CLI_DONE);
	assert_string_equal(out, "sluice " SLUICE_VERSION "\n");
	assert_int_equal(run("version -v"), CLI_DONE);
	assert_has(out, "OpenSSL   3.");
}

/* ---- keys, without a server ---- */

static void test_keys_in_the_store(void **state)
{
	char id[64], line[256];
	struct stat st;
	yyjson_doc *doc;
	yyjson_val *key;

	assert_int_equal(run("keys list --data-dir d1"), CLI_NOT_FOUND);
	assert_int_equal(stat("d1", &st), -1); /* looking makes nothing */
	assert_int_equal(run("keys create --name alice --data-dir d1"), CLI_DONE);
	assert_int_equal(strlen(out), 72 + 1); /* the key alone */
	assert_has(out, "sk-sluice-");
	assert_has(err_out, "Key \"alice\" is made");
	assert_has(err_out, "Made the data directory /");
	assert_int_equal(run("keys create --name ci --secret-only --manage read --completions none "
			     "--expires 90d --data-dir=d1"),
		CLI_DONE);
	assert_int_equal(strlen(out), 72 + 1);
	assert_string_equal(err_out, "");

	assert_int_equal(run("keys create --name alice --data-dir d1"), CLI_CONFLICT);
	assert_string_equal(out, "");
	assert_has(err_out, "alice");

	assert_int_equal(run("keys list --data-dir d1 -o json"), CLI_DONE);
	doc = json_read(NULL, span_of(out), NULL);
	assert_int_equal(yyjson_arr_size(json_get(yyjson_doc_get_root(doc), "data")), 2);
	assert_true(yyjson_is_null(json_get(yyjson_doc_get_root(doc), "next")));
	key = yyjson_arr_get(json_get(yyjson_doc_get_root(doc), "data"), 1);
	assert_string_equal(yyjson_get_str(json_get(key, "name")), "ci");
	assert_string_equal(
		yyjson_get_str(json_get(json_get(key, "permissions"), "manage")), "read");
	assert_string_equal(
		yyjson_get_str(json_get(json_get(key, "permissions"), "completions")), "none");
	assert_true(yyjson_is_str(json_get(key, "expires_at")));
	snprintf(id, sizeof(id), "%s", yyjson_get_str(json_get(key, "id")));
	json_free(doc);

	assert_int_equal(run("keys list --data-dir d1"), CLI_DONE);
	assert_int_equal(strncmp(out, "alice\t", 6), 0); /* piped: tab-separated, no head line */
	assert_int_equal(run("keys list --data-dir d1 -o table"), CLI_DONE);
	assert_int_equal(strncmp(out, "NAME   ID", 9), 0);

	assert_int_equal(run("keys delete alcie --data-dir d1"), CLI_NOT_FOUND);
	assert_has(err_out, "did you mean \"alice\"?");
	snprintf(line, sizeof(line), "keys delete %s --yes --data-dir d1", id);
	assert_int_equal(run(line), CLI_DONE);
	assert_has(err_out, "Key \"ci\" is deleted");
	assert_int_equal(run("keys delete alice -y --data-dir d1 -o json"), CLI_DONE);
	assert_has(out, "\"deleted\":true");
	assert_int_equal(run("keys list --data-dir d1"), CLI_DONE);
	assert_string_equal(out, "");
}

/* Only data_dir counts: variables of the file that this shell does not have are no obstacle. */
static void test_keys_find_the_data_directory(void **state)
{
	write_text(
		"k.yaml", "data_dir: d2\nproviders: {a: {type: openai, api_key: '${NOT_SET}'}}\n");
	assert_int_equal(run("keys create --name a -c k.yaml"), CLI_DONE);
	assert_int_equal(access("d2/sluice.db", F_OK), 0);
	assert_int_equal(run("keys list -c none.yaml"), CLI_CONFIG);
	/* Nothing is named, nothing is there: nothing is made. */
	assert_int_equal(run("keys create --name a"), CLI_NOT_FOUND);
	assert_has(err_out, "name it: -c FILE or --data-dir DIR");
	assert_int_equal(access("data", F_OK), -1);
	write_text("k.yaml", "data_dir: [\n");
	assert_int_equal(run("keys list -c k.yaml"), CLI_CONFIG);
}

static void test_a_reader_that_leaves_is_no_failure(void **state)
{
	int ends[2], saved = dup(STDOUT_FILENO), code;
	char *argv[] = {(char *)"sluice", (char *)"config", (char *)"reference", NULL};

	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	fflush(stdout);
	dup2(ends[1], STDOUT_FILENO);
	close(ends[1]);
	code = cli_main(3, argv, &hooks);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	assert_int_equal(code, CLI_DONE);
	assert_int_equal(run_line("config reference", "/dev/full"), CLI_FAILED);
}

/* ---- keys, by a server ---- */

/* Answers each connection with a canned text, and keeps what was asked. */
struct fake {
	int fd;
	pthread_t thread;
	const char *const *answers; /* NULL-terminated */
	char asked[4][2048];
	int n;
};

static void *fake_run(void *arg)
{
	struct fake *f = arg;

	for (int i = 0; f->answers[i] != NULL;) {
		int fd = accept(f->fd, NULL, NULL);
		size_t n = 0;
		ssize_t got;

		assert_true(fd >= 0);
		while (n < sizeof(f->asked[i]) - 1) {
			got = read(fd, f->asked[i] + n, sizeof(f->asked[i]) - 1 - n);
			if (got <= 0)
				break;
			n += (size_t)got;
			f->asked[i][n] = '\0';
			if (strstr(f->asked[i], "\r\n\r\n") != NULL &&
				(strncmp(f->asked[i], "POST", 4) != 0 || f->asked[i][n - 1] == '}'))
				break;
		}
		/* The client looks first whether somebody is there. */
		if (n > 0) {
			assert_true(write(fd, f->answers[i], strlen(f->answers[i])) >= 0);
			f->n = ++i;
		}
		close(fd);
	}
	return NULL;
}

static void fake_start(struct fake *f, const char *const *answers)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "d3/control.sock"};

	*f = (struct fake){.answers = answers};
	mkdir("d3", 0700);
	unlink(to.sun_path);
	f->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(f->fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(f->fd, 8), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, fake_run, f), 0);
}

static void fake_stop(struct fake *f)
{
	pthread_join(f->thread, NULL);
	close(f->fd);
}

#define KEY_TEXT "sk-sluice-V1Q7AmBP3oCH-CfG0Eyhi1056cSZBh7SDtIB5zLp9xHPhS1wp56NkteV0Fvs4u"
#define KEY_ID "01a20656-8a24-75c1-8aa5-4530d639037c"
#define KEY_JSON                                                                                   \
	"\"id\":\"" KEY_ID "\",\"name\":\"q\",\"public_id\":\"V1Q7AmBP3oCH\",\"permissions\":"     \
	"{\"manage\":\"read\",\"completions\":\"write\"},\"created_at\":\"2026-11-23T02:57:44."    \
	"484Z\",\"expires_at\":null,\"drop_params\":\"all\""
#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
#define LISTED OK_HEAD "{\"keys\":[{" KEY_JSON "}]}"

static void test_keys_by_the_server(void **state)
{
	static const char *const answers[] = {LISTED,
		"HTTP/1.1 201 Created\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
		"1\r\n{\r\n0\r\n\r\n",
		LISTED, OK_HEAD "{\"deleted\":true}", NULL};
	struct fake f;

	fake_start(&f, answers);
	assert_int_equal(run("keys list --data-dir d3 -o json"), CLI_DONE);
	assert_has(out, "{\"data\":[{" KEY_JSON "}],\"next\":null}");
	assert_int_equal(run("keys create --name q\"x --manage read --data-dir d3"), CLI_FAILED);
	assert_has(err_out, "is not understood");
	assert_int_equal(run("keys delete q --data-dir d3"), CLI_DONE);
	fake_stop(&f);
	assert_has(f.asked[0], "GET /v1/manage/apikey HTTP/1.1\r\n");
	assert_has(f.asked[1], "{\"name\":\"q\\\"x\",\"permissions\":{\"manage\":\"read\","
			       "\"completions\":\"write\"}}");
	assert_has(f.asked[3], "DELETE /v1/manage/apikey/" KEY_ID " HTTP/1.1\r\n");
	assert_int_equal(access("d3/sluice.db", F_OK), -1); /* the server's business */
}

static void test_a_key_made_by_the_server(void **state)
{
	static const char *const answers[] = {OK_HEAD
		"{\"api_key_id\":\"" KEY_ID "\",\"api_key\":\"" KEY_TEXT "\"," KEY_JSON "}",
		NULL};
	struct fake f;

	fake_start(&f, answers);
	assert_int_equal(
		run("keys create --name q --expires 1d --drop-params all --data-dir d3"), CLI_DONE);
	assert_string_equal(out, KEY_TEXT "\n");
	fake_stop(&f);
	assert_has(f.asked[0], ",\"expires_at\":\"");
	assert_has(f.asked[0], ",\"drop_params\":\"all\"}");
	assert_int_equal(run("keys create --name q --drop-params some --data-dir d3"), CLI_USAGE);
	assert_has(err_out, "--drop-params is harmless, all or none");
}

static void test_the_server_refuses(void **state)
{
	static const struct {
		const char *answer, *why;
		int code;
	} rows[] = {
		{"HTTP/1.1 409 Conflict\r\nConnection: "
		 "close\r\n\r\n{\"error\":{\"message\":\"taken\"}}",
			"taken", CLI_CONFLICT},
		{"HTTP/1.1 400 Bad Request\r\nConnection: "
		 "close\r\n\r\n{\"error\":{\"message\":\"no\"}}",
			"no", CLI_USAGE},
		{"HTTP/1.1 503 X\r\nConnection: close\r\n\r\n", "the server answered 503",
			CLI_FAILED},
		{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "ended in its answer",
			CLI_UNREACHABLE},
		{"", "ended in its answer", CLI_UNREACHABLE},
		{"nonsense\r\n\r\n", "the server's answer: ", CLI_FAILED},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *answers[] = {rows[i].answer, NULL};
		struct fake f;

		fake_start(&f, answers);
		assert_int_equal(run("keys create --name q --data-dir d3"), rows[i].code);
		assert_has(err_out, rows[i].why);
		assert_string_equal(out, "");
		fake_stop(&f);
	}
}

/* A server has the lock, but nobody answers. */
static void test_a_server_that_does_not_answer(void **state)
{
	struct err err = {0};
	int fd;

	assert_true(store_lock(&sys_real, "d4", &fd, &err));
	assert_int_equal(run("keys list --data-dir d4"), CLI_UNREACHABLE);
	close(fd);
	assert_int_equal(run("keys list --data-dir d4"), CLI_DONE);
}

/* ---- table ---- */

static void test_table(void **state)
{
	static const char *const columns[] = {"A", "LONG", NULL};
	struct table t;
	struct buf b;

	buf_init(&b, 1024);
	table_init(&t, columns);
	table_cell(&t, SPAN("\xc3\xa9\xc3\xa9"));
	table_cell(&t, SPAN("x"));
	table_cell(&t, SPAN("a\tb\n\x1b"));
	table_cell(&t, SPAN(""));
	assert_true(table_write(&t, true, &b));
	buf_append_char(&b, '\0');
	assert_string_equal(buf_span(&b).p, "A      LONG\n\xc3\xa9\xc3\xa9     x\na?b??  \n");
	buf_clear(&b);
	assert_true(table_write(&t, false, &b));
	buf_append_char(&b, '\0');
	assert_string_equal(buf_span(&b).p, "\xc3\xa9\xc3\xa9\tx\na?b??\t\n");
	table_done(&t);
	buf_done(&b);
}

static int set_up(void **state)
{
	snprintf(home, sizeof(home), "/tmp/cli_test.XXXXXX");
	unsetenv("SLUICE_DATA_DIR");
	unsetenv("SLUICE_LISTEN");
	unsetenv("NOT_SET");
	return mkdtemp(home) != NULL && chdir(home) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	static const char *const dirs[] = {"d1", "d2", "d3", "d4", NULL};
	static const char *const files[] = {
		"sluice.db", "sluice.db-wal", "sluice.db-shm", "lock", "control.sock", NULL};
	static const char *const own[] = {"out", "err", "c.yaml", "k.yaml", NULL};

	for (int i = 0; dirs[i] != NULL; i++) {
		char path[64];

		for (int j = 0; files[j] != NULL; j++) {
			snprintf(path, sizeof(path), "%s/%s", dirs[i], files[j]);
			unlink(path);
		}
		rmdir(dirs[i]);
	}
	for (int i = 0; own[i] != NULL; i++)
		unlink(own[i]);
	return chdir("/") == 0 && rmdir(home) == 0 ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_command_has_help),
		cmocka_unit_test(test_topics),
		cmocka_unit_test(test_wrong_use),
		cmocka_unit_test(test_errors_as_json),
		cmocka_unit_test(test_serve),
		cmocka_unit_test(test_sim),
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_keys_in_the_store),
		cmocka_unit_test(test_keys_find_the_data_directory),
		cmocka_unit_test(test_a_reader_that_leaves_is_no_failure),
		cmocka_unit_test(test_keys_by_the_server),
		cmocka_unit_test(test_a_key_made_by_the_server),
		cmocka_unit_test(test_the_server_refuses),
		cmocka_unit_test(test_a_server_that_does_not_answer),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
