/* SPDX-License-Identifier: Apache-2.0 */
#include "control/conf/option.h"
#include <arpa/inet.h>
#include "control/conf/conf.h"
#include "machine/base/text.h"

#define MAX_NAME 64
#define MAX_MODEL_ID 256
#define MAX_ORIGINS 64
#define MAX_PAIRS 256
#define SHOWN_SECRET_CHARS 20 /* from this length on the last four are shown */

#define ROW(type_of, path_, type_, member_, value_, least_, most_, choices_, help_)                \
	{.path = path_,                                                                            \
		.type = OPTION_##type_,                                                            \
		.at = offsetof(type_of, member_),                                                  \
		.value = value_,                                                                   \
		.least = least_,                                                                   \
		.most = most_,                                                                     \
		.choices = choices_,                                                               \
		.help = help_},

const struct option general_options[] = {
#define GENERAL(...) ROW(struct conf, __VA_ARGS__)
#include "control/conf/options.def"
	{NULL}};

const struct option provider_options[] = {
#define PROVIDER(...) ROW(struct conf_provider, __VA_ARGS__)
#include "control/conf/options.def"
	{NULL}};

const struct option model_options[] = {
#define MODEL(...) ROW(struct conf_model, __VA_ARGS__)
#include "control/conf/options.def"
	{NULL}};

const struct option policy_options[] = {
#define POLICY(...) ROW(struct conf_policy, __VA_ARGS__)
#include "control/conf/options.def"
	{NULL}};

const struct option member_options[] = {
#define MEMBER(...) ROW(struct conf_member, __VA_ARGS__)
#include "control/conf/options.def"
	{NULL}};

const struct option_section option_sections[] = {
#define SECTION(path, help) {path, help},
#include "control/conf/options.def"
	{NULL, NULL}};

int option_count(const struct option *table)
{
	int n = 0;

	while (table[n].path != NULL)
		n++;
	return n;
}

const char *option_section_help(struct span path)
{
	for (const struct option_section *s = option_sections; s->path != NULL; s++)
		if (span_is(path, s->path))
			return s->help;
	return NULL;
}

static void *member(const struct option *o, const void *base)
{
	return (char *)base + o->at;
}

/* ---- units ---- */

struct unit {
	const char *name;
	int64_t factor;
};

/* Largest first: a value is written in the largest that leaves no rest. */
static const struct unit duration_units[] = {
	{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};
static const struct unit size_units[] = {{"TiB", 1ll << 40}, {"GiB", 1ll << 30}, {"MiB", 1ll << 20},
	{"KiB", 1024}, {"", 1}, {NULL, 0}};

static bool read_units(struct span text, const struct unit *units, int64_t *out)
{
	size_t digits = 0;
	int64_t n;

	while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	if (!text_i64(span_head(text, digits), &n))
		return false;
	text = span_trim(span_skip(text, digits));
	if (n == 0 && text.n == 0) {
		*out = 0;
		return true;
	}
	for (; units->name != NULL; units++) {
		if (!span_is(text, units->name))
			continue;
		return !__builtin_mul_overflow(n, units->factor, out);
	}
	return false;
}

static void write_units(int64_t n, const struct unit *units, struct buf *out)
{
	while (units->factor > 1 && (n == 0 || n % units->factor != 0))
		units++;
	buf_append_i64(out, n / units->factor);
	buf_append_cstr(out, units->name);
}

static void write_number(const struct option *o, int64_t n, struct buf *out)
{
	if (o->type == OPTION_DURATION)
		write_units(n, duration_units, out);
	else if (o->type == OPTION_SIZE)
		write_units(n, size_units, out);
	else
		buf_append_i64(out, n);
}

bool option_write_bounds(const struct option *o, struct buf *out)
{
	if (o->most == 0 || o->type == OPTION_COUNT)
		return false;
	write_number(o, o->least, out);
	buf_append_cstr(out, " to ");
	write_number(o, o->most, out);
	return true;
}

static bool in_bounds(const struct option *o, int64_t n, struct err *err)
{
	char text[64];
	struct buf bounds;

	if (n >= o->least && n <= o->most)
		return true;
	buf_init(&bounds, sizeof(text));
	if (o->type != OPTION_COUNT)
		option_write_bounds(o, &bounds);
	if (bounds.n == 0)
		err_set(err, ERR_CONFIG, "is out of range");
	else
		err_set(err, ERR_CONFIG, "is out of range: %.*s", SPAN_ARG(buf_span(&bounds)));
	buf_done(&bounds);
	return false;
}

/* ---- checks of text ---- */

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_visible(char c)
{
	return c > ' ' && c <= '~';
}

bool option_name_is_valid(struct span name)
{
	if (name.n == 0 || name.n > MAX_NAME || !is_alnum(name.p[0]))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!is_alnum(name.p[i]) && strchr("._-", name.p[i]) == NULL)
			return false;
	return true;
}

bool option_model_id_is_valid(struct span id)
{
	ptrdiff_t slash = span_find_char(id, '/');

	if (slash < 0 || id.n > MAX_MODEL_ID || (size_t)slash + 1 == id.n ||
		!option_name_is_valid(span_head(id, (size_t)slash)))
		return false;
	for (size_t i = 0; i < id.n; i++)
		if ((unsigned char)id.p[i] <= ' ' || id.p[i] == 0x7f)
			return false;
	return true;
}

static bool check_port(struct span text, bool zero_ok)
{
	uint64_t port;

	return text.n <= 5 && text_u64(text, &port) && port <= 65535 && (port > 0 || zero_ok);
}

static bool is_ip(struct span host, int family)
{
	unsigned char address[16];
	char text[64];

	if (host.n >= sizeof(text) || memchr(host.p, '\0', host.n) != NULL)
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	return inet_pton(family, text, address) == 1;
}

static bool check_address(struct span text, struct err *err)
{
	ptrdiff_t colon = span_find_last_char(text, ':');
	struct span host;
	int family = AF_INET;

	if (span_starts(text, SPAN("unix:"))) {
		if (text.n > 5 && text.n - 5 < 108)
			return true;
		return err_set(err, ERR_CONFIG, "needs unix:/path with a path of 1 to 107 bytes");
	}
	if (colon < 0)
		return err_set(err, ERR_CONFIG, "needs IP:PORT, such as 127.0.0.1:4000");
	host = span_head(text, (size_t)colon);
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
		host = span_skip(span_head(host, host.n - 1), 1);
		family = AF_INET6;
	}
	if (!check_port(span_skip(text, (size_t)colon + 1), true))
		return err_set(err, ERR_CONFIG, "needs a port of 0 to 65535 behind the last colon");
	if (!is_ip(host, family))
		return err_set(err, ERR_CONFIG,
			"needs an IP address (127.0.0.1 for this machine only, 0.0.0.0 for all, "
			"[::1])");
	return true;
}

static bool check_url(struct span text, struct err *err)
{
	struct span rest = text, host;
	ptrdiff_t end;

	for (size_t i = 0; i < text.n; i++)
		if (!is_visible(text.p[i]) || strchr("?#@\\\"<>", text.p[i]) != NULL)
			return err_set(err, ERR_CONFIG,
				"must be a plain address: no blank, user name, query or fragment");
	if (span_starts(text, SPAN("https://")))
		rest = span_skip(text, 8);
	else if (span_starts(text, SPAN("http://")))
		rest = span_skip(text, 7);
	else
		return err_set(err, ERR_CONFIG, "must begin with https:// or http://");
	host = span_cut(&rest, '/');
	if (host.n > 0 && host.p[0] == '[') {
		end = span_find_char(host, ']');
		if (end < 0 || !is_ip(span_skip(span_head(host, (size_t)end), 1), AF_INET6))
			return err_set(
				err, ERR_CONFIG, "has no valid IPv6 address in its brackets");
		rest = span_skip(host, (size_t)end + 1);
	} else {
		end = span_find_char(host, ':');
		rest = end < 0 ? span_skip(host, host.n) : span_skip(host, (size_t)end);
		host = span_head(host, host.n - rest.n);
	}
	if (host.n == 0 || host.n > 253)
		return err_set(err, ERR_CONFIG, "has no host name");
	if (rest.n > 0 && (rest.p[0] != ':' || !check_port(span_skip(rest, 1), false)))
		return err_set(err, ERR_CONFIG, "has a port that is not 1 to 65535");
	return true;
}

static bool check_price(struct span text, struct err *err)
{
	ptrdiff_t dot = span_find_char(text, '.');
	struct span whole = dot < 0 ? text : span_head(text, (size_t)dot);
	struct span part = dot < 0 ? SPAN("0") : span_skip(text, (size_t)dot + 1);
	uint64_t n;

	if (part.n > 9)
		return err_set(err, ERR_CONFIG, "has more than 9 decimals");
	if (whole.n > 9 || !text_u64(whole, &n) || !text_u64(part, &n))
		return err_set(err, ERR_CONFIG,
			"must be a plain decimal number of dollars, such as \"0.25\"");
	return true;
}

static bool check_secret(struct span text, struct err *err)
{
	for (size_t i = 0; i < text.n; i++)
		if (!is_visible(text.p[i]))
			return err_set(err, ERR_CONFIG,
				"has a blank or a character that no key has; is the variable or "
				"file right?");
	return true;
}

static bool check_choice(const struct option *o, struct span text, int *index, struct err *err)
{
	struct span rest = span_of(o->choices);

	for (int i = 0; rest.n > 0; i++)
		if (span_eq(span_cut(&rest, '|'), text)) {
			*index = i;
			return true;
		}
	return err_set(err, ERR_CONFIG, "must be one of %s", o->choices);
}

static bool check_origin(struct span text, struct err *err)
{
	struct err why = {0};
	struct span rest = text;

	if (span_is(text, "*"))
		return true;
	if (!check_url(text, &why))
		return err_set(
			err, ERR_CONFIG, "\"%.*s\" %s", SPAN_ARG(span_head(text, 100)), why.text);
	rest = span_skip(text, (size_t)span_find(text, SPAN("://")) + 3);
	if (span_find_char(rest, '/') >= 0)
		return err_set(err, ERR_CONFIG,
			"\"%.*s\" must end behind the host and port, without a slash",
			SPAN_ARG(span_head(text, 100)));
	return true;
}

static bool is_postgres(struct span text)
{
	return span_starts(text, SPAN("postgres://")) || span_starts(text, SPAN("postgresql://"));
}

static bool check_database(struct span text, struct err *err)
{
	if (!span_is(text, "sqlite") && !is_postgres(text))
		return err_set(err, ERR_CONFIG, "must be sqlite, or begin with postgres://");
	return check_secret(text, err);
}

static bool check_text(const struct option *o, struct span text, struct err *err)
{
	int ignored;

	switch (o->type) {
	case OPTION_ADDRESS:
		return check_address(text, err);
	case OPTION_URL:
		return check_url(text, err);
	case OPTION_SECRET:
		return check_secret(text, err);
	case OPTION_DATABASE:
		return check_database(text, err);
	case OPTION_PRICE:
		return check_price(text, err);
	case OPTION_CHOICE:
		return check_choice(o, text, &ignored, err);
	case OPTION_NAME:
		return option_name_is_valid(text) ||
		       err_set(err, ERR_CONFIG,
			       "must be a name of letters, digits, '.', '_' and '-'");
	case OPTION_ACCOUNT:
		return (text.n > 0 && text.p[0] == '{') ||
		       err_set(err, ERR_CONFIG,
			       "is no JSON object; the key file of a service account begins with "
			       "{");
	case OPTION_MODEL_ID:
		return option_model_id_is_valid(text) ||
		       err_set(err, ERR_CONFIG, "must be a model's id: provider/model");
	default:
		return text.n > 0 || err_set(err, ERR_CONFIG, "is empty");
	}
}

/* ---- text to value ---- */

static bool check_host(struct span text, struct err *err)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '/' || text.p[i] == '@' || text.p[i] <= ' ')
			return err_set(err, ERR_CONFIG, "\"%.*s\" must be host or host:port",
				SPAN_ARG(span_head(text, 100)));
	return true;
}

static bool check_entry(const struct option *o, struct span text, struct err *err)
{
	if (o->type == OPTION_HOSTS)
		return check_host(text, err);
	if (o->type == OPTION_ORIGINS)
		return check_origin(text, err);
	return option_name_is_valid(text) ||
	       err_set(err, ERR_CONFIG,
		       "\"%.*s\" must be a name of letters, digits, '.', '_' and '-'",
		       SPAN_ARG(span_head(text, 100)));
}

static bool read_list(const struct option *o, struct arena *a, struct span text, const char ***out,
	struct err *err)
{
	const char **list = arena_zalloc(a, sizeof(*list) * (MAX_ORIGINS + 1));
	int n = 0;

	if (list == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	while (text.n > 0) {
		struct span one = span_trim(span_cut(&text, ','));

		if (one.n == 0)
			continue;
		if (n == MAX_ORIGINS)
			return err_set(err, ERR_CONFIG, "has more than %d entries", MAX_ORIGINS);
		if (!check_entry(o, one, err))
			return false;
		list[n] = arena_cstr(a, one);
		if (list[n++] == NULL)
			return err_set(err, ERR_NO_MEMORY, NULL);
	}
	*out = list;
	return true;
}

static bool read_bool(struct span text, bool *out, struct err *err)
{
	if (!span_is(text, "true") && !span_is(text, "false"))
		return err_set(err, ERR_CONFIG, "must be true or false");
	*out = text.p[0] == 't';
	return true;
}

static bool read_number(const struct option *o, struct span text, int64_t *out, struct err *err)
{
	if (o->type == OPTION_WORKERS && span_is(text, "auto")) {
		*out = 0;
		return true;
	}
	if (o->type == OPTION_DURATION && !read_units(text, duration_units, out))
		return err_set(err, ERR_CONFIG,
			"must be a whole number with ms, s, m, h or d, such as 30s");
	if (o->type == OPTION_SIZE && !read_units(text, size_units, out))
		return err_set(err, ERR_CONFIG,
			"must be a whole number of bytes, or with KiB, MiB, GiB or TiB, such as "
			"20MiB");
	if (o->type != OPTION_DURATION && o->type != OPTION_SIZE && !text_i64(text, out))
		return err_set(err, ERR_CONFIG, "must be a whole number");
	return in_bounds(o, *out, err);
}

bool option_read(
	const struct option *o, struct arena *a, struct span text, void *base, struct err *err)
{
	int64_t n;
	int index;
	char *copy;

	switch (o->type) {
	case OPTION_BOOL:
		return read_bool(text, member(o, base), err);
	case OPTION_SWITCH:
		if (!check_choice(o, text, &index, err))
			return false;
		*(bool *)member(o, base) = index == 1;
		return true;
	case OPTION_INT:
	case OPTION_WORKERS:
	case OPTION_DURATION:
		if (!read_number(o, text, &n, err))
			return false;
		*(int *)member(o, base) = (int)n;
		return true;
	case OPTION_SIZE:
	case OPTION_COUNT:
		if (!read_number(o, text, &n, err))
			return false;
		*(int64_t *)member(o, base) = n;
		return true;
	case OPTION_ORIGINS:
	case OPTION_HOSTS:
	case OPTION_NAMES:
		return read_list(o, a, text, member(o, base), err);
	default:
		if (!check_text(o, text, err))
			return false;
		copy = arena_cstr(a, text);
		if (copy == NULL)
			return err_set(err, ERR_NO_MEMORY, NULL);
		*(const char **)member(o, base) = copy;
		return true;
	}
}

bool option_add_pair(const struct option *o, struct arena *a, struct span name, struct span value,
	void *base, struct err *err)
{
	const struct conf_pair **have = member(o, base);
	struct conf_pair *all;
	int n = 0;

	while (*have != NULL && (*have)[n].name != NULL)
		n++;
	if (name.n == 0 || value.n == 0)
		return err_set(err, ERR_CONFIG, "is empty");
	if (n == MAX_PAIRS)
		return err_set(err, ERR_CONFIG, "has more than %d entries", MAX_PAIRS);
	all = arena_zalloc(a, sizeof(*all) * (size_t)(n + 2));
	if (all == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	if (n > 0)
		memcpy(all, *have, sizeof(*all) * (size_t)n);
	all[n] = (struct conf_pair){arena_cstr(a, name), arena_cstr(a, value)};
	*have = all;
	return (all[n].name != NULL && all[n].value != NULL) || err_set(err, ERR_NO_MEMORY, NULL);
}

bool option_defaults(const struct option *table, struct arena *a, void *base, struct err *err)
{
	for (const struct option *o = table; o->path != NULL; o++) {
		if (option_is_list(o)) {
			if (!read_list(o, a, SPAN(""), member(o, base), err))
				return false;
		} else if (o->value != NULL) {
			if (!option_read(o, a, span_of(o->value), base, err))
				return false;
		} else if (o->type == OPTION_COUNT) {
			*(int64_t *)member(o, base) = -1;
		}
	}
	return true;
}

void option_wipe(const struct option *o, void *base)
{
	char *text = *(char **)member(o, base);

	if (text != NULL)
		explicit_bzero(text, strlen(text));
}

/* ---- value to text ---- */

bool option_is_set(const struct option *o, const void *base)
{
	switch (o->type) {
	case OPTION_BOOL:
	case OPTION_SWITCH:
	case OPTION_INT:
	case OPTION_WORKERS:
	case OPTION_SIZE:
	case OPTION_ORIGINS:
	case OPTION_HOSTS:
		return true;
	case OPTION_NAMES:
		return **(const char ***)member(o, base) != NULL;
	case OPTION_DURATION:
		return o->value != NULL || *(int *)member(o, base) > 0;
	case OPTION_COUNT:
		return *(int64_t *)member(o, base) >= 0;
	default:
		return *(const char **)member(o, base) != NULL;
	}
}

/* In double quotes; what would be taken for a variable is escaped. */
static void write_text(struct span s, struct buf *out)
{
	struct buf raw;
	ptrdiff_t at;

	buf_init(&raw, 2 * s.n + 1);
	while ((at = span_find(s, SPAN("${"))) >= 0) {
		buf_append(&raw, span_head(s, (size_t)at));
		buf_append(&raw, SPAN("$${"));
		s = span_skip(s, (size_t)at + 2);
	}
	buf_append(&raw, s);
	if (raw.failed)
		out->failed = true;
	else
		text_json_string(out, buf_span(&raw));
	buf_done(&raw);
}

/* What is masked already stays as it is, so that a shown file can be shown again. */
static void write_secret(struct span s, struct buf *out)
{
	char masked[7] = "***";

	if (s.n == 0 || (span_starts(s, SPAN("***")) && s.n <= sizeof(masked))) {
		write_text(s, out);
	} else if (s.n >= SHOWN_SECRET_CHARS) {
		memcpy(masked + 3, s.p + s.n - 4, 4);
		write_text((struct span){masked, sizeof(masked)}, out);
	} else {
		write_text(SPAN("***"), out);
	}
}

static void write_origins(const char **list, struct buf *out)
{
	buf_append_char(out, '[');
	for (int i = 0; list[i] != NULL; i++) {
		if (i > 0)
			buf_append_cstr(out, ", ");
		write_text(span_of(list[i]), out);
	}
	buf_append_char(out, ']');
}

static void write_pairs(const struct conf_pair *pairs, struct buf *out)
{
	buf_append_char(out, '{');
	for (int i = 0; pairs[i].name != NULL; i++) {
		if (i > 0)
			buf_append_cstr(out, ", ");
		text_json_string(out, span_of(pairs[i].name));
		buf_append_cstr(out, ": ");
		write_text(span_of(pairs[i].value), out);
	}
	buf_append_char(out, '}');
}

static void write_choice(const char *choices, int index, struct buf *out)
{
	struct span rest = span_of(choices), one;

	do
		one = span_cut(&rest, '|');
	while (index-- > 0);
	buf_append(out, one);
}

void option_write(const struct option *o, const void *base, struct buf *out)
{
	const void *m = member(o, base);

	switch (o->type) {
	case OPTION_BOOL:
		buf_append_cstr(out, *(const bool *)m ? "true" : "false");
		break;
	case OPTION_SWITCH:
		write_choice(o->choices, *(const bool *)m, out);
		break;
	case OPTION_INT:
	case OPTION_WORKERS:
	case OPTION_DURATION:
		write_number(o, *(const int *)m, out);
		break;
	case OPTION_SIZE:
	case OPTION_COUNT:
		write_number(o, *(const int64_t *)m, out);
		break;
	case OPTION_ORIGINS:
	case OPTION_HOSTS:
	case OPTION_NAMES:
		write_origins(*(const char **const *)m, out);
		break;
	case OPTION_PAIRS:
		write_pairs(*(const struct conf_pair *const *)m, out);
		break;
	case OPTION_ACCOUNT:
		write_text(SPAN("***"), out);
		break;
	case OPTION_CHOICE:
		buf_append_cstr(out, *(const char *const *)m);
		break;
	case OPTION_DATABASE:
		write_text(is_postgres(span_of(*(const char *const *)m))
				   ? SPAN("postgres://***")
				   : span_of(*(const char *const *)m),
			out);
		break;
	case OPTION_SECRET:
		write_secret(span_of(*(const char *const *)m), out);
		break;
	default:
		write_text(span_of(*(const char *const *)m), out);
		break;
	}
}

const char *option_type_name(const struct option *o)
{
	switch (o->type) {
	case OPTION_TEXT:
	case OPTION_NAME:
		return "text";
	case OPTION_ADDRESS:
		return "address";
	case OPTION_URL:
		return "URL";
	case OPTION_MODEL_ID:
		return "model id";
	case OPTION_SECRET:
	case OPTION_ACCOUNT:
	case OPTION_DATABASE:
		return "secret";
	case OPTION_PAIRS:
		return "mapping";
	case OPTION_PRICE:
		return "decimal number";
	case OPTION_CHOICE:
	case OPTION_SWITCH:
		return "choice";
	case OPTION_BOOL:
		return "true or false";
	case OPTION_DURATION:
		return "duration";
	case OPTION_SIZE:
		return "size";
	case OPTION_ORIGINS:
	case OPTION_HOSTS:
	case OPTION_NAMES:
		return "list";
	default:
		return "number";
	}
}
