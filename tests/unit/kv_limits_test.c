/* links: worker/kv/ common/crc.c common/mem.c common/buf.c common/wire.c tests/common/mem_table.c tests/common/kv_drive.c tests/common/kv_case.c -lxxhash */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "tests/common/kv_case.h"
#include "tests/common/mem_table.h"

static void nesting_is_bounded(void **state)
{
	struct buf none = { 0 };

	(void)state;
	put("k", "v");
	for (int depth = 2; depth <= KV_TXN_DEPTH_MAX; depth++) {
		struct buf inner = steps;

		steps = (struct buf){ 0 };
		drive_nest(&steps, &none, &inner);
		buf_free(&inner);
	}
	struct buf keep = { 0 };
	buf_append(&keep, buf_bytes(&steps));
	assert_int_equal(write_steps()->error, ERR_OK);
	expect_held("k", "v");
	drive_nest(&steps, &none, &keep);
	assert_int_equal(write_steps()->error, ERR_TOO_LARGE);
	buf_free(&keep);
	buf_free(&none);
}

static void put_numbered(unsigned from, unsigned to, size_t value_bytes)
{
	struct buf value = { 0 };
	char key[16];

	buf_extend(&value, value_bytes);
	for (unsigned i = from; i < to; i++) {
		snprintf(key, sizeof(key), "n%06u", i);
		kv_put_step(&steps, T(key), buf_bytes(&value), NONE);
	}
	buf_free(&value);
	assert_int_equal(write_steps()->error, ERR_OK);
}

static void pages_end_at_1000_keys_and_at_2_mib(void **state)
{
	struct kv_step_result step;
	struct buf value = { 0 };
	bool more;

	(void)state;
	put_numbered(0, 1001, 0);
	kv_range_step(&steps, NONE, NONE, 5000, true);
	step = drive_step(drive_read(&d, &steps), 0);
	assert_int_equal(step.count, KV_PAGE_KEYS_MAX);
	assert_int_equal(step.more, 1);
	buf_extend(&value, KV_VALUE_BYTES_MAX);
	for (char key[] = "v1"; key[1] <= '3'; key[1]++) {
		kv_put_step(&steps, T(key), buf_bytes(&value), NONE);
		write_steps();
	}
	buf_free(&value);
	assert_string_equal(drive_range(&d, "v", "", 0, &more), "v1");
	assert_true(more);
	assert_string_equal(drive_range(&d, "v", "v2", 0, &more), "v3");
	assert_false(more);
	kv_range_step(&steps, T("v"), NONE, 0, true);
	assert_string_equal(drive_keys(drive_step(drive_read(&d, &steps), 0)), "v1 v2 v3");
}

static void a_result_is_bounded(void **state)
{
	struct buf value = { 0 };

	(void)state;
	buf_extend(&value, KV_VALUE_BYTES_MAX);
	kv_put_step(&steps, T("big"), buf_bytes(&value), NONE);
	write_steps();
	buf_free(&value);
	for (int i = 0; i < 3; i++)
		kv_get_step(&steps, T("big"));
	assert_int_equal(drive_read(&d, &steps)->error, ERR_OK);
	for (int i = 0; i < 4; i++)
		kv_get_step(&steps, T("big"));
	assert_int_equal(drive_read(&d, &steps)->error, ERR_TOO_LARGE);
	assert_int_equal(d.result.failed_guard, BOUND_RESULT);
	assert_int_equal(d.result.revision, 1);
}

static void a_delete_by_prefix_is_bounded_in_keys(void **state)
{
	(void)state;
	put_numbered(0, 10000, 0);
	put_numbered(10000, 10001, 0);
	put("other", "x");
	kv_delete_prefix_step(&steps, T("n"));
	assert_int_equal(write_steps()->error, ERR_TOO_LARGE);
	assert_int_equal(d.result.present, KV_DELETE_KEYS_MAX + 1);
	assert_int_equal(d.result.failed_guard, BOUND_DELETE_KEYS);
	assert_int_equal(kv_changes_count(d.changes), 0);
	expect_held("other", NULL);
	kv_delete_step(&steps, T("n010000"));
	kv_delete_prefix_step(&steps, T("n"));
	assert_int_equal(write_steps()->error, ERR_OK);
	assert_int_equal(drive_step(&d.result, 1).count, KV_DELETE_KEYS_MAX);
	assert_int_equal(mem_table_count(d.table), 1);
}

static void the_bound_of_deletes_is_the_operations_not_the_steps(void **state)
{
	(void)state;
	put_numbered(0, 6000, 0);
	put_numbered(10000, 14001, 0);
	kv_delete_prefix_step(&steps, T("n00"));
	kv_delete_prefix_step(&steps, T("n01"));
	assert_int_equal(write_steps()->error, ERR_TOO_LARGE);
	expect_held("n000000", "");
}

static void a_delete_by_prefix_is_bounded_in_bytes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 16; i++)
		put_numbered(i, i + 1, KV_VALUE_BYTES_MAX);
	kv_delete_prefix_step(&steps, T("n"));
	assert_int_equal(write_steps()->error, ERR_TOO_LARGE);
	assert_int_equal(d.result.present, 16);
	expect_held("n000017", NULL);
	kv_delete_prefix_step(&steps, T("n00000"));
	assert_int_equal(write_steps()->error, ERR_OK);
	assert_int_equal(drive_step(&d.result, 0).count, 10);
}

static void limits_hold_at_their_edge(void **state)
{
	struct buf value = { 0 }, key = { 0 };

	(void)state;
	buf_extend(&value, KV_VALUE_BYTES_MAX + 1);
	buf_extend(&key, KV_KEY_BYTES_MAX + 1);
	kv_put_step(&steps, bytes_of(key.data, KV_KEY_BYTES_MAX), bytes_of(value.data, KV_VALUE_BYTES_MAX),
	    bytes_of(value.data, KV_CONTENT_TYPE_BYTES_MAX));
	assert_int_equal(write_steps()->error, ERR_OK);
	kv_put_step(&steps, buf_bytes(&key), NONE, NONE);
	assert_int_equal(write_steps()->error, ERR_KEY_TOO_LONG);
	kv_put_step(&steps, T("k"), buf_bytes(&value), NONE);
	assert_int_equal(write_steps()->error, ERR_TOO_LARGE);
	kv_put_step(&steps, T("k"), NONE, bytes_of(value.data, KV_CONTENT_TYPE_BYTES_MAX + 1));
	assert_int_equal(write_steps()->error, ERR_TOO_LARGE);
	kv_put_step(&steps, T(""), T("v"), NONE);
	assert_int_equal(write_steps()->error, ERR_BAD_REQUEST);
	for (int i = 0; i < KV_TXN_STEPS_MAX; i++)
		kv_delete_step(&steps, T("k"));
	kv_delete_step(&otherwise, T("k"));
	assert_int_equal(write_steps()->error, ERR_TOO_LARGE);
	for (int i = 0; i < KV_TXN_STEPS_MAX; i++)
		kv_delete_step(&steps, T("k"));
	assert_int_equal(write_steps()->error, ERR_OK);
	buf_free(&value);
	buf_free(&key);
}

static void what_a_step_does_not_take_is_refused(void **state)
{
	static const struct kv_step bad[] = {
		{ .kind = 0 },
		{ .kind = 7 },
		{ .kind = 255 },
		{ .kind = STEP_DELETE,
		    .key = { (const uint8_t *)"k", 1 },
		    .value = { (const uint8_t *)"v", 1 } },
		{ .kind = STEP_GET, .key = { (const uint8_t *)"k", 1 }, .limit = 1 },
		{ .kind = STEP_RANGE, .keys_only = 2 },
		{ .kind = STEP_TXN, .value = { (const uint8_t *)"v", 1 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put("k", "v");
		kv_step_put(&steps, &bad[i]);
		assert_int_equal(write_steps()->error, ERR_BAD_REQUEST);
		assert_int_equal(kv_changes_count(d.changes), 0);
	}
	put("k", "v");
	assert_int_equal(drive_read(&d, &steps)->error, ERR_BAD_REQUEST);
	kv_guard(&guards, (enum kv_guard_kind)9, T("k"), 0);
	assert_int_equal(write_steps()->error, ERR_BAD_REQUEST);
}

static void ten_thousand_steps_that_read_all_the_time_are_bounded(void **state)
{
	char key[16];

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "n%06u", i * 7919 % 5000);
		put(key, "v");
		kv_range_step(&steps, T("n"), NONE, 1, true);
	}
	assert_int_equal(write_steps()->error, ERR_OK);
	assert_int_equal(mem_table_count(d.table), 5001);
	for (unsigned i = 0; i < 200; i++)
		kv_range_step(&steps, T("n"), NONE, 1000, true);
	assert_int_equal(drive_read(&d, &steps)->error, ERR_TOO_LARGE);
	assert_int_equal(d.result.failed_guard, BOUND_RESULT);
}

/* What an earlier version has let into the log means the same on every node. */
static void operation_over_its_size_is_not_proposed_and_is_applied_where_a_log_has_it(void **state)
{
	struct buf txn = { 0 }, value = { 0 };

	(void)state;
	buf_extend(&value, KV_VALUE_BYTES_MAX);
	for (int i = 0; i <= KV_TXN_BYTES_MAX / KV_VALUE_BYTES_MAX; i++)
		kv_put_step(&steps, T("k"), buf_bytes(&value), NONE);
	kv_txn_put(&txn, &(struct kv_txn){ .steps = buf_bytes(&steps) });
	assert_int_equal(kv_txn_check(buf_bytes(&txn), true, FEATURE_LEVEL_MOST), ERR_TOO_LARGE);
	assert_int_equal(write_steps()->error, ERR_OK);
	buf_free(&txn);
	buf_free(&value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, case_setup, case_teardown)
		TEST(nesting_is_bounded),
		TEST(pages_end_at_1000_keys_and_at_2_mib),
		TEST(a_result_is_bounded),
		TEST(a_delete_by_prefix_is_bounded_in_keys),
		TEST(the_bound_of_deletes_is_the_operations_not_the_steps),
		TEST(a_delete_by_prefix_is_bounded_in_bytes),
		TEST(limits_hold_at_their_edge),
		TEST(what_a_step_does_not_take_is_refused),
		TEST(operation_over_its_size_is_not_proposed_and_is_applied_where_a_log_has_it),
		TEST(ten_thousand_steps_that_read_all_the_time_are_bounded),
	};

	return cmocka_run_group_tests_name("kv_limits", tests, NULL, NULL);
}
