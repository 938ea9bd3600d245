/* SPDX-License-Identifier: Apache-2.0 */
#include "control/cli/cli.h"
#include "main/boot.h"
#include "sim/sim.h"

static int run_sim(const struct sim_options *o)
{
	return sim_run(o->listen, o->tls_cert, o->tls_key, o->parent_fd);
}

int main(int argc, char **argv)
{
	const struct cli_hooks hooks = {.serve = boot_serve, .sim = run_sim};

	return cli_main(argc, argv, &hooks);
}
