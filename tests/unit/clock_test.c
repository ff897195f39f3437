/* links: common/clock.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"

static struct instant at(int64_t ns)
{
	return (struct instant){ ns };
}

static void the_clock_does_not_run_backwards(void **state)
{
	struct instant before = clock_now();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct instant now = clock_now();

		assert_true(instant_passed(before, now));
		before = now;
	}
}

static void spans_carry_their_unit(void **state)
{
	(void)state;
	assert_int_equal(span_ms(3).ns, 3000000);
	assert_int_equal(span_us(3).ns, 3000);
	assert_int_equal(span_ms(-3).ns, -3000000);
	assert_int_equal(span_times(span_ms(3), 4).ns, 12000000);
	assert_int_equal(span_times(span_ms(3), 0).ns, 0);
}

static void part_of_a_millisecond_is_dropped(void **state)
{
	(void)state;
	assert_int_equal(span_to_ms(span_us(2999)), 2);
	assert_int_equal(span_to_ms(span_us(999)), 0);
	assert_int_equal(span_to_ms(span_ms(7)), 7);
}

static void adding_saturates_at_never(void **state)
{
	(void)state;
	assert_int_equal(instant_add(at(5), span_us(1)).ns, 1005);
	assert_int_equal(instant_add(at(5000), span_us(-1)).ns, 4000);
	assert_int_equal(instant_add(INSTANT_NEVER, span_ms(1)).ns, INT64_MAX);
	assert_int_equal(instant_add(at(1), (struct span){ INT64_MAX }).ns, INT64_MAX);
	assert_int_equal(instant_add(at(INT64_MAX - 1), (struct span){ 1 }).ns, INT64_MAX);
	assert_int_equal(instant_add(at(INT64_MAX - 2), (struct span){ 1 }).ns, INT64_MAX - 1);
}

static void between_has_a_direction(void **state)
{
	(void)state;
	assert_int_equal(instant_between(at(10), at(25)).ns, 15);
	assert_int_equal(instant_between(at(25), at(10)).ns, -15);
}

static void a_moment_has_passed_when_it_is_now(void **state)
{
	(void)state;
	assert_true(instant_passed(at(9), at(10)));
	assert_true(instant_passed(at(10), at(10)));
	assert_false(instant_passed(at(11), at(10)));
	assert_false(instant_passed(INSTANT_NEVER, clock_now()));
}

static void the_least_is_the_earlier_one(void **state)
{
	(void)state;
	assert_int_equal(instant_least(at(1), at(2)).ns, 1);
	assert_int_equal(instant_least(at(2), at(1)).ns, 1);
	assert_int_equal(instant_least(at(2), INSTANT_NEVER).ns, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_clock_does_not_run_backwards),
		cmocka_unit_test(spans_carry_their_unit),
		cmocka_unit_test(part_of_a_millisecond_is_dropped),
		cmocka_unit_test(adding_saturates_at_never),
		cmocka_unit_test(between_has_a_direction),
		cmocka_unit_test(a_moment_has_passed_when_it_is_now),
		cmocka_unit_test(the_least_is_the_earlier_one),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
