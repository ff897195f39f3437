/* links: tests/unit/kept_log.c tests/common/folder.c worker/log/ worker/raft/entry.c common/mem.c common/buf.c common/wire.c common/crc.c common/disk.c common/disk_posix.c common/err.c common/clock.c common/random.c */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "common/clock.h"
#include "tests/common/folder.h"
#include "tests/unit/kept_log.h"
#include "worker/log/wal.h"

/* The log on real files: filling beside appending, and how fast it is (printed, never judged). */

#define BATCH 64

struct place {
	char *root;
	struct disk *disk;
	struct wal_options o;
	struct wal *wal;
	uint64_t last;
};

static int setup(void **state)
{
	static struct place p;
	struct entry first = { { 1, 1 }, 0, ENTRY_CONFIG, blob_new(bytes_text("first")) };
	struct wal_found f;

	p.root = folder_new("wal");
	p.disk = disk_posix_new(p.root);
	p.o = (struct wal_options){
		.disk = p.disk, .cluster = 1, .incarnation = 2, .segment_bytes = 8 * 1024 * 1024
	};
	p.last = 1;
	if (wal_create(&p.o, &first) != ERR_OK || wal_open(&p.wal, &p.o, &f) != ERR_OK)
		return -1;
	wal_found_free(&f);
	blob_unref(first.data);
	*state = &p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	wal_close(p->wal);
	disk_posix_free(p->disk);
	folder_remove(p->root);
	return 0;
}

static void append_batch(struct place *p, struct blob *data, bool sync)
{
	struct entry entries[BATCH];

	for (int i = 0; i < BATCH; i++)
		entries[i] = (struct entry){ { 1, ++p->last }, p->last, ENTRY_WRITE, data };
	assert_int_equal(wal_append(p->wal, NULL, entries, BATCH), ERR_OK);
	if (sync)
		assert_int_equal(wal_sync(p->wal), ERR_OK);
}

struct filler {
	pthread_t thread;
	struct wal *wal;
	atomic_bool stop;
	atomic_uint steps;
	enum err e;
};

/* As the maintenance lane does, only without a rest. */
static void *fill(void *arg)
{
	struct filler *f = arg;
	bool more;

	while (!atomic_load(&f->stop) && f->e == ERR_OK) {
		f->e = wal_fill(f->wal, &more);
		atomic_fetch_add(&f->steps, more);
	}
	return NULL;
}

static void reopen(struct place *p)
{
	struct wal_found f;

	wal_close(p->wal);
	p->wal = NULL;
	assert_int_equal(wal_open(&p->wal, &p->o, &f), ERR_OK);
	assert_int_equal(f.last.index, p->last);
	wal_found_free(&f);
}

static uint64_t read_all(struct place *p)
{
	uint64_t next = 1;

	while (next <= p->last) {
		struct entries got = { 0 };

		assert_int_equal(wal_read(p->wal, next, 256 * 1024, &got), ERR_OK);
		for (size_t i = 0; i < got.count; i++)
			assert_int_equal(got.data[i].pos.index, next + i);
		next += got.count;
		entries_free(&got);
	}
	return next - 1;
}

static void filling_goes_on_beside_appending(void **state)
{
	struct place *p = *state;
	struct filler f = { .wal = p->wal };
	struct blob *data = blob_alloc(2000);

	memset(data->data, 'x', data->size);
	assert_int_equal(pthread_create(&f.thread, NULL, fill, &f), 0);
	for (int i = 0; i < 300; i++)
		append_batch(p, data, i % 10 == 0);
	assert_int_equal(wal_sync(p->wal), ERR_OK);
	/* On a busy machine the thread may not have had its turn yet. */
	for (int i = 0; i < 60000 && atomic_load(&f.steps) == 0; i++)
		usleep(1000);
	atomic_store(&f.stop, true);
	assert_int_equal(pthread_join(f.thread, NULL), 0);
	assert_int_equal(f.e, ERR_OK);
	assert_true(f.steps > 0);
	assert_int_equal(read_all(p), p->last);
	reopen(p);
	assert_int_equal(read_all(p), p->last);
	blob_unref(data);
}

static double seconds_since(struct instant from)
{
	return (double)instant_between(from, clock_now()).ns / 1e9;
}

static void print_how_fast_it_is(void **state)
{
	struct place *p = *state;
	struct blob *data = blob_alloc(300);
	const int batches = 3000, synced = 300;
	struct instant from;
	double s;
	bool more = true;

	memset(data->data, 'x', data->size);
	from = clock_now();
	for (int i = 0; i < batches; i++)
		append_batch(p, data, false);
	s = seconds_since(from);
	printf("# append without sync: %.0f entries/s of 300 bytes in batches of %d\n", batches * BATCH / s,
	    BATCH);
	assert_int_equal(wal_sync(p->wal), ERR_OK);
	while (more)
		assert_int_equal(wal_fill(p->wal, &more), ERR_OK);
	from = clock_now();
	for (int i = 0; i < synced; i++)
		append_batch(p, data, true);
	s = seconds_since(from);
	printf("# append with sync: %.0f entries/s, %.0f us a batch\n", synced * BATCH / s, s / synced * 1e6);
	from = clock_now();
	read_all(p);
	s = seconds_since(from);
	printf("# read: %.0f entries/s\n", (double)p->last / s);
	from = clock_now();
	reopen(p);
	s = seconds_since(from);
	printf("# open: %.0f ms for %.0f MB\n", s * 1e3, (double)wal_disk_bytes(p->wal) / 1e6);
	blob_unref(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(filling_goes_on_beside_appending, setup, teardown),
		cmocka_unit_test_setup_teardown(print_how_fast_it_is, setup, teardown),
	};

	return cmocka_run_group_tests_name("wal_files", tests, NULL, NULL);
}
