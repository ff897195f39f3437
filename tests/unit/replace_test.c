/*
 * Who may take the place of a member, and what a node that is none does with what it is asked.
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

static void add_as(struct alone *a, uint64_t id, const char *name, const char *peer, bool replace)
{
	struct member_change c = {
		.kind = MEMBER_ADD, .id = bytes_text(name), .peer = bytes_text(peer), .replace = replace
	};
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

static void say_gone(struct alone *a, uint64_t from)
{
	struct peer_gone m = { 7 };
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_GONE);
	peer_gone_put(&frame, &m);
	receive(a, from, &frame);
}

/* Whether n2, of the incarnation 9, was taken in at this address. */
static bool is_added(struct alone *a, uint64_t id, const char *peer, bool replace)
{
	uint64_t last = alone_view(a).last.index;

	alone_hello_as(a, 9, "n2", peer, 0, true);
	add_as(a, id, "n2", peer, replace);
	if (alone_view(a).last.index > last)
		return raft_config_has(raft_config(replica_raft(a->replica)), 9);
	assert_int_equal(alone_answered(a, id)->error, ERR_ID_IN_USE);
	assert_int_equal(alone_answered(a, id)->applied, APPLIED_NO);
	return false;
}

static void connect_members(struct alone *a)
{
	for (uint64_t i = 2; i <= 3; i++) {
		alone_hello(a, i, replica_view(a->replica).cluster, true);
		alone_hello(a, i, replica_view(a->replica).cluster, false);
	}
}

/* A machine was cloned: it took the place of the one that it was cloned from. */
static const char *text_of(const struct alone *a, uint64_t id)
{
	return alone_answered(a, id)->text;
}

/* The answer spoke of the last voter. */
static void removed_node_is_told_to_come_back_empty(void **state)
{
	struct alone *a = leader();

	(void)state;
	change(a, 1, MEMBER_REMOVE, "n3", "");
	accept_all(a);
	accept_all(a);
	alone_hello(a, 3, replica_view(a->replica).cluster, true);
	add_as(a, 2, "n3", "n3:1", false);
	assert_int_equal(alone_answered(a, 2)->error, ERR_CONFLICT);
	assert_non_null(
	    strstr(text_of(a, 2), "was removed from this cluster: stop it, empty its data directory"));
	change(a, 3, MEMBER_REMOVE, "n2", "");
	accept_all(a);
	accept_all(a);
	assert_int_equal(alone_answered(a, 3)->error, ERR_OK);
	change(a, 4, MEMBER_REMOVE, "n1", "");
	assert_string_equal(text_of(a, 4), "the last voter cannot be removed");
	alone_free(a);
}

static void d12_clone_does_not_take_the_place_of_a_live_member(void **state)
{
	struct alone *a = leader();

	(void)state;
	connect_members(a);
	assert_false(is_added(a, 1, "clone:1", false));
	assert_true(is_added(a, 2, "clone:1", true));
	alone_free(a);
}

static void d12_boot_of_ten_minutes_does_not_lose_a_member_its_place(void **state)
{
	struct alone *a = leader();

	(void)state;
	connect_members(a);
	replica_on_lost(a->replica, 2, a->now);
	replica_on_unreachable(a->replica, 2, a->now);
	for (int i = 0; i < 6000; i++) {
		alone_pass(a, 100);
		alone_accept(a, 3);
		alone_clear(a);
	}
	assert_false(is_added(a, 1, "clone:1", false));
	alone_free(a);
}

/* It answers where the member did, and nothing of that one is heard any more. */
static void wiped_member_comes_back_at_its_address_by_itself(void **state)
{
	struct alone *a = leader();

	(void)state;
	connect_members(a);
	/* Its former self is still connected. */
	assert_false(is_added(a, 1, "n2:1", false));
	replica_on_lost(a->replica, 2, a->now);
	assert_true(is_added(a, 2, "n2:1", false));
	alone_free(a);
}

static void member_may_be_replaced_after_a_silence_that_was_set(void **state)
{
	struct alone *a = leader();

	(void)state;
	a->replace_after = span_ms(3000);
	alone_kill(a);
	alone_elect(a);
	accept_all(a);
	for (int i = 0; i < 29; i++) {
		alone_pass(a, 100);
		alone_accept(a, 3);
		alone_clear(a);
	}
	assert_false(is_added(a, 1, "clone:1", false));
	for (int i = 0; i < 3; i++) {
		alone_pass(a, 100);
		alone_accept(a, 3);
	}
	assert_true(is_added(a, 2, "clone:1", false));
	alone_free(a);
}

/* The address that it gave is that of the member itself. */
static void clone_that_names_the_address_of_the_member_changes_nothing(void **state)
{
	struct alone *a = leader();
	uint64_t last = alone_view(a).last.index;

	(void)state;
	connect_members(a);
	add_as(a, 1, "n2", "n2:1", true);
	assert_int_equal(alone_view(a).last.index, last);
	alone_free(a);
}

static struct peer_ask last_ask(const struct alone *a, uint64_t *to)
{
	struct peer_ask m = { 0 };

	for (size_t i = 0; i < a->frame_count; i++) {
		struct bytes frame = blob_bytes(a->frames[i].bytes);
		struct reader reader = reader_of(bytes_of(frame.data + 1, frame.size - 1));

		if (frame.data[0] == PEER_ASK && peer_ask_get(&reader, &m))
			*to = a->frames[i].to;
	}
	return m;
}

static void ask_read(struct alone *a, uint64_t from, bool relayed)
{
	struct buf frame = { 0 };
	struct peer_ask m = { .number = 5, .time_ms = 5000, .kind = REQUEST_READ, .relayed = relayed };
	struct buf operation = { 0 }, steps = { 0 };
	struct kv_txn txn = { 0 };

	kv_get_step(&steps, bytes_text("key"));
	txn.steps = buf_bytes(&steps);
	kv_txn_put(&operation, &txn);
	m.operation = buf_bytes(&operation);
	wire_put_u8(&frame, PEER_ASK);
	peer_ask_put(&frame, &m);
	receive(a, from, &frame);
	buf_free(&operation);
	buf_free(&steps);
}

/* Two that are out passed it to and fro until its time was over. */
static void t3_what_was_passed_on_once_is_not_passed_on_again(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);
	uint64_t cluster = replica_view(a->replica).cluster;

	(void)state;
	alone_hello_as(a, 2, "n2", "n2:1", cluster, true);
	alone_hello_as(a, 9, "n9", "n9:1", cluster, false);
	say_gone(a, 2);
	alone_clear(a);
	ask_read(a, 9, true);
	assert_int_equal(alone_sent(a, PEER_ASK), 0);
	assert_int_equal(alone_sent(a, PEER_TELL), 1);
	/* A follower that does not know yet that it does not lead. */
	ask_read(a, 9, false);
	assert_int_equal(alone_sent(a, PEER_ASK), 1);
	alone_free(a);
}

static void tell_refused(struct alone *a, uint64_t from, uint64_t number)
{
	struct peer_tell m = { .start = 1, .number = number, .error = ERR_NOT_LEADER, .applied = APPLIED_NO };
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_TELL);
	peer_tell_put(&frame, &m);
	receive(a, from, &frame);
}

/* The one that it was passed on to was out as well, so it was not done. */
static void write_that_is_refused_by_one_that_is_out_is_passed_to_another(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);
	uint64_t cluster = replica_view(a->replica).cluster, first = 0, second = 0;
	struct peer_ask m;

	(void)state;
	alone_hello_as(a, 2, "n2", "n2:1", cluster, true);
	alone_hello_as(a, 3, "n3", "n3:1", cluster, true);
	say_gone(a, 2);
	alone_clear(a);
	alone_write(a, 1, "key");
	m = last_ask(a, &first);
	assert_int_equal(m.relayed, 1);
	tell_refused(a, first, m.number);
	assert_null(alone_answered(a, 1));
	alone_pass(a, 200);
	assert_int_equal(alone_sent(a, PEER_ASK), 2);
	last_ask(a, &second);
	assert_int_not_equal(first, second);
	alone_free(a);
}

/* It belongs to no cluster and says which one it asks: without a connection back it would never be answered. */
static void visitor_is_dialed(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);
	struct peer_hello hello = { .version_least = PEER_VERSION_LEAST,
		.version_most = PEER_VERSION_MOST,
		.incarnation = 9,
		.start = 1,
		.id = bytes_text("n2"),
		.peer = bytes_text("clone:1"),
		.visits = replica_view(a->replica).cluster };

	(void)state;
	replica_on_hello(a->replica, &hello, NULL, a->now);
	assert_non_null(strstr(a->peers, "clone:1 "));
	hello.visits++;
	replica_on_hello(a->replica, &hello, NULL, a->now);
	alone_pass(a, 0);
	assert_null(strstr(a->peers, "clone:1 "));
	alone_free(a);
}

/* Fewer than a majority are left: what there is to do is said, not that a leader is missing. */
static void addition_without_a_leader_names_the_recovery(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	add_as(a, 1, "n2", "n9:1", true);
	for (int i = 0; i < 60 && alone_answered(a, 1) == NULL; i++)
		alone_pass(a, 100);
	assert_int_equal(alone_answered(a, 1)->error, ERR_NO_LEADER);
	assert_non_null(strstr(alone_answered(a, 1)->text, "holdfastd --recover-alone"));
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(removed_node_is_told_to_come_back_empty),
		cmocka_unit_test(d12_clone_does_not_take_the_place_of_a_live_member),
		cmocka_unit_test(d12_boot_of_ten_minutes_does_not_lose_a_member_its_place),
		cmocka_unit_test(wiped_member_comes_back_at_its_address_by_itself),
		cmocka_unit_test(member_may_be_replaced_after_a_silence_that_was_set),
		cmocka_unit_test(clone_that_names_the_address_of_the_member_changes_nothing),
		cmocka_unit_test(t3_what_was_passed_on_once_is_not_passed_on_again),
		cmocka_unit_test(write_that_is_refused_by_one_that_is_out_is_passed_to_another),
		cmocka_unit_test(visitor_is_dialed),
		cmocka_unit_test(addition_without_a_leader_names_the_recovery),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("replace", tests, NULL, NULL);
}
