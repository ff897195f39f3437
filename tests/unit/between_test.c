/*
 * What nodes ask of each other, and what is answered without any of them.
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

static void receive(struct alone *a, uint64_t from, struct buf *frame)
{
	replica_on_frame(a->replica, from, buf_bytes(frame), a->now);
	alone_pass(a, 0);
	buf_free(frame);
}

/* The last frame of this type that was sent, behind its type; NULL: none. */
static const uint8_t *last_frame(struct alone *a, enum peer_type type, size_t *size)
{
	for (size_t i = a->frame_count; i > 0; i--)
		if (a->frames[i - 1].bytes->data[0] == (uint8_t)type) {
			*size = a->frames[i - 1].bytes->size - 1;
			return a->frames[i - 1].bytes->data + 1;
		}
	return NULL;
}

static uint64_t number_asked(struct alone *a)
{
	size_t size = 0;
	const uint8_t *data = last_frame(a, PEER_ASK, &size);
	struct reader reader = reader_of(bytes_of(data, size));
	struct peer_ask m;

	assert_non_null(data);
	assert_true(peer_ask_get(&reader, &m));
	return m.number;
}

static void tell(struct alone *a, uint64_t start, uint64_t number, enum err e)
{
	struct peer_tell m = { .start = start,
		.number = number,
		.error = (uint16_t)e,
		.revision = 5,
		.result = bytes_text("it") };
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_TELL);
	peer_tell_put(&frame, &m);
	receive(a, 2, &frame);
}

static void read_of_level_leader_is_asked_of_the_leader(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	alone_read(a, 1, LEVEL_LEADER, "key");
	assert_int_equal(alone_sent(a, PEER_ASK), 1);
	tell(a, 1, number_asked(a) + 1, ERR_OK); /* no answer to this question */
	assert_null(alone_answered(a, 1));
	tell(a, 1, number_asked(a), ERR_OK);
	assert_non_null(alone_answered(a, 1));
	assert_true(bytes_equal(blob_bytes(alone_answered(a, 1)->result), bytes_text("it")));
	alone_free(a);
}

static void leader_that_leads_no_more_is_not_the_last_word(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	alone_read(a, 1, LEVEL_LEADER, "key");
	tell(a, 1, number_asked(a), ERR_NOT_LEADER);
	assert_null(alone_answered(a, 1));
	alone_clear(a);
	alone_pass(a, 200);
	assert_int_equal(alone_sent(a, PEER_ASK), 1);
	tell(a, 1, number_asked(a), ERR_BUSY);
	assert_int_equal(alone_answered(a, 1)->error, ERR_BUSY);
	alone_free(a);
}

static void ask_within(struct alone *a, uint64_t from, uint64_t number, bool sound, uint32_t time_ms)
{
	struct buf steps = { 0 }, operation = { 0 }, frame = { 0 };
	struct peer_ask m = {
		.number = number, .time_ms = time_ms, .kind = REQUEST_READ, .level = LEVEL_LEADER
	};

	kv_get_step(&steps, bytes_text("key"));
	kv_txn_put(&operation, &(struct kv_txn){ .steps = buf_bytes(&steps) });
	m.operation = buf_bytes(&operation);
	m.operation.size -= !sound;
	wire_put_u8(&frame, PEER_ASK);
	peer_ask_put(&frame, &m);
	receive(a, from, &frame);
	buf_free(&steps);
	buf_free(&operation);
}

static void ask(struct alone *a, uint64_t from, uint64_t number, bool sound)
{
	ask_within(a, from, number, sound, 60000);
}

static enum err error_told(struct alone *a)
{
	size_t size = 0;
	const uint8_t *data = last_frame(a, PEER_TELL, &size);
	struct reader reader = reader_of(bytes_of(data, size));
	struct peer_tell m;

	assert_non_null(data);
	assert_true(peer_tell_get(&reader, &m));
	return (enum err)m.error;
}

/* Both sides counted the same time: the asker often answered by itself that nobody knows. */
static void who_asks_hears_why_before_its_own_time_is_up(void **state)
{
	struct alone *a = alone_new(LIST);
	struct buf frame = { 0 }, steps = { 0 }, operation = { 0 };
	struct peer_ask m = { .number = 5, .time_ms = 1000, .kind = REQUEST_WRITE };

	(void)state;
	alone_form(a); /* nobody leads */
	kv_delete_step(&steps, bytes_text("key"));
	kv_txn_put(&operation, &(struct kv_txn){ .steps = buf_bytes(&steps) });
	m.operation = buf_bytes(&operation);
	wire_put_u8(&frame, PEER_ASK);
	peer_ask_put(&frame, &m);
	receive(a, 2, &frame);
	alone_pass(a, 500);
	assert_int_equal(alone_sent(a, PEER_TELL), 0);
	alone_pass(a, 480);
	assert_int_equal(error_told(a), ERR_NO_LEADER);
	buf_free(&steps);
	buf_free(&operation);
	alone_free(a);
}

/* What nobody waits for any more is not read. */
static void read_that_is_passed_on_has_the_time_that_its_asker_said(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	alone_hello(a, 2, replica_view(a->replica).cluster, false);
	a->state_waits = true;
	ask_within(a, 2, 8, true, 150);
	alone_clear(a);
	alone_pass(a, 100);
	assert_int_equal(alone_sent(a, PEER_TELL), 0);
	alone_pass(a, 200);
	assert_int_equal(alone_sent(a, PEER_TELL), 1);
	assert_int_equal(error_told(a), ERR_TIMEOUT);
	assert_int_equal(replica_view(a->replica).requests, 0);
	a->state_waits = false; /* the lane gives its job back */
	alone_pass(a, 1);
	alone_free(a);
}

static void leader_answers_what_others_ask(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	alone_clear(a);
	ask(a, 9, 7, true); /* from nobody it knows */
	ask(a, 2, 7, false);
	assert_int_equal(alone_sent(a, PEER_TELL), 0);
	ask(a, 2, 8, true);
	assert_int_equal(alone_sent(a, PEER_TELL), 1);
	assert_int_equal(error_told(a), ERR_OK);
	alone_free(a);
}

static void follower_tells_that_it_does_not_lead(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	ask(a, 3, 8, true);
	assert_int_equal(error_told(a), ERR_NOT_LEADER);
	alone_free(a);
}

static uint64_t number_forwarded(struct alone *a)
{
	size_t size = 0;
	const uint8_t *data = last_frame(a, PEER_FORWARD, &size);
	struct reader reader = reader_of(bytes_of(data, size));
	struct peer_forward m;

	assert_non_null(data);
	assert_true(peer_forward_get(&reader, &m));
	return m.number;
}

static void refuse(struct alone *a, uint64_t term, uint64_t number, uint16_t error)
{
	struct peer_refuse m = { term, number, error };
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_REFUSE);
	peer_refuse_put(&frame, &m);
	receive(a, 2, &frame);
}

static void refused_write_goes_to_the_next_leader_or_is_answered(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	alone_write(a, 1, "key");
	refuse(a, 1, number_forwarded(a), ERR_BUSY); /* of another term */
	assert_null(alone_answered(a, 1));
	refuse(a, 2, number_forwarded(a), ERR_NOT_LEADER);
	assert_null(alone_answered(a, 1));
	alone_clear(a);
	alone_pass(a, 200);
	refuse(a, 2, number_forwarded(a), ERR_FULL);
	assert_int_equal(alone_answered(a, 1)->error, ERR_FULL);
	assert_int_equal(alone_answered(a, 1)->applied, APPLIED_NO);
	alone_free(a);
}

/* A newer node may know errors that this one does not. */
static void unknown_error_is_taken_for_busy(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	alone_write(a, 1, "key");
	refuse(a, 2, number_forwarded(a), UINT16_MAX);
	assert_int_equal(alone_answered(a, 1)->error, ERR_BUSY);
	alone_free(a);
}

/* Logged and dropped. */
static void malformed_frames_do_no_harm(void **state)
{
	static const uint8_t types[] = { PEER_RAFT, PEER_FORWARD, PEER_REFUSE, PEER_ASK, PEER_TELL, PEER_FORM,
		PEER_HAND_OVER, PEER_HELLO, 0, 200 };
	struct alone *a = alone_follower_of(LIST, 2);
	struct peer_forward m = { .term = 2, .number = 1, .command = bytes_text("no command") };
	struct buf frame = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(types); i++) {
		wire_put_u8(&frame, types[i]);
		wire_put_u8(&frame, 1);
		receive(a, 2, &frame);
	}
	receive(a, 2, &frame); /* empty */
	wire_put_u8(&frame, PEER_FORWARD);
	peer_forward_put(&frame, &m);
	receive(a, 2, &frame);
	assert_int_equal(a->frame_count, 0);
	assert_int_equal(alone_view(a).leader, 2);
	alone_free(a);
}

/* ---- what needs nobody else ---- */

static void request(struct alone *a, uint32_t client, struct ipc_request q)
{
	replica_request(a->replica, client, &q, a->now);
}

static void status_is_answered_at_once(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	request(a, 1, (struct ipc_request){ .id = 1, .kind = REQUEST_STATUS });
	request(a, 1, (struct ipc_request){ .id = 2, .kind = REQUEST_STATUS });
	request(a, 7, (struct ipc_request){ .id = 3, .kind = REQUEST_STATUS });
	replica_forget(a->replica, 7);
	alone_pass(a, 0);
	assert_int_equal(alone_answered(a, 1)->error, ERR_OK);
	assert_true(alone_answered(a, 1)->result->size > 0);
	assert_true(
	    bytes_equal(blob_bytes(alone_answered(a, 1)->result), blob_bytes(alone_answered(a, 2)->result)));
	assert_null(alone_answered(a, 3));
	alone_free(a);
}

static void what_cannot_be_is_refused_at_once(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);
	char token[300];

	(void)state;
	memset(token, 't', sizeof(token));
	request(a, 1,
	    (struct ipc_request){ .id = 1, .kind = REQUEST_WRITE, .operation = bytes_text("nonsense") });
	request(a, 1,
	    (struct ipc_request){ .id = 2, .kind = REQUEST_WRITE, .token = bytes_of(token, sizeof(token)) });
	alone_pass(a, 0);
	assert_int_not_equal(alone_answered(a, 1)->error, ERR_OK);
	assert_int_equal(alone_answered(a, 2)->error, ERR_TOO_LARGE);
	a->deaf = true;
	for (uint64_t id = 10; id < 10 + 1001; id++)
		alone_write(a, id, "key");
	assert_int_equal(alone_answered(a, 1010)->error, ERR_BUSY);
	alone_free(a);
}

/* ---- a disk that hangs ---- */

static void leader_whose_disk_hangs_leads_no_more_until_it_works(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	a->log_waits = true;
	alone_write(a, 1, "key");
	for (int i = 0; i < 30; i++) {
		alone_pass(a, 50);
		alone_accept(a, 2);
		if (alone_view(a).role != RAFT_LEADER)
			break;
	}
	assert_int_not_equal(alone_view(a).role, RAFT_LEADER);
	for (int i = 0; i < 40; i++)
		alone_pass(a, 100);
	assert_int_equal(alone_view(a).role, RAFT_FOLLOWER);
	a->log_waits = false;
	for (int i = 0; i < 20; i++)
		alone_pass(a, 100);
	assert_int_equal(alone_view(a).role, RAFT_PRE_CANDIDATE);
	alone_free(a);
}

/* Before a stop. */
static void leader_hands_over_when_it_is_told_to(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	assert_int_equal(replica_hand_over(a->replica, a->now), ERR_NOT_LEADER);
	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	assert_int_equal(replica_hand_over(a->replica, a->now), ERR_OK);
	assert_int_equal(replica_hand_over(a->replica, a->now), ERR_BUSY);
	alone_write(a, 1, "key"); /* waits for the next leader */
	assert_null(alone_answered(a, 1));
	alone_free(a);
}

static void lost_leader_is_followed_at_once(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	replica_on_lost(a->replica, 2, a->now);
	alone_pass(a, 60);
	assert_int_equal(alone_view(a).role, RAFT_PRE_CANDIDATE);
	alone_free(a);
}

/* ---- requests for the leader alone ---- */

static bool is_sent_to(const struct alone_answer *answer, const char *where)
{
	return answer != NULL && answer->error == ERR_NOT_LEADER && answer->applied == APPLIED_NO &&
	       bytes_equal(blob_bytes(answer->result), bytes_text(where));
}

static void follower_names_the_leader_and_does_nothing(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);

	(void)state;
	alone_write_to_leader(a, 1, "key");
	assert_true(is_sent_to(alone_answered(a, 1), "http://there"));
	assert_int_equal(alone_sent(a, PEER_FORWARD), 0);
	alone_free(a);
}

static void node_that_knows_no_leader_waits_a_second_and_says_so(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	alone_clear(a);
	alone_write_to_leader(a, 1, "key");
	alone_pass(a, 900);
	assert_null(alone_answered(a, 1));
	alone_pass(a, 300);
	assert_true(is_sent_to(alone_answered(a, 1), ""));
	alone_free(a);
}

static void leader_found_within_the_second_is_named(void **state)
{
	struct alone *a = alone_new(LIST);
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 3, .term = 2 };

	(void)state;
	alone_form(a);
	alone_write_to_leader(a, 1, "key");
	alone_pass(a, 200);
	alone_raft(a, &m);
	alone_pass(a, 200);
	assert_true(is_sent_to(alone_answered(a, 1), "http://there"));
	alone_free(a);
}

/* Once it leads it does what it was asked, and has all the time that the client gave. */
static void leader_goes_on_as_ever(void **state)
{
	struct alone *a = alone_new(LIST);

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_write_to_leader(a, 1, "key");
	alone_pass(a, 1500);
	assert_null(alone_answered(a, 1));
	alone_free(a);
}

static void unformed_node_sends_nobody_away(void **state)
{
	struct alone *a = alone_new("");

	(void)state;
	alone_write_to_leader(a, 1, "key");
	for (int i = 0; i < 50 && alone_answered(a, 1) == NULL; i++)
		alone_pass(a, 100);
	assert_non_null(alone_answered(a, 1));
	assert_int_equal(alone_answered(a, 1)->error, ERR_OK);
	alone_free(a);
}

static struct peer_refuse last_refusal(struct alone *a)
{
	size_t size = 0;
	const uint8_t *data = last_frame(a, PEER_REFUSE, &size);
	struct reader reader = reader_of(bytes_of(data, size));
	struct peer_refuse m;

	assert_non_null(data);
	assert_true(peer_refuse_get(&reader, &m));
	return m;
}

/* An entry that fits into no frame would end every connection of the leader. */
static void operation_larger_than_a_frame_is_not_proposed(void **state)
{
	struct alone *a = alone_new(LIST);
	uint64_t last, term;
	struct buf txn = { 0 };

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	last = alone_view(a).last.index;
	term = alone_view(a).term;
	buf_extend(&txn, KV_TXN_BYTES_MAX + 1);
	alone_forward_as(a, 2, 1, &(struct peer_forward){ .term = term, .number = 7 }, buf_bytes(&txn));
	assert_int_equal(last_refusal(a).number, 7);
	assert_int_equal(last_refusal(a).error, ERR_TOO_LARGE);
	assert_int_equal(alone_view(a).last.index, last);
	txn.size--;
	alone_forward_as(a, 2, 1, &(struct peer_forward){ .term = term, .number = 8 }, buf_bytes(&txn));
	assert_int_equal(last_refusal(a).number, 7);
	assert_int_equal(alone_view(a).last.index, last + 1);
	buf_free(&txn);
	alone_free(a);
}

/* What waits already has waited for longer than the asker will. */
static void forwarded_write_that_would_come_too_late_is_not_proposed(void **state)
{
	struct alone *a = alone_new(LIST);
	uint64_t last, term;
	struct bytes txn = { 0 };

	(void)state;
	alone_form(a);
	alone_elect(a);
	alone_accept(a, 2);
	term = alone_view(a).term;
	a->state_waits = true;
	alone_write(a, 1, "key");
	alone_accept(a, 2);
	alone_pass(a, 300);
	last = alone_view(a).last.index;
	alone_clear(a);
	alone_forward_as(a, 2, 1, &(struct peer_forward){ .term = term, .number = 7, .time_ms = 200 }, txn);
	assert_int_equal(last_refusal(a).number, 7);
	assert_int_equal(last_refusal(a).error, ERR_BUSY);
	assert_int_equal(alone_view(a).last.index, last);
	alone_forward_as(a, 2, 1, &(struct peer_forward){ .term = term, .number = 8, .time_ms = 500 }, txn);
	alone_forward_as(a, 2, 1, &(struct peer_forward){ .term = term, .number = 9 }, txn);
	assert_int_equal(alone_sent(a, PEER_REFUSE), 1);
	assert_int_equal(alone_view(a).last.index, last + 2);
	a->state_waits = false;
	alone_pass(a, 1);
	alone_accept(a, 2);
	alone_forward_as(a, 2, 1, &(struct peer_forward){ .term = term, .number = 10, .time_ms = 200 }, txn);
	assert_int_equal(alone_sent(a, PEER_REFUSE), 1);
	alone_free(a);
}

static uint32_t time_forwarded(struct alone *a)
{
	size_t size = 0;
	const uint8_t *data = last_frame(a, PEER_FORWARD, &size);
	struct reader reader = reader_of(bytes_of(data, size));
	struct peer_forward m;

	assert_non_null(data);
	assert_true(peer_forward_get(&reader, &m));
	return m.time_ms;
}

static void forwarded_write_says_how_long_its_asker_waits(void **state)
{
	struct alone *a = alone_follower_of(LIST, 2);
	uint32_t first;

	(void)state;
	alone_write(a, 1, "key");
	first = time_forwarded(a);
	assert_true(first > 300);
	alone_pass(a, 300);
	alone_hello(a, 2, replica_view(a->replica).cluster, true);
	alone_pass(a, 0);
	assert_int_equal(time_forwarded(a), first - 300);
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follower_names_the_leader_and_does_nothing),
		cmocka_unit_test(node_that_knows_no_leader_waits_a_second_and_says_so),
		cmocka_unit_test(leader_found_within_the_second_is_named),
		cmocka_unit_test(leader_goes_on_as_ever),
		cmocka_unit_test(unformed_node_sends_nobody_away),
		cmocka_unit_test(read_of_level_leader_is_asked_of_the_leader),
		cmocka_unit_test(leader_that_leads_no_more_is_not_the_last_word),
		cmocka_unit_test(who_asks_hears_why_before_its_own_time_is_up),
		cmocka_unit_test(leader_answers_what_others_ask),
		cmocka_unit_test(read_that_is_passed_on_has_the_time_that_its_asker_said),
		cmocka_unit_test(follower_tells_that_it_does_not_lead),
		cmocka_unit_test(refused_write_goes_to_the_next_leader_or_is_answered),
		cmocka_unit_test(unknown_error_is_taken_for_busy),
		cmocka_unit_test(operation_larger_than_a_frame_is_not_proposed),
		cmocka_unit_test(forwarded_write_that_would_come_too_late_is_not_proposed),
		cmocka_unit_test(forwarded_write_says_how_long_its_asker_waits),
		cmocka_unit_test(malformed_frames_do_no_harm),
		cmocka_unit_test(status_is_answered_at_once),
		cmocka_unit_test(what_cannot_be_is_refused_at_once),
		cmocka_unit_test(leader_whose_disk_hangs_leads_no_more_until_it_works),
		cmocka_unit_test(leader_hands_over_when_it_is_told_to),
		cmocka_unit_test(lost_leader_is_followed_at_once),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("between", tests, NULL, NULL);
}
