/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>
#include "control/cli/command.h"
#include "machine/base/json_put.h"
#include "machine/base/text.h"
#include "state/ledger/price.h"
#include "state/store/store.h"

/* The tables themselves are read, beside a server that may be running: it is not asked about
 * itself. */
static bool open_tables(const struct call *c, struct store *s, struct err *err)
{
	char dir[4096], database[CALL_DATABASE_BYTES];
	bool named, ok;

	if (!call_data_dir(c, dir, sizeof(dir), &named, err) ||
		!call_database(c, database, sizeof(database), err))
		return false;
	if (access(dir, F_OK) != 0 && errno == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "there is no data directory %s", dir);
	ok = store_open_at(s, &sys_real, &(struct store_place){dir, database}, err);
	explicit_bzero(database, sizeof(database));
	if (ok)
		db_set_patience(s->db, CALL_PATIENCE_MS);
	return ok;
}

static int answer(struct call *c, struct buf *out)
{
	int code = call_put(c, buf_span(out));

	buf_done(out);
	return code;
}

int run_audit_verify(struct call *c)
{
	const char *wanted = call_flag(c, "last");
	int64_t rows = 0, broken = 0;
	struct err err = {0};
	uint8_t last[32];
	struct store s;
	struct buf out;
	char hex[65];
	bool ok;

	if (!open_tables(c, &s, &err))
		return call_fail(c, "the audit log cannot be read", &err, NULL);
	ok = audit_verify(&s, &rows, &broken, last, &err);
	store_close(&s);
	text_hex(hex, last, sizeof(last));
	hex[64] = '\0';
	if (ok && broken != 0)
		ok = err_set(&err, ERR_CORRUPT,
			"entry %lld was altered, or one before it taken out; %lld before it are "
			"whole",
			(long long)broken, (long long)rows);
	if (ok && wanted != NULL && !span_eq_nocase(span_of(wanted), span_of(hex)))
		ok = err_set(&err, ERR_CORRUPT,
			"the last entry (%lld) has hash %s: entries were cut off, or added since",
			(long long)rows, hex);
	if (!ok)
		return call_fail(c, "the audit log is not what was written", &err, NULL);
	buf_init(&out, 4096);
	if (c->output == OUTPUT_JSON) {
		buf_append_char(&out, '{');
		json_put_int(&out, "entries", rows);
		json_put_cstr(&out, "last_hash", hex);
		buf_append_cstr(&out, "}\n");
	} else {
		buf_printf(&out, "%lld entries, each follows from the one before; last hash %s\n",
			(long long)rows, hex);
	}
	return answer(c, &out);
}

int run_audit_ledger(struct call *c)
{
	struct ledger_audit a;
	struct err err = {0};
	struct store s;
	struct buf out;
	char cost[32];
	bool ok;

	if (!open_tables(c, &s, &err))
		return call_fail(c, "the ledger cannot be read", &err, NULL);
	ok = audit_ledger(&s, &a, &err);
	store_close(&s);
	if (ok && a.wrong_sums + a.negative + a.groundless > 0)
		ok = err_set(&err, ERR_CORRUPT,
			"%lld sums of usage are not those of their requests, %lld requests have "
			"negative numbers, %lld cost something without a ground",
			(long long)a.wrong_sums, (long long)a.negative, (long long)a.groundless);
	if (!ok)
		return call_fail(c, "the ledger does not hold", &err, NULL);
	buf_init(&out, 4096);
	if (c->output == OUTPUT_JSON) {
		buf_append_char(&out, '{');
		json_put_int(&out, "requests", a.requests);
		json_put_int(&out, "open", a.open);
		json_put_str(&out, "cost", price_write(a.cost_nusd, cost));
		json_put_int(&out, "unpriced", a.unpriced);
		buf_append_cstr(&out, "}\n");
	} else {
		struct span usd = price_write(a.cost_nusd, cost);

		buf_printf(&out,
			"%lld requests, $%.*s, %lld of them without a known price, %lld not ended; "
			"every sum is that of its requests\n",
			(long long)a.requests, SPAN_ARG(usd), (long long)a.unpriced,
			(long long)a.open);
	}
	return answer(c, &out);
}
