/*
 * links: worker/kv/ common/crc.c common/mem.c common/buf.c common/wire.c common/random.c tests/common/mem_table.c
 *	tests/common/kv_drive.c tests/common/kv_random.c tests/common/image_copy.c -lxxhash
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "common/crc.h"
#include "tests/common/image_copy.h"
#include "tests/common/kv_random.h"
#include "tests/common/mem_table.h"
#include "worker/kv/hash.h"
#include "worker/kv/image_frame.h"

#define CLUSTER 77
#define T(text) bytes_text(text)

/* --- a state and its image --- */

static void random_entry(struct drive *d, struct random *r, struct buf *command)
{
	buf_clear(command);
	kv_random_command(r, command);
	d->time_ms += random_below(r, 5000);
	drive_command(d, buf_bytes(command), random_below(r, 4) == 0);
}

static void random_members(struct drive *d, struct random *r)
{
	uint64_t index = kv_meta(d->kv)->applied_index + 1;
	uint64_t members = random_next(r);

	assert_int_equal(
	    kv_apply_members(d->kv, index, bytes_of(&members, sizeof(members)), 0, d->changes), ERR_OK);
	assert_int_equal(kv_settle(d->kv, 1, index, d->time_ms, d->changes), ERR_OK);
}

/* Entries of any kind. */
static void live(struct drive *d, struct random *r, unsigned count)
{
	struct buf command = { 0 };

	for (unsigned i = 0; i < count; i++) {
		if (random_below(r, 20) == 0)
			random_members(d, r);
		else
			random_entry(d, r, &command);
	}
	buf_free(&command);
}

static void expect_equal_tables(struct table *a, struct table *b)
{
	struct buf one = { 0 }, two = { 0 };

	for (enum kv_table table = TABLE_KEYS; table <= TABLE_ACCESS; table++) {
		drive_dump(a, table, &one);
		drive_dump(b, table, &two);
		assert_true(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
	}
	buf_free(&one);
	buf_free(&two);
}

/* Every kind of record is in it (S6), and what is applied while it is made is not. */
static void one_image(uint64_t seed)
{
	struct random r = { seed * 1000003 }, again;
	struct image_copy copy;
	struct drive d, model, loaded;
	unsigned count = (unsigned)random_below(&r, 300);

	again = r;
	drive_start(&d, mem_table_new());
	drive_start(&model, mem_table_new());
	live(&d, &r, count);
	live(&model, &again, count);
	image_copy_begin(&copy, d.kv, mem_table_new(), CLUSTER);
	while (image_copy_more(&copy, (size_t)random_below(&r, 2000)))
		live(&d, &r, (unsigned)random_below(&r, 6));
	drive_start(&loaded, mem_table_new());
	assert_int_equal(image_copy_load(&copy, loaded.table, &r), ERR_OK);
	mem_table_free(image_copy_end(&copy));
	drive_reopen(&loaded);

	assert_memory_equal(kv_meta(model.kv), kv_meta(loaded.kv), sizeof(struct kv_meta));
	expect_equal_tables(model.table, loaded.table);
	drive_check_hash(&loaded);
	assert_true(kv_is_image(loaded.kv));

	/* What is kept beside the records is right, too: tokens expire in both alike. */
	again = r;
	loaded.time_ms = model.time_ms;
	live(&model, &r, 100);
	live(&loaded, &again, 100);
	assert_false(kv_is_image(loaded.kv));
	assert_memory_equal(kv_meta(model.kv), kv_meta(loaded.kv), sizeof(struct kv_meta));
	expect_equal_tables(model.table, loaded.table);
	drive_check_hash(&d);
	drive_stop(&d);
	drive_stop(&model);
	drive_stop(&loaded);
	mem_table_free(d.table);
	mem_table_free(model.table);
	mem_table_free(loaded.table);
}

static void s6_an_image_is_the_state_as_of_its_index_whatever_is_applied_meanwhile(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 150; seed++)
		one_image(seed);
}

/* --- slices are bounded --- */

static void put_many(struct drive *d, const char *prefix, unsigned count)
{
	char key[32];

	for (unsigned i = 0; i < count; i++) {
		snprintf(key, sizeof(key), "%s%06u", prefix, i);
		drive_put(d, key, "a value of some length, of which there are many");
	}
}

static void delete_all(struct drive *d, const char *prefix)
{
	struct buf steps = { 0 };
	uint64_t count;

	do {
		struct kv_step_result step;

		kv_range_step(&steps, T(prefix), T(""), 500, true);
		step = drive_step(drive_read(d, &steps), 0);
		count = step.count;
		struct reader r = reader_of(step.records);
		struct kv_record record;

		while (r.left > 0 && kv_record_get(&r, &record))
			kv_delete_step(&steps, record.key);
		if (steps.size > 0)
			drive_write(d, T(""), NULL, &steps, NULL);
	} while (count > 0);
	buf_free(&steps);
}

/* A table that counts what a scan visits. */
struct counting {
	struct table table;
	struct table *inside;
	size_t visits;
	bool (*visit)(void *arg, struct bytes key, struct bytes record);
	void *arg;
};

static bool count_visit(void *arg, struct bytes key, struct bytes record)
{
	struct counting *c = arg;

	c->visits++;
	return c->visit(c->arg, key, record);
}

static enum err count_get(struct table *t, enum kv_table table, struct bytes key, struct buf *record)
{
	return table_get(((struct counting *)t)->inside, table, key, record);
}

static enum err count_put(struct table *t, enum kv_table table, struct bytes key, struct bytes record)
{
	return table_put(((struct counting *)t)->inside, table, key, record);
}

static enum err count_remove(struct table *t, enum kv_table table, struct bytes key)
{
	return table_remove(((struct counting *)t)->inside, table, key);
}

static enum err count_scan(struct table *t, enum kv_table table, struct bytes from,
    bool (*visit)(void *arg, struct bytes key, struct bytes record), void *arg)
{
	struct counting *c = (struct counting *)t;

	c->visit = visit;
	c->arg = arg;
	return table_scan(c->inside, table, from, count_visit, c);
}

static enum err count_commit(struct table *t)
{
	return table_commit(((struct counting *)t)->inside);
}

static const struct table_ops counting_ops = { count_get, count_put, count_remove, count_scan, count_commit,
	count_commit, count_commit };

#define SLICE 4096
#define VISITS_MOST 400 /* what a slice may look at in either table */

static size_t read_counted(struct image_copy *c, struct counting *a, struct counting *b)
{
	size_t slices = 0;
	bool more;

	do {
		slices++;
		a->visits = b->visits = 0;
		more = image_copy_more(c, SLICE);
		assert_in_range(a->visits, 0, VISITS_MOST);
		assert_in_range(b->visits, 0, VISITS_MOST);
	} while (more);
	return slices;
}

/* Whole ranges of keys that came or went behind the scan's beginning must not be passed by in one slice: nothing else
 * is applied meanwhile. */
static void s9_no_slice_is_long_whatever_was_put_aside(void **state)
{
	struct counting side = { { &counting_ops }, mem_table_new(), 0, NULL, NULL };
	struct counting aside = { { &counting_ops }, mem_table_new(), 0, NULL, NULL };
	struct image_copy copy;
	struct table *loaded = mem_table_new();
	struct drive d;
	struct kv_meta meta;

	(void)state;
	drive_start(&d, &side.table);
	put_many(&d, "a", 3000);
	put_many(&d, "m", 3000);
	meta = *kv_meta(d.kv);
	image_copy_begin(&copy, d.kv, &aside.table, CLUSTER);
	delete_all(&d, "a");
	put_many(&d, "f", 20000);
	assert_true(read_counted(&copy, &side, &aside) > 100);
	assert_int_equal(image_copy_load(&copy, loaded, NULL), ERR_OK);
	assert_int_equal(mem_table_count(loaded), 6000 + 2);
	image_copy_end(&copy);
	drive_stop(&d);
	drive_start(&d, loaded);
	assert_memory_equal(kv_meta(d.kv), &meta, sizeof(meta));
	drive_check_hash(&d);
	drive_stop(&d);
	mem_table_free(loaded);
	mem_table_free(side.inside);
	mem_table_free(aside.inside);
}

/* --- what is put aside --- */

static void only_the_first_old_record_counts(void **state)
{
	struct image_copy copy;
	struct kv_record record;
	struct drive d, loaded;

	(void)state;
	drive_start(&d, mem_table_new());
	drive_put(&d, "k", "one");
	image_copy_begin(&copy, d.kv, mem_table_new(), CLUSTER);
	drive_put(&d, "k", "two");
	drive_put(&d, "k", "three");
	drive_put(&d, "later", "x");
	drive_put(&d, "later", "y");
	while (image_copy_more(&copy, 1))
		;
	drive_start(&loaded, mem_table_new());
	assert_int_equal(image_copy_load(&copy, loaded.table, NULL), ERR_OK);
	drive_reopen(&loaded);
	assert_true(drive_get(&loaded, T("k"), &record));
	assert_true(bytes_equal(record.value, T("one")));
	assert_false(drive_get(&loaded, T("later"), &record));
	mem_table_free(image_copy_end(&copy));
	drive_stop(&d);
	drive_stop(&loaded);
	mem_table_free(d.table);
	mem_table_free(loaded.table);
}

static void nothing_is_put_aside_behind_the_scan_or_without_one(void **state)
{
	struct image_copy copy;
	struct table *aside = mem_table_new();
	struct drive d;

	(void)state;
	drive_start(&d, mem_table_new());
	put_many(&d, "k", 100);
	image_copy_begin(&copy, d.kv, aside, CLUSTER);
	while (copy.frames.size < 2000)
		assert_true(image_copy_more(&copy, 100));
	drive_put(&d, "k000000", "behind");
	drive_put(&d, "j", "behind");
	assert_int_equal(mem_table_count(aside), 0);
	drive_put(&d, "k000099", "before");
	drive_put(&d, "l", "before");
	assert_int_equal(mem_table_count(aside), 2);
	assert_ptr_equal(image_copy_end(&copy), aside);
	drive_put(&d, "m", "without");
	assert_int_equal(mem_table_count(aside), 2);
	mem_table_free(aside);
	drive_stop(&d);
	mem_table_free(d.table);
}

static enum err no_space(struct table *t, enum kv_table table, struct bytes key, struct bytes record)
{
	(void)t;
	(void)table;
	(void)key;
	(void)record;
	return ERR_NO_SPACE;
}

/* The scan is over then, and the state goes on. */
static void an_aside_that_fails_does_the_state_no_harm(void **state)
{
	struct table_ops full_ops = counting_ops;
	struct counting aside = { { &full_ops }, mem_table_new(), 0, NULL, NULL };
	struct image_scan *scan;
	struct buf out = { 0 };
	struct drive d;
	bool more;

	(void)state;
	full_ops.put = no_space;
	drive_start(&d, mem_table_new());
	put_many(&d, "k", 10);
	assert_int_equal(image_scan_begin(&scan, d.kv, &aside.table, CLUSTER), ERR_OK);
	assert_int_equal(image_scan_index(scan), 10);
	drive_put(&d, "k000005", "changed");
	drive_put(&d, "k000006", "changed");
	assert_int_equal(kv_meta(d.kv)->applied_index, 12);
	assert_int_equal(image_scan_read(scan, 100, &out, &more), ERR_NO_SPACE);
	assert_int_equal(out.size, 0);
	image_scan_end(scan);
	drive_check_hash(&d);
	drive_stop(&d);
	mem_table_free(d.table);
	mem_table_free(aside.inside);
	buf_free(&out);
}

/* --- what is refused --- */

/* An image of two tables in small frames. */
static void make_frames(struct buf *frames)
{
	struct image_copy copy;
	struct random r = { 9 };
	struct drive d;

	drive_start(&d, mem_table_new());
	live(&d, &r, 60);
	image_copy_begin(&copy, d.kv, mem_table_new(), CLUSTER);
	while (image_copy_more(&copy, 300))
		;
	buf_append(frames, buf_bytes(&copy.frames));
	mem_table_free(image_copy_end(&copy));
	drive_stop(&d);
	mem_table_free(d.table);
}

/* The whole of an attempt; the reason is printed by a test that fails. */
static enum err load(struct bytes frames, const char *why)
{
	struct table *t = mem_table_new();
	struct image_load *l = image_load_begin(t, FEATURE_LEVEL_MOST);
	struct image_head head;
	enum err e;

	assert_false(image_load_head(l, &head));
	if ((e = image_load_frames(l, frames)) == ERR_OK && (e = image_load_end(l)) == ERR_OK) {
		assert_true(image_load_head(l, &head));
		assert_int_equal(head.cluster, CLUSTER);
	}
	if (why != NULL && strstr(image_load_why(l), why) == NULL)
		fail_msg("'%s' instead of '%s'", image_load_why(l), why);
	if (e == ERR_DAMAGED || e == ERR_VERSION) {
		struct buf meta = { 0 };

		assert_true(image_load_why(l)[0] != '\0');
		drive_dump(t, TABLE_META, &meta);
		assert_int_equal(meta.size, 0);
	}
	image_load_free(l);
	mem_table_free(t);
	return e;
}

static size_t frame_size(struct bytes frames, size_t at)
{
	return IMAGE_FRAME_HEAD_BYTES + wire_load_u32(frames.data + at);
}

/* The frames with the checksums that they should have. */
static void seal(struct buf *frames)
{
	struct bytes b = buf_bytes(frames);
	uint32_t crc = 0;

	for (size_t at = 0; at < b.size; at += frame_size(b, at)) {
		crc = crc32c(crc, bytes_of(b.data + at + IMAGE_FRAME_HEAD_BYTES,
				      frame_size(b, at) - IMAGE_FRAME_HEAD_BYTES));
		wire_store_u32(frames->data + at + 4, crc);
	}
}

static void a_bit_that_turned_is_found(void **state)
{
	struct buf frames = { 0 };

	(void)state;
	make_frames(&frames);
	assert_int_equal(load(buf_bytes(&frames), NULL), ERR_OK);
	for (size_t i = 0; i < frames.size; i++) {
		frames.data[i] ^= (uint8_t)(1U << (i % 8));
		assert_int_equal(load(buf_bytes(&frames), NULL), ERR_DAMAGED);
		frames.data[i] ^= (uint8_t)(1U << (i % 8));
	}
	buf_free(&frames);
}

static void an_end_that_is_missing_is_found(void **state)
{
	struct buf frames = { 0 };

	(void)state;
	make_frames(&frames);
	for (size_t size = 0; size < frames.size; size++)
		assert_int_equal(load(bytes_of(frames.data, size), NULL), ERR_DAMAGED);
	buf_free(&frames);
}

#define EMPTY_FRAME_BYTES (IMAGE_FRAME_HEAD_BYTES + 1)

/* One frame is left out, or given twice, or two change places. */
static void frames_out_of_order_are_found(void **state)
{
	struct buf frames = { 0 }, other = { 0 };
	size_t next, size;

	(void)state;
	make_frames(&frames);
	for (size_t at = 0; at < frames.size; at = next) {
		next = at + frame_size(buf_bytes(&frames), at);
		buf_clear(&other);
		buf_append(&other, bytes_of(frames.data, at));
		buf_append(&other, bytes_of(frames.data + next, frames.size - next));
		assert_int_equal(load(buf_bytes(&other), NULL), ERR_DAMAGED);
		buf_clear(&other);
		buf_append(&other, bytes_of(frames.data, next));
		buf_append(&other, bytes_of(frames.data + at, frames.size - at));
		assert_int_equal(load(buf_bytes(&other), NULL), ERR_DAMAGED);
		if (next == frames.size)
			break;
		size = frame_size(buf_bytes(&frames), next);
		buf_clear(&other);
		buf_append(&other, bytes_of(frames.data, at));
		buf_append(&other, bytes_of(frames.data + next, size));
		buf_append(&other, bytes_of(frames.data + at, next - at));
		buf_append(&other, bytes_of(frames.data + next + size, frames.size - next - size));
		assert_int_equal(load(buf_bytes(&other), NULL), ERR_DAMAGED);
		/* The checksums alone are not all that tells; only a frame without records may be anywhere. */
		seal(&other);
		if (size > EMPTY_FRAME_BYTES && next - at > EMPTY_FRAME_BYTES)
			assert_int_equal(load(buf_bytes(&other), NULL), ERR_DAMAGED);
	}
	buf_free(&frames);
	buf_free(&other);
}

static void put_frame(struct buf *frames, uint8_t mark, const struct buf *payload)
{
	wire_put_u32(frames, (uint32_t)payload->size + 1);
	wire_put_u32(frames, 0);
	wire_put_u8(frames, mark);
	buf_append(frames, buf_bytes(payload));
}

struct made {
	struct image_frame_head head;
	struct image_frame_record records[3];
	struct image_frame_end end;
	uint8_t marks[3];
};

static void expect_made(const struct made *m, enum err e, const char *why)
{
	struct buf frames = { 0 }, payload = { 0 };

	image_frame_head_put(&payload, &m->head);
	put_frame(&frames, m->marks[0], &payload);
	buf_clear(&payload);
	for (size_t i = 0; i < 3 && m->records[i].record.size > 0; i++)
		image_frame_record_put(&payload, &m->records[i]);
	put_frame(&frames, m->marks[1], &payload);
	buf_clear(&payload);
	image_frame_end_put(&payload, &m->end);
	put_frame(&frames, m->marks[2], &payload);
	seal(&frames);
	assert_int_equal(load(buf_bytes(&frames), why), e);
	buf_free(&frames);
	buf_free(&payload);
}

static struct made make(void)
{
	struct made m = {
		.head = { .format = IMAGE_FORMAT_PLAIN, .cluster = CLUSTER, .term = 2, .index = 9 },
		.records = { { TABLE_KEYS, T("a"), T("1") }, { TABLE_KEYS, T("b"), T("2") },
		    { TABLE_ACCESS, T("a"), T("3") } },
		.end = { 3, 6 },
		.marks = { IMAGE_HEAD, IMAGE_RECORD, IMAGE_END },
	};
	struct kv_hash h = { 0 };

	for (size_t i = 0; i < 3; i++)
		hash_add(&h, (enum kv_table)m.records[i].table, m.records[i].key, m.records[i].record);
	m.head.hash_low = h.low;
	m.head.hash_high = h.high;
	return m;
}

static void what_makes_no_sense_is_refused_though_its_checksums_are_right(void **state)
{
	struct made m = make();

	(void)state;
	expect_made(&m, ERR_OK, "");
	m.head.format = IMAGE_FORMAT_LEVEL + 1;
	expect_made(&m, ERR_VERSION, "frame 1: the format is not known");
	m = make();
	m.records[1].key = T("a");
	expect_made(&m, ERR_DAMAGED, "frame 2: records are not in the order");
	m = make();
	m.records[0].key = T("c");
	expect_made(&m, ERR_DAMAGED, "not in the order");
	m = make();
	m.records[2].table = TABLE_META;
	expect_made(&m, ERR_DAMAGED, "not in the order");
	m.records[2].table = TABLE_ACCESS + 1;
	expect_made(&m, ERR_DAMAGED, "not in the order");
	m.records[2].table = 255;
	expect_made(&m, ERR_DAMAGED, "not in the order");
	m = make();
	m.records[0].table = TABLE_META;
	expect_made(&m, ERR_DAMAGED, "not in the order");
	m = make();
	m.end.records++;
	expect_made(&m, ERR_DAMAGED, "not hold as many records");
	m = make();
	m.end.bytes--;
	expect_made(&m, ERR_DAMAGED, "not hold as many records");
	m = make();
	m.head.tokens = 1;
	expect_made(&m, ERR_DAMAGED, "not hold as many records");
	m = make();
	m.head.hash_high++;
	expect_made(&m, ERR_DAMAGED, "the hash differs");
	m = make();
	m.records[1].record = T("x");
	expect_made(&m, ERR_DAMAGED, "the hash differs");
	m = make();
	m.marks[1] = IMAGE_HEAD;
	expect_made(&m, ERR_DAMAGED, "frame 2: a second head");
	m = make();
	m.marks[0] = IMAGE_RECORD;
	expect_made(&m, ERR_DAMAGED, "the head is missing");
	m = make();
	m.marks[1] = IMAGE_END + 1;
	expect_made(&m, ERR_DAMAGED, "no known kind");
}

static void nothing_comes_after_the_end(void **state)
{
	struct buf frames = { 0 }, nothing = { 0 };

	(void)state;
	make_frames(&frames);
	put_frame(&frames, IMAGE_RECORD, &nothing);
	seal(&frames);
	assert_int_equal(load(buf_bytes(&frames), "lies behind the end"), ERR_DAMAGED);
	frames.size -= IMAGE_FRAME_HEAD_BYTES;
	assert_int_equal(load(buf_bytes(&frames), "cut short"), ERR_DAMAGED);
	buf_free(&frames);
}

static void a_reader_of_a_file_finds_where_frames_end(void **state)
{
	struct buf frames = { 0 };
	size_t whole = 0, last = 0;

	(void)state;
	make_frames(&frames);
	for (size_t size = 0; size <= frames.size; size++) {
		whole = image_frames_whole(bytes_of(frames.data, size));
		assert_true(whole >= last && whole <= size);
		if (whole > last)
			assert_int_equal(size, whole);
		last = whole;
	}
	assert_int_equal(whole, frames.size);
	wire_store_u32(frames.data, UINT32_MAX);
	assert_int_equal(image_frames_whole(bytes_of(frames.data, 20)), 20);
	assert_int_equal(image_frames_whole(bytes_of(frames.data, 7)), 0);
	buf_free(&frames);
}

/* --- marks --- */

static void quarantine_outlives_a_crash_and_not_an_image(void **state)
{
	struct image_copy copy;
	struct table *fresh = mem_table_new();
	struct drive d;

	(void)state;
	drive_start(&d, mem_table_new());
	drive_put(&d, "k", "v");
	assert_null(kv_quarantined(d.kv));
	assert_int_equal(kv_quarantine(d.kv, T("it differs")), ERR_OK);
	mem_table_crash(d.table, mem_table_volatile(d.table));
	drive_reopen(&d);
	assert_string_equal(kv_quarantined(d.kv), "it differs");
	assert_int_equal(kv_meta(d.kv)->applied_index, 1);
	image_copy_begin(&copy, d.kv, mem_table_new(), CLUSTER);
	while (image_copy_more(&copy, 1000))
		;
	assert_int_equal(image_copy_load(&copy, fresh, NULL), ERR_OK);
	mem_table_free(image_copy_end(&copy));
	drive_stop(&d);
	mem_table_free(d.table);
	drive_start(&d, fresh);
	assert_null(kv_quarantined(d.kv));
	assert_true(kv_is_image(d.kv));
	drive_put(&d, "k", "w");
	assert_false(kv_is_image(d.kv));
	drive_stop(&d);
	mem_table_free(fresh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(s6_an_image_is_the_state_as_of_its_index_whatever_is_applied_meanwhile),
		cmocka_unit_test(s9_no_slice_is_long_whatever_was_put_aside),
		cmocka_unit_test(only_the_first_old_record_counts),
		cmocka_unit_test(nothing_is_put_aside_behind_the_scan_or_without_one),
		cmocka_unit_test(an_aside_that_fails_does_the_state_no_harm),
		cmocka_unit_test(a_bit_that_turned_is_found),
		cmocka_unit_test(an_end_that_is_missing_is_found),
		cmocka_unit_test(frames_out_of_order_are_found),
		cmocka_unit_test(what_makes_no_sense_is_refused_though_its_checksums_are_right),
		cmocka_unit_test(nothing_comes_after_the_end),
		cmocka_unit_test(a_reader_of_a_file_finds_where_frames_end),
		cmocka_unit_test(quarantine_outlives_a_crash_and_not_an_image),
	};

	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
