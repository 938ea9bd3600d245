/* SPDX-License-Identifier: Apache-2.0 */
#include "control/manage/endpoint.h"
#include "control/manage/moment.h"
#include "machine/base/json_put.h"
#include "machine/base/text.h"

#define DAY_MS 86400000ll
#define MAX_DAYS 100

/* ---- what is asked ---- */

static bool read_time(const struct manage_call *call, const char *name, int64_t *out, bool *given,
	struct err *err)
{
	struct span query = call->query, text;
	char room[64];

	text = manage_param(&query, name, room, sizeof(room));
	*given = text.n > 0;
	return !*given || moment_read(text, out) ||
	       manage_bad(err, name, "must be a time such as 2026-11-01T00:00:00Z");
}

static bool read_resolution(
	const struct manage_call *call, enum usage_resolution *out, struct err *err)
{
	static const char *const names[] = {"hour", "day", "month", "minute"};
	struct span query = call->query, text;
	char room[16];

	*out = USAGE_DAYS;
	text = manage_param(&query, "resolution", room, sizeof(room));
	if (text.n == 0)
		return true;
	for (int i = 0; i < 4; i++)
		if (span_is(text, names[i])) {
			*out = (enum usage_resolution)i;
			return true;
		}
	return manage_bad(err, "resolution", "must be minute, hour, day or month");
}

/* Repeated, or parted by commas. */
static bool read_groups(const struct manage_call *call, struct usage_query *q, struct err *err)
{
	struct span query = call->query, list, one;
	char room[256];

	while ((list = manage_param(&query, "group_by", room, sizeof(room))).n > 0)
		while (list.n > 0) {
			one = span_cut(&list, ',');
			if (q->n_groups == USAGE_MAX_GROUPS)
				return manage_bad(err, "group_by", "may name four columns at most");
			if (!usage_group_read(one, &q->groups[q->n_groups]))
				return manage_bad(err, "group_by",
					"may name model_requested, model_used, provider_used, "
					"user_id, api_key_id, member_id, group_id, "
					"group_name, project_id, status, tool and "
					"origin_title");
			q->n_groups++;
		}
	return true;
}

static bool read_query(const struct manage_call *call, struct usage_query *q, struct err *err)
{
	bool has_start, has_end;

	if (!read_time(call, "start", &q->from_ms, &has_start, err) ||
		!read_time(call, "end", &q->to_ms, &has_end, err) ||
		!read_resolution(call, &q->resolution, err) || !read_groups(call, q, err))
		return false;
	if (!has_start)
		return manage_bad(err, "start", "is missing");
	if (!has_end)
		q->to_ms = q->from_ms + DAY_MS;
	if (q->to_ms <= q->from_ms)
		return manage_bad(err, "end", "must be behind start");
	if (q->to_ms - q->from_ms > MAX_DAYS * DAY_MS)
		return manage_bad(err, "end", "may be 100 days behind start at most");
	if (q->resolution == USAGE_MINUTES && q->to_ms - q->from_ms > DAY_MS)
		return manage_bad(err, "end", "may be a day behind start at most, by minutes");
	return true;
}

/* ---- what is answered ---- */

struct table {
	struct buf *out;
	const struct usage_query *q;
	int64_t bucket_ms; /* the open one; -1: none */
	struct usage_row total;
	struct buf grouped; /* the members of grouped_data */
};

static void put_counts(struct buf *b, const struct usage_row *r)
{
	json_put_int(b, "completions_requests", r->chat);
	json_put_int(b, "embedding_requests", r->embeddings);
	json_put_int(b, "image_requests", r->images);
	json_put_int(b, "speech_requests", r->speech);
	json_put_int(b, "transcription_requests", r->transcriptions);
	json_put_int(b, "total_requests", r->sum.requests);
	json_put_int(b, "failed_requests", r->sum.failed);
	manage_put_money(b, "spend", r->sum.cost_nusd);
	json_put_int(b, "unpriced_requests", r->sum.unpriced);
	json_put_int(b, "input_tokens", r->sum.input);
	json_put_int(b, "cached_tokens", r->sum.cache_read);
	json_put_int(b, "caching_tokens", r->sum.cache_write);
	json_put_int(b, "output_tokens", r->sum.output);
	json_put_int(b, "reasoning_tokens", r->sum.reasoning);
	json_put_int(b, "total_tokens", r->sum.input + r->sum.output);
}

static void add(struct usage_row *to, const struct usage_row *r)
{
	to->chat += r->chat;
	to->embeddings += r->embeddings;
	to->images += r->images;
	to->speech += r->speech;
	to->transcriptions += r->transcriptions;
	to->sum.requests += r->sum.requests;
	to->sum.failed += r->sum.failed;
	to->sum.input += r->sum.input;
	to->sum.cache_read += r->sum.cache_read;
	to->sum.cache_write += r->sum.cache_write;
	to->sum.output += r->sum.output;
	to->sum.reasoning += r->sum.reasoning;
	to->sum.cost_nusd += r->sum.cost_nusd;
	to->sum.unpriced += r->sum.unpriced;
}

static void end_bucket(struct table *t)
{
	char when[32];

	if (t->bucket_ms < 0)
		return;
	text_rfc3339(when, t->bucket_ms);
	json_put_open(t->out, when, '{');
	put_counts(t->out, &t->total);
	json_put_open(t->out, "grouped_data", '[');
	buf_append(t->out, buf_span(&t->grouped));
	buf_append_cstr(t->out, "]}");
	t->total = (struct usage_row){0};
	buf_clear(&t->grouped);
}

static bool on_row(void *user, const struct usage_row *r)
{
	struct table *t = user;
	struct buf *g = &t->grouped;

	if (r->bucket_ms != t->bucket_ms) {
		end_bucket(t);
		t->bucket_ms = r->bucket_ms;
	}
	add(&t->total, r);
	if (t->q->n_groups == 0)
		return !t->out->failed;
	json_put_open(g, NULL, '{');
	json_put_open(g, "group_by_values", '{');
	for (int i = 0; i < t->q->n_groups; i++)
		json_put_str(g, usage_group_name(t->q->groups[i]), r->group[i]);
	buf_append_char(g, '}');
	put_counts(g, r);
	buf_append_char(g, '}');
	return !t->out->failed && !g->failed;
}

static bool answer(struct manage_call *call, const struct usage_query *q, struct err *err)
{
	struct table t = {.out = call->answer, .q = q, .bucket_ms = -1};
	bool ok;

	buf_init(&t.grouped, 32u << 20);
	buf_append_cstr(call->answer, "{\"usage\":{");
	ok = usage_each(call->store, q, on_row, &t, err);
	if (ok) {
		end_bucket(&t);
		buf_append_cstr(call->answer, "}}");
	}
	call->answer->failed |= t.grouped.failed;
	buf_done(&t.grouped);
	return ok;
}

bool manage_key_usage(struct manage_call *call, struct err *err)
{
	struct usage_query q = {0};
	struct key_row row;
	struct id id;

	if (!manage_key_id(call, &id, err) || !read_query(call, &q, err) ||
		(call->caller->member && !manage_key_find(call, &row, err)))
		return false;
	q.key_id = &id;
	return answer(call, &q, err);
}

bool manage_usage(
	struct manage_call *call, enum scope_kind kind, const struct id *id, struct err *err)
{
	struct usage_query q = {.scope = kind, .scope_id = *id};

	return read_query(call, &q, err) && answer(call, &q, err);
}
