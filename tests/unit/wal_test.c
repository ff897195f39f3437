/* links: tests/unit/wal_model.c tests/common/fake_disk.c tests/unit/kept_log.c worker/log/ worker/raft/entry.c common/mem.c common/buf.c common/wire.c common/crc.c common/disk.c common/random.c */
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

/* Appends `count` entries of 10,000 bytes: six fill a segment. */
static void append_large(struct model *m, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_int_equal(model_append(m, m->last.index + 1, m->last.term, 1, 10000), ERR_OK);
	assert_int_equal(model_sync(m), ERR_OK);
}

static uint64_t base_of(const struct model *m)
{
	return wal_base(m->wal).index;
}

static void a_log_is_cut_by_whole_segments_and_not_above_the_index(void **state)
{
	struct model *m = *state;
	uint64_t newest, first;
	size_t before, after;

	begin(m);
	append_large(m, 60);
	newest = model_newest(m, &before);
	assert_int_equal(model_cut(m, 30, 0), ERR_OK);
	first = base_of(m);
	assert_in_range(first, 24, 30);
	/* The next segment ends beyond the index. */
	assert_int_equal(model_cut(m, first + 5, 0), ERR_OK);
	assert_int_equal(base_of(m), first);
	assert_int_equal(model_sweep(m, 99), ERR_OK);
	assert_int_equal(model_newest(m, &after), newest);
	assert_int_equal(before - after, 5);
	model_check_reads(m);
	append_large(m, 10);
	model_check_reads(m);
	reopen(m);
	assert_int_equal(base_of(m), first);
	model_check_reads(m);
	assert_string_equal(kept_line(LOG_LEVEL_WARN), "");
}

static void a_cut_keeps_so_many_bytes_and_always_the_last_segment(void **state)
{
	struct model *m = *state;
	uint64_t whole, at_first;
	bool more;

	begin(m);
	append_large(m, 60);
	whole = wal_disk_bytes(m->wal);
	assert_int_equal(model_cut(m, 61, whole), ERR_OK);
	assert_int_equal(base_of(m), 0);
	assert_int_equal(model_cut(m, 61, whole - 1), ERR_OK);
	at_first = base_of(m);
	assert_in_range(at_first, 5, 7);
	assert_int_equal(model_cut(m, 61, 3 * WAL_SEGMENT_LEAST), ERR_OK);
	assert_in_range(base_of(m), 61 - 3 * 6, 61 - 2 * 6);
	assert_int_equal(model_cut(m, 61, 0), ERR_OK);
	assert_in_range(base_of(m), 61 - 6, 61);
	assert_int_equal(wal_disk_bytes(m->wal), whole);
	assert_int_equal(wal_sweep(m->wal, &more), ERR_OK);
	assert_true(more);
	assert_true(wal_disk_bytes(m->wal) < whole);
	assert_int_equal(model_sweep(m, 99), ERR_OK);
	assert_true(wal_disk_bytes(m->wal) <= WAL_SEGMENT_LEAST);
	assert_int_equal(wal_sweep(m->wal, &more), ERR_OK);
	assert_false(more);
	model_check_reads(m);
	reopen(m);
	reopen(m);
	model_check_reads(m);
}

/* What a segment's head names as its base was discarded by an entry in it or behind it. */
static void a_cut_log_does_not_begin_with_entries_that_were_discarded(void **state)
{
	struct model *m = *state;

	begin(m);
	append_large(m, 32);
	assert_int_equal(model_append(m, 5, 2, 30, 10000), ERR_OK);
	assert_int_equal(model_sync(m), ERR_OK);
	assert_int_equal(model_cut(m, 12, 0), ERR_OK);
	assert_true(base_of(m) == 0 || base_of(m) >= 5);
	reopen(m);
	model_check_reads(m);
	assert_int_equal(model_cut(m, 20, 0), ERR_OK);
	assert_in_range(base_of(m), 14, 20);
	reopen(m);
	model_check_reads(m);
}

/* A start replaces the only segment by one that names the same before it. */
static void d3_a_log_cut_to_its_last_segment_starts_again_and_again(void **state)
{
	struct model *m = *state;
	size_t count;

	begin(m);
	append_large(m, 20);
	assert_int_equal(model_hard(m, (struct raft_hard){ 6, 3 }), ERR_OK);
	assert_int_equal(model_settle(m), ERR_OK);
	assert_int_equal(model_cut(m, 21, 0), ERR_OK);
	for (int i = 0; i < 5; i++) {
		model_close(m);
		fake_disk_after_power_cut(m->disk, NULL, i % 2 ? 1000 : 0);
		model_must_open(m);
		assert_int_equal(m->hard.vote, 3);
	}
	assert_int_equal(model_cut(m, 21, 0), ERR_OK);
	reopen(m);
	model_newest(m, &count);
	assert_in_range(count, 1, 2);
	model_check_reads(m);
}

static void a_log_that_begins_anew_has_nothing_but_its_base(void **state)
{
	struct model *m = *state;
	size_t count;

	begin(m);
	append_large(m, 20);
	assert_int_equal(model_fill(m, 1), ERR_OK);
	assert_int_equal(model_reset(m, (struct raft_pos){ 3, 1000 }, (struct raft_hard){ 7, 9 }), ERR_OK);
	assert_int_equal(base_of(m), 1000);
	model_check_reads(m);
	assert_int_equal(model_append(m, 1001, 7, 20, 10000), ERR_OK);
	assert_int_equal(model_sync(m), ERR_OK);
	model_check_reads(m);
	assert_int_equal(model_sweep(m, 99), ERR_OK);
	model_newest(m, &count);
	assert_in_range(count, 3, 5);
	reopen(m);
	assert_int_equal(base_of(m), 1000);
	model_check_reads(m);
	/* And once more, cut by then, and further back. */
	assert_int_equal(model_cut(m, 1015, 0), ERR_OK);
	assert_int_equal(model_reset(m, (struct raft_pos){ 7, 900 }, (struct raft_hard){ 7, 9 }), ERR_OK);
	reopen(m);
	assert_int_equal(m->last.index, 900);
	model_newest(m, &count);
	assert_int_equal(count, 1);
}

struct told {
	uint64_t calls, done, total;
};

static void tell(void *arg, uint64_t done, uint64_t total)
{
	struct told *t = arg;

	assert_true(done >= t->done && done <= total && (t->calls == 0 || total == t->total));
	*t = (struct told){ t->calls + 1, done, total };
}

static void opening_tells_how_far_it_has_read(void **state)
{
	struct model *m = *state;
	struct told t = { 0 };

	m->o.segment_bytes = 4 * 1024 * 1024;
	begin(m);
	append_large(m, 1000);
	m->o.progress = tell;
	m->o.progress_arg = &t;
	reopen(m);
	m->o.progress = NULL;
	assert_int_equal(t.done, t.total);
	assert_in_range(t.total, 10000000, 11000000);
	assert_in_range(t.calls, 10, 20);
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
	wal_put_begins(block, &(struct wal_begins){ .cluster = 3, .incarnation = 4, .number = 5 });
	assert_memory_equal(block,
	    "hfbegins\1\0\0\0\3\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\xe1\x7f\xf4\x8f",
	    WAL_BEGINS_BYTES);
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
		cmocka_unit_test_setup_teardown(
		    a_log_is_cut_by_whole_segments_and_not_above_the_index, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_cut_keeps_so_many_bytes_and_always_the_last_segment, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_cut_log_does_not_begin_with_entries_that_were_discarded, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    d3_a_log_cut_to_its_last_segment_starts_again_and_again, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_log_that_begins_anew_has_nothing_but_its_base, setup, teardown),
		cmocka_unit_test_setup_teardown(opening_tells_how_far_it_has_read, setup, teardown),
		cmocka_unit_test_setup_teardown(another_nodes_log_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(an_interrupted_creation_is_removed_first, setup, teardown),
		cmocka_unit_test(golden_bytes),
	};

	return cmocka_run_group_tests_name("wal", tests, NULL, NULL);
}
