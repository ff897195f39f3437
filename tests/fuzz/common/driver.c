#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/crc.h"
#include "common/random.h"
#include "tests/fuzz/common/fuzz.h"

/*
 * In place of libFuzzer, where there is none, and in `make check`, where runs must repeat: hands the target every file of
 * its corpus, then mutations of them that follow from a seed. Prints TAP.
 *
 *	NAME [--mutations N] [--seconds N] [--seed N] [--keep DIR] FILE|DIR...
 *
 * The target runs in a child; the input at work lies in memory shared with it, so that whatever ends the child, the
 * input is there to be kept as DIR/NAME-CRC. An input that takes more than a second of processor time or makes the
 * process hold more than 1 GiB is a finding as well.
 */
#define INPUT_BYTES_MAX ((size_t)256 * 1024)
#define INPUT_SECONDS_MAX 1
#define HANG_SECONDS 20 /* by the clock, for what sleeps */
#define MEMORY_KIB_MAX (1024L * 1024)

struct at_work {
	uint64_t runs;
	char complaint[64]; /* of the driver about the target */
	size_t size;
	uint8_t data[INPUT_BYTES_MAX];
};

struct inputs {
	struct buf *list;
	size_t count;
};

static struct {
	const char *name, *keep;
	uint64_t mutations, seconds, seed;
	struct inputs kept;
	struct at_work *work;
} driver = { .keep = "build/fuzz", .mutations = 2000, .seed = 1 };

/* --- the corpus --- */

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", driver.name, what, strerror(errno));
	exit(1);
}

static void load_file(const char *path)
{
	struct inputs *in = &driver.kept;
	FILE *f = fopen(path, "re");
	struct buf *b;
	size_t got;

	if (f == NULL)
		fail(path);
	in->list = xreallocarray(in->list, in->count + 1, sizeof(*in->list));
	b = &in->list[in->count++];
	*b = (struct buf){ 0 };
	do
		b->size += got = fread(buf_reserve(b, 4096), 1, 4096, f);
	while (got > 0 && b->size < INPUT_BYTES_MAX);
	if (b->size > INPUT_BYTES_MAX)
		b->size = INPUT_BYTES_MAX;
	fclose(f);
}

static int is_visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static void load(const char *path)
{
	struct dirent **names;
	int count = scandir(path, &names, is_visible, alphasort);

	if (count == -1 && errno == ENOTDIR) {
		load_file(path);
		return;
	}
	if (count == -1)
		fail(path);
	for (int i = 0; i < count; i++) {
		char *file = xasprintf("%s/%s", path, names[i]->d_name);

		load_file(file);
		free(file);
		free(names[i]);
	}
	free(names);
}

/* --- mutations --- */

static void exchange(struct buf *b, size_t at, size_t drop, struct bytes in)
{
	struct buf made = { 0 };

	buf_append(&made, bytes_of(b->data, at));
	buf_append(&made, in);
	buf_append(&made, bytes_of(b->data + at + drop, b->size - at - drop));
	if (made.size <= INPUT_BYTES_MAX) {
		buf_free(b);
		*b = made;
	} else
		buf_free(&made);
}

/* A piece of `of`, often short. */
static struct bytes piece(struct random *r, const struct buf *of, size_t *at)
{
	size_t room;

	*at = (size_t)random_below(r, of->size + 1);
	room = of->size - *at;
	if (room > 32 && random_below(r, 4) != 0)
		room = 32;
	return bytes_of(of->data + *at, (size_t)random_below(r, room + 1));
}

static void put_edge(struct random *r, struct buf *b, size_t at)
{
	static const uint64_t edges[] = { 0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
		INT64_MAX, UINT64_MAX - 1, UINT64_MAX };
	uint64_t edge = edges[random_below(r, sizeof(edges) / sizeof(edges[0]))];
	size_t size = (size_t)1 << random_below(r, 4);

	if (size > b->size - at)
		size = b->size - at;
	memcpy(b->data + at, &edge, size);
}

static void mutate(struct random *r, struct buf *b)
{
	const struct buf *other = &driver.kept.list[random_below(r, driver.kept.count)];
	size_t at, from;
	struct bytes some = piece(r, b, &at), theirs = piece(r, other, &from);
	uint8_t any = (uint8_t)random_next(r);

	switch (random_below(r, 6)) {
	case 0:
		if (at < b->size)
			b->data[at] ^= (uint8_t)(1 << random_below(r, 8));
		break;
	case 1:
		if (at < b->size)
			put_edge(r, b, at);
		break;
	case 2:
		exchange(b, at, some.size, (struct bytes){ NULL, 0 });
		break;
	case 3:
		exchange(b, at, 0, some);
		break;
	case 4:
		exchange(b, at, random_below(r, 2) == 0 ? some.size : 0, theirs);
		break;
	case 5:
		exchange(b, at, 0, bytes_of(&any, 1));
		break;
	}
}

/* --- running --- */

static void complain(const char *what)
{
	snprintf(driver.work->complaint, sizeof(driver.work->complaint), "%s", what);
	_exit(1);
}

static void run(struct bytes input)
{
	struct at_work *w = driver.work;
	clock_t began = clock();
	struct rusage usage;
	uint8_t *copy;

	w->size = input.size;
	if (input.size > 0)
		memcpy(w->data, input.data, input.size);
	alarm(HANG_SECONDS);
	/* Exactly as large, so that a byte read behind it is seen. */
	copy = xmalloc(input.size);
	if (input.size > 0)
		memcpy(copy, input.data, input.size);
	LLVMFuzzerTestOneInput(copy, input.size);
	free(copy);
	w->runs++;
	if (clock() - began > INPUT_SECONDS_MAX * CLOCKS_PER_SEC)
		complain("it takes more than a second of processor time");
	if (getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_maxrss > MEMORY_KIB_MAX)
		complain("the process holds more than 1 GiB");
}

static void run_kept(void)
{
	for (size_t i = 0; i < driver.kept.count; i++)
		run(buf_bytes(&driver.kept.list[i]));
}

static void run_mutations(void)
{
	struct random r = { driver.seed };
	time_t end = time(NULL) + (time_t)driver.seconds;
	struct buf b = { 0 };

	for (uint64_t n = 0; driver.seconds > 0 ? time(NULL) < end : n < driver.mutations; n++) {
		buf_clear(&b);
		buf_append(&b, buf_bytes(&driver.kept.list[random_below(&r, driver.kept.count)]));
		for (uint64_t i = 1 + random_below(&r, 6); i > 0; i--)
			mutate(&r, &b);
		run(buf_bytes(&b));
	}
	buf_free(&b);
}

static void keep_input(const char *why)
{
	struct bytes input = bytes_of(driver.work->data, driver.work->size);
	char *path = xasprintf("%s/%s-%08x", driver.keep, driver.name, (unsigned)crc32c(0, input));
	FILE *f = fopen(path, "we");

	if (f == NULL || fwrite(input.data, 1, input.size, f) != input.size || fclose(f) != 0)
		fail(path);
	printf("# %s; the input is kept as %s\n", why, path);
	free(path);
}

/* False when an input ended the child. */
static bool run_in_child(void (*what)(void))
{
	char why[80] = "the process ended";
	int status;
	pid_t child;

	fflush(stdout);
	driver.work->complaint[0] = '\0';
	if ((child = fork()) == 0) {
		what();
		exit(0); /* so that what was never freed is seen */
	}
	if (child == -1 || waitpid(child, &status, 0) == -1)
		fail("fork");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (driver.work->complaint[0] != '\0')
		snprintf(why, sizeof(why), "%s", driver.work->complaint);
	else if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "ended by signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	keep_input(why);
	return false;
}

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 10);
}

static void take_arguments(int argc, char **argv)
{
	int i;

	for (i = 1; i + 1 < argc && argv[i][0] == '-'; i += 2) {
		if (strcmp(argv[i], "--mutations") == 0)
			driver.mutations = number(argv[i + 1]);
		else if (strcmp(argv[i], "--seconds") == 0)
			driver.seconds = number(argv[i + 1]);
		else if (strcmp(argv[i], "--seed") == 0)
			driver.seed = number(argv[i + 1]);
		else if (strcmp(argv[i], "--keep") == 0)
			driver.keep = argv[i + 1];
		else
			break;
	}
	for (; i < argc; i++)
		load(argv[i]);
	if (driver.kept.count == 0) {
		fprintf(stderr, "%s [--mutations N] [--seconds N] [--seed N] [--keep DIR] FILE|DIR...\n",
		    driver.name);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	bool kept, mutated = true;

	driver.name = program_invocation_short_name;
	take_arguments(argc, argv);
	driver.work =
	    mmap(NULL, sizeof(*driver.work), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (driver.work == MAP_FAILED)
		fail("mmap");
	puts("1..2");
	kept = run_in_child(run_kept);
	printf("%sok 1 - %s: %zu inputs kept\n", kept ? "" : "not ", driver.name, driver.kept.count);
	driver.work->runs = 0;
	mutated = run_in_child(run_mutations);
	printf("%sok 2 - %s: %llu mutations of them, seed %llu\n", mutated ? "" : "not ", driver.name,
	    (unsigned long long)driver.work->runs, (unsigned long long)driver.seed);
	for (size_t i = 0; i < driver.kept.count; i++)
		buf_free(&driver.kept.list[i]);
	free(driver.kept.list);
	return kept && mutated ? 0 : 1;
}
