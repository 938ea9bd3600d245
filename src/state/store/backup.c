/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "machine/base/buf.h"
#include "machine/base/text.h"
#include "state/store/store.h"

#define PATH_BYTES 4300
#define MAX_JOURNAL_BYTES (512u << 20) /* one file; they begin anew at 64 MiB */
#define COPY_BYTES (1u << 20)
#define MAX_TABLES 64
#define PATIENCE_MS 600000

/* In a backup alone: what the journals held. */
#define JOURNALS "backup_journal"

static bool join(char out[PATH_BYTES], const char *a, const char *b, const char *c, struct err *err)
{
	return snprintf(out, PATH_BYTES, "%s%s%s", a, b, c) < PATH_BYTES ||
	       err_set(err, ERR_CONFIG, "%.200s...: the path is too long", a);
}

/* ---- the tables ---- */

struct names {
	char name[MAX_TABLES][64];
	int n;
};

static bool on_name(void *user, const struct db_row *r)
{
	struct names *t = user;
	struct span s = db_get_text(r, 0);

	if (t->n < MAX_TABLES && s.n < sizeof(t->name[0])) {
		memcpy(t->name[t->n], s.p, s.n);
		t->name[t->n++][s.n] = '\0';
	}
	return true;
}

/* `file` is SQLite's and knows the names; the other may be of either kind. */
static bool copy_tables(struct db *file, struct db *from, struct db *to, struct err *err)
{
	struct names t = {.n = 0};
	bool ok = db_run(file,
		"SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' "
		"AND name <> '" JOURNALS "'",
		NULL, 0, on_name, &t, err);

	for (int i = 0; ok && i < t.n; i++)
		ok = db_copy_table(from, to, t.name[i], err);
	return ok;
}

/* ---- the journals ---- */

static bool is_journal(const char *file)
{
	return span_ends(span_of(file), SPAN(".journal"));
}

static bool keep_journal(struct store *to, const char *folder, const char *file, struct err *err)
{
	struct err why = {0};
	char path[PATH_BYTES];
	struct buf bytes;
	bool ok;

	if (!join(path, folder, "/", file, err))
		return false;
	buf_init(&bytes, MAX_JOURNAL_BYTES);
	ok = sys_read_file(to->sys, path, &bytes, &why);
	if (ok) {
		const struct db_value v[] = {db_text(span_of(file)), db_blob(buf_span(&bytes))};

		ok = db_run(
			to->db, "INSERT INTO " JOURNALS " VALUES (?1, ?2)", v, 2, NULL, NULL, err);
	} else {
		/* One that has gone meanwhile is in the tables. */
		ok = why.code == ERR_NOT_FOUND || err_set(err, why.code, "%s", why.text);
	}
	buf_done(&bytes);
	return ok;
}

static bool keep_journals(struct store *to, const char *folder, struct err *err)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	bool ok = true;

	if (d == NULL)
		return errno == ENOENT || err_set_errno(err, ERR_IO, folder);
	while (ok && (entry = readdir(d)) != NULL)
		if (is_journal(entry->d_name))
			ok = keep_journal(to, folder, entry->d_name, err);
	closedir(d);
	return ok;
}

/* ---- backup ---- */

/*
 * The journals first: what is taken from them after that is in the tables' moment, and taken twice
 * it counts once.
 */
static bool fill(struct store *s, struct store *to, const char *journals, struct err *err)
{
	return db_begin(to->db, err) &&
	       db_script(to->db,
		       "CREATE TABLE " JOURNALS " (file TEXT PRIMARY KEY, bytes BLOB NOT NULL)",
		       err) &&
	       keep_journals(to, journals, err) && db_begin_read(s->db, err) &&
	       copy_tables(to->db, s->db, to->db, err) && db_commit(to->db, err);
}

/* A file's name outlives a power cut when its folder was synced. */
static bool sync_folder_of(struct sys *sys, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_BYTES];
	int fd;
	bool ok;

	snprintf(folder, sizeof(folder), "%.*s", slash != NULL ? (int)(slash - path) + 1 : 1,
		slash != NULL ? path : ".");
	fd = sys->open(sys, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	ok = fd >= 0 && sys->sync(sys, fd) == 0;
	if (!ok)
		err_set_errno(err, ERR_IO, folder);
	if (fd >= 0)
		sys->close(sys, fd);
	return ok;
}

static bool move(struct sys *sys, const char *from, const char *to, struct err *err)
{
	return sys->rename(sys, from, to) == 0 ? sync_folder_of(sys, to, err)
					       : err_set_errno(err, ERR_IO, to);
}

static void remove_database(struct sys *sys, const char *path)
{
	static const char *const endings[] = {"", "-wal", "-shm"};
	char one[PATH_BYTES];

	for (int i = 0; i < 3; i++)
		if (join(one, path, endings[i], "", NULL))
			sys->unlink(sys, one);
}

bool store_backup(struct store *s, const char *journals, const char *to, struct err *err)
{
	char partial[PATH_BYTES];
	struct store file;
	bool ok;

	if (!join(partial, to, ".partial", "", err))
		return false;
	if (access(to, F_OK) == 0)
		return err_set(err, ERR_CONFLICT, "%s is there already", to);
	remove_database(s->sys, partial);
	if (!store_open_file(&file, s->sys, partial, err))
		return false;
	db_set_patience(s->db, PATIENCE_MS);
	ok = fill(s, &file, journals, err);
	db_rollback(s->db);
	db_rollback(file.db);
	store_close(&file);
	ok = ok && move(s->sys, partial, to, err);
	if (!ok)
		remove_database(s->sys, partial);
	return ok;
}

/* ---- restore ---- */

static bool copy_bytes(struct sys *sys, int from, int to, char *window, struct err *err)
{
	off_t at = 0;
	ssize_t n;

	while ((n = sys->pread(sys, from, window, COPY_BYTES, at)) > 0) {
		at += n;
		for (ssize_t done = 0, w; done < n; done += w) {
			w = sys->write(sys, to, window + done, (size_t)(n - done));
			if (w <= 0)
				return err_set_errno(err, ERR_IO, "the copy of the backup");
		}
	}
	return n == 0 ? sys->sync(sys, to) == 0 || err_set_errno(err, ERR_IO, "the copy")
		      : err_set_errno(err, ERR_IO, "the backup");
}

static bool copy_file(struct sys *sys, const char *from, const char *to, struct err *err)
{
	char *window = malloc(COPY_BYTES);
	int in = sys->open(sys, from, O_RDONLY | O_CLOEXEC, 0), out = -1;
	bool ok = window != NULL || err_set(err, ERR_NO_MEMORY, NULL);

	if (ok && in < 0)
		ok = err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, from);
	if (ok && (out = sys->open(sys, to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0)
		ok = err_set_errno(err, ERR_IO, to);
	ok = ok && copy_bytes(sys, in, out, window, err);
	if (in >= 0)
		sys->close(sys, in);
	if (out >= 0)
		sys->close(sys, out);
	free(window);
	return ok;
}

static bool on_number(void *user, const struct db_row *r)
{
	*(int64_t *)user = db_get_int(r, 0);
	return true;
}

/* That it is a backup, and that what is in it holds. */
static bool verify(struct store *s, const char *from, struct err *err)
{
	int64_t is_backup = 0, rows, broken = 0;
	struct ledger_audit a;
	uint8_t last[32];

	if (!db_run(s->db, "SELECT count(*) FROM sqlite_master WHERE name = '" JOURNALS "'", NULL,
		    0, on_number, &is_backup, err) ||
		!db_check(s->db, err) || !audit_verify(s, &rows, &broken, last, err) ||
		!audit_ledger(s, &a, err))
		return false;
	if (is_backup == 0)
		return err_set(err, ERR_CORRUPT, "%s is no backup", from);
	if (broken != 0)
		return err_set(err, ERR_CORRUPT,
			"%s: entry %lld of the audit log was altered, or one before it taken out",
			from, (long long)broken);
	return a.wrong_sums + a.negative + a.groundless == 0 ||
	       err_set(err, ERR_CORRUPT, "%s: its sums are not those of its requests", from);
}

/* Keys, requests or entries of the audit log; what a new database has by itself is none. */
static bool has_data(struct store *s, bool *has, struct err *err)
{
	int64_t n = 0;

	*has = false;
	if (!db_run(s->db,
		    "SELECT (SELECT count(*) FROM key) + (SELECT count(*) FROM request) + "
		    "(SELECT count(*) FROM audit)",
		    NULL, 0, on_number, &n, err))
		return false;
	*has = n > 0;
	return true;
}

/* All journals there are get another name, or (`only_look`) *any says whether there are some. */
static bool set_aside(
	struct sys *sys, const char *folder, bool only_look, bool *any, struct err *err)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	bool ok = true;

	*any = false;
	if (d == NULL)
		return errno == ENOENT || err_set_errno(err, ERR_IO, folder);
	while (ok && (entry = readdir(d)) != NULL) {
		char from[PATH_BYTES], to[PATH_BYTES];

		if (!is_journal(entry->d_name))
			continue;
		*any = true;
		ok = only_look ||
		     (join(from, folder, "/", entry->d_name, err) &&
			     join(to, from, ".replaced", "", err) && move(sys, from, to, err));
	}
	closedir(d);
	return ok;
}

struct put {
	struct sys *sys;
	const char *folder;
	struct err why;
};

static bool on_journal(void *user, const struct db_row *r)
{
	struct put *p = user;
	struct span file = db_get_text(r, 0);
	char name[256], path[PATH_BYTES];

	if (file.n >= sizeof(name) || memchr(file.p, '/', file.n) != NULL ||
		memchr(file.p, '\0', file.n) != NULL)
		return err_set(&p->why, ERR_CORRUPT, "a journal's name is none");
	snprintf(name, sizeof(name), "%.*s", SPAN_ARG(file));
	return join(path, p->folder, "/", name, &p->why) &&
	       sys_write_file(p->sys, path, db_get_blob(r, 1), 0600, &p->why);
}

static bool put_journals(struct store *s, const char *folder, struct err *err)
{
	struct put p = {.sys = s->sys, .folder = folder};

	if (!sys_make_dir(s->sys, folder, err) ||
		!db_run(s->db, "SELECT file, bytes FROM " JOURNALS, NULL, 0, on_journal, &p, err))
		return false;
	return p.why.code == ERR_OK || err_set(err, p.why.code, "%s", p.why.text);
}

/* What is there may be replaced; opens nothing that is not there. */
static bool may_replace(struct sys *sys, const struct store_place *place, const char *journals,
	bool force, struct err *err)
{
	struct store s;
	bool has, any, ok;

	if (!store_open_at(&s, sys, place, err))
		return false;
	ok = has_data(&s, &has, err);
	store_close(&s);
	if (!ok || !set_aside(sys, journals, true, &any, err))
		return false;
	return force || (!has && !any) ||
	       err_set(err, ERR_CONFLICT, "there are %s already; --force replaces them",
		       has ? "keys, requests or entries of the audit log" : "journals");
}

/* Into PostgreSQL: all rows in one transaction. */
static bool fill_postgres(
	struct sys *sys, const struct store_place *place, struct store *file, struct err *err)
{
	struct store s;
	bool ok;

	if (!store_open_at(&s, sys, place, err))
		return false;
	db_set_patience(s.db, PATIENCE_MS);
	ok = db_begin(s.db, err) && db_begin_read(file->db, err) &&
	     copy_tables(file->db, file->db, s.db, err) && db_commit(s.db, err);
	db_rollback(file->db);
	store_close(&s);
	return ok;
}

/* The copy takes the database's place, whose file keeps another name. There is always one. */
static bool take_place(struct sys *sys, const char *copy, const char *database, struct err *err)
{
	char aside[PATH_BYTES];

	if (!join(aside, database, ".replaced", "", err))
		return false;
	sys->unlink(sys, aside);
	if (link(database, aside) != 0)
		return err_set_errno(err, ERR_IO, aside);
	return move(sys, copy, database, err);
}

/* What the old database had not taken yet goes before what the new one has to take comes. */
static bool replace_journals(struct store *file, const char *journals, struct err *err)
{
	bool any;

	return set_aside(file->sys, journals, false, &any, err) &&
	       put_journals(file, journals, err) &&
	       db_script(file->db, "DROP TABLE " JOURNALS, err);
}

bool store_restore(struct sys *sys, const struct store_place *place, const char *journals,
	const char *from, bool force, struct err *err)
{
	char database[PATH_BYTES], copy[PATH_BYTES];
	struct store file;
	bool ok;

	if (!join(database, place->data_dir, "/", STORE_DATABASE_NAME, err) ||
		!join(copy, database, ".restored", "", err) ||
		!may_replace(sys, place, journals, force, err))
		return false;
	remove_database(sys, copy);
	if (!copy_file(sys, from, copy, err)) {
		remove_database(sys, copy);
		return false;
	}
	ok = store_open_file(&file, sys, copy, err);
	if (ok) {
		ok = verify(&file, from, err) &&
		     (store_is_sqlite(place) || fill_postgres(sys, place, &file, err)) &&
		     replace_journals(&file, journals, err);
		store_close(&file);
	}
	if (ok && store_is_sqlite(place))
		ok = take_place(sys, copy, database, err);
	remove_database(sys, copy);
	return ok;
}
