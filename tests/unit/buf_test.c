/* links: common/buf.c common/mem.c tests/common/child.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "tests/common/child.h"

static void assert_holds(const struct buf *b, const char *text)
{
	assert_int_equal(b->size, strlen(text));
	assert_true(bytes_equal(buf_bytes(b), bytes_text(text)));
}

static void zeroed_memory_is_an_empty_buffer(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(buf_bytes(&b).size, 0);
	buf_append(&b, bytes_of(NULL, 0));
	buf_consume(&b, 0);
	buf_clear(&b);
	assert_null(b.data);
	buf_free(&b);
}

static void reserve_gives_room_and_changes_no_size(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_append_text(&b, "head");
	memset(buf_reserve(&b, 1000), 'x', 1000);
	assert_holds(&b, "head");
	assert_true(b.room >= 1004);
	b.size += 1000;
	assert_int_equal(b.data[1003], 'x');
	buf_free(&b);
}

static void growth_is_by_doubling_so_appending_is_cheap(void **state)
{
	struct buf b = { 0 };
	size_t room = 0, times = 0;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		buf_append(&b, bytes_of("abc", 3));
		times += b.room != room;
		room = b.room;
	}
	assert_int_equal(b.size, 300000);
	assert_true(times <= 15);
	assert_memory_equal(b.data + 299997, "abc", 3);
	buf_free(&b);
}

static void extend_appends_zeros(void **state)
{
	struct buf b = { 0 };

	(void)state;
	memset(buf_reserve(&b, 8), 0xff, 8);
	memcpy(buf_extend(&b, 4), "ab", 2);
	assert_int_equal(b.size, 4);
	assert_memory_equal(b.data, "ab\0\0", 4);
	buf_extend(&b, 0);
	assert_int_equal(b.size, 4);
	buf_free(&b);
}

static void clear_keeps_the_room(void **state)
{
	struct buf b = { 0 };
	uint8_t *before;

	(void)state;
	buf_extend(&b, 5000);
	before = b.data;
	buf_clear(&b);
	assert_int_equal(b.size, 0);
	assert_ptr_equal(buf_reserve(&b, 5000), before);
	buf_free(&b);
}

static void a_freed_buffer_is_usable_again(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_append_text(&b, "first");
	buf_free(&b);
	assert_int_equal(b.room, 0);
	buf_append_text(&b, "second");
	assert_holds(&b, "second");
	buf_free(&b);
}

static void consume_drops_from_the_front(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_append_text(&b, "header body");
	buf_consume(&b, 7);
	assert_holds(&b, "body");
	buf_consume(&b, 4);
	assert_int_equal(b.size, 0);
	buf_free(&b);
}

static void consume_one_too_many(void *arg)
{
	struct buf b = { 0 };

	(void)arg;
	buf_append_text(&b, "abc");
	buf_consume(&b, 4);
}

static void reserve_all_memory_there_is(void *arg)
{
	struct buf b = { 0 };
	volatile size_t size = SIZE_MAX - 1; /* with the two bytes before it: 1 in a size_t */

	(void)arg;
	buf_append_text(&b, "ab");
	buf_reserve(&b, size);
}

static void a_caller_that_is_wrong_ends_the_process(void **state)
{
	(void)state;
	assert_true(child_dies(consume_one_too_many, NULL));
	assert_true(child_dies(reserve_all_memory_there_is, NULL));
}

static void printf_appends_however_long(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_printf(&b, "%s", "");
	buf_printf(&b, "%d,", 1);
	buf_printf(&b, "%500s,", "x");
	buf_printf(&b, "%.63s", "0123456789012345678901234567890123456789012345678901234567890123456789");
	assert_int_equal(b.size, 2 + 501 + 63);
	assert_memory_equal(b.data, "1,   ", 5);
	assert_memory_equal(b.data + 501, "x,0123", 6);
	assert_int_equal(b.data[b.size - 1], '2');
	buf_free(&b);
}

static void text_ends_with_a_nul_that_does_not_count(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_string_equal(buf_text(&b), "");
	assert_int_equal(b.size, 0);
	/* Exactly as much as the first room, so that the NUL needs more. */
	while (b.size < b.room)
		buf_append_text(&b, "x");
	assert_int_equal(strlen(buf_text(&b)), b.size);
	buf_append_text(&b, "yz");
	assert_string_equal(buf_text(&b) + b.size - 3, "xyz");
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeroed_memory_is_an_empty_buffer),
		cmocka_unit_test(reserve_gives_room_and_changes_no_size),
		cmocka_unit_test(growth_is_by_doubling_so_appending_is_cheap),
		cmocka_unit_test(extend_appends_zeros),
		cmocka_unit_test(clear_keeps_the_room),
		cmocka_unit_test(a_freed_buffer_is_usable_again),
		cmocka_unit_test(consume_drops_from_the_front),
		cmocka_unit_test(a_caller_that_is_wrong_ends_the_process),
		cmocka_unit_test(printf_appends_however_long),
		cmocka_unit_test(text_ends_with_a_nul_that_does_not_count),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
