/* links: worker/kv/ common/crc.c common/mem.c common/buf.c common/wire.c tests/common/mem_table.c tests/common/kv_drive.c -lxxhash */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "tests/common/kv_drive.h"
#include "tests/common/mem_table.h"
#include "worker/kv/inside.h"

#define T(text) bytes_text(text)
#define NONE ((struct bytes){ NULL, 0 })

static struct drive d;
static struct buf guards, steps;

static int setup(void **state)
{
	(void)state;
	drive_start(&d, mem_table_new());
	return 0;
}

/* Whatever a test did: each token has one record of its own and one of its age. */
static int teardown(void **state)
{
	struct buf all = { 0 };
	struct reader r;
	uint64_t records = 0;

	(void)state;
	drive_check_hash(&d);
	drive_dump(d.table, TABLE_TOKENS, &all);
	for (r = reader_of(buf_bytes(&all)); r.left > 0; records++) {
		wire_get_bytes(&r);
		wire_get_bytes(&r);
	}
	assert_int_equal(records, 2 * kv_meta(d.kv)->tokens);
	buf_free(&all);
	drive_stop(&d);
	mem_table_free(d.table);
	buf_free(&guards);
	buf_free(&steps);
	return 0;
}

static const struct kv_result *put(const char *token, const char *key, const char *value)
{
	kv_put_step(&steps, T(key), T(value), NONE);
	return drive_write(&d, T(token), &guards, &steps, NULL);
}

static uint64_t version(const char *key)
{
	struct kv_record r;

	return drive_get(&d, T(key), &r) ? r.version : 0;
}

static void t3_a_repeat_is_answered_and_not_applied(void **state)
{
	(void)state;
	put("t", "k", "v");
	drive_put(&d, "other", "x");
	put("t", "k", "v");
	assert_int_equal(d.result.error, ERR_OK);
	assert_int_equal(d.result.replayed, 1);
	assert_int_equal(d.result.revision, 1);
	assert_int_equal(drive_step(&d.result, 0).count, 1);
	assert_int_equal(kv_changes_count(d.changes), 0);
	assert_int_equal(version("k"), 1);
	drive_reopen(&d);
	assert_int_equal(put("t", "k", "v")->replayed, 1);
}

static void a_failed_condition_is_repeated_although_it_would_hold_now(void **state)
{
	(void)state;
	kv_guard(&guards, GUARD_EXISTS, T("k"), 0);
	assert_int_equal(put("t", "k", "v")->error, ERR_CONDITION);
	drive_put(&d, "k", "v");
	kv_guard(&guards, GUARD_EXISTS, T("k"), 0);
	put("t", "k", "v");
	assert_int_equal(d.result.error, ERR_CONDITION);
	assert_int_equal(d.result.replayed, 1);
	assert_int_equal(version("k"), 1);
}

static void d9_a_token_with_another_operation_is_refused(void **state)
{
	(void)state;
	put("t", "k", "v");
	put("t", "k", "w");
	assert_int_equal(d.result.error, ERR_TOKEN_REUSED);
	assert_int_equal(kv_changes_count(d.changes), 0);
	assert_int_equal(version("k"), 1);
	assert_int_equal(put("t", "k", "v")->replayed, 1);
}

static void another_principal_has_tokens_of_its_own(void **state)
{
	struct buf command = { 0 };
	struct kv_command c;
	struct reader r;

	(void)state;
	put("t", "k", "v");
	r = reader_of(buf_bytes(&d.command));
	kv_command_get(&r, &c);
	c.principal = 7;
	kv_command_put(&command, &c);
	assert_int_equal(drive_command(&d, buf_bytes(&command), true)->replayed, 0);
	assert_int_equal(version("k"), 2);
	assert_int_equal(kv_meta(d.kv)->tokens, 2);
	buf_free(&command);
}

static void the_origin_does_not_make_it_another_operation(void **state)
{
	struct buf command = { 0 };
	struct kv_command c;
	struct reader r;

	(void)state;
	put("t", "k", "v");
	r = reader_of(buf_bytes(&d.command));
	kv_command_get(&r, &c);
	c.origin_incarnation = 5;
	c.origin_number = 6;
	kv_command_put(&command, &c);
	assert_int_equal(drive_command(&d, buf_bytes(&command), true)->replayed, 1);
	buf_free(&command);
}

static void t4_a_token_lives_by_log_time_to_the_millisecond(void **state)
{
	(void)state;
	put("t", "k", "v");
	d.time_ms += KV_TOKEN_LIFE_MS - 1;
	assert_int_equal(put("t", "k", "v")->replayed, 1);
	d.time_ms += 1;
	assert_int_equal(put("t", "k", "v")->replayed, 0);
	assert_int_equal(version("k"), 2);
	assert_int_equal(kv_meta(d.kv)->tokens, 1);
}

static void d8_time_that_seems_to_stand_still_expires_nothing(void **state)
{
	(void)state;
	d.time_ms = KV_TOKEN_LIFE_MS * 2;
	put("t", "k", "v");
	d.time_ms = 1000;
	assert_int_equal(put("t", "k", "v")->replayed, 1);
}

static void put_many(unsigned count)
{
	char token[16];

	for (unsigned i = 0; i < count; i++) {
		snprintf(token, sizeof(token), "many-%u", i);
		put(token, "k", "v");
	}
}

static void expired_tokens_leave_a_few_at_a_time(void **state)
{
	uint64_t before;

	(void)state;
	put_many(10);
	d.time_ms += KV_TOKEN_LIFE_MS;
	before = kv_meta(d.kv)->tokens;
	drive_put(&d, "other", "x");
	assert_true(kv_meta(d.kv)->tokens < before && kv_meta(d.kv)->tokens > 0);
	for (int i = 0; i < 10; i++)
		drive_put(&d, "other", "x");
	assert_int_equal(kv_meta(d.kv)->tokens, 0);
	put("new", "k", "v");
	drive_reopen(&d);
	drive_put(&d, "other", "x");
	assert_int_equal(kv_meta(d.kv)->tokens, 1);
}

static void an_expired_token_that_is_still_there_counts_as_absent(void **state)
{
	(void)state;
	put_many(20);
	d.time_ms += KV_TOKEN_LIFE_MS;
	put("many-19", "k", "v");
	assert_int_equal(d.result.replayed, 0);
	assert_int_equal(version("k"), 21);
	assert_true(kv_meta(d.kv)->tokens > 1);
	d.time_ms += KV_TOKEN_LIFE_MS - 1;
	for (int i = 0; i < 10; i++)
		drive_put(&d, "other", "x");
	assert_int_equal(put("many-19", "k", "v")->replayed, 1);
	assert_int_equal(kv_meta(d.kv)->tokens, 1);
}

static void a_full_table_takes_no_new_token_and_puts_none_out(void **state)
{
	(void)state;
	d.kv->tokens_max = 10;
	put_many(10);
	put("new", "k", "v");
	assert_int_equal(d.result.error, ERR_TOKENS_FULL);
	assert_int_equal(kv_changes_count(d.changes), 0);
	assert_int_equal(version("k"), 10);
	assert_int_equal(put("many-0", "k", "v")->replayed, 1);
	assert_int_equal(drive_put(&d, "k", "v")->error, ERR_OK);
	d.time_ms += KV_TOKEN_LIFE_MS;
	assert_int_equal(put("new", "k", "v")->error, ERR_OK);
	assert_int_equal(kv_meta(d.kv)->tokens, 7);
}

static void a_refusal_is_not_remembered(void **state)
{
	struct buf value = { 0 };

	(void)state;
	buf_extend(&value, KV_VALUE_BYTES_MAX + 1);
	kv_put_step(&steps, T("k"), buf_bytes(&value), NONE);
	assert_int_equal(drive_write(&d, T("t"), NULL, &steps, NULL)->error, ERR_TOO_LARGE);
	assert_int_equal(kv_meta(d.kv)->tokens, 0);
	for (unsigned i = 0; i < 16; i++) {
		char key[] = { 'b', (char)('a' + i) };

		kv_put_step(&steps, bytes_of(key, 2), bytes_of(value.data, KV_VALUE_BYTES_MAX), NONE);
		drive_write(&d, NONE, NULL, &steps, NULL);
	}
	kv_delete_prefix_step(&steps, T("b"));
	assert_int_equal(drive_write(&d, T("t"), NULL, &steps, NULL)->error, ERR_TOO_LARGE);
	assert_int_equal(kv_meta(d.kv)->tokens, 0);
	kv_delete_step(&steps, T("ba"));
	drive_write(&d, NONE, NULL, &steps, NULL);
	kv_delete_prefix_step(&steps, T("b"));
	assert_int_equal(drive_write(&d, T("t"), NULL, &steps, NULL)->error, ERR_OK);
	buf_free(&value);
}

static void a_token_has_a_longest_length(void **state)
{
	char token[KV_TOKEN_BYTES_MAX + 2];

	(void)state;
	memset(token, 't', sizeof(token));
	token[KV_TOKEN_BYTES_MAX + 1] = '\0';
	assert_int_equal(put(token, "k", "v")->error, ERR_BAD_REQUEST);
	token[KV_TOKEN_BYTES_MAX] = '\0';
	assert_int_equal(put(token, "k", "v")->error, ERR_OK);
	assert_int_equal(put(token, "k", "v")->replayed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(t3_a_repeat_is_answered_and_not_applied),
		TEST(a_failed_condition_is_repeated_although_it_would_hold_now),
		TEST(d9_a_token_with_another_operation_is_refused),
		TEST(another_principal_has_tokens_of_its_own),
		TEST(the_origin_does_not_make_it_another_operation),
		TEST(t4_a_token_lives_by_log_time_to_the_millisecond),
		TEST(d8_time_that_seems_to_stand_still_expires_nothing),
		TEST(expired_tokens_leave_a_few_at_a_time),
		TEST(an_expired_token_that_is_still_there_counts_as_absent),
		TEST(a_full_table_takes_no_new_token_and_puts_none_out),
		TEST(a_refusal_is_not_remembered),
		TEST(a_token_has_a_longest_length),
	};

	return cmocka_run_group_tests_name("kv_tokens", tests, NULL, NULL);
}
