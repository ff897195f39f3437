/*
 * What is damaged in a state is found, or does no harm: whatever is read is right.
 *
 * links: worker/store/ worker/kv/ common/disk.c common/crc.c common/mem.c common/buf.c common/wire.c common/err.c common/clock.c
 *	common/log.c common/random.c tests/common/mem_table.c tests/common/kv_drive.c tests/common/folder.c
 *	tests/common/store_case.c -lxxhash -ldb
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "common/random.h"
#include "tests/common/kv_drive.h"
#include "tests/common/mem_table.h"
#include "tests/common/store_case.h"
#include "worker/store/mark.h"

#define ENTRIES_MOST 16000
#define KEYS 8000 /* more than the cache has room for */
#define FLIPS 40 /* of each file */
#define CUTS 12

/* --- one state, and all that it was --- */

static struct kv_hash history[ENTRIES_MOST + 1]; /* by index */
static uint64_t last_checkpoint = 1200;
static uint64_t entries = 1500;
static char *whole; /* a copy of the data directory */

static void mixed_entry(struct drive *d, uint64_t index)
{
	struct buf steps = { 0 };
	uint8_t value[700];
	char key[16];

	memset(value, (int)index, sizeof(value));
	snprintf(key, sizeof(key), "key %d", (int)(index * 7919 % 700));
	if (index % 5 == 0)
		kv_delete_step(&steps, bytes_text(key));
	else
		kv_put_step(&steps, bytes_text(key), bytes_of(value, (size_t)index % 700), bytes_text(""));
	drive_write(d, index % 7 == 0 ? bytes_text(key) : bytes_text(""), NULL, &steps, NULL);
	buf_free(&steps);
}

/* First all keys, then the same again: no page comes or goes any more. */
static void plain_entry(struct drive *d, uint64_t index)
{
	struct buf steps = { 0 };
	uint8_t value[600];
	char key[16];

	memset(value, (int)(index * 31 / 7), sizeof(value));
	snprintf(key, sizeof(key), "key %d", (int)(index * 7919 % KEYS));
	kv_put_step(&steps, bytes_text(key), bytes_of(value, sizeof(value)), bytes_text(""));
	drive_write(d, bytes_text(""), NULL, &steps, NULL);
	buf_free(&steps);
}

static void (*make_entry)(struct drive *d, uint64_t index) = mixed_entry;

static void note_history(void)
{
	struct drive d;

	drive_start(&d, mem_table_new());
	for (uint64_t i = 1; i <= entries; i++) {
		make_entry(&d, i);
		history[i] = kv_meta(d.kv)->hash;
	}
	drive_stop(&d);
	mem_table_free(d.table);
}

/* Its last checkpoint is a while ago, and all since then is synced. */
static void make_state(void)
{
	struct drive d;

	drive_start(&d, store_enter());
	for (uint64_t i = 1; i <= entries; i++) {
		make_entry(&d, i);
		if (i == 400 || i == last_checkpoint)
			assert_int_equal(table_checkpoint(d.table), ERR_OK);
	}
	assert_int_equal(table_flush(d.table), ERR_OK);
	drive_stop(&d);
}

static void copy(const char *from, const char *to)
{
	char *command = xasprintf("rm -rf '%s' && cp -a '%s' '%s'", to, from, to);

	assert_int_equal(system(command), 0);
	free(command);
}

/* The process that makes it is killed: an end as it should be would make a checkpoint. */
static void make_whole(void)
{
	int status;
	pid_t child;

	whole = xasprintf("%s.whole", store_dir);
	if ((child = fork()) == 0) {
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		make_state();
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	copy(store_dir, whole);
}

static int setup(void **state)
{
	store_setup(state);
	make_whole();
	note_history();
	return 0;
}

static int teardown(void **state)
{
	char *command = xasprintf("rm -rf '%s'", whole);
	int bad = system(command);

	free(command);
	free(whole);
	return bad != 0 ? bad : store_teardown(state);
}

/* --- what a process says of it --- */

enum verdict { INTACT, DAMAGED, WRONG, CRASHED };

static enum verdict judge(enum err e)
{
	return e == ERR_DAMAGED ? DAMAGED : WRONG;
}

static bool look(void *arg, struct bytes key, struct bytes record)
{
	(void)key;
	(void)record;
	++*(uint64_t *)arg;
	return true;
}

/* All of it is read, something is written, and a checkpoint made. */
static enum verdict use(struct table *t)
{
	struct kv_hash hash;
	const struct kv_meta *meta;
	uint64_t count = 0;
	struct kv *kv;
	enum err e;

	for (enum kv_table table = TABLE_META; table <= TABLE_ACCESS; table++)
		if ((e = table_scan(t, table, bytes_text(""), look, &count)) != ERR_OK)
			return judge(e);
	if ((e = kv_open(&kv, t)) != ERR_OK)
		return judge(e);
	meta = kv_meta(kv);
	hash = drive_hash(t);
	if (meta->applied_index > entries || memcmp(&hash, &meta->hash, sizeof(hash)) != 0 ||
	    memcmp(&hash, &history[meta->applied_index], sizeof(hash)) != 0)
		return WRONG;
	if ((e = table_put(t, TABLE_KEYS, bytes_text("new"), bytes_text("x"))) != ERR_OK ||
	    (e = table_commit(t)) != ERR_OK || (e = table_checkpoint(t)) != ERR_OK)
		return judge(e);
	return INTACT;
}

static enum verdict verdict(void)
{
	struct table *t;
	enum err e;
	int status;
	pid_t child = fork();

	if (child == 0) {
		/* Without cmocka's handlers a crash is one. */
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		signal(SIGABRT, SIG_DFL);
		_exit((int)((e = store_try(&t)) != ERR_OK ? judge(e) : use(t)));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? (enum verdict)WEXITSTATUS(status) : CRASHED;
}

/* --- damage --- */

static char *path_of(const char *file)
{
	return xasprintf("%s/%s", store_dir, file);
}

static off_t size_of(const char *file)
{
	char *path = path_of(file);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	free(path);
	return st.st_size;
}

static char *log_file(unsigned number)
{
	return xasprintf("state.0/log.%010u", number);
}

static bool exists(const char *file)
{
	char *path = path_of(file);
	bool there = access(path, F_OK) == 0;

	free(path);
	return there;
}

static void find_logs(unsigned *first, unsigned *last)
{
	bool there = false;

	*first = 0;
	for (unsigned n = 1; n < 100; n++) {
		char *file = log_file(n);

		there = exists(file);
		free(file);
		if (there) {
			*first = *first == 0 ? n : *first;
			*last = n;
		}
	}
	assert_true(*first > 0);
	printf("# log files %u to %u\n", *first, *last);
}

static void truncate_to(const char *file, off_t size)
{
	char *path = path_of(file);

	assert_int_equal(truncate(path, size), 0);
	free(path);
}

static void flip(const char *file, off_t at, unsigned bit)
{
	char *path = path_of(file);
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= (uint8_t)(1U << bit);
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
	free(path);
}

struct tally {
	unsigned of[CRASHED + 1];
};

static void count(struct tally *t, const char *file, const char *what, off_t at)
{
	enum verdict v = verdict();

	t->of[v]++;
	if (v == WRONG || v == CRASHED)
		fail_msg("%s %s at %lld: %s", file, what, (long long)at, v == WRONG ? "wrong" : "crashed");
	copy(whole, store_dir);
}

static struct tally flip_many(const char *file, off_t most)
{
	struct random r = { 99 };
	struct tally t = { { 0 } };

	for (int i = 0; i < FLIPS; i++) {
		off_t at = (off_t)random_below(&r, (uint64_t)most);

		flip(file, at, (unsigned)random_below(&r, 8));
		count(&t, file, "flipped", at);
	}
	printf("# %s, bits flipped: %u found, %u did no harm\n", file, t.of[DAMAGED], t.of[INTACT]);
	return t;
}

static struct tally cut_many(const char *file)
{
	struct tally t = { { 0 } };
	off_t size = size_of(file);

	for (int i = 0; i < CUTS; i++) {
		off_t at = size * i / CUTS / 4096 * 4096;

		truncate_to(file, i % 2 == 0 ? at : at + 100);
		count(&t, file, "cut", at);
	}
	printf("# %s, cut: %u found, %u did no harm\n", file, t.of[DAMAGED], t.of[INTACT]);
	return t;
}

static enum verdict removed(const char *file)
{
	char *command = xasprintf("rm -r '%s/%s'", store_dir, file);
	enum verdict v;

	assert_int_equal(system(command), 0);
	free(command);
	v = verdict();
	copy(whole, store_dir);
	return v;
}

static void a_whole_state_is_intact(void **state)
{
	(void)state;
	assert_int_equal(verdict(), INTACT);
}

static void damage_of_pages_is_found(void **state)
{
	struct tally t;

	(void)state;
	t = flip_many("state.0/state.db", size_of("state.0/state.db"));
	assert_true(t.of[DAMAGED] > FLIPS / 2);
	t = cut_many("state.0/state.db");
	assert_int_equal(t.of[DAMAGED], CUTS);
	assert_int_equal(removed("state.0/state.db"), DAMAGED);
}

/* Berkeley DB took the damage for the end of its log, and pages that were ahead of it for those of that time. */
static void damage_of_the_log_before_what_pages_refer_to_is_no_torn_tail(void **state)
{
	struct tally t;

	(void)state;
	t = flip_many("state.0/log.0000000001", 1000000);
	assert_true(t.of[DAMAGED] > FLIPS / 4);
	t = cut_many("state.0/log.0000000001");
	assert_true(t.of[DAMAGED] > 0);
	assert_int_equal(removed("state.0/log.0000000001"), DAMAGED);
}

/* Of many files: Berkeley DB goes on without one in the middle where it believes that it does not need it. */
static void damage_of_any_of_many_log_files_is_found_or_does_no_harm(void **state)
{
	struct tally t = { { 0 } };
	unsigned first, last, files;

	teardown(state);
	store_setup(state);
	store_make_small_log_files();
	last_checkpoint = 400;
	make_whole();
	find_logs(&first, &last);
	for (unsigned n = first; n <= last; n++) {
		char *file = log_file(n);
		enum verdict v;

		v = removed(file);
		t.of[v]++;
		if (v == WRONG || v == CRASHED)
			fail_msg("%s removed: %s", file, v == WRONG ? "wrong" : "crashed");
		flip(file, size_of(file) / 3, 3);
		count(&t, file, "flipped", size_of(file) / 3);
		truncate_to(file, size_of(file) / 2);
		count(&t, file, "cut", size_of(file) / 2);
		free(file);
	}
	files = last - first + 1;
	printf("# %u log files, removed, flipped and cut: %u found, %u did no harm\n", files, t.of[DAMAGED],
	    t.of[INTACT]);
	assert_true(files > 5);
	assert_true(t.of[DAMAGED] >= files);
}

static struct mark_place marked(void)
{
	char *home = path_of("state.0");
	struct mark_place place;
	struct mark *m;

	assert_int_equal(mark_open(&m, home), ERR_OK);
	place = mark_place(m);
	mark_close(m);
	free(home);
	return place;
}

/* A page begins with the place of the record that changed it last: 0, or 0 and 1, where none is known. */
static void pages_are_behind(struct mark_place mark)
{
	char *path = path_of("state.0/state.db");
	FILE *f = fopen(path, "r");
	uint32_t page[1024];
	unsigned count = 0;

	assert_non_null(f);
	while (fread(page, sizeof(page), 1, f) == 1) {
		assert_true(page[0] < mark.file || (page[0] == mark.file && page[1] < mark.offset));
		count += page[0] > 0;
	}
	printf("# %u pages, all of them behind %u/%u\n", count, mark.file, mark.offset);
	assert_true(count > 100);
	fclose(f);
	free(path);
}

/* Nothing there is taken for a torn tail, whether a page refers to it or not. */
static void all_before_is_damage(struct mark_place mark)
{
	struct random r = { 13 };
	char *file = log_file(mark.file);

	for (int i = 0; i < 6; i++) {
		flip(file, (off_t)random_below(&r, mark.offset), 5);
		assert_int_equal(verdict(), DAMAGED);
		copy(whole, store_dir);
	}
	free(file);
}

/* Pages that the cache has no room for are written at any time. Berkeley DB went back to the damage, and had pages of
 * later in a state of that time: it was never like this, and no node would have agreed. */
static void a_page_that_is_ahead_of_a_damaged_log_is_no_part_of_an_older_state(void **state)
{
	struct random r = { 12 };
	struct tally t = { { 0 } };
	unsigned first, last;

	teardown(state);
	store_setup(state);
	make_entry = plain_entry;
	entries = 2 * KEYS;
	last_checkpoint = KEYS;
	make_whole();
	note_history();
	find_logs(&first, &last);
	pages_are_behind(marked());
	all_before_is_damage(marked());
	for (int i = 0; i < 12; i++) {
		char *file = log_file(first + (unsigned)random_below(&r, last - first + 1));
		off_t at = (off_t)random_below(&r, 3000000);

		flip(file, at, 5);
		count(&t, file, "flipped", at);
		free(file);
	}
	printf("# pages ahead of a damaged log: %u found, %u did no harm\n", t.of[DAMAGED], t.of[INTACT]);
	assert_true(t.of[DAMAGED] > 6);
}

/* One copy of two is enough. */
static void damage_of_the_mark_does_no_harm(void **state)
{
	struct tally t;

	(void)state;
	t = flip_many("state.0/synced", 16);
	assert_int_equal(t.of[INTACT], FLIPS);
	flip("state.0/synced", 0, 0);
	flip("state.0/synced", 4096, 0);
	assert_int_equal(verdict(), DAMAGED);
	copy(whole, store_dir);
	assert_int_equal(removed("state.0/synced"), DAMAGED);
}

static void what_is_missing_is_not_made_anew(void **state)
{
	char *link = path_of("state");

	(void)state;
	assert_int_equal(removed("state.0"), DAMAGED);
	/* It is found without. */
	assert_int_equal(removed("state"), INTACT);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(symlink("nowhere", link), 0);
	assert_int_equal(verdict(), DAMAGED);
	copy(whole, store_dir);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(mkdir(link, 0700), 0);
	assert_int_equal(verdict(), DAMAGED);
	free(link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_state_is_intact),
		cmocka_unit_test(damage_of_pages_is_found),
		cmocka_unit_test(damage_of_the_log_before_what_pages_refer_to_is_no_torn_tail),
		cmocka_unit_test(damage_of_the_mark_does_no_harm),
		cmocka_unit_test(what_is_missing_is_not_made_anew),
		cmocka_unit_test(damage_of_any_of_many_log_files_is_found_or_does_no_harm),
		cmocka_unit_test(a_page_that_is_ahead_of_a_damaged_log_is_no_part_of_an_older_state),
	};

	return cmocka_run_group_tests_name("store damage", tests, setup, teardown);
}
