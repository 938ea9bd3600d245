/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/obs/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "machine/base/text.h"

/* A small checker of Prometheus text format 0.0.4, stricter than a scraper. */

#define MAX_SAMPLES 20000

struct sample {
	struct span name, labels; /* labels: between the braces, as written */
	double value;
};

struct page {
	struct buf text;
	struct sample samples[MAX_SAMPLES];
	int n;
	struct span family, type; /* of the lines being read */
	struct span families[64];
	int n_families;
};

static bool is_name(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || c == '_' || (i > 0 && c >= '0' && c <= '9')))
			return false;
	}
	return s.n > 0;
}

/* Takes {name="value",...} off the front. */
static struct span take_labels(struct span *rest)
{
	struct span start;

	if (rest->n == 0 || rest->p[0] != '{')
		return (struct span){NULL, 0};
	*rest = span_skip(*rest, 1);
	start = *rest;
	for (;;) {
		assert_true(is_name(span_cut(rest, '=')));
		assert_true(span_starts(*rest, SPAN("\"")));
		*rest = span_skip(*rest, 1);
		while (rest->n > 0 && rest->p[0] != '"') {
			assert_true((unsigned char)rest->p[0] >= 0x20);
			if (rest->p[0] == '\\') {
				assert_true(rest->n > 1 && strchr("\\\"n", rest->p[1]) != NULL);
				*rest = span_skip(*rest, 1);
			}
			*rest = span_skip(*rest, 1);
		}
		*rest = span_skip(*rest, 1);
		assert_true(rest->n > 0 && strchr(",}", rest->p[0]) != NULL);
		*rest = span_skip(*rest, 1);
		if (rest->p[-1] == '}')
			return span_head(start, (size_t)(rest->p - 1 - start.p));
	}
}

static double number(struct span s)
{
	char text[64], *end;
	double v;

	assert_in_range(s.n, 1, sizeof(text) - 1);
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	assert_int_equal(strspn(text, "0123456789.-"), s.n);
	v = strtod(text, &end);
	assert_ptr_equal(end, text + s.n);
	return v;
}

static void check_comment(struct page *p, struct span line)
{
	struct span keyword = span_cut(&line, ' ');
	struct span name = span_cut(&line, ' ');

	assert_true(is_name(name));
	if (span_is(keyword, "HELP")) {
		for (int i = 0; i < p->n_families; i++)
			assert_false(span_eq(p->families[i], name));
		p->families[p->n_families++] = name;
		p->family = name;
		p->type = (struct span){NULL, 0};
		return;
	}
	assert_true(span_is(keyword, "TYPE"));
	assert_true(span_eq(p->family, name));
	p->type = line;
	if (span_is(line, "counter"))
		assert_true(span_ends(name, SPAN("_total")));
	else
		assert_true(span_is(line, "gauge") || span_is(line, "histogram"));
}

static void check_sample(struct page *p, struct span line)
{
	struct sample *s = &p->samples[p->n];
	size_t n = 0;
	struct span suffix;

	while (n < line.n && line.p[n] != '{' && line.p[n] != ' ')
		n++;
	s->name = span_head(line, n);
	line = span_skip(line, n);
	s->labels = take_labels(&line);
	assert_true(span_starts(line, SPAN(" ")));
	s->value = number(span_skip(line, 1));
	/* In its family's block, of the family's form. */
	assert_true(is_name(s->name));
	assert_true(p->type.n > 0);
	assert_true(span_starts(s->name, p->family));
	suffix = span_skip(s->name, p->family.n);
	if (span_is(p->type, "histogram"))
		assert_true(span_is(suffix, "_bucket") || span_is(suffix, "_sum") ||
			    span_is(suffix, "_count"));
	else
		assert_int_equal(suffix.n, 0);
	if (!span_is(p->type, "gauge"))
		assert_true(s->value >= 0);
	p->n++;
	assert_true(p->n < MAX_SAMPLES);
}

static int by_identity(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	size_t n = x->labels.n < y->labels.n ? x->labels.n : y->labels.n;
	int order;

	if (!span_eq(x->name, y->name))
		return x->name.n != y->name.n ? (x->name.n < y->name.n ? -1 : 1)
					      : memcmp(x->name.p, y->name.p, x->name.n);
	order = n == 0 ? 0 : memcmp(x->labels.p, y->labels.p, n);
	return order != 0 ? order : (x->labels.n > y->labels.n) - (x->labels.n < y->labels.n);
}

/* Buckets rise, the last is +Inf and equals the count. */
static void check_histograms(const struct page *p)
{
	double before = 0;

	for (int i = 0; i < p->n; i++) {
		const struct sample *s = &p->samples[i];

		if (span_ends(s->name, SPAN("_count")) && span_find(s->name, SPAN("seconds")) > 0)
			assert_true(span_ends(p->samples[i - 2].labels, SPAN("le=\"+Inf\"")) &&
				    p->samples[i - 2].value == s->value);
		if (!span_ends(s->name, SPAN("_bucket"))) {
			before = 0;
			continue;
		}
		assert_true(span_find(s->labels, SPAN("le=\"")) >= 0);
		assert_true(s->value >= before);
		before = s->value;
	}
}

static struct page *read_page(struct metrics_registry *r)
{
	struct page *p = calloc(1, sizeof(*p));
	struct sample *sorted;
	struct span rest;

	assert_non_null(p);
	buf_init(&p->text, 16 << 20);
	assert_true(metrics_write(r, &p->text));
	rest = buf_span(&p->text);
	assert_true(text_is_utf8(rest));
	assert_true(span_ends(rest, SPAN("\n")));
	while (rest.n > 0) {
		struct span line = span_cut(&rest, '\n');

		if (span_starts(line, SPAN("# ")))
			check_comment(p, span_skip(line, 2));
		else
			check_sample(p, line);
	}
	assert_int_equal(p->n_families, METRIC_ID_COUNT);
	check_histograms(p);
	sorted = malloc((size_t)(p->n + 1) * sizeof(*sorted));
	memcpy(sorted, p->samples, (size_t)p->n * sizeof(*sorted));
	qsort(sorted, (size_t)p->n, sizeof(*sorted), by_identity);
	for (int i = 1; i < p->n; i++)
		assert_int_not_equal(by_identity(&sorted[i - 1], &sorted[i]), 0);
	free(sorted);
	return p;
}

static void page_free(struct page *p)
{
	buf_done(&p->text);
	free(p);
}

static const struct sample *find(const struct page *p, const char *name, const char *labels)
{
	for (int i = 0; i < p->n; i++) {
		if (span_is(p->samples[i].name, name) && span_is(p->samples[i].labels, labels))
			return &p->samples[i];
	}
	return NULL;
}

static void assert_sample(const struct page *p, const char *name, const char *labels, double value)
{
	const struct sample *s = find(p, name, labels);

	if (s == NULL)
		fail_msg("no %s{%s}", name, labels);
	if (s->value != value)
		fail_msg("%s{%s} is %g, not %g", name, labels, s->value, value);
}

static int count(const struct page *p, const char *name)
{
	int n = 0;

	for (int i = 0; i < p->n; i++)
		n += span_is(p->samples[i].name, name);
	return n;
}

struct fixture {
	struct metrics_registry *registry;
	struct metrics *a, *b;
};

static struct fixture *set_up(void **state)
{
	static struct fixture f;

	f.registry = metrics_registry_new(NULL);
	assert_non_null(f.registry);
	f.a = metrics_new(f.registry);
	f.b = metrics_new(f.registry);
	assert_non_null(f.a);
	assert_non_null(f.b);
	return &f;
}

static void add_tokens(struct metrics *m, struct span type, int64_t v)
{
	metric_add(metric_series(m, METRIC_TOKENS, &type), v);
}

static void nothing_happened_yet(void **state)
{
	struct metrics_registry *r = metrics_registry_new(NULL);
	struct page *p = read_page(r);

	page_free(p);
	assert_non_null(metrics_new(r));
	p = read_page(r);
	assert_sample(p, "sluice_inflight", "", 0);
	assert_sample(p, "sluice_cost_usd_total", "", 0);
	assert_int_equal(count(p, "sluice_tokens_total"), 0);
	page_free(p);
	metrics_registry_free(r);
	metrics_registry_free(NULL);
}

static void workers_are_summed(void **state)
{
	struct fixture *f = set_up(state);
	struct page *p;

	add_tokens(f->a, SPAN("input"), 3);
	add_tokens(f->b, SPAN("input"), 4);
	add_tokens(f->a, SPAN("input"), 5);
	add_tokens(f->b, SPAN("output"), 1);
	add_tokens(f->b, SPAN("output"), -7); /* counters only rise */
	metric_add(metric_series(f->a, METRIC_INFLIGHT, NULL), 3);
	metric_add(metric_series(f->b, METRIC_INFLIGHT, NULL), -5);
	metric_set(metric_series(f->b, METRIC_JOURNAL_BACKLOG, NULL), 77);
	metric_set(metric_series(f->b, METRIC_JOURNAL_BACKLOG, NULL), 70);
	p = read_page(f->registry);
	assert_sample(p, "sluice_tokens_total", "type=\"input\"", 12);
	assert_sample(p, "sluice_tokens_total", "type=\"output\"", 1);
	assert_sample(p, "sluice_inflight", "", -2);
	assert_sample(p, "sluice_journal_backlog_bytes", "", 70);
	page_free(p);
	metrics_registry_free(f->registry);
}

static void series_are_interned(void **state)
{
	struct fixture *f = set_up(state);
	const struct span ab[] = {SPAN("ab"), SPAN("c"), SPAN(""), SPAN(""), SPAN("")};
	const struct span bc[] = {SPAN("a"), SPAN("bc"), SPAN(""), SPAN(""), SPAN("")};
	char copy[] = "ab";
	const struct span again[] = {span_of(copy), SPAN("c"), SPAN(""), {NULL, 0}, SPAN("")};
	struct metric_series *s = metric_series(f->a, METRIC_REQUESTS, ab);

	assert_ptr_equal(metric_series(f->a, METRIC_REQUESTS, again), s);
	assert_ptr_not_equal(metric_series(f->a, METRIC_REQUESTS, bc), s);
	assert_ptr_not_equal(metric_series(f->b, METRIC_REQUESTS, ab), s);
	assert_ptr_equal(
		metric_series(f->a, METRIC_COST, NULL), metric_series(f->a, METRIC_COST, NULL));
	metrics_registry_free(f->registry);
}

static void money_and_time_are_exact(void **state)
{
	struct fixture *f = set_up(state);
	struct span op = SPAN("chat");
	struct page *p;

	metric_add(metric_series(f->a, METRIC_COST, NULL), 1);
	p = read_page(f->registry);
	assert_true(
		span_find(buf_span(&p->text), SPAN("\nsluice_cost_usd_total 0.000000001\n")) > 0);
	page_free(p);
	metric_add(metric_series(f->a, METRIC_COST, NULL), 1234567890122);
	metric_observe(metric_series(f->a, METRIC_TTFT, &op), 1500000);
	metric_observe(metric_series(f->a, METRIC_TTFT, &op), 1);
	p = read_page(f->registry);
	assert_true(span_find(buf_span(&p->text),
			    SPAN("\nsluice_cost_usd_total 1234.567890123\n")) > 0);
	assert_true(span_find(buf_span(&p->text),
			    SPAN("\nsluice_ttft_seconds_sum{op=\"chat\"} 1.500001\n")) > 0);
	page_free(p);
	metric_add(metric_series(f->a, METRIC_COST, NULL), INT64_MAX);
	metric_add(metric_series(f->b, METRIC_COST, NULL), INT64_MAX);
	p = read_page(f->registry);
	assert_true(span_find(buf_span(&p->text),
			    SPAN("\nsluice_cost_usd_total 9223372036.854775807\n")) > 0);
	page_free(p);
	metrics_registry_free(f->registry);
}

static void histogram_counts_into_the_right_bucket(void **state)
{
	static const struct {
		int64_t us;
		const char *first; /* the smallest bucket that holds it */
		const char *last;  /* the largest that does not */
	} cases[] = {{0, "0.0001", NULL}, {-5, "0.0001", NULL}, {100, "0.0001", NULL},
		{101, "0.00025", "0.0001"}, {500, "0.0005", "0.00025"}, {1000000, "1", "0.5"},
		{1000001, "2.5", "1"}, {600000000, "600", "300"}, {600000001, "+Inf", "600"},
		{INT64_MAX, "+Inf", "600"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = set_up(state);
		struct span op = SPAN("chat");
		struct page *p;
		char labels[64];

		metric_observe(metric_series(f->a, METRIC_OVERHEAD, &op), cases[i].us);
		metric_observe(metric_series(f->b, METRIC_OVERHEAD, &op), cases[i].us);
		p = read_page(f->registry);
		snprintf(labels, sizeof(labels), "op=\"chat\",le=\"%s\"", cases[i].first);
		assert_sample(p, "sluice_overhead_seconds_bucket", labels, 2);
		if (cases[i].last != NULL) {
			snprintf(labels, sizeof(labels), "op=\"chat\",le=\"%s\"", cases[i].last);
			assert_sample(p, "sluice_overhead_seconds_bucket", labels, 0);
		}
		assert_sample(p, "sluice_overhead_seconds_count", "op=\"chat\"", 2);
		page_free(p);
		metrics_registry_free(f->registry);
	}
}

static void labels_are_escaped(void **state)
{
	struct fixture *f = set_up(state);
	struct page *p;

	add_tokens(f->a, SPAN("a\"b\\c\nd"), 1);
	add_tokens(f->a, SPAN("caf\xc3\xa9"), 2);
	add_tokens(f->a, SPAN("caf\xc3"), 3);
	add_tokens(f->a, SPAN("caf\x01"), 4); /* shows as the one before: one series */
	add_tokens(f->b, SPAN("caf?"), 5);
	add_tokens(f->a, SPAN(""), 6);
	add_tokens(f->a, SPAN("}"), 7);
	p = read_page(f->registry);
	assert_sample(p, "sluice_tokens_total", "type=\"a\\\"b\\\\c\\nd\"", 1);
	assert_sample(p, "sluice_tokens_total", "type=\"caf\xc3\xa9\"", 2);
	assert_sample(p, "sluice_tokens_total", "type=\"caf?\"", 12);
	assert_sample(p, "sluice_tokens_total", "type=\"\"", 6);
	assert_sample(p, "sluice_tokens_total", "type=\"}\"", 7);
	page_free(p);
	metrics_registry_free(f->registry);
}

static void long_values_are_cut(void **state)
{
	struct fixture *f = set_up(state);
	char text[1001];
	struct page *p;

	memset(text, 'x', sizeof(text));
	for (size_t n = 190; n < 1000; n += 90) {
		/* A character of two bytes across every border. */
		for (size_t i = 0; i + 2 <= n; i += 2)
			memcpy(text + i + n % 4 / 2, "\xc3\xa9", 2);
		add_tokens(f->a, span_from(text, n & ~(size_t)1), 1);
	}
	p = read_page(f->registry);
	for (int i = 0; i < p->n; i++)
		assert_in_range(p->samples[i].labels.n, 0, 250);
	page_free(p);
	metrics_registry_free(f->registry);
}

static void family_has_a_cap(void **state)
{
	struct fixture *f = set_up(state);
	struct span other = SPAN("other");
	struct metric_series *s;
	struct page *p;

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < METRICS_MAX_SERIES + 500; i++) {
			char text[32];

			snprintf(text, sizeof(text), "type-%d", i);
			add_tokens(f->a, span_of(text), 1);
			add_tokens(f->b, span_of(text), 1);
		}
	}
	add_tokens(f->a, other, 1);
	s = metric_series(f->a, METRIC_TOKENS, &other);
	assert_ptr_equal(metric_series(f->a, METRIC_TOKENS, NULL), s);
	p = read_page(f->registry);
	assert_int_equal(count(p, "sluice_tokens_total"), METRICS_MAX_SERIES + 1);
	assert_sample(p, "sluice_tokens_total", "type=\"type-0\"", 4);
	assert_sample(p, "sluice_tokens_total", "type=\"type-999\"", 4);
	assert_sample(p, "sluice_tokens_total", "type=\"other\"", 4 * 500 + 1);
	page_free(p);
	metrics_registry_free(f->registry);
}

static void no_room_is_told(void **state)
{
	struct fixture *f = set_up(state);
	struct buf small;

	buf_init(&small, 500);
	assert_false(metrics_write(f->registry, &small));
	buf_done(&small);
	metrics_registry_free(f->registry);
}

#define WORKERS 4
#define TURNS 20000

struct worker {
	struct metrics_registry *registry;
	_Atomic bool *ended;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct metrics *m = metrics_new(w->registry);
	struct span op = SPAN("chat");

	assert_non_null(m);
	for (int i = 0; i < TURNS; i++) {
		char text[32];

		snprintf(text, sizeof(text), "m%d", i % 1200);
		add_tokens(m, span_of(text), 1);
		metric_observe(metric_series(m, METRIC_TTFT, &op), i);
	}
	return NULL;
}

static void *scrape(void *arg)
{
	struct worker *w = arg;

	while (!atomic_load(w->ended))
		page_free(read_page(w->registry));
	return NULL;
}

/* Under the thread sanitizer this is also the proof that no lock is missing. */
static void workers_and_a_reader_together(void **state)
{
	_Atomic bool ended = false;
	struct worker w = {metrics_registry_new(NULL), &ended};
	pthread_t threads[WORKERS], reader;
	struct page *p;
	double sum = 0;

	assert_non_null(w.registry);
	assert_int_equal(pthread_create(&reader, NULL, scrape, &w), 0);
	for (int i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, &w), 0);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&ended, true);
	pthread_join(reader, NULL);
	p = read_page(w.registry);
	for (int i = 0; i < p->n; i++) {
		if (span_is(p->samples[i].name, "sluice_tokens_total"))
			sum += p->samples[i].value;
	}
	assert_true(sum == WORKERS * TURNS);
	assert_sample(p, "sluice_ttft_seconds_count", "op=\"chat\"", WORKERS * TURNS);
	page_free(p);
	metrics_registry_free(w.registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_happened_yet),
		cmocka_unit_test(workers_are_summed),
		cmocka_unit_test(series_are_interned),
		cmocka_unit_test(money_and_time_are_exact),
		cmocka_unit_test(histogram_counts_into_the_right_bucket),
		cmocka_unit_test(labels_are_escaped),
		cmocka_unit_test(long_values_are_cut),
		cmocka_unit_test(family_has_a_cap),
		cmocka_unit_test(no_room_is_told),
		cmocka_unit_test(workers_and_a_reader_together),
	};

	return cmocka_run_group_tests_name("obs/metrics", tests, NULL, NULL);
}
