/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sys - clock, random numbers and files behind one struct.
 *
 * The process has one (sys_real); tests, torture and simulation bring their own. Nothing above
 * this folder calls the system for these things by itself.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "machine/base/buf.h"
#include "machine/base/err.h"

struct sys {
	int64_t (*mono_us)(struct sys *sys);                  /* never goes back */
	int64_t (*wall_ms)(struct sys *sys);                  /* since 1970, UTC */
	bool (*random)(struct sys *sys, void *out, size_t n); /* from the kernel's generator */

	int (*open)(struct sys *sys, const char *path, int flags, mode_t mode);
	ssize_t (*write)(struct sys *sys, int fd, const void *p, size_t n);
	ssize_t (*pread)(struct sys *sys, int fd, void *p, size_t n, off_t at);
	int (*sync)(struct sys *sys, int fd); /* data and the size needed to read it */
	int (*close)(struct sys *sys, int fd);
	int (*rename)(struct sys *sys, const char *from, const char *to);
	int (*unlink)(struct sys *sys, const char *path);
};

extern struct sys sys_real;

/* Whole file, at most `out`'s maximum. */
bool sys_read_file(struct sys *sys, const char *path, struct buf *out, struct err *err);
/* Written beside, synced, renamed over. Mode as given. */
bool sys_write_file(
	struct sys *sys, const char *path, struct span bytes, mode_t mode, struct err *err);
/* Like mkdir -p for the last two levels at most; mode 0700 for what it makes. */
bool sys_make_dir(struct sys *sys, const char *path, struct err *err);
