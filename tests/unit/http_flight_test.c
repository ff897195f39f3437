/* links: worker/http/flight.c common/member.c common/addr.c worker/http/operation.c worker/http/meaning.c worker/http/message.c worker/http/text.c worker/kv/op.c common/clock.c common/wire.c common/buf.c common/mem.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/http/flight.h"

static void a_slot_is_reused_and_its_old_id_finds_nobody(void **state)
{
	struct flights *t = flights_new(2);
	struct flight *first = flights_add(t), *second;
	uint64_t old = first->id;

	(void)state;
	assert_ptr_equal(flights_find(t, old), first);
	flights_remove(t, first);
	assert_null(flights_find(t, old));
	second = flights_add(t);
	assert_ptr_equal(second, first);
	assert_int_not_equal(second->id, old);
	assert_null(flights_find(t, old));
	assert_null(flights_find(t, 1));
	assert_null(flights_find(t, UINT64_MAX));
	assert_int_equal(flights_count(t), 1);
	flights_free(t);
}

static void what_is_kept_is_counted(void **state)
{
	struct flights *t = flights_new(2);
	struct flight *a = flights_add(t), *b = flights_add(t);

	(void)state;
	flight_keep(t, a, bytes_text("token"), bytes_text("operation"));
	flight_keep(t, b, bytes_text(""), bytes_text("read"));
	assert_int_equal(flights_kept(t), 18);
	assert_int_equal(a->token_bytes, 5);
	flight_drop_kept(t, a);
	assert_int_equal(flights_kept(t), 4);
	flights_remove(t, a);
	flights_remove(t, b);
	assert_int_equal(flights_kept(t), 0);
	flights_free(t);
}

static void credit_is_what_is_neither_owed_nor_unsent(void **state)
{
	struct flights *t = flights_new(1);
	struct flight *f = flights_add(t);

	(void)state;
	assert_int_equal(flight_credit(f, 0), FLIGHT_WINDOW_BYTES);
	assert_int_equal(flight_credit(f, 0), 0);
	/* What came waits for the client: there is no room yet. */
	flight_received(f, FLIGHT_WINDOW_BYTES / 2);
	assert_int_equal(flight_credit(f, FLIGHT_WINDOW_BYTES / 2), 0);
	/* A little is not worth a message. */
	assert_int_equal(flight_credit(f, FLIGHT_WINDOW_BYTES / 4 + 1), 0);
	assert_int_equal(flight_credit(f, FLIGHT_WINDOW_BYTES / 4), FLIGHT_WINDOW_BYTES / 4);
	/* The last slice may be longer than what there was credit for. */
	flight_received(f, 10 * FLIGHT_WINDOW_BYTES);
	assert_int_equal(f->owed, 0);
	assert_int_equal(flight_credit(f, 10 * FLIGHT_WINDOW_BYTES), 0);
	assert_int_equal(flight_credit(f, 0), FLIGHT_WINDOW_BYTES);
	flights_free(t);
}

static void all_in_flight_are_met(void **state)
{
	struct flights *t = flights_new(8);
	struct flight *f;
	size_t at = 0, met = 0;

	(void)state;
	for (int i = 0; i < 5; i++)
		flights_add(t);
	while ((f = flights_next(t, &at)) != NULL) {
		if (met++ % 2 == 0)
			flights_remove(t, f);
	}
	assert_int_equal(met, 5);
	assert_int_equal(flights_count(t), 2);
	for (at = met = 0; (f = flights_next(t, &at)) != NULL; met++)
		flights_remove(t, f);
	assert_int_equal(met, 2);
	flights_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slot_is_reused_and_its_old_id_finds_nobody),
		cmocka_unit_test(what_is_kept_is_counted),
		cmocka_unit_test(credit_is_what_is_neither_owed_nor_unsent),
		cmocka_unit_test(all_in_flight_are_met),
	};

	return cmocka_run_group_tests_name("http_flight", tests, NULL, NULL);
}
