/* links: tests/common/http_served.c worker/http/server.c worker/http/conn.c worker/http/conn_input.c worker/http/conn_io.c worker/http/conn_pieces.c worker/http/pace.c worker/http/compose.c worker/http/head.c worker/http/chunk.c worker/http/message.c worker/http/text.c common/loop.c common/lane_thread.c common/lane.c common/clock.c common/log.c common/err.c common/buf.c common/mem.c -levent_core -lhttp_parser */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/common/http_served.h"

/* Answers whose bodies come in pieces. */

#define CHUNKED "HTTP/1.1 200 OK\r\n" NO_STORE "Transfer-Encoding: chunked\r\n"
#define PIECE_BYTES ((size_t)64 * 1024)
/* More than any socket takes. */
#define PIECES_MANY 64

static const char ask[] = "GET /later HTTP/1.1\r\nHost: h\r\n\r\n";

/* Asks for an answer in pieces and begins it. */
static int begin(struct fixture *f, const char *request)
{
	int fd = connect_client(f);

	f->later = NULL;
	say(fd, bytes_text(request));
	expect_later(f);
	response_clear(&f->response);
	f->response.status = 200;
	f->response.stream = true;
	assert_true(conn_begin(f->later, &f->response));
	return fd;
}

static void give(struct fixture *f, const char *piece)
{
	assert_true(conn_piece(f->later, bytes_text(piece)));
}

/* Gives pieces until the client's socket takes no more and some wait here. */
static size_t fill(struct fixture *f)
{
	size_t given = 0;

	for (int i = 0; i < PIECES_MANY && conn_unsent(f->later) <= SERVER_PIECES_LOW; i++) {
		assert_true(conn_piece(f->later, bytes_of(f->big, PIECE_BYTES)));
		given += PIECE_BYTES;
	}
	assert_true(conn_unsent(f->later) > SERVER_PIECES_LOW);
	return given;
}

static void pieces_are_chunks(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = begin(f, ask);

	(void)state;
	expect(f, fd, CHUNKED "\r\n");
	give(f, "one");
	expect(f, fd, "3\r\none");
	say(fd, bytes_text("GET /b HTTP/1.1\r\nHost: h\r\n\r\n"));
	give(f, "seventeen letters");
	expect(f, fd, "\r\n11\r\nseventeen letters");
	/* What is pipelined behind it waits. */
	assert_string_equal(buf_text(&f->seen), "GET /later 0\n");
	conn_finish(f->later);
	expect(f, fd, "\r\n0\r\n\r\n" OK("5", "GET/b"));
	close(fd);
	close_fixture(f);
}

static void there_may_be_no_piece_at_all(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = begin(f, ask);

	(void)state;
	conn_finish(f->later);
	expect(f, fd, CHUNKED "\r\n0\r\n\r\n");
	say(fd, bytes_text("GET /b HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect(f, fd, OK("5", "GET/b"));
	close(fd);
	close_fixture(f);
}

static void an_old_client_gets_them_up_to_the_end_of_its_connection(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = begin(f, "GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");

	(void)state;
	give(f, "one");
	give(f, "two");
	conn_finish(f->later);
	expect(f, fd, "HTTP/1.1 200 OK\r\n" NO_STORE "Connection: close\r\n\r\nonetwo");
	expect_end(f, fd);
	close_fixture(f);
}

static void head_is_answered_without_them(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = connect_client(f);

	(void)state;
	say(fd, bytes_text("HEAD /later HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_later(f);
	f->response.stream = true;
	f->response.status = 200;
	conn_answer(f->later, &f->response);
	expect(f, fd, CHUNKED "\r\n" OK("5", "GET/b"));
	close(fd);
	close_fixture(f);
}

static void what_breaks_off_has_no_last_chunk(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = begin(f, ask);

	(void)state;
	give(f, "one");
	conn_break(f->later);
	assert_int_equal(server_connections(f->server), 0);
	assert_int_equal(f->gone, 0);
	expect(f, fd, CHUNKED "\r\n3\r\none");
	expect_end(f, fd);
	close_fixture(f);
}

static void room_is_told_when_the_client_has_made_some(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	struct buf heard = { 0 };
	int fd = begin(f, ask);
	size_t given = fill(f);

	(void)state;
	for (int i = 0; i < 20; i++)
		turn(f);
	assert_int_equal(f->flows, 0);
	for (int i = 0; i < 2000 && f->flows == 0; i++) {
		hear(fd, &heard);
		turn(f);
	}
	assert_true(f->flows > 0);
	assert_true(conn_unsent(f->later) <= SERVER_PIECES_LOW);
	conn_finish(f->later);
	/* The end of the answer waits for its last byte, although room was told before. */
	for (int i = 0;
	     i < 2000 && (heard.size < given || memcmp(heard.data + heard.size - 5, "0\r\n\r\n", 5) != 0);
	     i++) {
		hear(fd, &heard);
		turn(f);
	}
	assert_memory_equal(heard.data + heard.size - 5, "0\r\n\r\n", 5);
	say(fd, bytes_text("GET /b HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect(f, fd, OK("5", "GET/b"));
	buf_free(&heard);
	close(fd);
	close_fixture(f);
}

static void who_takes_nothing_more_is_cut_off(void **state)
{
	struct server_options o = calm();
	struct fixture *f;
	int fd;

	(void)state;
	o.silence = span_ms(20);
	f = open_fixture(&o);
	fd = begin(f, ask);
	/* There is nothing to take: nobody is late. */
	for (int i = 0; i < 100; i++)
		turn(f);
	assert_int_equal(server_connections(f->server), 1);
	fill(f);
	for (int i = 0; i < 2000 && f->gone == 0; i++)
		turn(f);
	assert_int_equal(f->gone, LATER_TAG);
	assert_int_equal(server_connections(f->server), 0);
	close(fd);
	close_fixture(f);
}

static void who_takes_too_little_is_cut_off(void **state)
{
	struct server_options o = calm();
	struct fixture *f;
	uint8_t little[PIECE_BYTES];
	int fd;

	(void)state;
	o.silence = span_ms(200);
	o.rate = 1 << 30;
	f = open_fixture(&o);
	fd = begin(f, ask);
	fill(f);
	for (int i = 0; i < 5000 && f->gone == 0; i++) {
		turn(f);
		recv(fd, little, sizeof(little), MSG_DONTWAIT);
		if (f->gone == 0 && conn_unsent(f->later) < SERVER_PIECES_LOW)
			fill(f);
	}
	assert_int_equal(f->gone, LATER_TAG);
	assert_int_equal(server_traffic(f->server).cut_off, 1);
	close(fd);
	close_fixture(f);
}

static void who_takes_little_is_not(void **state)
{
	struct server_options o = calm();
	struct fixture *f;
	uint8_t little[PIECE_BYTES];
	struct instant until;
	int fd;

	(void)state;
	o.silence = span_ms(200);
	f = open_fixture(&o);
	fd = begin(f, ask);
	fill(f);
	until = instant_add(clock_now(), span_times(o.silence, 3));
	while (!instant_passed(until, clock_now())) {
		turn(f);
		recv(fd, little, sizeof(little), MSG_DONTWAIT);
		/* So that there is always something to take. */
		if (conn_unsent(f->later) < SERVER_PIECES_LOW)
			fill(f);
	}
	assert_int_equal(f->gone, 0);
	assert_int_equal(server_connections(f->server), 1);
	close(fd);
	close_fixture(f);
}

static void a_client_that_leaves_is_noticed_between_two(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = begin(f, ask);

	(void)state;
	give(f, "one");
	close(fd);
	for (int i = 0; i < 2000 && f->gone == 0; i++)
		turn(f);
	assert_int_equal(f->gone, LATER_TAG);
	assert_int_equal(server_connections(f->server), 0);
	close_fixture(f);
}

static void or_by_the_next(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = begin(f, ask);

	(void)state;
	close(fd);
	assert_false(conn_piece(f->later, bytes_text("one")));
	assert_int_equal(f->gone, 0);
	assert_int_equal(server_connections(f->server), 0);
	close_fixture(f);
}

static void a_stream_was_cancelled_by_the_end_behind_its_request(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = begin(f, ask);

	(void)state;
	give(f, "one");
	shutdown(fd, SHUT_WR);
	for (int i = 0; i < 50; i++)
		turn(f);
	assert_int_equal(f->gone, 0);
	give(f, "two");
	conn_finish(f->later);
	expect(f, fd, CHUNKED "\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
	expect_end(f, fd);
	close_fixture(f);
}

static void a_stream_whose_client_leaves_after_its_end_is_cancelled(void **state)
{
	struct server_options o = calm();
	struct fixture *f;
	int fd;

	(void)state;
	o.idle = span_ms(20); /* so that connections are looked after that often */
	f = open_fixture(&o);
	fd = begin(f, ask);
	shutdown(fd, SHUT_WR);
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

static void a_stopping_server_closes_behind_the_last(void **state)
{
	struct server_options o = calm();
	struct fixture *f = open_fixture(&o);
	int fd = begin(f, ask);

	(void)state;
	server_stop(f->server);
	give(f, "one");
	expect(f, fd, CHUNKED "\r\n3\r\none");
	conn_finish(f->later);
	expect(f, fd, "\r\n0\r\n\r\n");
	expect_end(f, fd);
	for (int i = 0; i < 2000 && f->empties == 0; i++)
		turn(f);
	assert_int_equal(f->empties, 1);
	close_fixture(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_chunks),
		cmocka_unit_test(there_may_be_no_piece_at_all),
		cmocka_unit_test(an_old_client_gets_them_up_to_the_end_of_its_connection),
		cmocka_unit_test(head_is_answered_without_them),
		cmocka_unit_test(what_breaks_off_has_no_last_chunk),
		cmocka_unit_test(room_is_told_when_the_client_has_made_some),
		cmocka_unit_test(who_takes_nothing_more_is_cut_off),
		cmocka_unit_test(who_takes_too_little_is_cut_off),
		cmocka_unit_test(who_takes_little_is_not),
		cmocka_unit_test(a_client_that_leaves_is_noticed_between_two),
		cmocka_unit_test(or_by_the_next),
		cmocka_unit_test(a_stream_was_cancelled_by_the_end_behind_its_request),
		cmocka_unit_test(a_stream_whose_client_leaves_after_its_end_is_cancelled),
		cmocka_unit_test(a_stopping_server_closes_behind_the_last),
	};

	return cmocka_run_group_tests_name("http_pieces", tests, NULL, NULL);
}
