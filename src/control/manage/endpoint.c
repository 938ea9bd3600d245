/* SPDX-License-Identifier: Apache-2.0 */
#include "control/manage/endpoint.h"
#include "machine/base/json_put.h"
#include "machine/base/text.h"
#include "state/ledger/price.h"

static bool live(struct manage_call *call, struct err *err)
{
	return buf_append_cstr(call->answer, "{\"status\":\"live\"}");
}

/* On the control socket alone: below no path that workers serve. */
bool manage_reload(struct manage_call *call, struct err *err)
{
	const struct manage_env *env = call->env;

	if (env->reload == NULL)
		return err_set(err, ERR_NOT_FOUND, NULL);
	return env->reload(env->reload_user, err) &&
	       buf_append_cstr(call->answer, "{\"status\":\"reloaded\"}");
}

#define KEYS "/v1/manage/apikey"

#define ORG "/v1/manage/org"
#define USERS ORG "/member"
#define GROUPS "/v1/manage/group"
#define PROJECTS "/v1/manage/project"
#define ACCOUNTS "/v1/manage/service-account"
#define LISTS "/v1/manage/access-list"
#define REQUESTS "/v1/manage/request"

/* Members of bodies: name, ':', type, and '!' where it is required. */
#define LIMITS                                                                                     \
	"monthly_limit:money weekly_limit:money daily_limit:money requests_per_minute:count "      \
	"tokens_per_minute:count max_in_flight:count"
#define KEY                                                                                        \
	" permissions:permissions expires_at:time drop_params:text user_id:uuid group_id:uuid "    \
	"project_id:uuid service_account_id:uuid access_list_id:uuid " LIMITS
#define RULES                                                                                      \
	" auto_approve:bool restricted:bool chat:texts embedding:texts image:texts "               \
	"transcription:texts speech:texts"
#define TARGET "api_key_id:uuid group_id:uuid organization:bool"
#define MEMBER "user_id:uuid! role:text"

/* What all scopes but the organisation have. */
#define SCOPES(path, kind, word, create, change)                                                   \
	{HTTP_GET, path, RIGHT_READ, REACH_OWN, manage_scope_list, kind, "All " word "s", NULL},   \
		{HTTP_POST, path, RIGHT_WRITE, REACH_ADMIN, manage_scope_create, kind,             \
			"A new " word, create},                                                    \
		{HTTP_GET, path "/{id}", RIGHT_READ, REACH_OWN, manage_scope_show, kind,           \
			"One " word, NULL},                                                        \
		{HTTP_PATCH, path "/{id}", RIGHT_WRITE, REACH_ADMIN, manage_scope_change, kind,    \
			"Changes a " word, change},                                                \
		{HTTP_DELETE, path "/{id}", RIGHT_WRITE, REACH_ADMIN, manage_scope_delete, kind,   \
			"Deletes a " word, NULL},                                                  \
		{HTTP_POST, path "/{id}/limit", RIGHT_WRITE, REACH_ADMIN, manage_scope_limit,      \
			kind, "Sets limits of a " word, LIMITS},                                   \
	{                                                                                          \
		HTTP_GET, path "/{id}/usage", RIGHT_READ, REACH_OWN, manage_scope_usage, kind,     \
			"Usage of a " word, NULL                                                   \
	}

static const struct manage_endpoint endpoints[] = {
	{HTTP_GET, "/livez", RIGHT_NONE, REACH_OWN, live, 0, NULL, NULL},
	{HTTP_GET, "/openapi.json", RIGHT_NONE, REACH_OWN, manage_openapi, 0, NULL, NULL},
	{HTTP_POST, "/reload", RIGHT_WRITE, REACH_ADMIN, manage_reload, 0, NULL, NULL},
	{HTTP_GET, KEYS, RIGHT_READ, REACH_OWN, manage_key_list, 0, "All keys", NULL},
	{HTTP_POST, KEYS, RIGHT_WRITE, REACH_OWN, manage_key_create, 0,
		"A new key; its text is shown in this answer alone", "name:text!" KEY},
	{HTTP_GET, KEYS "/{id}", RIGHT_OWN, REACH_OWN, manage_key_show, 0, "One key", NULL},
	{HTTP_PATCH, KEYS "/{id}", RIGHT_WRITE, REACH_OWN, manage_key_change, 0, "Changes a key",
		"name:text" KEY},
	{HTTP_DELETE, KEYS "/{id}", RIGHT_WRITE, REACH_OWN, manage_key_delete, 0, "Deletes a key",
		NULL},
	{HTTP_GET, KEYS "/{id}/usage", RIGHT_OWN, REACH_OWN, manage_key_usage, 0, "Usage of a key",
		NULL},
	{HTTP_POST, KEYS "/{id}/limit", RIGHT_WRITE, REACH_OWN, manage_key_limit, 0,
		"Sets limits of a key", LIMITS},
	{HTTP_POST, KEYS "/{id}/label", RIGHT_WRITE, REACH_OWN, manage_key_label, 0,
		"Sets all labels of a key", "labels:object!"},
	{HTTP_POST, KEYS "/{id}/expiry", RIGHT_WRITE, REACH_OWN, manage_key_expiry, 0,
		"Sets or takes away when a key expires", "expires_at:time!"},
	{HTTP_GET, ORG, RIGHT_READ, REACH_OWN, manage_scope_show, SCOPE_ORG, "The organization",
		NULL},
	{HTTP_PATCH, ORG, RIGHT_WRITE, REACH_ADMIN, manage_scope_change, SCOPE_ORG,
		"Changes the organization", "name:text " LIMITS},
	{HTTP_POST, ORG "/limit", RIGHT_WRITE, REACH_ADMIN, manage_scope_limit, SCOPE_ORG,
		"Sets limits of the organization", LIMITS},
	{HTTP_GET, ORG "/usage", RIGHT_READ, REACH_ADMIN, manage_scope_usage, SCOPE_ORG,
		"Usage of the organization", NULL},
	SCOPES(USERS, SCOPE_USER, "user", "email:text! name:text role:text group_ids:texts " LIMITS,
		"email:text name:text role:text group_ids:texts " LIMITS),
	SCOPES(GROUPS, SCOPE_GROUP, "group", "name:text! budget_mode:text " LIMITS,
		"name:text budget_mode:text " LIMITS),
	{HTTP_POST, GROUPS "/{id}/member", RIGHT_WRITE, REACH_OWN, manage_member_put, SCOPE_GROUP,
		"Puts a user into a group", MEMBER},
	{HTTP_PUT, GROUPS "/{id}/member", RIGHT_WRITE, REACH_OWN, manage_member_put, SCOPE_GROUP,
		"Sets a user's role in a group", MEMBER},
	{HTTP_DELETE, GROUPS "/{id}/member", RIGHT_WRITE, REACH_OWN, manage_member_delete,
		SCOPE_GROUP, "Takes a user out of a group", "user_id:uuid!"},
	{HTTP_PUT, GROUPS "/{id}/member/{user}/role", RIGHT_WRITE, REACH_OWN, manage_member_put,
		SCOPE_GROUP, "Sets a user's role in a group", "role:text!"},
	SCOPES(PROJECTS, SCOPE_PROJECT, "project", "name:text! " LIMITS, "name:text " LIMITS),
	SCOPES(ACCOUNTS, SCOPE_ACCOUNT, "service account", "name:text!", "name:text"),
	{HTTP_GET, LISTS, RIGHT_READ, REACH_OWN, manage_access_list, 0, "All access lists", NULL},
	{HTTP_POST, LISTS, RIGHT_WRITE, REACH_ADMIN, manage_access_create, 0, "A new access list",
		"name:text!" RULES},
	{HTTP_GET, LISTS "/{id}", RIGHT_READ, REACH_OWN, manage_access_show, 0, "One access list",
		NULL},
	{HTTP_PATCH, LISTS "/{id}", RIGHT_WRITE, REACH_ADMIN, manage_access_change, 0,
		"Changes an access list", "name:text" RULES},
	{HTTP_DELETE, LISTS "/{id}", RIGHT_WRITE, REACH_ADMIN, manage_access_delete, 0,
		"Deletes an access list that nothing uses", NULL},
	{HTTP_POST, LISTS "/{id}/attach", RIGHT_WRITE, REACH_OWN, manage_access_attach, 0,
		"Attaches an access list to a key, a group or the organization", TARGET},
	{HTTP_POST, LISTS "/{id}/detach", RIGHT_WRITE, REACH_OWN, manage_access_detach, 0,
		"Takes an access list away from where it is attached", TARGET},
	{HTTP_GET, KEYS "/{id}/request", RIGHT_OWN, REACH_OWN, manage_key_requests, 0,
		"Requests of a key, newest first", NULL},
	{HTTP_GET, REQUESTS, RIGHT_READ, REACH_ADMIN, manage_request_list, 0,
		"All requests, newest first", NULL},
	{HTTP_GET, REQUESTS "/{id}", RIGHT_READ, REACH_ADMIN, manage_request_show, 0, "One request",
		NULL},
	{HTTP_POST, REQUESTS "/{id}/correct", RIGHT_WRITE, REACH_ADMIN, manage_request_correct, 0,
		"Says what a settled request really cost, as an entry of its own",
		"amount:money! why:text!"},
	{HTTP_GET, "/v1/manage/audit", RIGHT_READ, REACH_ADMIN, manage_audit_list, 0,
		"The log of changes, newest first", NULL},
	{HTTP_GET, "/x/apikey", RIGHT_NONE, REACH_OWN, manage_key_balance, 0,
		"The calling key's limit and spend, in an older form", NULL},
};

const struct manage_endpoint *manage_endpoint_at(size_t i)
{
	return i < sizeof(endpoints) / sizeof(endpoints[0]) ? &endpoints[i] : NULL;
}

/* "{id}" and "{user}" take one part of the path each. */
static bool fits(const char *pattern, struct span path, struct manage_place *place)
{
	struct span p = span_of(pattern);

	*place = (struct manage_place){{NULL, 0}, {NULL, 0}};
	while (p.p != NULL && path.p != NULL) {
		struct span want = span_cut(&p, '/'), have = span_cut(&path, '/');

		if (span_is(want, "{id}") && have.n > 0)
			place->id = have;
		else if (span_is(want, "{user}") && have.n > 0)
			place->user = have;
		else if (!span_eq(want, have))
			return false;
	}
	return p.p == NULL && path.p == NULL;
}

const struct manage_endpoint *manage_endpoint_find(
	enum http_method method, struct span path, struct manage_place *place, struct err *err)
{
	bool known = false;

	for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
		if (!fits(endpoints[i].path, path, place))
			continue;
		if (endpoints[i].method == method)
			return &endpoints[i];
		known = true;
	}
	err_set(err, known ? ERR_METHOD : ERR_NOT_FOUND, NULL);
	return NULL;
}

bool manage_may(const struct manage_endpoint *e, struct span id, const struct auth_identity *who,
	struct err *err)
{
	enum permission needed = e->right == RIGHT_WRITE ? PERMISSION_WRITE : PERMISSION_READ;

	if (who == NULL || e->right == RIGHT_NONE || who->manage >= needed ||
		(e->right == RIGHT_OWN && span_is(id, "self")))
		return true;
	return err_set(err, ERR_FORBIDDEN, "Key \"%s\" has manage: %s; this needs manage: %s",
		who->name, permission_name(who->manage), permission_name(needed));
}

void manage_write_error(const struct err *err, struct buf *out)
{
	const struct err_row *row = err_row(err->code);

	buf_append_cstr(out, "{\"error\":{\"origin\":\"router\",\"message\":");
	text_json_string(out, span_of(err->text[0] != '\0' ? err->text : row->text));
	buf_printf(out, ",\"type\":\"%s\",\"param\":", row->type);
	if (err->param[0] != '\0')
		text_json_string(out, span_of(err->param));
	else
		buf_append_cstr(out, "null");
	if (row->code[0] != '\0')
		buf_printf(out, ",\"code\":\"%s\"}}", row->code);
	else
		buf_append_cstr(out, ",\"code\":null}}");
}

/* ---- members and parameters ---- */

bool manage_bad(struct err *err, const char *member, const char *what)
{
	err_param(err, member);
	return err_set(err, ERR_BAD_REQUEST, "%s %s", member, what);
}

yyjson_doc *manage_body(const struct manage_call *call, struct err *err)
{
	yyjson_doc *doc = json_read_raw(NULL, call->body, false, err);

	if (doc != NULL && !yyjson_is_obj(yyjson_doc_get_root(doc))) {
		json_free(doc);
		err_set(err, ERR_BAD_REQUEST, "The body must be a JSON object");
		return NULL;
	}
	return doc;
}

bool manage_money(yyjson_val *v, const char *member, int64_t *nusd, struct err *err)
{
	struct span text = json_number(v);

	if (text.p == NULL && yyjson_is_str(v))
		text = (struct span){yyjson_get_str(v), yyjson_get_len(v)};
	return (text.n > 0 && money_read(text, nusd)) ||
	       manage_bad(err, member, "must be US dollars such as \"50.00\", at least 0");
}

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* RFC 3986 section 2.1, and '+' as forms have it. A '%' without two digits stands for itself. */
static struct span decode(struct span s, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i] == '+' ? ' ' : s.p[i];

		if (n == size)
			return (struct span){NULL, 0};
		if (c == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
			c = (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2]));
			i += 2;
		}
		out[n++] = c;
	}
	return span_from(out, n);
}

struct span manage_param(struct span *query, const char *name, char *out, size_t size)
{
	while (query->n > 0) {
		struct span value = span_cut(query, '&'), key = span_cut(&value, '=');

		if (span_is(key, name))
			return decode(value, out, size);
	}
	return (struct span){NULL, 0};
}

static const struct {
	const char *name;
	enum limit_period period;
} money_limits[] = {{"monthly_limit", PERIOD_MONTH}, {"weekly_limit", PERIOD_WEEK},
	{"daily_limit", PERIOD_DAY}};

static bool read_count(yyjson_val *v, const char *member, int64_t *out, struct err *err)
{
	struct span text = json_number(v);
	int64_t n = 0;

	for (size_t i = 0; i < text.n && n >= 0; i++)
		n = text.p[i] >= '0' && text.p[i] <= '9' && i < 12 ? n * 10 + (text.p[i] - '0')
								   : -1;
	*out = n;
	return yyjson_is_null(v) || (text.n > 0 && n >= 0) ||
	       manage_bad(err, member, "must be a whole number, at least 0");
}

bool manage_limit(yyjson_val *key, yyjson_val *v, struct limits *l, bool *is, struct err *err)
{
	const struct {
		const char *name;
		int64_t *value;
	} counts[] = {{"requests_per_minute", &l->requests}, {"tokens_per_minute", &l->tokens},
		{"max_in_flight", &l->in_flight}};

	*is = true;
	for (size_t i = 0; i < sizeof(money_limits) / sizeof(money_limits[0]); i++) {
		int64_t *nusd = &l->nusd[money_limits[i].period];

		if (!yyjson_equals_str(key, money_limits[i].name))
			continue;
		*nusd = 0;
		return yyjson_is_null(v) || manage_money(v, money_limits[i].name, nusd, err);
	}
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (yyjson_equals_str(key, counts[i].name))
			return read_count(v, counts[i].name, counts[i].value, err);
	*is = false;
	return true;
}

bool manage_limits(yyjson_val *body, struct limits *l, struct err *err)
{
	yyjson_obj_iter iter;
	yyjson_val *key;
	bool is = false;

	if (yyjson_obj_size(body) == 0)
		return manage_bad(err, "monthly_limit", "is missing");
	yyjson_obj_iter_init(body, &iter);
	while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
		if (!manage_limit(key, yyjson_obj_iter_get_val(key), l, &is, err))
			return false;
		if (!is)
			return manage_bad(err, yyjson_get_str(key), "is no limit");
	}
	return true;
}

void manage_put_limits(const struct manage_call *call, struct buf *b, const struct id *scope,
	const struct limits *l)
{
	struct sys *sys = call->env->sys;
	struct budget_state money = budget_look(call->env->budget, scope, sys->wall_ms(sys));

	for (size_t i = 0; i < sizeof(money_limits) / sizeof(money_limits[0]); i++)
		manage_put_money(b, money_limits[i].name, l->nusd[money_limits[i].period]);
	manage_put_money(b, "monthly_spend", money.settled);
	json_put_int(b, "requests_per_minute", l->requests);
	json_put_int(b, "tokens_per_minute", l->tokens);
	json_put_int(b, "max_in_flight", l->in_flight);
}

bool manage_name(yyjson_val *v, const char *member, char out[129], struct err *err)
{
	struct span text = {yyjson_get_str(v), yyjson_get_len(v)};
	bool ok = yyjson_is_str(v) && text.n > 0 && text.n <= 128 && text_is_utf8(text);

	for (size_t i = 0; ok && i < text.n; i++)
		ok = (unsigned char)text.p[i] >= 0x20 && text.p[i] != 0x7f;
	if (!ok)
		return manage_bad(
			err, member, "must be a text of 1 to 128 bytes without control characters");
	memcpy(out, text.p, text.n);
	out[text.n] = '\0';
	return true;
}

bool manage_path_id(const struct manage_call *call, struct id *id, struct err *err)
{
	if (id_read_uuid(call->place.id, id))
		return true;
	err_param(err, "id");
	return err_set(err, ERR_BAD_REQUEST, "The id must be a UUID");
}

void manage_put_id(struct buf *b, const char *key, const struct id *id)
{
	char text[ID_UUID_CHARS + 1];

	if (id_is_none(id)) {
		json_put_null(b, key);
		return;
	}
	id_write_uuid(id, text);
	json_put_cstr(b, key, text);
}

bool manage_count(const struct manage_call *call, const char *name, int64_t most, int64_t *out,
	struct err *err)
{
	struct span query = call->query, text;
	char room[16]; /* no number of that many digits overflows */
	int64_t n = 0;

	text = manage_param(&query, name, room, sizeof(room));
	if (text.n == 0)
		return true;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return manage_bad(err, name, "must be a number from 1 on");
		n = n * 10 + (text.p[i] - '0');
	}
	if (n < 1 || n > most)
		return manage_bad(err, name, "must be a number from 1 on, and not so large");
	*out = n;
	return true;
}

void manage_put_money(struct buf *b, const char *key, int64_t nusd)
{
	char text[32];

	json_put_str(b, key, price_write(nusd, text));
}

void manage_put_difference(struct buf *b, const char *key, int64_t nusd)
{
	char text[32], signed_text[33];
	struct span s = price_write(nusd < 0 ? -nusd : nusd, text);

	signed_text[0] = '-';
	memcpy(signed_text + 1, s.p, s.n);
	json_put_str(b, key, nusd < 0 ? span_from(signed_text, s.n + 1) : s);
}

void manage_put_time(struct buf *b, const char *key, int64_t wall_ms)
{
	char text[32];

	if (wall_ms == 0) {
		json_put_null(b, key);
		return;
	}
	text_rfc3339(text, wall_ms);
	json_put_cstr(b, key, text);
}
