/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * store_kit_test - a store for tests: SQLite's in the folder, or, where SLUICE_TEST_DATABASE names
 * one (tests/postgres.py), a schema of its own in PostgreSQL for each folder.
 */
#include <stdio.h>
#include <stdlib.h>
#include "state/store/store.h"

static inline const char *kit_database(void)
{
	return getenv("SLUICE_TEST_DATABASE");
}

static inline struct store_place kit_place(const char *dir, char url[1024])
{
	char schema[64] = "t", sql[128];
	struct db *d;
	size_t n = 1;

	if (kit_database() == NULL)
		return (struct store_place){.data_dir = dir};
	/* The names of folders differ in capitals, too. */
	for (const char *c = dir; *c != '\0' && n + 4 < sizeof(schema); c++)
		n += (size_t)snprintf(
			schema + n, sizeof(schema) - n, *c >= 'a' && *c <= 'z' ? "%c" : "%02x", *c);
	snprintf(url, 1024, "%s?options=-csearch_path%%3D%s", kit_database(), schema);
	d = db_open_postgres(kit_database(), NULL);
	if (d != NULL) {
		snprintf(sql, sizeof(sql), "CREATE SCHEMA IF NOT EXISTS %s", schema);
		db_script(d, sql, NULL);
	}
	db_close(d);
	return (struct store_place){dir, url};
}

static inline bool kit_store_open(
	struct store *s, struct sys *sys, const char *dir, struct err *err)
{
	char url[1024];
	struct store_place p = kit_place(dir, url);

	return store_open_at(s, sys, &p, err);
}
