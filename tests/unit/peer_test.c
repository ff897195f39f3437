/* links: tests/common/peer_net.c worker/peer/peer.c worker/peer/link.c worker/peer/guest.c worker/peer/channel.c worker/peer/ways.c common/names.c worker/peer/hello.c worker/peer/frame.c worker/replica/transport.c common/addr.c common/loop.c common/lane.c common/lane_thread.c common/clock.c common/wire.c common/buf.c common/mem.c common/crc.c common/log.c common/err.c common/random.c -levent_core */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "tests/common/peer_net.h"
#include "worker/peer/channel.h"
#include "worker/peer/frame.h"

/* Nodes among themselves. */

static bool a_dialed_b(void)
{
	return A->dialed == 1 && B->accepted == 1;
}

/* Two nodes, the first dials the second. */
static void join_two(void)
{
	net_open(0);
	net_open(1);
	net_speak(A);
	net_speak(B);
	net_dial(A, B);
	net_await(a_dialed_b);
}

static void both_sides_hear_a_hello(void **state)
{
	(void)state;
	join_two();
	assert_int_equal(A->last_hello.incarnation, B->hello.incarnation);
	assert_int_equal(B->last_hello.incarnation, A->hello.incarnation);
	assert_int_equal(B->last_hello.boot, A->hello.boot);
	assert_int_equal(A->accepted + B->dialed, 0);
}

static bool b_has_10000_frames(void)
{
	return B->frame_count == 10000;
}

static void frames_come_in_order_and_whole(void **state)
{
	struct buf expected = { 0 };

	(void)state;
	join_two();
	for (unsigned i = 0; i < 10000; i++) {
		char text[32];

		snprintf(text, sizeof(text), "frame %u;", i);
		assert_true(net_send(A, B, text));
		wire_put_u8(&expected, PEER_RAFT);
		buf_append_text(&expected, text);
	}
	net_await(b_has_10000_frames);
	assert_true(bytes_equal(buf_bytes(&B->frames), buf_bytes(&expected)));
	assert_int_equal(B->frame_from, A->hello.incarnation);
	assert_false(net_send(B, A, "B dialed nobody"));
	buf_free(&expected);
}

static bool b_has_a_frame(void)
{
	return B->frame_count == 1;
}

/* One larger than what may wait, too. */
static void the_largest_frame_passes(void **state)
{
	struct buf frame = { 0 };

	(void)state;
	join_two();
	memset(buf_extend(&frame, PEER_FRAME_BYTES_TAKEN), PEER_RAFT, PEER_FRAME_BYTES_TAKEN);
	assert_true(transport_send(A->transport, B->hello.incarnation, buf_bytes(&frame)));
	net_await(b_has_a_frame);
	assert_true(bytes_equal(buf_bytes(&B->frames), buf_bytes(&frame)));
	buf_free(&frame);
}

static uint64_t bytes_sent_to_b(struct bytes frame)
{
	uint64_t before = channel_traffic().sent;

	assert_true(transport_send(A->transport, B->hello.incarnation, frame));
	net_await(b_has_a_frame);
	return channel_traffic().sent - before;
}

/* A piece would be of a type that it does not know. */
static void a_node_of_an_earlier_version_is_sent_no_pieces(void **state)
{
	struct buf frame = { 0 };

	(void)state;
	net_open(0);
	net_open(1);
	B->hello.version_most = PEER_VERSION_LEAST;
	net_speak(A);
	net_speak(B);
	net_dial(A, B);
	net_await(a_dialed_b);
	memset(buf_extend(&frame, 1000000), PEER_TELL, 1000000);
	assert_int_equal(bytes_sent_to_b(buf_bytes(&frame)), frame.size + FRAME_HEAD_BYTES);
	buf_free(&frame);
}

#define ANSWERS 6
#define ANSWER_BYTES ((size_t)2 * 1024 * 1024)

static bool b_has_them_all(void)
{
	return B->frame_count == ANSWERS + 1;
}

/* More than may wait of anything else: somebody waits for each of them. */
static void answers_find_room_and_a_heartbeat_does_not_wait_for_them(void **state)
{
	struct buf frame = { 0 };
	size_t size = 0;

	(void)state;
	join_two();
	memset(buf_extend(&frame, ANSWER_BYTES), PEER_TELL, ANSWER_BYTES);
	for (int i = 0; i < ANSWERS; i++)
		assert_true(transport_send(A->transport, B->hello.incarnation, buf_bytes(&frame)));
	assert_int_equal(transport_unsent(A->transport, B->hello.incarnation) / ANSWER_BYTES, ANSWERS);
	assert_true(net_send(A, B, "it lives"));
	net_await(b_has_them_all);
	assert_int_equal(B->frames.size, ANSWERS * ANSWER_BYTES + strlen("it lives") + 1);
	assert_int_equal(B->frames.data[0], PEER_RAFT);
	for (size_t i = strlen("it lives") + 1; i < B->frames.size; i++)
		size += B->frames.data[i] == PEER_TELL;
	assert_int_equal(size, ANSWERS * ANSWER_BYTES);
	assert_int_equal(transport_unsent(A->transport, B->hello.incarnation), 0);
	buf_free(&frame);
}

static bool an_answer_leaves(void)
{
	return transport_unsent(A->transport, B->hello.incarnation) < ANSWERS * ANSWER_BYTES;
}

/* Nor for those that are on their way already. */
static void a_heartbeat_overtakes_answers_that_have_begun_to_leave(void **state)
{
	struct buf frame = { 0 };
	size_t at;

	(void)state;
	join_two();
	memset(buf_extend(&frame, ANSWER_BYTES), PEER_TELL, ANSWER_BYTES);
	for (int i = 0; i < ANSWERS; i++)
		assert_true(transport_send(A->transport, B->hello.incarnation, buf_bytes(&frame)));
	net_await(an_answer_leaves);
	assert_true(transport_unsent(A->transport, B->hello.incarnation) > ANSWER_BYTES);
	assert_true(net_send(A, B, "it lives"));
	net_await(b_has_them_all);
	for (at = 0; B->frames.data[at] == PEER_TELL; at++)
		;
	assert_true(at < (ANSWERS - 1) * ANSWER_BYTES);
	buf_free(&frame);
}

static bool a_lost_b(void)
{
	return A->unreachable == 1;
}

static bool a_dialed_again(void)
{
	return A->dialed == 2;
}

static void a_node_that_comes_back_is_reached_again(void **state)
{
	struct peer_options o = net_quick();
	struct address where;
	char address[32];
	int fd;

	(void)state;
	join_two();
	strcpy(address, B->address);
	net_close(B);
	net_await(a_lost_b);
	assert_false(net_send(A, B, "nobody is there"));
	assert_true(address_numeric(address, &where));
	assert_int_equal(peer_listen(&where, &fd), 0);
	net_open_on(1, fd, &o);
	B->hello.start = 2;
	B->hello.boot = 2001;
	net_speak(B);
	net_await(a_dialed_again);
	assert_true(net_send(A, B, "x"));
	net_await(b_has_a_frame);
}

static void a_port_in_use_is_told(void **state)
{
	struct address where;
	int fd;

	(void)state;
	net_open(0);
	assert_true(address_numeric(A->address, &where));
	assert_int_equal(peer_listen(&where, &fd), EADDRINUSE);
	assert_int_equal(fd, -1);
}

#define QUEUE_BYTES (100 * 1024)
#define FRAMES_THAT_FIT (QUEUE_BYTES / (1000 + FRAME_HEAD_BYTES))

/* Sends until the queue is full; the number of frames taken. */
static unsigned fill_queue(void)
{
	struct buf frame = { 0 };
	unsigned count = 0;

	memset(buf_extend(&frame, 1000), PEER_RAFT, 1000);
	while (count < 100000 && transport_send(A->transport, B->hello.incarnation, buf_bytes(&frame)))
		count++;
	buf_free(&frame);
	return count;
}

static bool b_has_what_fits(void)
{
	return B->frame_count == FRAMES_THAT_FIT;
}

static void the_queue_is_bounded(void **state)
{
	struct peer_options o = net_quick();

	(void)state;
	o.queue_bytes_max = QUEUE_BYTES;
	net_open_on(0, net_listen(), &o);
	net_open(1);
	net_speak(A);
	net_speak(B);
	net_dial(A, B);
	net_await(a_dialed_b);
	assert_int_equal(fill_queue(), FRAMES_THAT_FIT);
	assert_int_equal(fill_queue(), 0);
	net_await(b_has_what_fits);
	assert_true(net_send(A, B, "there is room again"));
}

static bool both_dialed_twice(void)
{
	return A->dialed >= 2 && B->dialed >= 2 && A->accepted >= 2 && B->accepted >= 2;
}

static bool both_dialed(void)
{
	return A->dialed == 1 && B->dialed == 1 && A->accepted == 1 && B->accepted == 1;
}

static void another_cluster_id_is_said_anew(void **state)
{
	(void)state;
	net_open(0);
	net_open(1);
	A->hello.cluster = B->hello.cluster = 0;
	net_speak(A);
	net_speak(B);
	net_dial(A, B);
	net_dial(B, A);
	net_await(both_dialed);
	A->hello.cluster = 9;
	A->calls = 0;
	net_speak(A);
	assert_int_equal(A->calls, 0);
	assert_false(net_send(A, B, "the connection is about to end"));
	net_await(both_dialed_twice);
	assert_int_equal(B->last_hello.cluster, 9);
	assert_true(A->lost >= 1 && A->unreachable >= 1 && B->lost >= 1 && B->unreachable >= 1);
}

static bool all_is_well_in_cluster_8(void)
{
	return B->last_hello.cluster == 8 && net_send(A, B, "x") && net_send(B, A, "x");
}

static void the_cluster_id_may_change_within_a_hello(void **state)
{
	(void)state;
	net_open(0);
	net_open(1);
	B->hello.cluster = 0;
	A->renews = true;
	net_speak(A);
	net_speak(B);
	net_dial(A, B);
	net_dial(B, A);
	net_await(all_is_well_in_cluster_8);
}

static void another_position_changes_nothing(void **state)
{
	(void)state;
	join_two();
	A->hello.last_index = 5;
	net_speak(A);
	net_turn_for(30);
	assert_int_equal(A->unreachable + B->lost, 0);
}

static void m12_another_cluster_is_refused(void **state)
{
	(void)state;
	net_open(0);
	net_open(1);
	B->hello.cluster = 8;
	net_speak(A);
	net_speak(B);
	net_dial(A, B);
	net_turn_for(100);
	assert_int_equal(A->dialed + B->accepted, 0);
	/* Both are told, so that both can say so. */
	assert_in_range(A->strangers, 1, 100);
	assert_in_range(B->strangers, 1, 100);
}

static void own_address_is_refused(void **state)
{
	(void)state;
	net_open(0);
	net_speak(A);
	net_dial(A, A);
	net_turn_for(100);
	assert_int_equal(A->dialed + A->accepted, 0);
}

static bool b_accepted(void)
{
	return B->accepted == 1;
}

static void d13_a_copied_directory_is_refused(void **state)
{
	(void)state;
	join_two();
	net_open(2);
	C->hello.incarnation = A->hello.incarnation;
	net_speak(C);
	net_dial(C, B);
	net_turn_for(100);
	assert_int_equal(B->accepted, 1);
	assert_int_equal(C->dialed, 0);
	assert_int_equal(B->lost, 0);
	assert_true(net_send(A, B, "the first one is still heard"));
	net_await(b_has_a_frame);
}

static bool b_accepted_twice(void)
{
	return B->accepted == 2;
}

static void d13_a_lower_start_is_refused(void **state)
{
	(void)state;
	join_two();
	/* A directory that was copied and started once more than its origin: it is heard, the origin no more. */
	net_open(2);
	C->hello.incarnation = A->hello.incarnation;
	C->hello.start = 2;
	net_speak(C);
	net_dial(C, B);
	net_await(b_accepted_twice);
	assert_int_equal(B->lost, 1);
	net_await(a_lost_b);
	net_turn_for(100);
	assert_int_equal(B->accepted, 2);
	assert_int_equal(A->dialed, 1);
}

static bool b_reaches_a(void)
{
	return B->dialed >= 1;
}

static bool b_accepted_c(void)
{
	return B->accepted == 2;
}

static bool b_accepted_a_again(void)
{
	return B->accepted == 3;
}

static bool b_lost_twice(void)
{
	return B->lost == 2;
}

/* Anybody can say it. The connection that lives wins; and when that of the later start is over, the process that was there
 * before is let in again. */
static void hello_of_a_later_start_shuts_nobody_out_for_good(void **state)
{
	(void)state;
	join_two();
	net_dial(B, A);
	net_await(b_reaches_a);
	net_open(2);
	C->hello.incarnation = A->hello.incarnation;
	C->hello.start = 99;
	net_speak(C);
	net_dial(C, B);
	net_turn_for(200);
	assert_int_equal(B->accepted, 1);
	assert_true(net_send(A, B, "it is still heard"));
	net_await(b_has_a_frame);

	/* Nothing is connected to A for a while. */
	transport_set_peers(B->transport, NULL, 0);
	transport_set_peers(A->transport, NULL, 0);
	net_await(b_accepted_c);
	net_dial(A, B);
	net_turn_for(200);
	assert_int_equal(B->accepted, 2);
	transport_set_peers(C->transport, NULL, 0);
	net_await(b_lost_twice);
	net_await(b_accepted_a_again);
}

static void two_addresses_of_one_node_settle_on_one(void **state)
{
	struct bytes addresses[2];
	unsigned dialed = 0;
	char *name;

	(void)state;
	net_open(0);
	net_open(1);
	net_speak(A);
	net_speak(B);
	name = xasprintf("localhost%s", strchr(B->address, ':'));
	addresses[0] = bytes_text(B->address);
	addresses[1] = bytes_text(name);
	transport_set_peers(A->transport, addresses, 2);
	for (int round = 0; round < 100 && (A->dialed == 0 || A->dialed != dialed); round++) {
		dialed = A->dialed;
		net_turn_for(200);
	}
	assert_int_equal(A->dialed, dialed);
	assert_true(net_send(A, B, "x"));
	net_await(b_has_a_frame);
	free(name);
}

static void an_address_no_longer_wanted_is_left(void **state)
{
	(void)state;
	join_two();
	A->calls = 0;
	transport_set_peers(A->transport, NULL, 0);
	assert_int_equal(A->calls, 0);
	net_await(a_lost_b);
	net_turn_for(50);
	assert_int_equal(A->dialed, 1);
	assert_int_equal(B->lost, 1);
}

static void nobody_is_let_in_before_there_is_a_hello(void **state)
{
	(void)state;
	net_open(0);
	net_open(1);
	net_speak(A);
	net_dial(A, B);
	net_turn_for(50);
	assert_int_equal(A->dialed, 0);
	net_speak(B);
	net_await(b_accepted);
	net_await(a_dialed_b);
}

static void a_name_is_resolved(void **state)
{
	struct bytes address;
	char *name;

	(void)state;
	net_open(0);
	net_open(1);
	net_speak(A);
	net_speak(B);
	name = xasprintf("localhost%s", strchr(B->address, ':'));
	address = bytes_text(name);
	transport_set_peers(A->transport, &address, 1);
	net_await(a_dialed_b);
	free(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_sides_hear_a_hello, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(frames_come_in_order_and_whole, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(the_largest_frame_passes, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(
		    a_node_of_an_earlier_version_is_sent_no_pieces, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(
		    answers_find_room_and_a_heartbeat_does_not_wait_for_them, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(
		    a_heartbeat_overtakes_answers_that_have_begun_to_leave, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(
		    a_node_that_comes_back_is_reached_again, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(a_port_in_use_is_told, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(the_queue_is_bounded, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(another_cluster_id_is_said_anew, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(
		    the_cluster_id_may_change_within_a_hello, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(another_position_changes_nothing, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(m12_another_cluster_is_refused, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(own_address_is_refused, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(d13_a_copied_directory_is_refused, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(d13_a_lower_start_is_refused, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(
		    hello_of_a_later_start_shuts_nobody_out_for_good, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(
		    two_addresses_of_one_node_settle_on_one, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(an_address_no_longer_wanted_is_left, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(
		    nobody_is_let_in_before_there_is_a_hello, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(a_name_is_resolved, net_setup, net_teardown),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
