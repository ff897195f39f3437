/* links: worker/kv/ common/crc.c common/mem.c common/buf.c common/wire.c tests/common/mem_table.c -lxxhash */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants these before it. */
#include <cmocka.h>

#include "tests/common/mem_table.h"
#include "worker/kv/hash.h"
#include "worker/kv/image.h"
#include "worker/kv/record.h"

/*
 * Bytes that lie in logs and states of running clusters. A test that fails here says that an old node, or an old
 * directory, would not be understood any more: fields are appended, numbers are never reused.
 */
#define T(text) bytes_text(text)

static struct buf b;

static void expect_hex(const char *want)
{
	struct buf text = { 0 };

	for (size_t i = 0; i < b.size; i++)
		buf_printf(&text, "%02x", b.data[i]);
	buf_free(&b);
	assert_string_equal(buf_text(&text), want);
	buf_free(&text);
}

static void operations_look_as_ever(void **state)
{
	(void)state;
	kv_guard(&b, GUARD_MODIFY, T("k"), 0x1122);
	expect_hex("01010000006b2211000000000000");
	kv_put_step(&b, T("key"), T("value"), T("text/plain"));
	expect_hex("01030000006b65790500000076616c75650a000000746578742f706c6169"
		   "6e000000000000000000");
	kv_range_step(&b, T("p"), T("a"), 10, true);
	expect_hex("050100000070000000000000000001000000610a00000001");
	kv_delete_step(&b, T("k"));
	kv_delete_prefix_step(&b, T("k"));
	kv_get_step(&b, T("k"));
	expect_hex("02010000006b000000000000000000000000000000000003010000006b00"
		   "0000000000000000000000000000000004010000006b0000000000000000000000000000000000");
	kv_txn_put(&b, &(struct kv_txn){ T("G"), T("S"), T("O") });
	expect_hex("01000000470100000053010000004f");
	kv_command_put(&b, &(struct kv_command){ .principal = 1,
			       .origin_incarnation = 2,
			       .origin_start = 3,
			       .origin_number = 4,
			       .token = T("t"),
			       .txn = T("x") });
	expect_hex("000100000000000000020000000000000003000000000000000400000000"
		   "00000001000000740100000078");
}

static void results_look_as_ever(void **state)
{
	(void)state;
	kv_result_put(&b, &(struct kv_result){ .error = 0x0102,
			      .revision = 3,
			      .replayed = 1,
			      .otherwise = 1,
			      .failed_guard = 4,
			      .present = 5,
			      .steps = T("S") });
	expect_hex("0201030000000000000001010400000005000000000000000100000053");
	kv_step_result_put(
	    &b, &(struct kv_step_result){ .kind = STEP_RANGE, .count = 2, .more = 1, .records = T("R") });
	expect_hex("050200000000000000010100000052");
	kv_record_put(&b, &(struct kv_record){ .key = T("k"),
			      .create = 1,
			      .modify = 2,
			      .version = 3,
			      .content_type = T("c"),
			      .value = T("v") });
	expect_hex("010000006b01000000000000000200000000000000030000000000000001"
		   "000000630100000076");
}

static const struct record full = {
	.create = 1,
	.modify = 300,
	.version = UINT64_MAX,
	.lease = 5,
	.flags = 6,
};

static void records_look_as_ever(void **state)
{
	struct record r = full;

	(void)state;
	r.content_type = T("text/plain");
	r.value = T("v");
	record_put(&b, &r);
	expect_hex("0101ac02ffffffffffffffffff010506010a746578742f706c61696e0076");
	record_put(&b, &(struct record){ .create = 1, .modify = 2, .version = 1 });
	expect_hex("01010201000000");
	token_record_put(&b, &(struct token_record){ 1000, 7, { .high = 2, .low = 1 }, T("R") });
	expect_hex("01e807070100000000000000020000000000000052");
	age_record_put(&b, &(struct age_record){ 1000, T("K") });
	expect_hex("01e8074b");
	members_record_put(&b, &(struct members_record){ 7, T("M") });
	expect_hex("01074d");
	setting_record_put(&b, &(struct setting_record){ 300 });
	expect_hex("01ac02");
	meta_record_put(&b, &(struct kv_meta){ .applied_term = 1,
				.applied_index = 2,
				.time_ms = 3,
				.tokens = 4,
				.hash = { .high = 6, .low = 5 } });
	expect_hex("010100000000000000020000000000000003000000000000000400000000"
		   "00000005000000000000000600000000000000");
	meta_record_put(&b, &(struct kv_meta){ .applied_term = 1, .level = 1 });
	expect_hex("020100000000000000000000000000000000000000000000000000000000"
		   "00000000000000000000000000000000000000");
	mark_record_put(&b, &(struct mark_record){ 7, T("M") });
	expect_hex("010700000000000000010000004d");
}

static void records_are_read_as_written(void **state)
{
	struct record r = full, got;

	(void)state;
	r.content_type = T("text/plain");
	r.value = T("v");
	record_put(&b, &r);
	assert_int_equal(record_get(buf_bytes(&b), &got), ERR_OK);
	assert_true(got.create == 1 && got.modify == 300 && got.version == UINT64_MAX);
	assert_true(got.lease == 5 && got.flags == 6);
	assert_true(bytes_equal(got.content_type, r.content_type) && bytes_equal(got.value, r.value));
	for (size_t size = 0; size < b.size - 1; size++)
		assert_int_equal(record_get(bytes_of(b.data, size), &got), ERR_DAMAGED);
	b.data[0] = 2;
	assert_int_equal(record_get(buf_bytes(&b), &got), ERR_VERSION);
	buf_free(&b);
}

static void an_attribute_of_a_later_version_is_passed_over(void **state)
{
	static const uint8_t bytes[] = { 1, 1, 1, 1, 0, 0, 9, 2, 'x', 'y', 1, 1, 'c', 0, 'v' };
	struct record got;

	(void)state;
	assert_int_equal(record_get(bytes_of(bytes, sizeof(bytes)), &got), ERR_OK);
	assert_true(bytes_equal(got.content_type, T("c")) && bytes_equal(got.value, T("v")));
}

static void the_hash_is_as_ever(void **state)
{
	struct kv_hash sum = { 0 }, of = hash_bytes(T("operation"));
	char text[80];

	(void)state;
	snprintf(
	    text, sizeof(text), "%016llx%016llx", (unsigned long long)of.high, (unsigned long long)of.low);
	assert_string_equal(text, "8d139836ca6e9154e3565c47b205a2c4");
	hash_add(&sum, TABLE_KEYS, T("key"), T("record"));
	hash_add(&sum, TABLE_TOKENS, T("key"), T("record"));
	snprintf(
	    text, sizeof(text), "%016llx%016llx", (unsigned long long)sum.high, (unsigned long long)sum.low);
	assert_string_equal(text, "2c0d9a448292c3a6d96527a0d2bdcf46");
	hash_subtract(&sum, TABLE_KEYS, T("key"), T("record"));
	hash_subtract(&sum, TABLE_TOKENS, T("key"), T("record"));
	assert_true(sum.high == 0 && sum.low == 0);
}

static void the_hash_carries_and_borrows(void **state)
{
	struct kv_hash sum = { .high = 5, .low = UINT64_MAX }, before = sum;

	(void)state;
	hash_add(&sum, TABLE_KEYS, T("a"), T("b"));
	assert_true(sum.low < before.low);
	hash_subtract(&sum, TABLE_KEYS, T("a"), T("b"));
	assert_true(sum.high == before.high && sum.low == before.low);
}

/* Followers and backup files. */
static void put_image(struct table *t)
{
	struct table *aside = mem_table_new();
	struct image_scan *scan;
	struct kv *kv;
	bool more;

	assert_int_equal(kv_open(&kv, t), ERR_OK);
	assert_int_equal(image_scan_begin(&scan, kv, aside, 0x0102030405060708), ERR_OK);
	assert_int_equal(image_scan_read(scan, 1000, &b, &more), ERR_OK);
	assert_false(more);
	image_scan_end(scan);
	kv_close(kv);
	mem_table_free(aside);
}

static void images_look_as_ever(void **state)
{
	struct table *t = mem_table_new();

	(void)state;
	assert_int_equal(table_put(t, TABLE_KEYS, T("a"), T("1")), ERR_OK);
	assert_int_equal(table_put(t, TABLE_MEMBERS, T("bc"), T("23")), ERR_OK);
	put_image(t);
	expect_hex("3a0000007c428142010108070605040302010000000000000000000000000000000000000000"
		   "00000000000000000000000000000000000000000000000000000000190000004a197aef0201"
		   "0100000061010000003104020000006263020000003233110000003dc7654603020000000000"
		   "00000600000000000000");
	assert_int_equal(table_put(t, TABLE_SETTINGS, T("level"), T("\1\1")), ERR_OK);
	put_image(t);
	expect_hex("3c00000050208672010208070605040302010000000000000000000000000000000000000000"
		   "000000000000000000000000000000000000000000000000000000000100290000008cc8dd29"
		   "02010100000061010000003103050000006c6576656c02000000010104020000006263020000"
		   "003233110000004dd435d80303000000000000000d00000000000000");
	mem_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations_look_as_ever),
		cmocka_unit_test(results_look_as_ever),
		cmocka_unit_test(records_look_as_ever),
		cmocka_unit_test(images_look_as_ever),
		cmocka_unit_test(records_are_read_as_written),
		cmocka_unit_test(an_attribute_of_a_later_version_is_passed_over),
		cmocka_unit_test(the_hash_is_as_ever),
		cmocka_unit_test(the_hash_carries_and_borrows),
	};

	return cmocka_run_group_tests_name("kv_golden", tests, NULL, NULL);
}
