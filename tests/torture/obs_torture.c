/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "machine/obs/log.h"
#include "machine/obs/metrics.h"
#include "torture.h"

static bool write_log(const void *arg)
{
	FILE *f = tmpfile();
	struct err err = {0};
	struct log *l;
	const struct log_field field = LOG_FIELD_TEXT("x", SPAN("y"));

	assert_non_null(f);
	l = log_new(fileno(f), LOG_JSON, LOG_INFO, &err);
	if (l == NULL)
		assert_int_equal(err.code, ERR_NO_MEMORY);
	/* Without a log the program still runs. */
	for (int i = 0; i < 100; i++)
		log_write(l, LOG_INFO, "event", "", &field, 1);
	log_free(l);
	if (l != NULL)
		assert_true(lseek(fileno(f), 0, SEEK_END) > 100 * 60);
	fclose(f);
	return l != NULL;
}

/* No count is lost: what has no series of its own is counted in "other". */
static bool count_metrics(const void *arg)
{
	struct err err = {0};
	struct metrics_registry *r = metrics_registry_new(&err);
	struct metrics *m = r != NULL ? metrics_new(r) : NULL;
	struct buf page;
	struct span rest;
	uint64_t sum = 0;

	if (m == NULL) {
		assert_true(r != NULL || err.code == ERR_NO_MEMORY);
		metrics_registry_free(r);
		return false;
	}
	for (int i = 0; i < 40; i++) {
		char text[] = {(char)('a' + i % 20), 'x'};
		struct span type = span_from(text, 2);
		struct metric_series *s = metric_series(m, METRIC_TOKENS, &type);

		assert_non_null(s);
		metric_add(s, 1);
	}
	torture_pause();
	buf_init(&page, 1 << 20);
	assert_true(metrics_write(r, &page));
	rest = buf_span(&page);
	while (rest.n > 0) {
		struct span line = span_cut(&rest, '\n');
		ptrdiff_t blank = span_find_last_char(line, ' ');

		if (span_starts(line, SPAN("sluice_tokens_total")))
			sum += (uint64_t)strtoull(line.p + blank + 1, NULL, 10);
	}
	buf_done(&page);
	torture_resume();
	assert_int_equal(sum, 40);
	metrics_registry_free(r);
	return true;
}

static bool write_metrics(const void *arg)
{
	struct metrics_registry *r;
	struct buf page;
	bool ok;

	torture_pause();
	r = metrics_registry_new(NULL);
	assert_non_null(r);
	assert_non_null(metrics_new(r));
	torture_resume();
	buf_init(&page, 1 << 20);
	ok = metrics_write(r, &page);
	buf_done(&page);
	metrics_registry_free(r);
	return ok;
}

static void log_survives(void **state)
{
	torture("log", write_log, NULL);
}

static void metrics_survive(void **state)
{
	torture("metrics", count_metrics, NULL);
	torture("metrics page", write_metrics, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(log_survives),
		cmocka_unit_test(metrics_survive),
	};

	return cmocka_run_group_tests_name("torture/obs", tests, NULL, NULL);
}
