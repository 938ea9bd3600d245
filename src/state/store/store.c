/* SPDX-License-Identifier: Apache-2.0 */
#include "state/store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "state/store/schema.h"

#define DATABASE_NAME "sluice.db"

/* In order; a new version is a new file and a line here. */
static const struct span *const schema[] = {&store_schema_0001};

#define SCHEMA_VERSION (int)(sizeof(schema) / sizeof(schema[0]))

int store_schema_version(void)
{
	return SCHEMA_VERSION;
}

static bool read_version(void *user, const struct db_row *r)
{
	*(int64_t *)user = db_get_int(r, 0);
	return true;
}

static bool migrate(struct store *s, const char *path, struct err *err)
{
	int64_t version = 0;
	char text[48];

	if (!db_run(s->db, "PRAGMA user_version", NULL, 0, read_version, &version, err))
		return false;
	if (version > SCHEMA_VERSION)
		return err_set(err, ERR_CONFIG,
			"%s was written by a newer program (schema %lld, this one knows %d); use "
			"that one",
			path, (long long)version, SCHEMA_VERSION);
	for (; version < SCHEMA_VERSION; version++) {
		snprintf(text, sizeof(text), "PRAGMA user_version=%lld", (long long)version + 1);
		if (!db_begin(s->db, err))
			return false;
		if (!db_script(s->db, schema[version]->p, err) || !db_script(s->db, text, err) ||
			!db_commit(s->db, err)) {
			db_rollback(s->db);
			return false;
		}
	}
	return true;
}

/* The file exists with its mode before SQLite opens it; its companions take the mode over. */
static bool make_private(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_set_errno(err, ERR_IO, path);
	close(fd);
	return true;
}

bool store_open(struct store *s, struct sys *sys, const char *data_dir, struct err *err)
{
	char path[4096];

	s->db = NULL;
	if (snprintf(path, sizeof(path), "%s/%s", data_dir, DATABASE_NAME) >= (int)sizeof(path))
		return err_set(err, ERR_CONFIG, "data_dir is too long");
	if (!sys_make_dir(sys, data_dir, err) || !make_private(path, err))
		return false;
	s->db = db_open_sqlite(path, true, err);
	if (s->db == NULL)
		return false;
	if (migrate(s, path, err))
		return true;
	store_close(s);
	return false;
}

bool store_lock(struct sys *sys, const char *data_dir, int *fd, struct err *err)
{
	char path[4096];
	int made;

	if (snprintf(path, sizeof(path), "%s/lock", data_dir) >= (int)sizeof(path))
		return err_set(err, ERR_CONFIG, "data_dir is too long");
	if (!sys_make_dir(sys, data_dir, err))
		return false;
	made = sys->open(sys, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (made < 0)
		return err_set_errno(err, ERR_IO, path);
	if (flock(made, LOCK_EX | LOCK_NB) == 0) {
		*fd = made;
		return true;
	}
	sys->close(sys, made);
	return err_set(err, ERR_CONFLICT,
		"another sluice works on %s; stop it, or use another data_dir", data_dir);
}

void store_close(struct store *s)
{
	db_close(s->db);
	s->db = NULL;
}

bool store_begin(struct store *s, struct err *err)
{
	return db_begin(s->db, err);
}

bool store_commit(struct store *s, struct err *err)
{
	return db_commit(s->db, err);
}

void store_rollback(struct store *s)
{
	db_rollback(s->db);
}

/* ---- how far the journals are ---- */

bool journal_mark_get(struct store *s, struct span file, int64_t *bytes, struct err *err)
{
	const struct db_value v[] = {db_text(file)};

	*bytes = 0;
	return db_run(s->db, "SELECT bytes FROM journal_mark WHERE file = ?1", v, 1, read_version,
		bytes, err);
}

bool journal_mark_put(struct store *s, struct span file, int64_t bytes, struct err *err)
{
	const struct db_value v[] = {db_text(file), db_int(bytes)};

	return db_run(s->db,
		"INSERT INTO journal_mark VALUES (?1, ?2) ON CONFLICT (file) DO UPDATE SET bytes = "
		"excluded.bytes",
		v, 2, NULL, NULL, err);
}

bool journal_mark_drop(struct store *s, struct span file, struct err *err)
{
	const struct db_value v[] = {db_text(file)};

	return db_run(s->db, "DELETE FROM journal_mark WHERE file = ?1", v, 1, NULL, NULL, err);
}
