/* SPDX-License-Identifier: Apache-2.0 */
#include "state/auth/auth.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "machine/base/text.h"
#include "machine/crypto/hash.h"
#include "state/auth/access.h"

#define PREFIX "sk-sluice-"
#define PREFIX_CHARS 10
#define PUBLIC_CHARS 12
#define SECRET_CHARS 43
#define CHECK_CHARS 6
#define CHECKED_CHARS (AUTH_KEY_CHARS - CHECK_CHARS)
#define FIRST_SLOTS 64

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* What is asked of a key, without its labels: there may be a hundred thousand. */
struct entry {
	char public_id[PUBLIC_CHARS];
	uint8_t sha256[HASH_SHA256_BYTES];
	int64_t expires_ms;
	struct auth_identity who;
};

/* Open addressing by public id. */
struct slot {
	bool used;
	struct entry e;
};

struct auth_table {
	pthread_rwlock_t lock;
	struct slot *slots;
	size_t n_slots; /* a power of two */
	size_t n;
	struct access *access;
};

/* ---- the text of a key ---- */

/* The checksum is no secret: it tells a cut or mistyped key from a wrong one without a lookup. */
static void write_check(const char *text, char out[CHECK_CHARS])
{
	uint32_t crc = hash_crc32c(0, span_from(text, CHECKED_CHARS));

	for (int i = CHECK_CHARS - 1; i >= 0; i--) {
		out[i] = base62[crc % 62];
		crc /= 62;
	}
}

/* Bytes of 248 and more would make the first digits likelier. */
static bool random_digits(struct sys *sys, char *out, size_t n)
{
	uint8_t bytes[64];
	size_t made = 0;

	while (made < n) {
		if (!sys->random(sys, bytes, sizeof(bytes))) {
			hash_wipe(out, made);
			break;
		}
		for (size_t i = 0; i < sizeof(bytes) && made < n; i++)
			if (bytes[i] < 248)
				out[made++] = base62[bytes[i] % 62];
	}
	hash_wipe(bytes, sizeof(bytes));
	return made == n;
}

bool auth_make(struct sys *sys, const char *name, enum permission manage,
	enum permission completions, int64_t expires_ms, struct key_row *row,
	char text[AUTH_KEY_CHARS + 1], struct err *err)
{
	uint8_t random[10];
	size_t n = strlen(name);

	if (n == 0 || n >= sizeof(row->name))
		return err_set(err, ERR_BAD_REQUEST, "a key's name has 1 to %zu bytes",
			sizeof(row->name) - 1);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return err_set(err, ERR_BAD_REQUEST,
				"a key's name may not hold control characters");
	if (!text_is_utf8(span_from(name, n)))
		return err_set(err, ERR_BAD_REQUEST, "a key's name must be UTF-8");
	*row = (struct key_row){.manage = manage,
		.completions = completions,
		.created_ms = sys->wall_ms(sys),
		.expires_ms = expires_ms};
	memcpy(text, PREFIX, PREFIX_CHARS);
	text[PREFIX_CHARS + PUBLIC_CHARS] = '-';
	if (!sys->random(sys, random, sizeof(random)) ||
		!random_digits(sys, text + PREFIX_CHARS, PUBLIC_CHARS) ||
		!random_digits(sys, text + PREFIX_CHARS + PUBLIC_CHARS + 1, SECRET_CHARS))
		return err_set(err, ERR_INTERNAL, "the system gave no random numbers");
	write_check(text, text + CHECKED_CHARS);
	text[AUTH_KEY_CHARS] = '\0';
	id_make(&row->id, row->created_ms, random);
	memcpy(row->name, name, n + 1);
	memcpy(row->public_id, text + PREFIX_CHARS, PUBLIC_CHARS);
	row->public_id[PUBLIC_CHARS] = '\0';
	hash_sha256(span_from(text, AUTH_KEY_CHARS), row->sha256);
	return true;
}

/* ---- headers ---- */

static bool read_bearer(struct span value, struct span *key, struct err *err)
{
	const struct span scheme = SPAN("bearer ");

	if (value.n == 0 || span_eq_nocase(value, SPAN("bearer")))
		return err_set(err, ERR_UNAUTHENTICATED,
			"Authorization holds no key; it must be \"Bearer <key>\"");
	if (!span_starts_nocase(value, scheme))
		return err_set(err, ERR_KEY_MALFORMED,
			"Authorization must be \"Bearer <key>\"; this one has another scheme");
	*key = span_trim(span_skip(value, scheme.n));
	return true;
}

bool auth_read_headers(struct span authorization, struct span x_api_key, struct span api_key,
	struct span *key, struct err *err)
{
	const struct {
		const char *name;
		struct span value;
	} others[] = {{"x-api-key", x_api_key}, {"api-key", api_key}};
	const char *from = "Authorization";
	struct span found = {NULL, 0};

	if (authorization.p != NULL && !read_bearer(span_trim(authorization), &found, err))
		return false;
	for (int i = 0; i < 2; i++) {
		struct span value = span_trim(others[i].value);

		if (others[i].value.p == NULL)
			continue;
		if (value.n == 0)
			return err_set(err, ERR_UNAUTHENTICATED, "%s is empty", others[i].name);
		if (found.p != NULL && !span_eq(found, value))
			return err_set(err, ERR_KEY_MALFORMED,
				"%s and %s hold different keys; send one", from, others[i].name);
		if (found.p == NULL)
			from = others[i].name;
		found = value;
	}
	if (found.p == NULL)
		return err_set(err, ERR_UNAUTHENTICATED,
			"Unauthorized: no key; send \"Authorization: Bearer <key>\" or "
			"\"x-api-key: <key>\"");
	*key = found;
	return true;
}

/* ---- the table ---- */

struct auth_table *auth_table_new(struct err *err)
{
	struct auth_table *t = calloc(1, sizeof(*t));
	pthread_rwlockattr_t attributes;

	if (t != NULL) {
		t->n_slots = FIRST_SLOTS;
		t->slots = calloc(t->n_slots, sizeof(*t->slots));
		t->access = access_new(err);
	}
	if (t == NULL || t->slots == NULL || t->access == NULL) {
		if (t != NULL) {
			free(t->slots);
			access_free(t->access);
		}
		free(t);
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	/* Else a deletion could wait as long as requests keep coming. */
	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&t->lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	return t;
}

void auth_table_free(struct auth_table *t)
{
	if (t == NULL)
		return;
	pthread_rwlock_destroy(&t->lock);
	access_free(t->access);
	free(t->slots);
	free(t);
}

/* The id's digits are random: their bytes are hash enough. */
static size_t home_of(const char *public_id, size_t n_slots)
{
	uint64_t a;
	uint32_t b;

	memcpy(&a, public_id, 8);
	memcpy(&b, public_id + 8, 4);
	a = (a ^ (uint64_t)b << 17) * 0x9e3779b97f4a7c15u;
	return (size_t)(a >> 20) & (n_slots - 1);
}

static struct slot *find_slot(struct slot *slots, size_t n_slots, const char *public_id)
{
	size_t i = home_of(public_id, n_slots);

	while (slots[i].used && memcmp(slots[i].e.public_id, public_id, PUBLIC_CHARS) != 0)
		i = (i + 1) & (n_slots - 1);
	return &slots[i];
}

static bool grow(struct auth_table *t)
{
	size_t n_slots = t->n_slots * 2;
	struct slot *slots = calloc(n_slots, sizeof(*slots));

	if (slots == NULL)
		return false;
	for (size_t i = 0; i < t->n_slots; i++)
		if (t->slots[i].used)
			*find_slot(slots, n_slots, t->slots[i].e.public_id) = t->slots[i];
	free(t->slots);
	t->slots = slots;
	t->n_slots = n_slots;
	return true;
}

static struct entry entry_of(const struct key_row *row)
{
	struct entry e = {.expires_ms = row->expires_ms,
		.who = {.key_id = row->id,
			.manage = row->manage,
			.completions = row->completions,
			.drop = row->drop,
			.owners = row->owners,
			.access_id = row->access_id}};

	memcpy(e.public_id, row->public_id, PUBLIC_CHARS);
	memcpy(e.sha256, row->sha256, sizeof(e.sha256));
	memcpy(e.who.name, row->name, sizeof(e.who.name));
	return e;
}

bool auth_add(struct auth_table *t, const struct key_row *row, struct err *err)
{
	struct slot *slot;
	bool ok = true;

	pthread_rwlock_wrlock(&t->lock);
	if ((t->n + 1) * 2 > t->n_slots)
		ok = grow(t);
	if (ok) {
		slot = find_slot(t->slots, t->n_slots, row->public_id);
		if (!slot->used)
			t->n++;
		slot->used = true;
		slot->e = entry_of(row);
	}
	pthread_rwlock_unlock(&t->lock);
	return ok || err_set(err, ERR_NO_MEMORY, NULL);
}

/* Rows behind the hole move up where their home allows, so that no search stops short. */
static void close_hole(struct auth_table *t, size_t hole)
{
	size_t mask = t->n_slots - 1;

	for (size_t i = (hole + 1) & mask; t->slots[i].used; i = (i + 1) & mask) {
		size_t home = home_of(t->slots[i].e.public_id, t->n_slots);

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		t->slots[hole] = t->slots[i];
		hole = i;
	}
	hash_wipe(&t->slots[hole], sizeof(t->slots[hole]));
}

bool auth_remove(struct auth_table *t, const struct id *id)
{
	bool found = false;

	pthread_rwlock_wrlock(&t->lock);
	for (size_t i = 0; i < t->n_slots && !found; i++) {
		if (!t->slots[i].used || memcmp(&t->slots[i].e.who.key_id, id, sizeof(*id)) != 0)
			continue;
		close_hole(t, i);
		t->n--;
		found = true;
	}
	pthread_rwlock_unlock(&t->lock);
	return found;
}

struct loading {
	struct auth_table *table;
	struct err *err;
	bool ok;
};

static bool load_one(void *user, const struct key_row *k)
{
	struct loading *l = user;

	l->ok = auth_add(l->table, k, l->err);
	return l->ok;
}

bool auth_table_load(struct auth_table *t, struct store *s, struct err *err)
{
	struct loading l = {t, err, true};

	return key_each(s, load_one, &l, err) && l.ok && access_load(t->access, s, err);
}

struct access *auth_access(struct auth_table *t)
{
	return t->access;
}

int auth_count(struct auth_table *t)
{
	int n;

	pthread_rwlock_rdlock(&t->lock);
	n = (int)t->n;
	pthread_rwlock_unlock(&t->lock);
	return n;
}

/* ---- finding ---- */

/* Keys that belong elsewhere are told by their form; nothing of them is repeated. */
static const char *foreign_key(struct span key)
{
	static const struct {
		struct span prefix;
		const char *whose;
	} rows[] = {{SPAN("sk-ant-"), "an Anthropic key"}, {SPAN("sk-or-"), "an OpenRouter key"},
		{SPAN("sk-proj-"), "an OpenAI key"}, {SPAN("sk-svcacct-"), "an OpenAI key"},
		{SPAN("gsk_"), "a Groq key"}, {SPAN("AIza"), "a Google key"},
		{SPAN("xai-"), "an xAI key"}, {SPAN("pplx-"), "a Perplexity key"},
		{SPAN("r8_"), "a Replicate key"}, {SPAN("hf_"), "a Hugging Face key"},
		{SPAN("fw_"), "a Fireworks key"}, {SPAN("nvapi-"), "an NVIDIA key"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (span_starts(key, rows[i].prefix))
			return rows[i].whose;
	if (span_starts(key, SPAN("sk-")) && !span_starts(key, SPAN(PREFIX)))
		return "a provider's key";
	return NULL;
}

static bool is_digits(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
			    (s.p[i] >= 'a' && s.p[i] <= 'z')))
			return false;
	return true;
}

static bool has_form(struct span key, struct err *err)
{
	const char *whose = foreign_key(key);
	char check[CHECK_CHARS];

	if (whose != NULL)
		return err_set(err, ERR_KEY_MALFORMED,
			"This looks like %s, not a key of this gateway (those begin with " PREFIX
			")",
			whose);
	if (!span_starts(key, SPAN(PREFIX)))
		return err_set(err, ERR_KEY_MALFORMED,
			"Malformed key: keys of this gateway begin with " PREFIX);
	if (key.n != AUTH_KEY_CHARS)
		return err_set(err, ERR_KEY_MALFORMED,
			"Malformed key: it has %zu characters instead of %d%s", key.n,
			AUTH_KEY_CHARS, key.n < AUTH_KEY_CHARS ? "; it may have been cut" : "");
	write_check(key.p, check);
	if (key.p[PREFIX_CHARS + PUBLIC_CHARS] != '-' ||
		!is_digits((struct span){key.p + PREFIX_CHARS, PUBLIC_CHARS}) ||
		!is_digits(span_skip(key, PREFIX_CHARS + PUBLIC_CHARS + 1)) ||
		memcmp(check, key.p + CHECKED_CHARS, CHECK_CHARS) != 0)
		return err_set(err, ERR_KEY_MALFORMED,
			"Malformed key: its checksum is wrong; it may have been mistyped");
	return true;
}

bool auth_find(struct auth_table *t, struct span key, int64_t now_ms, struct auth_identity *out,
	struct err *err)
{
	static const uint8_t nobody[HASH_SHA256_BYTES];
	uint8_t digest[HASH_SHA256_BYTES];
	struct auth_identity found = {0};
	const struct slot *slot;
	bool known, expired = false;

	if (!has_form(key, err))
		return false;
	hash_sha256(key, digest);
	pthread_rwlock_rdlock(&t->lock);
	slot = find_slot(t->slots, t->n_slots, key.p + PREFIX_CHARS);
	/* An unknown id is compared too, with what no key hashes to. */
	known = hash_eq(slot->used ? slot->e.sha256 : nobody, digest, sizeof(digest)) && slot->used;
	if (known) {
		expired = slot->e.expires_ms != 0 && slot->e.expires_ms <= now_ms;
		found = slot->e.who;
	}
	pthread_rwlock_unlock(&t->lock);
	if (!known)
		return err_set(err, ERR_KEY_REFUSED,
			"Invalid authorization token: this key is not known here, or was deleted");
	if (expired)
		return err_set(err, ERR_KEY_REFUSED,
			"Invalid authorization token: key \"%s\" has expired", found.name);
	*out = found;
	return true;
}
