/* SPDX-License-Identifier: Apache-2.0 */
#include "control/cli/command.h"
#include "machine/base/text.h"

#define SIM_LISTEN "127.0.0.1:4010"

int run_serve(struct call *c)
{
	struct serve_options o = {.listen = call_flag(c, "listen"),
		.dev = call_flag(c, "dev") != NULL,
		.check = call_flag(c, "check") != NULL,
		.program = c->program};
	struct err err = {0};

	o.config = o.dev ? call_flag(c, "config") : call_config(c, &err);
	if (o.config == NULL && !o.dev)
		return call_fail(c, "nothing to serve with", &err,
			"write one: sluice init; or try it without: sluice serve --dev");
	return c->hooks->serve(&o);
}

int run_config_check(struct call *c)
{
	struct serve_options o = {.check = true, .program = c->program};
	struct err err = {0};

	o.config = call_config(c, &err);
	if (o.config == NULL)
		return call_fail(c, "nothing to check", &err, "write one: sluice init");
	return c->hooks->serve(&o);
}

int run_sim(struct call *c)
{
	const char *fd = call_flag(c, "parent-fd");
	struct sim_options o = {.listen = call_flag(c, "listen"),
		.tls_cert = call_flag(c, "tls-cert"),
		.tls_key = call_flag(c, "tls-key"),
		.parent_fd = -1};
	struct err err = {0};
	uint64_t n;

	if (o.listen == NULL)
		o.listen = SIM_LISTEN;
	if ((o.tls_cert == NULL) != (o.tls_key == NULL))
		err_set(&err, ERR_USAGE, "--tls-cert and --tls-key go together");
	if (fd != NULL && (!text_u64(span_of(fd), &n) || n > 65535))
		err_set(&err, ERR_USAGE, "--parent-fd takes a descriptor's number");
	if (err.code != ERR_OK)
		return call_fail(c, "wrong use", &err, "sluice sim --help");
	if (fd != NULL)
		o.parent_fd = (int)n;
	return c->hooks->sim(&o);
}
