/* links: common/mem.c common/buf.c tests/common/child.c */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "tests/common/child.h"

static void nothing_asked_for_is_still_memory(void **state)
{
	void *all[] = { xmalloc(0), xcalloc(0, 8), xcalloc(8, 0), xrealloc(NULL, 0),
		xreallocarray(NULL, 0, 8) };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_non_null(all[i]);
		free(all[i]);
	}
}

static void calloc_gives_zeros(void **state)
{
	static const uint8_t zeros[96];
	uint8_t *p = xcalloc(12, 8);

	(void)state;
	assert_memory_equal(p, zeros, sizeof(zeros));
	free(p);
}

static void realloc_keeps_what_was_there(void **state)
{
	char *p = xstrdup("kept");

	(void)state;
	p = xrealloc(p, 100000);
	assert_string_equal(p, "kept");
	p = xreallocarray(p, 5, 1);
	assert_string_equal(p, "kept");
	free(p);
}

static void ask_for_more_than_there_is(void *arg)
{
	volatile size_t count = SIZE_MAX / 4;

	(void)arg;
	free(xreallocarray(NULL, count, 8));
}

static void multiply_beyond_size_t(void *arg)
{
	volatile size_t count = SIZE_MAX / 8 + 2; /* times 8 is 8 in a size_t */

	(void)arg;
	free(xreallocarray(NULL, count, 8));
}

static void an_overflow_of_the_product_ends_the_process(void **state)
{
	(void)state;
	assert_true(child_dies(multiply_beyond_size_t, NULL));
	assert_true(child_dies(ask_for_more_than_there_is, NULL));
}

static void asprintf_formats_into_fresh_memory(void **state)
{
	char *p = xasprintf("%s.%04d", "segment", 7);

	(void)state;
	assert_string_equal(p, "segment.0007");
	free(p);
}

static void equal_is_size_and_content(void **state)
{
	(void)state;
	assert_true(bytes_equal(bytes_text("abc"), bytes_of("abcd", 3)));
	assert_false(bytes_equal(bytes_text("abc"), bytes_text("abcd")));
	assert_false(bytes_equal(bytes_text("abc"), bytes_text("abd")));
	assert_true(bytes_equal(bytes_of("a\0b", 3), bytes_of("a\0b", 3)));
	assert_false(bytes_equal(bytes_of("a\0b", 3), bytes_of("a\0c", 3)));
}

static void empty_bytes_need_no_address(void **state)
{
	(void)state;
	assert_true(bytes_equal(bytes_of(NULL, 0), bytes_text("")));
	assert_int_equal(bytes_compare(bytes_of(NULL, 0), bytes_text("")), 0);
	assert_true(bytes_compare(bytes_of(NULL, 0), bytes_text("a")) < 0);
	assert_true(bytes_begins(bytes_text("a"), bytes_of(NULL, 0)));
	assert_true(bytes_begins(bytes_of(NULL, 0), bytes_of(NULL, 0)));
	assert_int_equal(blob_bytes(NULL).size, 0);
}

static void order_is_of_unsigned_bytes_and_a_prefix_comes_first(void **state)
{
	(void)state;
	assert_true(bytes_compare(bytes_text("a"), bytes_text("ab")) < 0);
	assert_true(bytes_compare(bytes_text("ab"), bytes_text("a")) > 0);
	assert_true(bytes_compare(bytes_text("b"), bytes_text("ab")) > 0);
	assert_true(bytes_compare(bytes_text("\x7f"), bytes_text("\x80")) < 0);
	assert_true(bytes_compare(bytes_text("a"), bytes_of("a\0", 2)) < 0);
	assert_int_equal(bytes_compare(bytes_text("same"), bytes_text("same")), 0);
}

static void begins_asks_for_the_whole_prefix(void **state)
{
	(void)state;
	assert_true(bytes_begins(bytes_text("prefix/key"), bytes_text("prefix/")));
	assert_true(bytes_begins(bytes_text("prefix"), bytes_text("prefix")));
	assert_false(bytes_begins(bytes_text("pre"), bytes_text("prefix")));
	assert_false(bytes_begins(bytes_text("prefab"), bytes_text("prefix")));
}

static void dup_text_ends_with_nul(void **state)
{
	char *p = bytes_dup_text(bytes_of("abcdef", 3)), *empty = bytes_dup_text(bytes_of(NULL, 0));

	(void)state;
	assert_string_equal(p, "abc");
	assert_string_equal(empty, "");
	free(p);
	free(empty);
}

static void a_blob_is_a_copy(void **state)
{
	char text[] = "value";
	struct blob *b = blob_new(bytes_text(text)), *empty = blob_new(bytes_of(NULL, 0));

	(void)state;
	text[0] = 'X';
	assert_true(bytes_equal(blob_bytes(b), bytes_text("value")));
	assert_int_equal(blob_bytes(empty).size, 0);
	blob_unref(b);
	blob_unref(empty);
	blob_unref(NULL);
}

static void a_blob_lives_until_the_last_reference_goes(void **state)
{
	struct blob *b = blob_alloc(3), *other = blob_ref(b);

	(void)state;
	memcpy(b->data, "abc", 3);
	blob_unref(b);
	assert_true(bytes_equal(blob_bytes(other), bytes_text("abc"))); /* the sanitized build would notice */
	blob_unref(other);
}

static void *count_up_and_down(void *arg)
{
	for (int i = 0; i < 100000; i++)
		blob_unref(blob_ref(arg));
	return NULL;
}

static void references_are_counted_across_threads(void **state)
{
	struct blob *b = blob_new(bytes_text("shared"));
	pthread_t threads[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up_and_down, b), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&b->refs), 1);
	blob_unref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_asked_for_is_still_memory),
		cmocka_unit_test(calloc_gives_zeros),
		cmocka_unit_test(realloc_keeps_what_was_there),
		cmocka_unit_test(an_overflow_of_the_product_ends_the_process),
		cmocka_unit_test(asprintf_formats_into_fresh_memory),
		cmocka_unit_test(equal_is_size_and_content),
		cmocka_unit_test(empty_bytes_need_no_address),
		cmocka_unit_test(order_is_of_unsigned_bytes_and_a_prefix_comes_first),
		cmocka_unit_test(begins_asks_for_the_whole_prefix),
		cmocka_unit_test(dup_text_ends_with_nul),
		cmocka_unit_test(a_blob_is_a_copy),
		cmocka_unit_test(a_blob_lives_until_the_last_reference_goes),
		cmocka_unit_test(references_are_counted_across_threads),
	};

	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
