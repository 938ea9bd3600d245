/* SPDX-License-Identifier: Apache-2.0 */
#include "control/manage/manage.h"
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "control/manage/endpoint.h"
#include "machine/http/server.h"
#include "machine/loop/mailbox.h"

#define MAX_BODY_BYTES 65536

struct manage {
	struct manage_env env;
	struct loop *loop;
	struct mailbox *mailbox;
	struct http_server *server;
	pthread_t thread;
	int n_posted; /* requests whose work is with the store thread */
	bool stopping;
};

/* A request to the control side: read, then worked on by the store thread, then answered. */
struct task {
	struct manage *manage;
	struct http_request *request; /* NULL: the caller left */
	const struct manage_endpoint *endpoint;
	char id[64];
	struct buf body, answer;
	struct ingest_job job;
	struct mail mail;
	int status;
	struct err err;
	bool posted;
};

static void refuse(struct http_request *r, const struct err *err)
{
	struct http_reply reply = {
		.status = err_row(err->code)->status, .content_type = "application/json"};
	struct buf body;

	buf_init(&body, 8192);
	manage_write_error(err, &body);
	request_answer(r, &reply, buf_span(&body));
	buf_done(&body);
}

static void task_free(struct task *t)
{
	if (t->posted) {
		t->manage->n_posted--;
		if (t->manage->stopping && t->manage->n_posted == 0)
			loop_stop(t->manage->loop);
	}
	buf_done(&t->body);
	buf_done(&t->answer);
	free(t);
}

/* Back on the control thread. */
static void on_mail(struct mail *m)
{
	struct task *t = LIST_ITEM(m, struct task, mail);
	struct http_reply reply = {.status = t->status, .content_type = "application/json"};

	if (t->request != NULL && t->err.code != ERR_OK)
		refuse(t->request, &t->err);
	else if (t->request != NULL)
		request_answer(t->request, &reply, buf_span(&t->answer));
	task_free(t);
}

/* On the store thread. */
static void on_job(struct ingest_job *job, struct store *store)
{
	struct task *t = LIST_ITEM(job, struct task, job);
	struct manage_call call = {.env = &t->manage->env,
		.store = store,
		.id = span_of(t->id),
		.body = buf_span(&t->body),
		.answer = &t->answer,
		.status = 200};

	if (!t->endpoint->run(&call, &t->err))
		assert(t->err.code != ERR_OK);
	else if (t->answer.failed)
		err_set(&t->err, ERR_NO_MEMORY, NULL);
	t->status = call.status;
	mailbox_post(t->manage->mailbox, &t->mail);
}

static void on_body(void *user, struct span bytes)
{
	struct task *t = user;

	buf_append(&t->body, bytes);
}

static void on_body_end(void *user)
{
	struct task *t = user;

	if (t->body.failed)
		err_set(&t->err, ERR_TOO_LARGE, "The body is over %d bytes", MAX_BODY_BYTES);
	else if (t->manage->stopping)
		err_set(&t->err, ERR_SHUTTING_DOWN, NULL);
	if (t->err.code != ERR_OK) {
		refuse(t->request, &t->err);
		task_free(t);
		return;
	}
	t->posted = true;
	t->manage->n_posted++;
	t->job.run = on_job;
	t->mail.run = on_mail;
	ingest_post(t->manage->env.ingest, &t->job);
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

static void on_request(void *user, struct http_request *r)
{
	struct manage *m = user;
	const struct http_head *head = request_head(r);
	struct err err = {0};
	struct span id;
	const struct manage_endpoint *e = manage_endpoint_find(head->method, head->path, &id, &err);
	struct task *t;

	if (e == NULL) {
		refuse(r, &err);
		return;
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL || id.n >= sizeof(t->id)) {
		err_set(&err, t == NULL ? ERR_NO_MEMORY : ERR_BAD_REQUEST, NULL);
		free(t);
		refuse(r, &err);
		return;
	}
	t->manage = m;
	t->request = r;
	t->endpoint = e;
	memcpy(t->id, id.p != NULL ? id.p : "", id.n);
	buf_init(&t->body, MAX_BODY_BYTES);
	buf_init(&t->answer, 64u << 20);
	request_bind(r, &events, t);
	request_continue(r);
}

static void on_refuse(void *user, struct span target, const struct err *why,
	struct http_reply *reply, struct buf *body)
{
	manage_write_error(why, body);
}

static const struct http_service service = {.request = on_request, .refuse = on_refuse};

static void *run(void *arg)
{
	struct manage *m = arg;

	loop_run(m->loop);
	return NULL;
}

static void manage_free(struct manage *m)
{
	if (m->server != NULL)
		http_server_free(m->server);
	if (m->mailbox != NULL)
		mailbox_free(m->mailbox);
	if (m->loop != NULL)
		loop_free(m->loop);
	free(m);
}

static bool open_server(struct manage *m, struct err *err)
{
	static const struct http_server_limits limits = {.head_ms = 10000,
		.idle_ms = 75000,
		.body_stall_ms = 30000,
		.body_floor = 64,
		.write_stall_ms = 60000,
		.max_connections = 64,
		.max_pending_bytes = 256 << 20};
	char address[4200];

	m->loop = loop_new(m->env.sys, err);
	m->mailbox = m->loop != NULL ? mailbox_new(m->loop, err) : NULL;
	if (m->mailbox == NULL)
		return false;
	m->server = http_server_new(m->loop, &limits, &service, m);
	if (m->server == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	snprintf(address, sizeof(address), "unix:%s/control.sock", m->env.data_dir);
	return http_server_listen(m->server, address, err);
}

struct manage *manage_start(const struct manage_env *env, struct err *err)
{
	struct manage *m = calloc(1, sizeof(*m));

	if (m == NULL) {
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	m->env = *env;
	if (!open_server(m, err)) {
		manage_free(m);
		return NULL;
	}
	if (pthread_create(&m->thread, NULL, run, m) != 0) {
		err_set(err, ERR_NO_MEMORY, "No thread for the control side");
		manage_free(m);
		return NULL;
	}
	pthread_setname_np(m->thread, "control");
	return m;
}

struct stopping {
	struct mail mail;
	struct manage *manage;
};

/* What the store thread still has comes back by mail: the loop ends behind the last one. */
static void on_stop(struct mail *mail)
{
	struct manage *m = LIST_ITEM(mail, struct stopping, mail)->manage;

	m->stopping = true;
	http_server_drain(m->server);
	if (m->n_posted == 0)
		loop_stop(m->loop);
}

void manage_stop(struct manage *m)
{
	struct stopping s = {.mail.run = on_stop, .manage = m};

	if (m == NULL)
		return;
	mailbox_post(m->mailbox, &s.mail);
	pthread_join(m->thread, NULL);
	manage_free(m);
}
