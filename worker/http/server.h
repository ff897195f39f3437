#ifndef WORKER_HTTP_SERVER_H
#define WORKER_HTTP_SERVER_H

#include "common/err.h"
#include "common/loop.h"
#include "worker/http/message.h"

/*
 * HTTP/1.1 connections: accepting, reading requests whole, writing answers in order. One request of a connection is
 * under way at a time; what is pipelined behind it waits in a bounded buffer. A client that closes its sending side
 * behind a request gets the answers to all that it has asked, and then the connection is closed. Only a client whose
 * connection is broken counts as gone. Until something is sent to it a client that has closed both sides looks like one
 * that has closed one; what is sent to it, or a TCP keep-alive, is answered by a reset.
 *
 * An answer is given at once, or its body in pieces as they come (conn_begin()); how far its client is with them is
 * known by conn_unsent(), so that whoever has the pieces can wait for it.
 *
 * Everything is bounded: the connections, the head and the body of a request, the time that each part may take, the
 * bytes that bodies and unsent answers take in all.
 */
struct server;
struct conn;

struct server_options {
	size_t connections_max; /* one more is answered 503 and closed */
	struct span header; /* from the first byte of a request to the end of its head */
	struct span idle; /* between two requests */
	struct span silence; /* in which no byte of a body comes, or none of an answer is taken */
	uint64_t rate; /* the least bytes a second of either, over twice that time (pace.h); 0: any */
	size_t buffered_max; /* bytes of bodies not yet complete, and of answers not yet sent */
};

/* Of an answer's pieces: when so many bytes are left, there may be more. */
#define SERVER_PIECES_LOW ((size_t)512 * 1024)

/* The longest head of a request. */
#define SERVER_HEAD_BYTES_MAX ((size_t)32 * 1024)

struct server_handlers {
	/* A head is there; its body may have at most so many bytes, as *option says (static memory). */
	size_t (*body_max)(void *arg, const struct request *q, const char **option);
	/* Is this one to be begun although the server is paused? */
	bool (*passes)(void *arg, const struct request *q);
	/* A request is whole. Exactly one conn_answer() is due for it, from within or later, unless gone() comes first.
	 * The request is borrowed for the call. */
	void (*request)(void *arg, struct conn *c, const struct request *q);
	/* The client is gone before it was answered in full, or was cut off because it is too slow to take its answer; `tag`
	 * is what conn_tag() said. The connection is dead. */
	void (*gone)(void *arg, uint64_t tag);
	/* Of the pieces that were given to this connection not much is left: SERVER_PIECES_LOW at most. Not from within
	 * conn_piece(). NULL where no answer is given in pieces. */
	void (*flows)(void *arg, uint64_t tag);
	/* The server answers by itself, and closes: says how. Nothing of the request was handed over. `q` has what is
	 * known of it; before its head is whole, nothing (METHOD_OTHER, empty path). */
	void (*refuse)(
	    void *arg, const struct request *q, enum err e, struct bytes why, struct response *out);
	/* After server_stop(): the last connection is closed. */
	void (*empty)(void *arg);
};

/* Borrows the handlers. */
struct server *server_new(
    struct loop *l, const struct server_options *o, const struct server_handlers *handlers, void *arg);
/* Closes all connections without a word; no handler is called. Not from within a handler. */
void server_free(struct server *s);

/* The listening sockets, for the server's life; they stay the caller's. It accepts from none at first. */
void server_listen(struct server *s, const int *sockets, size_t count);
/* Accept from the sockets whose bit is set, and from no others. */
void server_accept(struct server *s, uint64_t mask);
/* Takes over a connected, non-blocking stream socket. */
void server_take(struct server *s, int fd);

/* While paused only those requests are begun that pass; the others wait, most of them in the kernel. */
void server_pause(struct server *s, bool paused);
/* The times that it allows, for all that begins from now on. */
void server_set_times(struct server *s, const struct server_options *o);
/* Accepts no more; each connection is closed with its next answer, which says so. */
void server_drain(struct server *s);
/* That, and idle connections are closed at once. */
void server_stop(struct server *s);
size_t server_connections(const struct server *s);
/* Bytes of answers that wait for their clients. */
size_t server_unsent(const struct server *s);

/* What went through it so far. */
struct server_traffic {
	uint64_t accepted; /* connections */
	uint64_t cut_off; /* of those, because the client was slow with a request, or to take its answer */
	uint64_t received; /* bytes of requests, as far as they were looked at */
	uint64_t sent; /* bytes of answers, those that have not left yet included */
};
struct server_traffic server_traffic(const struct server *s);

/* What gone() is told of the request under way. */
void conn_tag(struct conn *c, uint64_t tag);
/* Answers the request under way. Borrows the response for the call. The connection may be dead afterwards. */
void conn_answer(struct conn *c, const struct response *r);

/* An answer in pieces: its head, which says `stream` (and is not of a HEAD: that is answered in full by its head); then
 * its pieces, none of them empty; then its end. The two that return false do when the connection is dead: gone() is not
 * called then, and no more is said to it. HTTP/1.1 has chunks for this; to a client of HTTP/1.0 the end of the body is
 * that of the connection. */
bool conn_begin(struct conn *c, const struct response *r);
bool conn_piece(struct conn *c, struct bytes piece);
/* The body is whole. The connection may be dead afterwards. */
void conn_finish(struct conn *c);
/* It never will be: the connection is closed in such a way that the client notices. */
void conn_break(struct conn *c);
/* Bytes of answers that wait here for the client to take them. */
size_t conn_unsent(const struct conn *c);

#endif
