/* SPDX-License-Identifier: Apache-2.0 */
#include "state/auth/auth.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "state/store/store_kit_test.h"

struct made {
	struct key_row row;
	char text[AUTH_KEY_CHARS + 1];
};

static struct made make(const char *name, int64_t expires_ms)
{
	struct made m;
	struct err err = {0};

	assert_true(auth_make(&sys_real, name, PERMISSION_NONE, PERMISSION_WRITE, expires_ms,
		&m.row, m.text, &err));
	assert_int_equal(strlen(m.text), AUTH_KEY_CHARS);
	return m;
}

static void a_key_is_found_until_it_is_removed(void **state)
{
	struct auth_table *t = auth_table_new(NULL);
	struct made keys[200];
	struct auth_identity who;
	struct err err = {0};

	for (int i = 0; i < 200; i++) {
		keys[i] = make("k", 0);
		assert_true(auth_add(t, &keys[i].row, NULL));
	}
	assert_int_equal(auth_count(t), 200);
	for (int i = 0; i < 200; i += 2)
		assert_true(auth_remove(t, &keys[i].row.id));
	assert_false(auth_remove(t, &keys[0].row.id));
	for (int i = 0; i < 200; i++) {
		bool found = auth_find(t, span_of(keys[i].text), 1, &who, &err);

		assert_int_equal(found, i % 2);
		if (!found)
			assert_int_equal(err.code, ERR_KEY_REFUSED);
		else
			assert_memory_equal(&who.key_id, &keys[i].row.id, sizeof(who.key_id));
		err = (struct err){0};
	}
	auth_table_free(t);
}

static void an_expired_key_is_refused(void **state)
{
	struct auth_table *t = auth_table_new(NULL);
	struct made m = make("soon", 1000);
	struct auth_identity who;
	struct err err = {0};

	assert_true(auth_add(t, &m.row, NULL));
	assert_true(auth_find(t, span_of(m.text), 999, &who, &err));
	assert_false(auth_find(t, span_of(m.text), 1000, &who, &err));
	assert_int_equal(err.code, ERR_KEY_REFUSED);
	assert_non_null(strstr(err.text, "expired"));
	auth_table_free(t);
}

static void every_changed_character_is_malformed(void **state)
{
	struct auth_table *t = auth_table_new(NULL);
	struct made m = make("k", 0);
	struct auth_identity who;

	assert_true(auth_add(t, &m.row, NULL));
	for (int i = 0; i < AUTH_KEY_CHARS; i++) {
		struct err err = {0};
		char old = m.text[i];

		m.text[i] = old == 'x' ? 'y' : 'x';
		assert_false(auth_find(t, span_of(m.text), 1, &who, &err));
		assert_int_equal(err.code, ERR_KEY_MALFORMED);
		assert_null(strstr(err.text, m.text + 12));
		m.text[i] = old;
	}
	for (size_t n = 0; n < AUTH_KEY_CHARS; n++) {
		struct err err = {0};

		assert_false(auth_find(t, span_head(span_of(m.text), n), 1, &who, &err));
		assert_int_equal(err.code, ERR_KEY_MALFORMED);
	}
	auth_table_free(t);
}

static void foreign_keys_are_named_but_not_repeated(void **state)
{
	static const struct {
		const char *key, *whose;
	} rows[] = {{"sk-ant-api03-verysecret", "an Anthropic key"},
		{"sk-ant-oat01-verysecret", "an Anthropic key"},
		{"sk-or-v1-verysecret", "an OpenRouter key"},
		{"sk-proj-verysecret", "an OpenAI key"}, {"sk-svcacct-verysecret", "an OpenAI key"},
		{"gsk_verysecret", "a Groq key"}, {"AIzaverysecret", "a Google key"},
		{"xai-verysecret", "an xAI key"}, {"pplx-verysecret", "a Perplexity key"},
		{"r8_verysecret", "a Replicate key"}, {"hf_verysecret", "a Hugging Face key"},
		{"fw_verysecret", "a Fireworks key"}, {"nvapi-verysecret", "an NVIDIA key"},
		{"sk-verysecret", "a provider's key"}, {"verysecret", NULL},
		{"SK-SLUICE-verysecret", NULL}};
	struct auth_table *t = auth_table_new(NULL);
	struct auth_identity who;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = {0};

		assert_false(auth_find(t, span_of(rows[i].key), 1, &who, &err));
		assert_int_equal(err.code, ERR_KEY_MALFORMED);
		if (rows[i].whose != NULL)
			assert_non_null(strstr(err.text, rows[i].whose));
		assert_non_null(strstr(err.text, "sk-sluice-"));
		assert_null(strstr(err.text, "verysecret"));
	}
	auth_table_free(t);
}

/* One character more, less, or a NUL in it: not the key. */
static void only_the_exact_text_is_the_key(void **state)
{
	struct auth_table *t = auth_table_new(NULL);
	struct made m = make("k", 0);
	struct auth_identity who = {.name = "untouched"};
	char text[AUTH_KEY_CHARS + 8] = {0};

	assert_true(auth_add(t, &m.row, NULL));
	memcpy(text, m.text, AUTH_KEY_CHARS);
	assert_false(auth_find(t, span_from(text, AUTH_KEY_CHARS + 1), 1, &who, NULL));
	memcpy(text, " ", 1);
	memcpy(text + 1, m.text, AUTH_KEY_CHARS);
	assert_false(auth_find(t, span_from(text, AUTH_KEY_CHARS + 1), 1, &who, NULL));
	memcpy(text, m.text, AUTH_KEY_CHARS);
	text[40] = '\0';
	assert_false(auth_find(t, span_from(text, AUTH_KEY_CHARS), 1, &who, NULL));
	assert_false(auth_find(t, span_from(text, 0), 1, &who, NULL));
	assert_false(auth_find(t, (struct span){NULL, 0}, 1, &who, NULL));
	assert_string_equal(who.name, "untouched");
	assert_true(auth_find(t, span_of(m.text), 1, &who, NULL));
	assert_string_equal(who.name, "k");
	assert_int_equal(who.manage, PERMISSION_NONE);
	assert_int_equal(who.completions, PERMISSION_WRITE);
	auth_table_free(t);
}

/* The public id of a key with another secret behind it: as unknown as any. */
static void a_known_id_with_another_secret_is_refused(void **state)
{
	struct auth_table *t = auth_table_new(NULL);
	struct made m = make("k", 0);
	struct auth_identity who;
	struct err err = {0};

	m.row.sha256[31] ^= 1;
	assert_true(auth_add(t, &m.row, NULL));
	assert_false(auth_find(t, span_of(m.text), 1, &who, &err));
	assert_int_equal(err.code, ERR_KEY_REFUSED);
	/* A row of zeros is what unknown ids are compared with: it lets nobody in either. */
	err = (struct err){0};
	memset(m.row.sha256, 0, sizeof(m.row.sha256));
	assert_true(auth_add(t, &m.row, NULL));
	assert_int_equal(auth_count(t), 1);
	assert_false(auth_find(t, span_of(m.text), 1, &who, &err));
	auth_table_free(t);
}

static bool no_random(struct sys *sys, void *out, size_t n)
{
	return false;
}

static void without_random_numbers_there_is_no_key(void **state)
{
	struct sys sys = sys_real;
	struct made m;
	struct err err = {0};

	sys.random = no_random;
	assert_false(auth_make(&sys, "k", 0, 0, 0, &m.row, m.text, &err));
	assert_int_equal(err.code, ERR_INTERNAL);
}

/* No two alike, and every place of the secret takes many values. */
static void secrets_are_random_everywhere(void **state)
{
	static struct made keys[300];

	for (int i = 0; i < 300; i++)
		keys[i] = make("k", 0);
	for (int at = 10; at < AUTH_KEY_CHARS; at++) {
		bool seen[256] = {false};
		int distinct = 0;

		if (at == 22)
			continue; /* the dash */
		for (int i = 0; i < 300; i++) {
			unsigned char c = (unsigned char)keys[i].text[at];

			distinct += !seen[c];
			seen[c] = true;
		}
		assert_in_range(distinct, at == AUTH_KEY_CHARS - 6 ? 3 : 40, 62);
	}
}

static void a_table_is_filled_from_the_store(void **state)
{
	char dir[] = "/tmp/sluice-auth-test-XXXXXX", path[64];
	struct auth_table *t = auth_table_new(NULL);
	struct made kept = make("kept", 0), gone = make("gone", 0);
	struct auth_identity who;
	struct store store;
	bool existed;

	assert_non_null(mkdtemp(dir));
	assert_true(kit_store_open(&store, &sys_real, dir, NULL));
	assert_true(key_insert(&store, &kept.row, NULL));
	assert_true(key_insert(&store, &gone.row, NULL));
	assert_true(key_delete(&store, &gone.row.id, &existed, NULL));
	assert_true(auth_table_load(t, &store, NULL));
	store_close(&store);
	assert_int_equal(auth_count(t), 1);
	assert_true(auth_find(t, span_of(kept.text), 1, &who, NULL));
	assert_false(auth_find(t, span_of(gone.text), 1, &who, NULL));
	snprintf(path, sizeof(path), "%s/sluice.db", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	auth_table_free(t);
}

static void a_refusal_names_the_header(void **state)
{
	static const struct {
		const char *authorization, *x_api_key, *api_key, *names[2];
	} rows[] = {{"Bearer abc", "abd", NULL, {"Authorization", "x-api-key"}},
		{"Bearer abc", NULL, "abd", {"Authorization", "api-key"}},
		{NULL, "abc", "abd", {"x-api-key", "api-key"}},
		{"Basic abc", NULL, NULL, {"Authorization", "Bearer"}},
		{"Bearer  ", NULL, NULL, {"Authorization", "Bearer"}},
		{"", NULL, NULL, {"Authorization", "Bearer"}},
		{NULL, " ", NULL, {"x-api-key", "empty"}}, {NULL, NULL, "", {"api-key", "empty"}}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = {0};
		struct span key;

		assert_false(auth_read_headers(span_of(rows[i].authorization),
			span_of(rows[i].x_api_key), span_of(rows[i].api_key), &key, &err));
		assert_non_null(strstr(err.text, rows[i].names[0]));
		assert_non_null(strstr(err.text, rows[i].names[1]));
		assert_null(strstr(err.text, "abd"));
	}
}

static void headers_are_read_as_documented(void **state)
{
	static const struct {
		const char *authorization, *x_api_key, *api_key,
			*expected; /* NULL expected: refused */
		enum err_code code;
	} rows[] = {
		{"Bearer abc", NULL, NULL, "abc", ERR_OK},
		{"bearer  abc ", NULL, NULL, "abc", ERR_OK},
		{NULL, "abc", NULL, "abc", ERR_OK},
		{NULL, NULL, "abc", "abc", ERR_OK},
		{"Bearer abc", "abc", "abc", "abc", ERR_OK},
		{"Bearer abc", "abd", NULL, NULL, ERR_KEY_MALFORMED},
		{NULL, "abc", "abd", NULL, ERR_KEY_MALFORMED},
		{"Basic abc", NULL, NULL, NULL, ERR_KEY_MALFORMED},
		{"Bearer ", NULL, NULL, NULL, ERR_UNAUTHENTICATED},
		{"Bearer", NULL, NULL, NULL, ERR_UNAUTHENTICATED},
		{"", NULL, NULL, NULL, ERR_UNAUTHENTICATED},
		{NULL, "", NULL, NULL, ERR_UNAUTHENTICATED},
		{"Bearer abc", "", NULL, NULL, ERR_UNAUTHENTICATED},
		{NULL, NULL, NULL, NULL, ERR_UNAUTHENTICATED},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span key = {NULL, 0};
		struct err err = {0};
		bool ok = auth_read_headers(span_of(rows[i].authorization),
			span_of(rows[i].x_api_key), span_of(rows[i].api_key), &key, &err);

		assert_int_equal(ok, rows[i].expected != NULL);
		assert_int_equal(err.code, rows[i].code);
		if (ok)
			assert_true(span_is(key, rows[i].expected));
	}
}

struct race {
	struct auth_table *table;
	struct made key, stays;
	atomic_bool removed, stop;
	atomic_int late, lost;
	atomic_long looked;
};

static void *look_up(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->stop)) {
		bool gone = atomic_load(&r->removed);
		struct auth_identity who;

		if (auth_find(r->table, span_of(r->key.text), 1, &who, NULL) && gone)
			atomic_fetch_add(&r->late, 1);
		if (!auth_find(r->table, span_of(r->stays.text), 1, &who, NULL))
			atomic_fetch_add(&r->lost, 1);
		atomic_fetch_add(&r->looked, 1);
	}
	return NULL;
}

/* Also while others come and the table grows; and a writer is not kept out by readers. */
static void a_removal_is_in_force_when_it_returns(void **state)
{
	struct race r = {
		.table = auth_table_new(NULL), .key = make("race", 0), .stays = make("stays", 0)};
	pthread_t threads[3];

	assert_true(auth_add(r.table, &r.stays.row, NULL));
	assert_true(auth_add(r.table, &r.key.row, NULL));
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, look_up, &r);
	while (atomic_load(&r.looked) < 100)
		usleep(100);
	for (int i = 0; i < 150; i++) {
		struct made other = make("other", 0);

		assert_true(auth_add(r.table, &other.row, NULL));
		if (i == 75) {
			assert_true(auth_remove(r.table, &r.key.row.id));
			atomic_store(&r.removed, true);
		}
	}
	usleep(20000);
	atomic_store(&r.stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&r.late), 0);
	assert_int_equal(atomic_load(&r.lost), 0);
	auth_table_free(r.table);
}

static void a_name_must_be_printable(void **state)
{
	struct made m;
	struct err err = {0};
	char longer[200];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_false(auth_make(&sys_real, "", 0, 0, 0, &m.row, m.text, &err));
	assert_false(auth_make(&sys_real, "a\nb", 0, 0, 0, &m.row, m.text, &err));
	assert_false(auth_make(&sys_real, longer, 0, 0, 0, &m.row, m.text, &err));
	assert_false(auth_make(&sys_real, "a\xff", 0, 0, 0, &m.row, m.text, &err));
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	longer[128] = '\0';
	assert_true(auth_make(&sys_real, longer, 0, 0, 0, &m.row, m.text, NULL));
	assert_true(auth_make(&sys_real, "b\xc3\xa4r", 0, 0, 0, &m.row, m.text, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_found_until_it_is_removed),
		cmocka_unit_test(an_expired_key_is_refused),
		cmocka_unit_test(every_changed_character_is_malformed),
		cmocka_unit_test(foreign_keys_are_named_but_not_repeated),
		cmocka_unit_test(only_the_exact_text_is_the_key),
		cmocka_unit_test(a_known_id_with_another_secret_is_refused),
		cmocka_unit_test(without_random_numbers_there_is_no_key),
		cmocka_unit_test(secrets_are_random_everywhere),
		cmocka_unit_test(a_table_is_filled_from_the_store),
		cmocka_unit_test(a_refusal_names_the_header),
		cmocka_unit_test(headers_are_read_as_documented),
		cmocka_unit_test(a_removal_is_in_force_when_it_returns),
		cmocka_unit_test(a_name_must_be_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
