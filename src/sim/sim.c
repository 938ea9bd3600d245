/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "sim/caller.h"

#define JSON_SCRATCH_BYTES (256u << 10)
#define MAX_ANSWER_BYTES (256u << 20)
#define MAX_HEAD_BYTES (16u << 20)

/* What ends the simulator, besides its own failure. */
struct watch {
	uv_signal_t term, interrupt;
	uv_poll_t parent;
	int parent_fd;
	bool has_parent;
	struct loop *loop;
};

static void on_signal(uv_signal_t *s, int number)
{
	loop_stop(((struct watch *)s->data)->loop);
}

/* The parent never writes: readable means that it is gone. */
static void on_parent(uv_poll_t *p, int status, int events)
{
	struct watch *w = p->data;
	char byte;

	if (status >= 0 && read(w->parent_fd, &byte, 1) < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	uv_poll_stop(p);
	loop_stop(w->loop);
}

static bool watch_start(struct watch *w, struct loop *l, int parent_fd, struct err *err)
{
	uv_loop_t *uv = &l->uv;

	*w = (struct watch){.loop = l, .parent_fd = parent_fd};
	w->term.data = w->interrupt.data = w->parent.data = w;
	uv_signal_init(uv, &w->term);
	uv_signal_init(uv, &w->interrupt);
	if (uv_signal_start(&w->term, on_signal, SIGTERM) != 0 ||
		uv_signal_start(&w->interrupt, on_signal, SIGINT) != 0)
		return err_set(err, ERR_IO, "sim: signals cannot be watched");
	if (parent_fd < 0)
		return true;
	fcntl(parent_fd, F_SETFL, fcntl(parent_fd, F_GETFL) | O_NONBLOCK);
	if (uv_poll_init(uv, &w->parent, parent_fd) != 0)
		return err_set(err, ERR_IO, "sim: descriptor %d of the parent cannot be watched",
			parent_fd);
	w->has_parent = true;
	return uv_poll_start(&w->parent, UV_READABLE, on_parent) == 0 ||
	       err_set(err, ERR_IO, "sim: descriptor %d of the parent cannot be watched",
		       parent_fd);
}

static void watch_stop(struct watch *w)
{
	if (w->loop == NULL)
		return;
	uv_close((uv_handle_t *)&w->term, NULL);
	uv_close((uv_handle_t *)&w->interrupt, NULL);
	if (w->has_parent)
		uv_close((uv_handle_t *)&w->parent, NULL);
}

static void on_accept(void *user, struct stream *s)
{
	caller_open(user, s);
}

static bool sim_init(struct sim *sim, const char *cert, const char *key, struct err *err)
{
	list_init(&sim->callers);
	script_cache_init(&sim->scripts);
	bill_init(&sim->bill);
	last_init(&sim->last);
	buf_init(&sim->head, MAX_HEAD_BYTES);
	buf_init(&sim->body, MAX_ANSWER_BYTES);
	buf_init(&sim->path, 65536);
	buf_init(&sim->text, MAX_ANSWER_BYTES);
	buf_init(&sim->packed, MAX_ANSWER_BYTES);
	buf_init(&sim->filler[0], MAX_HEAD_BYTES);
	buf_init(&sim->filler[1], MAX_HEAD_BYTES);
	buf_init(&sim->now_text, HTTP_MAX_HEAD_BYTES);
	sim->plan = job_plan_new();
	sim->no_script = script_parse((struct span){NULL, 0}, err);
	sim->json = (struct json_scratch){malloc(JSON_SCRATCH_BYTES), JSON_SCRATCH_BYTES};
	if (sim->plan == NULL || sim->json.mem == NULL || sim->no_script == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	sim->loop = loop_new(&sys_real, err);
	if (sim->loop == NULL)
		return false;
	sim->wall_offset_ms = sys_real.wall_ms(&sys_real) - loop_now_us(sim->loop) / 1000;
	if (cert == NULL && key == NULL)
		return true;
	if (cert == NULL || key == NULL)
		return err_set(err, ERR_CONFIG, "sim: TLS needs a certificate and its key");
	sim->tls = tls_context_server(cert, key, err);
	return sim->tls != NULL;
}

static void sim_done(struct sim *sim)
{
	LIST_EACH_SAFE(pos, &sim->callers)
	caller_free(LIST_ITEM(pos, struct caller, node));
	if (sim->listener != NULL)
		listener_close(sim->listener);
	if (sim->loop != NULL)
		loop_free(sim->loop);
	tls_context_unref(sim->tls);
	script_unref(sim->forced);
	script_cache_done(&sim->scripts);
	script_unref(sim->no_script);
	bill_done(&sim->bill);
	last_done(&sim->last);
	job_plan_free(sim->plan);
	free(sim->json.mem);
	buf_done(&sim->head);
	buf_done(&sim->body);
	buf_done(&sim->path);
	buf_done(&sim->text);
	buf_done(&sim->packed);
	buf_done(&sim->filler[0]);
	buf_done(&sim->filler[1]);
	buf_done(&sim->now_text);
}

static void announce(const struct sim *sim, const char *address)
{
	struct span host;
	int port;

	if (socket_split_address(span_of(address), &host, &port))
		printf(host.n > 0 && span_find_char(host, ':') >= 0 ? "listening on [%.*s]:%d\n"
								    : "listening on %.*s:%d\n",
			SPAN_ARG(host), listener_port(sim->listener));
	else
		printf("listening on %s\n", address);
	fflush(stdout);
}

int sim_run(const char *address, const char *tls_cert, const char *tls_key, int parent_fd)
{
	struct sim *sim = calloc(1, sizeof(*sim));
	struct watch watch = {0};
	struct err err = {0};
	bool ok;

	if (sim == NULL)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	ok = sim_init(sim, tls_cert, tls_key, &err) &&
	     watch_start(&watch, sim->loop, parent_fd, &err);
	if (ok) {
		sim->listener = listener_open(sim->loop, address, on_accept, sim, &err);
		ok = sim->listener != NULL;
	}
	if (ok) {
		announce(sim, address);
		loop_run(sim->loop);
	} else {
		fprintf(stderr, "sluice sim: %s\n", err.text);
	}
	watch_stop(&watch);
	sim_done(sim);
	free(sim);
	return ok ? 0 : 1;
}
