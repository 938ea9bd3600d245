/* SPDX-License-Identifier: Apache-2.0 */
#include "control/manage/manage.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "control/manage/endpoint.h"
#include "control/manage/port.h"

struct manage {
	struct manage_env env;
	struct loop *loop;
	struct mailbox *mailbox;
	struct http_server *server;
	struct manage_port *port;
	struct timer stopping;
	pthread_t thread;
};

static void on_request(void *user, struct http_request *r)
{
	struct manage *m = user;

	manage_port_request(m->port, r, NULL);
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
	manage_port_close(m->port);
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
	m->port = manage_port_open(&m->env, m->mailbox, err);
	m->server = m->port != NULL ? http_server_new(m->loop, &limits, &service, m) : NULL;
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
static void on_timer(struct timer *t)
{
	struct manage *m = LIST_ITEM(t, struct manage, stopping);

	if (manage_port_posted(m->port) == 0)
		loop_stop(m->loop);
	else
		timer_start(t, 1);
}

static void on_stop(struct mail *mail)
{
	struct manage *m = LIST_ITEM(mail, struct stopping, mail)->manage;

	http_server_drain(m->server);
	timer_init(&m->stopping, m->loop, on_timer);
	timer_start(&m->stopping, 1);
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
