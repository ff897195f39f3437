/* links: tests/common/http_served.c worker/http/server.c worker/http/conn.c worker/http/conn_input.c worker/http/conn_io.c worker/http/conn_pieces.c worker/http/pace.c worker/http/compose.c worker/http/head.c worker/http/chunk.c worker/http/message.c worker/http/text.c common/loop.c common/lane_thread.c common/lane.c common/clock.c common/log.c common/err.c common/buf.c common/mem.c -levent_core -lhttp_parser */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/common/http_served.h"

/* Clients that send no more, leave, or are slow. */

static void slow_clients_are_let_go(void **state)
{
	struct server_options o = calm();
	struct fixture *f;
	int fd;

	(void)state;
	o.header = o.silence = o.idle = span_ms(20);
	f = open_fixture(&o);
	fd = connect_client(f);
	say(fd, bytes_text("GET /a HT"));
	expect(f, fd, CLOSING("408 Request Timeout", "12", "slow_request"));
	expect_end(f, fd);
	fd = connect_client(f);
	say(fd, bytes_text("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"));
	expect(f, fd, CLOSING("408 Request Timeout", "12", "slow_request"));
	expect_end(f, fd);
	fd = connect_client(f);
	say(fd, bytes_text("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect(f, fd, OK("5", "GET/a"));
	expect_end(f, fd);
	close_fixture(f);
}

static void a_slow_request_does_not_time_out_while_it_is_under_way(void **state)
{
	struct server_options o = calm();
	struct fixture *f;
	int fd;

	(void)state;
	o.header = o.silence = o.idle = span_ms(5);
	f = open_fixture(&o);
	fd = connect_client(f);
	say(fd, bytes_text("GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
	for (int i = 0; i < 50; i++)
		turn(f);
	answer(f, f->later, 200, bytes_text("now"));
	expect(f, fd, OK("3", "now"));
	close(fd);
	close_fixture(f);
}

static void a_client_that_leaves_is_noticed(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = connect_client(f);

	(void)state;
	say(fd, bytes_text("GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_later(f);
	close(fd);
	for (int i = 0; i < 2000 && f->gone == 0; i++)
		turn(f);
	assert_int_equal(f->gone, LATER_TAG);
	assert_int_equal(server_connections(f->server), 0);
	close_fixture(f);
}

/* `printf 'PUT /v1/kv/x HTTP/1.0\r\n\r\n' | nc -N` wrote its key and heard nothing. */
static void the_end_behind_a_request_cost_it_its_answer(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = connect_client(f);

	(void)state;
	say(fd, bytes_text("GET /later HTTP/1.0\r\n\r\n"));
	shutdown(fd, SHUT_WR);
	expect_later(f);
	for (int i = 0; i < 50; i++)
		turn(f);
	assert_int_equal(f->gone, 0);
	answer(f, f->later, 200, bytes_text("now"));
	expect(f, fd, CLOSING("200 OK", "3", "now"));
	expect_end(f, fd);
	assert_int_equal(server_connections(f->server), 0);
	close_fixture(f);
}

static void requests_pipelined_before_the_end_were_dropped(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = connect_client(f);

	(void)state;
	say(fd,
	    bytes_text("GET /later HTTP/1.1\r\nHost: h\r\n\r\nPUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: "
		       "1\r\n\r\nxGET /c HTTP/1.1\r\nHost: h\r\n\r\n"));
	shutdown(fd, SHUT_WR);
	expect_later(f);
	answer(f, f->later, 200, bytes_text("now"));
	expect(f, fd, OK("3", "now") OK("6", "PUT/bx") OK("5", "GET/c"));
	expect_end(f, fd);
	close_fixture(f);
}

static void requests_behind_a_large_answer_were_dropped_at_the_end(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	struct buf heard = { 0 };
	int fd = connect_client(f);

	(void)state;
	say(fd, bytes_text("GET /big HTTP/1.1\r\nHost: h\r\n\r\nGET /c HTTP/1.1\r\nHost: h\r\n\r\n"));
	shutdown(fd, SHUT_WR);
	for (int i = 0; i < 20; i++)
		turn(f);
	for (int i = 0; i < 2000 && hear(fd, &heard); i++)
		turn(f);
	assert_true(heard.size > BIG_BYTES + 100);
	assert_memory_equal(heard.data + heard.size - 5, "GET/c", 5);
	buf_free(&heard);
	close(fd);
	close_fixture(f);
}

static void half_a_request_behind_a_whole_one_is_refused(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = connect_client(f);

	(void)state;
	say(fd,
	    bytes_text("GET /later HTTP/1.1\r\nHost: h\r\n\r\nPUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: "
		       "5\r\n\r\nab"));
	shutdown(fd, SHUT_WR);
	expect_later(f);
	answer(f, f->later, 200, bytes_text("now"));
	expect(f, fd, OK("3", "now") CLOSING("408 Request Timeout", "12", "slow_request"));
	expect_end(f, fd);
	assert_string_equal(buf_text(&f->seen), "GET /later 0\n");
	close_fixture(f);
}

/* The loop watches no direction of such a connection. */
static void a_client_that_leaves_after_its_end_is_noticed(void **state)
{
	struct server_options o = calm();
	struct fixture *f;
	int fd;

	(void)state;
	o.idle = span_ms(20); /* so that connections are looked after that often */
	f = open_fixture(&o);
	fd = connect_client(f);
	say(fd, bytes_text("GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
	shutdown(fd, SHUT_WR);
	expect_later(f);
	for (int i = 0; i < 50; i++)
		turn(f);
	assert_int_equal(f->gone, 0);
	close(fd);
	for (int i = 0; i < 2000 && f->gone == 0; i++)
		turn(f);
	assert_int_equal(f->gone, LATER_TAG);
	assert_int_equal(server_connections(f->server), 0);
	close_fixture(f);
}

static void half_a_request_is_refused(void **state)
{
	static const char *const halves[] = { "GET /a HT", "GET /a HTTP/1.1\r\nHost: h\r\n",
		"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab",
		"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab" };
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);

	(void)state;
	for (size_t i = 0; i < sizeof(halves) / sizeof(halves[0]); i++) {
		int fd = connect_client(f);

		say(fd, bytes_text(halves[i]));
		shutdown(fd, SHUT_WR);
		expect(f, fd, CLOSING("408 Request Timeout", "12", "slow_request"));
		expect_end(f, fd);
	}
	assert_int_equal(f->seen.size, 0);
	assert_int_equal(server_connections(f->server), 0);
	close_fixture(f);
}

static void a_client_that_does_not_read_is_cut_off(void **state)
{
	struct server_options o = calm();
	struct fixture *f;
	int fd;

	(void)state;
	o.silence = span_ms(20);
	f = open_fixture(&o);
	fd = connect_client(f);
	say(fd, bytes_text("GET /big HTTP/1.1\r\nHost: h\r\n\r\n"));
	for (int i = 0; i < 2000 && (f->seen.size == 0 || server_connections(f->server) > 0); i++)
		turn(f);
	assert_int_equal(server_connections(f->server), 0);
	close(fd);
	close_fixture(f);
}

/* A client that took a little now and then held its share of the budget for ever. */
static void a_client_that_takes_too_little_is_cut_off(void **state)
{
	struct server_options o = calm();
	struct fixture *f;
	uint8_t little[64];
	int fd;

	(void)state;
	o.silence = span_ms(100);
	o.rate = BIG_BYTES;
	f = open_fixture(&o);
	fd = connect_client(f);
	say(fd, bytes_text("GET /big HTTP/1.1\r\nHost: h\r\n\r\n"));
	for (int i = 0; i < 5000 && (f->seen.size == 0 || server_connections(f->server) > 0); i++) {
		turn(f);
		recv(fd, little, sizeof(little), MSG_DONTWAIT);
	}
	assert_int_equal(server_connections(f->server), 0);
	assert_int_equal(server_traffic(f->server).cut_off, 1);
	close(fd);
	close_fixture(f);
}

static void a_body_that_trickles_in_is_refused(void **state)
{
	struct server_options o = calm();
	struct fixture *f;
	int fd;

	(void)state;
	o.silence = span_ms(50);
	o.rate = 1000000;
	f = open_fixture(&o);
	fd = connect_client(f);
	say(fd, bytes_text("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n"));
	for (int i = 0; i < 900 && server_traffic(f->server).cut_off == 0; i++) {
		say(fd, bytes_text("x"));
		turn(f);
	}
	expect(f, fd, CLOSING("408 Request Timeout", "12", "slow_request"));
	expect_end(f, fd);
	assert_int_equal(f->seen.size, 0);
	close_fixture(f);
}

/* The whole body had to arrive within the time in which now some of it must. */
static void a_body_that_came_steadily_was_refused(void **state)
{
	struct server_options o = calm();
	struct fixture *f;
	struct instant until;
	size_t sent = 0;
	int fd;

	(void)state;
	o.silence = span_ms(200);
	o.rate = 1;
	f = open_fixture(&o);
	f->body_max = BIG_BYTES;
	fd = connect_client(f);
	say(fd, bytes_text("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"));
	until = instant_add(clock_now(), span_times(o.silence, 5));
	for (; sent < 999999 && !instant_passed(until, clock_now()); sent++) {
		say(fd, bytes_text("x"));
		turn(f);
	}
	assert_int_equal(server_traffic(f->server).cut_off, 0);
	while (sent < 1000000) {
		size_t size = 1000000 - sent < 10000 ? 1000000 - sent : 10000;

		say(fd, bytes_of(f->big, size));
		sent += size;
		turn(f);
	}
	expect(f, fd, OK("5", "PUT/a"));
	close(fd);
	close_fixture(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_clients_are_let_go),
		cmocka_unit_test(a_slow_request_does_not_time_out_while_it_is_under_way),
		cmocka_unit_test(a_client_that_leaves_is_noticed),
		cmocka_unit_test(the_end_behind_a_request_cost_it_its_answer),
		cmocka_unit_test(requests_pipelined_before_the_end_were_dropped),
		cmocka_unit_test(requests_behind_a_large_answer_were_dropped_at_the_end),
		cmocka_unit_test(half_a_request_behind_a_whole_one_is_refused),
		cmocka_unit_test(a_client_that_leaves_after_its_end_is_noticed),
		cmocka_unit_test(half_a_request_is_refused),
		cmocka_unit_test(a_client_that_does_not_read_is_cut_off),
		cmocka_unit_test(a_client_that_takes_too_little_is_cut_off),
		cmocka_unit_test(a_body_that_trickles_in_is_refused),
		cmocka_unit_test(a_body_that_came_steadily_was_refused),
	};

	return cmocka_run_group_tests_name("http_leave", tests, NULL, NULL);
}
