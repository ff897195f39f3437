/* links: common/ipc.c common/ipc_nng.c common/loop.c common/lane.c common/lane_thread.c common/clock.c common/wire.c common/buf.c common/mem.c common/err.c common/log.c -levent_core -lnng */
#include <dirent.h>
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

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include <cmocka.h>

#include "common/ipc.h"
#include "common/log.h"

#define ENVELOPE 24
#define BATCH_MAX (8 * 1024 * 1024)

/* One end under test; the other is a second one, a plain NNG socket or a process. */
struct end {
	struct ipc *ipc;
	unsigned here, gone, drained, requests, answers, rounds;
	uint64_t generation; /* of the peer */
	size_t bytes;
	bool silent; /* does not answer requests */
	unsigned in_flight, count;
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

	e->requests++;
	e->bytes += m->operation.size;
	if (!e->silent)
		ipc_send_answer(e->ipc, &(struct ipc_answer){ .id = m->id, .result = m->operation });
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

/* A plain NNG socket that plays an HTTP worker, well or badly. */
static nng_socket dial_plain(void)
{
	nng_socket s;
	char url[sizeof(path) + 8];

	snprintf(url, sizeof(url), "ipc://%s", path);
	assert_int_equal(nng_pair0_open(&s), 0);
	assert_int_equal(nng_socket_set_size(s, NNG_OPT_RECVMAXSZ, 100 * 1024 * 1024), 0);
	assert_int_equal(nng_socket_set_ms(s, NNG_OPT_RECONNMINT, 5), 0);
	assert_int_equal(nng_socket_set_ms(s, NNG_OPT_RECONNMAXT, 10), 0);
	assert_int_equal(nng_dial(s, url, NULL, 0), 0);
	return s;
}

static void say(nng_socket s, uint64_t from, uint64_t to, uint64_t session, struct bytes frames)
{
	struct buf b = { 0 };

	wire_put_u64(&b, from);
	wire_put_u64(&b, to);
	wire_put_u64(&b, session);
	buf_append(&b, frames);
	assert_int_equal(nng_send(s, b.data, b.size, 0), 0);
	buf_free(&b);
}

/* Takes a message if one is there within `ms`, while the loop turns; NULL if not. */
static nng_msg *try_hear(nng_socket s, unsigned ms)
{
	nng_msg *m;

	for (; nng_recvmsg(s, &m, NNG_FLAG_NONBLOCK) != 0; ms--) {
		if (ms == 0)
			return NULL;
		run_ms(1);
	}
	return m;
}

/* The next message, which must be of these lives; its size, and how many frames are in it. */
static size_t hear(nng_socket s, uint64_t from, uint64_t to, uint64_t session, unsigned *frames)
{
	nng_msg *m = try_hear(s, 20000);
	struct reader r;
	size_t size;

	assert_non_null(m);
	size = nng_msg_len(m);
	r = reader_of(bytes_of(nng_msg_body(m), size));
	assert_int_equal(wire_get_u64(&r), from);
	assert_int_equal(wire_get_u64(&r), to);
	assert_int_equal(wire_get_u64(&r), session);
	for (*frames = 0; r.left > 0; ++*frames)
		wire_get_bytes(&r);
	assert_true(reader_done(&r));
	nng_msg_free(m);
	return size;
}

/* Greets as 5 until it is answered: a pipe that NNG is about to close swallows what is sent. Says the session. */
static uint64_t meet(nng_socket s)
{
	uint64_t session = 0, heard = 0;

	for (int n = 0; n < 100 && (heard == 0 || heard != session); n++) {
		nng_msg *m;

		if (heard == 0)
			say(s, 5, 0, ++session, bytes_of(NULL, 0));
		m = try_hear(s, 200);
		heard = m == NULL ? 0 : wire_load_u64((uint8_t *)nng_msg_body(m) + 16);
		nng_msg_free(m);
	}
	assert_int_equal(heard, session);
	return session;
}

static void put_request(struct buf *b, uint64_t id)
{
	struct buf fields = { 0 };

	wire_put_u8(&fields, IPC_REQUEST);
	ipc_request_put(&fields, &(struct ipc_request){ .id = id });
	wire_put_bytes(b, buf_bytes(&fields));
	buf_free(&fields);
}

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

static void a_turn_leaves_as_one_message(void **state)
{
	struct end consensus = { 0 };
	nng_socket s;
	struct buf requests = { 0 };
	unsigned frames;

	(void)state;
	listen_as(&consensus, 7);
	s = dial_plain();
	say(s, 5, 0, 77, bytes_of(NULL, 0));
	hear(s, 7, 5, 77, &frames);
	assert_int_equal(frames, 0);
	for (uint64_t id = 0; id < 64; id++)
		put_request(&requests, id);
	say(s, 5, 7, 77, buf_bytes(&requests));
	hear(s, 7, 5, 77, &frames);
	assert_int_equal(frames, 64);
	buf_free(&requests);
	nng_close(s);
	close_end(&consensus);
}

static void what_is_not_for_this_pair_of_lives_is_dropped(void **state)
{
	struct end consensus = { 0 };
	nng_socket s;
	struct buf request = { 0 };
	unsigned frames;

	(void)state;
	listen_as(&consensus, 7);
	s = dial_plain();
	put_request(&request, 0);
	say(s, 5, 7, 1, buf_bytes(&request)); /* before any greeting */
	say(s, 5, 0, 1, bytes_of(NULL, 0));
	hear(s, 7, 5, 1, &frames);
	say(s, 4, 7, 1, buf_bytes(&request)); /* from an earlier life of the peer */
	say(s, 5, 6, 1, buf_bytes(&request)); /* to an earlier life */
	say(s, 5, 7, 0, buf_bytes(&request)); /* from an earlier pipe */
	say(s, 5, 7, 1, buf_bytes(&request));
	hear(s, 7, 5, 1, &frames);
	assert_int_equal(frames, 1);
	assert_int_equal(consensus.requests, 1);
	assert_int_equal(consensus.here, 1);
	assert_int_equal(consensus.gone, 0);
	buf_free(&request);
	nng_close(s);
	close_end(&consensus);
}

static void a_new_life_of_the_peer_is_gone_and_here(void **state)
{
	struct end consensus = { 0 };
	nng_socket s;
	unsigned frames;

	(void)state;
	listen_as(&consensus, 7);
	s = dial_plain();
	say(s, 5, 0, 1, bytes_of(NULL, 0));
	hear(s, 7, 5, 1, &frames);
	say(s, 6, 0, 1, bytes_of(NULL, 0));
	hear(s, 7, 6, 1, &frames);
	assert_int_equal(consensus.here, 2);
	assert_int_equal(consensus.gone, 1);
	assert_int_equal(consensus.generation, 6);
	nng_close(s);
	close_end(&consensus);
}

static void expect_malformed(struct end *consensus, nng_socket s, struct bytes wrong)
{
	uint64_t session = meet(s);
	unsigned gone = consensus->gone, requests = consensus->requests;
	struct buf b = { 0 };

	put_request(&b, 0);
	buf_append(&b, wrong);
	put_request(&b, 1);
	say(s, 5, 7, session, buf_bytes(&b));
	wait_for(&consensus->gone, gone + 1);
	assert_int_equal(consensus->requests, requests + 1);
	buf_free(&b);
}

static void malformed_messages_end_the_pipe_and_the_next_one_is_welcome(void **state)
{
	struct end consensus = { .silent = true };
	nng_socket s;
	unsigned gone;

	(void)state;
	listen_as(&consensus, 7);
	s = dial_plain();
	expect_malformed(&consensus, s, bytes_of("\0\0\0\0", 4));
	expect_malformed(&consensus, s, bytes_of("\1\0\0\0\xff", 5));
	expect_malformed(&consensus, s, bytes_of("\xff\xff\xff\xff", 4));
	expect_malformed(&consensus, s, bytes_of("\1\0\0\0\6", 5)); /* a request without its fields */
	meet(s);
	gone = consensus.gone;
	assert_int_equal(nng_send(s, (char[]){ "short" }, 5, 0), 0);
	wait_for(&consensus.gone, gone + 1);
	meet(s);
	assert_int_equal(consensus.here, consensus.gone + 1);
	nng_close(s);
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

static void a_batch_is_closed_at_8_mib_and_the_rest_waits(void **state)
{
	struct end http = { 0 }, consensus = { .silent = true };
	uint8_t *operation = xcalloc(1, 1024 * 1024);
	size_t all, gone;

	(void)state;
	listen_as(&consensus, 1);
	dial_as(&http, 2);
	wait_for(&http.here, 1);
	wait_for(&consensus.here, 1);
	for (uint64_t id = 0; id < 30; id++)
		send_request(&http, id, bytes_of(operation, 1024 * 1024));
	all = ipc_waiting(http.ipc);
	assert_true(all > 30 * 1024 * 1024);
	ipc_flush(http.ipc);
	/* Seven fit into a message (each is a little over 1 MiB); there is one in flight, and NNG, on a busy machine, may
	 * be done with some before. */
	gone = 30 - ipc_waiting(http.ipc) / (all / 30);
	assert_in_range(gone, 7, 28);
	assert_int_equal(gone % 7, 0);
	assert_int_equal(http.drained, 0);
	wait_for(&consensus.requests, 30);
	wait_for(&http.drained, 1);
	run_ms(5);
	assert_int_equal(http.drained, 1);
	assert_int_equal(consensus.bytes, 30 * 1024 * 1024);
	assert_int_equal(http.gone, 0);
	close_end(&http);
	close_end(&consensus);
	free(operation);
}

static void a_message_longer_than_a_batch_travels_alone(void **state)
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

/* Connects and is gone before NNG's handshake, as a process does that is killed at the wrong moment. */
static void connect_and_die(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

/* NNG 1.5.2 (its issue 1518) accepts nobody any more after that. */
static void a_peer_that_died_while_it_connected_does_not_deafen_the_listener(void **state)
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

/* Each refusal was counted as the end of a peer: the listener, deaf for good, took it that somebody was there. */
static void a_listener_that_refused_a_second_dialer_is_not_deafened_either(void **state)
{
	struct end consensus = { 0 }, first = { 0 }, second = { 0 };

	(void)state;
	listen_as(&consensus, 1);
	dial_as(&first, 2);
	wait_for(&first.here, 1);
	dial_as(&second, 3);
	run_ms(50);
	assert_int_equal(second.here, 0);
	close_end(&second);
	connect_and_die();
	run_ms(20);
	close_end(&first);
	wait_for(&consensus.gone, 1);
	first = (struct end){ 0 };
	dial_as(&first, 4);
	wait_for(&first.here, 1);
	close_end(&first);
	close_end(&consensus);
}

/* NNG's dialer gives up for good when the other side closes in its handshake, as a listener does that is made anew. */
static void a_dialer_that_was_hung_up_on_dials_again(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct end http = { 0 }, consensus = { 0 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), met = 0;

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(listen(fd, 8), 0);
	dial_as(&http, 2);
	for (int i = 0; i < 40; i++) {
		int one = accept(fd, NULL, NULL);

		if (one != -1) {
			close(one);
			met++;
		}
		run_ms(5);
	}
	assert_true(met > 0);
	close(fd);
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

/* NNG's own tries outran, a few thousand a second, the thread that clears away behind them: descriptors piled up, and
 * nng_close() hung as long as the tries went on. */
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

static void dialers_without_a_listener_pile_nothing_up(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	unsigned before = count_sockets();
	int fd;

	(void)state;
	expect_nothing_piles_up(before);
	/* Of a consensus worker that was killed this stays behind. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(chmod(path, 0600), 0);
	close(fd);
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
		execl("/proc/self/exe", "ipc_nng_test", path, generation, (char *)NULL);
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

/* Not a test of time: prints what a round trip costs, for whoever changes this. */
static void measure(unsigned in_flight, unsigned count, size_t size)
{
	struct end http = { .in_flight = in_flight, .count = count };
	struct buf operation = { 0 };
	struct instant start;
	double us;
	pid_t pid = start_consensus("9");

	dial_as(&http, 1);
	wait_for(&http.here, 1);
	buf_extend(&operation, size);
	start = clock_now();
	for (unsigned n = 0; n < in_flight; n++)
		send_request(&http, n, buf_bytes(&operation));
	wait_for(&http.answers, count);
	us = (double)instant_between(start, clock_now()).ns / 1000;
	printf("# %u requests of %zu bytes a message: %.0f requests/s, %.1f us a request, %.0f us a round "
	       "trip\n",
	    in_flight, size, count / us * 1e6, us / count, us / (http.rounds + 1));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	wait_for(&http.gone, 1);
	close_end(&http);
	buf_free(&operation);
}

static void the_cost_of_a_round_trip_is_printed(void **state)
{
	(void)state;
	measure(1, 5000, 256);
	measure(64, 200000, 256);
	measure(256, 200000, 256);
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

/* NNG 1.5.2 never frees a message that it was writing when the pipe broke. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libnng.so";
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(the_ends_find_each_other_in_either_order),
		TEST(many_requests_are_each_answered_once),
		TEST(to_a_peer_that_is_not_here_nothing_is_sent),
		TEST(a_turn_leaves_as_one_message),
		TEST(what_is_not_for_this_pair_of_lives_is_dropped),
		TEST(a_new_life_of_the_peer_is_gone_and_here),
		TEST(malformed_messages_end_the_pipe_and_the_next_one_is_welcome),
		TEST(a_restarted_http_worker_is_found_again),
		TEST(a_restarted_consensus_worker_is_found_again),
		TEST(a_second_dialer_waits_until_the_first_is_gone),
		TEST(a_batch_is_closed_at_8_mib_and_the_rest_waits),
		TEST(a_message_longer_than_a_batch_travels_alone),
		TEST(what_waits_for_a_peer_that_dies_is_dropped),
		TEST(another_file_at_the_path_is_left_alone),
		TEST(a_stale_socket_is_replaced_and_a_live_one_is_not),
		TEST(a_peer_that_died_while_it_connected_does_not_deafen_the_listener),
		TEST(a_dialer_that_was_hung_up_on_dials_again),
		TEST(a_listener_that_refused_a_second_dialer_is_not_deafened_either),
		TEST(dialers_without_a_listener_pile_nothing_up),
		TEST(a_path_over_the_limit_is_an_error),
		TEST(a_killed_process_is_gone_and_its_successor_here),
		TEST(the_cost_of_a_round_trip_is_printed),
	};

	if (argc == 3)
		return be_consensus(argv[1], argv[2]);
	return cmocka_run_group_tests_name("ipc over NNG", tests, NULL, NULL);
}
