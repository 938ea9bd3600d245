/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/tokens.h"

/* Prices are in hundredths of a token. */
#define TOKEN 100

#define TURN_TOKENS 4
#define TOOL_TOKENS 12
#define IMAGE_TOKENS 1600 /* Anthropic's bound for a picture; others charge less */
#define PAGE_BYTES 3000   /* of base64, for what a page of a document costs */
#define PAGE_TOKENS 300
#define AUDIO_BYTES_A_TOKEN 200

enum class { BLANK, LINE, LETTER, DIGIT, SIGN, WIDE };

/* Letters of two bytes (Latin, Greek, Cyrillic) are parts of words. */
static enum class class_of(unsigned char c) {
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= 0xc3 && c <= 0xd6)) return LETTER;
	if (c >= '0' && c <= '9') return DIGIT;
	if (c == ' ' || c == '\t') return BLANK;
	if (c == '\n' || c == '\r') return LINE;
	return c < 0x80 ? SIGN : WIDE;
}

static bool is_upper(unsigned char c)
{
	return c >= 'A' && c <= 'Z';
}

/* What a word costs: common short ones are one token, long ones two or more, shouted ones many. */
static int64_t word_price(size_t chars, size_t upper, bool wide)
{
	if (upper > 1)
		return 62 * (int64_t)upper + (chars > upper ? 60 : 0);
	if (wide)
		return chars <= 4 ? 100 : 100 + (int64_t)(chars - 4) * 20;
	if (chars <= 4)
		return 100;
	if (chars <= 8)
		return 108;
	return chars <= 12 ? 132 : 150 + (int64_t)(chars - 12) * 38;
}

/* Words in a run of letters: a capital behind a small letter begins another. */
static int64_t letters_price(const unsigned char *p, size_t n)
{
	size_t chars = 0, upper = 0;
	bool wide = false;
	int64_t price = 0;

	for (size_t i = 0; i < n; i++) {
		if (i > 0 && is_upper(p[i]) && !is_upper(p[i - 1])) {
			price += word_price(chars, upper, wide);
			chars = upper = 0;
			wide = false;
		}
		chars += p[i] < 0x80 || p[i] >= 0xc0;
		upper += is_upper(p[i]);
		wide |= p[i] >= 0x80;
	}
	return price + word_price(chars, upper, wide);
}

/* Hebrew and Arabic (two bytes), ideographs, kana, Hangul, Indic letters (three), pictures (four).
 */
static int64_t wide_price(const unsigned char *p, size_t n)
{
	int64_t price = 0;

	for (size_t i = 0; i < n; i++)
		price += p[i] >= 0xf0 ? 190 : p[i] >= 0xe0 ? 78 : p[i] >= 0xc0 ? 42 : 0;
	return price;
}

static int64_t run_price(enum class c, const unsigned char *p, size_t n, bool last)
{
	switch (c) {
	case LETTER:
		return letters_price(p, n);
	case DIGIT:
		return (int64_t)(n + 2) / 3 * TOKEN;
	case BLANK:
		/* The last blank belongs to what follows. */
		return n > 1 ? TOKEN + (int64_t)(n / 80) * TOKEN : last ? TOKEN : 0;
	case LINE:
		return 60;
	case SIGN:
		return n == 1 ? 92 : (int64_t)n * 55;
	case WIDE:
		return wide_price(p, n);
	}
	return 0;
}

int64_t llm_tokens_of_text(struct span text)
{
	const unsigned char *p = (const unsigned char *)text.p;
	int64_t price = 0;
	size_t i = 0;

	while (i < text.n) {
		enum class c = class_of(p[i]);
		size_t from = i;

		while (i < text.n &&
			(class_of(p[i]) == c || (c == LETTER && p[i] >= 0x80 && p[i] < 0xc0)))
			i++;
		price += run_price(c, p + from, i - from, i == text.n);
	}
	return (price + TOKEN - 1) / TOKEN;
}

/* ---- requests ---- */

static int64_t value_tokens(yyjson_val *v)
{
	size_t i, max;
	yyjson_val *key, *item;
	int64_t n = 1;

	if (yyjson_is_str(v) || yyjson_is_raw(v))
		return 1 +
		       llm_tokens_of_text((struct span){
			       yyjson_get_str(v) != NULL ? yyjson_get_str(v) : yyjson_get_raw(v),
			       yyjson_get_len(v)});
	if (yyjson_is_arr(v)) {
		yyjson_arr_foreach(v, i, max, item) n += value_tokens(item);
	} else if (yyjson_is_obj(v)) {
		yyjson_obj_foreach(v, i, max, key, item) n +=
			value_tokens(key) + value_tokens(item);
	}
	return n;
}

static int64_t media_tokens(const struct llm_media *m)
{
	if (m->from == LLM_FROM_TEXT)
		return llm_tokens_of_text(m->data);
	if (m->kind == LLM_MEDIA_IMAGE || m->from != LLM_FROM_BASE64)
		return IMAGE_TOKENS;
	if (m->kind == LLM_MEDIA_AUDIO)
		return (int64_t)(m->data.n / AUDIO_BYTES_A_TOKEN) + 1;
	return (int64_t)(m->data.n / PAGE_BYTES + 1) * PAGE_TOKENS;
}

static int64_t blocks_tokens(const struct llm_block *b)
{
	int64_t n = 0;

	for (; b != NULL; b = b->next) {
		n += llm_tokens_of_text(b->text);
		if (b->kind == LLM_BLOCK_MEDIA)
			n += media_tokens(&b->media);
		if (b->kind == LLM_BLOCK_TOOL_CALL)
			n += TURN_TOKENS + llm_tokens_of_text(b->name) +
			     llm_tokens_of_text(b->args);
		/* A result holds blocks, but no results. */
		if (b->kind == LLM_BLOCK_TOOL_RESULT)
			n += TURN_TOKENS + blocks_tokens(b->content);
		if (b->native != NULL)
			n += value_tokens(b->native);
	}
	return n;
}

static int64_t tools_tokens(const struct llm_tool *t)
{
	int64_t n = 0;

	for (; t != NULL; t = t->next) {
		n += TOOL_TOKENS + llm_tokens_of_text(t->name) + llm_tokens_of_text(t->description);
		if (t->schema != NULL)
			n += value_tokens(t->schema);
	}
	return n;
}

/* "claude-opus-4-7": 407; 0 when no version is in the name. */
static int version_of(struct span model)
{
	for (size_t i = 0; i + 3 < model.n; i++) {
		char major = model.p[i + 1], minor = model.p[i + 3];

		if (model.p[i] != '-' || major < '0' || major > '9' ||
			(model.p[i + 2] != '-' && model.p[i + 2] != '.') || minor < '0' ||
			minor > '9')
			continue;
		if (i + 4 < model.n && model.p[i + 4] >= '0' && model.p[i + 4] <= '9')
			continue; /* a date */
		return (major - '0') * 100 + (minor - '0');
	}
	return 0;
}

/* Percent of o200k's count; from comparisons that users of these models have published. */
static int64_t family_percent(struct span model)
{
	if (span_find(model, SPAN("claude")) >= 0)
		return version_of(model) > 406 ? 180 : 120;
	if (span_find(model, SPAN("gpt")) >= 0 || span_find(model, SPAN("gemini")) >= 0)
		return 100;
	return 110;
}

int64_t llm_tokens_of_request(const struct llm_request *q, struct span model)
{
	int64_t n = 3 + tools_tokens(q->tools);

	for (const struct llm_turn *t = q->turns; t != NULL; t = t->next)
		n += TURN_TOKENS + blocks_tokens(t->blocks);
	if (q->format.schema != NULL)
		n += value_tokens(q->format.schema);
	return (n * family_percent(model) + 99) / 100;
}
