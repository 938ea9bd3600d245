/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * worker - one thread with its loop, listener, pools, journal and exchanges.
 *
 * Made and bound by the boot thread, so that a port in use is an error of the start; then run by a
 * thread of its own. The other calls are made from the boot thread and reach it by mail.
 */
#include "control/manage/manage.h"
#include "exchange/env.h"
#include "machine/loop/mailbox.h"

struct worker;

struct worker_spec {
	struct sys *sys;
	const char *listen; /* the first worker's may have port 0 */
	const char *data_dir;
	int64_t epoch;
	const struct worker *first; /* that listens already; NULL: this one is it */
	int number, workers;
	struct snapshot *snapshot; /* a reference is taken */
	struct tls_context *tls;   /* NULL: plain; a reference is taken */
	struct auth_table *auth;
	struct budget *budget;
	struct answers *answers;
	struct ingest *ingest;
	struct log *log;
	struct metrics_registry *registry;
	const struct manage_env *manage; /* copied */
};

struct worker *worker_new(const struct worker_spec *spec, struct err *err);
int worker_port(const struct worker *w);
bool worker_start(struct worker *w, struct err *err);
/* Both references are given away; tls NULL: unchanged. */
void worker_reload(struct worker *w, struct snapshot *snapshot, struct tls_context *tls);
void worker_drain(struct worker *w);         /* no more accepting; returns at once */
bool worker_is_idle(const struct worker *w); /* no connection with work left */
void worker_stop(struct worker *w);          /* ends what is left, joins the thread, frees */
