/* links: common/mem.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/mem.h"

static void bytes_compare_orders_a_prefix_first(void **state)
{
	(void)state;
	assert_true(bytes_compare(bytes_text("a"), bytes_text("ab")) < 0);
	assert_true(bytes_compare(bytes_text("ab"), bytes_text("a")) > 0);
	assert_int_equal(bytes_compare(bytes_text(""), bytes_of(NULL, 0)), 0);
	assert_true(bytes_compare(bytes_text("\x7f"), bytes_text("\x80")) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_compare_orders_a_prefix_first),
	};

	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
