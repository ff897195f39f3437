/* links: common/disk.c common/disk_posix.c common/buf.c common/mem.c common/err.c common/log.c tests/common/child.c tests/common/folder.c */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/disk.h"
#include "tests/common/child.h"
#include "tests/common/folder.h"

/* --- a disk that records what is asked of it, and fails where it is told to --- */

struct recorder {
	struct disk disk;
	struct disk_file file;
	struct buf said;
	unsigned calls, fail_at; /* 0: never */
	enum err error;
	unsigned open_files;
};

static struct recorder *recorder_of(struct disk *d)
{
	return (struct recorder *)d;
}

static enum err record(struct disk *d, const char *what, const char *path)
{
	struct recorder *r = recorder_of(d);

	buf_printf(&r->said, "%s%s%s\n", what, path[0] ? " " : "", path);
	return ++r->calls == r->fail_at ? r->error : ERR_OK;
}

static enum err record_open(struct disk *d, const char *path, enum disk_open how, struct disk_file **out)
{
	enum err e = record(d, how == DISK_CREATE ? "create" : "open", path);

	if (e != ERR_OK)
		return e;
	recorder_of(d)->open_files++;
	*out = &recorder_of(d)->file;
	return ERR_OK;
}

static void record_close(struct disk_file *f)
{
	recorder_of(f->disk)->open_files--;
}

static enum err record_write(struct disk_file *f, uint64_t offset, struct bytes from)
{
	char *text = bytes_dup_text(from);
	enum err e = record(f->disk, offset == 0 ? "write" : "write elsewhere", text);

	free(text);
	return e;
}

static enum err record_sync(struct disk_file *f)
{
	return record(f->disk, "sync", "");
}

static enum err record_rename(struct disk *d, const char *from, const char *to)
{
	char *both = xasprintf("%s %s", from, to);
	enum err e = record(d, "rename", both);

	free(both);
	return e;
}

static enum err record_unlink(struct disk *d, const char *path)
{
	return record(d, "unlink", path);
}

static enum err record_sync_dir(struct disk *d, const char *path)
{
	return record(d, "sync_dir", path);
}

static const struct disk_ops recording = {
	.open = record_open,
	.close = record_close,
	.write = record_write,
	.sync = record_sync,
	.rename = record_rename,
	.unlink = record_unlink,
	.sync_dir = record_sync_dir,
};

/* Replaces dir/name on a disk whose call number `fail_at` has this error; the caller frees the record. */
static enum err replace(struct recorder *r, unsigned fail_at, enum err error)
{
	enum err e;

	*r = (struct recorder){ .disk = { .ops = &recording }, .fail_at = fail_at, .error = error };
	r->file.disk = &r->disk;
	e = disk_replace(&r->disk, "dir", "dir/name", bytes_text("content"));
	assert_int_equal(r->open_files, 0);
	return e;
}

#define REPLACE_STEPS 6

static void replace_syncs_before_it_renames_and_the_directory_after(void **state)
{
	struct recorder r;

	(void)state;
	assert_int_equal(replace(&r, 0, ERR_OK), ERR_OK);
	assert_string_equal(buf_text(&r.said), "unlink dir/name.new\n"
					       "create dir/name.new\n"
					       "write content\n"
					       "sync\n"
					       "rename dir/name.new dir/name\n"
					       "sync_dir dir\n");
	assert_int_equal(r.calls, REPLACE_STEPS);
	buf_free(&r.said);
}

static void replace_ends_at_the_first_failure_and_never_goes_on(void **state)
{
	(void)state;
	for (unsigned step = 1; step <= REPLACE_STEPS; step++) {
		struct recorder r;

		assert_int_equal(replace(&r, step, ERR_IO), ERR_IO);
		assert_int_equal(r.calls, step);
		buf_free(&r.said);
	}
}

static void replace_does_not_mind_that_no_crash_left_anything(void **state)
{
	struct recorder r;

	(void)state;
	assert_int_equal(replace(&r, 1, ERR_NOT_FOUND), ERR_OK);
	assert_int_equal(r.calls, REPLACE_STEPS);
	buf_free(&r.said);
}

/* --- the real disk, in a directory of its own --- */

struct place {
	char *path;
	struct disk *disk;
};

static int make_place(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));

	p->path = folder_new("disk");
	p->disk = disk_posix_new(p->path);
	*state = p;
	return p->disk == NULL ? -1 : 0;
}

static int remove_place(void **state)
{
	struct place *p = *state;

	disk_posix_free(p->disk);
	folder_remove(p->path);
	free(p);
	return 0;
}

static struct disk *disk_of(void **state)
{
	return ((struct place *)*state)->disk;
}

static void assert_content(struct disk *d, const char *path, const char *expected)
{
	struct buf content = { 0 };

	assert_int_equal(disk_read_whole(d, path, 1 << 20, &content), ERR_OK);
	assert_string_equal(buf_text(&content), expected);
	buf_free(&content);
}

static void make_file(struct disk *d, const char *path, const char *content)
{
	struct disk_file *f;

	assert_int_equal(disk_open(d, path, DISK_CREATE, &f), ERR_OK);
	assert_int_equal(disk_write(f, 0, bytes_text(content)), ERR_OK);
	disk_close(&f);
	assert_null(f);
}

static void open_asks_for_what_must_or_must_not_exist(void **state)
{
	struct disk *d = disk_of(state);
	struct disk_file *f;

	assert_int_equal(disk_open(d, "a", DISK_READ, &f), ERR_NOT_FOUND);
	assert_null(f);
	assert_int_equal(disk_open(d, "a", DISK_WRITE, &f), ERR_NOT_FOUND);
	make_file(d, "a", "content");
	assert_int_equal(disk_open(d, "a", DISK_CREATE, &f), ERR_EXISTS);
	assert_null(f);
	assert_int_equal(disk_open(d, "a", DISK_READ, &f), ERR_OK);
	disk_close(&f);
	disk_close(&f);
}

static void a_file_is_for_its_owner_only(void **state)
{
	struct place *p = *state;
	char *path = xasprintf("%s/a", p->path);
	struct stat st;

	make_file(p->disk, "a", "secret");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	free(path);
}

static void a_write_beyond_the_end_leaves_zeros(void **state)
{
	struct disk *d = disk_of(state);
	struct disk_file *f;
	uint8_t back[8];
	uint64_t size;
	size_t got;

	make_file(d, "a", "ab");
	assert_int_equal(disk_open(d, "a", DISK_WRITE, &f), ERR_OK);
	assert_int_equal(disk_write(f, 5, bytes_text("xyz")), ERR_OK);
	assert_int_equal(disk_sync(f), ERR_OK);
	assert_int_equal(disk_drop_cache(f), ERR_OK);
	assert_int_equal(disk_size(f, &size), ERR_OK);
	assert_int_equal(size, 8);
	assert_int_equal(disk_read(f, 0, back, sizeof(back), &got), ERR_OK);
	assert_int_equal(got, 8);
	assert_memory_equal(back, "ab\0\0\0xyz", 8);
	disk_close(&f);
}

static void a_read_is_short_only_at_the_end(void **state)
{
	struct disk *d = disk_of(state);
	struct disk_file *f;
	uint8_t back[8];
	size_t got;

	make_file(d, "a", "abc");
	assert_int_equal(disk_open(d, "a", DISK_READ, &f), ERR_OK);
	assert_int_equal(disk_read(f, 1, back, sizeof(back), &got), ERR_OK);
	assert_int_equal(got, 2);
	assert_memory_equal(back, "bc", 2);
	assert_int_equal(disk_read(f, 100, back, sizeof(back), &got), ERR_OK);
	assert_int_equal(got, 0);
	disk_close(&f);
}

static void a_rename_replaces(void **state)
{
	struct disk *d = disk_of(state);
	struct disk_file *f;

	make_file(d, "a", "old");
	make_file(d, "b", "new");
	assert_int_equal(disk_rename(d, "b", "a"), ERR_OK);
	assert_content(d, "a", "new");
	assert_int_equal(disk_open(d, "b", DISK_READ, &f), ERR_NOT_FOUND);
	assert_int_equal(disk_rename(d, "b", "a"), ERR_NOT_FOUND);
}

static void unlink_says_when_there_is_nothing(void **state)
{
	struct disk *d = disk_of(state);

	make_file(d, "a", "");
	assert_int_equal(disk_unlink(d, "a"), ERR_OK);
	assert_int_equal(disk_unlink(d, "a"), ERR_NOT_FOUND);
}

static void a_directory_may_be_there_already(void **state)
{
	struct disk *d = disk_of(state);

	assert_int_equal(disk_make_dir(d, "log"), ERR_OK);
	assert_int_equal(disk_make_dir(d, "log"), ERR_OK);
	assert_int_equal(disk_sync_dir(d, "log"), ERR_OK);
	assert_int_equal(disk_sync_dir(d, ""), ERR_OK);
	assert_int_equal(disk_sync_dir(d, "nowhere"), ERR_NOT_FOUND);
}

static void note_name(void *arg, const char *name)
{
	buf_printf(arg, "%s ", name);
}

static void a_list_names_everything_once(void **state)
{
	struct disk *d = disk_of(state);
	struct buf names = { 0 };

	make_file(d, "only", "");
	assert_int_equal(disk_list(d, "", note_name, &names), ERR_OK);
	assert_string_equal(buf_text(&names), "only ");
	assert_int_equal(disk_list(d, "nowhere", note_name, &names), ERR_NOT_FOUND);
	buf_free(&names);
}

static void read_whole_appends_and_refuses_what_is_too_long(void **state)
{
	struct disk *d = disk_of(state);
	struct buf content = { 0 };

	make_file(d, "a", "0123456789");
	make_file(d, "empty", "");
	buf_append_text(&content, "before ");
	assert_int_equal(disk_read_whole(d, "a", 9, &content), ERR_TOO_LARGE);
	assert_int_equal(disk_read_whole(d, "none", 9, &content), ERR_NOT_FOUND);
	assert_int_equal(disk_read_whole(d, "empty", 0, &content), ERR_OK);
	assert_int_equal(disk_read_whole(d, "a", 10, &content), ERR_OK);
	assert_string_equal(buf_text(&content), "before 0123456789");
	buf_free(&content);
}

static void replace_makes_and_replaces(void **state)
{
	struct disk *d = disk_of(state);

	make_file(d, "identity.new", "what a crash left, longer than what comes");
	assert_int_equal(disk_replace(d, "", "identity", bytes_text("first")), ERR_OK);
	assert_content(d, "identity", "first");
	assert_int_equal(disk_replace(d, "", "identity", bytes_text("second")), ERR_OK);
	assert_content(d, "identity", "second");
	assert_int_equal(disk_unlink(d, "identity.new"), ERR_NOT_FOUND);
}

static void a_renamed_data_directory_stays_the_same_disk(void **state)
{
	struct place *p = *state;
	char *moved = xasprintf("%s.moved", p->path);

	make_file(p->disk, "a", "content");
	assert_int_equal(rename(p->path, moved), 0);
	assert_content(p->disk, "a", "content");
	assert_int_equal(rename(moved, p->path), 0);
	free(moved);
}

static uint64_t allocated(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void what_is_resized_has_its_place(void **state)
{
	struct place *p = *state;
	char *path = xasprintf("%s/a", p->path);
	struct disk_file *f;
	uint64_t before, size;

	make_file(p->disk, "a", "content");
	assert_int_equal(disk_open(p->disk, "a", DISK_WRITE, &f), ERR_OK);
	assert_int_equal(disk_space(p->disk, &before), ERR_OK);
	assert_true(before > 0);
	assert_int_equal(disk_resize(f, 1 << 20), ERR_OK);
	assert_true(allocated(path) >= 1 << 20);
	assert_int_equal(disk_resize(f, 4), ERR_OK);
	assert_int_equal(disk_size(f, &size), ERR_OK);
	assert_int_equal(size, 4);
	assert_content(p->disk, "a", "cont");
	disk_close(&f);
	free(path);
}

static void open_nowhere(void *arg)
{
	struct disk *d = disk_posix_new("/nonexistent/holdfast");

	(void)arg;
	if (d != NULL)
		abort();
	disk_posix_free(d);
}

static void sync_what_cannot_be_synced(void *arg)
{
	struct disk *d = disk_posix_new("/proc/self/fd");
	struct disk_file *f;
	char name[16];
	int ends[2];

	(void)arg;
	if (pipe(ends) == -1)
		abort();
	snprintf(name, sizeof(name), "%d", ends[1]);
	if (disk_open(d, name, DISK_WRITE, &f) != ERR_OK || disk_sync(f) != ERR_IO)
		abort();
	disk_close(&f);
	disk_posix_free(d);
}

static void errors_are_logged_with_path_and_reason(void **state)
{
	struct buf said = { 0 };

	(void)state;
	assert_int_equal(child_run(open_nowhere, NULL, &said), 0);
	assert_non_null(
	    strstr(buf_text(&said), "error: cannot open the data directory /nonexistent/holdfast: No such"));
	buf_clear(&said);
	assert_int_equal(child_run(sync_what_cannot_be_synced, NULL, &said), 0);
	assert_non_null(strstr(buf_text(&said), "error: cannot sync "));
	assert_non_null(strstr(buf_text(&said), ": Invalid argument"));
	buf_free(&said);
}

#define POSIX_TEST(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replace_syncs_before_it_renames_and_the_directory_after),
		cmocka_unit_test(replace_ends_at_the_first_failure_and_never_goes_on),
		cmocka_unit_test(replace_does_not_mind_that_no_crash_left_anything),
		POSIX_TEST(open_asks_for_what_must_or_must_not_exist),
		POSIX_TEST(a_file_is_for_its_owner_only),
		POSIX_TEST(a_write_beyond_the_end_leaves_zeros),
		POSIX_TEST(a_read_is_short_only_at_the_end),
		POSIX_TEST(a_rename_replaces),
		POSIX_TEST(unlink_says_when_there_is_nothing),
		POSIX_TEST(a_directory_may_be_there_already),
		POSIX_TEST(a_list_names_everything_once),
		POSIX_TEST(read_whole_appends_and_refuses_what_is_too_long),
		POSIX_TEST(replace_makes_and_replaces),
		POSIX_TEST(a_renamed_data_directory_stays_the_same_disk),
		POSIX_TEST(what_is_resized_has_its_place),
		cmocka_unit_test(errors_are_logged_with_path_and_reason),
	};

	return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
