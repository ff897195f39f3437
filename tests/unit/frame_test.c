/* links: worker/peer/frame.c common/wire.c common/buf.c common/mem.c common/crc.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/wire.h"
#include "worker/peer/frame.h"

#define MOST 1000

static enum frame_found get(const struct buf *b, struct bytes *payload)
{
	return frame_get(buf_bytes(b), MOST, payload);
}

static void what_was_put_is_found(void **state)
{
	struct buf b = { 0 };
	struct bytes payload;

	(void)state;
	for (size_t size = 1; size <= MOST; size += 111) {
		uint8_t data[MOST];

		memset(data, (int)size, sizeof(data));
		buf_clear(&b);
		frame_put(&b, bytes_of(data, size));
		buf_append_text(&b, "and more");
		assert_int_equal(get(&b, &payload), FRAME_WHOLE);
		assert_true(bytes_equal(payload, bytes_of(data, size)));
	}
	buf_free(&b);
}

/* The bytes are a promise to nodes of other builds. */
static void golden_bytes(void **state)
{
	static const uint8_t golden[] = { 3, 0, 0, 0, 0xf8, 0x83, 0x14, 0x55, 'a', 'b', 'c' };
	struct buf b = { 0 };

	(void)state;
	frame_put(&b, bytes_text("abc"));
	assert_int_equal(b.size, sizeof(golden));
	assert_memory_equal(b.data, golden, sizeof(golden));
	buf_free(&b);
}

static void every_beginning_is_short(void **state)
{
	struct buf b = { 0 };
	struct bytes payload;

	(void)state;
	frame_put(&b, bytes_text("a payload"));
	for (size_t size = 0; size < b.size; size++)
		assert_int_equal(frame_get(bytes_of(b.data, size), MOST, &payload), FRAME_SHORT);
	buf_free(&b);
}

static void every_single_bit_error_is_caught(void **state)
{
	struct buf b = { 0 };
	struct bytes payload;

	(void)state;
	frame_put(&b, bytes_text("a small payload"));
	for (size_t bit = 0; bit < b.size * 8; bit++) {
		b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(get(&b, &payload), FRAME_WHOLE);
		b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(get(&b, &payload), FRAME_WHOLE);
	buf_free(&b);
}

static void a_length_beyond_the_limit_is_refused_before_its_bytes_come(void **state)
{
	static const uint32_t lengths[] = { 0, MOST + 1, 0x7fffffff, 0xffffffff };
	uint8_t head[FRAME_HEAD_BYTES] = { 0 };
	struct bytes payload;

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		wire_store_u32(head, lengths[i]);
		assert_int_equal(frame_get(bytes_of(head, sizeof(head)), MOST, &payload), FRAME_LENGTH);
	}
	wire_store_u32(head, MOST);
	assert_int_equal(frame_get(bytes_of(head, sizeof(head)), MOST, &payload), FRAME_SHORT);
}

static void zeros_are_no_frame(void **state)
{
	static const uint8_t zeros[64];
	struct bytes payload;

	(void)state;
	assert_int_equal(frame_get(bytes_of(zeros, sizeof(zeros)), MOST, &payload), FRAME_LENGTH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_found),
		cmocka_unit_test(golden_bytes),
		cmocka_unit_test(every_beginning_is_short),
		cmocka_unit_test(every_single_bit_error_is_caught),
		cmocka_unit_test(a_length_beyond_the_limit_is_refused_before_its_bytes_come),
		cmocka_unit_test(zeros_are_no_frame),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
