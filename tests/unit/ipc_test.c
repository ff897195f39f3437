/* links: common/ipc.c common/ipc_pair.c common/loop.c common/lane.c common/lane_thread.c common/clock.c common/wire.c common/buf.c common/mem.c common/err.c common/log.c -levent_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/ipc.h"

#define PACKET_MAX (128 * 1024)

/* One end under test; the other is a second one or a plain socket. */
struct end {
	struct ipc *ipc;
	unsigned config, ping, pong, hello, gone, drained;
	uint64_t last;
	size_t bytes;
};

static struct loop *loop;
/* What the loop runs for. */
static const unsigned *counter;
static unsigned target;

static void stop_when_reached(void *arg)
{
	(void)arg;
	if (counter != NULL && *counter >= target)
		loop_stop(loop);
}

static void on_too_late(void *arg)
{
	(void)arg;
	fail_msg("nothing happens any more: %u of %u", *counter, target);
}

static void wait_for(const unsigned *count, unsigned least)
{
	struct loop_timer *late = loop_timer_new(loop, on_too_late, NULL);

	counter = count;
	target = least;
	loop_timer_set(late, instant_add(clock_now(), span_ms(20000)));
	loop_run(loop);
	loop_timer_free(late);
	counter = NULL;
}

static void on_enough(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void run_ms(int64_t ms)
{
	struct loop_timer *t = loop_timer_new(loop, on_enough, NULL);

	loop_timer_set(t, instant_add(clock_now(), span_ms(ms)));
	loop_run(loop);
	loop_timer_free(t);
}

static void on_config(void *arg, const struct ipc_config *m)
{
	struct end *e = arg;

	assert_int_equal(m->generation, e->config);
	assert_int_equal(m->role, IPC_HTTP);
	assert_int_equal(m->number, 7);
	assert_int_equal(m->start_us, UINT64_MAX);
	for (size_t at = 0; at < m->options.size; at += 1000)
		assert_int_equal(m->options.data[at], (uint8_t)m->generation);
	e->config++;
	e->bytes += m->options.size;
}

static void on_ping(void *arg, const struct ipc_ping *m)
{
	struct end *e = arg;

	assert_int_equal(m->number, e->ping);
	e->ping++;
	if (e->ipc != NULL)
		ipc_send_pong(e->ipc, &(struct ipc_pong){ .number = m->number });
}

static void on_pong(void *arg, const struct ipc_pong *m)
{
	struct end *e = arg;

	assert_int_equal(m->number, e->pong);
	e->pong++;
}

static void on_hello(void *arg, const struct ipc_hello *m)
{
	struct end *e = arg;

	e->hello++;
	e->last = m->generation;
}

static void on_gone(void *arg)
{
	struct end *e = arg;

	e->gone++;
}

static void on_drained(void *arg)
{
	struct end *e = arg;

	assert_int_equal(ipc_waiting(e->ipc), 0);
	e->drained++;
}

/* Deaf for `stop` and `accept`: they are malformed here. */
static const struct ipc_handlers worker_handlers = {
	.config = on_config,
	.ping = on_ping,
	.gone = on_gone,
	.drained = on_drained,
};

static const struct ipc_handlers supervisor_handlers = {
	.hello = on_hello,
	.pong = on_pong,
	.gone = on_gone,
	.drained = on_drained,
};

static void open_both(struct end *supervisor, struct end *worker)
{
	int fds[2];

	assert_int_equal(ipc_pair(fds), ERR_OK);
	*supervisor = *worker = (struct end){ 0 };
	supervisor->ipc = ipc_open_pair(loop, fds[0], IPC_SUPERVISOR, &supervisor_handlers, supervisor);
	worker->ipc = ipc_open_pair(loop, fds[1], IPC_HTTP, &worker_handlers, worker);
}

/* One end and the other as a plain descriptor. */
static int open_one(struct end *e, enum ipc_role role)
{
	int fds[2];

	assert_int_equal(ipc_pair(fds), ERR_OK);
	*e = (struct end){ 0 };
	e->ipc = ipc_open_pair(
	    loop, fds[0], role, role == IPC_SUPERVISOR ? &supervisor_handlers : &worker_handlers, e);
	return fds[1];
}

static void send_config(struct end *e, uint64_t generation, size_t size)
{
	uint8_t *options = xmalloc(size);

	memset(options, (int)generation, size);
	ipc_send_config(
	    e->ipc, &(struct ipc_config){ generation, IPC_HTTP, 7, UINT64_MAX, 3, bytes_of(options, size) });
	free(options);
}

static void messages_go_both_ways(void **state)
{
	struct end supervisor, worker;

	(void)state;
	open_both(&supervisor, &worker);
	send_config(&supervisor, 0, 3000);
	for (uint64_t n = 0; n < 1000; n++)
		ipc_send_ping(supervisor.ipc, &(struct ipc_ping){ n });
	ipc_send_hello(worker.ipc, &(struct ipc_hello){ 42 });
	wait_for(&supervisor.pong, 1000);
	assert_int_equal(worker.config, 1);
	assert_int_equal(worker.bytes, 3000);
	assert_int_equal(supervisor.last, 42);
	assert_int_equal(supervisor.gone + worker.gone, 0);
	ipc_close(supervisor.ipc);
	wait_for(&worker.gone, 1);
	ipc_close(worker.ipc);
	ipc_close(NULL);
}

/* Receives one packet and counts its frames. */
static unsigned count_frames(int fd, size_t *size)
{
	static uint8_t packet[2 * PACKET_MAX];
	ssize_t got = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
	struct reader r = reader_of(bytes_of(packet, got > 0 ? (size_t)got : 0));
	unsigned count = 0;

	for (; r.left > 0; count++)
		wire_get_bytes(&r);
	assert_true(reader_done(&r));
	*size = r.bad || got < 0 ? 0 : (size_t)got;
	return count;
}

static void a_turn_leaves_as_one_packet(void **state)
{
	struct end e;
	int fd = open_one(&e, IPC_SUPERVISOR);
	size_t size;

	(void)state;
	for (uint64_t n = 0; n < 64; n++)
		ipc_send_ping(e.ipc, &(struct ipc_ping){ n });
	assert_int_equal(ipc_waiting(e.ipc), 64 * 13);
	assert_int_equal(count_frames(fd, &size), 0);
	wait_for(&e.drained, 1);
	assert_int_equal(ipc_waiting(e.ipc), 0);
	assert_int_equal(count_frames(fd, &size), 64);
	assert_int_equal(size, 64 * 13);
	ipc_close(e.ipc);
	close(fd);
}

static void flushing_does_not_wait_for_the_turn_to_end(void **state)
{
	struct end e;
	int fd = open_one(&e, IPC_SUPERVISOR);
	size_t size;

	(void)state;
	ipc_send_ping(e.ipc, &(struct ipc_ping){ 0 });
	ipc_flush(e.ipc);
	assert_int_equal(count_frames(fd, &size), 1);
	ipc_close(e.ipc);
	close(fd);
}

static void packets_are_cut_between_frames(void **state)
{
	struct end e;
	int fd = open_one(&e, IPC_SUPERVISOR);
	size_t size;

	(void)state;
	send_config(&e, 0, 50 * 1024);
	send_config(&e, 1, 50 * 1024);
	send_config(&e, 2, 50 * 1024);
	ipc_flush(e.ipc);
	assert_int_equal(count_frames(fd, &size), 2);
	assert_true(size <= PACKET_MAX);
	assert_int_equal(count_frames(fd, &size), 1);
	ipc_close(e.ipc);
	close(fd);
}

static void the_longest_message_fits_into_a_packet(void **state)
{
	struct end supervisor, worker;

	(void)state;
	open_both(&supervisor, &worker);
	/* generation, role, number, start_us and the length of the options */
	send_config(&supervisor, 0, IPC_PAIR_BYTES_MAX - 29);
	send_config(&supervisor, 1, IPC_PAIR_BYTES_MAX - 29);
	wait_for(&worker.config, 2);
	assert_int_equal(worker.bytes, 2 * (IPC_PAIR_BYTES_MAX - 29));
	ipc_close(supervisor.ipc);
	ipc_close(worker.ipc);
}

static void what_does_not_fit_waits_for_room(void **state)
{
	struct end supervisor, worker = { 0 };
	int fd = open_one(&supervisor, IPC_SUPERVISOR);

	(void)state;
	for (uint64_t n = 0; n < 200; n++)
		send_config(&supervisor, n, 20000);
	run_ms(2);
	assert_true(ipc_waiting(supervisor.ipc) > 1000000);
	assert_int_equal(supervisor.drained, 0);
	worker.ipc = ipc_open_pair(loop, fd, IPC_HTTP, &worker_handlers, &worker);
	wait_for(&worker.config, 200);
	assert_int_equal(worker.bytes, 200 * 20000);
	assert_int_equal(ipc_waiting(supervisor.ipc), 0);
	assert_int_equal(supervisor.drained, 1);
	ipc_close(supervisor.ipc);
	ipc_close(worker.ipc);
}

static void put_frame(struct buf *b, enum ipc_type type, size_t fields)
{
	wire_put_u32(b, (uint32_t)(1 + fields));
	wire_put_u8(b, (uint8_t)type);
	buf_extend(b, fields);
}

/* A worker gets a good frame, this, and a good frame again: it must see the first alone, and the end. */
static void expect_malformed(struct bytes wrong)
{
	struct end e;
	int fd = open_one(&e, IPC_CONSENSUS);
	struct buf packet = { 0 };
	uint8_t byte;

	put_frame(&packet, IPC_PING, 8);
	buf_append(&packet, wrong);
	put_frame(&packet, IPC_PING, 8);
	assert_int_equal(send(fd, packet.data, packet.size, 0), packet.size);
	assert_int_equal(send(fd, packet.data, 13, 0), 13);
	wait_for(&e.gone, 1);
	ipc_send_hello(e.ipc, &(struct ipc_hello){ 1 });
	assert_int_equal(ipc_waiting(e.ipc), 0);
	run_ms(2);
	assert_int_equal(e.gone, 1);
	assert_int_equal(e.ping, 1);
	assert_int_equal(e.drained, 0);
	/* The answer to the first is dropped, too, and the far end sees the end. */
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
	ipc_close(e.ipc);
	close(fd);
	buf_free(&packet);
}

static void expect_malformed_frame(enum ipc_type type, size_t fields)
{
	struct buf b = { 0 };

	put_frame(&b, type, fields);
	expect_malformed(buf_bytes(&b));
	buf_free(&b);
}

static void malformed_frames_end_the_connection(void **state)
{
	(void)state;
	expect_malformed(bytes_of("\0\0\0\0", 4)); /* without a type */
	expect_malformed(bytes_of("\xff\xff\xff\xff", 4)); /* longer than there is */
	expect_malformed_frame(IPC_TYPE_COUNT, 8); /* of no type */
	expect_malformed_frame(IPC_PING, 7); /* too short */
	expect_malformed_frame(IPC_PING, 9); /* too long */
	expect_malformed_frame(IPC_PONG, 8); /* from the wrong side */
	expect_malformed_frame(IPC_CANCEL, 8); /* not of this kind of connection */
	expect_malformed_frame(IPC_STOP, 0); /* without a handler */
}

static void a_packet_over_the_limit_ends_the_connection(void **state)
{
	struct end e;
	int fd = open_one(&e, IPC_CONSENSUS), room = 1024 * 1024;
	struct buf packet = { 0 };

	(void)state;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	while (packet.size <= PACKET_MAX)
		put_frame(&packet, IPC_PING, 8);
	assert_int_equal(send(fd, packet.data, packet.size, 0), packet.size);
	wait_for(&e.gone, 1);
	assert_int_equal(e.ping, 0);
	ipc_close(e.ipc);
	close(fd);
	buf_free(&packet);
}

static void the_last_words_of_a_peer_are_heard(void **state)
{
	struct end supervisor, worker;

	(void)state;
	open_both(&supervisor, &worker);
	ipc_send_ping(supervisor.ipc, &(struct ipc_ping){ 0 });
	ipc_flush(supervisor.ipc);
	/* It dies with a ping unread: our end is reset, and still has its hello to read. */
	ipc_send_hello(worker.ipc, &(struct ipc_hello){ 9 });
	ipc_flush(worker.ipc);
	ipc_close(worker.ipc);
	wait_for(&supervisor.gone, 1);
	assert_int_equal(supervisor.last, 9);
	ipc_close(supervisor.ipc);
}

static void sending_to_a_dead_peer_ends_in_gone_once(void **state)
{
	struct end e;
	int fd = open_one(&e, IPC_SUPERVISOR);

	(void)state;
	close(fd);
	for (uint64_t n = 0; n < 100; n++)
		ipc_send_ping(e.ipc, &(struct ipc_ping){ n });
	ipc_flush(e.ipc);
	assert_int_equal(e.gone, 0); /* never from within a call of ours */
	wait_for(&e.gone, 1);
	ipc_send_ping(e.ipc, &(struct ipc_ping){ 100 });
	run_ms(2);
	assert_int_equal(e.gone, 1);
	assert_int_equal(e.drained, 0);
	assert_int_equal(ipc_waiting(e.ipc), 0);
	ipc_close(e.ipc);
}

static void types_have_names(void **state)
{
	(void)state;
	assert_string_equal(ipc_type_name(IPC_REQUEST), "request");
	assert_string_equal(ipc_type_name(IPC_TYPE_COUNT), "?");
}

static int begin(void **state)
{
	(void)state;
	loop = loop_new();
	loop_at_turn_end(loop, stop_when_reached, NULL);
	return 0;
}

static int end(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(messages_go_both_ways, begin, end),
		cmocka_unit_test_setup_teardown(a_turn_leaves_as_one_packet, begin, end),
		cmocka_unit_test_setup_teardown(flushing_does_not_wait_for_the_turn_to_end, begin, end),
		cmocka_unit_test_setup_teardown(packets_are_cut_between_frames, begin, end),
		cmocka_unit_test_setup_teardown(the_longest_message_fits_into_a_packet, begin, end),
		cmocka_unit_test_setup_teardown(what_does_not_fit_waits_for_room, begin, end),
		cmocka_unit_test_setup_teardown(malformed_frames_end_the_connection, begin, end),
		cmocka_unit_test_setup_teardown(a_packet_over_the_limit_ends_the_connection, begin, end),
		cmocka_unit_test_setup_teardown(the_last_words_of_a_peer_are_heard, begin, end),
		cmocka_unit_test_setup_teardown(sending_to_a_dead_peer_ends_in_gone_once, begin, end),
		cmocka_unit_test(types_have_names),
	};

	return cmocka_run_group_tests_name("ipc", tests, NULL, NULL);
}
