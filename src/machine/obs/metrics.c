/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/obs/metrics.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "machine/base/text.h"

/*
 * Three levels: a family (a row of metrics.def) has label sets, shared by all workers; a label set
 * has one series a worker. Both lists only grow, at their end, under the registry's lock, so that
 * metrics_write walks them without one. A worker finds its own series in a table that only it
 * touches.
 */

#define MAX_VALUE_BYTES 200 /* of one label value; the rest is cut off */
#define N_CHAINS 256
#define FIRST_SLOTS 16 /* of a worker's table; always a power of two */
#define CACHE_LINE 64

/* Upper bounds in microseconds; +Inf follows. */
static const int64_t bounds[] = {100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000,
	250000, 500000, 1000000, 2500000, 5000000, 10000000, 20000000, 30000000, 60000000,
	120000000, 300000000, 600000000};
#define N_BOUNDS (sizeof(bounds) / sizeof(bounds[0]))
#define N_BUCKETS (N_BOUNDS + 1)

struct row {
	const char *name, *labels, *help;
	enum metric_kind kind;
	int64_t scale;
};

static const struct row rows[] = {
#define METRIC(id, name, kind, labels, scale, help) {name, labels, help, METRIC_##kind, scale},
#include "machine/obs/metrics.def"
#undef METRIC
};

struct label_set {
	_Atomic(struct label_set *) next; /* of the family */
	_Atomic(struct metric_series *) series;
	struct label_set *chained; /* the next in its chain */
	uint64_t hash;
	char values[]; /* each behind its length, one byte */
};

struct metric_series {
	_Atomic(struct metric_series *) next; /* of the label set: another worker's */
	struct label_set *labels;
	enum metric_kind kind;
	_Atomic bool is_shown;
	_Atomic int64_t value;     /* a histogram's sum */
	_Atomic int64_t buckets[]; /* a histogram's N_BUCKETS, not cumulated */
};

struct family {
	int n_labels;
	struct span names[METRICS_MAX_LABELS];
	_Atomic(struct label_set *) first; /* "other", or the only one of a family without labels */
	struct label_set *last;
	struct label_set *chains[N_CHAINS]; /* by hash; "other" is in none */
	int n_sets;                         /* without "other" */
};

struct table {
	struct metric_series **slots;
	size_t n_slots, n;
};

struct metrics {
	struct metrics *next;
	struct metrics_registry *registry;
	struct metric_series *other[METRIC_ID_COUNT];
	struct table tables[METRIC_ID_COUNT];
};

struct metrics_registry {
	pthread_mutex_t lock;
	struct metrics *sets;
	struct family families[METRIC_ID_COUNT];
};

/* What a caller asks for: its own spans, cut to size. */
struct key {
	uint64_t hash;
	int n;
	struct span values[METRICS_MAX_LABELS];
};

static uint64_t hash_on(uint64_t h, struct span s)
{
	uint64_t w;

	h ^= s.n;
	for (; s.n >= 8; s = span_skip(s, 8)) {
		memcpy(&w, s.p, 8);
		h = (h ^ w) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	w = 0;
	for (size_t i = 0; i < s.n; i++)
		w = w << 8 | (unsigned char)s.p[i];
	h = (h ^ w) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 32;
}

/* Cut before a character that does not fit. */
static struct span fitting(struct span value)
{
	size_t n = MAX_VALUE_BYTES;

	if (value.n <= n)
		return value;
	while (n > 0 && ((unsigned char)value.p[n] & 0xc0) == 0x80)
		n--;
	return span_head(value, n);
}

static void key_hash(struct key *k)
{
	k->hash = 0;
	for (int i = 0; i < k->n; i++)
		k->hash = hash_on(k->hash, k->values[i]);
}

static void key_init(struct key *k, const struct span *labels, int n)
{
	k->n = n;
	for (int i = 0; i < n; i++)
		k->values[i] = fitting(labels[i]);
	key_hash(k);
}

/* Whether a value can stand in the text format; other control characters have no escape there. */
static bool is_clean(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < 0x20 && c != '\n') || c == 0x7f)
			return false;
	}
	return text_is_utf8(s);
}

/*
 * A key whose values can all be shown, if need be as copies in `mem`. A value that is not clean
 * keeps its visible ASCII; '?' stands for the rest. Returns whether anything changed.
 */
static bool key_clean(struct key *k, char mem[METRICS_MAX_LABELS][MAX_VALUE_BYTES])
{
	bool changed = false;

	for (int i = 0; i < k->n; i++) {
		struct span *value = &k->values[i];

		if (is_clean(*value))
			continue;
		for (size_t j = 0; j < value->n; j++)
			mem[i][j] = value->p[j] >= 0x20 && value->p[j] < 0x7f ? value->p[j] : '?';
		value->p = mem[i];
		changed = true;
	}
	key_hash(k);
	return changed;
}

/* Takes the next value off a label set's text. */
static struct span take_value(const char **p)
{
	const unsigned char *len = (const unsigned char *)*p;
	struct span value = {*p + 1, len[0]};

	*p += 1 + value.n;
	return value;
}

static struct label_set *label_set_new(const struct key *k)
{
	struct label_set *set;
	size_t n = 0;
	char *p;

	for (int i = 0; i < k->n; i++)
		n += 1 + k->values[i].n;
	set = malloc(sizeof(*set) + n);
	if (set == NULL)
		return NULL;
	atomic_init(&set->next, NULL);
	atomic_init(&set->series, NULL);
	set->chained = NULL;
	set->hash = k->hash;
	p = set->values;
	for (int i = 0; i < k->n; i++) {
		*p++ = (char)k->values[i].n;
		if (k->values[i].n > 0)
			memcpy(p, k->values[i].p, k->values[i].n);
		p += k->values[i].n;
	}
	return set;
}

static bool label_set_is(const struct label_set *set, const struct key *k)
{
	const char *p = set->values;

	if (set->hash != k->hash)
		return false;
	for (int i = 0; i < k->n; i++) {
		if (!span_eq(take_value(&p), k->values[i]))
			return false;
	}
	return true;
}

/* In cache lines of its own: two workers never write to the same one. */
static struct metric_series *series_new(enum metric_kind kind, struct label_set *labels)
{
	size_t n = sizeof(struct metric_series) +
		   (kind == METRIC_HISTOGRAM ? N_BUCKETS * sizeof(int64_t) : 0);
	struct metric_series *s;

	n = (n + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	s = aligned_alloc(CACHE_LINE, n);
	if (s == NULL)
		return NULL;
	memset(s, 0, n);
	s->labels = labels;
	s->kind = kind;
	return s;
}

/* Under the registry's lock. */
static void label_set_add(struct label_set *set, struct metric_series *s)
{
	_Atomic(struct metric_series *) *at = &set->series;
	struct metric_series *next;

	while ((next = atomic_load_explicit(at, memory_order_relaxed)) != NULL)
		at = &next->next;
	atomic_store_explicit(at, s, memory_order_release);
}

static bool family_init(struct family *f, const struct row *row)
{
	struct span rest = span_of(row->labels);
	struct span values[METRICS_MAX_LABELS];
	struct key k;

	while (rest.n > 0) {
		assert(f->n_labels < METRICS_MAX_LABELS);
		values[f->n_labels] = SPAN("other");
		f->names[f->n_labels++] = span_cut(&rest, ',');
	}
	key_init(&k, values, f->n_labels);
	f->last = label_set_new(&k);
	atomic_init(&f->first, f->last);
	return f->last != NULL;
}

struct metrics_registry *metrics_registry_new(struct err *err)
{
	struct metrics_registry *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		err_set(err, ERR_NO_MEMORY, "no memory for the metrics");
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	for (int i = 0; i < METRIC_ID_COUNT; i++) {
		if (!family_init(&r->families[i], &rows[i])) {
			metrics_registry_free(r);
			err_set(err, ERR_NO_MEMORY, "no memory for the metrics");
			return NULL;
		}
	}
	return r;
}

static void family_done(struct family *f)
{
	struct label_set *set = atomic_load(&f->first);

	while (set != NULL) {
		struct label_set *next = atomic_load(&set->next);
		struct metric_series *s = atomic_load(&set->series);

		while (s != NULL) {
			struct metric_series *next_series = atomic_load(&s->next);

			free(s);
			s = next_series;
		}
		free(set);
		set = next;
	}
}

static void metrics_free(struct metrics *m)
{
	for (int i = 0; i < METRIC_ID_COUNT; i++)
		free(m->tables[i].slots);
	free(m);
}

void metrics_registry_free(struct metrics_registry *r)
{
	if (r == NULL)
		return;
	for (int i = 0; i < METRIC_ID_COUNT; i++)
		family_done(&r->families[i]);
	while (r->sets != NULL) {
		struct metrics *m = r->sets;

		r->sets = m->next;
		metrics_free(m);
	}
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static struct metric_series **slot_of(const struct table *t, const struct key *k)
{
	size_t i = k->hash & (t->n_slots - 1);

	while (t->slots[i] != NULL && !label_set_is(t->slots[i]->labels, k))
		i = (i + 1) & (t->n_slots - 1);
	return &t->slots[i];
}

static bool table_grow(struct table *t)
{
	struct table bigger = {
		.n_slots = t->n_slots == 0 ? FIRST_SLOTS : t->n_slots * 2, .n = t->n};

	bigger.slots = calloc(bigger.n_slots, sizeof(struct metric_series *));
	if (bigger.slots == NULL)
		return false;
	for (size_t i = 0; i < t->n_slots; i++) {
		size_t at;

		if (t->slots[i] == NULL)
			continue;
		at = t->slots[i]->labels->hash & (bigger.n_slots - 1);
		while (bigger.slots[at] != NULL)
			at = (at + 1) & (bigger.n_slots - 1);
		bigger.slots[at] = t->slots[i];
	}
	free(t->slots);
	*t = bigger;
	return true;
}

/* Room for one more, with a quarter of the slots left empty. */
static bool table_reserve(struct table *t)
{
	return t->n + 1 <= t->n_slots / 4 * 3 || table_grow(t);
}

struct metrics *metrics_new(struct metrics_registry *r)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->registry = r;
	for (int i = 0; i < METRIC_ID_COUNT; i++) {
		m->other[i] = series_new(rows[i].kind, atomic_load(&r->families[i].first));
		if (m->other[i] == NULL) {
			for (int j = 0; j < i; j++)
				free(m->other[j]);
			metrics_free(m);
			return NULL;
		}
		m->other[i]->is_shown = r->families[i].n_labels == 0;
	}
	pthread_mutex_lock(&r->lock);
	for (int i = 0; i < METRIC_ID_COUNT; i++)
		label_set_add(m->other[i]->labels, m->other[i]);
	m->next = r->sets;
	r->sets = m;
	pthread_mutex_unlock(&r->lock);
	return m;
}

/* Under the registry's lock. NULL: the family is full, or there is no memory. */
static struct label_set *intern(struct family *f, const struct key *k)
{
	struct label_set **chain = &f->chains[k->hash % N_CHAINS];
	struct label_set *set = *chain;

	while (set != NULL && !label_set_is(set, k))
		set = set->chained;
	if (set != NULL || f->n_sets >= METRICS_MAX_SERIES)
		return set;
	set = label_set_new(k);
	if (set == NULL)
		return NULL;
	set->chained = *chain;
	*chain = set;
	atomic_store_explicit(&f->last->next, set, memory_order_release);
	f->last = set;
	f->n_sets++;
	return set;
}

static struct metric_series *other(struct metrics *m, enum metric_id id)
{
	atomic_store_explicit(&m->other[id]->is_shown, true, memory_order_relaxed);
	return m->other[id];
}

static struct metric_series *find(const struct table *t, const struct key *k)
{
	return t->n_slots == 0 ? NULL : *slot_of(t, k);
}

static struct metric_series *add_series(struct metrics *m, enum metric_id id, const struct key *k)
{
	struct table *t = &m->tables[id];
	struct metric_series *s = NULL;
	struct label_set *set;

	if (label_set_is(m->other[id]->labels, k) || !table_reserve(t))
		return other(m, id);
	pthread_mutex_lock(&m->registry->lock);
	set = intern(&m->registry->families[id], k);
	if (set != NULL)
		s = series_new(rows[id].kind, set);
	if (s != NULL) {
		s->is_shown = true;
		label_set_add(set, s);
	}
	pthread_mutex_unlock(&m->registry->lock);
	if (s == NULL)
		return other(m, id);
	*slot_of(t, k) = s;
	t->n++;
	return s;
}

/* A key the table does not have as it is. Only clean ones are kept, so that it cannot outgrow
 * the family. */
static struct metric_series *find_or_add(struct metrics *m, enum metric_id id, struct key *k)
{
	char mem[METRICS_MAX_LABELS][MAX_VALUE_BYTES];
	struct metric_series *s = NULL;

	if (key_clean(k, mem))
		s = find(&m->tables[id], k);
	return s != NULL ? s : add_series(m, id, k);
}

struct metric_series *metric_series(struct metrics *m, enum metric_id id, const struct span *labels)
{
	int n_labels = m->registry->families[id].n_labels;
	struct metric_series *s;
	struct key k;

	if (n_labels == 0)
		return m->other[id];
	if (labels == NULL)
		return other(m, id);
	key_init(&k, labels, n_labels);
	s = find(&m->tables[id], &k);
	return s != NULL ? s : find_or_add(m, id, &k);
}

static int64_t sum(int64_t a, int64_t b)
{
	int64_t r;

	if (__builtin_add_overflow(a, b, &r))
		return b > 0 ? INT64_MAX : INT64_MIN;
	return r;
}

/* No read-modify-write: a series has one writer. */
static void add(_Atomic int64_t *to, int64_t v)
{
	int64_t now = atomic_load_explicit(to, memory_order_relaxed);

	atomic_store_explicit(to, sum(now, v), memory_order_relaxed);
}

void metric_add(struct metric_series *s, int64_t v)
{
	assert(s->kind != METRIC_HISTOGRAM);
	if (s->kind == METRIC_GAUGE || v > 0)
		add(&s->value, v);
}

void metric_set(struct metric_series *s, int64_t v)
{
	assert(s->kind == METRIC_GAUGE);
	atomic_store_explicit(&s->value, v, memory_order_relaxed);
}

void metric_observe(struct metric_series *s, int64_t v)
{
	size_t i = 0;

	assert(s->kind == METRIC_HISTOGRAM);
	if (v < 0)
		v = 0;
	while (i < N_BOUNDS && v > bounds[i])
		i++;
	add(&s->buckets[i], 1);
	add(&s->value, v);
}

struct total {
	bool is_shown;
	int64_t value;
	int64_t buckets[N_BUCKETS];
};

static void total_of(const struct label_set *set, struct total *t)
{
	const struct metric_series *s;

	*t = (struct total){.is_shown = false};
	for (s = atomic_load_explicit(&set->series, memory_order_acquire); s != NULL;
		s = atomic_load_explicit(&s->next, memory_order_acquire)) {
		t->is_shown |= atomic_load_explicit(&s->is_shown, memory_order_relaxed);
		t->value = sum(t->value, atomic_load_explicit(&s->value, memory_order_relaxed));
		for (size_t i = 0; s->kind == METRIC_HISTOGRAM && i < N_BUCKETS; i++)
			t->buckets[i] = sum(t->buckets[i],
				atomic_load_explicit(&s->buckets[i], memory_order_relaxed));
	}
}

/* The stored integer as the exact decimal number it stands for. */
static void put_scaled(struct buf *out, int64_t v, int64_t scale)
{
	uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	uint64_t rest = magnitude % (uint64_t)scale;

	if (v < 0)
		buf_append_char(out, '-');
	buf_append_u64(out, magnitude / (uint64_t)scale);
	if (rest != 0)
		buf_append_char(out, '.');
	while (rest != 0) {
		rest *= 10;
		buf_append_char(out, (char)('0' + rest / (uint64_t)scale));
		rest %= (uint64_t)scale;
	}
}

/* Backslash, line feed and, in a label, the quote. */
static void put_escaped(struct buf *out, struct span s, bool is_label)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '\n') {
			buf_append(out, SPAN("\\n"));
			continue;
		}
		if (c == '\\' || (is_label && c == '"'))
			buf_append_char(out, '\\');
		buf_append_char(out, c);
	}
}

/* `le` < 0: none; N_BOUNDS: +Inf. */
static void put_labels(
	struct buf *out, const struct family *f, const struct label_set *set, int le, int64_t scale)
{
	const char *p = set->values;

	if (f->n_labels == 0 && le < 0)
		return;
	buf_append_char(out, '{');
	for (int i = 0; i < f->n_labels; i++) {
		if (i > 0)
			buf_append_char(out, ',');
		buf_append(out, f->names[i]);
		buf_append(out, SPAN("=\""));
		put_escaped(out, take_value(&p), true);
		buf_append_char(out, '"');
	}
	if (le >= 0) {
		buf_append_cstr(out, f->n_labels > 0 ? ",le=\"" : "le=\"");
		if (le < (int)N_BOUNDS)
			put_scaled(out, bounds[le], scale);
		else
			buf_append(out, SPAN("+Inf"));
		buf_append_char(out, '"');
	}
	buf_append_char(out, '}');
}

static void put_sample(struct buf *out, const struct row *row, const char *suffix,
	const struct family *f, const struct label_set *set, int le, int64_t v, int64_t scale)
{
	buf_append_cstr(out, row->name);
	buf_append_cstr(out, suffix);
	put_labels(out, f, set, le, row->scale);
	buf_append_char(out, ' ');
	put_scaled(out, v, scale);
	buf_append_char(out, '\n');
}

static void put_histogram(struct buf *out, const struct row *row, const struct family *f,
	const struct label_set *set, const struct total *t)
{
	int64_t count = 0;

	for (int i = 0; i < (int)N_BUCKETS; i++) {
		count = sum(count, t->buckets[i]);
		put_sample(out, row, "_bucket", f, set, i, count, 1);
	}
	put_sample(out, row, "_sum", f, set, -1, t->value, row->scale);
	put_sample(out, row, "_count", f, set, -1, count, 1);
}

static void put_family(struct buf *out, const struct row *row, const struct family *f)
{
	static const char *const kinds[] = {"counter", "gauge", "histogram"};
	const struct label_set *set;

	buf_printf(out, "# HELP %s ", row->name);
	put_escaped(out, span_of(row->help), false);
	buf_printf(out, "\n# TYPE %s %s\n", row->name, kinds[row->kind]);
	for (set = atomic_load_explicit(&f->first, memory_order_acquire); set != NULL;
		set = atomic_load_explicit(&set->next, memory_order_acquire)) {
		struct total t;

		total_of(set, &t);
		if (!t.is_shown)
			continue;
		if (row->kind == METRIC_HISTOGRAM)
			put_histogram(out, row, f, set, &t);
		else
			put_sample(out, row, "", f, set, -1, t.value, row->scale);
	}
}

bool metrics_write(struct metrics_registry *r, struct buf *out)
{
	for (int i = 0; i < METRIC_ID_COUNT; i++)
		put_family(out, &rows[i], &r->families[i]);
	return !out->failed;
}
