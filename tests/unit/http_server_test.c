/* links: tests/common/http_served.c worker/http/server.c worker/http/conn.c worker/http/conn_input.c worker/http/conn_io.c worker/http/conn_pieces.c worker/http/pace.c worker/http/compose.c worker/http/head.c worker/http/chunk.c worker/http/message.c worker/http/text.c common/loop.c common/lane_thread.c common/lane.c common/clock.c common/log.c common/err.c common/buf.c common/mem.c -levent_core -lhttp_parser */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/common/http_served.h"

static void requests_are_answered_in_order(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = connect_client(f);

	(void)state;
	say(fd, bytes_text("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect(f, fd, OK("5", "GET/a"));
	say(fd,
	    bytes_text("\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\nPUT /c HTTP/1.1\r\nHost: h\r\nContent-Length: "
		       "2\r\n\r\nxyGET /none HTTP/1.1\r\nHost: h\r\n\r\nGET /d HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect(f, fd,
	    OK("5", "GET/b") OK("7", "PUT/cxy") "HTTP/1.1 304 Not Modified\r\n" NO_STORE
						"\r\n" OK("5", "GET/d"));
	close(fd);
	close_fixture(f);
}

static void what_is_pipelined_waits_for_the_answer_before(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = connect_client(f);

	(void)state;
	say(fd, bytes_text("GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"));
	for (int i = 0; i < 5; i++)
		turn(f);
	assert_string_equal(buf_text(&f->seen), "GET /later 0\n");
	answer(f, f->later, 200, bytes_text("now"));
	expect(f, fd, OK("3", "now") OK("5", "GET/b"));
	close(fd);
	close_fixture(f);
}

/* libevent calls back again and again while a bufferevent is at its high watermark: a client that pipelined more than
 * that behind one request stopped the loop, and the request was never answered. */
static void a_client_that_pipelines_much_does_not_stop_the_loop(void **state)
{
	static const char request[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
	static const char wanted[] = "Date: Sat, 21 Nov 2026 12:00:00 GMT\r\n" OK("5", "GET/a");
	const size_t count = 10000, heard_bytes = (count + 1) * strlen(wanted);
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	struct buf all = { 0 }, heard = { 0 };
	int fd = connect_client(f);
	size_t sent = 0;

	(void)state;
	alarm(20);
	say(fd, bytes_text("GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
	for (size_t i = 0; i < count; i++)
		buf_append_text(&all, request);
	for (int i = 0; i < 100000 && heard.size < heard_bytes; i++) {
		ssize_t n = send(fd, all.data + sent, all.size - sent, MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		turn(f);
		if (i == 20)
			answer(f, f->later, 200, bytes_text("GET/a"));
		hear(fd, &heard);
	}
	alarm(0);
	assert_int_equal(heard.size, heard_bytes);
	buf_free(&all);
	buf_free(&heard);
	close(fd);
	close_fixture(f);
}

/* A stream of every kind of body. */
static const char stream[] =
    "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
    "PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxyz"
    "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n"
    "HEAD /d HTTP/1.1\r\nHost: h\r\n\r\n"
    "PUT /e HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
    "DELETE /f HTTP/1.0\r\n\r\n";
static const char stream_answers[] = OK("5", "GET/a") OK("8", "PUT/bxyz") OK("9", "POST/cabc") OK("6", "")
    OK("5", "PUT/e") CLOSING("200 OK", "8", "DELETE/f");

static void a_stream_may_be_cut_anywhere(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);

	(void)state;
	for (size_t at = 1; at < sizeof(stream) - 1; at++) {
		int fd = connect_client(f);

		say(fd, bytes_of(stream, at));
		turn(f);
		say(fd, bytes_of(stream + at, sizeof(stream) - 1 - at));
		expect(f, fd, stream_answers);
		expect_end(f, fd);
	}
	close_fixture(f);
}

static void a_stream_may_come_byte_by_byte(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = connect_client(f);

	(void)state;
	for (size_t at = 0; at < sizeof(stream) - 1; at++) {
		say(fd, bytes_of(stream + at, 1));
		turn(f);
	}
	expect(f, fd, stream_answers);
	expect_end(f, fd);
	close_fixture(f);
}

static void large_bodies_arrive_whole(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = connect_client(f);
	size_t sent = 0;

	(void)state;
	f->body_max = BIG_BYTES;
	say(fd, bytes_text("PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 4194304\r\n\r\n"));
	while (sent < BIG_BYTES) {
		ssize_t n = send(fd, f->big + sent, BIG_BYTES - sent, MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		turn(f);
	}
	expect(f, fd, OK("5", "PUT/b"));
	assert_string_equal(buf_text(&f->seen), "PUT /b 4194304\n");
	close(fd);
	close_fixture(f);
}

static void a_client_may_ask_before_it_sends_its_body(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = connect_client(f);

	(void)state;
	say(fd,
	    bytes_text("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"));
	expect(f, fd, "HTTP/1.1 100 Continue\r\n\r\n");
	say(fd, bytes_text("x"));
	expect(f, fd, OK("6", "PUT/ax"));
	say(fd,
	    bytes_text("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n"));
	expect(f, fd, CLOSING("413 Content Too Large", "9", "too_large"));
	expect_end(f, fd);
	close_fixture(f);
}

static void a_body_over_the_limit_is_refused_before_it_is_read(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = connect_client(f);

	(void)state;
	say(fd, bytes_text("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\nxxx"));
	expect(f, fd, CLOSING("413 Content Too Large", "9", "too_large"));
	/* It is still listened to for a moment, or the answer would be lost. */
	say(fd, bytes_text("xxx"));
	expect_end(f, fd);
	fd = connect_client(f);
	say(fd, bytes_text("PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n"));
	expect(f, fd, CLOSING("413 Content Too Large", "9", "too_large"));
	expect_end(f, fd);
	assert_int_equal(f->seen.size, 0);
	close_fixture(f);
}

/* A cache that is told nothing may answer by itself: reads that were stale, and writes by GET that were none. */
static void no_answer_may_be_kept_by_a_cache(void **state)
{
	static const char *const requests[] = {
		"GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /none HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.1\n\n",
	};
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);

	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		int fd = connect_client(f);
		struct buf heard = { 0 };

		say(fd, bytes_text(requests[i]));
		for (int n = 0; n < 2000 && strstr(buf_text(&heard), "\r\n\r\n") == NULL; n++) {
			turn(f);
			hear(fd, &heard);
		}
		assert_non_null(strstr(buf_text(&heard), "\r\nCache-Control: no-store\r\n"));
		buf_free(&heard);
		close(fd);
	}
	close_fixture(f);
}

static void a_head_over_the_limit_is_refused(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	struct buf head = { 0 };
	int fd = connect_client(f);

	(void)state;
	buf_append_text(&head, "GET /a HTTP/1.1\r\nHost: h\r\nA: ");
	memset(buf_extend(&head, SERVER_HEAD_BYTES_MAX), 'x', SERVER_HEAD_BYTES_MAX);
	say(fd, buf_bytes(&head));
	expect(f, fd, CLOSING("431 Request Header Fields Too Large", "16", "header_too_large"));
	expect_end(f, fd);
	fd = connect_client(f);
	buf_clear(&head);
	buf_append_text(&head, "GET /");
	memset(buf_extend(&head, SERVER_HEAD_BYTES_MAX), 'x', SERVER_HEAD_BYTES_MAX);
	say(fd, buf_bytes(&head));
	expect(f, fd, CLOSING("414 URI Too Long", "12", "key_too_long"));
	expect_end(f, fd);
	buf_free(&head);
	close_fixture(f);
}

static void what_is_malformed_is_refused_and_ends_the_connection(void **state)
{
	static const char *const bad[] = {
		"GET / HTTP/1.1\nHost: h\n\n",
		"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"BREW / HTTP/1.1\r\nHost: h\r\n\r\n",
		"\x16\x03\x01\x02\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabXY",
		"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n",
	};
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = connect_client(f);

		say(fd, bytes_text(bad[i]));
		say(fd, bytes_text("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"));
		expect(f, fd, REFUSED);
		expect_end(f, fd);
	}
	assert_int_equal(f->seen.size, 0);
	close_fixture(f);
}

static void a_client_decides_how_long_it_stays(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = connect_client(f);

	(void)state;
	say(fd, bytes_text("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
	expect(
	    f, fd, "HTTP/1.1 200 OK\r\n" NO_STORE "Content-Length: 5\r\nConnection: keep-alive\r\n\r\nGET/a");
	say(fd, bytes_text("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
	expect(f, fd, CLOSING("200 OK", "5", "GET/a"));
	expect_end(f, fd);
	fd = connect_client(f);
	say(fd, bytes_text("GET /a HTTP/1.0\r\n\r\n"));
	expect(f, fd, CLOSING("200 OK", "5", "GET/a"));
	expect_end(f, fd);
	close_fixture(f);
}

static void an_answer_may_be_larger_than_the_socket(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	struct buf heard = { 0 };
	int fd = connect_client(f);

	(void)state;
	say(fd, bytes_text("GET /big HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n"));
	/* The client has said all it had to say, and still gets its answer. */
	for (int i = 0; i < 2000 && heard.size < BIG_BYTES + 100; i++) {
		hear(fd, &heard);
		turn(f);
	}
	assert_true(heard.size > BIG_BYTES + 100);
	assert_memory_equal(heard.data + heard.size - 5, "GET/a", 5);
	buf_free(&heard);
	close(fd);
	close_fixture(f);
}

static void unsent_answers_are_bounded_in_all(void **state)
{
	struct server_options o = calm();
	struct fixture *f;
	int first, second;

	(void)state;
	o.buffered_max = BIG_BYTES;
	f = open_fixture(&o);
	first = connect_client(f);
	second = connect_client(f);
	say(first, bytes_text("GET /big HTTP/1.1\r\nHost: h\r\n\r\n"));
	say(second, bytes_text("GET /big HTTP/1.1\r\nHost: h\r\n\r\n"));
	for (int i = 0; i < 2000 && server_connections(f->server) > 1; i++)
		turn(f);
	assert_int_equal(server_connections(f->server), 1);
	close(first);
	close(second);
	close_fixture(f);
}

static void one_connection_too_many_is_told_so(void **state)
{
	struct server_options o = calm();
	struct fixture *f;
	int first, second;

	(void)state;
	o.connections_max = 1;
	f = open_fixture(&o);
	first = connect_client(f);
	second = connect_client(f);
	expect(f, second, CLOSING("503 Service Unavailable", "4", "busy"));
	expect_end(f, second);
	say(first, bytes_text("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect(f, first, OK("5", "GET/a"));
	close(first);
	close_fixture(f);
}

static void a_paused_server_begins_nothing_but_what_passes(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = connect_client(f), passing = connect_client(f);

	(void)state;
	server_pause(f->server, true);
	say(fd, bytes_text("GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"));
	say(passing, bytes_text("GET /pass HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect(f, passing, OK("8", "GET/pass"));
	assert_string_equal(buf_text(&f->seen), "GET /pass 0\n");
	server_pause(f->server, false);
	expect(f, fd, OK("5", "GET/a") OK("5", "GET/b"));
	close(fd);
	close(passing);
	close_fixture(f);
}

static void a_body_waits_while_the_server_is_paused(void **state)
{
	struct server_options o = calm();
	struct fixture *f;
	int fd;

	(void)state;
	o.header = o.silence = span_ms(50);
	f = open_fixture(&o);
	fd = connect_client(f);
	say(fd, bytes_text("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nx"));
	turn(f);
	server_pause(f->server, true);
	say(fd, bytes_text("yz"));
	for (int i = 0; i < 100; i++)
		turn(f);
	assert_int_equal(f->seen.size, 0);
	server_pause(f->server, false);
	expect(f, fd, OK("8", "PUT/axyz"));
	close(fd);
	close_fixture(f);
}

static void a_stopping_server_answers_what_is_under_way(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int idle = connect_client(f), busy = connect_client(f);

	(void)state;
	say(busy, bytes_text("GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_later(f);
	server_stop(f->server);
	expect_end(f, idle);
	assert_int_equal(f->empties, 0);
	answer(f, f->later, 200, bytes_text("now"));
	expect(f, busy, CLOSING("200 OK", "3", "now"));
	expect_end(f, busy);
	for (int i = 0; i < 2000 && f->empties == 0; i++)
		turn(f);
	assert_int_equal(f->empties, 1);
	close_fixture(f);
}

static void a_draining_server_lets_idle_clients_ask_once_more(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int asking = connect_client(f), silent = connect_client(f);

	(void)state;
	server_drain(f->server);
	for (int i = 0; i < 50; i++)
		turn(f);
	say(asking, bytes_text("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect(f, asking, CLOSING("200 OK", "5", "GET/a"));
	expect_end(f, asking);
	assert_int_equal(f->empties, 0);
	server_stop(f->server);
	expect_end(f, silent);
	for (int i = 0; i < 2000 && f->empties == 0; i++)
		turn(f);
	assert_int_equal(f->empties, 1);
	close_fixture(f);
}

/* --- listening --- */

static int listen_somewhere(struct sockaddr_in *address)
{
	socklen_t size = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)address, size), 0);
	assert_int_equal(listen(fd, 10), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)address, &size), 0);
	return fd;
}

static int dial(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	say(fd, bytes_text("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"));
	return fd;
}

static void only_the_sockets_named_are_accepted_from(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	struct sockaddr_in addresses[2];
	int sockets[2], first, second;

	(void)state;
	for (int i = 0; i < 2; i++)
		sockets[i] = listen_somewhere(&addresses[i]);
	server_listen(f->server, sockets, 2);
	first = dial(&addresses[0]);
	second = dial(&addresses[1]);
	for (int i = 0; i < 5; i++)
		turn(f);
	assert_int_equal(server_connections(f->server), 0);
	server_accept(f->server, 2);
	expect(f, second, OK("5", "GET/a"));
	assert_int_equal(server_connections(f->server), 1);
	server_accept(f->server, 1);
	expect(f, first, OK("5", "GET/a"));
	close(first);
	close(second);
	close_fixture(f);
	close(sockets[0]);
	close(sockets[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_answered_in_order),
		cmocka_unit_test(what_is_pipelined_waits_for_the_answer_before),
		cmocka_unit_test(a_client_that_pipelines_much_does_not_stop_the_loop),
		cmocka_unit_test(a_stream_may_be_cut_anywhere),
		cmocka_unit_test(a_stream_may_come_byte_by_byte),
		cmocka_unit_test(large_bodies_arrive_whole),
		cmocka_unit_test(a_client_may_ask_before_it_sends_its_body),
		cmocka_unit_test(a_body_over_the_limit_is_refused_before_it_is_read),
		cmocka_unit_test(no_answer_may_be_kept_by_a_cache),
		cmocka_unit_test(a_head_over_the_limit_is_refused),
		cmocka_unit_test(what_is_malformed_is_refused_and_ends_the_connection),
		cmocka_unit_test(a_client_decides_how_long_it_stays),
		cmocka_unit_test(an_answer_may_be_larger_than_the_socket),
		cmocka_unit_test(unsent_answers_are_bounded_in_all),
		cmocka_unit_test(one_connection_too_many_is_told_so),
		cmocka_unit_test(a_paused_server_begins_nothing_but_what_passes),
		cmocka_unit_test(a_body_waits_while_the_server_is_paused),
		cmocka_unit_test(a_stopping_server_answers_what_is_under_way),
		cmocka_unit_test(a_draining_server_lets_idle_clients_ask_once_more),
		cmocka_unit_test(only_the_sockets_named_are_accepted_from),
	};

	return cmocka_run_group_tests_name("http_server", tests, NULL, NULL);
}
