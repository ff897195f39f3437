/* links: common/wire.c common/buf.c common/mem.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WIRE_TABLE "tests/unit/wire_test.def"
#define WIRE_PREFIX wire_test
#include "common/wire_declare.h"

#define WIRE_TABLE "tests/unit/wire_test.def"
#define WIRE_PREFIX wire_test
#include "common/wire_define.h"

/* What is on disk and between nodes looks like this, for ever. */
static const uint8_t golden[] = {
	0x01, /* u8 */
	0x03, 0x02, /* u16 */
	0x07, 0x06, 0x05, 0x04, /* u32 */
	0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08, /* u64 */
	0x03, 0x00, 0x00, 0x00, 'k', 'e', 'y', /* bytes: u32 length, then they */
};

static struct wire_test_sample sample(void)
{
	return (struct wire_test_sample){ 0x01, 0x0203, 0x04050607, 0x08090a0b0c0d0e0f, bytes_text("key") };
}

static void values_have_their_golden_bytes(void **state)
{
	struct buf b = { 0 };

	(void)state;
	wire_put_u8(&b, 0x01);
	wire_put_u16(&b, 0x0203);
	wire_put_u32(&b, 0x04050607);
	wire_put_u64(&b, 0x08090a0b0c0d0e0f);
	wire_put_bytes(&b, bytes_text("key"));
	assert_int_equal(b.size, sizeof(golden));
	assert_memory_equal(b.data, golden, sizeof(golden));
	buf_free(&b);
}

static void a_table_row_has_the_bytes_of_its_fields_in_order(void **state)
{
	struct wire_test_sample m = sample();
	struct buf b = { 0 };

	(void)state;
	wire_test_sample_put(&b, &m);
	assert_int_equal(b.size, sizeof(golden));
	assert_memory_equal(b.data, golden, sizeof(golden));
	buf_free(&b);
}

static void a_table_row_is_read_back(void **state)
{
	struct reader r = reader_of(bytes_of(golden, sizeof(golden)));
	struct wire_test_sample m, expected = sample();

	(void)state;
	assert_true(wire_test_sample_get(&r, &m));
	assert_true(reader_done(&r));
	assert_int_equal(m.small, expected.small);
	assert_int_equal(m.short_one, expected.short_one);
	assert_int_equal(m.medium, expected.medium);
	assert_int_equal(m.large, expected.large);
	assert_true(bytes_equal(m.text, expected.text));
	assert_ptr_equal(m.text.data, golden + sizeof(golden) - 3); /* borrowed, not copied */
}

static void a_row_without_fields_is_no_bytes(void **state)
{
	struct wire_test_empty m = {};
	struct reader r = reader_of(bytes_of(NULL, 0));
	struct buf b = { 0 };

	(void)state;
	wire_test_empty_put(&b, &m);
	assert_int_equal(b.size, 0);
	assert_true(wire_test_empty_get(&r, &m));
	assert_true(reader_done(&r));
	buf_free(&b);
}

static void every_truncation_is_noticed(void **state)
{
	(void)state;
	for (size_t size = 0; size < sizeof(golden); size++) {
		/* A copy of exactly this size, so that the sanitized build sees a read beyond it. */
		uint8_t *copy = xmalloc(size);
		struct reader r;
		struct wire_test_sample m;

		memcpy(copy, golden, size);
		r = reader_of(bytes_of(copy, size));
		assert_false(wire_test_sample_get(&r, &m));
		assert_false(reader_done(&r));
		free(copy);
	}
}

static void once_short_everything_is_zero(void **state)
{
	static const uint8_t ones[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct reader r = reader_of(bytes_of(ones, sizeof(ones)));

	(void)state;
	assert_int_equal(wire_get_u32(&r), UINT32_MAX);
	assert_int_equal(wire_get_u32(&r), 0); /* three are left */
	assert_true(r.bad);
	assert_int_equal(wire_get_u8(&r), 0); /* they are there, but the reader has failed */
	assert_int_equal(wire_get_u16(&r), 0);
	assert_int_equal(wire_get_u64(&r), 0);
	assert_int_equal(wire_get_bytes(&r).size, 0);
	assert_null(wire_get_raw(&r, 0).data);
	assert_false(reader_done(&r));
}

static void left_over_bytes_are_malformed(void **state)
{
	struct reader r = reader_of(bytes_of("ab", 2));

	(void)state;
	wire_get_u8(&r);
	assert_false(reader_done(&r));
	wire_get_u8(&r);
	assert_true(reader_done(&r));
}

static void a_length_beyond_the_end_is_short(void **state)
{
	static const uint8_t longest[] = { 0xff, 0xff, 0xff, 0xff, 'a', 'b' };
	static const uint8_t one_too_long[] = { 3, 0, 0, 0, 'a', 'b' };
	struct reader r = reader_of(bytes_of(longest, sizeof(longest)));

	(void)state;
	assert_null(wire_get_bytes(&r).data);
	assert_true(r.bad);
	r = reader_of(bytes_of(one_too_long, sizeof(one_too_long)));
	assert_null(wire_get_bytes(&r).data);
	assert_true(r.bad);
	r = reader_of(bytes_of("abc", 3));
	assert_null(wire_get_raw(&r, SIZE_MAX).data);
	assert_true(r.bad);
}

static void empty_bytes_are_a_length_of_zero(void **state)
{
	struct buf b = { 0 };
	struct reader r;

	(void)state;
	wire_put_bytes(&b, bytes_of(NULL, 0));
	assert_int_equal(b.size, 4);
	r = reader_of(buf_bytes(&b));
	assert_int_equal(wire_get_bytes(&r).size, 0);
	assert_true(reader_done(&r));
	buf_free(&b);
}

static void the_extremes_come_back(void **state)
{
	struct wire_test_sample m = { UINT8_MAX, UINT16_MAX, UINT32_MAX, UINT64_MAX, bytes_of("\0\xff", 2) },
				back;
	struct buf b = { 0 };
	struct reader r;

	(void)state;
	wire_test_sample_put(&b, &m);
	r = reader_of(buf_bytes(&b));
	assert_true(wire_test_sample_get(&r, &back) && reader_done(&r));
	assert_int_equal(back.small, UINT8_MAX);
	assert_int_equal(back.short_one, UINT16_MAX);
	assert_int_equal(back.medium, UINT32_MAX);
	assert_true(back.large == UINT64_MAX);
	assert_true(bytes_equal(back.text, m.text));
	buf_free(&b);
}

static void fixed_places_need_no_alignment(void **state)
{
	uint8_t block[16] = { 0 };

	(void)state;
	wire_store_u32(block + 1, 0x04050607);
	wire_store_u64(block + 5, 0x08090a0b0c0d0e0f);
	assert_memory_equal(block, "\0\x07\x06\x05\x04\x0f\x0e\x0d\x0c\x0b\x0a\x09\x08\0\0\0", 16);
	assert_int_equal(wire_load_u32(block + 1), 0x04050607);
	assert_int_equal(wire_load_u64(block + 5), 0x08090a0b0c0d0e0f);
}

static void a_field_of_a_later_version_is_zero_where_the_sender_did_not_know_it(void **state)
{
	struct wire_test_grown m = { 1, 2, bytes_text("three") }, back;
	struct buf b = { 0 };
	struct reader r;

	(void)state;
	wire_test_grown_put(&b, &m);
	r = reader_of(buf_bytes(&b));
	assert_true(wire_test_grown_get(&r, &back) && reader_done(&r));
	assert_true(back.second == 2 && bytes_equal(back.third, m.third));
	r = reader_of(bytes_of(b.data, 1));
	assert_true(wire_test_grown_get(&r, &back) && reader_done(&r));
	assert_true(back.first == 1 && back.second == 0 && back.third.size == 0);
	r = reader_of(bytes_of(b.data, 4)); /* cut within a field, which no sender does */
	assert_false(wire_test_grown_get(&r, &back));
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_have_their_golden_bytes),
		cmocka_unit_test(a_table_row_has_the_bytes_of_its_fields_in_order),
		cmocka_unit_test(a_table_row_is_read_back),
		cmocka_unit_test(a_row_without_fields_is_no_bytes),
		cmocka_unit_test(every_truncation_is_noticed),
		cmocka_unit_test(once_short_everything_is_zero),
		cmocka_unit_test(left_over_bytes_are_malformed),
		cmocka_unit_test(a_length_beyond_the_end_is_short),
		cmocka_unit_test(empty_bytes_are_a_length_of_zero),
		cmocka_unit_test(the_extremes_come_back),
		cmocka_unit_test(fixed_places_need_no_alignment),
		cmocka_unit_test(a_field_of_a_later_version_is_zero_where_the_sender_did_not_know_it),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
