/*
 * Feature levels in a replica: what founds a cluster at which level, what raises it, and what a node does that meets what
 * it does not know.
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
#include <sysexits.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/member.h"
#include "tests/common/replica_alone.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"
#define TICK_MS 200

static unsigned level_of(const struct alone *a)
{
	return raft_config(replica_raft(a->replica))->level;
}

static unsigned logged_level(const struct alone *a, uint64_t incarnation)
{
	struct raft_member m;

	assert_true(raft_config_find(raft_config(replica_raft(a->replica)), incarnation, &m));
	return m.level;
}

/* n1 on a disk of its own, whose program knows this level. */
static struct alone *start(unsigned level_most)
{
	struct alone *a = alone_new(LIST);

	a->level_most = level_most;
	alone_kill(a);
	return a;
}

static void say(struct alone *a, uint64_t incarnation, uint64_t cluster, unsigned level)
{
	a->level_said = level;
	alone_hello(a, incarnation, cluster, true);
}

static uint64_t cluster_of(const struct alone *a)
{
	return replica_view(a->replica).cluster;
}

/* All is accepted and committed, and time passes for what follows. */
static void settle_down(struct alone *a)
{
	for (int i = 0; i < 3; i++) {
		alone_pass(a, TICK_MS);
		alone_accept(a, 2);
		alone_accept(a, 3);
	}
}

/* A cluster that was founded at this level, which n1 leads in a life in which it knows `most`. */
static struct alone *leader_at(unsigned level, unsigned most)
{
	struct alone *a = start(level);

	a->level_said = level;
	alone_form(a);
	assert_int_equal(level_of(a), level);
	a->level_most = most;
	alone_kill(a);
	alone_elect(a);
	settle_down(a);
	alone_clear(a);
	return a;
}

static struct bytes operation(struct buf *txn, uint32_t limit)
{
	struct buf steps = { 0 };

	kv_delete_first_step(&steps, bytes_text("k"), limit);
	kv_txn_put(txn, &(struct kv_txn){ .steps = buf_bytes(&steps) });
	buf_free(&steps);
	return buf_bytes(txn);
}

static void delete_first(struct alone *a, uint64_t id, uint32_t limit)
{
	struct buf txn = { 0 };
	struct ipc_request q = { .id = id, .kind = REQUEST_WRITE, .time_ms = 5000 };

	q.operation = operation(&txn, limit);
	replica_request(a->replica, 1, &q, a->now);
	alone_pass(a, 0);
	buf_free(&txn);
}

static void add(struct alone *a, uint64_t id, const char *name, const char *peer)
{
	struct member_change c = { .kind = MEMBER_ADD, .id = bytes_text(name), .peer = bytes_text(peer) };
	struct ipc_request q = { .id = id, .kind = REQUEST_CHANGE, .time_ms = 5000 };
	struct buf change = { 0 };

	member_change_put(&change, &c);
	q.operation = buf_bytes(&change);
	replica_request(a->replica, 1, &q, a->now);
	alone_pass(a, 0);
	buf_free(&change);
}

static void expect_text(const struct alone *a, uint64_t id, enum err e, const char *part)
{
	const struct alone_answer *answer = alone_answered(a, id);

	assert_non_null(answer);
	assert_int_equal(answer->error, e);
	assert_int_equal(answer->applied, APPLIED_NO);
	if (strstr(answer->text, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", answer->text, part);
}

/* ---- where a cluster begins ---- */

static void cluster_whose_founders_all_know_a_level_begins_at_it(void **state)
{
	struct alone *a = start(1);

	(void)state;
	a->level_said = 1;
	alone_form(a);
	assert_int_equal(level_of(a), 1);
	assert_int_equal(raft_config(replica_raft(a->replica))->index, 1);
	assert_int_equal(logged_level(a, 3), 1);
	alone_elect(a);
	settle_down(a);
	assert_int_equal(
	    alone_view(a).last.index, 2); /* and the first entry of its term: nothing was raised */
	alone_free(a);
}

static void cluster_with_a_founder_that_knows_less_begins_at_what_that_one_knows(void **state)
{
	struct alone *a = start(1);
	struct reader r;

	(void)state;
	say(a, 2, 0, 1);
	say(a, 3, 0, 0);
	alone_pass(a, 0);
	assert_int_equal(level_of(a), 0);
	/* In the format of the first version, which begins with an incarnation. */
	r = reader_of(blob_bytes(raft_config(replica_raft(a->replica))->data));
	assert_true(wire_get_u64(&r) != 0);
	alone_free(a);
}

/* ---- what raises it ---- */

static void level_rises_once_all_members_have_announced_it(void **state)
{
	struct alone *a = leader_at(0, 1);

	(void)state;
	say(a, 2, cluster_of(a), 1);
	settle_down(a);
	assert_int_equal(level_of(a), 0);
	say(a, 3, cluster_of(a), 0);
	settle_down(a);
	assert_int_equal(level_of(a), 0);
	say(a, 3, cluster_of(a), 1);
	settle_down(a);
	assert_int_equal(level_of(a), 1);
	assert_int_equal(logged_level(a, 3), 1);
	delete_first(a, 7, 1);
	settle_down(a);
	assert_int_equal(alone_answered(a, 7)->error, ERR_OK);
	alone_free(a);
}

/* What it said to an earlier leader, or to an earlier life of this one, was not logged. */
static void c12_absent_member_that_has_not_announced_holds_the_level_back(void **state)
{
	struct alone *a = leader_at(0, 1);

	(void)state;
	say(a, 2, cluster_of(a), 1);
	settle_down(a);
	alone_pass(a, 10000);
	alone_elect(a);
	settle_down(a);
	assert_int_equal(level_of(a), 0);
	alone_free(a);
}

static void from_level_1_on_an_absent_member_counts_as_it_was_logged_last(void **state)
{
	struct alone *a = leader_at(1, 2);

	(void)state;
	say(a, 2, cluster_of(a), 2);
	say(a, 3, cluster_of(a), 1);
	settle_down(a);
	assert_int_equal(level_of(a), 1);
	assert_int_equal(logged_level(a, 2), 2);
	assert_int_equal(logged_level(a, 3), 1);
	/* Its announcement is in the log: this leader may forget it, and so may all others. */
	say(a, 3, cluster_of(a), 2);
	for (int i = 0; i < 5; i++)
		settle_down(a);
	assert_int_equal(logged_level(a, 3), 2);
	assert_int_equal(level_of(a), 2);
	alone_free(a);
}

static void announcements_in_the_log_raise_the_level_though_a_member_is_away(void **state)
{
	struct alone *a = leader_at(1, 1);

	(void)state;
	say(a, 2, cluster_of(a), 2);
	settle_down(a);
	say(a, 3, cluster_of(a), 2);
	settle_down(a);
	assert_int_equal(level_of(a), 1);
	a->level_most = 2;
	alone_kill(a); /* it has heard nobody in this life */
	alone_elect(a);
	for (int i = 0; i < 5; i++)
		settle_down(a);
	assert_int_equal(level_of(a), 2);
	alone_free(a);
}

/* ---- who may come in ---- */

static void node_below_the_level_is_not_added(void **state)
{
	struct alone *a = leader_at(1, 1);
	uint64_t before = alone_view(a).last.index;

	(void)state;
	add(a, 5, "n4", "n4:1");
	a->level_said = 0;
	alone_hello_as(a, 4, "n4", "n4:1", 0, true);
	expect_text(a, 5, ERR_CONFLICT, "does not know feature level 1 of this cluster: upgrade it first");
	assert_int_equal(alone_view(a).last.index, before);
	a->level_said = 1;
	alone_hello_as(a, 4, "n4", "n4:1", 0, true);
	add(a, 6, "n4", "n4:1");
	assert_int_equal(logged_level(a, 4), 1);
	alone_free(a);
}

/* ---- what is asked of a cluster ---- */

static void operation_of_a_higher_level_is_refused_before_it_is_proposed(void **state)
{
	struct alone *a = leader_at(0, 1);
	uint64_t before = alone_view(a).last.index;

	(void)state;
	say(a, 2, cluster_of(a), 1);
	delete_first(a, 5, 1);
	expect_text(a, 5, ERR_VERSION, "this needs feature level 1; the cluster is at 0");
	expect_text(a, 5, ERR_VERSION, "n3 has not been heard");
	assert_int_equal(alone_view(a).last.index, before);
	delete_first(a, 6, 0);
	settle_down(a);
	assert_int_equal(alone_answered(a, 6)->error, ERR_OK);
	alone_free(a);
}

static void forwarded_operation_of_a_higher_level_is_refused(void **state)
{
	struct alone *a = leader_at(0, 1);
	uint64_t before = alone_view(a).last.index;
	struct peer_forward m = { .term = alone_view(a).term, .number = 9 };
	struct buf txn = { 0 };

	(void)state;
	alone_forward_as(a, 2, 1, &m, operation(&txn, 1));
	assert_int_equal(alone_sent(a, PEER_REFUSE), 1);
	assert_int_equal(alone_view(a).last.index, before);
	buf_clear(&txn);
	m.number++;
	alone_forward_as(a, 2, 1, &m, operation(&txn, 0));
	assert_int_equal(alone_sent(a, PEER_REFUSE), 1);
	assert_int_equal(alone_view(a).last.index, before + 1);
	buf_free(&txn);
	alone_free(a);
}

/* ---- what a node does not know ---- */

static struct alone *follower(unsigned level_most)
{
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 2, .term = 2 };
	struct alone *a = start(level_most);

	alone_form(a);
	alone_raft(a, &m);
	a->may_die = true;
	return a;
}

static struct blob *members_at(const struct alone *a, unsigned level)
{
	struct raft_member m = { .roles = RAFT_VOTER, .id = bytes_text("n"), .level = level };
	struct buf data = { 0 };
	struct blob *blob;

	raft_config_begin(&data, level);
	for (uint64_t i = 1; i <= 3; i++) {
		m.incarnation = i == 1 ? a->self : i;
		raft_config_put(&data, level, &m);
	}
	blob = blob_new(buf_bytes(&data));
	buf_free(&data);
	return blob;
}

static void expect_stopped(struct alone *a, const char *part)
{
	assert_true(a->died);
	assert_int_equal(a->status, EX_CONFIG);
	assert_non_null(strstr(a->why, part));
	assert_non_null(strstr(a->why, "upgrade this node, and start it again with its data as they are"));
	/* Nothing of it was taken into the log: it is a node like any other when it comes back. */
	a->died = false;
	alone_kill(a);
	assert_int_equal(alone_view(a).last.index, 1);
	alone_free(a);
}

static void configuration_of_a_higher_level_stops_a_node(void **state)
{
	struct alone *a = follower(0);

	(void)state;
	alone_append_one(a, 2, ENTRY_CONFIG, members_at(a, 1));
	expect_stopped(a, "raises the feature level to 1");
}

static void configuration_of_a_later_format_stops_a_node(void **state)
{
	struct alone *a = follower(1);
	struct blob *data = members_at(a, 1);

	(void)state;
	data->data[8]++; /* the format, behind the incarnation of nobody */
	alone_append_one(a, 2, ENTRY_CONFIG, data);
	expect_stopped(a, "has a format that is not known here");
}

static void entry_of_an_unknown_type_stops_a_node(void **state)
{
	struct alone *a = follower(1);

	(void)state;
	alone_append_one(a, 2, (enum entry_type)77, blob_new(bytes_text("what is this")));
	expect_stopped(a, "is of the type 77, which is not known here");
}

/* An older program on the data of a newer one. */
static void node_does_not_start_on_data_of_a_higher_level(void **state)
{
	struct alone *a = leader_at(1, 1);

	(void)state;
	a->level_most = 0;
	assert_int_equal(alone_restart(a), ERR_VERSION);
	assert_int_equal(a->damaged, PART_NONE);
	a->level_most = 1;
	assert_int_equal(alone_restart(a), ERR_OK);
	alone_free(a);
}

/* The same before anything was applied: only the log tells. */
static void node_does_not_start_on_a_log_of_a_higher_level(void **state)
{
	struct alone *a = start(1);

	(void)state;
	a->level_said = 1;
	a->state_waits = true;
	alone_form(a);
	a->level_most = 0;
	assert_int_equal(alone_restart(a), ERR_VERSION);
	a->level_most = 1;
	assert_int_equal(alone_restart(a), ERR_OK);
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cluster_whose_founders_all_know_a_level_begins_at_it),
		cmocka_unit_test(cluster_with_a_founder_that_knows_less_begins_at_what_that_one_knows),
		cmocka_unit_test(level_rises_once_all_members_have_announced_it),
		cmocka_unit_test(c12_absent_member_that_has_not_announced_holds_the_level_back),
		cmocka_unit_test(from_level_1_on_an_absent_member_counts_as_it_was_logged_last),
		cmocka_unit_test(announcements_in_the_log_raise_the_level_though_a_member_is_away),
		cmocka_unit_test(node_below_the_level_is_not_added),
		cmocka_unit_test(operation_of_a_higher_level_is_refused_before_it_is_proposed),
		cmocka_unit_test(forwarded_operation_of_a_higher_level_is_refused),
		cmocka_unit_test(configuration_of_a_higher_level_stops_a_node),
		cmocka_unit_test(configuration_of_a_later_format_stops_a_node),
		cmocka_unit_test(entry_of_an_unknown_type_stops_a_node),
		cmocka_unit_test(node_does_not_start_on_data_of_a_higher_level),
		cmocka_unit_test(node_does_not_start_on_a_log_of_a_higher_level),
	};

	log_open("test");
	return cmocka_run_group_tests_name("level", tests, NULL, NULL);
}
