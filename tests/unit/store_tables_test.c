/*
 * States that are built, adopted, dropped and set aside.
 *
 * links: worker/store/ worker/kv/ common/disk.c common/crc.c common/mem.c common/buf.c common/wire.c common/err.c common/clock.c
 *	common/log.c common/random.c tests/common/mem_table.c tests/common/kv_drive.c tests/common/kv_random.c
 *	tests/common/image_copy.c tests/common/folder.c tests/common/store_case.c -lxxhash -ldb
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "tests/common/folder.h"
#include "tests/common/image_copy.h"
#include "tests/common/kv_random.h"
#include "tests/common/mem_table.h"
#include "tests/common/store_case.h"
#include "worker/store/mark.h"
#include "worker/store/store.h"

#define T(text) bytes_text(text)

/* --- what the tests see of writes and syncs: the program's own come before those of the C library, for Berkeley DB too */

#define FILES_MAX 32

static struct {
	uint64_t syncs_left; /* until one fails; 0: none */
	bool full; /* no write finds space */
	bool short_of_space; /* only half of a write does */
	unsigned relieved;
	/* Paths with something that no sync covers: content of files, names in directories. */
	char *unsynced[FILES_MAX];
	bool watched;
	unsigned too_early; /* the link was renamed while there were any */
	unsigned renamed;
} disk;

static void note_unsynced(const char *path)
{
	size_t room = FILES_MAX;

	for (size_t i = FILES_MAX; i-- > 0;) {
		if (disk.unsynced[i] == NULL)
			room = i;
		else if (strcmp(disk.unsynced[i], path) == 0)
			return;
	}
	assert_true(room < FILES_MAX);
	disk.unsynced[room] = strdup(path);
}

static void note_synced(const char *path)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		if (disk.unsynced[i] != NULL && strcmp(disk.unsynced[i], path) == 0) {
			free(disk.unsynced[i]);
			disk.unsynced[i] = NULL;
		}
}

static bool fails_to_write(int fd)
{
	char path[256];

	if (disk.watched) {
		store_path_of(fd, path, sizeof(path));
		note_unsynced(path);
	}
	if (disk.full)
		errno = ENOSPC;
	return disk.full;
}

ssize_t write(int fd, const void *from, size_t size)
{
	return fd > 2 && fails_to_write(fd) ? -1 : syscall(SYS_write, fd, from, size);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t offset)
{
	return fails_to_write(fd)
		   ? -1
		   : syscall(SYS_pwrite64, fd, from, disk.short_of_space ? size / 2 : size, offset);
}

static int sync_by(long call, int fd)
{
	char path[256];

	if (disk.syncs_left > 0 && --disk.syncs_left == 0) {
		errno = EIO;
		return -1;
	}
	store_path_of(fd, path, sizeof(path));
	note_synced(path);
	return (int)syscall(call, fd);
}

int fsync(int fd)
{
	return sync_by(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return sync_by(SYS_fdatasync, fd);
}

/* Of what is in the directories of states. */
int rename(const char *from, const char *to)
{
	bool link = strlen(to) > 6 && strcmp(to + strlen(to) - 6, "/state") == 0;

	disk.renamed += link;
	for (size_t i = 0; link && i < FILES_MAX; i++)
		disk.too_early += disk.unsynced[i] != NULL && strstr(disk.unsynced[i], "/state.") != NULL;
	return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

/* --- states --- */

static int setup(void **state)
{
	memset(&disk, 0, sizeof(disk));
	return store_setup(state);
}

static struct table *make(void)
{
	struct table *t;

	assert_int_equal(tables_make(store_tables, &t), ERR_OK);
	return t;
}

static void fill(struct table *t, const char *value, unsigned count)
{
	char key[16];

	for (unsigned i = 0; i < count; i++) {
		snprintf(key, sizeof(key), "%06u", i);
		assert_int_equal(table_put(t, TABLE_KEYS, T(key), T(value)), ERR_OK);
	}
	assert_int_equal(table_commit(t), ERR_OK);
}

static struct {
	char value[32];
	unsigned count;
	bool mixed;
} seen;

static bool see(void *arg, struct bytes key, struct bytes record)
{
	(void)arg;
	(void)key;
	if (seen.count++ == 0)
		snprintf(seen.value, sizeof(seen.value), "%.*s", (int)record.size, record.data);
	seen.mixed |= !bytes_equal(record, T(seen.value));
	return true;
}

/* What all of its records say. */
static const char *value_of(struct table *t)
{
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(table_scan(t, TABLE_KEYS, T(""), see, NULL), ERR_OK);
	assert_false(seen.mixed);
	return seen.value;
}

/* The names in the data directory that begin with "state", in order. */
static const char *names(void)
{
	static char text[512];
	struct dirent **found;
	int count = scandir(store_dir, &found, NULL, alphasort);

	text[0] = '\0';
	for (int i = 0; i < count; i++) {
		if (strncmp(found[i]->d_name, "state", 5) == 0 || strncmp(found[i]->d_name, "BDB", 3) == 0) {
			strcat(text, text[0] == '\0' ? "" : " ");
			strcat(text, found[i]->d_name);
		}
		free(found[i]);
	}
	free(found);
	return text;
}

static void an_adopted_state_takes_the_place_of_the_other(void **state)
{
	struct table *old = store_enter(), *new = make();

	(void)state;
	fill(old, "old", 100);
	fill(new, "new", 3000);
	assert_string_equal(value_of(old), "old");
	assert_string_equal(names(), "state state.0 state.1");
	assert_int_equal(tables_adopt(store_tables, new), ERR_OK);
	assert_string_equal(value_of(old), "old");
	tables_drop(store_tables, old);
	assert_string_equal(names(), "state state.1");
	/* It has units now. */
	assert_int_equal(table_put(new, TABLE_KEYS, T("lost"), T("x")), ERR_OK);
	tables_drop(store_tables, new);
	store_free(store_tables);
	new = store_enter();
	assert_string_equal(value_of(new), "new");
	assert_int_equal(seen.count, 3000);
	assert_string_equal(names(), "state state.1");
	fill(new, "newer", 3000);
	assert_int_equal(table_checkpoint(new), ERR_OK);
	store_leave(new);
	new = store_enter();
	assert_string_equal(value_of(new), "newer");
	store_leave(new);
}

static void what_was_not_adopted_is_gone(void **state)
{
	struct table *old = store_enter(), *new = make(), *other = make();

	(void)state;
	fill(old, "old", 10);
	fill(new, "new", 10);
	fill(other, "other", 10);
	assert_string_equal(names(), "state state.0 state.1 state.2");
	tables_drop(store_tables, other);
	assert_string_equal(names(), "state state.0 state.1");
	tables_close(store_tables, new);
	store_leave(old);
	old = store_enter();
	assert_string_equal(names(), "state state.0");
	assert_string_equal(value_of(old), "old");
	new = make();
	assert_string_equal(value_of(new), "");
	tables_drop(store_tables, new);
	tables_drop(store_tables, NULL);
	store_leave(old);
}

/* D14: after the rename there is no other state any more. */
static void d14_a_state_is_synced_before_the_link_names_it(void **state)
{
	struct table *old, *new;

	(void)state;
	disk.watched = true;
	old = store_enter();
	assert_int_equal(disk.renamed, 1);
	assert_int_equal(disk.too_early, 0);
	new = make();
	fill(new, "new", 3000);
	assert_int_equal(tables_adopt(store_tables, new), ERR_OK);
	assert_int_equal(disk.renamed, 2);
	assert_int_equal(disk.too_early, 0);
	tables_drop(store_tables, old);
	store_leave(new);
	for (size_t i = 0; i < FILES_MAX; i++)
		free(disk.unsynced[i]);
}

/* The process ends then; the next one finds the old state or the new. */
static void a_sync_that_fails_leaves_the_old_state_or_the_new(void **state)
{
	unsigned failed = 0;
	bool over = false;

	(void)state;
	for (uint64_t n = 1; !over; n++) {
		pid_t child;
		int status;

		if ((child = fork()) == 0) {
			struct table *old = store_enter(), *new;

			fill(old, "old", 100);
			assert_int_equal(table_checkpoint(old), ERR_OK);
			new = make();
			fill(new, "new", 300);
			disk.syncs_left = n;
			_exit((int)tables_adopt(store_tables, new));
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		over = WEXITSTATUS(status) == ERR_OK;
		failed += !over;
		if (!over)
			assert_int_equal(WEXITSTATUS(status), ERR_IO);

		struct table *t = store_enter();
		const char *value = value_of(t);

		assert_true(strcmp(value, "old") == 0 || strcmp(value, "new") == 0);
		assert_int_equal(seen.count, value[0] == 'o' ? 100 : 300);
		store_leave(t);
		folder_remove(store_dir);
		store_setup(state);
	}
	assert_true(failed >= 5);
}

/* --- killed at any time --- */

/* What the killed one tells of its lives. */
struct witness {
	volatile unsigned adopted;
};

static void live(struct witness *w)
{
	struct table *t, *new;
	char value[16];

	setenv("CMOCKA_TEST_ABORT", "1", 1);
	for (t = store_enter();; t = new) {
		snprintf(value, sizeof(value), "%u", w->adopted + 1);
		new = make();
		fill(new, value, 400);
		assert_int_equal(tables_adopt(store_tables, new), ERR_OK);
		w->adopted++;
		tables_drop(store_tables, t);
	}
}

static void s2_kill_9_at_any_time_leaves_a_whole_state(void **state)
{
	struct witness *w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct random r = { 3 };

	(void)state;
	assert_ptr_not_equal(w, MAP_FAILED);
	for (int round = 0; round < 25; round++) {
		unsigned found;
		struct table *t;
		int status;
		pid_t child = fork();

		if (child == 0)
			live(w);
		if (random_below(&r, 8) > 0)
			for (unsigned i = 0, before = w->adopted; i < 10000 && w->adopted == before; i++)
				usleep(1000);
		usleep((useconds_t)random_below(&r, 60000));
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		t = store_enter();
		found = (unsigned)atoi(value_of(t));
		assert_in_range(found, w->adopted, w->adopted + 1);
		assert_int_equal(seen.count, found == 0 ? 0 : 400);
		w->adopted = found;
		store_leave(t);
		assert_int_equal(strchr(names(), '.') == strrchr(names(), '.'), true);
	}
	assert_true(w->adopted > 10);
	munmap(w, sizeof(*w));
}

/* --- scratch --- */

static long anonymous_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kib = 0;

	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "RssAnon: %ld", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

#define SCRATCH_RECORDS 100000

/* 60 MB in no order of keys. */
/* The address sanitizer asks this. Else it keeps up to 256 MiB of what was freed, and what is measured here is that. */
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=1";
}

static void a_scratch_table_takes_little_memory_and_leaves_nothing(void **state)
{
	struct table *t = store_enter(), *scratch;
	struct buf got = { 0 };
	uint8_t record[600];
	long before;

	(void)state;
	assert_int_equal(tables_scratch(store_tables, &scratch), ERR_OK);
	before = anonymous_kib();
	for (unsigned i = 0; i < SCRATCH_RECORDS; i++) {
		unsigned key = i * 2654435761U;

		memset(record, (int)i, sizeof(record));
		assert_int_equal(table_put(scratch, TABLE_KEYS, bytes_of(&key, sizeof(key)),
				     bytes_of(record, sizeof(record))),
		    ERR_OK);
	}
	assert_in_range(anonymous_kib() - before, 0, 24 * 1024);
	for (unsigned i = 0; i < SCRATCH_RECORDS; i += 1009) {
		unsigned key = i * 2654435761U;

		buf_clear(&got);
		assert_int_equal(table_get(scratch, TABLE_KEYS, bytes_of(&key, sizeof(key)), &got), ERR_OK);
		assert_int_equal(got.size, sizeof(record));
		assert_int_equal(got.data[77], (uint8_t)i);
	}
	assert_string_equal(names(), "state state.0");
	tables_drop(store_tables, scratch);
	assert_string_equal(names(), "state state.0");
	store_leave(t);
	buf_free(&got);
}

/* --- no space --- */

static bool relieve(struct disk_relief *r)
{
	(void)r;
	disk.relieved++;
	disk.full = false;
	return true;
}

/* The worst that a load may do is to fail: neither may it take what is put by, nor end the process. */
static void a_load_without_space_takes_nothing_of_what_is_put_by(void **state)
{
	struct disk_relief relief = { relieve };
	struct disk on = { .relief = &relief };
	struct table *old, *new, *scratch;
	enum err e = ERR_OK;
	char key[16];

	(void)state;
	store_tables = store_new(&(struct store_options){ .data_dir = store_dir,
	    .cache_bytes = STORE_CASE_CACHE_BYTES,
	    .log_file_bytes = STORE_LOG_FILE_LEAST,
	    .disk = &on });
	assert_int_equal(tables_open(store_tables, &old), ERR_OK);
	new = make();
	assert_int_equal(tables_scratch(store_tables, &scratch), ERR_OK);
	disk.full = true;
	for (unsigned i = 0; e == ERR_OK && i < 1000000; i++) {
		snprintf(key, sizeof(key), "%06u", i);
		e = table_put(new, TABLE_KEYS, T(key), T("a value that is long enough to fill many pages"));
	}
	assert_int_equal(e, ERR_NO_SPACE);
	e = ERR_OK;
	for (unsigned i = 0; e == ERR_OK && i < 1000000; i++) {
		snprintf(key, sizeof(key), "%06u", i);
		e = table_put(scratch, TABLE_KEYS, T(key), T("a value that is long enough to fill pages"));
	}
	assert_int_equal(e, ERR_NO_SPACE);
	assert_int_equal(disk.relieved, 0);
	tables_drop(store_tables, scratch);
	assert_int_equal(tables_adopt(store_tables, new), ERR_NO_SPACE);
	assert_int_equal(disk.relieved, 0);
	tables_drop(store_tables, new);
	fill(old, "old", 100);
	assert_int_equal(table_flush(old), ERR_OK);
	assert_int_equal(disk.relieved, 1);
	store_leave(old);
	old = store_enter();
	assert_string_equal(value_of(old), "old");
	assert_string_equal(names(), "state state.0");
	store_leave(old);
}

/* --- set aside --- */

static void a_state_that_is_set_aside_is_kept_and_an_empty_one_begins(void **state)
{
	struct table *t = store_enter();
	char path[128];

	(void)state;
	fill(t, "old", 10);
	store_leave(t);
	store_tables = store_case_new(store_dir);
	assert_int_equal(tables_set_aside(store_tables, "2026-11-21"), ERR_OK);
	assert_int_equal(tables_set_aside(store_tables, "2026-11-22"), ERR_NOT_FOUND);
	assert_string_equal(names(), "state-2026-11-21 state.0-2026-11-21");
	assert_int_equal(tables_open(store_tables, &t), ERR_OK);
	assert_string_equal(value_of(t), "");
	store_leave(t);
	t = store_enter();
	assert_string_equal(names(), "state state-2026-11-21 state.0 state.0-2026-11-21");
	store_leave(t);
	/* Whatever it is that is in its place. */
	snprintf(path, sizeof(path), "%s/state", store_dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("elsewhere", path), 0);
	assert_int_equal(store_try(&t), ERR_DAMAGED);
	store_tables = store_case_new(store_dir);
	assert_int_equal(tables_set_aside(store_tables, "2026-11-23"), ERR_OK);
	assert_int_equal(tables_open(store_tables, &t), ERR_OK);
	store_leave(t);
}

/* --- an image from one to the other --- */

static void add_entries(struct drive *d, struct random *r, unsigned count)
{
	struct buf command = { 0 };

	for (unsigned i = 0; i < count; i++) {
		buf_clear(&command);
		kv_random_command(r, &command);
		d->time_ms += random_below(r, 5000);
		drive_command(d, buf_bytes(&command), random_below(r, 4) == 0);
	}
	buf_free(&command);
}

static void s6_an_image_goes_from_one_state_into_another_on_disk(void **state)
{
	struct random r = { 1 }, again = r;
	struct drive d, model, loaded;
	struct image_copy copy;
	struct table *scratch;
	struct buf one = { 0 }, two = { 0 };

	(void)state;
	drive_start(&d, store_enter());
	drive_start(&model, mem_table_new());
	add_entries(&d, &r, 800);
	add_entries(&model, &again, 800);
	assert_int_equal(tables_scratch(store_tables, &scratch), ERR_OK);
	image_copy_begin(&copy, d.kv, scratch, 1);
	while (image_copy_more(&copy, 500))
		add_entries(&d, &r, 20);
	drive_start(&loaded, make());
	assert_int_equal(image_copy_load(&copy, loaded.table, &r), ERR_OK);
	tables_drop(store_tables, image_copy_end(&copy));
	assert_int_equal(tables_adopt(store_tables, loaded.table), ERR_OK);
	drive_reopen(&loaded);
	drive_stop(&d);
	tables_drop(store_tables, d.table);
	loaded.time_ms = model.time_ms;
	again = r;
	add_entries(&loaded, &r, 500);
	add_entries(&model, &again, 500);
	assert_int_equal(kv_commit(loaded.kv), ERR_OK);
	drive_stop(&loaded);
	store_leave(loaded.table);
	drive_start(&loaded, store_enter());
	assert_memory_equal(kv_meta(model.kv), kv_meta(loaded.kv), sizeof(struct kv_meta));
	for (enum kv_table table = TABLE_KEYS; table <= TABLE_ACCESS; table++) {
		drive_dump(model.table, table, &one);
		drive_dump(loaded.table, table, &two);
	}
	assert_true(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
	drive_check_hash(&loaded);
	drive_stop(&loaded);
	drive_stop(&model);
	store_leave(loaded.table);
	mem_table_free(model.table);
	buf_free(&one);
	buf_free(&two);
}

/* A short write sets no errno: what is there is of some earlier call. */
static void short_write_of_the_mark_is_not_blamed_on_an_earlier_error(void **state)
{
	struct mark *m;

	(void)state;
	assert_int_equal(mark_make(store_dir), ERR_OK);
	assert_int_equal(mark_open(&m, store_dir), ERR_OK);
	disk.short_of_space = true;
	errno = ENOENT;
	assert_int_equal(mark_raise(m, (struct mark_place){ 1, 2 }), ERR_IO);
	disk.short_of_space = false;
	assert_int_equal(mark_raise(m, (struct mark_place){ 1, 2 }), ERR_OK);
	mark_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, store_teardown)
		TEST(short_write_of_the_mark_is_not_blamed_on_an_earlier_error),
		TEST(an_adopted_state_takes_the_place_of_the_other),
		TEST(what_was_not_adopted_is_gone),
		TEST(d14_a_state_is_synced_before_the_link_names_it),
		TEST(a_sync_that_fails_leaves_the_old_state_or_the_new),
		TEST(s2_kill_9_at_any_time_leaves_a_whole_state),
		TEST(a_scratch_table_takes_little_memory_and_leaves_nothing),
		TEST(a_load_without_space_takes_nothing_of_what_is_put_by),
		TEST(a_state_that_is_set_aside_is_kept_and_an_empty_one_begins),
		TEST(s6_an_image_goes_from_one_state_into_another_on_disk),
	};

	return cmocka_run_group_tests_name("store tables", tests, NULL, NULL);
}
