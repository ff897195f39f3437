/* links: tests/common/peer_net.c worker/peer/peer.c worker/peer/link.c worker/peer/guest.c worker/peer/channel.c worker/peer/ways.c common/names.c worker/peer/hello.c worker/peer/frame.c worker/replica/transport.c common/addr.c common/loop.c common/lane.c common/lane_thread.c common/clock.c common/wire.c common/buf.c common/mem.c common/crc.c common/log.c common/err.c common/random.c -levent_core */
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
#include "common/names.h"

/* More strangers than a node lets in: whatever they say, those that the node itself keeps a connection to come in, and
 * stay. */
#define STRANGERS 300

static int strangers[STRANGERS];
static unsigned wanted;

static int setup(void **state)
{
	for (size_t i = 0; i < STRANGERS; i++)
		strangers[i] = -1;
	return net_setup(state);
}

static int teardown(void **state)
{
	for (size_t i = 0; i < STRANGERS; i++)
		if (strangers[i] != -1)
			close(strangers[i]);
	return net_teardown(state);
}

static int come(const struct member *to)
{
	struct address a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(address_numeric(to->address, &a));
	assert_int_equal(connect(fd, (struct sockaddr *)&a.storage, a.size), 0);
	return fd;
}

static void say_hello(int fd, uint64_t incarnation)
{
	struct peer_hello hello = {
		.version_least = PEER_VERSION_LEAST,
		.version_most = PEER_VERSION_MOST,
		.cluster = 7,
		.incarnation = incarnation,
		.start = 1,
		.id = bytes_text("stranger"),
	};
	struct buf payload = { 0 }, out = { 0 };

	wire_put_u8(&payload, PEER_HELLO);
	peer_hello_put(&payload, &hello);
	buf_append(&out, bytes_of(FRAME_MAGIC, FRAME_MAGIC_BYTES));
	frame_put(&out, buf_bytes(&payload));
	assert_int_equal(send(fd, out.data, out.size, MSG_NOSIGNAL), out.size);
	buf_free(&payload);
	buf_free(&out);
}

static bool a_let_them_in(void)
{
	return A->accepted == wanted;
}

static bool b_is_in_and_reached(void)
{
	return A->accepted == wanted && A->dialed == 1 && B->accepted == 1;
}

static bool a_has_a_frame(void)
{
	return A->frame_count == 1;
}

static void both_dial(void)
{
	net_open(1);
	net_speak(B);
	net_dial(A, B);
	net_dial(B, A);
}

static void silent_strangers_make_room(void **state)
{
	(void)state;
	net_open(0);
	net_speak(A);
	for (size_t i = 0; i < STRANGERS; i++) {
		strangers[i] = come(A);
		net_turn_for(0);
	}
	both_dial();
	wanted = 1;
	net_await(b_is_in_and_reached);
}

static void come_with_a_hello(size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		strangers[i] = come(A);
		say_hello(strangers[i], 1000 + i);
		wanted++;
		net_await(a_let_them_in);
	}
}

static void strangers_with_a_hello_make_room(void **state)
{
	(void)state;
	net_open(0);
	net_speak(A);
	wanted = 0;
	come_with_a_hello(0, STRANGERS - 20);
	both_dial();
	wanted++;
	net_await(b_is_in_and_reached);
	come_with_a_hello(STRANGERS - 20, STRANGERS);
	/* The member's own connection is not among those that went. */
	assert_int_equal(A->lost, STRANGERS + 1 - 256);
	assert_true(net_send(B, A, "x"));
	net_await(a_has_a_frame);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(silent_strangers_make_room, setup, teardown),
		cmocka_unit_test_setup_teardown(strangers_with_a_hello_make_room, setup, teardown),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("peer_flood", tests, NULL, NULL);
}
