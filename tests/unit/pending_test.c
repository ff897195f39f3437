/*
 * The requests that wait in a replica: stages, numbers and deadlines.
 *
 * links: worker/replica/pending.c common/mem.c common/clock.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/replica/pending.h"

static const struct instant start = { 1000000000000 };

static struct pending *add(struct pendings *s, uint32_t client, uint64_t id, int64_t ms)
{
	return pending_new(s, client, id, instant_add(start, span_ms(ms)), blob_new(bytes_text("data")));
}

static struct instant after(int64_t ms)
{
	return instant_add(start, span_ms(ms));
}

static void found_by_number_and_by_client(void **state)
{
	struct pendings s;
	struct pending *a, *b;
	uint64_t old;

	(void)state;
	pendings_init(&s, start);
	a = add(&s, 1, 7, 100);
	b = add(&s, 2, 7, 100);
	assert_ptr_equal(pending_find(&s, a->number), a);
	assert_ptr_equal(pending_find_client(&s, 2, 7), b);
	assert_null(pending_find_client(&s, 1, 8));
	assert_int_equal(s.count, 2);
	assert_int_equal(s.bytes, 8);
	/* d10: nothing said of a former attempt reaches the next one. */
	old = a->number;
	pending_renumber(&s, a);
	assert_null(pending_find(&s, old));
	assert_true(a->number > b->number);
	pending_free(&s, a);
	assert_null(pending_find_client(&s, 1, 7));
	assert_int_equal(s.bytes, 4);
	pendings_fini(&s);
}

static void stages_keep_the_order_of_arrival(void **state)
{
	struct pendings s;
	struct pending *a, *b;

	(void)state;
	pendings_init(&s, start);
	a = add(&s, 1, 1, 100);
	b = add(&s, 1, 2, 100);
	assert_ptr_equal(pending_first(&s, STAGE_NEW), a);
	pending_move(&s, a, STAGE_ROUTE);
	pending_move(&s, b, STAGE_ROUTE);
	assert_null(pending_first(&s, STAGE_NEW));
	assert_ptr_equal(pending_first(&s, STAGE_ROUTE), a);
	assert_ptr_equal(TAILQ_NEXT(a, in_stage), b);
	pendings_fini(&s);
}

static void nothing_expires_early_and_everything_expires(void **state)
{
	static const int64_t times[] = { 0, 1, 63, 64, 65, 1000, 16383, 16384, 16385, 40000 };
	size_t count = sizeof(times) / sizeof(times[0]), expired = 0;
	struct pendings s;
	struct pending *p;

	(void)state;
	pendings_init(&s, start);
	for (size_t i = 0; i < count; i++)
		add(&s, 1, i, times[i]);
	for (int64_t ms = 0; ms <= 41000; ms += 10)
		while ((p = pending_expired(&s, after(ms))) != NULL) {
			assert_true(instant_passed(p->deadline, after(ms)));
			/* At most two turns of the wheel's hand late. */
			assert_false(
			    instant_passed(instant_add(p->deadline, span_ms(2 * WHEEL_MS + 10)), after(ms)));
			pending_free(&s, p);
			expired++;
		}
	assert_int_equal(expired, count);
	assert_int_equal(pending_deadline(&s).ns, INSTANT_NEVER.ns);
	pendings_fini(&s);
}

static void a_long_pause_expires_all_at_once(void **state)
{
	struct pendings s;
	struct pending *p;
	int expired = 0;

	(void)state;
	pendings_init(&s, start);
	for (uint64_t i = 0; i < 1000; i++)
		add(&s, 1, i, (int64_t)i * 50);
	while ((p = pending_expired(&s, after(3600 * 1000))) != NULL) {
		pending_free(&s, p);
		expired++;
	}
	assert_int_equal(expired, 1000);
	pendings_fini(&s);
}

static void looks_again_before_the_first_deadline_is_long_past(void **state)
{
	struct pendings s;

	(void)state;
	pendings_init(&s, start);
	add(&s, 1, 1, 500);
	assert_false(instant_passed(after(500 + 2 * WHEEL_MS), pending_deadline(&s)));
	pendings_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_by_number_and_by_client),
		cmocka_unit_test(stages_keep_the_order_of_arrival),
		cmocka_unit_test(nothing_expires_early_and_everything_expires),
		cmocka_unit_test(a_long_pause_expires_all_at_once),
		cmocka_unit_test(looks_again_before_the_first_deadline_is_long_past),
	};

	return cmocka_run_group_tests_name("pending", tests, NULL, NULL);
}
