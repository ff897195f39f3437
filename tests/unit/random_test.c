/* links: common/random.c common/random_secret.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/random.h"

/* A seed that showed a bug must show it again on the next machine and in the next year. */
static void a_seed_gives_the_published_sequence_of_splitmix64(void **state)
{
	static const uint64_t expected[] = { 6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
		4593380528125082431u, 16408922859458223821u };
	struct random r = { 1234567 };

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_true(random_next(&r) == expected[i]);
}

static void below_stays_below(void **state)
{
	struct random r = { 0 };

	(void)state;
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(random_below(&r, 1), 0);
		assert_true(random_below(&r, 3) < 3);
		assert_true(random_below(&r, UINT64_MAX) < UINT64_MAX);
	}
}

static void below_gives_every_number_its_share(void **state)
{
	struct random r = { 42 };
	unsigned seen[10] = { 0 };

	(void)state;
	for (int i = 0; i < 100000; i++)
		seen[random_below(&r, 10)]++;
	for (int i = 0; i < 10; i++)
		assert_in_range(seen[i], 9500, 10500);
}

static void secrets_differ(void **state)
{
	uint64_t a = random_secret(), b = random_secret();

	(void)state;
	assert_true(a != b);
	assert_true(a != random_secret());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_gives_the_published_sequence_of_splitmix64),
		cmocka_unit_test(below_stays_below),
		cmocka_unit_test(below_gives_every_number_its_share),
		cmocka_unit_test(secrets_differ),
	};

	return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
