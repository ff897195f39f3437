/*
 * A leader whose log does not reach back to a follower: what it sends, how much at a time, and what it keeps meanwhile.
 *
 * links: worker/replica/ worker/raft/ worker/log/ worker/kv/ tests/common/replica_alone.c tests/unit/kept_log.c
 *	tests/common/fake_disk.c tests/common/mem_table.c tests/common/mem_tables.c common/ballast.c common/buf.c
 *	common/clock.c common/crc.c common/disk.c common/err.c common/lane.c common/mem.c common/member.c
 *	common/metric.c common/random.c common/random_secret.c common/status.c common/wire.c -lxxhash
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/common/mem_tables.h"
#include "tests/common/replica_alone.h"
#include "tests/unit/kept_log.h"
#include "worker/kv/image.h"
#include "worker/log/wal.h"

#define LIST "n1=n1:1, n2=n2:1, n3=n3:1"
#define VALUE_BYTES 8000
#define WINDOW 8 /* pieces */

/* As many keys. Each is answered before the next: n2 accepts what n1 leads. */
static void write_some(struct alone *a, size_t count)
{
	static uint64_t id = 1000;
	char key[16];

	for (size_t i = 0; i < count; i++) {
		snprintf(key, sizeof(key), "%u", (unsigned)++id);
		alone_write_bytes(a, id, key, VALUE_BYTES);
		alone_accept(a, 2);
		alone_pass(a, 1);
		assert_non_null(alone_answered(a, id));
		alone_clear(a);
		alone_forget_answers(a);
	}
}

static uint64_t cluster_of(struct alone *a)
{
	return replica_view(a->replica).cluster;
}

static void say_of_3(struct alone *a, struct raft_message *m)
{
	m->from = 3;
	m->term = alone_view(a).term;
	alone_raft(a, m);
}

/* n3 has nothing but the first entry: it has not what the log begins with. */
static void refuse_append(struct alone *a)
{
	struct raft_message m = { .type = RAFT_APPEND_ANSWER };

	m.append_answer =
	    (struct raft_append_answer){ .index = alone_view(a).first - 1, .hint_term = 1, .hint_index = 1 };
	say_of_3(a, &m);
}

static void hear_of_3(struct alone *a)
{
	struct raft_message m = { .type = RAFT_HEARTBEAT_ANSWER };

	say_of_3(a, &m);
}

/* n1 leads, its log is cut, and n3 is connected and behind its beginning. */
static struct alone *begin(void)
{
	struct alone *a = alone_new(LIST);

	kept_forget();
	alone_form(a);
	a->log_budget = 1;
	a->image_budget = 1 << 20;
	alone_kill(a);
	alone_elect(a);
	alone_hello(a, 2, cluster_of(a), true);
	write_some(a, 150);
	assert_true(alone_view(a).first > 10);
	alone_hello(a, 3, cluster_of(a), true);
	alone_clear(a);
	refuse_append(a);
	hear_of_3(a);
	alone_pass(a, 0);
	return a;
}

/* The pieces among the frames sent since the last alone_clear(); those without bytes ask how far it is. */
struct seen {
	size_t pieces, questions;
	uint64_t number, first, last; /* of the pieces */
	bool end;
};

static struct seen look(struct alone *a)
{
	struct seen s = { .first = UINT64_MAX };

	for (size_t i = 0; i < a->frame_count; i++) {
		struct reader reader = reader_of(blob_bytes(a->frames[i].bytes));
		struct peer_image m;

		if (wire_get_u8(&reader) != PEER_IMAGE)
			continue;
		assert_int_equal(a->frames[i].to, 3);
		assert_true(peer_image_get(&reader, &m) && reader_done(&reader));
		assert_int_equal(m.term, alone_view(a).term);
		s.number = m.number;
		if (m.frames.size == 0) {
			s.questions++;
			continue;
		}
		if (s.first == UINT64_MAX)
			s.first = m.sequence;
		s.last = m.sequence;
		s.end |= m.last != 0;
		s.pieces++;
	}
	alone_clear(a);
	return s;
}

/* Time passes, in which n2 and, if it is to, n3 are heard; what was seen in it. */
static struct seen pass(struct alone *a, int64_t ms, bool hear)
{
	struct seen all = look(a);

	for (; ms > 0; ms -= 50) {
		struct seen s;

		alone_pass(a, 50);
		alone_accept(a, 2);
		if (hear)
			hear_of_3(a);
		s = look(a);
		if (all.pieces == 0)
			all.first = s.first;
		if (s.pieces + s.questions > 0)
			all.number = s.number;
		all.pieces += s.pieces;
		all.questions += s.questions;
	}
	return all;
}

static void acknowledge(
    struct alone *a, uint64_t number, enum image_state state, uint64_t next, uint64_t index)
{
	struct peer_image_ack m = { number, next, (uint8_t)state, index };
	struct buf frame = { 0 };

	wire_put_u8(&frame, PEER_IMAGE_ACK);
	peer_image_ack_put(&frame, &m);
	replica_on_frame(a->replica, 3, buf_bytes(&frame), a->now);
	buf_free(&frame);
	alone_pass(a, 0);
}

/* All of it, each window acknowledged as it comes; the index that n3 has then. */
static uint64_t send_all(struct alone *a, struct seen s)
{
	while (!s.end) {
		acknowledge(a, s.number, IMAGE_UNDER_WAY, s.last + 1, 0);
		s = look(a);
		assert_true(s.pieces > 0);
	}
	return s.number;
}

static void no_more_than_a_window_is_on_its_way(void **state)
{
	struct alone *a = begin();
	struct seen s = look(a);

	(void)state;
	assert_int_equal(s.pieces, WINDOW);
	assert_int_equal(s.first, 0);
	assert_false(s.end);
	alone_pass(a, 10);
	assert_int_equal(look(a).pieces, 0);
	acknowledge(a, s.number, IMAGE_UNDER_WAY, 3, 0);
	s = look(a);
	assert_int_equal(s.first, WINDOW);
	assert_int_equal(s.pieces, 3);
	/* What is not of this image changes nothing. */
	acknowledge(a, s.number + 1, IMAGE_UNDER_WAY, 5, 0);
	acknowledge(a, s.number, IMAGE_UNDER_WAY, 100, 0);
	acknowledge(a, s.number, IMAGE_UNDER_WAY, 2, 0);
	assert_int_equal(look(a).pieces, 0);
	alone_free(a);
}

static void s4_what_a_broken_connection_took_is_sent_again(void **state)
{
	struct alone *a = begin();
	struct seen s = look(a);

	(void)state;
	acknowledge(a, s.number, IMAGE_UNDER_WAY, 3, 0);
	look(a);
	replica_on_unreachable(a->replica, 3, a->now);
	a->deaf = true;
	alone_pass(a, 50);
	a->deaf = false;
	alone_hello(a, 3, cluster_of(a), true);
	s = look(a);
	assert_int_equal(s.first, 3);
	assert_int_equal(s.pieces, WINDOW);
	alone_free(a);
}

static void s4_what_was_not_taken_is_sent_again_when_it_is_asked_for(void **state)
{
	struct alone *a = begin();
	uint64_t number = look(a).number;
	struct seen s = pass(a, 3000, true);

	(void)state;
	assert_true(s.questions > 0);
	assert_int_equal(s.number, number);
	acknowledge(a, number, IMAGE_UNDER_WAY, 0, 0);
	s = pass(a, 3000, true);
	assert_int_equal(s.first, 0);
	assert_true(s.pieces >= WINDOW);
	alone_free(a);
}

static void s4_receiver_that_refuses_gets_another_one_later(void **state)
{
	struct alone *a = begin();
	uint64_t number = look(a).number;
	struct seen s;

	(void)state;
	acknowledge(a, number, IMAGE_REFUSED, 0, 0);
	assert_int_equal(pass(a, 500, true).pieces, 0);
	s = pass(a, 2000, true);
	assert_int_equal(s.first, 0);
	assert_true(s.number != number);
	assert_int_equal(mem_tables_beside(a->tables), 1); /* what is put aside, of this one alone */
	alone_free(a);
}

/* n3 was wiped: its former life is silent for good, and n2 waits behind it. */
static void s4_receiver_that_is_silent_holds_nobody_up(void **state)
{
	struct alone *a = begin();
	struct raft_message m = { .type = RAFT_HEARTBEAT_ANSWER, .from = 2, .term = alone_view(a).term };
	int64_t ms;

	(void)state;
	for (ms = 0; ms < 30000 && kept_line(LOG_LEVEL_WARN)[0] == '\0'; ms += 50) {
		m.heartbeat_answer =
		    (struct raft_heartbeat_answer){ .round = 1, .frozen = 1 }; /* it needs an image */
		alone_raft(a, &m);
		alone_accept(a, 2);
		alone_clear(a);
		alone_pass(a, 50);
	}
	assert_non_null(strstr(kept_line(LOG_LEVEL_WARN), "nothing was heard of the receiver"));
	assert_in_range(ms, 4000, 6000);
	alone_free(a);
}

static void s4_receiver_that_is_silent_is_given_up(void **state)
{
	struct alone *a = begin();

	(void)state;
	pass(a, 29000, false);
	assert_int_equal(kept_line(LOG_LEVEL_WARN)[0], '\0');
	pass(a, 2000, false);
	assert_non_null(strstr(kept_line(LOG_LEVEL_WARN), "nothing was heard of the receiver"));
	/* Nor is another one begun as long as it is away. */
	assert_int_equal(pass(a, 10000, false).pieces, 0);
	assert_int_equal(mem_tables_beside(a->tables), 0);
	assert_int_equal(pass(a, 1000, true).first, 0);
	alone_free(a);
}

/* n3 needs another image, and before that begins a client reads a backup and has room for nothing. */
static struct alone *begin_behind_a_backup(void)
{
	struct alone *a = begin();

	acknowledge(a, look(a).number, IMAGE_REFUSED, 0, 0);
	replica_request(
	    a->replica, 1, &(struct ipc_request){ .id = 1, .kind = REQUEST_BACKUP, .time_ms = 5000 }, a->now);
	alone_pass(a, 0);
	assert_int_equal(a->stream_id, 1);
	return a;
}

static void s4_backup_holds_an_image_up_for_a_minute_and_no_longer(void **state)
{
	struct alone *a = begin_behind_a_backup();

	(void)state;
	assert_int_equal(pass(a, 59000, true).pieces, 0);
	assert_false(a->stream_over);
	assert_true(pass(a, 5000, true).pieces > 0);
	assert_true(a->stream_over);
	assert_int_equal(a->stream_error, ERR_BUSY);
	alone_free(a);
}

static void s4_backup_is_not_broken_off_for_a_node_that_is_away(void **state)
{
	struct alone *a = begin_behind_a_backup();

	(void)state;
	assert_int_equal(pass(a, 300000, false).pieces, 0);
	assert_false(a->stream_over);
	/* Its minute begins when the node is there. */
	pass(a, 50000, true);
	assert_false(a->stream_over);
	pass(a, 15000, true);
	assert_true(a->stream_over);
	alone_free(a);
}

static void s3_log_is_kept_for_an_image_and_for_who_catches_up(void **state)
{
	struct alone *a = begin();
	struct seen s = look(a);
	uint64_t index = alone_view(a).last.index, number;
	struct raft_message m = { .type = RAFT_APPEND_ANSWER };

	(void)state;
	write_some(a, 60);
	alone_clear(a);
	assert_true(alone_view(a).first <= index + 1);
	acknowledge(a, s.number, IMAGE_UNDER_WAY, s.last + 1, 0);
	number = send_all(a, look(a));
	acknowledge(a, number, IMAGE_DONE, 0, index);
	assert_true(alone_sent_raft(a, RAFT_APPEND, &m) > 0); /* from there */
	assert_int_equal(m.append.prev_index, index);
	write_some(a, 30);
	assert_true(alone_view(a).first <= index + 1);
	/* It has caught up: nothing holds the cut up any more. */
	m = (struct raft_message){ .type = RAFT_APPEND_ANSWER };
	m.append_answer = (struct raft_append_answer){ .accepted = 1, .index = alone_view(a).last.index };
	say_of_3(a, &m);
	write_some(a, 60);
	assert_true(alone_view(a).first > index + 1);
	alone_free(a);
}

/* Both others say that n1's state is not what it should be. Raft does not know of it yet. */
static void find_out(struct alone *a)
{
	struct peer_hash m = { alone_view(a).last.index / ALONE_HASH_EVERY * ALONE_HASH_EVERY, 1, 1 };

	a->state_waits = true;
	for (uint64_t other = 2; other <= 3; other++) {
		struct buf frame = { 0 };

		wire_put_u8(&frame, PEER_HASH);
		peer_hash_put(&frame, &m);
		replica_on_frame(a->replica, other, buf_bytes(&frame), a->now);
		buf_free(&frame);
	}
	alone_pass(a, 0);
	assert_true(replica_view(a->replica).quarantined);
	assert_int_equal(alone_view(a).role, RAFT_LEADER);
}

/* Also where all of it was read before that, and only what is on its way is missing. */
static void wrong_state_goes_no_further(void **state)
{
	struct alone *a = begin();
	struct seen s = look(a);

	(void)state;
	send_all(a, s);
	find_out(a);
	alone_hello(a, 3, cluster_of(a), true);
	s = pass(a, 400, true);
	assert_int_equal(s.pieces + s.questions, 0);
	a->state_waits = false;
	alone_free(a);
}

static void wrong_state_is_not_begun_to_be_sent(void **state)
{
	struct alone *a = begin();
	uint64_t number = look(a).number;
	struct seen s;

	(void)state;
	acknowledge(a, number, IMAGE_REFUSED, 0, 0);
	pass(a, 1800, true);
	find_out(a);
	s = pass(a, 400, true);
	assert_int_equal(s.pieces + s.questions, 0);
	a->state_waits = false;
	s = pass(a, 400, true);
	assert_int_equal(s.pieces + s.questions, 0);
	alone_free(a);
}

/* Nobody knows yet what is committed, and the first entry is not applied: there is nothing that could take the place of a
 * state, not even members. */
static void s4_leader_that_has_applied_nothing_sends_nothing(void **state)
{
	struct alone *a = alone_new(LIST);
	struct raft_message m = { .type = RAFT_HEARTBEAT_ANSWER };

	(void)state;
	a->state_waits = true;
	alone_form(a);
	alone_kill(a);
	a->state_waits = false;
	alone_elect(a);
	alone_hello(a, 2, cluster_of(a), true);
	alone_hello(a, 3, cluster_of(a), true);
	alone_pass(a, 100);
	m.heartbeat_answer = (struct raft_heartbeat_answer){ .round = 1, .frozen = 1 };
	say_of_3(a, &m);
	assert_int_equal(replica_view(a->replica).applied, 0);
	alone_pass(a, 300);
	assert_int_equal(look(a).pieces, 0);
	assert_true(pass(a, 300, true).pieces > 0);
	assert_true(replica_view(a->replica).applied > 0);
	alone_free(a);
}

static void everything_ends_with_the_term(void **state)
{
	struct alone *a = begin();
	struct raft_message m = { .type = RAFT_HEARTBEAT, .from = 2 };

	(void)state;
	look(a);
	m.term = alone_view(a).term + 1;
	alone_raft(a, &m);
	alone_pass(a, 5000);
	assert_int_equal(look(a).pieces, 0);
	assert_int_equal(mem_tables_beside(a->tables), 0);
	alone_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_more_than_a_window_is_on_its_way),
		cmocka_unit_test(s4_what_a_broken_connection_took_is_sent_again),
		cmocka_unit_test(s4_what_was_not_taken_is_sent_again_when_it_is_asked_for),
		cmocka_unit_test(s4_receiver_that_refuses_gets_another_one_later),
		cmocka_unit_test(s4_receiver_that_is_silent_holds_nobody_up),
		cmocka_unit_test(s4_receiver_that_is_silent_is_given_up),
		cmocka_unit_test(s4_backup_holds_an_image_up_for_a_minute_and_no_longer),
		cmocka_unit_test(s4_backup_is_not_broken_off_for_a_node_that_is_away),
		cmocka_unit_test(s3_log_is_kept_for_an_image_and_for_who_catches_up),
		cmocka_unit_test(wrong_state_goes_no_further),
		cmocka_unit_test(wrong_state_is_not_begun_to_be_sent),
		cmocka_unit_test(s4_leader_that_has_applied_nothing_sends_nothing),
		cmocka_unit_test(everything_ends_with_the_term),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
