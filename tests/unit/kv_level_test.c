/*
 * links: worker/kv/ common/crc.c common/mem.c common/buf.c common/wire.c tests/common/mem_table.c tests/common/kv_drive.c
 *	tests/common/kv_case.c -lxxhash
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "tests/common/kv_case.h"
#include "tests/common/mem_table.h"
#include "worker/kv/image_frame.h"

#define AS_WRITE true

static void put_three(void)
{
	put("a/1", "x");
	put("a/2", "x");
	put("a/3", "x");
	assert_int_equal(write_steps()->error, ERR_OK);
}

static void delete_first(uint32_t limit)
{
	kv_delete_first_step(&steps, T("a/"), limit);
	write_steps();
}

/* The steps as they would be proposed. */
static enum err check(unsigned level)
{
	struct buf txn = { 0 };
	enum err e;

	kv_txn_put(&txn, &(struct kv_txn){ .steps = buf_bytes(&steps) });
	e = kv_txn_check(buf_bytes(&txn), AS_WRITE, level);
	buf_free(&txn);
	return e;
}

static unsigned level_of_steps(unsigned level, unsigned most)
{
	struct buf txn = { 0 };
	unsigned needed;

	kv_txn_put(&txn, &(struct kv_txn){ .steps = buf_bytes(&steps) });
	needed = kv_txn_level(buf_bytes(&txn), AS_WRITE, level, most);
	buf_free(&txn);
	return needed;
}

/* That this program knows the limit must not matter: a member of another version does not. */
static void c12_limited_delete_at_level_0_is_what_the_first_version_made_of_it(void **state)
{
	(void)state;
	put_three();
	delete_first(2);
	assert_int_equal(d.result.error, ERR_BAD_REQUEST);
	assert_int_equal(kv_changes_count(d.changes), 0);
	expect_held("a/1", "x");
	delete_first(0);
	assert_int_equal(d.result.error, ERR_OK);
	assert_int_equal(drive_step(&d.result, 0).count, 3);
}

static void from_level_1_on_a_limited_delete_takes_the_first_keys_and_says_if_there_are_more(void **state)
{
	(void)state;
	put_three();
	drive_raise(&d, 1);
	delete_first(2);
	assert_int_equal(d.result.error, ERR_OK);
	assert_int_equal(drive_step(&d.result, 0).count, 2);
	assert_int_equal(drive_step(&d.result, 0).more, 1);
	assert_int_equal(kv_changes_count(d.changes), 2);
	expect_held("a/1", NULL);
	expect_held("a/2", NULL);
	expect_held("a/3", "x");
	delete_first(1);
	assert_int_equal(drive_step(&d.result, 0).count, 1);
	assert_int_equal(drive_step(&d.result, 0).more, 0);
}

/* Where the prefix has more than one operation may delete. */
static void a_limited_delete_does_not_look_at_what_it_leaves(void **state)
{
	char key[16];

	(void)state;
	drive_raise(&d, 1);
	for (unsigned i = 0; i < 2 * KV_DELETE_KEYS_MAX; i++) {
		snprintf(key, sizeof(key), "a/%06u", i);
		kv_put_step(&steps, T(key), NONE, NONE);
		if (i % KV_TXN_STEPS_MAX == KV_TXN_STEPS_MAX - 1)
			assert_int_equal(write_steps()->error, ERR_OK);
	}
	delete_first(0);
	assert_int_equal(d.result.error, ERR_TOO_LARGE);
	delete_first(KV_DELETE_KEYS_MAX);
	assert_int_equal(d.result.error, ERR_OK);
	assert_int_equal(drive_step(&d.result, 0).count, KV_DELETE_KEYS_MAX);
	assert_int_equal(drive_step(&d.result, 0).more, 1);
	delete_first(KV_DELETE_KEYS_MAX + 1);
	assert_int_equal(drive_step(&d.result, 0).count, KV_DELETE_KEYS_MAX);
	assert_int_equal(drive_step(&d.result, 0).more, 0);
}

static void the_check_before_it_is_proposed_judges_by_the_same_level(void **state)
{
	(void)state;
	kv_delete_first_step(&steps, T("a"), 2);
	assert_int_equal(check(0), ERR_BAD_REQUEST);
	assert_int_equal(check(1), ERR_OK);
	assert_int_equal(level_of_steps(0, 1), 1);
	assert_int_equal(level_of_steps(1, 1), 1);
	assert_int_equal(level_of_steps(0, 0), 0);
	/* No level makes sense of it. */
	kv_step_put(&steps, &(struct kv_step){ .kind = 99, .key = T("a") });
	assert_int_equal(check(FEATURE_LEVEL_MOST), ERR_BAD_REQUEST);
	assert_int_equal(level_of_steps(0, FEATURE_LEVEL_MOST), 0);
	buf_clear(&steps);
}

static void the_level_is_a_record_of_the_state_and_is_there_after_a_restart(void **state)
{
	struct buf dump = { 0 };

	(void)state;
	drive_put(&d, "k", "v");
	drive_dump(d.table, TABLE_SETTINGS, &dump);
	assert_int_equal(dump.size, 0);
	assert_int_equal(kv_meta(d.kv)->level, 0);
	drive_raise(&d, 1);
	assert_int_equal(kv_meta(d.kv)->level, 1);
	drive_dump(d.table, TABLE_SETTINGS, &dump);
	assert_true(dump.size > 0);
	drive_reopen(&d);
	assert_int_equal(kv_meta(d.kv)->level, 1);
	drive_check_hash(&d);
	buf_free(&dump);
}

/* It would take what it does not know for damage, and might set the log aside to repair itself. */
static void the_first_version_does_not_open_a_state_of_a_higher_level(void **state)
{
	struct buf meta = { 0 };

	(void)state;
	drive_put(&d, "k", "v");
	assert_int_equal(table_get(d.table, TABLE_META, T("applied"), &meta), ERR_OK);
	assert_int_equal(meta.data[0], 1); /* the only format that it opens */
	buf_clear(&meta);
	drive_raise(&d, 1);
	assert_int_equal(table_get(d.table, TABLE_META, T("applied"), &meta), ERR_OK);
	assert_int_not_equal(meta.data[0], 1);
	buf_free(&meta);
}

static void the_level_never_falls(void **state)
{
	(void)state;
	drive_raise(&d, 1);
	drive_raise(&d, 0);
	assert_int_equal(kv_meta(d.kv)->level, 1);
	drive_reopen(&d);
	assert_int_equal(kv_meta(d.kv)->level, 1);
	assert_int_equal(kv_move(d.kv, 9, 1000, T("members"), 0), ERR_OK);
	assert_int_equal(kv_meta(d.kv)->level, 1);
}

static void a_cluster_that_begins_again_does_so_at_the_level_that_it_is_given(void **state)
{
	(void)state;
	drive_put(&d, "k", "v");
	assert_int_equal(kv_move(d.kv, 9, 1000, T("members"), 1), ERR_OK);
	assert_int_equal(kv_meta(d.kv)->level, 1);
	assert_int_equal(kv_meta(d.kv)->applied_index, 1000);
}

/* --- images --- */

static void scan(struct buf *out)
{
	struct table *aside = mem_table_new();
	struct image_scan *s;
	bool more = true;

	assert_int_equal(image_scan_begin(&s, d.kv, aside, 7), ERR_OK);
	while (more)
		assert_int_equal(image_scan_read(s, 1000, out, &more), ERR_OK);
	image_scan_end(s);
	mem_table_free(aside);
}

static void an_image_brings_the_level_with_it(void **state)
{
	struct table *t = mem_table_new();
	struct image_load *l = image_load_begin(t, 1);
	struct image_head head;
	struct buf image = { 0 };
	struct kv *copy;

	(void)state;
	drive_put(&d, "k", "v");
	drive_raise(&d, 1);
	scan(&image);
	assert_int_equal(image_load_frames(l, buf_bytes(&image)), ERR_OK);
	assert_int_equal(image_load_end(l), ERR_OK);
	assert_true(image_load_head(l, &head));
	assert_int_equal(head.level, 1);
	assert_int_equal(kv_open(&copy, t), ERR_OK);
	assert_int_equal(kv_meta(copy)->level, 1);
	kv_close(copy);
	image_load_free(l);
	mem_table_free(t);
	buf_free(&image);
}

/* Nothing of it is loaded: the head says it, and what to do. */
static void an_image_of_a_higher_level_is_refused(void **state)
{
	struct table *t = mem_table_new();
	struct image_load *l = image_load_begin(t, 0);
	struct buf image = { 0 };

	(void)state;
	drive_put(&d, "k", "v");
	drive_raise(&d, 1);
	scan(&image);
	assert_int_equal(image_load_frames(l, buf_bytes(&image)), ERR_VERSION);
	assert_non_null(strstr(image_load_why(l), "feature level 1"));
	assert_non_null(strstr(image_load_why(l), "upgrade"));
	assert_int_equal(mem_table_count(t), 0);
	image_load_free(l);
	mem_table_free(t);
	buf_free(&image);
}

/* A version that knows no levels reads it, as long as the cluster may have such members. */
static void an_image_of_level_0_has_the_format_of_the_first_version(void **state)
{
	struct buf image = { 0 };

	(void)state;
	drive_put(&d, "k", "v");
	scan(&image);
	assert_int_equal(image.data[IMAGE_FRAME_HEAD_BYTES + 1], IMAGE_FORMAT_PLAIN);
	buf_clear(&image);
	drive_raise(&d, 1);
	scan(&image);
	assert_int_equal(image.data[IMAGE_FRAME_HEAD_BYTES + 1], IMAGE_FORMAT_LEVEL);
	buf_free(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, case_setup, case_teardown)
		TEST(c12_limited_delete_at_level_0_is_what_the_first_version_made_of_it),
		TEST(from_level_1_on_a_limited_delete_takes_the_first_keys_and_says_if_there_are_more),
		TEST(a_limited_delete_does_not_look_at_what_it_leaves),
		TEST(the_check_before_it_is_proposed_judges_by_the_same_level),
		TEST(the_level_is_a_record_of_the_state_and_is_there_after_a_restart),
		TEST(the_first_version_does_not_open_a_state_of_a_higher_level),
		TEST(the_level_never_falls),
		TEST(a_cluster_that_begins_again_does_so_at_the_level_that_it_is_given),
		TEST(an_image_brings_the_level_with_it),
		TEST(an_image_of_a_higher_level_is_refused),
		TEST(an_image_of_level_0_has_the_format_of_the_first_version),
	};

	return cmocka_run_group_tests_name("kv_level", tests, NULL, NULL);
}
