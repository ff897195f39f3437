/*
 * A replica whose neighbours are played: what it answers, sends and waits for.
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

#include <cmocka.h>

#include "common/log.h"
#include "tests/common/replica_alone.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"

static void forward(struct alone *a, uint64_t from, uint64_t term, uint64_t number)
{
	alone_forward(a, from, 1, term, number);
}

static void other_leads(struct alone *a, uint64_t leader, uint64_t term)
{
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = leader, .term = term };

	alone_raft(a, &m);
}

/* The second copy of a forwarded write, when this node leads no more: «not proposed» would be a lie, for the first
 * copy was, and the origin would try again. */
static void d10_second_copy_of_a_proposed_write_is_not_refused(void **state)
{
	struct alone *a = alone_new(LIST);
	uint64_t term, last;

	(void)state;
	alone_form(a);
	alone_elect(a);
	term = alone_view(a).term;
	last = alone_view(a).last.index;
	forward(a, 2, term, 7);
	assert_int_equal(alone_view(a).last.index, last + 1);
	other_leads(a, 3, term + 1);
	alone_clear(a);
	forward(a, 2, term, 7);
	forward(a, 2, term, 6);
	assert_int_equal(alone_sent(a, PEER_REFUSE), 0);
	/* One that was never here is. */
	forward(a, 2, term, 8);
	assert_int_equal(alone_sent(a, PEER_REFUSE), 1);
	alone_free(a);
}

/* And the same after this node has led again and taken other writes since. */
static void d10_late_copy_of_an_earlier_term_is_not_refused(void **state)
{
	struct alone *a = alone_new(LIST);
	uint64_t term;

	(void)state;
	alone_form(a);
	alone_elect(a);
	term = alone_view(a).term;
	forward(a, 2, term, 7);
	other_leads(a, 3, term + 1);
	alone_elect(a);
	forward(a, 2, alone_view(a).term, 9);
	alone_clear(a);
	forward(a, 2, term, 7);
	assert_int_equal(alone_sent(a, PEER_REFUSE), 0);
	alone_free(a);
}

/* And after it was killed and does not know any more what it has proposed in its term. */
static void d10_leader_started_anew_does_not_refuse_what_it_may_have_proposed(void **state)
{
	struct alone *a = alone_new(LIST);
	uint64_t term;

	(void)state;
	alone_form(a);
	alone_elect(a);
	term = alone_view(a).term;
	forward(a, 2, term, 7);
	alone_kill(a);
	alone_clear(a);
	forward(a, 2, term, 7);
	assert_int_equal(alone_sent(a, PEER_REFUSE), 0);
	other_leads(a, 3, term + 1);
	forward(a, 2, term + 1, 8);
	assert_int_equal(alone_sent(a, PEER_REFUSE), 1);
	alone_free(a);
}

/* A write that its origin's node answered is in the new leader's log, but that leader does not know yet that it is
 * committed: it must not answer a read without it. */
static void r1_read_at_the_leader_waits_for_the_first_commit_of_its_term(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_read(a, 1, LEVEL_LEADER, "key");
	alone_pass(a, 1);
	assert_null(alone_answered(a, 1));
	alone_accept(a, 2);
	assert_non_null(alone_answered(a, 1));
	assert_int_equal(alone_answered(a, 1)->error, ERR_OK);
	alone_free(a);
}

/* The others of the list may have formed the cluster and acknowledged writes: a node that does not know yet answers
 * nothing for all of them, only stale reads for itself. */
static void unformed_node_of_a_list_does_not_answer_for_the_cluster(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_read(a, 1, LEVEL_LINEARIZABLE, "key");
	alone_read(a, 2, LEVEL_LEADER, "key");
	alone_read(a, 3, LEVEL_STALE, "key");
	alone_pass(a, 10);
	assert_null(alone_answered(a, 1));
	assert_null(alone_answered(a, 2));
	assert_non_null(alone_answered(a, 3));
	assert_int_equal(alone_answered(a, 3)->error, ERR_OK);
	alone_pass(a, 10000);
	assert_int_equal(alone_answered(a, 1)->error, ERR_NO_LEADER);
	assert_int_equal(alone_answered(a, 2)->error, ERR_NO_LEADER);
	alone_free(a);
}

/* What it waited for is cut from the log: the next leader is asked. */
static void r1_read_at_a_leader_that_falls_before_it_is_asked_of_the_next(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_read(a, 1, LEVEL_LEADER, "key");
	alone_clear(a);
	other_leads(a, 3, alone_view(a).term + 1);
	assert_null(alone_answered(a, 1));
	assert_int_equal(alone_sent(a, PEER_ASK), 1);
	alone_free(a);
}

/* It was read when this node led an earlier term: what another one answered in between is not in it. */
static void r1_read_at_the_leader_of_an_earlier_term_is_done_again(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	a->state_waits = true;
	alone_read(a, 1, LEVEL_LEADER, "key");
	other_leads(a, 3, alone_view(a).term + 1);
	alone_elect(a);
	a->state_waits = false;
	alone_pass(a, 1);
	assert_null(alone_answered(a, 1));
	alone_accept(a, 2);
	alone_pass(a, 100);
	assert_int_equal(alone_answered(a, 1)->error, ERR_OK);
	alone_free(a);
}

static size_t accepts_sent(const struct alone *a)
{
	size_t count = 0;

	for (size_t i = 0; i < a->frame_count; i++) {
		struct reader r = reader_of(blob_bytes(a->frames[i].bytes));
		struct raft_message m = { 0 };

		if (wire_get_u8(&r) == PEER_RAFT && raft_message_get(bytes_of(r.at, r.left), &m))
			count += m.type == RAFT_APPEND_ANSWER && m.append_answer.accepted;
		raft_message_free(&m);
	}
	return count;
}

/* Two appends, the second while the first is being written. */
static void c3_promise_waits_for_its_own_sync(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	other_leads(a, 2, 2);
	alone_clear(a);
	a->log_waits = true;
	alone_append(a, 2, 2, (struct raft_pos){ 1, 1 }, 1);
	alone_append(a, 2, 2, (struct raft_pos){ 2, 2 }, 1);
	assert_int_equal(accepts_sent(a), 0);
	alone_log_turn(a);
	assert_int_equal(accepts_sent(a), 1);
	alone_log_turn(a);
	assert_int_equal(accepts_sent(a), 2);
	a->log_waits = false;
	alone_free(a);
}

/* Two batches share a turn of the log lane, and the second cannot be written: the sync that the first waits for does not
 * happen, so it is not promised either. */
static void c3_nothing_of_a_turn_that_failed_is_promised(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	other_leads(a, 2, 2);
	alone_clear(a);
	a->log_waits = true;
	alone_append(a, 2, 2, (struct raft_pos){ 1, 1 }, 1);
	alone_append(a, 2, 2, (struct raft_pos){ 2, 2 }, 1);
	a->may_die = true;
	fake_disk_die_at(a->disk, fake_disk_calls(a->disk) + 1, 0);
	a->log_waits = false;
	alone_pass(a, 0);
	assert_true(a->died);
	assert_int_equal(accepts_sent(a), 0);
	alone_free(a);
}

/* What this node knew before it was killed says nothing about now: neither its state nor what it has read again. */
static void r3_read_right_after_a_restart_waits_for_its_index(void **state)
{
	struct alone *a = alone_new(LIST);
	struct raft_message m = { .type = RAFT_READ_ANSWER, .from = 2, .term = 2 };

	(void)state;
	alone_form(a);
	alone_append(a, 2, 2, (struct raft_pos){ 1, 1 }, 3);
	alone_kill(a);
	alone_read(a, 1, LEVEL_LINEARIZABLE, "key");
	assert_null(alone_answered(a, 1));
	other_leads(a, 2, 2);
	assert_null(alone_answered(a, 1));
	m.read_answer = (struct raft_read_answer){ 1, alone_asked(a), 5 };
	alone_raft(a, &m); /* d11: to its former life */
	alone_append(a, 2, 2, (struct raft_pos){ 2, 4 }, 1);
	assert_null(alone_answered(a, 1));
	m.read_answer = (struct raft_read_answer){ 2, alone_asked(a), 6 };
	alone_raft(a, &m);
	assert_null(alone_answered(a, 1));
	alone_append(a, 2, 2, (struct raft_pos){ 2, 5 }, 1);
	assert_int_equal(alone_answered(a, 1)->error, ERR_OK);
	alone_free(a);
}

/* Its writes are not in the next leader's log, and once an entry of that term is applied they never will be: they are
 * tried again by themselves. */
static void r6_overwritten_writes_of_a_deposed_leader_are_tried_again(void **state)
{
	struct alone *a = alone_new(LIST);
	struct raft_pos before;
	uint64_t term;

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	before = alone_view(a).last;
	alone_write(a, 1, "key");
	alone_write(a, 2, "key");
	term = alone_view(a).term;
	alone_clear(a);
	other_leads(a, 3, term + 1);
	assert_int_equal(alone_sent(a, PEER_FORWARD), 0);
	alone_append(a, 3, term + 1, before, 1);
	assert_int_equal(alone_sent(a, PEER_FORWARD), 2);
	assert_int_equal(a->answer_count, 0);
	alone_free(a);
}

static void lists_that_do_not_name_this_node_once_are_refused(void **state)
{
	(void)state;
	assert_int_equal(alone_opens(LIST), ERR_OK);
	assert_int_equal(alone_opens(" n2 = n2:1 ,n1=n1:1"), ERR_OK);
	assert_int_equal(alone_opens("n2=n2:1, n3=n3:1"), ERR_BAD_REQUEST);
	assert_int_equal(alone_opens("n1=n1:1, n1=n1:2"), ERR_BAD_REQUEST);
	assert_int_equal(alone_opens("n1=n1:1, n2"), ERR_BAD_REQUEST);
	assert_int_equal(alone_opens("n1=n1:1, ="), ERR_BAD_REQUEST);
}

/* Whoever stops waits for what is under way: a request that was cancelled is not. */
static void cancelled_request_does_not_hold_up_a_stop(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	alone_write(a, 1, "key");
	alone_write(a, 2, "key");
	assert_int_equal(replica_view(a->replica).requests, 2);
	replica_cancel(a->replica, 1, 1);
	assert_int_equal(replica_view(a->replica).requests, 1);
	replica_forget(a->replica, 1);
	assert_int_equal(replica_view(a->replica).requests, 0);
	alone_free(a);
}

static void other_claims(struct alone *a, uint64_t incarnation, uint64_t cluster)
{
	struct peer_claim m = { cluster };
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_CLAIM);
	peer_claim_put(&frame, &m);
	replica_on_frame(a->replica, incarnation, buf_bytes(&frame), a->now);
	buf_free(&frame);
}

/* d12: refused keys, but with nothing to do: the loop sleeps. */
static void d12_foreign_node_rests(void **state)
{
	struct alone *a = alone_new("");

	(void)state;
	alone_write(a, 1, "key");
	alone_hello(a, 2, 77, false);
	other_claims(a, 2, 77);
	alone_pass(a, 2000);
	assert_int_equal(alone_answered(a, 1)->error, ERR_FOREIGN);
	assert_int_equal(alone_answered(a, 1)->applied, APPLIED_NO);
	for (int i = 0; i < 3; i++) {
		alone_pass(a, 1000);
		assert_false(instant_passed(replica_deadline(a->replica), a->now));
	}
	alone_free(a);
}

/* c13: the connection to the leader broke, with a write on it or not: it is sent again, as the same attempt. */
static void c13_forwarded_write_is_sent_again_after_its_connection_broke(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	other_leads(a, 2, 2);
	alone_write(a, 1, "key");
	alone_write(a, 2, "key");
	assert_int_equal(alone_sent(a, PEER_FORWARD), 2);
	replica_on_unreachable(a->replica, 2, a->now);
	alone_clear(a);
	alone_hello(a, 3, 7, true);
	assert_int_equal(alone_sent(a, PEER_FORWARD), 0);
	alone_hello(a, 2, 7, true);
	assert_int_equal(alone_sent(a, PEER_FORWARD), 2);
	assert_int_equal(a->answer_count, 0);
	alone_free(a);
}

/* The leader's side of it: what it has seen is proposed once. */
static void t3_write_forwarded_again_is_proposed_once(void **state)
{
	struct alone *a = alone_new(LIST);
	uint64_t term, last;

	(void)state;
	alone_form(a);
	alone_elect(a);
	term = alone_view(a).term;
	last = alone_view(a).last.index;
	forward(a, 2, term, 7);
	forward(a, 2, term, 8);
	forward(a, 2, term, 7);
	forward(a, 2, term, 8);
	forward(a, 2, term, 9);
	assert_int_equal(alone_view(a).last.index, last + 3);
	/* Of its next life; and late ones of this. */
	alone_forward(a, 2, 2, term, 1);
	forward(a, 2, term, 10);
	alone_forward(a, 2, 2, term, 1);
	assert_int_equal(alone_view(a).last.index, last + 4);
	alone_free(a);
}

/* c13, r6: the writes of a leader that falls are tried again or unknown, never claimed. */
static void r6_deposed_leader_claims_nothing(void **state)
{
	struct alone *a = alone_new(LIST);
	uint64_t term;

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	for (uint64_t id = 1; id <= 10; id++)
		alone_write(a, id, "key");
	term = alone_view(a).term;
	other_leads(a, 3, term + 1);
	alone_pass(a, 100);
	assert_int_equal(a->answer_count, 0);
	for (int i = 0; i < 70; i++) {
		alone_clear(a);
		alone_pass(a, 100);
	}
	assert_int_equal(a->answer_count, 10);
	for (size_t i = 0; i < a->answer_count; i++) {
		assert_int_equal(a->answers[i].error, ERR_TIMEOUT);
		assert_int_equal(a->answers[i].applied, APPLIED_UNKNOWN);
	}
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c3_promise_waits_for_its_own_sync),
		cmocka_unit_test(c3_nothing_of_a_turn_that_failed_is_promised),
		cmocka_unit_test(d10_second_copy_of_a_proposed_write_is_not_refused),
		cmocka_unit_test(d10_late_copy_of_an_earlier_term_is_not_refused),
		cmocka_unit_test(d10_leader_started_anew_does_not_refuse_what_it_may_have_proposed),
		cmocka_unit_test(unformed_node_of_a_list_does_not_answer_for_the_cluster),
		cmocka_unit_test(r1_read_at_the_leader_waits_for_the_first_commit_of_its_term),
		cmocka_unit_test(r1_read_at_a_leader_that_falls_before_it_is_asked_of_the_next),
		cmocka_unit_test(c13_forwarded_write_is_sent_again_after_its_connection_broke),
		cmocka_unit_test(t3_write_forwarded_again_is_proposed_once),
		cmocka_unit_test(r1_read_at_the_leader_of_an_earlier_term_is_done_again),
		cmocka_unit_test(r3_read_right_after_a_restart_waits_for_its_index),
		cmocka_unit_test(r6_overwritten_writes_of_a_deposed_leader_are_tried_again),
		cmocka_unit_test(cancelled_request_does_not_hold_up_a_stop),
		cmocka_unit_test(lists_that_do_not_name_this_node_once_are_refused),
		cmocka_unit_test(d12_foreign_node_rests),
		cmocka_unit_test(r6_deposed_leader_claims_nothing),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("replica", tests, NULL, NULL);
}
