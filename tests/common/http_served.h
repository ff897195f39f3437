#ifndef TESTS_COMMON_HTTP_SERVED_H
#define TESTS_COMMON_HTTP_SERVED_H

#include "worker/http/server.h"

/*
 * The HTTP server in one process with its clients, for cmocka: a request's answer repeats what it said. "/later" is answered
 * when the test says so, "/big" is larger than any socket, "/none" is 304, "/pass" may pass a paused server.
 */
#define BIG_BYTES ((size_t)4 * 1024 * 1024)
#define BODY_MAX 1000

struct fixture {
	struct loop *loop;
	struct loop_timer *tick;
	struct server *server;
	struct response response;
	struct conn *later;
	struct buf seen; /* a line for each request */
	uint64_t gone; /* the last tag */
	unsigned flows; /* that a client made room for more */
	unsigned empties;
	size_t body_max;
	uint8_t *big;
};

#define LATER_TAG 4711 /* of the request that "/later" is */

/* Answers a request: "/later" of the last client that asked for it stands in f->later. */
void answer(struct fixture *f, struct conn *c, int status, struct bytes body);

/* Options under which nothing ends by itself. */
struct server_options calm(void);
struct fixture *open_fixture(const struct server_options *o);
void close_fixture(struct fixture *f);
/* A turn of the loop, or as many as a millisecond has. */
void turn(struct fixture *f);

/* A socket that the server serves the other end of; the caller closes it. */
int connect_client(struct fixture *f);
void say(int fd, struct bytes what);
/* Takes what is there; false once the other end has closed. */
bool hear(int fd, struct buf *heard);
/* Turns until "/later" was asked for. */
void expect_later(struct fixture *f);
/* Turns until the client has heard exactly this (the date is not what a test is about), or for long enough to be sure
 * that it never will. */
void expect(struct fixture *f, int fd, const char *wanted);
/* Turns until the server has closed without another word, and closes. */
void expect_end(struct fixture *f, int fd);

#define NO_STORE "Cache-Control: no-store\r\n"
#define OK(size, body) "HTTP/1.1 200 OK\r\n" NO_STORE "Content-Length: " size "\r\n\r\n" body
#define CLOSING(status, size, body)                                                                          \
	"HTTP/1.1 " status "\r\n" NO_STORE "Content-Length: " size "\r\nConnection: close\r\n\r\n" body
#define REFUSED CLOSING("400 Bad Request", "11", "bad_request")

#endif
