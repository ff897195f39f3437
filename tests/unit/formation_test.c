/*
 * How a node without a cluster gets one: alone, from others that have formed it, or not at all.
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

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"
#define CLUSTER 77

static void hello_listing(struct alone *a, uint64_t incarnation, const char *id, uint64_t cluster,
    const char *list, const char *dialed)
{
	struct bytes address = bytes_text(dialed != NULL ? dialed : "");
	struct peer_hello hello = {
		.version_least = PEER_VERSION_LEAST,
		.version_most = PEER_VERSION_MOST,
		.cluster = cluster,
		.incarnation = incarnation,
		.start = 1,
		.id = bytes_text(id),
		.peer = bytes_text("there:1"),
		.http = bytes_text("http://there"),
		.list = bytes_text(list),
	};

	replica_on_hello(a->replica, &hello, dialed != NULL ? &address : NULL, a->now);
	alone_pass(a, 0);
}

static void hello_as(
    struct alone *a, uint64_t incarnation, const char *id, uint64_t cluster, const char *dialed)
{
	hello_listing(a, incarnation, id, cluster, "", dialed);
}

static void founding_of(struct buf *out, const uint64_t *incarnations, size_t count)
{
	static const char *const ids[] = { "n1", "n2", "n3" }, *const peers[] = { "n1:1", "n2:1", "n3:1" };

	for (size_t i = 0; i < count; i++)
		raft_member_put(out, &(struct raft_member){ incarnations[i], RAFT_VOTER, bytes_text(ids[i]),
					 bytes_text(peers[i]), bytes_text("http://there"), 0, 0 });
}

static void say_form(struct alone *a, uint64_t from, const uint64_t *incarnations, size_t count)
{
	struct buf founding = { 0 }, frame = { 0 };
	struct peer_form m = { .cluster = CLUSTER };

	founding_of(&founding, incarnations, count);
	m.founding = buf_bytes(&founding);
	wire_put_u8(&frame, PEER_FORM);
	peer_form_put(&frame, &m);
	replica_on_frame(a->replica, from, buf_bytes(&frame), a->now);
	alone_pass(a, 0);
	buf_free(&founding);
	buf_free(&frame);
}

static void ask_form(struct alone *a, uint64_t from)
{
	uint8_t frame = PEER_FORM_ASK;

	replica_on_frame(a->replica, from, bytes_of(&frame, 1), a->now);
	alone_pass(a, 0);
}

/* It listens for a second whether anybody takes it for a member. */
static void node_alone_forms_at_its_first_write(void **state)
{
	struct alone *a = alone_new("");

	(void)state;
	alone_pass(a, 5000);
	assert_null(replica_raft(a->replica));
	alone_write(a, 1, "key");
	alone_pass(a, 200);
	assert_non_null(replica_raft(a->replica));
	for (int i = 0; i < 10 && alone_answered(a, 1) == NULL; i++)
		alone_pass(a, 100);
	assert_non_null(alone_answered(a, 1));
	assert_int_equal(alone_answered(a, 1)->error, ERR_OK);
	assert_true(replica_view(a->replica).leads);
	alone_free(a);
}

static void formed_node_tells_how_it_was_formed(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	ask_form(a, 2);
	assert_int_equal(alone_sent(a, PEER_FORM), 0);
	alone_form(a);
	ask_form(a, 2);
	assert_int_equal(alone_sent(a, PEER_FORM), 1);
	alone_free(a);
}

/* A second machine with its name and its list waited in silence: nobody dialed it, so it never had an answer. */
static void whoever_asks_from_another_address_is_dialed_and_told(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	alone_hello_as(a, 9, "n2", "clone:1", 0, false);
	assert_null(strstr(a->peers, "clone:1 "));
	ask_form(a, 9);
	assert_non_null(strstr(a->peers, "clone:1 "));
	alone_free(a);
}

/* It advertises the address of the node that it is a copy of, which is dialed instead of it. */
static void copy_that_nobody_can_answer_says_so(void **state)
{
	struct alone *a = alone_new(LIST);
	uint64_t members[] = { 9, 2, 3 };

	(void)state;
	hello_listing(a, 2, "n2", CLUSTER, LIST, "n2:1");
	for (int i = 0; i < 12; i++) {
		assert_string_equal(alone_problem(a), "");
		alone_pass(a, 400);
	}
	for (int i = 0; i < 3; i++)
		alone_pass(a, 400);
	assert_non_null(strstr(alone_problem(a), "does not answer this node at the peer address n1:1"));
	/* It goes on asking. */
	say_form(a, 2, members, 3);
	assert_non_null(strstr(alone_problem(a), "the other listed nodes are members of the cluster"));
	alone_free(a);
}

static void unformed_node_of_a_list_asks_one_that_is_formed(void **state)
{
	struct alone *a = alone_new(LIST);
	uint64_t members[] = { a->self, 2, 3 };

	(void)state;
	alone_hello(a, 2, CLUSTER, true);
	alone_pass(a, 300);
	assert_int_not_equal(alone_sent(a, PEER_FORM_ASK), 0);
	say_form(a, 2, members, 3);
	alone_pass(a, 0);
	assert_non_null(replica_raft(a->replica));
	assert_int_equal(replica_view(a->replica).cluster, CLUSTER);
	/* Once is enough. */
	say_form(a, 2, members, 2);
	assert_int_equal(raft_config(replica_raft(a->replica))->count, 3);
	alone_free(a);
}

/* The others have formed theirs without this incarnation: a node of its name was there before and lost its disk. */
static void d12_listed_node_without_data_is_no_member_by_its_name(void **state)
{
	struct alone *a = alone_new(LIST);
	uint64_t members[] = { 9, 2, 3 };

	(void)state;
	alone_hello(a, 2, CLUSTER, true);
	say_form(a, 2, members, 3);
	assert_null(replica_raft(a->replica));
	alone_write(a, 1, "key");
	alone_pass(a, 100);
	assert_non_null(alone_answered(a, 1));
	assert_int_equal(alone_answered(a, 1)->error, ERR_FOREIGN);
	alone_free(a);
}

static void misnamed_node_keeps_all_from_forming(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	hello_as(a, 2, "n9", 0, "n2:1");
	hello_as(a, 3, "n3", 0, "n3:1");
	alone_pass(a, 1000);
	alone_pass(a, 1000);
	assert_null(replica_raft(a->replica));
	hello_as(a, 2, "n2", 0, "n2:1");
	alone_pass(a, 300);
	alone_pass(a, 0);
	assert_non_null(replica_raft(a->replica));
	alone_free(a);
}

/* Whoever comes by is remembered, but only so many; those that this node dialed itself stay. */
static void strangers_are_forgotten_and_neighbours_are_not(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_hello(a, 2, 0, true);
	for (uint64_t i = 0; i < 4 * RAFT_MEMBERS_MAX; i++)
		hello_as(a, 1000 + i, "stranger", 0, NULL);
	alone_hello(a, 3, 0, true);
	alone_pass(a, 300);
	alone_pass(a, 0);
	assert_non_null(replica_raft(a->replica));
	alone_free(a);
}

static bool has_formed(struct alone *a)
{
	alone_pass(a, 300);
	alone_pass(a, 0);
	return replica_raft(a->replica) != NULL;
}

static struct alone *among(const char *list, const char *said)
{
	struct alone *a = alone_new(list);

	hello_listing(a, 2, "n2", 0, said, "n2:1");
	hello_listing(a, 3, "n3", 0, said, "n3:1");
	return a;
}

/* Each took the first of its own list for the founder: there were three of them, or none. */
static void lowest_id_founds_whatever_the_order_of_the_list(void **state)
{
	struct alone *a = among("n3=n3:1, n1=n1:1, n2=n2:1", LIST);

	(void)state;
	assert_string_equal(a->list, LIST);
	assert_true(has_formed(a));
	assert_string_equal(a->list, LIST);
	alone_free(a);
	a = among("n1=n1:1, n2=n2:1, n3=n3:1, n0=n0:1", "n0=n0:1, n1=n1:1, n2=n2:1, n3=n3:1");
	hello_listing(a, 4, "n0", 0, "n0=n0:1, n1=n1:1, n2=n2:1, n3=n3:1", "n0:1");
	assert_false(has_formed(a));
	alone_free(a);
}

/* One of a version that says no list lets the first of its own found the cluster: both must not do so. */
static void lowest_id_leaves_it_to_the_first_of_a_list_that_is_not_said(void **state)
{
	struct alone *a = among("n3=n3:1, n1=n1:1, n2=n2:1", "");

	(void)state;
	assert_false(has_formed(a));
	alone_free(a);
	a = among(LIST, "");
	assert_true(has_formed(a));
	alone_free(a);
}

static void lists_that_differ_form_nothing_until_they_are_corrected(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	hello_listing(a, 2, "n2", 0, "n1=n1:1, n2=n2:1, n3=n9:1, n4=n4:1", "n2:1");
	hello_listing(a, 3, "n3", 0, LIST, "n3:1");
	assert_false(has_formed(a));
	assert_non_null(strstr(alone_problem(a), "n2 at there:1 lists n3 at n9:1, where this node has n3:1, "
						 "lists n4 at n4:1, which this node does "
						 "not list"));
	hello_listing(a, 2, "n2", 0, LIST, "n2:1");
	assert_string_equal(alone_problem(a), "");
	assert_true(has_formed(a));
	alone_free(a);
}

/* It dials whom it lists: that this node does not list it is no reason to go on without it. */
static void node_that_is_not_listed_keeps_the_others_from_forming_while_it_is_there(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	hello_listing(a, 4, "n4", 0, "n1=n1:1, n2=n2:1, n3=n3:1, n4=n4:1", NULL);
	hello_listing(a, 2, "n2", 0, LIST, "n2:1");
	hello_listing(a, 3, "n3", 0, LIST, "n3:1");
	assert_false(has_formed(a));
	assert_non_null(strstr(alone_problem(a), "n4 at there:1 lists n4 at n4:1"));
	replica_on_lost(a->replica, 4, a->now);
	assert_true(has_formed(a));
	alone_free(a);
}

/* The others have formed one without it: it neither joins them by itself nor waits in silence. */
static void nobody_is_drawn_into_a_cluster_of_another_list(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	hello_listing(a, 2, "n2", CLUSTER, "n2=n2:1, n3=n3:1", "n2:1");
	assert_non_null(
	    strstr(alone_problem(a), "n2 at n2:1 does not list n1, which this node lists at n1:1"));
	alone_write(a, 1, "key");
	assert_int_equal(alone_answered(a, 1)->error, ERR_FOREIGN);
	alone_free(a);
}

static struct alone *joiner(const char *members)
{
	struct alone *a = alone_new(members);

	a->joins = true;
	alone_kill(a);
	return a;
}

static void adopt_as(struct alone *a, uint64_t from, const uint64_t *incarnations, size_t count)
{
	struct buf founding = { 0 }, frame = { 0 };
	struct peer_adopt m = { CLUSTER, { NULL, 0 } };

	founding_of(&founding, incarnations, count);
	m.founding = buf_bytes(&founding);
	wire_put_u8(&frame, PEER_ADOPT);
	peer_adopt_put(&frame, &m);
	replica_on_frame(a->replica, from, buf_bytes(&frame), a->now);
	buf_free(&founding);
	buf_free(&frame);
	alone_pass(a, 0);
}

/* Neither a key that is put nor one that is asked for tells it that its emptiness is a cluster's content. */
static void node_that_joins_forms_nothing_and_promises_nothing(void **state)
{
	struct alone *a = joiner("");
	const uint64_t from = 2;

	(void)state;
	alone_write(a, 1, "key");
	alone_read(a, 2, LEVEL_LINEARIZABLE, "key");
	alone_read(a, 3, LEVEL_LEADER, "key");
	alone_read(a, 4, LEVEL_STALE, "key");
	alone_pass(a, 4000);
	assert_null(alone_answered(a, 1));
	assert_null(alone_answered(a, 2));
	assert_null(alone_answered(a, 3));
	assert_int_equal(alone_answered(a, 4)->error, ERR_OK);
	alone_pass(a, 2000);
	assert_int_equal(alone_answered(a, 1)->error, ERR_NO_LEADER);
	assert_int_equal(alone_answered(a, 1)->applied, APPLIED_NO);
	assert_int_equal(alone_answered(a, 2)->error, ERR_NO_LEADER);
	assert_int_equal(alone_answered(a, 3)->error, ERR_NO_LEADER);
	assert_int_equal(replica_view(a->replica).cluster, 0);
	alone_hello(a, 2, CLUSTER, true);
	adopt_as(a, 2, &from, 1);
	assert_int_equal(replica_view(a->replica).cluster, CLUSTER);
	alone_free(a);
}

/* A founder of a version that compares no lists had counted it in; whom an operator adds is no founder. */
static void founder_of_another_list_is_not_obeyed_and_an_operator_is(void **state)
{
	struct alone *a = alone_new("n1=n1:1, n2=n2:1");
	uint64_t founders[] = { a->self, 2, 3 }, others[] = { 2, 3 };

	(void)state;
	alone_hello(a, 2, CLUSTER, true);
	say_form(a, 2, founders, 3);
	adopt_as(a, 2, founders, 3);
	assert_null(replica_raft(a->replica));
	assert_non_null(strstr(alone_problem(a), "lists n3 at n3:1, which this node does not list"));
	adopt_as(a, 2, others, 2);
	assert_non_null(replica_raft(a->replica));
	assert_string_equal(alone_problem(a), "");
	alone_free(a);
}

static void refuse(struct alone *a)
{
	const struct bytes peers[] = { bytes_text("m1:1"), bytes_text("m2:1") };

	replica_visit(a->replica,
	    &(struct replica_refusal){ CLUSTER, "the id n1 is in use by the member at m1:1", peers, 2 },
	    a->now);
	alone_pass(a, 0);
}

/* Its id is that of a live member: it passes everything on, as it has no state, and says why it is not ready. */
static void node_whose_id_is_in_use_passes_requests_on(void **state)
{
	struct alone *a = joiner("");
	const uint64_t from = 2;

	(void)state;
	refuse(a);
	assert_int_equal(a->visits, CLUSTER);
	assert_string_equal(a->peers, "m1:1 m2:1 ");
	assert_non_null(
	    strstr(alone_problem(a), "passes requests on to its members: the id n1 is in use by"));
	hello_as(a, 2, "m1", CLUSTER, "m1:1");
	alone_write(a, 1, "key");
	alone_read(a, 2, LEVEL_LINEARIZABLE, "key");
	alone_read(a, 3, LEVEL_STALE, "key");
	assert_int_equal(alone_sent(a, PEER_ASK), 3);
	assert_null(alone_answered(a, 3));
	assert_null(replica_raft(a->replica));
	/* The member is gone, or an operator said that it may go. */
	adopt_as(a, 2, &from, 1);
	assert_non_null(replica_raft(a->replica));
	assert_int_equal(a->visits, 0);
	assert_string_equal(alone_problem(a), "");
	alone_free(a);
}

static void first_of_a_list_that_joins_founds_nothing(void **state)
{
	struct alone *a = joiner(LIST);

	(void)state;
	alone_hello(a, 2, 0, true);
	alone_hello(a, 3, 0, true);
	alone_pass(a, 300);
	alone_pass(a, 0);
	assert_null(replica_raft(a->replica));
	/* But it takes its place in one that was founded with it. */
	alone_hello(a, 2, CLUSTER, true);
	alone_pass(a, 300);
	assert_true(alone_sent(a, PEER_FORM_ASK) > 0);
	alone_free(a);
}

static void say_claim(struct alone *a, uint64_t from)
{
	struct peer_claim m = { CLUSTER };
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_CLAIM);
	peer_claim_put(&frame, &m);
	replica_on_frame(a->replica, from, buf_bytes(&frame), a->now);
	alone_pass(a, 0);
	buf_free(&frame);
}

/* What is decided is on its way to the disk, however long that takes. (The loop ticked for a time that was over already, and
 * did nothing else.) */
static void claim_that_comes_while_a_cluster_is_formed_is_too_late(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	a->log_waits = true;
	hello_as(a, 2, "n2", 0, "n2:1");
	hello_as(a, 3, "n3", 0, "n3:1");
	alone_pass(a, 0);
	say_claim(a, 2);
	alone_pass(a, 100);
	assert_null(replica_raft(a->replica));
	assert_false(instant_passed(replica_deadline(a->replica), a->now));
	a->log_waits = false;
	alone_pass(a, 0);
	assert_non_null(replica_raft(a->replica));
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(node_alone_forms_at_its_first_write),
		cmocka_unit_test(formed_node_tells_how_it_was_formed),
		cmocka_unit_test(whoever_asks_from_another_address_is_dialed_and_told),
		cmocka_unit_test(copy_that_nobody_can_answer_says_so),
		cmocka_unit_test(unformed_node_of_a_list_asks_one_that_is_formed),
		cmocka_unit_test(d12_listed_node_without_data_is_no_member_by_its_name),
		cmocka_unit_test(misnamed_node_keeps_all_from_forming),
		cmocka_unit_test(node_that_joins_forms_nothing_and_promises_nothing),
		cmocka_unit_test(first_of_a_list_that_joins_founds_nothing),
		cmocka_unit_test(node_whose_id_is_in_use_passes_requests_on),
		cmocka_unit_test(claim_that_comes_while_a_cluster_is_formed_is_too_late),
		cmocka_unit_test(strangers_are_forgotten_and_neighbours_are_not),
		cmocka_unit_test(lowest_id_founds_whatever_the_order_of_the_list),
		cmocka_unit_test(lowest_id_leaves_it_to_the_first_of_a_list_that_is_not_said),
		cmocka_unit_test(lists_that_differ_form_nothing_until_they_are_corrected),
		cmocka_unit_test(node_that_is_not_listed_keeps_the_others_from_forming_while_it_is_there),
		cmocka_unit_test(nobody_is_drawn_into_a_cluster_of_another_list),
		cmocka_unit_test(founder_of_another_list_is_not_obeyed_and_an_operator_is),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("formation", tests, NULL, NULL);
}
