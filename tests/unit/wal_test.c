/* links: tests/unit/wal_model.c tests/common/fake_disk.c tests/unit/kept_log.c worker/log/wal.c worker/log/wal_append.c worker/log/wal_fill.c worker/log/wal_find.c worker/log/wal_format.c worker/log/wal_found.c worker/log/wal_index.c worker/log/wal_read.c worker/log/wal_recover.c worker/log/wal_scan.c worker/log/wal_segment.c worker/raft/entry.c common/mem.c common/buf.c common/wire.c common/crc.c common/disk.c common/random.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "tests/unit/kept_log.h"
#include "tests/unit/wal_model.h"
#include "worker/log/wal_private.h"

static int setup(void **state)
{
	static struct model m;

	kept_forget();
	model_init(&m);
	*state = &m;
	return 0;
}

static int teardown(void **state)
{
	model_fini(*state);
	return 0;
}

static void begin(struct model *m)
{
	assert_int_equal(model_create(m), ERR_OK);
	model_must_open(m);
}

static void reopen(struct model *m)
{
	model_close(m);
	model_must_open(m);
}

static void there_is_no_log(void **state)
{
	struct model *m = *state;

	assert_int_equal(model_open(m), ERR_NOT_FOUND);
	assert_int_equal(disk_make_dir(m->o.disk, "log"), ERR_OK);
	assert_int_equal(model_open(m), ERR_NOT_FOUND);
}

static void a_new_log_holds_its_first_entry(void **state)
{
	struct model *m = *state;

	begin(m);
	assert_int_equal(m->last.index, 1);
	assert_int_equal(m->hard.term, 1);
	model_check_reads(m);
	assert_true(wal_disk_bytes(m->wal) > 0);
}

static void what_is_appended_is_read_and_found_again(void **state)
{
	struct model *m = *state;

	begin(m);
	for (uint64_t i = 2; i < 200; i += 3) {
		assert_int_equal(model_append(m, i, 1 + i / 50, 3, i), ERR_OK);
		if (i % 2)
			assert_int_equal(model_sync(m), ERR_OK);
	}
	model_check_reads(m);
	assert_int_equal(model_sync(m), ERR_OK);
	reopen(m);
	assert_int_equal(m->last.index, 199);
	model_check_reads(m);
	assert_string_equal(kept_line(LOG_LEVEL_WARN), "");
}

static void a_read_takes_one_entry_and_then_what_fits(void **state)
{
	struct model *m = *state;
	struct entries got = { 0 };

	begin(m);
	assert_int_equal(model_append(m, 2, 1, 10, 1000), ERR_OK);
	assert_int_equal(wal_read(m->wal, 2, 1, &got), ERR_OK);
	assert_int_equal(got.count, 1);
	assert_int_equal(wal_read(m->wal, 3, 1, &got), ERR_OK);
	assert_int_equal(got.count, 2);
	assert_int_equal(wal_read(m->wal, 4, 3500, &got), ERR_OK);
	assert_int_equal(got.count, 5);
	assert_int_equal(wal_read(m->wal, 7, SIZE_MAX, &got), ERR_OK);
	assert_int_equal(got.count, 10);
	entries_free(&got);
}

static void an_entry_discards_those_from_its_index_on(void **state)
{
	struct model *m = *state;

	begin(m);
	assert_int_equal(model_append(m, 2, 1, 100, 10), ERR_OK);
	assert_int_equal(model_append(m, 50, 2, 3, 10), ERR_OK);
	model_check_reads(m);
	assert_int_equal(model_append(m, 40, 3, 30, 10), ERR_OK);
	assert_int_equal(model_append(m, 45, 4, 1, 10), ERR_OK);
	assert_int_equal(model_append(m, 2, 5, 1, 10), ERR_OK);
	model_check_reads(m);
	assert_int_equal(model_append(m, 3, 5, 5, 10), ERR_OK);
	model_check_reads(m);
	assert_int_equal(model_sync(m), ERR_OK);
	reopen(m);
	model_check_reads(m);
}

static void even_the_first_entry_can_be_discarded(void **state)
{
	struct model *m = *state;

	begin(m);
	assert_int_equal(model_append(m, 1, 2, 2, 10), ERR_OK);
	assert_int_equal(model_sync(m), ERR_OK);
	reopen(m);
	assert_int_equal(m->last.index, 2);
	model_check_reads(m);
}

static void d1_hard_state_alone_is_remembered(void **state)
{
	struct model *m = *state;

	begin(m);
	assert_int_equal(model_hard(m, (struct raft_hard){ 9, 4 }), ERR_OK);
	assert_int_equal(model_sync(m), ERR_OK);
	model_close(m);
	fake_disk_after_power_cut(m->disk, NULL, 0);
	model_must_open(m);
	assert_int_equal(m->hard.term, 9);
	assert_int_equal(m->hard.vote, 4);
}

static void a_full_segment_is_followed_by_another(void **state)
{
	struct model *m = *state;
	size_t count;

	begin(m);
	for (uint64_t i = 2; i < 400; i++)
		assert_int_equal(model_append(m, i, 1, 1, 1000), ERR_OK);
	model_newest(m, &count);
	assert_in_range(count, 6, 8);
	model_check_reads(m);
	assert_int_equal(model_append(m, 30, 2, 1, 1000), ERR_OK);
	model_check_reads(m);
	assert_int_equal(model_sync(m), ERR_OK);
	reopen(m);
	model_check_reads(m);
}

static void one_append_may_fill_several_segments(void **state)
{
	struct model *m = *state;
	size_t count;

	begin(m);
	assert_int_equal(model_append(m, 2, 1, 400, 1000), ERR_OK);
	model_newest(m, &count);
	assert_in_range(count, 6, 8);
	model_check_reads(m);
	assert_int_equal(model_sync(m), ERR_OK);
	reopen(m);
	model_check_reads(m);
}

static void a_large_entry_makes_a_large_segment(void **state)
{
	struct model *m = *state;

	begin(m);
	assert_int_equal(model_append(m, 2, 1, 1, 1000), ERR_OK);
	assert_int_equal(model_append(m, 3, 1, 2, 300000), ERR_OK);
	assert_int_equal(model_append(m, 5, 1, 1, 1000), ERR_OK);
	assert_int_equal(model_append(m, 6, 1, 1, 5000000), ERR_OK);
	assert_int_equal(model_append(m, 7, 1, 3, 1000), ERR_OK);
	model_check_reads(m);
	assert_int_equal(model_sync(m), ERR_OK);
	reopen(m);
	model_check_reads(m);
	assert_true(wal_disk_bytes(m->wal) > 5600000);
}

static void the_next_segment_is_filled_aside(void **state)
{
	struct model *m = *state;
	uint64_t before;
	bool more;

	m->o.segment_bytes = 600 * 1024;
	begin(m);
	before = wal_disk_bytes(m->wal);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(wal_fill(m->wal, &more), ERR_OK);
		assert_int_equal(more, i < 2);
	}
	assert_int_equal(wal_disk_bytes(m->wal), before + 600 * 1024);
	assert_int_equal(wal_fill(m->wal, &more), ERR_OK);
	assert_false(more);
	assert_int_equal(wal_disk_bytes(m->wal), before + 600 * 1024);
	assert_int_equal(model_append(m, 2, 1, 650, 1000), ERR_OK);
	assert_null(fake_disk_file(m->disk, WAL_NEXT).data);
	assert_int_equal(fake_disk_file(m->disk, model_path(3)).size, 600 * 1024);
	model_check_reads(m);
	assert_int_equal(model_fill(m, 1), ERR_OK);
	reopen(m);
	assert_null(fake_disk_file(m->disk, WAL_NEXT).data);
}

static void a_segment_taken_before_it_is_filled_grows_on(void **state)
{
	struct model *m = *state;
	uint64_t size;

	m->o.segment_bytes = 1024 * 1024;
	begin(m);
	assert_int_equal(model_fill(m, 1), ERR_OK);
	assert_int_equal(model_append(m, 2, 1, 1100, 1000), ERR_OK);
	size = fake_disk_file(m->disk, model_path(3)).size;
	assert_int_equal(size, 256 * 1024);
	assert_int_equal(model_append(m, 1102, 1, 700, 1000), ERR_OK);
	assert_int_equal(model_newest(m, NULL), 3);
	assert_true(fake_disk_file(m->disk, model_path(3)).size > 700 * 1024);
	assert_int_equal(model_sync(m), ERR_OK);
	reopen(m);
	model_check_reads(m);
}

static void a_silent_log_is_settled_once(void **state)
{
	struct model *m = *state;
	uint64_t calls;

	begin(m);
	calls = fake_disk_calls(m->disk);
	assert_int_equal(model_settle(m), ERR_OK);
	assert_int_equal(fake_disk_calls(m->disk), calls); /* opening has said it */
	assert_int_equal(model_append(m, 2, 1, 1, 10), ERR_OK);
	assert_int_equal(model_settle(m), ERR_OK);
	assert_true(fake_disk_calls(m->disk) > calls);
	calls = fake_disk_calls(m->disk);
	assert_int_equal(model_settle(m), ERR_OK);
	assert_int_equal(fake_disk_calls(m->disk), calls);
	assert_int_equal(model_append(m, 3, 1, 2, 10), ERR_OK);
	model_check_reads(m);
	reopen(m);
	model_check_reads(m);
}

static void settling_at_the_end_of_a_segment_begins_the_next(void **state)
{
	struct model *m = *state;

	begin(m);
	assert_int_equal(model_append(m, 2, 1, 1, WAL_SEGMENT_LEAST - 10 * 1024), ERR_OK);
	assert_int_equal(model_newest(m, NULL), 2);
	assert_int_equal(model_settle(m), ERR_OK);
	assert_int_equal(model_newest(m, NULL), 3);
	model_check_reads(m);
	reopen(m);
	model_check_reads(m);
}

static void d3_every_segment_begins_with_the_hard_state(void **state)
{
	struct model *m = *state;
	struct wal_head head;
	uint32_t seed;
	enum err e;

	begin(m);
	assert_int_equal(model_hard(m, (struct raft_hard){ 6, 3 }), ERR_OK);
	assert_int_equal(model_append(m, 2, 6, 100, 1000), ERR_OK);
	assert_null(wal_get_head(fake_disk_file(m->disk, model_path(3)).data, &head, &seed, &e));
	assert_int_equal(head.hard.term, 6);
	assert_int_equal(head.hard.vote, 3);
	assert_int_equal(head.base.term, 6);
	assert_int_equal(head.before.number, 2);
}

static void d3_starting_again_and_again_forgets_nothing_and_leaves_no_row_of_segments(void **state)
{
	struct model *m = *state;
	size_t count;

	begin(m);
	assert_int_equal(model_hard(m, (struct raft_hard){ 6, 3 }), ERR_OK);
	assert_int_equal(model_append(m, 2, 6, 3, 3000), ERR_OK);
	assert_int_equal(model_sync(m), ERR_OK);
	for (int i = 0; i < 10; i++) {
		model_close(m);
		fake_disk_after_power_cut(m->disk, NULL, 0);
		model_must_open(m);
		assert_int_equal(m->hard.term, 6);
		assert_int_equal(m->hard.vote, 3);
	}
	model_newest(m, &count);
	assert_in_range(count, 1, 3);
	model_check_reads(m);
}

static void another_nodes_log_is_damage(void **state)
{
	struct model *m = *state;

	begin(m);
	model_close(m);
	m->o.cluster++;
	assert_int_equal(model_open(m), ERR_DAMAGED);
	m->o.cluster--;
	m->o.incarnation++;
	assert_int_equal(model_open(m), ERR_DAMAGED);
	m->o.incarnation--;
	assert_int_equal(model_open(m), ERR_OK);
}

static void an_interrupted_creation_is_removed_first(void **state)
{
	struct model *m = *state;

	assert_int_equal(disk_make_dir(m->o.disk, "log"), ERR_OK);
	fake_disk_put(m->disk, model_path(9), bytes_text("rubbish"));
	fake_disk_put(m->disk, "log/fresh.fill", bytes_text("rubbish"));
	begin(m);
	assert_int_equal(model_newest(m, NULL), 2);
}

/* The bytes on disk are a promise to every later version. */
static void golden_bytes(void **state)
{
	static uint8_t block[WAL_HEAD_BYTES];
	const struct wal_head head = { .number = 2,
		.cluster = 3,
		.incarnation = 4,
		.before = { 1, 8192, 5 },
		.base = { 6, 7 },
		.base_time_ms = 8,
		.hard = { 9, 10 } };
	struct entry entry = { { 9, 8 }, 11, ENTRY_WRITE, blob_new(bytes_text("value")) };
	uint32_t crc;

	(void)state;
	crc = wal_put_head(block, &head);
	assert_memory_equal(block,
	    "holdfast\1\0\0\0\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"
	    "\0\x20\0\0\0\0\0\0\5\0\0\0\6\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0\10\0\0\0\0\0\0\0"
	    "\11\0\0\0\0\0\0\0\12\0\0\0\0\0\0",
	    96);
	assert_int_equal(crc, 0x3d48fe89);
	crc = wal_put_batch(
	    block, crc, &(struct wal_batch){ .offset = 4096, .mark = 4096, .size = 88, .chain = crc });
	assert_int_equal(crc, 0x6bb40620);
	crc = wal_put_hard(block, crc, (struct raft_hard){ 9, 10 });
	assert_int_equal(crc, 0xe3dd1e4d);
	crc = wal_put_entry(block, crc, &entry);
	assert_memory_equal(block + 4,
	    "\5\0\0\0\3\0\3\0\0\0\0\0\11\0\0\0\0\0\0\0\10\0\0\0\0\0\0\0\13\0\0\0\0\0\0\0value\0\0", 44);
	assert_int_equal(crc, 0x56fda586);
	blob_unref(entry.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(there_is_no_log, setup, teardown),
		cmocka_unit_test_setup_teardown(a_new_log_holds_its_first_entry, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_appended_is_read_and_found_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_read_takes_one_entry_and_then_what_fits, setup, teardown),
		cmocka_unit_test_setup_teardown(an_entry_discards_those_from_its_index_on, setup, teardown),
		cmocka_unit_test_setup_teardown(even_the_first_entry_can_be_discarded, setup, teardown),
		cmocka_unit_test_setup_teardown(d1_hard_state_alone_is_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_segment_is_followed_by_another, setup, teardown),
		cmocka_unit_test_setup_teardown(one_append_may_fill_several_segments, setup, teardown),
		cmocka_unit_test_setup_teardown(a_large_entry_makes_a_large_segment, setup, teardown),
		cmocka_unit_test_setup_teardown(the_next_segment_is_filled_aside, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_segment_taken_before_it_is_filled_grows_on, setup, teardown),
		cmocka_unit_test_setup_teardown(a_silent_log_is_settled_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    settling_at_the_end_of_a_segment_begins_the_next, setup, teardown),
		cmocka_unit_test_setup_teardown(d3_every_segment_begins_with_the_hard_state, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    d3_starting_again_and_again_forgets_nothing_and_leaves_no_row_of_segments, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(another_nodes_log_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(an_interrupted_creation_is_removed_first, setup, teardown),
		cmocka_unit_test(golden_bytes),
	};

	return cmocka_run_group_tests_name("wal", tests, NULL, NULL);
}
