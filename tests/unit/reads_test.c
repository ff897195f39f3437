/*
 * Which reads are done next, and that results take no more memory than they may.
 *
 * links: worker/replica/ worker/raft/ worker/log/ worker/kv/ tests/common/replica_alone.c
 *	tests/common/fake_disk.c tests/common/mem_table.c tests/common/mem_tables.c common/ballast.c common/buf.c
 *	common/clock.c common/crc.c common/disk.c common/err.c common/lane.c common/log.c common/mem.c common/member.c
 *	common/metric.c common/random.c common/random_secret.c common/status.c common/wire.c -lxxhash
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "tests/common/replica_alone.h"
#include "worker/replica/inside.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"

/* One node with a key, whose results may take 1000 bytes. */
static struct alone *begin(void)
{
	struct alone *a = alone_new("");

	alone_write(a, 1000, "key");
	for (int i = 0; i < 50 && alone_answered(a, 1000) == NULL; i++)
		alone_pass(a, 100);
	assert_non_null(alone_answered(a, 1000));
	alone_read(a, 1001, LEVEL_STALE, "key"); /* nobody is looked at before the first read */
	a->replica->o.result_bytes = 1000;
	return a;
}

static void lists_wait_for_their_readers_and_gets_a_little_less(void **state)
{
	struct alone *a = begin();

	(void)state;
	a->unsent = 1000;
	alone_list(a, 1, LEVEL_LINEARIZABLE);
	alone_read(a, 2, LEVEL_LINEARIZABLE, "key");
	alone_pass(a, 1);
	assert_null(alone_answered(a, 1));
	assert_non_null(alone_answered(a, 2));
	a->unsent = 1250;
	alone_read(a, 3, LEVEL_STALE, "key");
	alone_pass(a, 1);
	assert_null(alone_answered(a, 3));
	a->unsent = 1000;
	alone_pass(a, 1);
	assert_non_null(alone_answered(a, 3));
	assert_null(alone_answered(a, 1));
	a->unsent = 999;
	alone_pass(a, 1);
	assert_non_null(alone_answered(a, 1));
	assert_int_equal(alone_answered(a, 1)->error, ERR_OK);
	alone_free(a);
}

static void a_list_that_waits_in_vain_is_answered_in_time(void **state)
{
	struct alone *a = begin();

	(void)state;
	a->unsent = 1000;
	alone_list(a, 1, LEVEL_STALE);
	for (int i = 0; i < 55; i++)
		alone_pass(a, 100);
	assert_non_null(alone_answered(a, 1));
	assert_int_equal(alone_answered(a, 1)->error, ERR_BUSY);
	assert_int_equal(alone_answered(a, 1)->applied, APPLIED_NO);
	assert_string_equal(alone_answered(a, 1)->text,
	    "clients have not taken the results of their reads, 1000 bytes here, and the limit of all is "
	    "1000 ([limits] "
	    "result_bytes): try again");
	alone_free(a);
}

static void readers_of_one_worker_do_not_hold_up_another(void **state)
{
	struct alone *a = begin();

	(void)state;
	a->unsent = 600;
	for (uint64_t id = 1; id <= 50; id++)
		alone_list(a, id, LEVEL_STALE);
	for (uint64_t id = 1; id <= 50; id++)
		assert_non_null(alone_answered(a, id));
	a->unsent = 1000;
	for (uint64_t id = 51; id <= 100; id++)
		alone_list(a, id, LEVEL_STALE);
	a->client = ALONE_CLIENT + 1;
	alone_list(a, 101, LEVEL_STALE);
	assert_null(alone_answered(a, 51));
	assert_non_null(alone_answered(a, 101));
	/* Half of the budget is the other's. */
	a->unsent = 500;
	a->client = ALONE_CLIENT;
	alone_list(a, 102, LEVEL_STALE);
	assert_non_null(alone_answered(a, 51)); /* the other one has nothing any more */
	replica_forget(a->replica, ALONE_CLIENT);
	alone_free(a);
}

static size_t answered(const struct alone *a, uint64_t first, uint64_t last)
{
	size_t count = 0;

	for (uint64_t id = first; id <= last; id++)
		count += alone_answered(a, id) != NULL;
	return count;
}

/* One result is let through however large it is, and what has not been done is done next, in its order. */
static void the_lane_makes_no_more_than_the_loop_has_room_for(void **state)
{
	struct alone *a = begin();

	(void)state;
	a->replica->o.lane_bytes = 1;
	a->state_waits = true;
	for (uint64_t id = 1; id <= 10; id++)
		alone_list(a, id, LEVEL_STALE);
	for (uint64_t done = 1; done <= 10; done++) {
		alone_state_turn(a);
		assert_int_equal(answered(a, 1, 10), done);
		assert_int_equal(answered(a, 1, done), done);
		assert_int_equal(alone_answered(a, done)->error, ERR_OK);
	}
	alone_free(a);
}

static void gets_that_the_lane_has_no_room_for_are_done_next(void **state)
{
	struct alone *a = begin();

	(void)state;
	a->replica->o.lane_bytes = 1;
	a->state_waits = true;
	for (uint64_t id = 1; id <= 5; id++)
		alone_read(a, id, LEVEL_STALE, "key");
	a->state_waits = false;
	alone_pass(a, 1);
	for (uint64_t id = 1; id <= 5; id++) {
		assert_non_null(alone_answered(a, id));
		assert_int_equal(alone_answered(a, id)->error, ERR_OK);
	}
	alone_free(a);
}

/* It goes before the lists that came earlier. */
static void a_get_waits_for_one_turn_of_lists_at_most(void **state)
{
	struct alone *a = begin();

	(void)state;
	a->replica->o.lane_bytes = 1;
	a->state_waits = true;
	for (uint64_t id = 1; id <= 10; id++)
		alone_list(a, id, LEVEL_STALE);
	alone_read(a, 11, LEVEL_STALE, "key");
	alone_state_turn(a);
	alone_state_turn(a);
	assert_non_null(alone_answered(a, 11));
	assert_int_equal(answered(a, 1, 10), 1);
	a->state_waits = false;
	alone_pass(a, 1);
	assert_int_equal(answered(a, 1, 10), 10);
	alone_free(a);
}

static void lists_whose_client_goes_are_forgotten(void **state)
{
	struct alone *a = begin();

	(void)state;
	a->unsent = 1000;
	alone_list(a, 1, LEVEL_STALE);
	alone_list(a, 2, LEVEL_STALE);
	replica_cancel(a->replica, ALONE_CLIENT, 1);
	assert_int_equal(replica_view(a->replica).requests, 1);
	a->client = ALONE_CLIENT + 1;
	alone_list(a, 3, LEVEL_STALE);
	replica_forget(a->replica, ALONE_CLIENT);
	alone_pass(a, 1);
	assert_int_equal(replica_view(a->replica).requests, 0);
	assert_null(alone_answered(a, 2));
	assert_non_null(alone_answered(a, 3));
	alone_free(a);
}

/* The number of the n-th question that was passed on. */
static uint64_t number_asked(const struct alone *a, size_t n)
{
	for (size_t i = 0; i < a->frame_count; i++) {
		struct bytes frame = blob_bytes(a->frames[i].bytes);
		struct reader reader = reader_of(bytes_of(frame.data + 1, frame.size - 1));
		struct peer_ask m;

		if (frame.data[0] != PEER_ASK || n-- > 0)
			continue;
		assert_true(peer_ask_get(&reader, &m));
		return m.number;
	}
	fail();
	return 0;
}

static void tell(struct alone *a, uint64_t number)
{
	struct peer_tell m = { .start = 1, .number = number, .result = bytes_text("it") };
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_TELL);
	peer_tell_put(&frame, &m);
	replica_on_frame(a->replica, 2, buf_bytes(&frame), a->now);
	alone_pass(a, 0);
	buf_free(&frame);
}

/* How large their results are is known when they come. */
static void few_lists_at_a_time_are_asked_of_the_leader(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	a->replica->o.result_bytes = 1000;
	for (uint64_t id = 1; id <= 40; id++)
		alone_list(a, id, LEVEL_LEADER);
	assert_int_equal(alone_sent(a, PEER_ASK), 16);
	alone_read(a, 41, LEVEL_LEADER, "key");
	alone_pass(a, 0);
	a->unsent = 1000;
	tell(a, number_asked(a, 0));
	assert_non_null(alone_answered(a, 1));
	assert_int_equal(alone_sent(a, PEER_ASK), 16);
	a->unsent = 0;
	for (size_t i = 1; i < 41; i++)
		tell(a, number_asked(a, i));
	assert_int_equal(answered(a, 1, 41), 41);
	assert_int_equal(alone_sent(a, PEER_ASK), 41);
	alone_free(a);
}

/* It would be behind the same answers again. */
static void what_the_leader_is_at_is_not_asked_again_while_answers_come(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 2, .term = 2 };

	(void)state;
	for (uint64_t id = 1; id <= 10; id++)
		alone_list(a, id, LEVEL_LEADER);
	for (size_t i = 0; i < 8; i++) {
		alone_pass(a, 100);
		alone_raft(a, &m);
		tell(a, number_asked(a, i));
	}
	assert_int_equal(alone_sent(a, PEER_ASK), 10);
	/* Until none comes. */
	for (size_t i = 0; i < 12; i++) {
		alone_pass(a, 100);
		alone_raft(a, &m);
	}
	assert_in_range(alone_sent(a, PEER_ASK), 12, 14);
	alone_free(a);
}

static void what_gets_one_record_is_small(void **state)
{
	struct buf steps = { 0 }, txn = { 0 };

	(void)state;
	kv_get_step(&steps, bytes_text("key"));
	kv_txn_put(&txn, &(struct kv_txn){ .steps = buf_bytes(&steps) });
	assert_false(reads_is_big(buf_bytes(&txn)));
	kv_get_step(&steps, bytes_text("key"));
	buf_clear(&txn);
	kv_txn_put(&txn, &(struct kv_txn){ .steps = buf_bytes(&steps) });
	assert_true(reads_is_big(buf_bytes(&txn)));
	buf_clear(&steps);
	buf_clear(&txn);
	kv_range_step(&steps, bytes_text("key"), bytes_text(""), 1, true);
	kv_txn_put(&txn, &(struct kv_txn){ .steps = buf_bytes(&steps) });
	assert_true(reads_is_big(buf_bytes(&txn)));
	buf_free(&steps);
	buf_free(&txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_wait_for_their_readers_and_gets_a_little_less),
		cmocka_unit_test(a_list_that_waits_in_vain_is_answered_in_time),
		cmocka_unit_test(readers_of_one_worker_do_not_hold_up_another),
		cmocka_unit_test(the_lane_makes_no_more_than_the_loop_has_room_for),
		cmocka_unit_test(gets_that_the_lane_has_no_room_for_are_done_next),
		cmocka_unit_test(a_get_waits_for_one_turn_of_lists_at_most),
		cmocka_unit_test(lists_whose_client_goes_are_forgotten),
		cmocka_unit_test(few_lists_at_a_time_are_asked_of_the_leader),
		cmocka_unit_test(what_the_leader_is_at_is_not_asked_again_while_answers_come),
		cmocka_unit_test(what_gets_one_record_is_small),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("reads", tests, NULL, NULL);
}
