/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "control/manage/endpoint.h"
#include "machine/base/json_put.h"
#include "machine/base/text.h"

#define PAGE 100
#define MAX_PAGE 1000

void manage_actor(const struct manage_caller *caller, char out[64])
{
	char id[ID_UUID_CHARS + 1];

	if (caller->administrator) {
		snprintf(out, 64, "control-socket");
		return;
	}
	id_write_uuid(&caller->key_id, id);
	snprintf(out, 64, "apikey:%s", id);
}

bool manage_audit(struct manage_call *call, const char *action, const struct id *target,
	struct span old, struct span new, struct err *err)
{
	char actor[64], id[ID_UUID_CHARS + 1];
	struct sys *sys = call->env->sys;
	struct audit_row row = {.at_ms = sys->wall_ms(sys),
		.source = span_of(call->caller->source),
		.action = span_of(action),
		.target = *target,
		.old = old,
		.new = new};
	struct log_field fields[3];

	manage_actor(call->caller, actor);
	id_write_uuid(target, id);
	row.actor = span_of(actor);
	fields[0] = LOG_FIELD_TEXT("action", span_of(action));
	fields[1] = LOG_FIELD_TEXT("target", span_of(id));
	fields[2] = LOG_FIELD_TEXT("actor", span_of(actor));
	if (!audit_append(call->store, &row, err))
		return false;
	if (call->env->log != NULL)
		log_write(call->env->log, LOG_INFO, "managed", "", fields, 3);
	return true;
}

struct page {
	struct buf *out;
	int64_t last;
	int n;
};

static void put_json(struct buf *b, const char *key, struct span text)
{
	if (text.n > 0)
		json_put_raw(b, key, text);
	else
		json_put_null(b, key);
}

static bool on_row(void *user, const struct audit_row *r)
{
	struct page *p = user;
	char hash[65];

	text_hex(hash, r->hash, sizeof(r->hash));
	json_put_open(p->out, NULL, '{');
	json_put_int(p->out, "seq", r->seq);
	manage_put_time(p->out, "at", r->at_ms);
	json_put_str(p->out, "actor", r->actor);
	json_put_str(p->out, "source", r->source);
	json_put_str(p->out, "action", r->action);
	manage_put_id(p->out, "target", &r->target);
	put_json(p->out, "before", r->old);
	put_json(p->out, "after", r->new);
	json_put_str(p->out, "hash", span_from(hash, 64));
	p->last = r->seq;
	p->n++;
	return buf_append_char(p->out, '}');
}

/* Newest first; `before` goes on where a page ended. */
bool manage_audit_list(struct manage_call *call, struct err *err)
{
	struct page p = {.out = call->answer};
	int64_t limit = PAGE, before = INT64_MAX;

	if (!manage_count(call, "limit", MAX_PAGE, &limit, err) ||
		!manage_count(call, "before", INT64_MAX, &before, err))
		return false;
	buf_append_cstr(call->answer, "{\"entries\":[");
	if (!audit_each(call->store, before - 1, (int)limit, true, on_row, &p, err))
		return false;
	buf_append_char(call->answer, ']');
	if (p.n == limit && p.last > 1)
		json_put_int(call->answer, "next_before", p.last);
	else
		json_put_null(call->answer, "next_before");
	return buf_append_char(call->answer, '}') || err_set(err, ERR_NO_MEMORY, NULL);
}
