/*
 * links: worker/store/ worker/kv/ common/disk.c common/crc.c common/mem.c common/buf.c common/wire.c common/err.c common/clock.c
 *	common/log.c common/random.c tests/common/mem_table.c tests/common/kv_drive.c tests/common/kv_random.c
 *	tests/common/folder.c tests/common/store_case.c -lxxhash -ldb
 */
#define _GNU_SOURCE
#include <db.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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

#include "tests/common/kv_drive.h"
#include "tests/common/kv_random.h"
#include "tests/common/mem_table.h"
#include "tests/common/store_case.h"
#include "worker/store/store.h"

#define T(text) bytes_text(text)

static void put(struct table *t, const char *key, const char *record)
{
	assert_int_equal(table_put(t, TABLE_KEYS, T(key), T(record)), ERR_OK);
}

static void expect_record(struct table *t, const char *key, const char *record)
{
	struct buf got = { 0 };
	enum err e;

	buf_append_text(&got, "x");
	e = table_get(t, TABLE_KEYS, T(key), &got);
	assert_int_equal(e, record == NULL ? ERR_NOT_FOUND : ERR_OK);
	assert_string_equal(buf_text(&got) + 1, record == NULL ? "" : record);
	buf_free(&got);
}

static void what_is_committed_is_there_after_a_restart(void **state)
{
	struct table *t = store_enter();

	(void)state;
	put(t, "a", "1");
	put(t, "b", "2");
	expect_record(t, "a", "1");
	assert_int_equal(table_commit(t), ERR_OK);
	put(t, "a", "3");
	assert_int_equal(table_remove(t, TABLE_KEYS, T("b")), ERR_OK);
	expect_record(t, "b", NULL);
	store_leave(t);
	t = store_enter();
	expect_record(t, "a", "1");
	expect_record(t, "b", "2");
	assert_int_equal(table_flush(t), ERR_OK);
	assert_int_equal(table_checkpoint(t), ERR_OK);
	store_leave(t);
	t = store_enter();
	expect_record(t, "a", "1");
	store_leave(t);
}

static void recovery_says_how_far_it_is(void **state)
{
	struct table *t = store_enter();
	char key[16];

	(void)state;
	assert_int_equal(store_progress.times, 0);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "%u", i);
		put(t, key, "1");
		assert_int_equal(table_commit(t), ERR_OK);
	}
	store_leave(t);
	store_leave(store_enter());
	assert_true(store_progress.times > 1000);
	assert_true(store_progress.least < 10 && store_progress.most > 90 &&
		    store_progress.most <= store_progress.total);
	assert_int_equal(store_progress.total, 100);
}

static void the_environment_lies_behind_a_link(void **state)
{
	char path[96], to[16] = { 0 };
	struct stat st;

	(void)state;
	store_leave(store_enter());
	snprintf(path, sizeof(path), "%s/state", store_dir);
	assert_int_equal(readlink(path, to, sizeof(to) - 1), 7);
	assert_string_equal(to, "state.0");
	snprintf(path, sizeof(path), "%s/state.0", store_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void a_directory_that_is_not_there_is_an_error(void **state)
{
	struct table *t;

	(void)state;
	store_tables = store_case_new("/nonexistent/holdfast");
	assert_int_equal(tables_open(store_tables, &t), ERR_NOT_FOUND);
	store_free(store_tables);
	assert_null(t);
}

static bool count_until(void *arg, struct bytes key, struct bytes record)
{
	uint64_t *left = arg;

	(void)record;
	assert_true(key.size > 0);
	return --*left > 0;
}

static bool collect(void *arg, struct bytes key, struct bytes record)
{
	wire_put_bytes(arg, key);
	wire_put_bytes(arg, record);
	return true;
}

/* Records of all sizes up to the largest, with keys up to the longest, in two tables beside each other. */
static void scans_give_every_record_in_order(void **state)
{
	struct table *t = store_enter(), *m = mem_table_new();
	struct buf is = { 0 }, want = { 0 }, record = { 0 };
	struct random r = { 5 };
	uint8_t key[KV_KEY_BYTES_MAX];

	(void)state;
	buf_extend(&record, KV_VALUE_BYTES_MAX + 64);
	for (int i = 0; i < 600; i++) {
		size_t size = 1 + (size_t)random_below(&r, i % 50 == 0 ? sizeof(key) : 20);
		size_t value = (size_t)random_below(&r, i % 100 == 0 ? record.size : 600);

		memset(key, 'k', sizeof(key));
		key[size - 1] = (uint8_t)random_next(&r);
		key[0] = (uint8_t)random_below(&r, 8);
		memset(record.data, (int)random_below(&r, 256), value);
		enum kv_table table = i % 3 == 0 ? TABLE_TOKENS : TABLE_KEYS;
		assert_int_equal(
		    table_put(t, table, bytes_of(key, size), bytes_of(record.data, value)), ERR_OK);
		table_put(m, table, bytes_of(key, size), bytes_of(record.data, value));
	}
	for (enum kv_table table = TABLE_META; table <= TABLE_MEMBERS; table++) {
		for (uint8_t from = 0; from < 10; from++) {
			buf_clear(&is);
			buf_clear(&want);
			assert_int_equal(
			    table_scan(t, table, bytes_of(&from, from > 0), collect, &is), ERR_OK);
			table_scan(m, table, bytes_of(&from, from > 0), collect, &want);
			assert_int_equal(is.size, want.size);
			assert_true(bytes_equal(buf_bytes(&is), buf_bytes(&want)));
		}
	}
	uint64_t left = 7;
	assert_int_equal(table_scan(t, TABLE_KEYS, T(""), count_until, &left), ERR_OK);
	assert_int_equal(left, 0);
	store_leave(t);
	mem_table_free(m);
	buf_free(&is);
	buf_free(&want);
	buf_free(&record);
}

/* Entry `index` of one endless history, the same whoever asks. Time runs so that tokens expire. */
/* A record that is longer than what is read at first is asked for again: a page of a list began too late by as many
 * keys as it was asked for again. */
static void a_scan_that_begins_between_keys_skips_no_long_record(void **state)
{
	struct table *t = store_enter();
	struct buf is = { 0 }, record = { 0 };
	struct reader r;

	(void)state;
	buf_extend(&record, 200000);
	for (char key[] = "k0"; key[1] <= '9'; key[1]++)
		assert_int_equal(table_put(t, TABLE_KEYS, T(key), buf_bytes(&record)), ERR_OK);
	assert_int_equal(table_scan(t, TABLE_KEYS, bytes_of("k3", 3), collect, &is), ERR_OK);
	r = reader_of(buf_bytes(&is));
	for (char key[] = "k4"; key[1] <= '9'; key[1]++) {
		assert_true(bytes_equal(wire_get_bytes(&r), T(key)));
		assert_int_equal(wire_get_bytes(&r).size, record.size);
	}
	assert_true(reader_done(&r));
	store_leave(t);
	buf_free(&is);
	buf_free(&record);
}

static void make_command(uint64_t seed, uint64_t index, struct buf *out)
{
	struct random r = { seed * 1000003 + index };

	random_next(&r);
	kv_random_command(&r, out);
}

static void drive_entry(struct drive *d, uint64_t seed, bool commit)
{
	struct buf command = { 0 };
	uint64_t index = kv_meta(d->kv)->applied_index + 1;

	make_command(seed, index, &command);
	d->time_ms = 1000 + index * 3000;
	drive_command(d, buf_bytes(&command), commit);
	buf_free(&command);
}

static void expect_same_state(struct drive *a, struct drive *b)
{
	struct buf one = { 0 }, two = { 0 };

	assert_memory_equal(kv_meta(a->kv), kv_meta(b->kv), sizeof(struct kv_meta));
	for (enum kv_table table = TABLE_META; table <= TABLE_ACCESS; table++) {
		drive_dump(a->table, table, &one);
		drive_dump(b->table, table, &two);
	}
	assert_true(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
	drive_check_hash(a);
	drive_check_hash(b);
	buf_free(&one);
	buf_free(&two);
}

static void expect_same_read(struct drive *a, struct drive *b, struct random *r)
{
	struct buf txn = { 0 };

	kv_random_read(r, &txn);
	buf_clear(&a->out);
	buf_clear(&b->out);
	assert_int_equal(kv_read(a->kv, buf_bytes(&txn), &a->out), ERR_OK);
	assert_int_equal(kv_read(b->kv, buf_bytes(&txn), &b->out), ERR_OK);
	assert_true(bytes_equal(buf_bytes(&a->out), buf_bytes(&b->out)));
	buf_free(&txn);
}

static void c12_the_same_log_gives_the_same_state_on_any_table(void **state)
{
	struct random r = { 12 };
	struct drive mem, disk;

	(void)state;
	drive_start(&mem, mem_table_new());
	drive_start(&disk, store_enter());
	for (int i = 0; i < 4000; i++) {
		drive_entry(&mem, 12, false);
		drive_entry(&disk, 12, random_below(&r, 10) == 0);
		assert_true(bytes_equal(buf_bytes(&mem.out), buf_bytes(&disk.out)));
		expect_same_read(&mem, &disk, &r);
		if (random_below(&r, 100) == 0)
			assert_int_equal(table_checkpoint(disk.table), ERR_OK);
		if (random_below(&r, 1000) == 0) {
			assert_int_equal(kv_commit(disk.kv), ERR_OK);
			store_leave(disk.table);
			disk.table = store_enter();
			drive_reopen(&disk);
		}
	}
	assert_int_equal(kv_commit(mem.kv), ERR_OK);
	assert_int_equal(kv_commit(disk.kv), ERR_OK);
	expect_same_state(&mem, &disk);
	drive_stop(&mem);
	drive_stop(&disk);
	mem_table_free(mem.table);
	store_leave(disk.table);
}

static void *maintain(void *arg)
{
	struct table *t = arg;

	for (unsigned i = 0;; i++) {
		if (table_flush(t) != ERR_OK || (i % 3 == 0 && table_checkpoint(t) != ERR_OK))
			_exit(1);
		usleep(500);
	}
	return NULL;
}

/* What the killed one tells of its life. */
struct witness {
	volatile uint64_t applied; /* of this life: 0 until it was open and did something */
	volatile uint64_t committed; /* of all lives */
};

/* The life of a process that is killed at some time: applies the history on and on, and notes what it committed. */
static void live(uint64_t seed, struct witness *w)
{
	struct random r = { (uint64_t)getpid() };
	struct drive d;
	pthread_t thread;

	/* A failed assertion must not go on with the parent's tests. */
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	drive_start(&d, store_enter());
	if (pthread_create(&thread, NULL, maintain, d.table) != 0)
		_exit(1);
	for (;;) {
		bool commit = random_below(&r, 8) == 0;

		drive_entry(&d, seed, commit);
		w->applied++;
		if (commit)
			w->committed = kv_meta(d.kv)->applied_index;
	}
}

/* The parent's own state machine in memory follows the history to where the killed one was. */
static void expect_history(struct drive *model, uint64_t seed, uint64_t committed)
{
	struct drive d;

	drive_start(&d, store_enter());
	assert_true(kv_meta(d.kv)->applied_index >= committed);
	while (kv_meta(model->kv)->applied_index < kv_meta(d.kv)->applied_index)
		drive_entry(model, seed, false);
	assert_int_equal(kv_commit(model->kv), ERR_OK);
	expect_same_state(model, &d);
	drive_stop(&d);
	store_leave(d.table);
}

/* One in eight dies while it opens what its predecessor left. */
static void live_and_die(struct witness *w, struct random *r)
{
	pid_t child;
	int status;

	w->applied = 0;
	if ((child = fork()) == 0)
		live(17, w);
	assert_int_not_equal(child, -1);
	if (random_below(r, 8) > 0)
		for (int i = 0; i < 10000 && w->applied < 10; i++)
			usleep(1000);
	usleep((useconds_t)random_below(r, 15000));
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void c11_kill_9_at_any_time_leaves_one_moment_of_the_history(void **state)
{
	struct witness *w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct random r = { 50 };
	struct drive model;

	(void)state;
	assert_ptr_not_equal(w, MAP_FAILED);
	drive_start(&model, mem_table_new());
	for (int round = 0; round < 50; round++) {
		live_and_die(w, &r);
		expect_history(&model, 17, w->committed);
	}
	/* How much of each life outlives it depends on the machine; that something does, does not. */
	assert_true(kv_meta(model.kv)->applied_index > 50);
	drive_stop(&model);
	mem_table_free(model.table);
	munmap(w, sizeof(*w));
}

static void turn_a_byte_of_each_page(void)
{
	char path[96];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/state/state.db", store_dir);
	fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 4096 + 2000; at < st.st_size; at += 4096) {
		uint8_t byte;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 1;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
}

static enum err read_one(void)
{
	struct table *t;
	struct buf got = { 0 };
	enum err e = store_try(&t);

	return e == ERR_OK ? table_get(t, TABLE_KEYS, T("key 7"), &got) : e;
}

/* The reader is a process of its own: after such an error Berkeley DB gives nothing back any more. */
static void damage_is_found_by_its_checksum(void **state)
{
	struct table *t = store_enter();
	char key[16];
	pid_t child;
	int status;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "key %d", i * 7919 % 2000);
		put(t, key, "some value that is to be found again");
	}
	assert_int_equal(table_commit(t), ERR_OK);
	assert_int_equal(table_checkpoint(t), ERR_OK);
	store_leave(t);
	turn_a_byte_of_each_page();
	if ((child = fork()) == 0)
		_exit((int)read_one());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), ERR_DAMAGED);
}

/* --- names --- */

/* What the tests see of syncs: the program's own come before those of the C library, for Berkeley DB too. */
static struct {
	unsigned files, nameless; /* log files that were synced, and those that had no durable name then */
	unsigned durable; /* the highest number of one whose name is */
} seen;

int fdatasync(int fd)
{
	char path[256];
	unsigned number;
	const char *name;

	store_path_of(fd, path, sizeof(path));
	name = strstr(path, "/log.");
	if (name != NULL && sscanf(name, "/log.%u", &number) == 1) {
		seen.files = number > seen.files ? number : seen.files;
		seen.nameless += number > seen.durable;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	char path[256], name[300];

	store_path_of(fd, path, sizeof(path));
	for (unsigned i = 1; strstr(path, "state.0") != NULL; i++) {
		snprintf(name, sizeof(name), "%s/log.%010u", path, i);
		if (access(name, F_OK) == 0)
			seen.durable = i > seen.durable ? i : seen.durable;
		else if (i > seen.durable)
			break;
	}
	return (int)syscall(SYS_fsync, fd);
}

/* A checkpoint makes pages durable that refer to the log file begun last; without its name a power failure left a
 * state that could not be opened. */
static void d14_no_log_file_is_relied_upon_before_its_name_is_durable(void **state)
{
	struct table *t;

	(void)state;
	store_make_small_log_files();
	memset(&seen, 0, sizeof(seen));
	t = store_enter();
	for (int i = 0; i < 2000; i++) {
		char key[16];

		snprintf(key, sizeof(key), "key %d", i);
		put(t, key, "some value of some length, so that log files are filled");
		assert_int_equal(table_commit(t), ERR_OK);
		if (i % 700 == 0)
			assert_int_equal(table_checkpoint(t), ERR_OK);
	}
	assert_int_equal(table_checkpoint(t), ERR_OK);
	store_leave(t);
	assert_true(seen.files >= 3);
	assert_int_equal(seen.nameless, 0);
}

/* --- damage --- */

static void turn_a_byte_of_the_log(off_t at, uint8_t by)
{
	char path[96];
	uint8_t byte;
	int fd;

	snprintf(path, sizeof(path), "%s/state.0/log.0000000001", store_dir);
	assert_true((fd = open(path, O_RDWR)) != -1);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= by;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* Without cmocka's handlers a crash is one. */
static int open_aside(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		signal(SIGABRT, SIG_DFL);
		_exit((int)read_one());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A length beyond all bounds in the head of a log file ended Berkeley DB, and the worker, by SIGSEGV. */
static void a_damaged_head_of_a_log_file_is_found_and_no_crash(void **state)
{
	static const uint8_t by[] = { 0x01, 0x80, 0xff };
	struct table *t = store_enter();

	(void)state;
	put(t, "key 7", "1");
	assert_int_equal(table_commit(t), ERR_OK);
	store_leave(t);
	for (off_t at = 4; at < 28; at++)
		for (size_t i = 0; i < sizeof(by); i++) {
			turn_a_byte_of_the_log(at, by[i]);
			assert_int_equal(open_aside(), ERR_DAMAGED);
			turn_a_byte_of_the_log(at, by[i]);
		}
	assert_int_equal(open_aside(), ERR_OK);
}

/* Berkeley DB takes what it returns for the error. */
static int fail_to_sync(int fd)
{
	(void)fd;
	return EIO;
}

/* A disk that failed syncs while the state was recovered was taken for damage, which no new start can heal. */
static void a_sync_that_fails_in_the_recovery_is_no_damage(void **state)
{
	struct table *t = store_enter();

	(void)state;
	put(t, "key 7", "1");
	assert_int_equal(table_commit(t), ERR_OK);
	store_leave(t);
	db_env_set_func_fsync(fail_to_sync);
	assert_int_equal(open_aside(), ERR_IO);
	db_env_set_func_fsync(fdatasync);
	assert_int_equal(open_aside(), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)
		TEST(recovery_says_how_far_it_is),
		TEST(what_is_committed_is_there_after_a_restart),
		TEST(the_environment_lies_behind_a_link),
		TEST(a_directory_that_is_not_there_is_an_error),
		TEST(scans_give_every_record_in_order),
		TEST(a_scan_that_begins_between_keys_skips_no_long_record),
		TEST(c12_the_same_log_gives_the_same_state_on_any_table),
		TEST(c11_kill_9_at_any_time_leaves_one_moment_of_the_history),
		TEST(damage_is_found_by_its_checksum),
		TEST(d14_no_log_file_is_relied_upon_before_its_name_is_durable),
		TEST(a_damaged_head_of_a_log_file_is_found_and_no_crash),
		TEST(a_sync_that_fails_in_the_recovery_is_no_damage),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
