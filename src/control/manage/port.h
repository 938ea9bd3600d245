/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * port - where management requests come in: one loop's, the control socket's or a worker's.
 *
 * A request is read on the loop's thread, worked on by the store thread, answered on the loop's
 * thread. What is still with the store thread when a port is closed comes to nothing, safely.
 */
#include "control/manage/manage.h"
#include "machine/http/server.h"
#include "machine/loop/mailbox.h"

struct manage_port *manage_port_open(
	const struct manage_env *env, struct mailbox *mailbox, struct err *err);
/* On the loop's thread, before the mailbox is freed; nothing is answered afterwards. */
void manage_port_close(struct manage_port *p);
int manage_port_posted(const struct manage_port *p); /* requests that are with the store thread */

/* who NULL: the administrator of this installation (the control socket). */
void manage_port_request(
	struct manage_port *p, struct http_request *r, const struct auth_identity *who);
