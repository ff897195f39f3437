/* links: tests/unit/wal_model.c tests/common/fake_disk.c tests/unit/kept_log.c worker/log/ worker/raft/entry.c common/mem.c common/buf.c common/wire.c common/crc.c common/disk.c common/random.c */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "tests/unit/kept_log.h"
#include "tests/unit/wal_model.h"
#include "worker/log/wal_private.h"

/* Bytes that were durable and changed since are found, and old bytes are not taken for new ones. */

static int setup(void **state)
{
	static struct model m;

	kept_forget();
	model_init(&m);
	assert_int_equal(model_create(&m), ERR_OK);
	model_must_open(&m);
	*state = &m;
	return 0;
}

static int teardown(void **state)
{
	model_fini(*state);
	return 0;
}

/* Damage in this file, told with an offset at or before `offset`, and nothing was changed. */
static void expect_damage_in(struct model *m, const char *path, uint64_t offset)
{
	uint64_t calls = fake_disk_calls(m->disk);
	const char *line, *at;

	kept_forget();
	assert_int_equal(model_open(m), ERR_DAMAGED);
	assert_int_equal(fake_disk_calls(m->disk), calls);
	line = kept_line(LOG_LEVEL_ERROR);
	if (strstr(line, path) == NULL)
		fail_msg("%s offset %" PRIu64 ": %s", path, offset, line);
	assert_non_null(strstr(line, "reason=\""));
	at = strstr(line, "offset=");
	assert_non_null(at);
	assert_true(strtoull(at + strlen("offset="), NULL, 10) <= offset);
	if (offset >= WAL_HEAD_BYTES)
		assert_true(strtoull(at + strlen("offset="), NULL, 10) + 4 * WAL_BLOCK > offset);
}

static void expect_damage(struct model *m, uint64_t number, uint64_t offset)
{
	expect_damage_in(m, model_path(number), offset);
}

static void flip_every_byte(struct model *m, uint64_t number, uint64_t from, uint64_t to, uint64_t step)
{
	for (uint64_t offset = from; offset < to; offset += step) {
		uint8_t mask = (uint8_t)(1 << (offset * 5 / 3 % 8));

		fake_disk_flip(m->disk, model_path(number), offset, mask);
		expect_damage(m, number, offset);
		fake_disk_flip(m->disk, model_path(number), offset, mask);
	}
}

/* The end of what is not zero. */
static uint64_t used(struct model *m, uint64_t number)
{
	struct bytes b = fake_disk_file(m->disk, model_path(number));

	while (b.size > 0 && b.data[b.size - 1] == 0)
		b.size--;
	return b.size;
}

static void d5_a_bit_flip_in_the_last_settled_batch_is_damage(void **state)
{
	struct model *m = *state;
	uint64_t number, end;

	assert_int_equal(model_append(m, 2, 2, 3, 100), ERR_OK);
	assert_int_equal(model_sync(m), ERR_OK);
	number = model_newest(m, NULL);
	assert_int_equal(model_append(m, 5, 2, 1, 100), ERR_OK);
	end = used(m, number);
	assert_int_equal(model_settle(m), ERR_OK);
	model_close(m);
	flip_every_byte(m, number, 0, end, 1);
	model_must_open(m);
}

static void d5_a_bit_flip_before_the_mark_of_the_next_batch_is_damage(void **state)
{
	struct model *m = *state;
	uint64_t number, end;

	number = model_newest(m, NULL);
	assert_int_equal(model_append(m, 2, 2, 3, 100), ERR_OK);
	assert_int_equal(model_append(m, 5, 2, 3, 100), ERR_OK);
	end = used(m, number);
	assert_int_equal(model_sync(m), ERR_OK);
	assert_int_equal(model_append(m, 8, 2, 1, 100), ERR_OK);
	/* Also when the next batch is itself only half there: its head is enough. */
	fake_disk_die_at(m->disk, fake_disk_calls(m->disk), 40);
	assert_int_equal(model_append(m, 9, 2, 1, 1000), ERR_IO);
	model_close(m);
	fake_disk_after_kill(m->disk);
	flip_every_byte(m, number, 0, end, 1);
	model_must_open(m);
}

static void d5_a_bit_flip_in_any_earlier_segment_is_damage(void **state)
{
	struct model *m = *state;
	uint64_t ends[4];
	size_t count;

	/* Segments of a few KiB each, ended by a restart. */
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(model_append(m, 2 + i, 2 + i, 3, 100), ERR_OK);
		assert_int_equal(model_settle(m), ERR_OK);
		assert_int_equal(model_append(m, 5 + i, 2 + i, 1, 200), ERR_OK);
		ends[i] = used(m, model_newest(m, NULL)) - 200;
		assert_int_equal(model_settle(m), ERR_OK);
		model_close(m);
		model_must_open(m);
	}
	assert_int_equal(model_newest(m, &count), 5);
	assert_int_equal(count, 4);
	model_close(m);
	for (uint64_t number = 2; number <= 4; number++)
		flip_every_byte(m, number, 0, ends[number - 2], 1);
	flip_every_byte(m, 5, 0, WAL_HEAD_BYTES, 1);
	model_must_open(m);
}

static void d5_a_bit_flip_in_a_full_segment_is_damage(void **state)
{
	struct model *m = *state;
	uint64_t end;

	for (uint64_t i = 2; model_newest(m, NULL) < 4; i++)
		assert_int_equal(model_append(m, i, 2, 1, 3000), ERR_OK);
	end = used(m, 2);
	assert_true(end > 50000);
	model_close(m);
	flip_every_byte(m, 2, 1, end, 211);
	flip_every_byte(m, 3, 1, used(m, 3), 211);
	model_must_open(m);
}

static void zero_block(struct model *m, uint64_t number, uint64_t offset, uint8_t *was)
{
	struct bytes b = fake_disk_file(m->disk, model_path(number));

	memcpy(was, b.data + offset, WAL_BLOCK);
	for (uint64_t i = 0; i < WAL_BLOCK; i++)
		fake_disk_flip(m->disk, model_path(number), offset + i, was[i]);
}

static void restore_block(struct model *m, uint64_t number, uint64_t offset, const uint8_t *was)
{
	for (uint64_t i = 0; i < WAL_BLOCK; i++)
		fake_disk_flip(m->disk, model_path(number), offset + i, was[i]);
}

/* The witness that a batch was synced lies in another block than the batch. */
static void d5_a_lost_block_is_damage(void **state)
{
	struct model *m = *state;
	uint64_t number = model_newest(m, NULL), end;
	uint8_t was[WAL_BLOCK];

	for (uint64_t i = 2; i < 12; i++)
		assert_int_equal(model_append(m, i, 2, 1, 1500), ERR_OK);
	end = used(m, number);
	assert_int_equal(model_settle(m), ERR_OK);
	model_close(m);
	for (uint64_t offset = 0; offset < end; offset += WAL_BLOCK) {
		zero_block(m, number, offset, was);
		expect_damage(m, number, offset + WAL_BLOCK);
		restore_block(m, number, offset, was);
	}
	/* The witness itself carries nothing. */
	zero_block(m, number, wal_round_up(end, WAL_BLOCK), was);
	model_must_open(m);
	assert_int_equal(m->last.index, 11);
}

static void a_missing_segment_is_damage(void **state)
{
	struct model *m = *state;
	uint64_t newest;

	assert_int_equal(model_append(m, 2, 2, 300, 1000), ERR_OK);
	assert_int_equal(model_settle(m), ERR_OK);
	newest = model_newest(m, NULL);
	assert_true(newest > 5);
	model_close(m);
	for (uint64_t number = 2; number < newest; number++) {
		struct buf copy = { 0 };

		buf_append(&copy, fake_disk_file(m->disk, model_path(number)));
		assert_int_equal(disk_unlink(m->o.disk, model_path(number)), ERR_OK);
		expect_damage(m, number, 0);
		fake_disk_put(m->disk, model_path(number), buf_bytes(&copy));
		buf_free(&copy);
	}
	model_must_open(m);
}

/* A log of segments 2 to 8, cut before segment 5, not swept. */
static void make_cut_log(struct model *m)
{
	while (model_newest(m, NULL) < 8)
		assert_int_equal(model_append(m, m->last.index + 1, 2, 1, 10000), ERR_OK);
	assert_int_equal(model_settle(m), ERR_OK);
	for (uint64_t index = 1; m->wal->segments[0].head.number < 5; index++)
		assert_int_equal(model_cut(m, index, 0), ERR_OK);
	model_close(m);
}

static void put_begins(struct model *m, struct wal_begins b)
{
	uint8_t file[WAL_BEGINS_BYTES];

	wal_put_begins(file, &b);
	fake_disk_put(m->disk, WAL_BEGINS, bytes_of(file, sizeof(file)));
}

static void remove_segments(struct model *m, uint64_t from, uint64_t to)
{
	for (uint64_t number = from; number < to; number++)
		assert_int_equal(disk_unlink(m->o.disk, model_path(number)), ERR_OK);
}

static void a_missing_segment_is_damage_unless_it_was_cut_away(void **state)
{
	struct model *m = *state;

	make_cut_log(m);
	for (uint64_t number = 5; number < 8; number++) {
		struct buf copy = { 0 };

		buf_append(&copy, fake_disk_file(m->disk, model_path(number)));
		remove_segments(m, number, number + 1);
		expect_damage(m, number, 0);
		fake_disk_put(m->disk, model_path(number), buf_bytes(&copy));
		buf_free(&copy);
	}
	remove_segments(m, 3, 4);
	model_must_open(m);
	model_check_reads(m);
	assert_null(fake_disk_file(m->disk, model_path(2)).data);
	assert_null(fake_disk_file(m->disk, model_path(4)).data);
}

static void a_damaged_mark_of_the_beginning_is_damage(void **state)
{
	struct model *m = *state;
	struct buf copy = { 0 };

	make_cut_log(m);
	for (uint64_t bit = 0; bit < WAL_BEGINS_BYTES * 8; bit++) {
		fake_disk_flip(m->disk, WAL_BEGINS, bit / 8, (uint8_t)(1 << bit % 8));
		expect_damage_in(m, WAL_BEGINS, WAL_BEGINS_BYTES);
		fake_disk_flip(m->disk, WAL_BEGINS, bit / 8, (uint8_t)(1 << bit % 8));
	}
	buf_append(&copy, fake_disk_file(m->disk, WAL_BEGINS));
	for (size_t size = 0; size < WAL_BEGINS_BYTES; size++) {
		fake_disk_put(m->disk, WAL_BEGINS, bytes_of(copy.data, size));
		expect_damage_in(m, WAL_BEGINS, WAL_BEGINS_BYTES);
	}
	buf_append(&copy, bytes_text("x"));
	fake_disk_put(m->disk, WAL_BEGINS, buf_bytes(&copy));
	expect_damage_in(m, WAL_BEGINS, WAL_BEGINS_BYTES);
	put_begins(m, (struct wal_begins){ MODEL_CLUSTER + 1, MODEL_INCARNATION, 5 });
	expect_damage_in(m, WAL_BEGINS, WAL_BEGINS_BYTES);
	put_begins(m, (struct wal_begins){ MODEL_CLUSTER, MODEL_INCARNATION + 1, 5 });
	expect_damage_in(m, WAL_BEGINS, WAL_BEGINS_BYTES);
	put_begins(m, (struct wal_begins){ MODEL_CLUSTER, MODEL_INCARNATION, 5 });
	model_must_open(m);
	buf_free(&copy);
}

static void a_missing_mark_of_the_beginning_is_damage_once_segments_are_gone(void **state)
{
	struct model *m = *state;

	make_cut_log(m);
	remove_segments(m, 2, 5);
	assert_int_equal(disk_unlink(m->o.disk, WAL_BEGINS), ERR_OK);
	expect_damage(m, 4, 0);
	assert_non_null(strstr(kept_line(LOG_LEVEL_ERROR), WAL_BEGINS));
	/* One of an earlier cut is none of this log. */
	put_begins(m, (struct wal_begins){ MODEL_CLUSTER, MODEL_INCARNATION, 3 });
	expect_damage(m, 4, 0);
	put_begins(m, (struct wal_begins){ MODEL_CLUSTER, MODEL_INCARNATION, 5 });
	model_must_open(m);
}

/* While all is there a log that forgets that it was cut is only longer. */
static void a_lost_mark_of_the_beginning_does_no_harm_before_the_sweep(void **state)
{
	struct model *m = *state;

	make_cut_log(m);
	assert_int_equal(disk_unlink(m->o.disk, WAL_BEGINS), ERR_OK);
	m->cut_least = 0;
	model_must_open(m);
	assert_int_equal(wal_base(m->wal).index, 0);
	model_check_reads(m);
}

static void a_beginning_behind_the_newest_segment_is_damage(void **state)
{
	struct model *m = *state;

	make_cut_log(m);
	put_begins(m, (struct wal_begins){ MODEL_CLUSTER, MODEL_INCARNATION, 9 });
	expect_damage(m, 9, 0);
}

static void a_cut_off_file_is_damage(void **state)
{
	struct model *m = *state;
	struct buf copy = { 0 };

	assert_int_equal(model_append(m, 2, 2, 100, 1000), ERR_OK);
	assert_int_equal(model_settle(m), ERR_OK);
	model_close(m);
	buf_append(&copy, fake_disk_file(m->disk, model_path(2)));
	for (size_t size = 0; size < used(m, 3); size += 1777) {
		fake_disk_put(m->disk, model_path(2), bytes_of(copy.data, size));
		expect_damage(m, 2, size);
	}
	buf_free(&copy);
}

static void a_segment_under_anothers_name_is_damage(void **state)
{
	struct model *m = *state;

	assert_int_equal(model_append(m, 2, 2, 150, 1000), ERR_OK);
	model_close(m);
	fake_disk_put(m->disk, model_path(2), fake_disk_file(m->disk, model_path(3)));
	expect_damage(m, 2, 0);
}

/* A segment of three batches with the same shape whatever its number; the sizes of the file at their ends. `second` is
 * what the second one says. */
static void make_segment(
    struct model *m, uint64_t number, uint64_t cluster, const char *second, bool synced, uint64_t ends[4])
{
	struct wal *w = wal_new(&m->o);
	struct wal_head head = { .number = number, .cluster = cluster, .incarnation = m->o.incarnation };
	const char *name;

	assert_int_equal(wal_segment_begin(w, &head, false, &name), ERR_OK);
	ends[0] = WAL_HEAD_BYTES;
	for (uint64_t i = 1; i <= 3; i++) {
		struct entry entry = { { 1, i }, i, ENTRY_WRITE,
			blob_new(bytes_text(i == 2 ? second : "same")) };

		assert_int_equal(wal_write_batch(w, NULL, &entry, 1), ERR_OK);
		if (synced)
			assert_int_equal(wal_sync(w), ERR_OK);
		ends[i] = wal_last_segment(w)->end;
		blob_unref(entry.data);
	}
	assert_int_equal(wal_segment_publish(w, name), ERR_OK);
	wal_close(w);
}

struct past {
	uint64_t number, cluster;
	const char *second;
	bool synced;
};

/* A log of the first `kept` batches of segment 8, with the bytes of a past segment behind them. */
static void recycle(struct model *m, struct past past, uint64_t kept)
{
	uint64_t ends[4], same[4];
	struct wal_found f;
	struct buf file = { 0 };
	struct bytes old;

	model_close(m);
	fake_disk_free(m->disk);
	m->disk = fake_disk_new();
	m->o.disk = fake_disk_of(m->disk);
	assert_int_equal(disk_make_dir(m->o.disk, "log"), ERR_OK);
	make_segment(m, 8, m->o.cluster, "same", past.synced, ends);
	buf_append(&file, bytes_of(fake_disk_file(m->disk, model_path(8)).data, (size_t)ends[kept]));
	make_segment(m, past.number, past.cluster, past.second, past.synced, same);
	assert_memory_equal(ends, same, sizeof(ends));
	old = fake_disk_file(m->disk, model_path(past.number));
	buf_append(&file, bytes_of(old.data + ends[kept], old.size - (size_t)ends[kept]));
	assert_int_equal(disk_unlink(m->o.disk, model_path(past.number)), ERR_OK);
	fake_disk_put(m->disk, model_path(8), buf_bytes(&file));
	buf_free(&file);

	assert_int_equal(wal_open(&m->wal, &m->o, &f), ERR_OK);
	assert_int_equal(f.last.index, kept);
	assert_int_equal(f.cut_bytes > 0, kept < 3);
	wal_found_free(&f);
}

static void d4_old_batches_of_the_same_shape_are_not_joined(void **state)
{
	struct model *m = *state;

	for (uint64_t kept = 0; kept <= 3; kept++) {
		recycle(m, (struct past){ 7, m->o.cluster, "same", true }, kept);
		recycle(m, (struct past){ 8, m->o.cluster + 1, "same", true }, kept);
	}
}

/* As if the same segment had been written before, up to the second batch otherwise. */
static void d4_batches_of_another_history_of_the_segment_are_not_joined(void **state)
{
	struct model *m = *state;

	recycle(m, (struct past){ 8, m->o.cluster, "else", false }, 2);
}

/* A later segment swears which history comes before it. */
static void a_segment_of_another_history_is_damage(void **state)
{
	struct model *m = *state;
	uint64_t ends[4];
	struct wal *w = wal_new(&m->o);
	struct wal_head head = { .number = 9,
		.cluster = m->o.cluster,
		.incarnation = m->o.incarnation,
		.base = { 1, 3 },
		.base_time_ms = 3 };
	const char *name;

	model_close(m);
	make_segment(m, 8, m->o.cluster, "same", true, ends);
	head.before = (struct wal_end){ 8, ends[3], 12345 };
	assert_int_equal(wal_segment_begin(w, &head, false, &name), ERR_OK);
	assert_int_equal(wal_segment_publish(w, name), ERR_OK);
	wal_close(w);
	expect_damage(m, 9, 0);
}

static void d6_what_only_the_cache_remembers_is_damage(void **state)
{
	struct model *m = *state;
	uint64_t number = model_newest(m, NULL);

	assert_int_equal(model_append(m, 2, 2, 3, 2000), ERR_OK);
	assert_int_equal(model_settle(m), ERR_OK);
	model_close(m);
	fake_disk_rot(m->disk, model_path(number), WAL_HEAD_BYTES + WAL_BLOCK + 1000, 1);
	expect_damage(m, number, WAL_HEAD_BYTES + WAL_BLOCK + 1000);
}

static void a_value_that_looks_like_a_batch_is_no_witness(void **state)
{
	struct model *m = *state;
	uint64_t number = model_newest(m, NULL), at = used(m, number);
	struct blob *evil = blob_alloc(64 * 1024 - 20000);
	struct entry entry = { { 2, 2 }, 100, ENTRY_WRITE, evil };
	struct raft_hard hard = { 2, 0 };
	struct wal_found f;

	/* Somebody who knows the format writes batch heads with marks, but cannot know the seed. */
	for (size_t i = 0; i + WAL_BATCH_BYTES <= evil->size; i += WAL_BATCH_BYTES) {
		struct wal_batch b = { .offset = at + i, .mark = at + i };

		wal_put_batch(evil->data + i, 0, &b);
	}
	fake_disk_die_at(m->disk, fake_disk_calls(m->disk), evil->size / 2);
	assert_int_equal(wal_append(m->wal, &hard, &entry, 1), ERR_IO);
	model_close(m);
	fake_disk_after_kill(m->disk);
	assert_int_equal(wal_open(&m->wal, &m->o, &f), ERR_OK);
	assert_int_equal(f.last.index, 1);
	wal_found_free(&f);
	blob_unref(evil);
}

static void what_a_later_version_wrote_is_not_damage(void **state)
{
	struct model *m = *state;
	struct entry entry = { { 2, 2 }, 100, (enum entry_type)77, blob_new(bytes_text("?")) };

	assert_int_equal(wal_append(m->wal, NULL, &entry, 1), ERR_OK);
	assert_int_equal(wal_sync(m->wal), ERR_OK);
	model_close(m);
	assert_int_equal(model_open(m), ERR_VERSION);
	blob_unref(entry.data);
}

/* Whole and under checksums that fit, but no log: found before the fresh segment is begun. */
static void a_record_that_does_not_follow_changes_nothing(void **state)
{
	struct model *m = *state;
	struct entry entry = { { 1, 5 }, 100, ENTRY_WRITE, blob_new(bytes_text("12345678")) };
	struct wal_head head = {
		.number = model_newest(m, NULL), .cluster = MODEL_CLUSTER, .incarnation = MODEL_INCARNATION
	};
	struct wal_batch batch = { .offset = WAL_HEAD_BYTES };
	struct buf file = { 0 };
	uint32_t seed;
	uint8_t *at;

	seed = batch.chain = wal_put_head(buf_extend(&file, WAL_HEAD_BYTES), &head);
	batch.mark = WAL_HEAD_BYTES;
	batch.size = (uint32_t)wal_entry_bytes(&entry);
	at = buf_extend(&file, WAL_BATCH_BYTES + batch.size);
	wal_put_entry(at + WAL_BATCH_BYTES, wal_put_batch(at, seed, &batch), &entry);
	model_close(m);
	fake_disk_put(m->disk, model_path(head.number), buf_bytes(&file));
	expect_damage(m, head.number, WAL_HEAD_BYTES + WAL_BATCH_BYTES);
	buf_free(&file);
	blob_unref(entry.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    d5_a_bit_flip_in_the_last_settled_batch_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    d5_a_bit_flip_before_the_mark_of_the_next_batch_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    d5_a_bit_flip_in_any_earlier_segment_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(d5_a_bit_flip_in_a_full_segment_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(d5_a_lost_block_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(a_missing_segment_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_missing_segment_is_damage_unless_it_was_cut_away, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_mark_of_the_beginning_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_missing_mark_of_the_beginning_is_damage_once_segments_are_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_lost_mark_of_the_beginning_does_no_harm_before_the_sweep, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_beginning_behind_the_newest_segment_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cut_off_file_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(a_segment_under_anothers_name_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    d4_old_batches_of_the_same_shape_are_not_joined, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    d4_batches_of_another_history_of_the_segment_are_not_joined, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_value_that_looks_like_a_batch_is_no_witness, setup, teardown),
		cmocka_unit_test_setup_teardown(a_segment_of_another_history_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(d6_what_only_the_cache_remembers_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_later_version_wrote_is_not_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_record_that_does_not_follow_changes_nothing, setup, teardown),
	};

	return cmocka_run_group_tests_name("wal_damage", tests, NULL, NULL);
}
