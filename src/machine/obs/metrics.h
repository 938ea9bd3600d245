/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * metrics - counters, gauges and histograms, one set a worker, read together.
 *
 * Families are the rows of metrics.def. A label set is interned once (metric_series) and the series
 * is then changed without a lock by its worker; metrics_write reads all sets. Series beyond
 * METRICS_MAX_SERIES of a family fall into one with every label "other". Prometheus text
 * format 0.0.4.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/buf.h"
#include "machine/base/err.h"

#define METRICS_MAX_SERIES 1000
#define METRICS_MAX_LABELS 5

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum metric_id {
#define METRIC(id, name, kind, labels, scale, help) METRIC_##id,
#include "machine/obs/metrics.def"
#undef METRIC
	METRIC_ID_COUNT
};

struct metric_series;
struct metrics; /* one worker's */
struct metrics_registry;

struct metrics_registry *metrics_registry_new(struct err *err);
void metrics_registry_free(struct metrics_registry *r);
struct metrics *metrics_new(struct metrics_registry *r); /* joins the registry; freed with it */

/*
 * Values in the order of the row's labels; NULL where there are none. Never NULL: without memory
 * the "other" series. It is the worker's whose set it is: no other thread may change it.
 */
struct metric_series *metric_series(
	struct metrics *m, enum metric_id id, const struct span *labels);
void metric_add(struct metric_series *s, int64_t v);     /* counters only rise */
void metric_set(struct metric_series *s, int64_t v);     /* gauges */
void metric_observe(struct metric_series *s, int64_t v); /* histograms, in microseconds */

/* All workers' sums. */
bool metrics_write(struct metrics_registry *r, struct buf *out);
