/*
 * Members come and go: what a node that is asked for it sends, and what it answers when.
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
#include "common/member.h"
#include "tests/common/replica_alone.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"

static void accept_all(struct alone *a)
{
	alone_accept(a, 2);
	alone_accept(a, 3);
}

static struct alone *leader(void)
{
	struct alone *a = alone_new(LIST);

	alone_form(a);
	alone_elect(a);
	accept_all(a);
	alone_clear(a);
	return a;
}

static void change(struct alone *a, uint64_t id, enum member_kind kind, const char *name, const char *peer)
{
	struct member_change c = { .kind = (uint8_t)kind, .id = bytes_text(name), .peer = bytes_text(peer) };
	struct ipc_request q = { .id = id, .kind = REQUEST_CHANGE, .time_ms = 5000 };
	struct buf operation = { 0 };

	member_change_put(&operation, &c);
	q.operation = buf_bytes(&operation);
	replica_request(a->replica, 1, &q, a->now);
	alone_pass(a, 0);
	buf_free(&operation);
}

static void receive(struct alone *a, uint64_t from, struct buf *frame)
{
	replica_on_frame(a->replica, from, buf_bytes(frame), a->now);
	alone_pass(a, 0);
	buf_free(frame);
}

/* The number under which it last asked the leader for a change. */
static uint64_t number_asked(const struct alone *a)
{
	uint64_t number = 0;

	for (size_t i = 0; i < a->frame_count; i++) {
		struct bytes frame = blob_bytes(a->frames[i].bytes);
		struct reader reader = reader_of(bytes_of(frame.data + 1, frame.size - 1));
		struct peer_change m;

		if (frame.data[0] == PEER_CHANGE && peer_change_get(&reader, &m))
			number = m.number;
	}
	return number;
}

static void say_changed(struct alone *a, uint64_t from, enum err e, uint64_t incarnation, uint64_t index)
{
	struct peer_changed m = { .term = alone_view(a).term,
		.number = number_asked(a),
		.error = (uint16_t)e,
		.incarnation = incarnation,
		.index = index };
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_CHANGED);
	peer_changed_put(&frame, &m);
	receive(a, from, &frame);
}

/* The leader 2 commits a configuration of n1 to n3, n3 at this address. */
static void commit_config(struct alone *a, const char *third)
{
	struct raft_member members[] = {
		{ a->self, RAFT_VOTER, bytes_text("n1"), bytes_text("n1:1"), bytes_text("http://n1"), 0, 0 },
		{ 2, RAFT_VOTER, bytes_text("n2"), bytes_text("n2:1"), bytes_text("http://n2"), 0, 0 },
		{ 3, RAFT_VOTER, bytes_text("n3"), bytes_text(third), bytes_text("http://n3"), 0, 0 },
	};
	struct buf data = { 0 };

	for (size_t i = 0; i < 3; i++)
		raft_member_put(&data, &members[i]);
	alone_append_one(a, 2, ENTRY_CONFIG, blob_new(buf_bytes(&data)));
	buf_free(&data);
}

static void say_gone(struct alone *a, uint64_t from)
{
	struct peer_gone m = { 7 };
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_GONE);
	peer_gone_put(&frame, &m);
	receive(a, from, &frame);
}

/* Its last messages leave although it is no member any more: without them the others would wait for an election timeout. */
static void m7_removed_leader_lets_another_stand(void **state)
{
	struct alone *a = leader();
	struct raft_message m;

	(void)state;
	change(a, 1, MEMBER_REMOVE, "n1", "");
	accept_all(a); /* joint */
	assert_null(alone_answered(a, 1));
	accept_all(a);
	assert_int_equal(alone_sent_raft(a, RAFT_TIMEOUT_NOW, &m), 1);
	assert_true(replica_view(a->replica).removed);
	assert_int_equal(alone_answered(a, 1)->error, ERR_OK);
	alone_free(a);
}

static void change_is_there_when_the_asker_knows_its_configuration(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	change(a, 1, MEMBER_REMOVE, "n9", "");
	assert_int_equal(alone_sent(a, PEER_CHANGE), 1);
	say_changed(a, 2, ERR_OK, 0, 2); /* it never knew an n9: it is behind */
	assert_null(alone_answered(a, 1));
	commit_config(a, "n3:1");
	assert_int_equal(alone_answered(a, 1)->error, ERR_OK);
	alone_free(a);
}

static void address_is_changed_when_that_is_committed(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	change(a, 1, MEMBER_ADD, "n3", "n3:9");
	say_changed(a, 2, ERR_OK, 3, 1);
	assert_null(alone_answered(a, 1));
	commit_config(a, "n3:9");
	assert_int_equal(alone_answered(a, 1)->error, ERR_OK);
	alone_free(a);
}

static void change_goes_to_the_next_leader_when_refused_for_want_of_one(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	change(a, 1, MEMBER_REMOVE, "n3", "");
	say_changed(a, 2, ERR_NOT_LEADER, 0, 0);
	alone_pass(a, 200);
	assert_int_equal(alone_sent(a, PEER_CHANGE), 2);
	say_changed(a, 2, ERR_NOT_FOUND, 0, 0);
	assert_int_equal(alone_answered(a, 1)->error, ERR_NOT_FOUND);
	assert_int_equal(alone_answered(a, 1)->applied, APPLIED_NO);
	alone_free(a);
}

/* The leader that it was told to fell: nobody here knows whether it had begun it. */
static void change_whose_leader_fell_is_of_unknown_outcome(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);
	struct raft_message m = { .type = RAFT_VOTE_ANSWER, .from = 3, .term = 9 };

	(void)state;
	change(a, 1, MEMBER_REMOVE, "n3", "");
	alone_raft(a, &m); /* a term without a leader */
	assert_null(alone_answered(a, 1));
	for (int i = 0; i < 60 && alone_answered(a, 1) == NULL; i++)
		alone_pass(a, 100);
	assert_int_equal(alone_answered(a, 1)->error, ERR_TIMEOUT);
	assert_int_equal(alone_answered(a, 1)->applied, APPLIED_UNKNOWN);
	alone_free(a);
}

/* The one before may have begun it: what the next one refuses is not «not applied». */
static void refusal_of_a_second_leader_is_of_unknown_outcome(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 3, .term = 9 };

	(void)state;
	change(a, 1, MEMBER_REMOVE, "n2", "");
	alone_raft(a, &m);
	alone_pass(a, 200);
	say_changed(a, 3, ERR_CONFLICT, 0, 0);
	assert_int_equal(alone_answered(a, 1)->error, ERR_CONFLICT);
	assert_int_equal(alone_answered(a, 1)->applied, APPLIED_UNKNOWN);
	alone_free(a);
}

static void m11_node_that_does_not_answer_is_not_added(void **state)
{
	struct alone *a = leader();
	uint64_t last = alone_view(a).last.index;

	(void)state;
	change(a, 1, MEMBER_ADD, "n4", "n4:1");
	assert_non_null(strstr(a->peers, "n4:1 "));
	for (int i = 0; i < 30 && alone_answered(a, 1) == NULL; i++) {
		alone_pass(a, 100);
		accept_all(a);
	}
	assert_int_equal(alone_answered(a, 1)->error, ERR_UNREACHABLE);
	assert_int_equal(alone_view(a).last.index, last);
	assert_null(strstr(a->peers, "n4:1 "));
	alone_free(a);
}

static void node_of_another_name_is_not_added(void **state)
{
	struct alone *a = leader();
	uint64_t last = alone_view(a).last.index;

	(void)state;
	change(a, 1, MEMBER_ADD, "n4", "n4:1");
	alone_hello_as(a, 4, "n5", "n4:1", 0, true);
	assert_int_equal(alone_answered(a, 1)->error, ERR_CONFLICT);
	change(a, 2, MEMBER_ADD, "n4", "n6:1");
	replica_on_refused(a->replica, &(struct bytes){ (const uint8_t *)"n6:1", 4 }, "is elsewhere", a->now);
	alone_pass(a, 0);
	assert_int_equal(alone_answered(a, 2)->error, ERR_CONFLICT);
	assert_int_equal(alone_view(a).last.index, last);
	alone_free(a);
}

static void change_waits_for_the_one_before(void **state)
{
	struct alone *a = leader();
	uint64_t last = alone_view(a).last.index;

	(void)state;
	change(a, 1, MEMBER_ADD, "n4", "n4:1");
	alone_hello_as(a, 4, "n4", "n4:1", 0, true);
	change(a, 2, MEMBER_REMOVE, "n3", "");
	assert_int_equal(alone_view(a).last.index, last + 1);
	assert_int_equal(alone_sent(a, PEER_ADOPT), 0);
	accept_all(a); /* 4 is there */
	assert_int_equal(alone_answered(a, 1)->error, ERR_OK);
	assert_int_equal(alone_view(a).last.index, last + 2);
	alone_pass(a, 100);
	assert_int_not_equal(alone_sent(a, PEER_ADOPT), 0);
	accept_all(a);
	accept_all(a);
	assert_int_equal(alone_answered(a, 2)->error, ERR_OK);
	assert_int_not_equal(alone_sent(a, PEER_GONE), 0);
	alone_free(a);
}

/* A learner says nothing by itself: the one frame that told it may be lost. */
static void who_is_out_and_connected_is_told_again(void **state)
{
	struct alone *a = leader();

	(void)state;
	change(a, 1, MEMBER_REMOVE, "n3", "");
	accept_all(a);
	accept_all(a);
	assert_int_equal(alone_answered(a, 1)->error, ERR_OK);
	alone_hello(a, 3, replica_view(a->replica).cluster, false);
	alone_hello(a, 3, replica_view(a->replica).cluster, true);
	for (int again = 0; again < 2; again++) {
		alone_clear(a);
		for (int i = 0; i < 20; i++) {
			alone_accept(a, 2);
			alone_pass(a, 100);
		}
		assert_in_range(alone_sent(a, PEER_GONE), 1, 4);
	}
	alone_free(a);
}

/* Its log may be too old to name who leads now, and its answers travel on the connection that it dials. */
static void whoever_of_the_cluster_comes_by_is_dialed(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);
	uint64_t cluster = replica_view(a->replica).cluster;

	(void)state;
	alone_hello_as(a, 9, "n9", "n9:1", cluster, false);
	assert_non_null(strstr(a->peers, "n9:1 "));
	replica_on_lost(a->replica, 9, a->now);
	alone_pass(a, 0);
	assert_null(strstr(a->peers, "n9:1 "));
	alone_hello_as(a, 8, "n8", "n8:1", 0, false);
	assert_null(strstr(a->peers, "n8:1 "));
	alone_free(a);
}

static void d12_m12_member_is_not_adopted(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);
	uint64_t cluster = replica_view(a->replica).cluster;
	struct raft_member other = { 5, RAFT_VOTER, bytes_text("n5"), bytes_text("n5:1"),
		bytes_text("http://n5"), 0, 0 };
	struct buf founding = { 0 }, frame = { 0 };
	struct peer_adopt m = { .cluster = cluster + 1 };

	(void)state;
	raft_member_put(&founding, &other);
	m.founding = buf_bytes(&founding);
	wire_put_u8(&frame, PEER_ADOPT);
	peer_adopt_put(&frame, &m);
	receive(a, 5, &frame);
	assert_int_equal(replica_view(a->replica).cluster, cluster);
	alone_kill(a);
	assert_int_equal(replica_view(a->replica).cluster, cluster);
	buf_free(&founding);
	alone_free(a);
}

static void m10_each_empty_disk_makes_another_incarnation(void **state)
{
	struct alone *a = alone_new(LIST), *b = alone_new(LIST);

	(void)state;
	assert_int_not_equal(a->self, b->self);
	alone_free(a);
	alone_free(b);
}

/* What it had proposed may be committed without it; what comes later is passed on, and said to be unknown when no answer
 * comes. */
static void node_that_is_out_passes_on_what_it_is_asked(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);
	uint64_t cluster = replica_view(a->replica).cluster;
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 2, .term = 3 };

	(void)state;
	alone_write(a, 1, "before");
	alone_hello_as(a, 2, "n2", "n2:1", cluster, true);
	say_gone(a, 2);
	assert_int_equal(alone_answered(a, 1)->error, ERR_LOST);
	assert_int_equal(alone_answered(a, 1)->applied, APPLIED_UNKNOWN);
	alone_clear(a);
	alone_raft(a, &m);
	assert_int_equal(alone_view(a).term, 2); /* silent */
	alone_read(a, 2, LEVEL_LEADER, "key");
	assert_int_equal(alone_sent(a, PEER_ASK), 1);
	alone_write(a, 3, "after");
	assert_int_equal(alone_sent(a, PEER_ASK), 2);
	for (int i = 0; i < 60 && alone_answered(a, 3) == NULL; i++)
		alone_pass(a, 100);
	assert_int_equal(alone_answered(a, 3)->error, ERR_TIMEOUT);
	assert_int_equal(alone_answered(a, 3)->applied, APPLIED_UNKNOWN);
	alone_kill(a);
	assert_true(replica_view(a->replica).removed);
	alone_free(a);
}

/* A stranger, or a node of another cluster, has no say in it. */
static void only_the_own_cluster_says_who_is_out(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	alone_hello_as(a, 9, "n9", "n9:1", replica_view(a->replica).cluster + 1, false);
	say_gone(a, 9);
	say_gone(a, 10);
	assert_false(replica_view(a->replica).removed);
	alone_free(a);
}

static void t3_write_that_is_passed_on_twice_is_done_once(void **state)
{
	struct alone *a = leader();
	uint64_t last = alone_view(a).last.index;
	struct kv_txn txn = { 0 };
	struct buf operation = { 0 }, steps = { 0 }, frame = { 0 };
	struct peer_ask m = { .number = 5, .time_ms = 5000, .kind = REQUEST_WRITE };

	(void)state;
	alone_hello_as(a, 9, "n9", "n9:1", replica_view(a->replica).cluster, false);
	kv_put_step(&steps, bytes_text("key"), bytes_text("value"), (struct bytes){ NULL, 0 });
	txn.steps = buf_bytes(&steps);
	kv_txn_put(&operation, &txn);
	m.operation = buf_bytes(&operation);
	for (int i = 0; i < 2; i++) {
		wire_put_u8(&frame, PEER_ASK);
		peer_ask_put(&frame, &m);
		receive(a, 9, &frame);
	}
	assert_int_equal(alone_view(a).last.index, last + 1);
	buf_free(&operation);
	buf_free(&steps);
	alone_free(a);
}

static bool is_at(const struct alone *a, uint64_t incarnation, const char *peer)
{
	struct raft_member m;

	return raft_config_find(raft_config(replica_raft(a->replica)), incarnation, &m) &&
	       bytes_equal(m.peer, bytes_text(peer));
}

/* It was started with other addresses and says so; the leader takes them over once it has reached it there. */
static void member_that_moved_is_found_again(void **state)
{
	struct alone *a = leader();

	(void)state;
	replica_on_lost(a->replica, 2, a->now);
	replica_on_unreachable(a->replica, 2, a->now);
	alone_hello_as(a, 2, "n2", "moved:1", replica_view(a->replica).cluster, false);
	alone_pass(a, 200);
	assert_true(is_at(a, 2, "n2:1"));
	alone_hello_as(a, 2, "n2", "moved:1", replica_view(a->replica).cluster, true);
	alone_pass(a, 200);
	assert_true(is_at(a, 2, "moved:1"));
	assert_true(is_at(a, 3, "n3:1"));
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(m7_removed_leader_lets_another_stand),
		cmocka_unit_test(change_is_there_when_the_asker_knows_its_configuration),
		cmocka_unit_test(address_is_changed_when_that_is_committed),
		cmocka_unit_test(change_goes_to_the_next_leader_when_refused_for_want_of_one),
		cmocka_unit_test(change_whose_leader_fell_is_of_unknown_outcome),
		cmocka_unit_test(refusal_of_a_second_leader_is_of_unknown_outcome),
		cmocka_unit_test(m11_node_that_does_not_answer_is_not_added),
		cmocka_unit_test(node_of_another_name_is_not_added),
		cmocka_unit_test(change_waits_for_the_one_before),
		cmocka_unit_test(who_is_out_and_connected_is_told_again),
		cmocka_unit_test(whoever_of_the_cluster_comes_by_is_dialed),
		cmocka_unit_test(d12_m12_member_is_not_adopted),
		cmocka_unit_test(m10_each_empty_disk_makes_another_incarnation),
		cmocka_unit_test(node_that_is_out_passes_on_what_it_is_asked),
		cmocka_unit_test(only_the_own_cluster_says_who_is_out),
		cmocka_unit_test(t3_write_that_is_passed_on_twice_is_done_once),
		cmocka_unit_test(member_that_moved_is_found_again),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("membership", tests, NULL, NULL);
}
