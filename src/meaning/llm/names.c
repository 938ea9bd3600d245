/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/names.h"

#define HASH_DIGITS 8
#define MADE_CHARS 24

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

static bool is_alnum(char c)
{
	return is_plain(c) && c != '_' && c != '-';
}

/* FNV-1a with a final mix (Murmur3's): names differ in their last bytes. */
static uint64_t hash(struct span s, uint64_t seed)
{
	uint64_t h = 14695981039346656037u ^ seed;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 1099511628211u;
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdu;
	h ^= h >> 33;
	return h;
}

static void write_base36(char *out, size_t n, uint64_t h)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";

	for (size_t i = 0; i < n; i++) {
		out[i] = digits[h % 36];
		h /= 36;
	}
}

static bool fits(struct span name, size_t max)
{
	if (name.n == 0 || name.n > max)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!is_plain(name.p[i]))
			return false;
	return true;
}

/* Writes at most max bytes; the fitted length. */
static size_t fit(struct span name, size_t max, char out[256])
{
	static const char hex[] = "0123456789abcdef";
	size_t keep = max - HASH_DIGITS - 1, n = 0;
	uint64_t h = hash(name, 0);

	for (size_t i = 0; i < name.n && n < keep; i++)
		out[n++] = is_plain(name.p[i]) ? name.p[i] : '_';
	out[n++] = '_';
	for (int i = 0; i < HASH_DIGITS; i++, h >>= 4)
		out[n++] = hex[h & 15];
	return n;
}

struct span llm_fit_name(struct arena *a, struct span name, size_t max)
{
	char out[256];

	if (fits(name, max))
		return name;
	return arena_copy(a, (struct span){out, fit(name, max < 256 ? max : 256, out)});
}

const struct llm_tool *llm_find_fitted(const struct llm_request *q, struct span name)
{
	static const size_t limits[] = {64, 128};
	const struct llm_tool *found = q != NULL ? llm_find_tool(q, name) : NULL;
	char out[256];

	if (found != NULL || q == NULL)
		return found;
	for (const struct llm_tool *t = q->tools; t != NULL; t = t->next)
		for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
			if (fits(t->name, limits[i]))
				continue;
			if (span_eq(name, (struct span){out, fit(t->name, limits[i], out)}))
				return t;
		}
	return NULL;
}

static struct span fit_exact(struct arena *a, struct span id, size_t exact)
{
	char out[32];
	bool good = id.n == exact;

	for (size_t i = 0; i < id.n && good; i++)
		good = is_alnum(id.p[i]);
	if (good)
		return id;
	if (exact > sizeof(out))
		exact = sizeof(out);
	for (size_t i = 0; i < exact; i += 8)
		write_base36(out + i, exact - i < 8 ? exact - i : 8, hash(id, i));
	return arena_copy(a, (struct span){out, exact});
}

struct span llm_fit_id(struct arena *a, struct span id, size_t max, size_t exact)
{
	return exact > 0 ? fit_exact(a, id, exact) : llm_fit_name(a, id, max);
}

struct span llm_make_id(struct arena *a, uint64_t seed, uint64_t n)
{
	char out[5 + MADE_CHARS];
	struct span of = {(const char *)&n, sizeof(n)};

	memcpy(out, "call_", 5);
	for (size_t i = 0; i < MADE_CHARS; i += 8)
		write_base36(out + 5 + i, 8, hash(of, seed + i));
	return arena_copy(a, (struct span){out, sizeof(out)});
}
