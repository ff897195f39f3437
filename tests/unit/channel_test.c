/* links: tests/common/peer_net.c worker/peer/peer.c worker/peer/link.c worker/peer/guest.c worker/peer/channel.c worker/peer/ways.c common/names.c worker/peer/hello.c worker/peer/frame.c worker/replica/transport.c common/addr.c common/loop.c common/lane.c common/lane_thread.c common/clock.c common/wire.c common/buf.c common/mem.c common/crc.c common/log.c common/err.c common/random.c -levent_core */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "tests/common/peer_net.h"
#include "worker/peer/frame.h"

/* What a node lets itself be told: strangers with a plain socket. */

static void ring(void *arg)
{
	loop_stop(arg);
}

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

	errno = 0;
	/* What it said and nobody read makes a reset of the end. */
	return recv(stranger_fd, &c, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET;
}

static void await_cut(int fd)
{
	struct loop_timer *t = loop_timer_new(net.loop, ring, net.loop);

	stranger_fd = fd;
	for (int round = 0; !stranger_is_cut_off(); round++) {
		assert_true(round < 4000);
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
	net_open(0);
	net_speak(A);
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
	net_open(0);
	net_speak(A);
	fd = stranger(A);
	say(fd, bytes_text(FRAME_MAGIC));
	wire_store_u32(head, 1024 * 1024);
	say(fd, bytes_of(head, sizeof(head)));
	await_cut(fd);
}

static void without_a_hello_it_ends_in_time(void **state)
{
	struct peer_options o = net_quick();
	int fd;

	(void)state;
	o.hello = span_ms(20);
	net_open_on(0, net_listen(), &o);
	net_speak(A);
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

	net_open(0);
	net_speak(A);
	greet_as_stranger(&b);
	fd = stranger(A);
	/* Byte for byte, as a network may cut it. */
	for (size_t i = 0; i < b.size; i++) {
		say(fd, bytes_of(b.data + i, 1));
		if (i % 40 == 0)
			net_turn_for(1);
	}
	net_await(a_accepted);
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
	net_await(a_lost_the_stranger);
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
	wire_store_u32(head, PEER_FRAME_BYTES_TAKEN + 1);
	say(fd, bytes_of(head, sizeof(head)));
	net_await(a_lost_the_stranger);
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
	net_await(a_lost_the_stranger);
	assert_int_equal(A->accepted, 2);
	net_turn_for(20);
	assert_int_equal(A->lost, 1);
	assert_int_equal(A->frame_count, 1);
	close(first);
	close(second);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(garbage_before_the_hello_ends_it, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(a_hello_larger_than_any_ends_it, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(without_a_hello_it_ends_in_time, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(
		    a_damaged_frame_ends_it_behind_the_good_ones, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(
		    an_oversize_frame_ends_it_before_it_comes, net_setup, net_teardown),
		cmocka_unit_test_setup_teardown(
		    a_newer_connection_of_one_boot_replaces_the_older, net_setup, net_teardown),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
