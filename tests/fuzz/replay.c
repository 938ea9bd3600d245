/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay - runs a fuzz target without a fuzzer.
 *
 * replay [-m MUTATIONS] [-d DICTIONARY] FILE-OR-DIRECTORY...
 *
 * Every seed goes through LLVMFuzzerTestOneInput as it is and then MUTATIONS times changed. The
 * changes are the same on every run. When the target dies, the input it died of is left in the
 * file crash-replay in the working directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SEEDS 4096
#define MAX_INPUT_BYTES ((size_t)1 << 20)
#define MAX_WORDS 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

struct bytes {
	uint8_t *p;
	size_t n;
};

static struct bytes seeds[MAX_SEEDS], words[MAX_WORDS];
static size_t n_seeds, n_words;
static struct bytes current;
static uint64_t dice;

static void fail(const char *what, const char *which)
{
	fprintf(stderr, "replay: %s %s: %s\n", what, which, strerror(errno));
	exit(2);
}

static void *must(void *p)
{
	if (p == NULL)
		fail("no memory", "");
	return p;
}

/* Only what a signal handler may do. */
static void leave_crash(void)
{
	static const char text[] = "replay: the input is in the file crash-replay\n";
	int fd = open("crash-replay", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd >= 0 && write(fd, current.p, current.n) == (ssize_t)current.n)
		(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
}

static void on_signal(int signal_number)
{
	leave_crash();
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void watch_for_death(void)
{
	static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM};

	if (__sanitizer_set_death_callback != NULL) {
		__sanitizer_set_death_callback(leave_crash);
		signal(SIGABRT, on_signal);
		signal(SIGTERM, on_signal);
		return;
	}
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], on_signal);
}

static void read_file(const char *path, struct bytes *out)
{
	FILE *f = fopen(path, "re");
	uint8_t *p = must(malloc(MAX_INPUT_BYTES));
	size_t n;

	if (f == NULL)
		fail("cannot read", path);
	n = fread(p, 1, MAX_INPUT_BYTES, f);
	if (ferror(f))
		fail("cannot read", path);
	fclose(f);
	out->p = must(realloc(p, n > 0 ? n : 1));
	out->n = n;
}

static void add_seed(const char *path)
{
	if (n_seeds == MAX_SEEDS) {
		errno = E2BIG;
		fail("too many seeds at", path);
	}
	read_file(path, &seeds[n_seeds++]);
}

static int is_visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* In the order of names, so that a run can be repeated. */
static void add_seeds(const char *path)
{
	struct dirent **entries;
	struct stat st;
	int n;

	if (stat(path, &st) != 0)
		fail("cannot read", path);
	if (!S_ISDIR(st.st_mode)) {
		add_seed(path);
		return;
	}
	n = scandir(path, &entries, is_visible, alphasort);
	if (n < 0)
		fail("cannot read", path);
	for (int i = 0; i < n; i++) {
		char *inner;

		if (asprintf(&inner, "%s/%s", path, entries[i]->d_name) < 0)
			fail("no memory", "");
		add_seed(inner);
		free(inner);
		free(entries[i]);
	}
	free(entries);
}

/* One line of a libFuzzer dictionary: name="text with \\, \" and \xAB". */
static void add_word(const char *line)
{
	const char *p = strchr(line, '"'), *end = strrchr(line, '"');
	struct bytes *w = &words[n_words];
	unsigned code;

	if (line[0] == '#' || p == NULL || end == p || n_words == MAX_WORDS)
		return;
	w->p = must(malloc(strlen(p)));
	w->n = 0;
	for (p++; p < end; p++) {
		if (*p != '\\') {
			w->p[w->n++] = (uint8_t)*p;
		} else if (p[1] == 'x' && sscanf(p + 2, "%2x", &code) == 1) {
			w->p[w->n++] = (uint8_t)code;
			p += 3;
		} else {
			w->p[w->n++] = (uint8_t) * ++p;
		}
	}
	n_words++;
}

static void read_dictionary(const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;

	if (f == NULL)
		fail("cannot read", path);
	while (getline(&line, &cap, f) >= 0)
		add_word(line);
	free(line);
	fclose(f);
}

static size_t roll(size_t below)
{
	dice = dice * 6364136223846793005u + 1442695040888963407u;
	return below == 0 ? 0 : (size_t)(dice >> 33) % below;
}

/* Replaces `cut` bytes at `at` by others. */
static void replace(struct bytes *b, size_t at, size_t cut, const uint8_t *put, size_t n)
{
	uint8_t *p;

	if (b->n - cut + n > MAX_INPUT_BYTES)
		return;
	p = must(malloc(b->n - cut + n + 1));
	memcpy(p, b->p, at);
	if (n > 0)
		memcpy(p + at, put, n);
	memcpy(p + at + n, b->p + at + cut, b->n - at - cut);
	free(b->p);
	b->p = p;
	b->n += n - cut;
}

static void mutate(struct bytes *b)
{
	static const uint8_t special[] = {0, 1, '\t', '\n', '\r', ' ', '"', '\'', ',', '/', '0',
		'9', ':', ';', '=', '[', '\\', ']', '{', '}', 0x7f, 0x80, 0xc2, 0xe2, 0xff};
	size_t at = roll(b->n + 1), len = roll(16) + 1;
	const struct bytes *from;

	if (len > b->n - at)
		len = b->n - at;
	switch (roll(8)) {
	case 0:
		if (at < b->n)
			b->p[at] ^= (uint8_t)(1u << roll(8));
		break;
	case 1:
		replace(b, at, at < b->n ? roll(2) : 0, &special[roll(sizeof(special))], 1);
		break;
	case 2:
		replace(b, at, len, NULL, 0);
		break;
	case 3: /* the rest is missing */
		replace(b, at, b->n - at, NULL, 0);
		break;
	case 4: /* a piece comes twice */
		replace(b, at, 0, b->p + at, len);
		break;
	case 5: /* a piece of another seed */
		from = &seeds[roll(n_seeds)];
		at = roll(b->n + 1);
		if (from->n > 0) {
			size_t start = roll(from->n);

			replace(b, at, 0, from->p + start, roll(from->n - start) + 1);
		}
		break;
	default:
		if (n_words > 0) {
			from = &words[roll(n_words)];
			replace(b, at, roll(3) == 0 ? len : 0, from->p, from->n);
		}
		break;
	}
}

/* In a block of exactly its size, so that one byte too far is seen. */
static void run(const struct bytes *input)
{
	current.n = input->n;
	current.p = must(malloc(input->n > 0 ? input->n : 1));
	memcpy(current.p, input->p, input->n);
	LLVMFuzzerTestOneInput(current.p, current.n);
	free(current.p);
	current = (struct bytes){NULL, 0};
}

static void run_mutations(size_t seed, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++) {
		struct bytes b = {must(malloc(seeds[seed].n + 1)), seeds[seed].n};
		size_t changes;

		dice = (uint64_t)seed << 32 | i;
		changes = 1 + roll(4);
		memcpy(b.p, seeds[seed].p, b.n);
		while (changes-- > 0)
			mutate(&b);
		run(&b);
		free(b.p);
	}
}

int main(int argc, char **argv)
{
	unsigned long n = 0;
	int option;

	while ((option = getopt(argc, argv, "m:d:")) != -1) {
		if (option == 'm')
			n = strtoul(optarg, NULL, 10);
		else if (option == 'd')
			read_dictionary(optarg);
		else
			return 2;
	}
	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = optind; i < argc; i++)
		add_seeds(argv[i]);
	if (n_seeds == 0) {
		fprintf(stderr, "replay: no seeds\n");
		return 2;
	}
	watch_for_death();
	run(&(struct bytes){(uint8_t *)"", 0});
	for (size_t i = 0; i < n_seeds; i++) {
		run(&seeds[i]);
		run_mutations(i, n);
	}
	printf("%zu seeds, %lu mutations of each, %zu words: ok\n", n_seeds, n, n_words);
	for (size_t i = 0; i < n_seeds; i++)
		free(seeds[i].p);
	for (size_t i = 0; i < n_words; i++)
		free(words[i].p);
	return 0;
}
