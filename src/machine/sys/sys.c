/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/sys/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "machine/base/text.h"

#define READ_STEP_BYTES 65536

static int64_t real_mono_us(struct sys *sys)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t real_wall_ms(struct sys *sys)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool real_random(struct sys *sys, void *out, size_t n)
{
	unsigned char *p = out;

	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static int real_open(struct sys *sys, const char *path, int flags, mode_t mode)
{
	int fd;

	do
		fd = open(path, flags | O_CLOEXEC, mode);
	while (fd < 0 && errno == EINTR);
	/* A file made here and by nobody else gets its mode whatever the umask says. */
	if (fd >= 0 && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) && fchmod(fd, mode) < 0) {
		int saved = errno;

		close(fd);
		unlink(path);
		errno = saved;
		return -1;
	}
	return fd;
}

static ssize_t real_write(struct sys *sys, int fd, const void *p, size_t n)
{
	ssize_t done;

	do
		done = write(fd, p, n);
	while (done < 0 && errno == EINTR);
	return done;
}

static ssize_t real_pread(struct sys *sys, int fd, void *p, size_t n, off_t at)
{
	ssize_t done;

	do
		done = pread(fd, p, n, at);
	while (done < 0 && errno == EINTR);
	return done;
}

static int real_sync(struct sys *sys, int fd)
{
	int result;

	do
		result = fdatasync(fd);
	while (result < 0 && errno == EINTR);
	return result;
}

static int real_close(struct sys *sys, int fd)
{
	/* Linux has let go of the descriptor even when it says EINTR. */
	return close(fd) < 0 && errno != EINTR ? -1 : 0;
}

static int real_rename(struct sys *sys, const char *from, const char *to)
{
	return rename(from, to);
}

static int real_unlink(struct sys *sys, const char *path)
{
	return unlink(path);
}

struct sys sys_real = {
	.mono_us = real_mono_us,
	.wall_ms = real_wall_ms,
	.random = real_random,
	.open = real_open,
	.write = real_write,
	.pread = real_pread,
	.sync = real_sync,
	.close = real_close,
	.rename = real_rename,
	.unlink = real_unlink,
};

bool sys_read_file(struct sys *sys, const char *path, struct buf *out, struct err *err)
{
	int fd = sys->open(sys, path, O_RDONLY, 0);
	off_t at = 0;
	bool ok = false;

	if (fd < 0)
		return err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, path);
	for (;;) {
		char spare;
		size_t left = out->max_bytes - out->n;
		size_t want = left < READ_STEP_BYTES ? left : READ_STEP_BYTES;
		/* At the maximum one more byte is asked for, to tell the end from too much. */
		char *p = want > 0 ? buf_room(out, want) : &spare;
		ssize_t got = p != NULL ? sys->pread(sys, fd, p, want > 0 ? want : 1, at) : 0;

		if (p == NULL) {
			err_set(err, ERR_NO_MEMORY, "%s: no memory to read it", path);
			break;
		}
		if (got < 0) {
			err_set_errno(err, ERR_IO, path);
			break;
		}
		if (got == 0) {
			ok = true;
			break;
		}
		if (want == 0) {
			err_set(err, ERR_TOO_LARGE, "%s: larger than %zu bytes", path,
				out->max_bytes);
			break;
		}
		buf_added(out, (size_t)got);
		at += got;
	}
	sys->close(sys, fd);
	return ok;
}

static bool write_all(struct sys *sys, int fd, struct span bytes)
{
	while (bytes.n > 0) {
		ssize_t done = sys->write(sys, fd, bytes.p, bytes.n);

		if (done == 0)
			errno = EIO;
		if (done <= 0)
			return false;
		bytes = span_skip(bytes, (size_t)done);
	}
	return true;
}

/* The name counts only once its directory is on disk. */
static bool sync_dir_of(struct sys *sys, const char *path, struct err *err)
{
	ptrdiff_t slash = span_find_last_char(span_of(path), '/');
	char dir[PATH_MAX] = ".";
	int fd;
	bool ok;

	if (slash >= 0)
		snprintf(dir, sizeof(dir), "%.*s", slash == 0 ? 1 : (int)slash, path);
	fd = sys->open(sys, dir, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return err_set_errno(err, ERR_IO, dir);
	/* Some file systems cannot sync a directory and say so; they have nothing to lose. */
	ok = sys->sync(sys, fd) == 0 || errno == EINVAL;
	if (!ok)
		err_set_errno(err, ERR_IO, dir);
	sys->close(sys, fd);
	return ok;
}

bool sys_write_file(
	struct sys *sys, const char *path, struct span bytes, mode_t mode, struct err *err)
{
	char beside[PATH_MAX];
	uint8_t random[6];
	char tag[2 * sizeof(random) + 1] = "";
	int fd, n;
	bool ok;

	if (!sys->random(sys, random, sizeof(random)))
		return err_set(err, ERR_IO, "%s: the system gave no random bytes", path);
	text_hex(tag, random, sizeof(random));
	n = snprintf(beside, sizeof(beside), "%s.%s.tmp", path, tag);
	if (n < 0 || (size_t)n >= sizeof(beside))
		return err_set(err, ERR_IO, "%.200s...: the path is too long", path);
	fd = sys->open(sys, beside, O_WRONLY | O_CREAT | O_EXCL, mode);
	if (fd < 0)
		return err_set_errno(err, ERR_IO, path);
	ok = write_all(sys, fd, bytes) && sys->sync(sys, fd) == 0;
	if (!ok)
		err_set_errno(err, ERR_IO, path);
	if (sys->close(sys, fd) < 0 && ok)
		ok = err_set_errno(err, ERR_IO, path);
	if (ok && sys->rename(sys, beside, path) < 0)
		ok = err_set_errno(err, ERR_IO, path);
	if (!ok) {
		sys->unlink(sys, beside);
		return false;
	}
	return sync_dir_of(sys, path, err);
}

/* True when the directory stands afterwards; the errno of the failure otherwise. */
static bool make_one(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) == 0)
		return true;
	if (errno != EEXIST)
		return false;
	if (stat(path, &st) < 0)
		return false;
	errno = ENOTDIR;
	return S_ISDIR(st.st_mode);
}

bool sys_make_dir(struct sys *sys, const char *path, struct err *err)
{
	char copy[PATH_MAX];
	size_t n = strlen(path);
	ptrdiff_t slash;

	while (n > 1 && path[n - 1] == '/')
		n--;
	if (n == 0 || n >= sizeof(copy))
		return err_set(err, ERR_IO, "%.200s: not a usable directory name", path);
	memcpy(copy, path, n);
	copy[n] = '\0';
	if (make_one(copy))
		return true;
	slash = span_find_last_char((struct span){copy, n}, '/');
	if (errno != ENOENT || slash <= 0)
		return err_set_errno(err, ERR_IO, path);
	copy[slash] = '\0';
	if (!make_one(copy))
		return err_set_errno(err, ERR_IO, copy);
	copy[slash] = '/';
	return make_one(copy) || err_set_errno(err, ERR_IO, path);
}
