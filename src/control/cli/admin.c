/* SPDX-License-Identifier: Apache-2.0 */
#include "control/cli/admin.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "machine/base/json_put.h"
#include "machine/base/text.h"
#include "state/ledger/price.h"

#define KEYS_PATH "/v1/manage/apikey"
#define MAX_ANSWER_BYTES (64u << 20)
#define MAX_KEYS 1000000
#define START_WAIT_MS 3000 /* a server that is starting has the lock, but no socket yet */
#define STEP_MS 50

/* ---- which way ---- */

/* false without an error: no server is there. */
static bool find_server(struct admin *a, const char *data_dir, struct err *err)
{
	char path[sizeof(a->socket_path)];
	int n = snprintf(path, sizeof(path), "%s/control.sock", data_dir), fd;

	/* A server with so long a path could not listen. */
	if (n < 0 || (size_t)n >= sizeof(path))
		return false;
	fd = control_connect(path);
	if (fd >= 0) {
		close(fd);
		memcpy(a->socket_path, path, (size_t)n + 1);
		return true;
	}
	if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
		return false;
	return err_set_errno(err, errno == EACCES ? ERR_FORBIDDEN : ERR_UPSTREAM_UNREACHABLE, path);
}

static bool open_store(struct admin *a, const struct call *c, const char *data_dir, struct err *err)
{
	char database[CALL_DATABASE_BYTES];
	bool ok;

	if (!store_lock(a->sys, data_dir, &a->lock_fd, err))
		return false;
	ok = call_database(c, database, sizeof(database), err) &&
	     store_open_at(&a->store, a->sys, &(struct store_place){data_dir, database}, err);
	explicit_bzero(database, sizeof(database));
	if (ok)
		return true;
	a->sys->close(a->sys, a->lock_fd);
	a->lock_fd = -1;
	return false;
}

bool admin_open(
	struct admin *a, const struct call *c, const char *data_dir, bool make, struct err *err)
{
	const struct timespec step = {.tv_nsec = STEP_MS * 1000000};

	*a = (struct admin){.sys = &sys_real, .lock_fd = -1};
	if (!make && access(data_dir, F_OK) != 0 && errno == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "there is no data directory %s", data_dir);
	for (int waited = 0;; waited += STEP_MS) {
		struct err why = {0};

		if (find_server(a, data_dir, err))
			return true;
		if (err->code != ERR_OK)
			return false;
		if (open_store(a, c, data_dir, &why))
			return true;
		if (why.code != ERR_CONFLICT) {
			*err = why;
			return false;
		}
		if (waited >= START_WAIT_MS)
			return err_set(err, ERR_UPSTREAM_UNREACHABLE,
				"a server works on %s, but does not answer at its control.sock",
				data_dir);
		nanosleep(&step, NULL);
	}
}

void admin_close(struct admin *a)
{
	if (a->lock_fd < 0)
		return;
	store_close(&a->store);
	a->sys->close(a->sys, a->lock_fd);
	a->lock_fd = -1;
}

/* ---- keys as shown ---- */

static void info_of_row(const struct key_row *row, struct key_info *k)
{
	*k = (struct key_info){0};
	id_write_uuid(&row->id, k->id);
	snprintf(k->name, sizeof(k->name), "%s", row->name);
	snprintf(k->public_id, sizeof(k->public_id), "%s", row->public_id);
	snprintf(k->manage, sizeof(k->manage), "%s", permission_name(row->manage));
	snprintf(k->completions, sizeof(k->completions), "%s", permission_name(row->completions));
	text_rfc3339(k->created, row->created_ms);
	if (row->expires_ms != 0)
		text_rfc3339(k->expires, row->expires_ms);
	snprintf(k->drop, sizeof(k->drop), "%s", llm_drop_names[row->drop]);
}

static void copy(yyjson_val *object, const char *key, char *out, size_t size)
{
	struct span text = SPAN("");

	json_get_str(object, key, &text);
	snprintf(out, size, "%.*s", SPAN_ARG(text));
}

static void info_of_json(yyjson_val *v, struct key_info *k)
{
	yyjson_val *permissions = json_get(v, "permissions");

	*k = (struct key_info){0};
	copy(v, "id", k->id, sizeof(k->id));
	copy(v, "name", k->name, sizeof(k->name));
	copy(v, "public_id", k->public_id, sizeof(k->public_id));
	copy(permissions, "manage", k->manage, sizeof(k->manage));
	copy(permissions, "completions", k->completions, sizeof(k->completions));
	copy(v, "created_at", k->created, sizeof(k->created));
	copy(v, "expires_at", k->expires, sizeof(k->expires));
	copy(v, "drop_params", k->drop, sizeof(k->drop));
}

static bool wrong_answer(struct err *err)
{
	return err_set(err, ERR_INTERNAL,
		"the server's answer is not understood; is it of another version?");
}

/* ---- list ---- */

struct listing {
	struct key_list *list;
	bool failed;
};

static struct key_info *add(struct key_list *list)
{
	/* Grown at each power of two. */
	if ((list->n & (list->n - 1)) == 0) {
		size_t size = list->n == 0 ? 1 : 2 * (size_t)list->n;
		struct key_info *v =
			list->n < MAX_KEYS ? realloc(list->v, size * sizeof(*v)) : NULL;

		if (v == NULL)
			return NULL;
		list->v = v;
	}
	return &list->v[list->n++];
}

static bool on_row(void *user, const struct key_row *row)
{
	struct listing *l = user;
	struct key_info *k = add(l->list);

	l->failed = k == NULL;
	if (k != NULL)
		info_of_row(row, k);
	return k != NULL;
}

static bool list_from_store(struct admin *a, struct key_list *list, struct err *err)
{
	struct listing l = {.list = list};

	if (!key_each(&a->store, on_row, &l, err))
		return false;
	return !l.failed || err_set(err, ERR_NO_MEMORY, NULL);
}

static bool list_from_server(struct admin *a, struct key_list *list, struct err *err)
{
	struct buf answer;
	yyjson_doc *doc = NULL;
	yyjson_val *keys = NULL, *v;
	yyjson_arr_iter iter;
	bool ok;

	buf_init(&answer, MAX_ANSWER_BYTES);
	ok = control_call(a->socket_path, HTTP_GET, KEYS_PATH, SPAN(""), &answer, err);
	if (ok) {
		doc = json_read(NULL, buf_span(&answer), NULL);
		keys = json_get(yyjson_doc_get_root(doc), "keys");
		ok = yyjson_is_arr(keys) || wrong_answer(err);
	}
	if (ok)
		yyjson_arr_iter_init(keys, &iter);
	while (ok && (v = yyjson_arr_iter_next(&iter)) != NULL) {
		struct key_info *k = add(list);

		ok = k != NULL || err_set(err, ERR_NO_MEMORY, NULL);
		if (ok)
			info_of_json(v, k);
	}
	json_free(doc);
	buf_done(&answer);
	return ok;
}

bool admin_list_keys(struct admin *a, struct key_list *list, struct err *err)
{
	*list = (struct key_list){0};
	if (a->lock_fd >= 0 ? list_from_store(a, list, err) : list_from_server(a, list, err))
		return true;
	free(list->v);
	*list = (struct key_list){0};
	return false;
}

/* ---- changes without a server ---- */

/* Its entry in the audit log; `name` of what is new. */
static bool audit(struct admin *a, const char *action, const struct id *target, const char *name,
	struct err *err)
{
	struct audit_row row = {.at_ms = a->sys->wall_ms(a->sys),
		.actor = SPAN("command-line"),
		.action = span_of(action),
		.target = *target};
	struct buf new;
	bool ok;

	buf_init(&new, 4096);
	if (name != NULL) {
		buf_append_char(&new, '{');
		json_put_cstr(&new, "name", name);
		buf_append_char(&new, '}');
	}
	row.new = buf_span(&new);
	ok = audit_append(&a->store, &row, err);
	buf_done(&new);
	return ok;
}

/* The change and its entry are one transaction. */
static bool end(struct admin *a, bool done, struct err *err)
{
	if (done && store_commit(&a->store, err))
		return true;
	store_rollback(&a->store);
	return false;
}

/* ---- create ---- */

static bool create_in_store(struct admin *a, const struct key_wanted *w, struct key_info *made,
	char text[AUTH_KEY_CHARS + 1], struct err *err)
{
	struct key_row row;

	if (!auth_make(a->sys, w->name, w->manage, w->completions, w->expires_ms, &row, text, err))
		return false;
	row.drop = w->drop;
	info_of_row(&row, made);
	return store_begin(&a->store, err) &&
	       end(a,
		       key_insert(&a->store, &row, err) &&
			       audit(a, "apikey.create", &row.id, row.name, err),
		       err);
}

static void write_wanted(const struct key_wanted *w, struct buf *out)
{
	char time[32];

	buf_append_cstr(out, "{\"name\":");
	text_json_string(out, span_of(w->name));
	buf_printf(out, ",\"permissions\":{\"manage\":\"%s\",\"completions\":\"%s\"}",
		permission_name(w->manage), permission_name(w->completions));
	if (w->expires_ms != 0) {
		text_rfc3339(time, w->expires_ms);
		buf_printf(out, ",\"expires_at\":\"%s\"", time);
	}
	if (w->drop != LLM_DROP_UNSET)
		buf_printf(out, ",\"drop_params\":\"%s\"", llm_drop_names[w->drop]);
	buf_append_char(out, '}');
}

static bool create_at_server(struct admin *a, const struct key_wanted *w, struct key_info *made,
	char text[AUTH_KEY_CHARS + 1], struct err *err)
{
	struct buf body, answer;
	struct span key = SPAN("");
	yyjson_doc *doc;
	bool ok;

	buf_init(&body, 8192);
	buf_init(&answer, 65536);
	write_wanted(w, &body);
	ok = !body.failed || err_set(err, ERR_NO_MEMORY, NULL);
	ok = ok &&
	     control_call(a->socket_path, HTTP_POST, KEYS_PATH, buf_span(&body), &answer, err);
	doc = ok ? json_read(NULL, buf_span(&answer), NULL) : NULL;
	if (ok && (!json_get_str(yyjson_doc_get_root(doc), "api_key", &key) ||
			  key.n != AUTH_KEY_CHARS))
		ok = wrong_answer(err);
	if (ok) {
		info_of_json(yyjson_doc_get_root(doc), made);
		memcpy(text, key.p, AUTH_KEY_CHARS);
		text[AUTH_KEY_CHARS] = '\0';
	}
	json_free(doc);
	if (answer.mem != NULL)
		explicit_bzero(answer.mem, answer.cap);
	buf_done(&answer);
	buf_done(&body);
	return ok;
}

bool admin_create_key(struct admin *a, const struct key_wanted *wanted, struct key_info *made,
	char text[AUTH_KEY_CHARS + 1], struct err *err)
{
	return a->lock_fd >= 0 ? create_in_store(a, wanted, made, text, err)
			       : create_at_server(a, wanted, made, text, err);
}

/* ---- delete ---- */

bool admin_delete_key(struct admin *a, const char *id, struct err *err)
{
	char target[sizeof(KEYS_PATH) + 1 + ID_UUID_CHARS];
	struct buf answer;
	struct id key;
	bool existed, ok;

	if (!id_read_uuid(span_of(id), &key))
		return err_set(err, ERR_BAD_REQUEST, "the id of a key is a UUID");
	if (a->lock_fd >= 0) {
		return store_begin(&a->store, err) &&
		       end(a,
			       key_delete(&a->store, &key, &existed, err) &&
				       (existed || err_set(err, ERR_NOT_FOUND,
							   "there is no such key any more")) &&
				       audit(a, "apikey.delete", &key, NULL, err),
			       err);
	}
	snprintf(target, sizeof(target), KEYS_PATH "/%s", id);
	buf_init(&answer, 65536);
	ok = control_call(a->socket_path, HTTP_DELETE, target, SPAN(""), &answer, err);
	buf_done(&answer);
	return ok;
}

/* ---- correct ---- */

static bool correct_in_store(struct admin *a, struct correction *c, int64_t nusd, struct err *err)
{
	struct audit_row row = {.at_ms = c->at_ms,
		.actor = c->actor,
		.action = SPAN("request.correct"),
		.target = c->request_id};
	struct buf new;
	char text[32];
	bool ok;

	buf_init(&new, 4096);
	buf_append_char(&new, '{');
	json_put_str(&new, "cost", price_write(nusd, text));
	json_put_str(&new, "why", c->why);
	buf_append_char(&new, '}');
	row.new = buf_span(&new);
	ok = (!new.failed || err_set(err, ERR_NO_MEMORY, NULL)) && store_begin(&a->store, err) &&
	     end(a, correction_put(&a->store, c, nusd, err) && audit_append(&a->store, &row, err),
		     err);
	buf_done(&new);
	return ok;
}

static bool correct_at_server(
	struct admin *a, const char *request, const char *amount, const char *why, struct err *err)
{
	char target[64];
	struct buf body, answer;
	bool ok;

	snprintf(target, sizeof(target), "/v1/manage/request/%s/correct", request);
	buf_init(&body, 8192);
	buf_init(&answer, 65536);
	buf_append_char(&body, '{');
	json_put_cstr(&body, "amount", amount);
	json_put_cstr(&body, "why", why);
	buf_append_char(&body, '}');
	ok = !body.failed || err_set(err, ERR_NO_MEMORY, NULL);
	ok = ok && control_call(a->socket_path, HTTP_POST, target, buf_span(&body), &answer, err);
	buf_done(&answer);
	buf_done(&body);
	return ok;
}

bool admin_correct(
	struct admin *a, const char *request, const char *amount, const char *why, struct err *err)
{
	struct correction c = {.at_ms = a->sys->wall_ms(a->sys),
		.actor = SPAN("command-line"),
		.why = span_of(why)};
	uint8_t random[10];
	int64_t nusd;

	if (!id_read_request(span_of(request), &c.request_id))
		return err_set(err, ERR_BAD_REQUEST, "the id of a request begins with req_");
	if (!money_read(span_of(amount), &nusd))
		return err_set(err, ERR_BAD_REQUEST,
			"the amount must be US dollars such as 0.0125, with at most 9 decimals");
	if (c.why.n == 0 || c.why.n > 128 || !text_is_utf8(c.why))
		return err_set(err, ERR_BAD_REQUEST, "the reason must have 1 to 128 bytes");
	if (a->lock_fd < 0)
		return correct_at_server(a, request, amount, why, err);
	if (!a->sys->random(a->sys, random, sizeof(random)))
		return err_set(err, ERR_INTERNAL, "the system gave no random numbers");
	id_make(&c.id, c.at_ms, random);
	return correct_in_store(a, &c, nusd, err);
}

/* ---- reload ---- */

bool admin_reload(struct admin *a, bool *is_running, struct err *err)
{
	struct buf answer;
	bool ok;

	*is_running = a->lock_fd < 0;
	if (!*is_running)
		return true;
	buf_init(&answer, 65536);
	ok = control_call(a->socket_path, HTTP_POST, "/reload", SPAN("{}"), &answer, err);
	buf_done(&answer);
	return ok;
}
