/* links: worker/http/pace.c common/clock.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/http/pace.h"

/* A minute's window, looked at every second. */
static const struct pace_rule rule = { { 30000000000 }, 1024, { 2000000000 } };

struct client {
	struct pace pace;
	struct instant now;
	uint64_t bytes;
};

/* Looks after each of so many seconds, in which the client moved so much; the second at which it was found wanting, or 0. */
static unsigned look(struct client *c, unsigned seconds, uint64_t bytes_each, enum pace_found *found)
{
	for (unsigned i = 1; i <= seconds; i++) {
		c->bytes += bytes_each;
		c->now = instant_add(c->now, span_ms(1000));
		if ((*found = pace_look(&c->pace, &rule, c->bytes, c->now)) != PACE_GOOD)
			return i;
	}
	return 0;
}

static struct client waited_for(void)
{
	struct client c = { .now = { 5000 }, .bytes = 777 };

	assert_int_equal(pace_look(&c.pace, &rule, c.bytes, c.now), PACE_GOOD);
	return c;
}

static void a_client_at_the_least_rate_goes_on(void **state)
{
	struct client c = waited_for();
	enum pace_found found;

	(void)state;
	assert_int_equal(look(&c, 1000, 1024, &found), 0);
}

static void a_client_below_it_is_found_after_a_minute(void **state)
{
	struct client c = waited_for();
	enum pace_found found;

	(void)state;
	assert_int_equal(look(&c, 1000, 1023, &found), 60);
	assert_int_equal(found, PACE_SLOW);
}

static void a_byte_every_29_seconds_held_a_share_for_ever(void **state)
{
	struct client c = waited_for();
	enum pace_found found;
	unsigned at = 0;

	(void)state;
	for (unsigned i = 0; i < 10 && at == 0; i++) {
		at = look(&c, 29, 0, &found);
		c.bytes++;
	}
	assert_int_equal(at, 2);
	assert_int_equal(found, PACE_SLOW);
}

static void a_client_that_moves_nothing_is_found_after_the_silence(void **state)
{
	struct client c = waited_for();
	enum pace_found found;

	(void)state;
	assert_int_equal(look(&c, 1, 1000000, &found), 0);
	assert_int_equal(look(&c, 1000, 0, &found), 30);
	assert_int_equal(found, PACE_SILENT);
}

/* Kernels free their buffers, and open their windows, in large parts. */
static void a_client_may_move_much_at_a_time(void **state)
{
	struct client c = waited_for();
	enum pace_found found;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(look(&c, 28, 0, &found), 0);
		assert_int_equal(look(&c, 1, 65536, &found), 0);
	}
}

static void what_was_fast_once_does_not_pay_for_later(void **state)
{
	struct client c = waited_for();
	enum pace_found found;

	(void)state;
	assert_int_equal(look(&c, 60, 1 << 30, &found), 0);
	assert_int_equal(look(&c, 1000, 1, &found), 60);
	assert_int_equal(found, PACE_SLOW);
}

static void time_in_which_nobody_looked_is_not_the_clients(void **state)
{
	struct client c = waited_for();

	(void)state;
	for (unsigned i = 0; i < 14; i++) {
		c.now = instant_add(c.now, span_ms(3600 * 1000));
		assert_int_equal(pace_look(&c.pace, &rule, c.bytes, c.now), PACE_GOOD);
	}
	c.now = instant_add(c.now, span_ms(3600 * 1000));
	assert_int_equal(pace_look(&c.pace, &rule, c.bytes, c.now), PACE_SILENT);
}

static void time_in_which_it_is_not_waited_for_does_not_count(void **state)
{
	struct client c = waited_for();
	enum pace_found found;

	(void)state;
	assert_int_equal(look(&c, 29, 0, &found), 0);
	pace_end(&c.pace);
	assert_int_equal(look(&c, 30, 0, &found), 0); /* the first of them begins */
	assert_int_equal(look(&c, 1, 0, &found), 1);
	assert_int_equal(found, PACE_SILENT);
}

static void without_a_rate_only_silence_counts(void **state)
{
	const struct pace_rule any = { rule.silence, 0, rule.look_most };
	struct client c = waited_for();

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		c.bytes += i % 20 == 0;
		c.now = instant_add(c.now, span_ms(1000));
		assert_int_equal(pace_look(&c.pace, &any, c.bytes, c.now), PACE_GOOD);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_at_the_least_rate_goes_on),
		cmocka_unit_test(a_client_below_it_is_found_after_a_minute),
		cmocka_unit_test(a_byte_every_29_seconds_held_a_share_for_ever),
		cmocka_unit_test(a_client_that_moves_nothing_is_found_after_the_silence),
		cmocka_unit_test(a_client_may_move_much_at_a_time),
		cmocka_unit_test(what_was_fast_once_does_not_pay_for_later),
		cmocka_unit_test(time_in_which_nobody_looked_is_not_the_clients),
		cmocka_unit_test(time_in_which_it_is_not_waited_for_does_not_count),
		cmocka_unit_test(without_a_rate_only_silence_counts),
	};

	return cmocka_run_group_tests_name("http_pace", tests, NULL, NULL);
}
