/* links: worker/peer/peer.c worker/peer/link.c worker/peer/guest.c worker/peer/channel.c worker/peer/names.c worker/peer/hello.c worker/peer/frame.c worker/replica/transport.c common/addr.c common/loop.c common/lane.c common/lane_thread.c common/clock.c common/wire.c common/buf.c common/mem.c common/crc.c common/log.c common/err.c common/random.c -levent_core */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "worker/peer/frame.h"
#include "worker/peer/peer.h"

/*
 * Real sockets on 127.0.0.1, several nodes in one loop. Whatever is waited for ends the loop when it is there; a
 * guard ends it when it never comes.
 */
#define GUARD_MS 20000
#define NODES_MOST 3

struct member {
	struct transport *transport;
	char address[32];
	struct peer_hello hello;
	/* What was told so far. */
	unsigned accepted, dialed, lost, unreachable;
	struct peer_hello last_hello; /* its texts are not kept */
	struct buf frames; /* payloads, one behind the other */
	unsigned frame_count;
	uint64_t frame_from;
	bool renews; /* sets another cluster id within the next hello */
	unsigned calls; /* events that were told */
};

static struct net {
	struct loop *loop;
	struct loop_timer *guard;
	struct member members[NODES_MOST];
	bool (*wanted)(void);
} net;

static void on_hello(void *arg, const struct peer_hello *hello, const struct bytes *dialed)
{
	struct member *m = arg;

	m->calls++;
	m->last_hello = *hello;
	if (dialed != NULL)
		m->dialed++;
	else
		m->accepted++;
	if (m->renews) {
		unsigned calls = m->calls;

		m->renews = false;
		m->hello.cluster++;
		transport_set_hello(m->transport, &m->hello);
		assert_int_equal(m->calls, calls);
	}
}

static void on_frame(void *arg, uint64_t incarnation, struct bytes frame)
{
	struct member *m = arg;

	m->frame_count++;
	m->frame_from = incarnation;
	buf_append(&m->frames, frame);
}

static void on_lost(void *arg, uint64_t incarnation)
{
	struct member *m = arg;

	(void)incarnation;
	m->calls++;
	m->lost++;
}

static void on_unreachable(void *arg, uint64_t incarnation)
{
	struct member *m = arg;

	(void)incarnation;
	m->calls++;
	m->unreachable++;
}

static const struct peer_events events = {
	.hello = on_hello,
	.frame = on_frame,
	.lost = on_lost,
	.unreachable = on_unreachable,
};

static void stop_when_there(void *arg)
{
	(void)arg;
	if (net.wanted != NULL && net.wanted())
		loop_stop(net.loop);
}

static void give_up(void *arg)
{
	(void)arg;
	fail_msg("what the test waits for does not come");
}

/* Turns the loop until it is so. */
static void await(bool (*wanted)(void))
{
	net.wanted = wanted;
	loop_timer_set(net.guard, instant_add(clock_now(), span_ms(GUARD_MS)));
	loop_run(net.loop);
	net.wanted = NULL;
}

static void ring(void *arg)
{
	loop_stop(arg);
}

/* Turns the loop for some time, in which nothing should happen. */
static void turn_for(int64_t ms)
{
	struct loop_timer *t = loop_timer_new(net.loop, ring, net.loop);

	loop_timer_set(t, instant_add(clock_now(), span_ms(ms)));
	loop_run(net.loop);
	loop_timer_free(t);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t size = sizeof(a);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	return ntohs(a.sin_port);
}

/* A listening socket on a port of the kernel's choice. */
static int listen_anywhere(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static struct peer_options quick(void)
{
	struct peer_options o = peer_options_preset();

	o.retry_most = span_ms(50);
	return o;
}

static struct member *open_on(size_t n, int fd, const struct peer_options *o)
{
	static const char *const names[NODES_MOST] = { "n1", "n2", "n3" };
	struct member *m = &net.members[n];

	*m = (struct member){ 0 };
	snprintf(m->address, sizeof(m->address), "127.0.0.1:%u", port_of(fd));
	m->transport = peer_open(net.loop, fd, o, &events, m);
	m->hello = (struct peer_hello){
		.version_least = PEER_VERSION,
		.version_most = PEER_VERSION,
		.cluster = 7,
		.incarnation = 100 + n,
		.start = 1,
		.boot = 1000 + n,
		.id = bytes_text(names[n]),
		.peer = bytes_text(m->address),
		.http = bytes_text("http://127.0.0.1:1"),
	};
	return m;
}

static struct member *open_member(size_t n)
{
	struct peer_options o = quick();

	return open_on(n, listen_anywhere(), &o);
}

static void close_member(struct member *m)
{
	peer_close(m->transport);
	buf_free(&m->frames);
	m->transport = NULL;
}

static void dial(struct member *from, const struct member *to)
{
	struct bytes address = bytes_text(to->address);

	transport_set_peers(from->transport, &address, 1);
}

static void speak(struct member *m)
{
	transport_set_hello(m->transport, &m->hello);
}

static bool send_text(struct member *from, const struct member *to, const char *text)
{
	char *frame = xasprintf("%c%s", PEER_RAFT, text);
	bool sent = transport_send(from->transport, to->hello.incarnation, bytes_text(frame));

	free(frame);
	return sent;
}

static int setup(void **state)
{
	(void)state;
	net.loop = loop_new();
	net.guard = loop_timer_new(net.loop, give_up, NULL);
	loop_at_turn_end(net.loop, stop_when_there, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < NODES_MOST; i++)
		close_member(&net.members[i]);
	loop_timer_free(net.guard);
	loop_free(net.loop);
	return 0;
}

#define A (&net.members[0])
#define B (&net.members[1])
#define C (&net.members[2])

static bool a_dialed_b(void)
{
	return A->dialed == 1 && B->accepted == 1;
}

/* Two nodes, the first dials the second. */
static void join_two(void)
{
	open_member(0);
	open_member(1);
	speak(A);
	speak(B);
	dial(A, B);
	await(a_dialed_b);
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
		assert_true(send_text(A, B, text));
		wire_put_u8(&expected, PEER_RAFT);
		buf_append_text(&expected, text);
	}
	await(b_has_10000_frames);
	assert_true(bytes_equal(buf_bytes(&B->frames), buf_bytes(&expected)));
	assert_int_equal(B->frame_from, A->hello.incarnation);
	assert_false(send_text(B, A, "B dialed nobody"));
	buf_free(&expected);
}

static bool b_has_a_frame(void)
{
	return B->frame_count == 1;
}

static void the_largest_frame_passes(void **state)
{
	struct buf frame = { 0 };

	(void)state;
	join_two();
	memset(buf_extend(&frame, PEER_FRAME_BYTES_MAX), PEER_RAFT, PEER_FRAME_BYTES_MAX);
	assert_true(transport_send(A->transport, B->hello.incarnation, buf_bytes(&frame)));
	await(b_has_a_frame);
	assert_true(bytes_equal(buf_bytes(&B->frames), buf_bytes(&frame)));
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
	struct peer_options o = quick();
	char address[32];
	int fd;

	(void)state;
	join_two();
	strcpy(address, B->address);
	close_member(B);
	await(a_lost_b);
	assert_false(send_text(A, B, "nobody is there"));
	assert_int_equal(peer_listen(address, &fd), ERR_OK);
	open_on(1, fd, &o);
	B->hello.start = 2;
	B->hello.boot = 2001;
	speak(B);
	await(a_dialed_again);
	assert_true(send_text(A, B, "x"));
	await(b_has_a_frame);
}

static void a_port_in_use_is_told(void **state)
{
	int fd;

	(void)state;
	open_member(0);
	assert_int_equal(peer_listen(A->address, &fd), ERR_IN_USE);
	assert_int_equal(fd, -1);
	assert_int_equal(peer_listen("nonsense", &fd), ERR_BAD_REQUEST);
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
	struct peer_options o = quick();

	(void)state;
	o.queue_bytes_max = QUEUE_BYTES;
	open_on(0, listen_anywhere(), &o);
	open_member(1);
	speak(A);
	speak(B);
	dial(A, B);
	await(a_dialed_b);
	assert_int_equal(fill_queue(), FRAMES_THAT_FIT);
	assert_int_equal(fill_queue(), 0);
	await(b_has_what_fits);
	assert_true(send_text(A, B, "there is room again"));
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
	open_member(0);
	open_member(1);
	A->hello.cluster = B->hello.cluster = 0;
	speak(A);
	speak(B);
	dial(A, B);
	dial(B, A);
	await(both_dialed);
	A->hello.cluster = 9;
	A->calls = 0;
	speak(A);
	assert_int_equal(A->calls, 0);
	assert_false(send_text(A, B, "the connection is about to end"));
	await(both_dialed_twice);
	assert_int_equal(B->last_hello.cluster, 9);
	assert_true(A->lost >= 1 && A->unreachable >= 1 && B->lost >= 1 && B->unreachable >= 1);
}

static bool all_is_well_in_cluster_8(void)
{
	return B->last_hello.cluster == 8 && send_text(A, B, "x") && send_text(B, A, "x");
}

static void the_cluster_id_may_change_within_a_hello(void **state)
{
	(void)state;
	open_member(0);
	open_member(1);
	B->hello.cluster = 0;
	A->renews = true;
	speak(A);
	speak(B);
	dial(A, B);
	dial(B, A);
	await(all_is_well_in_cluster_8);
}

static void another_position_changes_nothing(void **state)
{
	(void)state;
	join_two();
	A->hello.last_index = 5;
	speak(A);
	turn_for(30);
	assert_int_equal(A->unreachable + B->lost, 0);
}

static void m12_another_cluster_is_refused(void **state)
{
	(void)state;
	open_member(0);
	open_member(1);
	B->hello.cluster = 8;
	speak(A);
	speak(B);
	dial(A, B);
	turn_for(100);
	assert_int_equal(A->dialed + B->accepted, 0);
}

static void own_address_is_refused(void **state)
{
	(void)state;
	open_member(0);
	speak(A);
	dial(A, A);
	turn_for(100);
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
	open_member(2);
	C->hello.incarnation = A->hello.incarnation;
	speak(C);
	dial(C, B);
	turn_for(100);
	assert_int_equal(B->accepted, 1);
	assert_int_equal(C->dialed, 0);
	assert_int_equal(B->lost, 0);
	assert_true(send_text(A, B, "the first one is still heard"));
	await(b_has_a_frame);
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
	open_member(2);
	C->hello.incarnation = A->hello.incarnation;
	C->hello.start = 2;
	speak(C);
	dial(C, B);
	await(b_accepted_twice);
	assert_int_equal(B->lost, 1);
	await(a_lost_b);
	turn_for(100);
	assert_int_equal(B->accepted, 2);
	assert_int_equal(A->dialed, 1);
}

static void two_addresses_of_one_node_settle_on_one(void **state)
{
	struct bytes addresses[2];
	unsigned dialed = 0;
	char *name;

	(void)state;
	open_member(0);
	open_member(1);
	speak(A);
	speak(B);
	name = xasprintf("localhost%s", strchr(B->address, ':'));
	addresses[0] = bytes_text(B->address);
	addresses[1] = bytes_text(name);
	transport_set_peers(A->transport, addresses, 2);
	for (int round = 0; round < 100 && (A->dialed == 0 || A->dialed != dialed); round++) {
		dialed = A->dialed;
		turn_for(200);
	}
	assert_int_equal(A->dialed, dialed);
	assert_true(send_text(A, B, "x"));
	await(b_has_a_frame);
	free(name);
}

static void an_address_no_longer_wanted_is_left(void **state)
{
	(void)state;
	join_two();
	A->calls = 0;
	transport_set_peers(A->transport, NULL, 0);
	assert_int_equal(A->calls, 0);
	await(a_lost_b);
	turn_for(50);
	assert_int_equal(A->dialed, 1);
	assert_int_equal(B->lost, 1);
}

/* --- a stranger with a plain socket --- */

static int stranger(const struct member *to)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_port = htons((uint16_t)atoi(strchr(to->address, ':') + 1));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void say(int fd, struct bytes b)
{
	assert_int_equal(send(fd, b.data, b.size, MSG_NOSIGNAL), (ssize_t)b.size);
}

static int stranger_fd;

static bool stranger_is_cut_off(void)
{
	char c;

	return recv(stranger_fd, &c, 1, MSG_DONTWAIT) == 0;
}

static void await_cut(int fd)
{
	struct loop_timer *t = loop_timer_new(net.loop, ring, net.loop);

	stranger_fd = fd;
	while (!stranger_is_cut_off()) {
		loop_timer_set(t, instant_add(clock_now(), span_ms(5)));
		loop_run(net.loop);
	}
	loop_timer_free(t);
	close(fd);
}

static void garbage_before_the_hello_ends_it(void **state)
{
	static const char *const garbage[] = { "GET / HTTP/1.1\r\n", "holdfasT", "\1" };
	static const uint8_t zeros[64];
	struct buf b = { 0 };
	int fd;

	(void)state;
	open_member(0);
	speak(A);
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		fd = stranger(A);
		say(fd, bytes_text(garbage[i]));
		await_cut(fd);
	}
	/* The right magic, but no hello behind it. */
	fd = stranger(A);
	say(fd, bytes_text(FRAME_MAGIC));
	say(fd, bytes_of(zeros, sizeof(zeros)));
	await_cut(fd);
	buf_append_text(&b, FRAME_MAGIC);
	frame_put(&b, bytes_text("\2no hello"));
	fd = stranger(A);
	say(fd, buf_bytes(&b));
	await_cut(fd);
	assert_int_equal(A->accepted + A->frame_count, 0);
	buf_free(&b);
}

static void a_hello_larger_than_any_ends_it(void **state)
{
	uint8_t head[FRAME_HEAD_BYTES] = { 0 };
	int fd;

	(void)state;
	open_member(0);
	speak(A);
	fd = stranger(A);
	say(fd, bytes_text(FRAME_MAGIC));
	wire_store_u32(head, 1024 * 1024);
	say(fd, bytes_of(head, sizeof(head)));
	await_cut(fd);
}

static void without_a_hello_it_ends_in_time(void **state)
{
	struct peer_options o = quick();
	int fd;

	(void)state;
	o.hello = span_ms(20);
	open_on(0, listen_anywhere(), &o);
	speak(A);
	fd = stranger(A);
	say(fd, bytes_of(FRAME_MAGIC, 3));
	await_cut(fd);
}

static bool a_accepted(void)
{
	return A->accepted == 1;
}

static bool a_lost_the_stranger(void)
{
	return A->lost == 1;
}

static void greet_as_stranger(struct buf *b)
{
	struct buf hello = { 0 };
	struct peer_hello h = A->hello;

	h.incarnation = 555;
	wire_put_u8(&hello, PEER_HELLO);
	peer_hello_put(&hello, &h);
	wire_put_u64(&hello, 1); /* a later version has appended something */
	buf_append_text(b, FRAME_MAGIC);
	frame_put(b, buf_bytes(&hello));
	buf_free(&hello);
}

/* A stranger with a good hello, of which A has heard. */
static int known_stranger(void)
{
	struct buf b = { 0 };
	int fd;

	open_member(0);
	speak(A);
	greet_as_stranger(&b);
	fd = stranger(A);
	/* Byte for byte, as a network may cut it. */
	for (size_t i = 0; i < b.size; i++) {
		say(fd, bytes_of(b.data + i, 1));
		if (i % 40 == 0)
			turn_for(1);
	}
	await(a_accepted);
	buf_free(&b);
	return fd;
}

static void a_damaged_frame_ends_it_behind_the_good_ones(void **state)
{
	struct buf b = { 0 };
	int fd;

	(void)state;
	fd = known_stranger();
	frame_put(&b, bytes_text("\2good"));
	frame_put(&b, bytes_text("\2bad"));
	b.data[b.size - 1] ^= 1;
	frame_put(&b, bytes_text("\2good, but too late"));
	say(fd, buf_bytes(&b));
	await(a_lost_the_stranger);
	assert_int_equal(A->frame_count, 1);
	assert_int_equal(A->frames.size, 5);
	close(fd);
	buf_free(&b);
}

static void an_oversize_frame_ends_it_before_it_comes(void **state)
{
	uint8_t head[FRAME_HEAD_BYTES] = { 0 };
	int fd;

	(void)state;
	fd = known_stranger();
	wire_store_u32(head, PEER_FRAME_BYTES_MAX + 1);
	say(fd, bytes_of(head, sizeof(head)));
	await(a_lost_the_stranger);
	close(fd);
}

static void a_newer_connection_of_one_boot_replaces_the_older(void **state)
{
	struct buf b = { 0 };
	int first, second;

	(void)state;
	first = known_stranger();
	greet_as_stranger(&b);
	frame_put(&b, bytes_text("\2by the second"));
	second = stranger(A);
	say(second, buf_bytes(&b));
	await(a_lost_the_stranger);
	assert_int_equal(A->accepted, 2);
	turn_for(20);
	assert_int_equal(A->lost, 1);
	assert_int_equal(A->frame_count, 1);
	close(first);
	close(second);
	buf_free(&b);
}

static void nobody_is_let_in_before_there_is_a_hello(void **state)
{
	(void)state;
	open_member(0);
	open_member(1);
	speak(A);
	dial(A, B);
	turn_for(50);
	assert_int_equal(A->dialed, 0);
	speak(B);
	await(b_accepted);
	await(a_dialed_b);
}

static void a_name_is_resolved(void **state)
{
	struct bytes address;
	char *name;

	(void)state;
	open_member(0);
	open_member(1);
	speak(A);
	speak(B);
	name = xasprintf("localhost%s", strchr(B->address, ':'));
	address = bytes_text(name);
	transport_set_peers(A->transport, &address, 1);
	await(a_dialed_b);
	free(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_sides_hear_a_hello, setup, teardown),
		cmocka_unit_test_setup_teardown(frames_come_in_order_and_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(the_largest_frame_passes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_node_that_comes_back_is_reached_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_port_in_use_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(the_queue_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(another_cluster_id_is_said_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(the_cluster_id_may_change_within_a_hello, setup, teardown),
		cmocka_unit_test_setup_teardown(another_position_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(m12_another_cluster_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(own_address_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(d13_a_copied_directory_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(d13_a_lower_start_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(two_addresses_of_one_node_settle_on_one, setup, teardown),
		cmocka_unit_test_setup_teardown(an_address_no_longer_wanted_is_left, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage_before_the_hello_ends_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_hello_larger_than_any_ends_it, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_hello_it_ends_in_time, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_damaged_frame_ends_it_behind_the_good_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(an_oversize_frame_ends_it_before_it_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_newer_connection_of_one_boot_replaces_the_older, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_is_let_in_before_there_is_a_hello, setup, teardown),
		cmocka_unit_test_setup_teardown(a_name_is_resolved, setup, teardown),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
