/*
 * What a replica says of its health is what a client would get.
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
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/status.h"
#include "tests/common/replica_alone.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"
#define ELECTION_MS 500
#define LIMIT_MS (2 * ELECTION_MS)
#define SHARED_MS 100

/* What the probe or question of this id was told; it must have been answered. The texts are gone with the answer. */
static struct status_node told(const struct alone *a, uint64_t id)
{
	const struct alone_answer *answer = alone_answered(a, id);
	struct status_node s;
	struct reader r;

	assert_non_null(answer);
	assert_int_equal(answer->error, ERR_OK);
	r = reader_of(blob_bytes(answer->result));
	assert_true(status_node_get(&r, &s));
	return s;
}

static void probe(struct alone *a, uint64_t id)
{
	alone_ask(a, id, REQUEST_PROBE);
}

/* It has applied what n2, the leader, has told it. */
static struct alone *follower(void)
{
	struct alone *a = alone_follower_of(LIST, 2);

	alone_append(a, 2, 2, (struct raft_pos){ 1, 1 }, 2);
	alone_clear(a);
	return a;
}

static size_t questions(const struct alone *a)
{
	struct raft_message last;

	return alone_sent_raft(a, RAFT_READ, &last);
}

/* The leader, n2, confirms the last question for a read index. */
static void confirm(struct alone *a, uint64_t index)
{
	struct raft_message m = { .type = RAFT_READ_ANSWER, .from = 2, .term = 2 };

	m.read_answer = (struct raft_read_answer){ 1, alone_asked(a), index };
	alone_raft(a, &m);
}

static void heartbeat(struct alone *a)
{
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 2, .term = 2 };

	alone_raft(a, &m);
}

/* Time passes while the leader is heard. */
static void follow(struct alone *a, int64_t ms)
{
	for (; ms > 0; ms -= SHARED_MS) {
		alone_clear(a);
		heartbeat(a);
		alone_pass(a, ms < SHARED_MS ? ms : SHARED_MS);
	}
}

static void probe_is_answered_when_a_read_is_confirmed_and_applied(void **state)
{
	struct alone *a = follower();

	(void)state;
	probe(a, 1);
	probe(a, 2);
	assert_int_equal(questions(a), 1); /* for both */
	confirm(a, 5);
	assert_null(alone_answered(a, 1)); /* it has not got that far */
	alone_append(a, 2, 2, (struct raft_pos){ 2, 3 }, 2);
	assert_int_equal(told(a, 1).served, 1);
	assert_int_equal(told(a, 2).served, 1);
	alone_free(a);
}

static void probes_share_a_read_in_each_100_ms(void **state)
{
	struct alone *a = follower();

	(void)state;
	probe(a, 1);
	confirm(a, 3);
	alone_clear(a);
	for (uint64_t id = 2; id < 10; id++) {
		probe(a, id);
		assert_int_equal(told(a, id).served, 1);
	}
	assert_int_equal(questions(a), 0);
	follow(a, SHARED_MS);
	probe(a, 10);
	assert_int_equal(told(a, 10).served, 1); /* as of the last one */
	assert_int_equal(questions(a), 1);
	alone_free(a);
}

static void node_is_not_ready_once_no_read_is_confirmed_for_two_election_timeouts(void **state)
{
	struct alone *a = follower();

	(void)state;
	probe(a, 1);
	confirm(a, 3);
	assert_int_equal(told(a, 1).served, 1);
	follow(a, SHARED_MS);
	probe(a, 2);
	assert_int_equal(told(a, 2).served, 1);
	follow(a, LIMIT_MS - 2 * SHARED_MS);
	probe(a, 3);
	assert_int_equal(told(a, 3).served, 1); /* a change of leaders may take so long */
	follow(a, 2 * SHARED_MS);
	probe(a, 4);
	assert_int_equal(told(a, 4).served, 0);
	probe(a, 5); /* known by now, it does not wait */
	assert_int_equal(told(a, 5).served, 0);
	follow(a, SHARED_MS);
	probe(a, 6);
	confirm(a, 3);
	probe(a, 7);
	assert_int_equal(told(a, 7).served, 1);
	alone_free(a);
}

static void first_probe_after_a_while_waits_and_does_not_guess(void **state)
{
	struct alone *a = follower();

	(void)state;
	follow(a, 20 * LIMIT_MS);
	probe(a, 1);
	assert_null(alone_answered(a, 1));
	confirm(a, 3);
	assert_int_equal(told(a, 1).served, 1);
	follow(a, 20 * LIMIT_MS);
	probe(a, 2); /* nothing is known since */
	assert_null(alone_answered(a, 2));
	follow(a, LIMIT_MS + SHARED_MS);
	assert_int_equal(told(a, 2).served, 0);
	alone_free(a);
}

static void probe_of_a_client_that_is_gone_is_forgotten(void **state)
{
	struct alone *a = follower();

	(void)state;
	probe(a, 1);
	probe(a, 2);
	assert_int_equal(replica_view(a->replica).requests, 2);
	replica_cancel(a->replica, 1, 1);
	assert_int_equal(replica_view(a->replica).requests, 1);
	replica_forget(a->replica, 1);
	assert_int_equal(replica_view(a->replica).requests, 0);
	alone_free(a);
}

static void node_that_may_form_a_cluster_alone_is_its_leader_and_only_voter(void **state)
{
	struct alone *a = alone_new("");
	struct status_member m;
	struct status_node s;
	struct reader r;

	(void)state;
	probe(a, 1);
	s = told(a, 1);
	assert_true(s.served && s.counts && s.accepts && s.confirmed && s.caught_up);
	assert_int_equal(s.role, ROLE_LEADER);
	assert_true(s.leader == s.incarnation && s.cluster == 0);
	r = reader_of(s.members);
	assert_true(status_member_get(&r, &m) && reader_done(&r));
	assert_true(m.incarnation == s.incarnation && m.voter);
	alone_free(a);
}

/* It said that it was ready and its own leader, and answered every request that there is none. */
static void listed_node_whose_others_are_away_is_neither_ready_nor_leader(void **state)
{
	struct alone *a = alone_new(LIST);
	struct status_node s;

	(void)state;
	probe(a, 1);
	s = told(a, 1);
	assert_false(s.served || s.counts || s.accepts || s.confirmed || s.caught_up);
	assert_int_equal(s.role, ROLE_UNFORMED);
	assert_true(s.leader == 0 && s.members.size == 0);
	alone_free(a);
}

static void leader_accepts_writes_until_it_hands_over(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	alone_ask(a, 1, REQUEST_STATUS);
	assert_int_equal(told(a, 1).accepts, 1);
	assert_int_equal(replica_hand_over(a->replica, a->now), ERR_OK);
	alone_ask(a, 2, REQUEST_STATUS);
	assert_int_equal(told(a, 2).accepts, 0);
	assert_int_equal(told(a, 2).role, ROLE_LEADER);
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probe_is_answered_when_a_read_is_confirmed_and_applied),
		cmocka_unit_test(probes_share_a_read_in_each_100_ms),
		cmocka_unit_test(node_is_not_ready_once_no_read_is_confirmed_for_two_election_timeouts),
		cmocka_unit_test(first_probe_after_a_while_waits_and_does_not_guess),
		cmocka_unit_test(probe_of_a_client_that_is_gone_is_forgotten),
		cmocka_unit_test(node_that_may_form_a_cluster_alone_is_its_leader_and_only_voter),
		cmocka_unit_test(listed_node_whose_others_are_away_is_neither_ready_nor_leader),
		cmocka_unit_test(leader_accepts_writes_until_it_hands_over),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
