/* links: worker/kv/ common/crc.c common/mem.c common/buf.c common/wire.c common/random.c tests/common/mem_table.c tests/common/kv_drive.c tests/common/kv_case.c -lxxhash */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "common/random.h"
#include "tests/common/kv_case.h"
#include "tests/common/mem_table.h"

static void a_put_creates_and_then_modifies(void **state)
{
	struct kv_record r;

	(void)state;
	kv_put_step(&steps, T("k"), T("one"), T("text/plain"));
	assert_int_equal(write_steps()->revision, 1);
	assert_int_equal(drive_step(&d.result, 0).count, 1);
	assert_true(drive_get(&d, T("k"), &r));
	assert_true(r.create == 1 && r.modify == 1 && r.version == 1);
	assert_true(bytes_equal(r.content_type, T("text/plain")));
	put("k", "two");
	assert_int_equal(drive_step(write_steps(), 0).count, 0);
	assert_true(drive_get(&d, T("k"), &r));
	assert_true(r.create == 1 && r.modify == 2 && r.version == 2);
	assert_int_equal(r.content_type.size, 0);
	assert_true(bytes_equal(r.value, T("two")));
}

static void an_empty_value_is_a_value(void **state)
{
	(void)state;
	drive_put(&d, "k", "");
	expect_held("k", "");
}

static void a_delete_says_what_it_did(void **state)
{
	(void)state;
	drive_put(&d, "k", "v");
	kv_delete_step(&steps, T("k"));
	kv_delete_step(&steps, T("k"));
	write_steps();
	assert_int_equal(drive_step(&d.result, 0).count, 1);
	assert_int_equal(drive_step(&d.result, 1).count, 0);
	assert_int_equal(kv_changes_count(d.changes), 1);
	expect_held("k", NULL);
	assert_int_equal(kv_meta(d.kv)->hash.low, 0);
	assert_int_equal(kv_meta(d.kv)->hash.high, 0);
}

static void a_key_put_again_after_its_delete_is_new(void **state)
{
	struct kv_record r;

	(void)state;
	drive_put(&d, "k", "v");
	kv_delete_step(&steps, T("k"));
	put("k", "w");
	put("k", "x");
	write_steps();
	assert_true(drive_get(&d, T("k"), &r));
	assert_true(r.create == 2 && r.modify == 2 && r.version == 2);
}

static void later_steps_see_earlier_ones(void **state)
{
	(void)state;
	drive_put(&d, "a", "1");
	drive_put(&d, "c", "1");
	put("b", "2");
	kv_get_step(&steps, T("b"));
	kv_delete_step(&steps, T("a"));
	kv_range_step(&steps, NONE, NONE, 0, false);
	kv_delete_prefix_step(&steps, T("b"));
	kv_get_step(&steps, T("b"));
	put("d", "2");
	kv_range_step(&steps, NONE, T("a"), 1, true);
	write_steps();
	assert_int_equal(drive_step(&d.result, 1).count, 1);
	assert_string_equal(drive_keys(drive_step(&d.result, 3)), "b c");
	assert_int_equal(drive_step(&d.result, 4).count, 1);
	assert_int_equal(drive_step(&d.result, 5).count, 0);
	assert_string_equal(drive_keys(drive_step(&d.result, 7)), "c");
	assert_int_equal(drive_step(&d.result, 7).more, 1);
	expect_held("a", NULL);
	expect_held("d", "2");
}

static void changes_tell_old_and_new_in_order(void **state)
{
	struct kv_change first, second;

	(void)state;
	put("k", "v");
	kv_delete_step(&steps, T("k"));
	write_steps();
	assert_int_equal(kv_changes_count(d.changes), 2);
	first = kv_changes_at(d.changes, 0);
	second = kv_changes_at(d.changes, 1);
	assert_int_equal(first.table, TABLE_KEYS);
	assert_true(bytes_equal(first.key, T("k")) && bytes_equal(second.key, T("k")));
	assert_int_equal(first.old_record.size, 0);
	assert_true(bytes_equal(first.new_record, second.old_record));
	assert_int_equal(second.new_record.size, 0);
}

static void each_kind_of_guard_holds_and_fails(void **state)
{
	static const struct {
		enum kv_guard_kind kind;
		const char *key;
		uint64_t modify;
		bool holds;
	} cases[] = {
		{ GUARD_MODIFY, "k", 1, true },
		{ GUARD_MODIFY, "k", 2, false },
		{ GUARD_MODIFY, "k", 0, false },
		{ GUARD_MODIFY, "none", 0, true },
		{ GUARD_MODIFY, "none", 1, false },
		{ GUARD_ABSENT, "k", 0, false },
		{ GUARD_ABSENT, "none", 0, true },
		{ GUARD_EXISTS, "k", 0, true },
		{ GUARD_EXISTS, "none", 0, false },
	};

	(void)state;
	drive_put(&d, "k", "v");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool exists = strcmp(cases[i].key, "k") == 0;

		kv_guard(&guards, GUARD_EXISTS, T("k"), 0);
		kv_guard(&guards, cases[i].kind, T(cases[i].key), cases[i].modify);
		put("other", "x");
		write_steps();
		assert_int_equal(d.result.error, cases[i].holds ? ERR_OK : ERR_CONDITION);
		assert_int_equal(kv_changes_count(d.changes), cases[i].holds);
		if (!cases[i].holds) {
			assert_int_equal(d.result.failed_guard, 1);
			assert_int_equal(d.result.present, exists ? 1 : 0);
			assert_int_equal(d.result.steps.size, 0);
		}
	}
}

static void a_failed_guard_leads_to_the_other_steps(void **state)
{
	(void)state;
	kv_guard(&guards, GUARD_EXISTS, T("k"), 0);
	put("k", "then");
	kv_put_step(&otherwise, T("k"), T("otherwise"), NONE);
	write_steps();
	assert_int_equal(d.result.error, ERR_OK);
	assert_int_equal(d.result.otherwise, 1);
	expect_held("k", "otherwise");
	kv_guard(&guards, GUARD_EXISTS, T("k"), 0);
	put("k", "then");
	kv_put_step(&otherwise, T("k"), T("otherwise"), NONE);
	write_steps();
	assert_int_equal(d.result.otherwise, 0);
	expect_held("k", "then");
}

static struct kv_result nested_result(struct kv_step_result step)
{
	struct reader r = reader_of(step.records);
	struct kv_result result;

	kv_result_get(&r, &result);
	assert_true(reader_done(&r));
	return result;
}

static void nested_guards_see_what_came_before(void **state)
{
	struct buf inner = { 0 };
	struct kv_result first, second;

	(void)state;
	put("k", "1");
	kv_guard(&guards, GUARD_EXISTS, T("k"), 0);
	kv_put_step(&inner, T("seen"), T("x"), NONE);
	kv_get_step(&inner, T("seen"));
	drive_nest(&steps, &guards, &inner);
	kv_guard(&guards, GUARD_ABSENT, T("seen"), 0);
	kv_put_step(&inner, T("never"), T("x"), NONE);
	drive_nest(&steps, &guards, &inner);
	put("after", "1");
	write_steps();
	assert_int_equal(d.result.error, ERR_OK);
	first = nested_result(drive_step(&d.result, 1));
	second = nested_result(drive_step(&d.result, 2));
	assert_int_equal(first.error, ERR_OK);
	assert_int_equal(drive_step(&first, 1).count, 1);
	assert_int_equal(second.error, ERR_CONDITION);
	assert_int_equal(second.present, 1);
	expect_held("seen", "x");
	expect_held("never", NULL);
	expect_held("after", "1");
	buf_free(&inner);
}

static void pages_end_at_their_limit_and_go_on_behind(void **state)
{
	bool more;

	(void)state;
	drive_put(&d, "a/1", "");
	drive_put(&d, "a/2", "");
	drive_put(&d, "a/3", "");
	drive_put(&d, "b", "");
	assert_string_equal(drive_range(&d, "a/", "", 2, &more), "a/1 a/2");
	assert_true(more);
	assert_string_equal(drive_range(&d, "a/", "a/2", 2, &more), "a/3");
	assert_false(more);
	assert_string_equal(drive_range(&d, "a/", "a/3", 2, &more), "");
	assert_string_equal(drive_range(&d, "a/", "A", 3, &more), "a/1 a/2 a/3");
	assert_false(more);
	assert_string_equal(drive_range(&d, "a/", "z", 3, &more), "");
	assert_string_equal(drive_range(&d, "", "", 0, &more), "a/1 a/2 a/3 b");
	assert_string_equal(drive_range(&d, "b", "b", 0, &more), "");
}

static void members_are_one_record(void **state)
{
	struct buf got = { 0 };
	uint64_t index;

	(void)state;
	assert_int_equal(kv_members(d.kv, &index, &got), ERR_NOT_FOUND);
	for (uint64_t i = 1; i <= 2; i++) {
		assert_int_equal(kv_apply_members(d.kv, i, T(i == 1 ? "abc" : ""), 0, d.changes), ERR_OK);
		assert_int_equal(kv_settle(d.kv, 1, i, 0, d.changes), ERR_OK);
		assert_int_equal(kv_commit(d.kv), ERR_OK);
		buf_clear(&got);
		assert_int_equal(kv_members(d.kv, &index, &got), ERR_OK);
		assert_int_equal(index, i);
		assert_true(bytes_equal(buf_bytes(&got), T(i == 1 ? "abc" : "")));
	}
	buf_free(&got);
}

static void a_state_machine_goes_on_where_it_was_committed(void **state)
{
	struct kv_meta before;

	(void)state;
	drive_put(&d, "k", "v");
	drive_put(&d, "k", "w");
	before = *kv_meta(d.kv);
	drive_reopen(&d);
	assert_memory_equal(&before, kv_meta(d.kv), sizeof(before));
	assert_int_equal(drive_put(&d, "k", "x")->revision, 3);
}

static void the_same_state_by_another_path_has_the_same_hash(void **state)
{
	struct table *t = mem_table_new();
	struct drive e;

	(void)state;
	drive_start(&e, t);
	put("a", "1");
	put("b", "2");
	write_steps();
	put("c", "3");
	write_steps();
	kv_delete_step(&steps, T("c"));
	write_steps();
	put("x", "1");
	kv_delete_prefix_step(&steps, T("x"));
	put("b", "2");
	put("a", "1");
	drive_write(&e, NONE, NULL, &steps, NULL);
	assert_int_equal(kv_meta(e.kv)->hash.low, kv_meta(d.kv)->hash.low);
	assert_int_equal(kv_meta(e.kv)->hash.high, kv_meta(d.kv)->hash.high);
	assert_int_not_equal(kv_meta(e.kv)->hash.low, 0);
	drive_stop(&e);
	mem_table_free(t);
}

static void c11_a_crash_leaves_index_and_data_of_one_moment(void **state)
{
	struct random r = { 11 };
	struct buf was[64] = { { 0 } };
	struct kv_meta meta[64] = { { 0 } };

	(void)state;
	for (int round = 0; round < 50; round++) {
		size_t commits = 1 + (size_t)random_below(&r, 60);

		for (size_t i = 0; i <= commits; i++) {
			buf_clear(&was[i]);
			drive_dump(d.table, TABLE_KEYS, &was[i]);
			meta[i] = *kv_meta(d.kv);
			if (i < commits) {
				char key[2] = { (char)('a' + random_below(&r, 6)), '\0' };

				drive_put(&d, key, i % 2 == 0 ? "x" : "y");
			}
		}
		size_t lose = (size_t)random_below(&r, commits + 1);
		struct buf is = { 0 };

		mem_table_crash(d.table, lose);
		drive_reopen(&d);
		drive_dump(d.table, TABLE_KEYS, &is);
		assert_true(bytes_equal(buf_bytes(&is), buf_bytes(&was[commits - lose])));
		assert_memory_equal(kv_meta(d.kv), &meta[commits - lose], sizeof(meta[0]));
		drive_check_hash(&d);
		buf_free(&is);
	}
	for (size_t i = 0; i < 64; i++)
		buf_free(&was[i]);
}

static void damaged_records_are_the_tables_error(void **state)
{
	struct buf txn = { 0 }, out = { 0 };
	struct kv *kv;

	(void)state;
	table_put(d.table, TABLE_KEYS, T("bad"), T("\x01\xff"));
	table_put(d.table, TABLE_KEYS, T("new"), T("\x09"));
	kv_get_step(&steps, T("bad"));
	kv_txn_put(&txn, &(struct kv_txn){ .steps = buf_bytes(&steps) });
	assert_int_equal(kv_read(d.kv, buf_bytes(&txn), &out), ERR_DAMAGED);
	buf_clear(&steps);
	buf_clear(&txn);
	kv_range_step(&steps, T("new"), NONE, 0, false);
	kv_txn_put(&txn, &(struct kv_txn){ .steps = buf_bytes(&steps) });
	assert_int_equal(kv_read(d.kv, buf_bytes(&txn), &out), ERR_VERSION);
	table_put(d.table, TABLE_META, T("applied"), T("\x01"));
	assert_int_equal(kv_open(&kv, d.table), ERR_DAMAGED);
	assert_null(kv);
	mem_table_crash(d.table, 0);
	buf_free(&txn);
	buf_free(&out);
}

/* Runs in a child: true when it died of an assertion. */
static bool dies(void (*what)(void))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		close(STDERR_FILENO);
		what();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void settle_next(void)
{
	kv_settle(d.kv, 1, 2, 0, d.changes);
}

static void settle_again(void)
{
	kv_settle(d.kv, 1, 1, 0, d.changes);
}

static void settle_after_a_gap(void)
{
	kv_settle(d.kv, 1, 3, 0, d.changes);
}

static void an_entry_that_does_not_follow_is_a_bug(void **state)
{
	(void)state;
	drive_put(&d, "k", "v");
	kv_changes_clear(d.changes);
	assert_false(dies(settle_next));
	assert_true(dies(settle_again));
	assert_true(dies(settle_after_a_gap));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, case_setup, case_teardown)
		TEST(a_put_creates_and_then_modifies),
		TEST(an_empty_value_is_a_value),
		TEST(a_delete_says_what_it_did),
		TEST(a_key_put_again_after_its_delete_is_new),
		TEST(later_steps_see_earlier_ones),
		TEST(changes_tell_old_and_new_in_order),
		TEST(each_kind_of_guard_holds_and_fails),
		TEST(a_failed_guard_leads_to_the_other_steps),
		TEST(nested_guards_see_what_came_before),
		TEST(pages_end_at_their_limit_and_go_on_behind),
		TEST(members_are_one_record),
		TEST(a_state_machine_goes_on_where_it_was_committed),
		TEST(the_same_state_by_another_path_has_the_same_hash),
		TEST(damaged_records_are_the_tables_error),
		TEST(an_entry_that_does_not_follow_is_a_bug),
		TEST(c11_a_crash_leaves_index_and_data_of_one_moment),
	};

	return cmocka_run_group_tests_name("kv", tests, NULL, NULL);
}
