/* links: common/ipc.c common/ipc_stream.c common/ipc_link.c common/loop.c common/lane.c common/lane_thread.c common/clock.c common/wire.c common/buf.c common/mem.c common/err.c common/log.c -levent_core -lnng */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/ipc.h"
#include "common/log.h"

#define GREETING UINT64_C(0x54534146444c4f48)
#define GREETING_BYTES 16

/* One end under test; the other is a second one, a plain socket or a process. */
struct end {
	struct ipc *ipc;
	unsigned here, gone, drained, requests, answers, rounds;
	uint64_t generation; /* of the peer */
	size_t bytes;
	bool silent; /* does not answer requests */
	unsigned in_flight, count;
	size_t answer_bytes; /* of each answer; 0: as many as the request has */
};

static struct loop *loop;
static char folder[64], path[128];
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

static void on_here(void *arg, uint64_t generation)
{
	struct end *e = arg;

	assert_int_equal(e->here, e->gone);
	e->here++;
	e->generation = generation;
}

static void on_gone(void *arg)
{
	struct end *e = arg;

	e->gone++;
	assert_int_equal(e->here, e->gone);
	assert_int_equal(ipc_waiting(e->ipc), 0);
}

static void on_drained(void *arg)
{
	struct end *e = arg;

	assert_int_equal(ipc_waiting(e->ipc), 0);
	e->drained++;
}

static void on_request(void *arg, const struct ipc_request *m)
{
	struct end *e = arg;

	struct bytes result = m->operation;
	uint8_t *zeros = NULL;

	e->requests++;
	e->bytes += m->operation.size;
	if (e->answer_bytes > 0)
		result = bytes_of(zeros = xcalloc(1, e->answer_bytes), e->answer_bytes);
	if (!e->silent)
		ipc_send_answer(e->ipc, &(struct ipc_answer){ .id = m->id, .result = result });
	free(zeros);
}

static void send_request(struct end *e, uint64_t id, struct bytes operation)
{
	ipc_send_request(e->ipc, &(struct ipc_request){ .id = id, .operation = operation });
}

/* Keeps up to in_flight requests under way, a round at a time, until `count` are answered. */
static void on_answer(void *arg, const struct ipc_answer *m)
{
	struct end *e = arg;

	assert_int_equal(m->id, e->answers);
	assert_int_equal(m->error, ERR_OK);
	e->answers++;
	e->bytes += m->result.size;
	if (e->in_flight > 0 && e->answers % e->in_flight == 0 && e->answers < e->count) {
		e->rounds++;
		for (unsigned n = 0; n < e->in_flight; n++)
			send_request(e, e->answers + n, m->result);
	}
}

static const struct ipc_handlers consensus_handlers = {
	.request = on_request,
	.here = on_here,
	.gone = on_gone,
	.drained = on_drained,
};

static const struct ipc_handlers http_handlers = {
	.answer = on_answer,
	.here = on_here,
	.gone = on_gone,
	.drained = on_drained,
};

static void listen_as(struct end *e, uint64_t generation)
{
	assert_int_equal(ipc_listen(&e->ipc, loop, path, generation, &consensus_handlers, e), ERR_OK);
}

static void dial_as(struct end *e, uint64_t generation)
{
	assert_int_equal(ipc_dial(&e->ipc, loop, path, generation, &http_handlers, e), ERR_OK);
}

static void close_end(struct end *e)
{
	ipc_close(e->ipc);
	e->ipc = NULL;
}

/* --- a plain socket that plays a worker, well or badly --- */

static int new_socket(struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(address->sun_path, sizeof(address->sun_path), "%.100s", path);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int dial_plain(void)
{
	struct sockaddr_un address;
	int fd = new_socket(&address);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int listen_plain(void)
{
	struct sockaddr_un address;
	int fd = new_socket(&address);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static int accept_plain(int listener)
{
	int fd;

	for (unsigned ms = 20000; (fd = accept(listener, NULL, NULL)) == -1; ms--) {
		assert_int_not_equal(ms, 0);
		run_ms(1);
	}
	return fd;
}

static void say(int fd, struct bytes what)
{
	assert_int_equal(send(fd, what.data, what.size, MSG_NOSIGNAL), (ssize_t)what.size);
}

/* What comes by one call within `ms`, while the loop turns: 0 for nothing, -1 for the end. */
static ssize_t try_hear(int fd, unsigned ms, uint8_t *into, size_t most)
{
	ssize_t got;

	for (; (got = recv(fd, into, most, MSG_DONTWAIT)) == -1; ms--) {
		if (errno != EAGAIN)
			return -1;
		if (ms == 0)
			return 0;
		run_ms(1);
	}
	return got == 0 ? -1 : got;
}

static void greet(int fd, uint64_t generation)
{
	uint8_t greeting[GREETING_BYTES];

	wire_store_u64(greeting, GREETING);
	wire_store_u64(greeting + 8, generation);
	say(fd, bytes_of(greeting, sizeof(greeting)));
}

static void expect_greeting(int fd, uint64_t generation)
{
	uint8_t greeting[GREETING_BYTES];

	assert_int_equal(try_hear(fd, 20000, greeting, sizeof(greeting)), GREETING_BYTES);
	assert_true(wire_load_u64(greeting) == GREETING);
	assert_true(wire_load_u64(greeting + 8) == generation);
}

static int meet(uint64_t as, uint64_t other)
{
	int fd = dial_plain();

	greet(fd, as);
	expect_greeting(fd, other);
	return fd;
}

static void expect_hung_up(int fd)
{
	uint8_t more;

	assert_int_equal(try_hear(fd, 20000, &more, 1), -1);
	close(fd);
}

static void put_frame(struct buf *b, struct buf *fields)
{
	wire_put_bytes(b, buf_bytes(fields));
	buf_free(fields);
}

static void put_answer(struct buf *b, uint64_t id)
{
	struct buf fields = { 0 };

	wire_put_u8(&fields, IPC_ANSWER);
	ipc_answer_put(&fields, &(struct ipc_answer){ .id = id });
	put_frame(b, &fields);
}

static void put_request(struct buf *b, uint64_t id)
{
	struct buf fields = { 0 };

	wire_put_u8(&fields, IPC_REQUEST);
	ipc_request_put(&fields, &(struct ipc_request){ .id = id });
	put_frame(b, &fields);
}

/* --- the tests --- */

static void the_ends_find_each_other_in_either_order(void **state)
{
	struct end http = { 0 }, consensus = { 0 };
	struct stat st;

	(void)state;
	for (int n = 0; n < 2; n++) {
		if (n == 0)
			listen_as(&consensus, 100);
		dial_as(&http, 200);
		run_ms(20);
		if (n == 1)
			listen_as(&consensus, 100);
		wait_for(&http.here, (unsigned)n + 1);
		wait_for(&consensus.here, (unsigned)n + 1);
		assert_int_equal(http.generation, 100);
		assert_int_equal(consensus.generation, 200);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		close_end(&consensus);
		wait_for(&http.gone, (unsigned)n + 1);
		close_end(&http);
		consensus.gone++; /* closing one's own end tells nobody */
	}
}

static void many_requests_are_each_answered_once(void **state)
{
	struct end http = { .in_flight = 50, .count = 100000 }, consensus = { 0 };

	(void)state;
	listen_as(&consensus, 1);
	dial_as(&http, 2);
	wait_for(&http.here, 1);
	for (unsigned n = 0; n < http.in_flight; n++)
		send_request(&http, n, bytes_text("operation"));
	wait_for(&http.answers, 100000);
	assert_int_equal(http.answers, 100000);
	assert_int_equal(consensus.requests, 100000);
	assert_int_equal(http.bytes, 9 * 100000);
	assert_int_equal(http.gone + consensus.gone, 0);
	close_end(&http);
	wait_for(&consensus.gone, 1);
	close_end(&consensus);
}

static void to_a_peer_that_is_not_here_nothing_is_sent(void **state)
{
	struct end http = { 0 };

	(void)state;
	dial_as(&http, 2);
	send_request(&http, 0, bytes_text("lost"));
	assert_int_equal(ipc_waiting(http.ipc), 0);
	close_end(&http);
}

static void a_turn_leaves_by_one_call(void **state)
{
	struct end consensus = { 0 };
	struct buf requests = { 0 };
	uint8_t answers[64 * 1024];
	struct reader r;
	ssize_t got;
	unsigned frames = 0;
	int fd;

	(void)state;
	listen_as(&consensus, 7);
	fd = meet(5, 7);
	for (uint64_t id = 0; id < 64; id++)
		put_request(&requests, id);
	say(fd, buf_bytes(&requests));
	got = try_hear(fd, 20000, answers, sizeof(answers));
	assert_true(got > 0);
	for (r = reader_of(bytes_of(answers, (size_t)got)); r.left > 0; frames++)
		wire_get_bytes(&r);
	assert_true(reader_done(&r));
	assert_int_equal(frames, 64);
	buf_free(&requests);
	close(fd);
	close_end(&consensus);
}

static void frames_are_taken_in_whatever_pieces_they_come(void **state)
{
	struct end consensus = { .silent = true };
	struct buf requests = { 0 };
	int fd;

	(void)state;
	listen_as(&consensus, 7);
	fd = meet(5, 7);
	for (uint64_t id = 0; id < 5; id++)
		put_request(&requests, id);
	for (size_t at = 0; at < requests.size; at++) {
		say(fd, bytes_of(requests.data + at, 1));
		run_ms(1);
	}
	wait_for(&consensus.requests, 5);
	buf_free(&requests);
	close(fd);
	close_end(&consensus);
}

/* Neither does the peer meet a half message, nor is it kept from its successor. */
static void a_peer_that_dies_at_any_byte_leaves_nothing_behind(void **state)
{
	struct end consensus = { .silent = true };
	struct buf b = { 0 };
	size_t whole;

	(void)state;
	listen_as(&consensus, 7);
	wire_put_u64(&b, GREETING);
	wire_put_u64(&b, 5);
	put_request(&b, 0);
	whole = b.size;
	put_request(&b, 1);
	for (size_t size = 0; size < b.size; size++) {
		int fd = dial_plain();

		consensus.requests = 0;
		say(fd, bytes_of(b.data, size));
		close(fd);
		fd = meet(6, 7);
		assert_int_equal(consensus.requests, size >= whole);
		assert_int_equal(consensus.generation, 6);
		close(fd);
		wait_for(&consensus.gone, consensus.here);
	}
	buf_free(&b);
	close_end(&consensus);
}

/* It has asked for more than the kernel takes, and reads nothing of it. */
static void p6_what_was_for_an_earlier_connection_reaches_nobody(void **state)
{
	struct end consensus = { .answer_bytes = 5 * 1024 * 1024 };
	struct buf request = { 0 };
	uint8_t answer[1024];
	ssize_t got;
	int fd;

	(void)state;
	listen_as(&consensus, 7);
	put_request(&request, 0);
	fd = meet(5, 7);
	say(fd, buf_bytes(&request));
	wait_for(&consensus.requests, 1);
	run_ms(20);
	assert_true(ipc_waiting(consensus.ipc) > 4 * 1024 * 1024);
	close(fd);
	wait_for(&consensus.gone, 1);
	assert_int_equal(ipc_waiting(consensus.ipc), 0);
	consensus.answer_bytes = 0;
	fd = meet(5, 7);
	assert_int_equal(try_hear(fd, 20, answer, sizeof(answer)), 0);
	say(fd, buf_bytes(&request));
	got = try_hear(fd, 20000, answer, sizeof(answer));
	assert_int_equal(got, 4 + wire_load_u32(answer));
	buf_free(&request);
	close(fd);
	close_end(&consensus);
}

/* NNG says that the peer has gone as soon as that is known, also while its last answers lie in the kernel. */
static void p1_the_last_answers_of_a_peer_that_did_not_read_everything_come_in(void **state)
{
	struct end http = { 0 };
	struct buf answers = { 0 };
	int listener = listen_plain();

	(void)state;
	dial_as(&http, 2);
	for (uint64_t id = 0; id < 2000; id++)
		put_answer(&answers, id);
	for (unsigned n = 1; n <= 20; n++) {
		int fd = accept_plain(listener);

		http.answers = 0;
		greet(fd, 100);
		wait_for(&http.here, n);
		for (uint64_t id = 0; id < 100; id++)
			send_request(&http, id, bytes_text("not read"));
		ipc_flush(http.ipc);
		say(fd, buf_bytes(&answers));
		close(fd);
		wait_for(&http.gone, n);
		assert_int_equal(http.answers, 2000);
	}
	buf_free(&answers);
	close(listener);
	unlink(path);
	close_end(&http);
}

static void expect_malformed(struct end *consensus, struct bytes wrong)
{
	unsigned gone = consensus->gone, requests = consensus->requests;
	struct buf b = { 0 };
	int fd = meet(5, 7);

	put_request(&b, 0);
	buf_append(&b, wrong);
	put_request(&b, 1);
	say(fd, buf_bytes(&b));
	expect_hung_up(fd);
	assert_int_equal(consensus->gone, gone + 1);
	assert_int_equal(consensus->requests, requests + 1);
	buf_free(&b);
}

static void malformed_messages_end_the_connection_and_the_next_one_is_welcome(void **state)
{
	struct end consensus = { .silent = true };

	(void)state;
	listen_as(&consensus, 7);
	expect_malformed(&consensus, bytes_of("\0\0\0\0", 4));
	expect_malformed(&consensus, bytes_of("\1\0\0\0\xff", 5));
	expect_malformed(&consensus, bytes_of("\1\0\0\0\6", 5)); /* a request without its fields */
	close(meet(5, 7));
	close_end(&consensus);
}

/* Nothing is allocated for it, and nobody waits for the rest. */
static void p2_a_frame_that_is_too_long_is_refused_by_its_length(void **state)
{
	struct end consensus = { .silent = true };
	uint8_t length[4];
	uint8_t more;
	int fd;

	(void)state;
	listen_as(&consensus, 7);
	for (unsigned n = 1; n <= 2; n++) {
		fd = meet(5, 7);
		wire_store_u32(length, n == 1 ? UINT32_MAX : IPC_STREAM_BYTES_MAX + 2);
		say(fd, bytes_of(length, 4));
		expect_hung_up(fd);
		assert_int_equal(consensus.gone, n);
	}
	fd = meet(5, 7);
	wire_store_u32(length, IPC_STREAM_BYTES_MAX + 1);
	say(fd, bytes_of(length, 4));
	assert_int_equal(try_hear(fd, 50, &more, 1), 0);
	close(fd);
	close_end(&consensus);
}

static void who_does_not_greet_is_nobody(void **state)
{
	struct end consensus = { 0 };
	int fd;

	(void)state;
	listen_as(&consensus, 7);
	fd = dial_plain();
	say(fd, bytes_text("GET / HTTP/1.1\r\n\r\n"));
	expect_hung_up(fd);
	fd = dial_plain();
	say(fd, bytes_text("GET /"));
	expect_hung_up(fd); /* when its greeting is overdue */
	assert_int_equal(consensus.here, 0);
	close(meet(5, 7));
	close_end(&consensus);
}

static void a_dialer_hangs_up_on_garbage_and_finds_the_next_listener(void **state)
{
	struct end http = { 0 }, consensus = { 0 };
	int listener = listen_plain(), fd;

	(void)state;
	dial_as(&http, 2);
	fd = accept_plain(listener);
	say(fd, bytes_text("220 mail.example.com ESMTP\r\n"));
	expect_greeting(fd, 2);
	expect_hung_up(fd);
	fd = accept_plain(listener);
	greet(fd, 100);
	wait_for(&http.here, 1);
	say(fd, bytes_of("\1\0\0\0\xff", 5));
	wait_for(&http.gone, 1);
	close(fd);
	close(listener);
	unlink(path);
	listen_as(&consensus, 1);
	wait_for(&http.here, 2);
	close_end(&http);
	close_end(&consensus);
}

static void a_restarted_http_worker_is_found_again(void **state)
{
	struct end consensus = { 0 }, http = { 0 };

	(void)state;
	listen_as(&consensus, 1);
	for (unsigned n = 1; n <= 20; n++) {
		http = (struct end){ 0 };
		dial_as(&http, 100 + n);
		wait_for(&http.here, 1);
		assert_int_equal(consensus.here, n);
		assert_int_equal(consensus.generation, 100 + n);
		send_request(&http, 0, bytes_text("x"));
		wait_for(&http.answers, 1);
		close_end(&http);
		wait_for(&consensus.gone, n);
	}
	close_end(&consensus);
}

static void a_restarted_consensus_worker_is_found_again(void **state)
{
	struct end consensus, http = { 0 };

	(void)state;
	dial_as(&http, 1);
	for (unsigned n = 1; n <= 20; n++) {
		consensus = (struct end){ 0 };
		listen_as(&consensus, 100 + n);
		wait_for(&http.here, n);
		assert_int_equal(http.generation, 100 + n);
		send_request(&http, n - 1, bytes_text("x"));
		wait_for(&http.answers, n);
		close_end(&consensus);
		wait_for(&http.gone, n);
	}
	close_end(&http);
}

static void a_second_dialer_waits_until_the_first_is_gone(void **state)
{
	struct end consensus = { 0 }, first = { 0 }, second = { 0 };

	(void)state;
	listen_as(&consensus, 1);
	dial_as(&first, 2);
	wait_for(&first.here, 1);
	dial_as(&second, 3);
	run_ms(50);
	assert_int_equal(second.here, 0);
	assert_int_equal(consensus.here, 1);
	send_request(&first, 0, bytes_text("x"));
	wait_for(&first.answers, 1);
	close_end(&first);
	wait_for(&second.here, 1);
	assert_int_equal(consensus.gone, 1);
	assert_int_equal(consensus.generation, 3);
	send_request(&second, 0, bytes_text("x"));
	wait_for(&second.answers, 1);
	close_end(&second);
	close_end(&consensus);
}

static void p3_what_the_kernel_has_no_room_for_waits(void **state)
{
	struct end http = { 0 }, consensus = { .silent = true };
	uint8_t *operation = xcalloc(1, 1024 * 1024);

	(void)state;
	listen_as(&consensus, 1);
	dial_as(&http, 2);
	wait_for(&http.here, 1);
	wait_for(&consensus.here, 1);
	for (uint64_t id = 0; id < 30; id++)
		send_request(&http, id, bytes_of(operation, 1024 * 1024));
	ipc_flush(http.ipc);
	assert_true(ipc_waiting(http.ipc) > 20 * 1024 * 1024);
	send_request(&http, 30, bytes_text("behind"));
	assert_int_equal(http.drained, 0);
	wait_for(&consensus.requests, 31);
	wait_for(&http.drained, 1);
	run_ms(5);
	assert_int_equal(http.drained, 1);
	assert_int_equal(consensus.bytes, 30 * 1024 * 1024 + 6);
	assert_int_equal(http.gone, 0);
	close_end(&http);
	close_end(&consensus);
	free(operation);
}

static void a_long_message_keeps_its_place_among_short_ones(void **state)
{
	struct end http = { 0 }, consensus = { 0 };
	size_t size = 20 * 1024 * 1024;
	uint8_t *operation = xcalloc(1, size);

	(void)state;
	listen_as(&consensus, 1);
	dial_as(&http, 2);
	wait_for(&http.here, 1);
	for (uint64_t id = 0; id < 3; id++)
		send_request(&http, id, bytes_of(operation, id == 1 ? size : 1));
	wait_for(&http.answers, 3);
	assert_int_equal(http.bytes, size + 2);
	close_end(&http);
	close_end(&consensus);
	free(operation);
}

static void what_waits_for_a_peer_that_dies_is_dropped(void **state)
{
	struct end consensus = { 0 }, http = { 0 };
	uint8_t *operation = xcalloc(1, 1024 * 1024);

	(void)state;
	listen_as(&consensus, 1);
	dial_as(&http, 2);
	wait_for(&http.here, 1);
	for (uint64_t id = 0; id < 30; id++)
		send_request(&http, id, bytes_of(operation, 1024 * 1024));
	close_end(&consensus);
	wait_for(&http.gone, 1);
	assert_int_equal(ipc_waiting(http.ipc), 0);
	consensus = (struct end){ 0 };
	listen_as(&consensus, 3);
	wait_for(&http.here, 2);
	send_request(&http, 0, bytes_text("new"));
	wait_for(&http.answers, 1);
	assert_int_equal(consensus.requests, 1);
	close_end(&http);
	close_end(&consensus);
	free(operation);
}

static void make_file(const char *text)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void another_file_at_the_path_is_left_alone(void **state)
{
	struct end consensus = { 0 };
	struct stat st;

	(void)state;
	make_file("precious");
	assert_int_equal(
	    ipc_listen(&consensus.ipc, loop, path, 1, &consensus_handlers, &consensus), ERR_EXISTS);
	assert_null(consensus.ipc);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 8);
	unlink(path);
}

static void a_stale_socket_is_replaced_and_a_live_one_is_not(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct end one = { 0 }, two = { 0 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	listen_as(&one, 1);
	assert_int_equal(ipc_listen(&two.ipc, loop, path, 2, &consensus_handlers, &two), ERR_IN_USE);
	assert_null(two.ipc);
	assert_int_equal(access(path, F_OK), 0);
	dial_as(&two, 3);
	wait_for(&two.here, 1);
	close_end(&two);
	close_end(&one);
}

/* Connects and is gone before it has greeted, as a process does that is killed at the wrong moment. */
static void connect_and_die(void)
{
	close(dial_plain());
}

/* NNG's sockets (1.5.2, its issue 1518) accept nobody any more after that. */
static void p5_a_peer_that_died_while_it_connected_does_not_deafen_the_listener(void **state)
{
	struct end consensus = { 0 }, http = { 0 };

	(void)state;
	listen_as(&consensus, 1);
	for (unsigned n = 1; n <= 3; n++) {
		http = (struct end){ 0 };
		connect_and_die();
		run_ms(20);
		dial_as(&http, n + 1);
		wait_for(&http.here, 1);
		connect_and_die();
		close_end(&http);
		wait_for(&consensus.gone, n);
	}
	close_end(&consensus);
}

/* It dials again, and not as fast as it can. */
static void p4_a_dialer_that_was_hung_up_on_dials_again(void **state)
{
	struct end http = { 0 }, consensus = { 0 };
	unsigned met = 0;
	int listener = listen_plain();

	(void)state;
	dial_as(&http, 2);
	for (int i = 0; i < 200; i++) {
		int one = accept(listener, NULL, NULL);

		if (one != -1) {
			close(one);
			met++;
		}
		run_ms(1);
	}
	assert_in_range(met, 1, 60);
	close(listener);
	unlink(path);
	listen_as(&consensus, 1);
	wait_for(&http.here, 1);
	close_end(&http);
	close_end(&consensus);
}

/* Of this process. NNG has none but for its dialing here: what wakes us are eventfds. */
static unsigned count_sockets(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		char what[64] = "";

		if (readlinkat(dirfd(d), e->d_name, what, sizeof(what) - 1) > 0)
			count += strncmp(what, "socket:", 7) == 0;
	}
	closedir(d);
	return count;
}

#define LONELY 30

/* With NNG's sockets, a few thousand tries a second outran the thread that clears away behind them: descriptors piled
 * up, and closing hung as long as the tries went on. */
static void expect_nothing_piles_up(unsigned before)
{
	struct end lonely[LONELY] = { 0 };

	for (unsigned n = 0; n < LONELY; n++)
		dial_as(&lonely[n], n + 1);
	run_ms(1000);
	for (unsigned ms = 0; ms < 20000 && count_sockets() > before + LONELY; ms += 10)
		usleep(10 * 1000);
	/* One each at the most; NNG takes its time to clear away even those. */
	assert_in_range(count_sockets(), 0, before + LONELY);
	for (unsigned n = 0; n < LONELY; n++)
		close_end(&lonely[n]);
}

static void p4_dialers_without_a_listener_pile_nothing_up(void **state)
{
	unsigned before = count_sockets();

	(void)state;
	expect_nothing_piles_up(before);
	/* Of a consensus worker that was killed this stays behind. */
	close(listen_plain());
	expect_nothing_piles_up(before);
}

static void a_path_over_the_limit_is_an_error(void **state)
{
	struct ipc *i;
	char longest[102];

	(void)state;
	memset(longest, 'x', 101);
	longest[0] = '/';
	longest[101] = '\0';
	assert_int_equal(ipc_listen(&i, loop, longest, 1, &consensus_handlers, NULL), ERR_TOO_LARGE);
	assert_int_equal(ipc_dial(&i, loop, longest, 1, &http_handlers, NULL), ERR_TOO_LARGE);
	assert_null(i);
}

/* A consensus worker as a process of its own: this program again, told so by its arguments. */
static int be_consensus(const char *at, const char *generation)
{
	struct end consensus = { 0 };

	loop = loop_new();
	if (ipc_listen(
		&consensus.ipc, loop, at, strtoul(generation, NULL, 10), &consensus_handlers, &consensus))
		_exit(1);
	loop_run(loop);
	return 0;
}

static pid_t start_consensus(const char *generation)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", "ipc_stream_test", path, generation, (char *)NULL);
		_exit(2);
	}
	return pid;
}

static void a_killed_process_is_gone_and_its_successor_here(void **state)
{
	struct end http = { 0 };
	char generation[8];

	(void)state;
	dial_as(&http, 1);
	for (unsigned n = 1; n <= 5; n++) {
		pid_t pid;

		snprintf(generation, sizeof(generation), "%u", 10 + n);
		pid = start_consensus(generation);
		wait_for(&http.here, n);
		assert_int_equal(http.generation, 10 + n);
		send_request(&http, n - 1, bytes_text("x"));
		wait_for(&http.answers, n);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		wait_for(&http.gone, n);
	}
	close_end(&http);
}

/* --- a process of another user --- */

#define NOBODY 65534
#define HEARD_NOTHING 0
#define HEARD_SOMETHING 1
#define FAILED_TO_TRY 2

/* What a process of another user hears at that socket, which it listens on or dials. */
static pid_t start_stranger(bool listens, int ready)
{
	uint8_t greeting[GREETING_BYTES];
	struct sockaddr_un address;
	pid_t pid = fork();
	int fd;

	assert_int_not_equal(pid, -1);
	if (pid != 0)
		return pid;
	alarm(20);
	if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
		_exit(FAILED_TO_TRY);
	fd = new_socket(&address);
	if (listens) {
		if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 8) != 0 ||
		    write(ready, "", 1) != 1 || (fd = accept(fd, NULL, NULL)) == -1)
			_exit(FAILED_TO_TRY);
	} else if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		_exit(FAILED_TO_TRY);
	}
	wire_store_u64(greeting, GREETING);
	wire_store_u64(greeting + 8, 1);
	send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL);
	_exit(recv(fd, greeting, sizeof(greeting), 0) > 0 ? HEARD_SOMETHING : HEARD_NOTHING);
}

static void expect_heard_nothing(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0)
		run_ms(1);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), HEARD_NOTHING);
}

static void a_dialer_of_another_user_is_refused(void **state)
{
	struct end consensus = { 0 }, http = { 0 };

	(void)state;
	if (geteuid() != 0)
		skip();
	listen_as(&consensus, 1);
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(chmod(path, 0666), 0);
	expect_heard_nothing(start_stranger(false, -1));
	assert_int_equal(consensus.here, 0);
	dial_as(&http, 2); /* and the listener still hears who is of its own */
	wait_for(&consensus.here, 1);
	close_end(&http);
	wait_for(&consensus.gone, 1);
	close_end(&consensus);
}

static void a_listener_of_another_user_is_refused(void **state)
{
	struct end http = { 0 };
	int ready[2];
	uint8_t byte;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(folder, 0777), 0);
	assert_int_equal(pipe(ready), 0);
	pid = start_stranger(true, ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	dial_as(&http, 2);
	expect_heard_nothing(pid);
	assert_int_equal(http.here, 0);
	close_end(&http);
}

static int begin(void **state)
{
	(void)state;
	loop = loop_new();
	loop_at_turn_end(loop, stop_when_reached, NULL);
	strcpy(folder, "/tmp/holdfast-ipc-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/http-0.sock", folder);
	return 0;
}

static int end(void **state)
{
	(void)state;
	loop_free(loop);
	unlink(path);
	return rmdir(folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(the_ends_find_each_other_in_either_order),
		TEST(many_requests_are_each_answered_once),
		TEST(to_a_peer_that_is_not_here_nothing_is_sent),
		TEST(a_turn_leaves_by_one_call),
		TEST(frames_are_taken_in_whatever_pieces_they_come),
		TEST(a_peer_that_dies_at_any_byte_leaves_nothing_behind),
		TEST(p6_what_was_for_an_earlier_connection_reaches_nobody),
		TEST(p1_the_last_answers_of_a_peer_that_did_not_read_everything_come_in),
		TEST(malformed_messages_end_the_connection_and_the_next_one_is_welcome),
		TEST(p2_a_frame_that_is_too_long_is_refused_by_its_length),
		TEST(who_does_not_greet_is_nobody),
		TEST(a_dialer_hangs_up_on_garbage_and_finds_the_next_listener),
		TEST(a_restarted_http_worker_is_found_again),
		TEST(a_restarted_consensus_worker_is_found_again),
		TEST(a_second_dialer_waits_until_the_first_is_gone),
		TEST(p3_what_the_kernel_has_no_room_for_waits),
		TEST(a_long_message_keeps_its_place_among_short_ones),
		TEST(what_waits_for_a_peer_that_dies_is_dropped),
		TEST(another_file_at_the_path_is_left_alone),
		TEST(a_stale_socket_is_replaced_and_a_live_one_is_not),
		TEST(p5_a_peer_that_died_while_it_connected_does_not_deafen_the_listener),
		TEST(p4_a_dialer_that_was_hung_up_on_dials_again),
		TEST(p4_dialers_without_a_listener_pile_nothing_up),
		TEST(a_path_over_the_limit_is_an_error),
		TEST(a_killed_process_is_gone_and_its_successor_here),
		TEST(a_dialer_of_another_user_is_refused),
		TEST(a_listener_of_another_user_is_refused),
	};

	if (argc == 3)
		return be_consensus(argv[1], argv[2]);
	return cmocka_run_group_tests_name("ipc over a byte stream", tests, NULL, NULL);
}
