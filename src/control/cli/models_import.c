/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include "control/cli/admin.h"
#include "control/cli/models.h"
#include "control/cli/table.h"
#include "machine/base/json_put.h"
#include "machine/base/text.h"
#include "meaning/prices/merge.h"
#include "state/ledger/imported.h"

#define MAX_OUTPUT_BYTES (64u << 20)
#define LOCK_WAIT_MS 5000
#define LOCK_STEP_MS 50

struct import {
	const struct call *call;
	const char *data_dir;
	struct models models;
	struct prices_list list;
	struct prices_merge merge;
	bool is_dry, is_running;
	int lock_fd; /* -1: none */
};

/* ---- the list ---- */

static bool read_list(struct import *im, const char *file, struct err *err)
{
	struct err why = {0};
	struct buf text;
	char now[32];
	bool ok;

	text_rfc3339(now, sys_real.wall_ms(&sys_real));
	buf_init(&text, PRICES_MAX_BYTES);
	ok = sys_read_file(&sys_real, file, &text, err);
	if (ok && !prices_list_read(buf_span(&text), span_head(span_of(now), 10), &im->list, &why))
		ok = err_set(err, why.code, "%s: %s", file, why.text);
	buf_done(&text);
	return ok;
}

static bool check_provider(const char *name, struct err *err)
{
	const char *known[PRICES_MAX_PREFIXES + 1], *near;

	prices_prefixes(known);
	for (int i = 0; name != NULL && known[i] != NULL; i++)
		if (strcmp(known[i], name) == 0)
			return true;
	if (name == NULL)
		return true;
	near = text_nearest(span_of(name), known);
	return err_set(err, ERR_USAGE, "no list knows models of \"%.60s\"%s%s%s", name,
		near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
		near != NULL ? "\"?" : "");
}

/* ---- what is kept ---- */

/* Of two imports at once the second would undo the first. */
static bool lock(struct import *im, struct err *err)
{
	const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000};

	im->lock_fd = sys_real.open(&sys_real, im->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (im->lock_fd < 0)
		return err_set_errno(err, ERR_IO, im->data_dir);
	for (int waited = 0; flock(im->lock_fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_STEP_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_set_errno(err, ERR_IO, im->data_dir);
		if (waited >= LOCK_WAIT_MS)
			return err_set(
				err, ERR_CONFLICT, "another import works on %s", im->data_dir);
		nanosleep(&step, NULL);
	}
	return true;
}

/* What a newer program has built in by now need not stand here any more. */
static bool keep_what_differs(struct catalog *kept, const struct catalog *imported, struct err *err)
{
	struct catalog *built_in = catalog_new();
	bool ok = built_in != NULL ? catalog_read(built_in, catalog_embedded, err)
				   : err_set(err, ERR_NO_MEMORY, NULL);

	for (int i = 0; ok && i < catalog_count(imported); i++) {
		const struct llm_model *m = catalog_at(imported, i);
		const struct llm_model *same = catalog_find_exact(built_in, m->id);

		if (same == NULL || !llm_model_eq(m, same))
			ok = catalog_put(kept, m, err);
	}
	catalog_free(built_in);
	return ok;
}

static bool write_models(struct import *im, struct err *err)
{
	struct catalog *kept = catalog_new();
	bool ok = kept != NULL || err_set(err, ERR_NO_MEMORY, NULL);

	for (int i = 0; ok && i < im->merge.n; i++)
		if (im->merge.v[i].outcome != PRICES_REFUSED)
			ok = catalog_put(im->models.imported, &im->merge.v[i].made, err);
	ok = ok && keep_what_differs(kept, im->models.imported, err) &&
	     imported_write(&sys_real, im->data_dir, kept, err);
	catalog_free(kept);
	return ok;
}

static bool merge(struct import *im, struct err *err)
{
	const struct call *c = im->call;

	return models_open(&im->models, im->data_dir, err) &&
	       prices_merge(im->models.all, &im->list, span_of(call_flag(c, "provider")),
		       call_flag(c, "force") != NULL, &im->merge, err);
}

static bool has_news(const struct import *im)
{
	return im->merge.counts[PRICES_ADDED] + im->merge.counts[PRICES_CHANGED] > 0;
}

/* *what says what has been done when it fails. */
static bool run_import(struct import *im, bool make, const char **what, struct err *err)
{
	struct admin a;
	bool ok;

	if (im->is_dry)
		return merge(im, err);
	if (!admin_open(&a, im->call, im->data_dir, make, err))
		return false;
	ok = lock(im, err) && merge(im, err) && (!has_news(im) || write_models(im, err));
	if (ok && has_news(im)) {
		*what = "the models are imported, but the running server goes on without them";
		ok = admin_reload(&a, &im->is_running, err);
	}
	admin_close(&a);
	return ok;
}

/* ---- what is said ---- */

struct rows {
	struct table *table;
	const struct prices_change *change;
};

static void add_row(void *user, struct span member, struct span was, struct span becomes)
{
	const struct rows *r = user;

	table_cell(r->table, r->change->outcome == PRICES_ADDED     ? SPAN("added")
			     : r->change->outcome == PRICES_CHANGED ? SPAN("changed")
								    : SPAN("refused"));
	table_cell(r->table, r->change->id);
	table_cell(r->table, member);
	table_cell(r->table, was.n > 0 ? was : SPAN("-"));
	table_cell(r->table, becomes.n > 0 ? becomes : SPAN("-"));
}

/* A new model differs from one of which nothing is known. */
static void each_member(const struct prices_change *c, prices_on_member on_member, void *user)
{
	struct llm_model nothing = llm_model_unknown(c->id);

	prices_diff(c->held != NULL ? c->held : &nothing, &c->made, on_member, user);
}

static void write_table(const struct import *im, struct buf *out)
{
	static const char *const columns[] = {"OUTCOME", "MODEL", "MEMBER", "WAS", "IS", NULL};
	struct table t;

	table_init(&t, columns);
	for (int i = 0; i < im->merge.n; i++) {
		struct rows r = {&t, &im->merge.v[i]};

		if (r.change->outcome == PRICES_REFUSED)
			add_row(&r, SPAN("-"), SPAN("-"), r.change->why);
		else
			each_member(r.change, add_row, &r);
	}
	if (!table_write(&t, call_wants_aligned(im->call), out))
		out->failed = true;
	table_done(&t);
}

static void put_text(struct buf *out, const char *key, struct span text)
{
	if (text.n > 0)
		json_put_str(out, key, text);
	else
		json_put_null(out, key);
}

static void put_member(void *user, struct span member, struct span was, struct span becomes)
{
	struct buf *out = user;

	json_put_open(out, NULL, '{');
	json_put_str(out, "member", member);
	put_text(out, "was", was);
	put_text(out, "is", becomes);
	buf_append_char(out, '}');
}

static void put_changes(
	const struct import *im, enum prices_outcome outcome, const char *key, struct buf *out)
{
	json_put_open(out, key, '[');
	for (int i = 0; i < im->merge.n; i++) {
		const struct prices_change *c = &im->merge.v[i];

		if (c->outcome != outcome)
			continue;
		json_put_open(out, NULL, '{');
		json_put_str(out, "id", c->id);
		if (outcome == PRICES_REFUSED) {
			json_put_str(out, "reason", c->why);
		} else {
			json_put_open(out, "members", '[');
			each_member(c, put_member, out);
			buf_append_char(out, ']');
		}
		buf_append_char(out, '}');
	}
	buf_append_char(out, ']');
}

static void write_json(const struct import *im, struct buf *out)
{
	buf_append_char(out, '{');
	json_put_cstr(out, "format", prices_format_name(im->list.format));
	json_put_bool(out, "dry_run", im->is_dry);
	json_put_bool(out, "server_reloaded", im->is_running);
	put_changes(im, PRICES_ADDED, "added", out);
	put_changes(im, PRICES_CHANGED, "changed", out);
	put_changes(im, PRICES_REFUSED, "refused", out);
	json_put_int(out, "unchanged", im->merge.counts[PRICES_UNCHANGED]);
	json_put_open(out, "left_out", '{');
	for (int i = 0; i < PRICES_SKIP_COUNT; i++)
		json_put_int(out, prices_skip_name(i), im->list.skipped[i]);
	buf_append_cstr(out, "}}\n");
}

static void say_summary(const struct import *im)
{
	const int *n = im->merge.counts;
	const char *between = " Left out: ";

	fprintf(stderr, "%s: %d added, %d changed, %d refused, %d unchanged.",
		prices_format_name(im->list.format), n[PRICES_ADDED], n[PRICES_CHANGED],
		n[PRICES_REFUSED], n[PRICES_UNCHANGED]);
	for (int i = 0; i < PRICES_SKIP_COUNT; i++) {
		if (im->list.skipped[i] == 0)
			continue;
		fprintf(stderr, "%s%d %s", between, im->list.skipped[i], prices_skip_text(i));
		between = ", ";
	}
	fprintf(stderr, "%s\n%s\n", between[0] == ',' ? "." : "",
		im->is_dry       ? "Nothing was written: it is a dry run."
		: !has_news(im)  ? "Nothing was written."
		: im->is_running ? "In force in the running server."
				 : "In force when the server starts.");
}

static int put_result(const struct import *im)
{
	struct err err = {0};
	struct buf out;
	int code;

	buf_init(&out, MAX_OUTPUT_BYTES);
	if (im->call->output == OUTPUT_JSON)
		write_json(im, &out);
	else
		write_table(im, &out);
	if (out.failed) {
		err_set(&err, ERR_NO_MEMORY, NULL);
		code = call_fail(im->call, "what changed cannot be shown", &err, NULL);
	} else {
		code = call_put(im->call, buf_span(&out));
	}
	buf_done(&out);
	if (im->call->output != OUTPUT_JSON)
		say_summary(im);
	return code == CLI_DONE && im->merge.counts[PRICES_REFUSED] > 0 ? CLI_PROBLEMS : code;
}

int run_models_import(struct call *c)
{
	struct import im = {.call = c, .is_dry = call_flag(c, "dry-run") != NULL, .lock_fd = -1};
	const char *what = "nothing was imported";
	struct err err = {0};
	char dir[4096];
	bool named;
	int code;

	im.data_dir = dir;
	if (!check_provider(call_flag(c, "provider"), &err))
		return call_fail(c, "wrong use", &err, "sluice models import --help");
	if (call_data_dir(c, dir, sizeof(dir), &named, &err) && read_list(&im, c->args[0], &err) &&
		run_import(&im, named, &what, &err))
		code = put_result(&im);
	else
		code = call_fail(c, what, &err, NULL);
	if (im.lock_fd >= 0)
		sys_real.close(&sys_real, im.lock_fd);
	prices_merge_done(&im.merge);
	models_done(&im.models);
	prices_list_done(&im.list);
	return code;
}
