/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/answer.h"
#include "machine/base/base64.h"
#include "machine/base/text.h"

#define WORD_COUNT 64

#define W(text)                                                                                    \
	{                                                                                          \
		text, sizeof(text) - 1                                                             \
	}
static const struct {
	char text[11];
	unsigned char n;
} words[WORD_COUNT] = {W("river"), W("stone"), W("light"), W("garden"), W("window"), W("paper"),
	W("winter"), W("summer"), W("harbour"), W("bridge"), W("silver"), W("copper"), W("letter"),
	W("number"), W("music"), W("shadow"), W("forest"), W("meadow"), W("candle"), W("mirror"),
	W("engine"), W("signal"), W("circle"), W("corner"), W("valley"), W("island"), W("market"),
	W("lantern"), W("thread"), W("needle"), W("basket"), W("kettle"), W("the"), W("a"),
	W("and"), W("of"), W("with"), W("under"), W("near"), W("beyond"), W("quiet"), W("bright"),
	W("early"), W("late"), W("green"), W("blue"), W("round"), W("small"), W("walks"),
	W("turns"), W("opens"), W("carries"), W("follows"), W("answers"), W("returns"),
	W("remembers"), W("slowly"), W("again"), W("often"), W("never"), W("north"), W("south"),
	W("east"), W("west")};
#undef W

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* Ten words come from one number. */
#define WORDS_A_NUMBER 10

struct word {
	const char *p;
	unsigned n; /* with the blank that separates it from the word before */
};

struct source {
	uint64_t seed, at, number; /* `number` is that of words at / 10 */
};

static void source_init(struct source *s, uint64_t seed)
{
	*s = (struct source){.seed = seed, .at = UINT64_MAX};
}

static struct word word_at(struct source *s, uint64_t i)
{
	uint64_t at = i / WORDS_A_NUMBER;
	unsigned k;

	if (at != s->at) {
		s->at = at;
		s->number = mix(s->seed + at * 0x2545f4914f6cdd1du);
	}
	k = (unsigned)(s->number >> (6 * (i % WORDS_A_NUMBER))) % WORD_COUNT;
	return (struct word){words[k].text, words[k].n + (i > 0)};
}

uint64_t answer_hash(uint64_t seed, struct span text)
{
	uint64_t h = seed ^ (text.n * 0x9e3779b97f4a7c15u), w;
	size_t i;

	for (i = 0; i + 8 <= text.n; i += 8) {
		memcpy(&w, text.p + i, 8);
		h = (h ^ w) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	w = 0;
	if (i < text.n)
		memcpy(&w, text.p + i, text.n - i);
	return mix(h ^ w);
}

static uint64_t pieces_of(uint64_t pieces, uint64_t most)
{
	if (most == 0)
		most = 1;
	return pieces == 0 || pieces > most ? most : pieces;
}

void answer_text_words(struct answer_text *t, uint64_t seed, uint64_t n, uint64_t pieces)
{
	struct source source;

	*t = (struct answer_text){.seed = seed, .words = n};
	source_init(&source, seed);
	for (uint64_t i = 0; i < n; i++)
		t->bytes += word_at(&source, i).n;
	t->pieces = pieces == 0 ? pieces_of(0, n) : pieces_of(pieces, t->bytes);
}

void answer_text_bytes(struct answer_text *t, uint64_t seed, uint64_t bytes, uint64_t pieces)
{
	struct source source;
	uint64_t n = 0;

	*t = (struct answer_text){.seed = seed, .bytes = bytes};
	source_init(&source, seed);
	for (uint64_t have = 0; pieces == 0 && have < bytes; n++)
		have += word_at(&source, n).n;
	t->words = n;
	t->pieces = pieces == 0 ? pieces_of(0, n) : pieces_of(pieces, bytes);
}

void answer_text_fixed(struct answer_text *t, struct span text, uint64_t pieces)
{
	uint64_t n = 1;

	*t = (struct answer_text){.fixed = text, .bytes = text.n};
	if (t->fixed.p == NULL)
		t->fixed = SPAN("");
	for (size_t i = 1; i < text.n; i++)
		n += text.p[i] == ' ' && text.p[i - 1] != ' ';
	t->words = n;
	t->pieces = pieces == 0 ? n : pieces_of(pieces, text.n);
}

static bool inside_char(struct span text, uint64_t at)
{
	return at < text.n && ((unsigned char)text.p[at] & 0xc0) == 0x80;
}

bool answer_text_cap(struct answer_text *t, uint64_t bytes)
{
	uint64_t pieces = t->pieces == t->words ? 0 : t->pieces;

	if (t->bytes <= bytes)
		return false;
	if (t->fixed.p == NULL) {
		answer_text_bytes(t, t->seed, bytes, pieces);
		return true;
	}
	while (bytes > 0 && inside_char(t->fixed, bytes))
		bytes--;
	answer_text_fixed(t, span_head(t->fixed, bytes), pieces);
	return true;
}

/* The end of the piece that begins at c->bytes. */
static uint64_t piece_end(const struct answer_text *t, const struct answer_cursor *c)
{
	struct source source;
	uint64_t end;

	if (c->piece + 1 >= t->pieces)
		return t->bytes;
	if (t->pieces != t->words) {
		end = (uint64_t)((unsigned __int128)t->bytes * (c->piece + 1) / t->pieces);
	} else if (t->fixed.p != NULL) {
		end = c->bytes + 1;
		while (end < t->bytes && !(t->fixed.p[end] == ' ' && t->fixed.p[end - 1] != ' '))
			end++;
	} else {
		source_init(&source, t->seed);
		end = c->bytes + word_at(&source, c->word).n - c->in_word;
	}
	while (t->fixed.p != NULL && end < t->bytes && inside_char(t->fixed, end))
		end++;
	return end < t->bytes ? end : t->bytes;
}

/* Plain ASCII, so it needs no escapes. */
static void append_words(
	const struct answer_text *t, struct answer_cursor *c, uint64_t n, struct buf *out)
{
	char *p = buf_room(out, n);
	struct source source;

	if (p == NULL)
		return;
	buf_added(out, n);
	source_init(&source, t->seed);
	while (n > 0) {
		struct word w = word_at(&source, c->word);
		unsigned blank = c->word > 0, k = w.n - c->in_word;

		if (blank && c->in_word == 0) {
			*p++ = ' ';
			c->in_word = 1;
			k--;
			if (--n == 0)
				return;
		}
		if (k > n)
			k = (unsigned)n;
		memcpy(p, w.p + c->in_word - blank, k);
		p += k;
		n -= k;
		c->in_word += k;
		if (c->in_word == w.n) {
			c->word++;
			c->in_word = 0;
		}
	}
}

static void append(
	const struct answer_text *t, struct answer_cursor *c, uint64_t end, struct buf *out)
{
	uint64_t n = end - c->bytes;

	if (t->fixed.p != NULL) {
		text_json_string(out, span_from(t->fixed.p + c->bytes, n));
	} else {
		buf_append_char(out, '"');
		append_words(t, c, n, out);
		buf_append_char(out, '"');
	}
	c->bytes = end;
	c->piece++;
}

uint64_t answer_piece(const struct answer_text *t, struct answer_cursor *c, struct buf *out)
{
	uint64_t from = c->bytes, end;

	if (c->bytes >= t->bytes)
		return 0;
	/* A cut moved behind a character may have passed the next one's place. */
	while ((end = piece_end(t, c)) <= c->bytes)
		c->piece++;
	append(t, c, end, out);
	return c->bytes - from;
}

void answer_whole(const struct answer_text *t, struct buf *out)
{
	struct answer_cursor c = {0};

	append(t, &c, t->bytes, out);
}

/* k / 1024 is exact in a float and has at most ten decimals. */
static void append_fraction(struct buf *out, int k)
{
	char text[20];
	uint64_t v = (uint64_t)(k < 0 ? -k : k) * 9765625u;
	size_t n = 0, end;

	if (k < 0)
		text[n++] = '-';
	text[n++] = '0';
	text[n++] = '.';
	end = n + 10;
	for (size_t i = end; i-- > n; v /= 10)
		text[i] = (char)('0' + v % 10);
	while (end > n + 1 && text[end - 1] == '0')
		end--;
	buf_append(out, span_from(text, end));
}

void answer_vector(uint64_t seed, unsigned n, bool base64, struct buf *out)
{
	unsigned char
		bytes[4 * 96]; /* a multiple of 3 and of 4, so that parts join without padding */
	size_t have = 0;

	buf_append_char(out, base64 ? '"' : '[');
	for (unsigned i = 0; i < n; i++) {
		int k = (int)(mix(seed + i) % 2047) - 1023;
		float f = (float)k / 1024;
		uint32_t w;

		if (!base64) {
			if (i > 0)
				buf_append_char(out, ',');
			append_fraction(out, k);
			continue;
		}
		memcpy(&w, &f, 4);
		for (int b = 0; b < 4; b++)
			bytes[have++] = (unsigned char)(w >> (8 * b));
		if (have == sizeof(bytes) || i + 1 == n) {
			base64_write(out, span_from(bytes, have));
			have = 0;
		}
	}
	buf_append_char(out, base64 ? '"' : ']');
}
