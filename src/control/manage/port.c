/* SPDX-License-Identifier: Apache-2.0 */
#include "control/manage/port.h"
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "control/manage/endpoint.h"

#define MAX_BODY_BYTES 65536

struct manage_port {
	struct manage_env env;
	struct mailbox *mailbox;
	pthread_mutex_t lock; /* closed, refs */
	bool closed;
	int refs;     /* its owner, and each task that is with the store thread */
	int n_posted; /* loop's thread */
};

struct task {
	struct manage_port *port;
	struct http_request *request; /* NULL: the caller left */
	const struct manage_endpoint *endpoint;
	struct manage_caller caller;
	char id[64], user[64], query[1024];
	struct buf body, answer;
	struct ingest_job job;
	struct mail mail;
	int status;
	struct err err;
	bool posted;
};

/* ---- the port ---- */

struct manage_port *manage_port_open(
	const struct manage_env *env, struct mailbox *mailbox, struct err *err)
{
	struct manage_port *p = calloc(1, sizeof(*p));

	if (p == NULL) {
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	p->env = *env;
	p->mailbox = mailbox;
	p->refs = 1;
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

static void unref(struct manage_port *p)
{
	bool last;

	pthread_mutex_lock(&p->lock);
	last = --p->refs == 0;
	pthread_mutex_unlock(&p->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void manage_port_close(struct manage_port *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->closed = true;
	pthread_mutex_unlock(&p->lock);
	unref(p);
}

int manage_port_posted(const struct manage_port *p)
{
	return p->n_posted;
}

/* ---- a request ---- */

static void refuse(struct http_request *r, const struct err *err)
{
	static const struct http_field later = {SPAN("Retry-After"), SPAN("5")};
	struct http_reply reply = {.status = err_row(err->code)->status,
		.fields = &later,
		.n = err->code == ERR_STORE_DOWN,
		.content_type = "application/json"};
	struct buf body;

	buf_init(&body, 8192);
	manage_write_error(err, &body);
	request_answer(r, &reply, buf_span(&body));
	buf_done(&body);
}

static void task_free(struct task *t)
{
	buf_done(&t->body);
	buf_done(&t->answer);
	free(t);
}

/* Back on the loop's thread. */
static void on_mail(struct mail *m)
{
	struct task *t = LIST_ITEM(m, struct task, mail);
	struct http_reply reply = {.status = t->status, .content_type = "application/json"};

	if (t->request != NULL && t->err.code != ERR_OK)
		refuse(t->request, &t->err);
	else if (t->request != NULL)
		request_answer(t->request, &reply, buf_span(&t->answer));
	t->port->n_posted--;
	unref(t->port);
	task_free(t);
}

/* A closed port's loop is gone: there is nobody to tell. */
static void hand_back(struct task *t)
{
	struct manage_port *p = t->port;
	bool closed;

	pthread_mutex_lock(&p->lock);
	closed = p->closed;
	if (!closed) /* under the lock: the mailbox is still there */
		mailbox_post(p->mailbox, &t->mail);
	pthread_mutex_unlock(&p->lock);
	if (closed) {
		task_free(t);
		unref(p);
	}
}

/* Budgets change when the correction cannot be taken back any more. */
static void learn(const struct manage_call *call)
{
	const struct correction *c = &call->corrected;
	const struct id scopes[] = {scope_org_id, c->owners.group_id, c->owners.project_id,
		c->owners.user_id, c->key_id};
	struct sys *sys = call->env->sys;

	if (!id_is_none(&c->id))
		budget_correct(
			call->env->budget, scopes, 5, c->nusd, c->started_ms, sys->wall_ms(sys));
}

/* A key of a user reaches as far as the user's role. */
static bool read_role(
	struct manage_caller *caller, struct store *store, enum manage_reach reach, struct err *err)
{
	struct scope_row user;
	bool found = true;

	if (caller->administrator || id_is_none(&caller->user_id))
		return true;
	if (!scope_find(store, SCOPE_USER, &caller->user_id, &user, &found, err))
		return false;
	caller->member = !found || user.role != ROLE_ADMIN;
	return !caller->member || reach != REACH_ADMIN ||
	       err_set(err, ERR_FORBIDDEN,
		       "This key is of a user with the role member; this needs the role admin");
}

/* A change and its entry in the audit log are one transaction. */
static bool run_endpoint(struct task *t, struct manage_call *call)
{
	const struct manage_endpoint *e = t->endpoint;

	if (!read_role(&t->caller, call->store, e->reach, &t->err))
		return false;
	if (e->method == HTTP_GET || e->run == manage_reload)
		return e->run(call, &t->err);
	if (!store_begin(call->store, &t->err))
		return false;
	if (e->run(call, &t->err) && store_commit(call->store, &t->err)) {
		learn(call);
		return true;
	}
	store_rollback(call->store);
	return false;
}

/*
 * What the database says is for the log: it may name files and hosts. A commit whose answer was
 * lost may have been made.
 */
static void on_store_error(struct task *t)
{
	struct log_field f = LOG_FIELD_TEXT("err", span_of(t->err.text));
	struct err why = {0};

	if (t->err.code != ERR_IO)
		return;
	log_write(
		t->port->env.log, LOG_ERROR, "manage_failed", "the database did not do it", &f, 1);
	if (t->endpoint->method == HTTP_GET)
		err_set(&why, ERR_STORE_DOWN, NULL);
	else
		err_set(&why, ERR_STORE_DOWN,
			"The database is not available at the moment; look whether the change was "
			"made, and try again later");
	t->err = why;
}

/* On the store thread. */
static void on_job(struct ingest_job *job, struct store *store)
{
	struct task *t = LIST_ITEM(job, struct task, job);
	struct manage_call call = {.env = &t->port->env,
		.store = store,
		.caller = &t->caller,
		.kind = t->endpoint->kind,
		.place = {span_of(t->id), span_of(t->user)},
		.query = span_of(t->query),
		.body = buf_span(&t->body),
		.answer = &t->answer,
		.status = 200};

	if (!run_endpoint(t, &call)) {
		assert(t->err.code != ERR_OK);
		on_store_error(t);
	} else if (t->answer.failed)
		err_set(&t->err, ERR_NO_MEMORY, NULL);
	t->status = call.status;
	hand_back(t);
}

static void on_body(void *user, struct span bytes)
{
	struct task *t = user;

	buf_append(&t->body, bytes);
}

static void on_body_end(void *user)
{
	struct task *t = user;
	struct manage_port *p = t->port;

	if (t->body.failed)
		err_set(&t->err, ERR_TOO_LARGE, "The body is over %d bytes", MAX_BODY_BYTES);
	else if (p->closed)
		err_set(&t->err, ERR_SHUTTING_DOWN, NULL);
	if (t->err.code != ERR_OK) {
		refuse(t->request, &t->err);
		task_free(t);
		return;
	}
	t->posted = true;
	p->n_posted++;
	pthread_mutex_lock(&p->lock);
	p->refs++;
	pthread_mutex_unlock(&p->lock);
	t->job.run = on_job;
	t->mail.run = on_mail;
	ingest_post(p->env.ingest, &t->job);
}

static void on_gone(void *user, const struct err *why)
{
	struct task *t = user;

	t->request = NULL;
	if (!t->posted)
		task_free(t);
}

static void on_drain(void *user)
{
}

static const struct http_request_events events = {
	.body = on_body, .body_end = on_body_end, .gone = on_gone, .drain = on_drain};

static struct task *make(struct manage_port *p, struct http_request *r,
	const struct manage_place *place, const struct auth_identity *who, struct err *err)
{
	struct span query = request_head(r)->query;
	struct task *t = calloc(1, sizeof(*t));

	if (t == NULL || place->id.n >= sizeof(t->id) || place->user.n >= sizeof(t->user) ||
		query.n >= sizeof(t->query)) {
		err_set(err, t == NULL ? ERR_NO_MEMORY : ERR_BAD_REQUEST, NULL);
		free(t);
		return NULL;
	}
	t->port = p;
	t->request = r;
	t->caller.administrator = who == NULL;
	if (who != NULL) {
		t->caller.key_id = who->key_id;
		t->caller.manage = who->manage;
		t->caller.user_id = who->owners.user_id;
	}
	snprintf(t->caller.source, sizeof(t->caller.source), "%s", request_peer(r));
	memcpy(t->id, place->id.n > 0 ? place->id.p : "", place->id.n);
	memcpy(t->user, place->user.n > 0 ? place->user.p : "", place->user.n);
	memcpy(t->query, query.p != NULL ? query.p : "", query.n);
	buf_init(&t->body, MAX_BODY_BYTES);
	buf_init(&t->answer, 64u << 20);
	return t;
}

void manage_port_request(
	struct manage_port *p, struct http_request *r, const struct auth_identity *who)
{
	const struct http_head *head = request_head(r);
	struct err err = {0};
	struct manage_place place;
	const struct manage_endpoint *e =
		manage_endpoint_find(head->method, head->path, &place, &err);
	struct task *t = NULL;

	if (e != NULL && manage_may(e, place.id, who, &err))
		t = make(p, r, &place, who, &err);
	if (t == NULL) {
		refuse(r, &err);
		return;
	}
	t->endpoint = e;
	request_bind(r, &events, t);
	request_continue(r);
}
