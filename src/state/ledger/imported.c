/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/imported.h"
#include <stdio.h>

#define MAX_PATH_BYTES 4200

static bool find(const char *data_dir, char path[MAX_PATH_BYTES], struct err *err)
{
	int n = snprintf(path, MAX_PATH_BYTES, "%s/models.json", data_dir);

	return (n > 0 && n < MAX_PATH_BYTES) || err_set(err, ERR_CONFIG, "data_dir is too long");
}

static bool read_text(struct catalog *c, const char *path, struct span text, struct err *err)
{
	struct err why = {0};

	if (catalog_read(c, text, &why) && catalog_count(c) <= IMPORTED_MAX_MODELS)
		return true;
	if (why.code == ERR_OK)
		return err_set(
			err, ERR_CONFIG, "%s: more than %d models", path, IMPORTED_MAX_MODELS);
	if (why.code != ERR_CONFIG)
		return err_set(err, why.code, NULL);
	return err_set(err, ERR_CONFIG, "%s: %s", path, why.text);
}

struct catalog *imported_read(struct sys *sys, const char *data_dir, struct err *err)
{
	struct catalog *c = catalog_new();
	char path[MAX_PATH_BYTES];
	struct err why = {0};
	struct buf text;
	bool ok;

	if (c == NULL) {
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	buf_init(&text, IMPORTED_MAX_BYTES);
	ok = find(data_dir, path, err);
	if (ok && sys_read_file(sys, path, &text, &why))
		ok = read_text(c, path, buf_span(&text), err);
	else if (ok && why.code != ERR_NOT_FOUND)
		ok = err_set(err, why.code == ERR_NO_MEMORY ? ERR_NO_MEMORY : ERR_CONFIG, "%s",
			why.text);
	buf_done(&text);
	if (ok)
		return c;
	catalog_free(c);
	return NULL;
}

bool imported_write(struct sys *sys, const char *data_dir, const struct catalog *c, struct err *err)
{
	char path[MAX_PATH_BYTES];
	struct buf text;
	bool ok;

	buf_init(&text, IMPORTED_MAX_BYTES);
	ok = find(data_dir, path, err) &&
	     (catalog_count(c) <= IMPORTED_MAX_MODELS ||
		     err_set(err, ERR_TOO_LARGE, "%s would have more than %d models", path,
			     IMPORTED_MAX_MODELS)) &&
	     (catalog_write(c, &text) ||
		     err_set(err, ERR_NO_MEMORY, "%s would be larger than %zu bytes", path,
			     IMPORTED_MAX_BYTES)) &&
	     /* No secret, and the server may run as somebody else than who imports. */
	     sys_write_file(sys, path, buf_span(&text), 0644, err);
	buf_done(&text);
	return ok;
}
