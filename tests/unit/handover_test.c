/*
 * Leadership is handed over by request, through a replica whose neighbours are played.
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

static void ask(struct alone *a, uint64_t id, const char *member)
{
	struct ipc_request q = {
		.id = id, .kind = REQUEST_TRANSFER, .time_ms = 2000, .operation = bytes_text(member)
	};

	replica_request(a->replica, 1, &q, a->now);
	alone_pass(a, 0);
}

static void other_leads(struct alone *a, uint64_t leader, uint64_t term)
{
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = leader, .term = term };

	alone_raft(a, &m);
}

static void expect(const struct alone *a, uint64_t id, enum err e, enum applied applied)
{
	assert_non_null(alone_answered(a, id));
	assert_int_equal(alone_answered(a, id)->error, e);
	assert_int_equal(alone_answered(a, id)->applied, applied);
}

/* A leader whose log n2 and n3 have. */
static struct alone *new_leader(void)
{
	struct alone *a = alone_new(LIST);

	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	alone_accept(a, 3);
	alone_clear(a);
	return a;
}

static struct alone *new_follower(uint64_t leader)
{
	struct alone *a = alone_new(LIST);

	alone_form(a);
	other_leads(a, leader, alone_view(a).term + 1);
	alone_clear(a);
	return a;
}

static void leader_answers_when_another_leads(void **state)
{
	struct alone *a = new_leader();

	(void)state;
	ask(a, 1, "");
	ask(a, 2, "n2");
	assert_null(alone_answered(a, 1));
	expect(a, 2, ERR_BUSY, APPLIED_NO);
	other_leads(a, 2, alone_view(a).term + 1);
	expect(a, 1, ERR_OK, APPLIED_NO);
	assert_true(alone_answered(a, 1)->result->size > 0);
	alone_free(a);
}

static void leader_refuses_what_cannot_be(void **state)
{
	struct alone *a = new_leader();

	(void)state;
	ask(a, 1, "n4");
	expect(a, 1, ERR_NOT_FOUND, APPLIED_NO);
	ask(a, 2, "n1");
	expect(a, 2, ERR_OK, APPLIED_NO);
	assert_int_equal(alone_view(a).role, RAFT_LEADER);
	alone_free(a);
}

static void another_than_asked_for_is_no_success(void **state)
{
	struct alone *a = new_leader();

	(void)state;
	ask(a, 1, "n2");
	other_leads(a, 3, alone_view(a).term + 1);
	expect(a, 1, ERR_LOST, APPLIED_NO);
	alone_free(a);
}

static void transfer_that_comes_to_nothing_is_unknown(void **state)
{
	struct alone *a = new_leader();

	(void)state;
	ask(a, 1, "n2");
	for (int i = 0; i < 25; i++) {
		alone_clear(a);
		alone_pass(a, 100);
	}
	expect(a, 1, ERR_TIMEOUT, APPLIED_UNKNOWN);
	alone_free(a);
}

/* A second frame could move leadership twice. */
static void follower_tells_the_leader_once(void **state)
{
	struct alone *a = new_follower(2);

	(void)state;
	ask(a, 1, "n3");
	assert_int_equal(alone_sent(a, PEER_HAND_OVER), 1);
	for (int i = 0; i < 10; i++) {
		alone_pass(a, 100);
		other_leads(a, 2, alone_view(a).term);
	}
	assert_int_equal(alone_sent(a, PEER_HAND_OVER), 1);
	assert_null(alone_answered(a, 1));
	other_leads(a, 3, alone_view(a).term + 1);
	expect(a, 1, ERR_OK, APPLIED_NO);
	alone_free(a);
}

/* On a busy machine the last of a new cluster was asked before it had heard that there is one, and said 409. */
static void node_that_is_about_to_be_a_member_lets_it_wait(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	ask(a, 1, "n3");
	assert_null(alone_answered(a, 1));
	alone_form(a);
	assert_null(alone_answered(a, 1));
	other_leads(a, 2, alone_view(a).term + 1);
	assert_int_equal(alone_sent(a, PEER_HAND_OVER), 1);
	other_leads(a, 3, alone_view(a).term + 1);
	expect(a, 1, ERR_OK, APPLIED_NO);
	alone_free(a);
}

static void refuse_last(struct alone *a, enum err e)
{
	struct bytes last = blob_bytes(a->frames[a->frame_count - 1].bytes);
	struct reader r = reader_of(bytes_of(last.data + 1, last.size - 1));
	struct peer_hand_over asked;
	struct peer_refuse refusal;
	struct buf frame = { 0 };

	assert_int_equal(last.data[0], PEER_HAND_OVER);
	assert_true(peer_hand_over_get(&r, &asked));
	refusal = (struct peer_refuse){ asked.term, asked.number, (uint16_t)e };
	wire_put_u8(&frame, PEER_REFUSE);
	peer_refuse_put(&frame, &refusal);
	replica_on_frame(a->replica, 2, buf_bytes(&frame), a->now);
	alone_pass(a, 0);
	buf_free(&frame);
}

static void follower_passes_on_what_the_leader_says(void **state)
{
	struct alone *a = new_follower(2);

	(void)state;
	ask(a, 1, "n4");
	refuse_last(a, ERR_NOT_FOUND);
	expect(a, 1, ERR_NOT_FOUND, APPLIED_NO);
	/* One that leads no more has not handed over: the next is asked. */
	ask(a, 2, "n1");
	refuse_last(a, ERR_NOT_LEADER);
	assert_null(alone_answered(a, 2));
	alone_clear(a);
	other_leads(a, 3, alone_view(a).term + 1);
	assert_int_equal(alone_sent(a, PEER_HAND_OVER), 1);
	alone_free(a);
}

static void tell(struct alone *a, uint64_t term, const char *member)
{
	struct peer_hand_over m = { term, 7, bytes_text(member) };
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_HAND_OVER);
	peer_hand_over_put(&frame, &m);
	replica_on_frame(a->replica, 2, buf_bytes(&frame), a->now);
	alone_pass(a, 0);
	buf_free(&frame);
}

static void leader_takes_it_from_another_node_in_its_term(void **state)
{
	struct alone *a = new_leader();
	uint64_t term = alone_view(a).term;

	(void)state;
	tell(a, term - 1, "n3");
	assert_int_equal(alone_sent(a, PEER_REFUSE), 1);
	tell(a, term, "n4");
	assert_int_equal(alone_sent(a, PEER_REFUSE), 2);
	tell(a, term, "n3");
	assert_int_equal(alone_sent(a, PEER_REFUSE), 2);
	/* It is under way: a second is refused. */
	tell(a, term, "n2");
	assert_int_equal(alone_sent(a, PEER_REFUSE), 3);
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leader_answers_when_another_leads),
		cmocka_unit_test(leader_refuses_what_cannot_be),
		cmocka_unit_test(another_than_asked_for_is_no_success),
		cmocka_unit_test(transfer_that_comes_to_nothing_is_unknown),
		cmocka_unit_test(follower_tells_the_leader_once),
		cmocka_unit_test(node_that_is_about_to_be_a_member_lets_it_wait),
		cmocka_unit_test(follower_passes_on_what_the_leader_says),
		cmocka_unit_test(leader_takes_it_from_another_node_in_its_term),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
