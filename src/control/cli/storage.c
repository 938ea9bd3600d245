/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>
#include "control/cli/command.h"
#include "machine/base/json_put.h"
#include "state/ledger/file.h"
#include "state/store/store.h"

struct place {
	char dir[4096], journals[4096], database[CALL_DATABASE_BYTES];
	struct store_place store;
};

/* `make`: the directory may be missing. */
static bool find_place(const struct call *c, struct place *p, bool make, struct err *err)
{
	bool named;

	if (!call_data_dir(c, p->dir, sizeof(p->dir), &named, err) ||
		!call_database(c, p->database, sizeof(p->database), err) ||
		!journal_dir(p->dir, p->journals, err))
		return false;
	p->store = (struct store_place){p->dir, p->database};
	if (!make && access(p->dir, F_OK) != 0 && errno == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "there is no data directory %s", p->dir);
	return true;
}

static void forget(struct place *p)
{
	explicit_bzero(p->database, sizeof(p->database));
}

static int say(struct call *c, const char *text)
{
	return call_put(c, span_of(text));
}

/* ---- migrate ---- */

static int show_versions(struct call *c, int64_t there)
{
	int here = store_schema_version(), code;
	struct buf out;

	buf_init(&out, 4096);
	if (c->output == OUTPUT_JSON) {
		buf_append_char(&out, '{');
		json_put_int(&out, "database", there);
		json_put_int(&out, "program", here);
		buf_append_cstr(&out, "}\n");
	} else {
		buf_printf(&out, "The database has schema %lld, this program %d: %s\n",
			(long long)there, here,
			there == here  ? "nothing is to be done."
			: there < here ? "run sluice migrate, or start the server."
				       : "it was written by a newer program; use that one.");
	}
	code = call_put(c, buf_span(&out));
	buf_done(&out);
	return code != CLI_DONE || there == here ? code : CLI_PROBLEMS;
}

int run_migrate(struct call *c)
{
	bool check = call_flag(c, "check") != NULL, ok;
	struct err err = {0};
	struct place p;
	struct store s;
	int64_t version = 0;

	ok = find_place(c, &p, !check, &err);
	if (ok && !check) {
		ok = store_open_alone(&s, &sys_real, &p.store, &err);
		if (ok)
			store_close(&s);
	}
	ok = ok && store_version(&sys_real, &p.store, &version, &err);
	forget(&p);
	if (!ok)
		return call_fail(c, "the database was not migrated", &err, NULL);
	return show_versions(c, version);
}

/* ---- backup, restore ---- */

int run_backup(struct call *c)
{
	const char *to = call_flag(c, "to");
	struct err err = {0};
	struct place p;
	struct store s;
	bool ok;

	if (to == NULL || *to == '\0') {
		err_set(&err, ERR_USAGE, "--to FILE is missing");
		return call_fail(c, "wrong use", &err, "sluice backup --help");
	}
	ok = find_place(c, &p, false, &err) && store_open_at(&s, &sys_real, &p.store, &err);
	if (ok) {
		ok = store_backup(&s, p.journals, to, &err);
		store_close(&s);
	}
	forget(&p);
	if (!ok)
		return call_fail(c, "there is no backup", &err, NULL);
	return say(c, "The backup is made.\n");
}

int run_restore(struct call *c)
{
	const char *from = call_flag(c, "from");
	struct err err = {0};
	struct place p;
	int lock;
	bool ok;

	if (from == NULL || *from == '\0') {
		err_set(&err, ERR_USAGE, "--from FILE is missing");
		return call_fail(c, "wrong use", &err, "sluice restore --help");
	}
	ok = find_place(c, &p, true, &err) && store_lock(&sys_real, p.dir, &lock, &err);
	if (ok) {
		ok = store_restore(
			&sys_real, &p.store, p.journals, from, call_flag(c, "force") != NULL, &err);
		sys_real.close(&sys_real, lock);
	}
	forget(&p);
	if (!ok)
		return call_fail(c, "nothing is restored", &err, NULL);
	return say(c, "The backup is restored; its pages, the audit log and the sums hold.\n");
}
