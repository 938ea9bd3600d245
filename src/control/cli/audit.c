/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>
#include "control/cli/command.h"
#include "machine/base/json_put.h"
#include "machine/base/text.h"
#include "control/cli/admin.h"
#include "state/ledger/price.h"
#include "state/ledger/recheck.h"
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

static void name_wrong(const struct recheck *prices, char out[RECHECK_MAX_NAMED * 40])
{
	char id[ID_REQUEST_CHARS + 1];
	size_t n = 0;

	for (int i = 0; i < RECHECK_MAX_NAMED && i < prices->wrong; i++) {
		id_write_request(&prices->named[i], id);
		memcpy(out + n, i > 0 ? ", " : ": ", 2);
		memcpy(out + n + 2, id, ID_REQUEST_CHARS);
		n += 2 + ID_REQUEST_CHARS;
	}
	out[n] = '\0';
}

static bool judge(const struct ledger_audit *a, const struct recheck *prices, struct err *err)
{
	char named[RECHECK_MAX_NAMED * 40];

	name_wrong(prices, named);
	if (a->wrong_sums + a->negative + a->groundless > 0)
		return err_set(err, ERR_CORRUPT,
			"%lld sums of usage are not those of their requests, %lld requests have "
			"negative numbers, %lld cost something without a ground",
			(long long)a->wrong_sums, (long long)a->negative, (long long)a->groundless);
	return prices->wrong == 0 ||
	       err_set(err, ERR_CORRUPT,
		       "%lld requests cost another amount than their usage times their price%s",
		       (long long)prices->wrong, named);
}

int run_audit_ledger(struct call *c)
{
	struct recheck prices = {0};
	struct ledger_audit a;
	struct err err = {0};
	struct store s;
	struct buf out;
	char cost[32];
	bool ok;

	if (!open_tables(c, &s, &err))
		return call_fail(c, "the ledger cannot be read", &err, NULL);
	ok = audit_ledger(&s, &a, &err) && recheck_prices(&s, &prices, &err);
	store_close(&s);
	if (!ok || !judge(&a, &prices, &err))
		return call_fail(c, "the ledger does not hold", &err, NULL);
	buf_init(&out, 4096);
	if (c->output == OUTPUT_JSON) {
		buf_append_char(&out, '{');
		json_put_int(&out, "requests", a.requests);
		json_put_int(&out, "open", a.open);
		json_put_str(&out, "cost", price_write(a.cost_nusd + a.corrected_nusd, cost));
		json_put_int(&out, "corrections", a.corrections);
		json_put_int(&out, "priced", prices.checked);
		json_put_int(&out, "unpriced", a.unpriced);
		buf_append_cstr(&out, "}\n");
	} else {
		struct span usd = price_write(a.cost_nusd + a.corrected_nusd, cost);

		buf_printf(&out,
			"%lld requests, $%.*s, %lld of them without a known price, %lld not ended, "
			"%lld corrections; every sum is that of its requests, %lld amounts are "
			"those "
			"of usage and price\n",
			(long long)a.requests, SPAN_ARG(usd), (long long)a.unpriced,
			(long long)a.open, (long long)a.corrections, (long long)prices.checked);
	}
	return answer(c, &out);
}

int run_audit_correct(struct call *c)
{
	const char *request = call_flag(c, "request"), *amount = call_flag(c, "amount"),
		   *why = call_flag(c, "why");
	struct err err = {0};
	struct admin a;
	char dir[4096];
	struct buf out;
	bool named, ok;

	if (request == NULL || amount == NULL || why == NULL) {
		err_set(&err, ERR_BAD_REQUEST, "--request, --amount and --why are needed");
		return call_fail(c, "nothing was corrected", &err, NULL);
	}
	ok = call_data_dir(c, dir, sizeof(dir), &named, &err) &&
	     admin_open(&a, c, dir, false, &err);
	if (ok) {
		ok = admin_correct(&a, request, amount, why, &err);
		admin_close(&a);
	}
	if (!ok)
		return call_fail(c, "nothing was corrected", &err, NULL);
	buf_init(&out, 4096);
	if (c->output == OUTPUT_JSON) {
		buf_append_char(&out, '{');
		json_put_cstr(&out, "request", request);
		json_put_cstr(&out, "cost", amount);
		buf_append_cstr(&out, "}\n");
	} else {
		buf_printf(&out, "%s cost $%s\n", request, amount);
	}
	return answer(c, &out);
}
