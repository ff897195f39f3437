/* links: daemon/restart.c daemon/deal.c common/clock.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/deal.h"
#include "daemon/restart.h"

static struct instant at_ms(int64_t ms)
{
	return (struct instant){ ms * 1000000 };
}

static int64_t next_wait(struct restart *r, int64_t started_ms, bool ready, int64_t died_ms)
{
	struct instant when = restart_after(r, at_ms(started_ms), ready, at_ms(died_ms));

	return span_to_ms(instant_between(at_ms(died_ms), when));
}

static void the_first_restart_is_at_once_and_then_it_waits_longer(void **state)
{
	static const int64_t expected[] = { 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000 };
	struct restart r = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(next_wait(&r, 0, true, (int64_t)i), expected[i]);
}

static void a_good_life_makes_it_the_first_time_again(void **state)
{
	struct restart r = { 0 };

	(void)state;
	assert_int_equal(next_wait(&r, 0, true, 1), 0);
	assert_int_equal(next_wait(&r, 0, true, 2), 100);
	assert_int_equal(next_wait(&r, 0, true, 9999), 200);
	assert_int_equal(next_wait(&r, 0, true, 10000), 0);
	assert_int_equal(next_wait(&r, 10000, true, 10001), 100);
}

static void five_failed_starts_within_a_minute_are_enough(void **state)
{
	struct restart r = { 0 };

	(void)state;
	for (int64_t i = 0; i < 4; i++)
		assert_int_not_equal(restart_after(&r, at_ms(i), false, at_ms(i)).ns, INSTANT_NEVER.ns);
	assert_int_equal(restart_after(&r, at_ms(5), false, at_ms(59999)).ns, INSTANT_NEVER.ns);
}

static void failed_starts_over_more_than_a_minute_are_not(void **state)
{
	struct restart r = { 0 };

	(void)state;
	for (int64_t i = 0; i < 100; i++)
		assert_int_not_equal(
		    restart_after(&r, at_ms(i * 15000), false, at_ms(i * 15000)).ns, INSTANT_NEVER.ns);
}

static void deaths_at_work_never_end_it(void **state)
{
	struct restart r = { 0 };

	(void)state;
	for (int64_t i = 0; i < 100; i++)
		assert_int_not_equal(restart_after(&r, at_ms(i), true, at_ms(i)).ns, INSTANT_NEVER.ns);
}

static void assert_fair(unsigned sockets, unsigned workers)
{
	int least = 64, most = 0;
	uint64_t all = 0;

	for (unsigned n = 0; n < workers; n++) {
		uint64_t share = deal_share(sockets, workers, n);
		int size = __builtin_popcountll(share);

		if (workers <= sockets)
			assert_int_equal(all & share, 0);
		all |= share;
		least = size < least ? size : least;
		most = size > most ? size : most;
	}
	assert_int_equal(all, sockets == 64 ? UINT64_MAX : (UINT64_C(1) << sockets) - 1);
	assert_in_range(least, 1, most);
	assert_in_range(most, least, least + 1);
}

static void every_socket_is_dealt_and_shares_are_even(void **state)
{
	(void)state;
	for (unsigned sockets = 1; sockets <= 64; sockets++)
		for (unsigned workers = 1; workers <= 70; workers++)
			assert_fair(sockets, workers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_restart_is_at_once_and_then_it_waits_longer),
		cmocka_unit_test(a_good_life_makes_it_the_first_time_again),
		cmocka_unit_test(five_failed_starts_within_a_minute_are_enough),
		cmocka_unit_test(failed_starts_over_more_than_a_minute_are_not),
		cmocka_unit_test(deaths_at_work_never_end_it),
		cmocka_unit_test(every_socket_is_dealt_and_shares_are_even),
	};

	return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
