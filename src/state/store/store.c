/* SPDX-License-Identifier: Apache-2.0 */
#include "state/store/store.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include "state/store/schema.h"

/* A command holds the lock for a moment; a server for as long as it lives. */
#define MIGRATE_PATIENCE_MS 600000
#define LOCK_WAIT_MS 500
#define LOCK_PAUSE_MS 20

/* In order; a new version is a new file and a line here. */
static const struct span *const schema[] = {&store_schema_0001, &store_schema_0002,
	&store_schema_0003, &store_schema_0004, &store_schema_0005, &store_schema_0006};

#define SCHEMA_VERSION (int)(sizeof(schema) / sizeof(schema[0]))

int store_schema_version(void)
{
	return SCHEMA_VERSION;
}

struct span store_schema(int version)
{
	assert(version >= 1 && version <= SCHEMA_VERSION);
	return *schema[version - 1];
}

static bool read_version(void *user, const struct db_row *r)
{
	*(int64_t *)user = db_get_int(r, 0);
	return true;
}

static bool get_version(struct store *s, const char *path, int64_t *version, struct err *err)
{
	if (!db_get_version(s->db, version, err))
		return false;
	return *version <= SCHEMA_VERSION ||
	       err_set(err, ERR_CONFIG,
		       "%s was written by a newer program (schema %lld, this one knows %d); use "
		       "that one",
		       path, (long long)*version, SCHEMA_VERSION);
}

/* One step. The version is read again inside: another process may have done it meanwhile. */
static bool step(struct store *s, const char *path, int64_t *version, struct err *err)
{
	if (!get_version(s, path, version, err))
		return false;
	if (*version == SCHEMA_VERSION)
		return true;
	if ((*version == 0 && !db_set_version(s->db, 0, err)) ||
		!db_script(s->db, store_schema((int)*version + 1).p, err) ||
		!db_set_version(s->db, *version + 1, err))
		return false;
	++*version;
	return true;
}

static bool migrate(struct store *s, const char *path, struct err *err)
{
	struct err why = {0};
	int64_t version = 0;
	bool ok = get_version(s, path, &version, &why);

	while (ok && version < SCHEMA_VERSION) {
		ok = db_begin(s->db, &why) && step(s, path, &version, &why) &&
		     db_commit(s->db, &why);
		db_rollback(s->db);
	}
	return ok || err_set(err, why.code, "%s%s%s", why.code == ERR_CONFIG ? "" : path,
			     why.code == ERR_CONFIG ? "" : ": ", why.text);
}

/* The file exists with its mode before SQLite opens it; its companions take the mode over. */
static bool make_private(struct sys *sys, const char *path, struct err *err)
{
	int fd = sys->open(sys, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_set_errno(err, ERR_IO, path);
	sys->close(sys, fd);
	return true;
}

bool store_is_sqlite(const struct store_place *p)
{
	return p->database == NULL || strcmp(p->database, "sqlite") == 0;
}

static bool open_sqlite(struct store *s, const char *data_dir, struct err *err)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/%s", data_dir, STORE_DATABASE_NAME) >=
		(int)sizeof(path))
		return err_set(err, ERR_CONFIG, "data_dir is too long");
	if (!make_private(s->sys, path, err))
		return false;
	s->db = db_open_sqlite(path, true, err);
	return s->db != NULL && migrate(s, path, err);
}

bool store_open_file(struct store *s, struct sys *sys, const char *path, struct err *err)
{
	*s = (struct store){.sys = sys, .batch = usage_batch_new()};
	if (s->batch == NULL)
		err_set(err, ERR_NO_MEMORY, NULL);
	else if (make_private(sys, path, err))
		s->db = db_open_sqlite(path, true, err);
	if (s->db != NULL && migrate(s, path, err))
		return true;
	store_close(s);
	return false;
}

bool store_version(
	struct sys *sys, const struct store_place *place, int64_t *version, struct err *err)
{
	char path[4096];
	struct db *d;
	bool ok;

	*version = 0;
	if (!store_is_sqlite(place)) {
		d = db_open_postgres(place->database, err);
	} else {
		if (snprintf(path, sizeof(path), "%s/%s", place->data_dir, STORE_DATABASE_NAME) >=
			(int)sizeof(path))
			return err_set(err, ERR_CONFIG, "data_dir is too long");
		if (access(path, F_OK) != 0)
			return true;
		d = db_open_sqlite(path, true, err);
	}
	ok = d != NULL && db_get_version(d, version, err);
	db_close(d);
	return ok;
}

static bool open_postgres(struct store *s, const char *url, struct err *err)
{
	bool ok;

	s->db = db_open_postgres(url, err);
	if (s->db == NULL)
		return false;
	db_set_patience(s->db, MIGRATE_PATIENCE_MS);
	ok = migrate(s, "the database", err);
	db_set_patience(s->db, DB_PATIENCE_MS);
	return ok;
}

bool store_open_at(
	struct store *s, struct sys *sys, const struct store_place *place, struct err *err)
{
	*s = (struct store){.sys = sys};
	if (!sys_make_dir(sys, place->data_dir, err))
		return false;
	s->batch = usage_batch_new();
	if (s->batch == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	if (store_is_sqlite(place) ? open_sqlite(s, place->data_dir, err)
				   : open_postgres(s, place->database, err))
		return true;
	store_close(s);
	return false;
}

bool store_open(struct store *s, struct sys *sys, const char *data_dir, struct err *err)
{
	return store_open_at(s, sys, &(struct store_place){.data_dir = data_dir}, err);
}

static bool lock_file(const char *path, int fd, struct err *err)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000};

	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_PAUSE_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_set_errno(err, ERR_IO, path);
		if (waited >= LOCK_WAIT_MS)
			return err_set(err, ERR_CONFLICT,
				"another sluice works there (%s is held); stop it, or use another "
				"data_dir",
				path);
		nanosleep(&pause, NULL);
	}
	return true;
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
	if (!lock_file(path, made, err)) {
		sys->close(sys, made);
		return false;
	}
	*fd = made;
	return true;
}

bool store_open_alone(
	struct store *s, struct sys *sys, const struct store_place *place, struct err *err)
{
	int fd;

	*s = (struct store){.sys = sys};
	if (!store_lock(sys, place->data_dir, &fd, err))
		return false;
	if (!store_open_at(s, sys, place, err)) {
		sys->close(sys, fd);
		return false;
	}
	s->locked = true;
	s->lock_fd = fd;
	return true;
}

void store_close(struct store *s)
{
	db_close(s->db);
	s->db = NULL;
	free(s->batch);
	s->batch = NULL;
	if (s->locked)
		s->sys->close(s->sys, s->lock_fd);
	s->locked = false;
}

bool store_begin(struct store *s, struct err *err)
{
	return db_begin(s->db, err);
}

bool store_commit(struct store *s, struct err *err)
{
	return usage_flush(s, err) && db_commit(s->db, err);
}

void store_rollback(struct store *s)
{
	usage_forget(s); /* the rows that it summed are gone with it */
	price_forget(s);
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
