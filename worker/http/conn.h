#ifndef WORKER_HTTP_CONN_H
#define WORKER_HTTP_CONN_H

#include <sys/queue.h>

#include "worker/http/chunk.h"
#include "worker/http/head.h"
#include "worker/http/pace.h"
#include "worker/http/server.h"

/*
 * The server's inside: server.c has the listening sockets and the list of connections, conn.c how a connection
 * lives and answers, conn_pieces.c how it answers in pieces, conn_input.c what it makes of what arrives, conn_io.c its
 * bytes (the only place for bufferevents).
 */
struct bufferevent;

enum conn_phase {
	CONN_IDLE, /* between two requests */
	CONN_HEAD, /* a head has begun */
	CONN_BODY, /* a body is arriving */
	CONN_BUSY, /* a request is under way */
	CONN_PIECES, /* the pieces of its answer are */
	CONN_WRITING, /* its answer has not left in full */
	CONN_LINGER, /* closed for sending: what comes is dropped until the client closes too */
	CONN_DEAD, /* to be freed as soon as nobody uses it */
};

struct conn {
	TAILQ_ENTRY(conn) link;
	struct server *server;
	struct bufferevent *bev;
	enum conn_phase phase;
	struct instant deadline;
	uint64_t tag;
	bool working; /* conn_work() is under way, further up the stack */
	bool held; /* not reading, because the server is paused */
	bool full; /* not reading, because enough has arrived */
	bool at_end; /* the client sends no more; what it has asked for is still answered */
	bool closing; /* after this answer */
	bool head_only;

	struct head_search search;
	struct framing framing; /* of the request that is arriving or under way */
	struct buf head; /* copied only while a body arrives behind it */
	struct buf body;
	struct chunks chunks;
	size_t body_max;
	const char *body_option; /* which says so */
	size_t charged; /* of server->buffered */
	size_t charged_unsent; /* of server->unsent */
	uint64_t given; /* bytes of answers, from the first on */
	struct pace pace; /* of the body that arrives, or of the answer that waits for the client */
	bool chunk_begun; /* of an answer in pieces: the first was there */
};

struct server {
	struct loop *loop;
	struct server_options options;
	const struct server_handlers *handlers;
	void *arg;

	TAILQ_HEAD(, conn) conns;
	size_t count;
	size_t buffered;
	size_t unsent; /* the answers among that */
	struct server_traffic traffic;
	bool paused, stopping;

	struct listener *listeners;
	size_t listener_count;
	uint64_t mask;
	struct loop_timer *breath; /* no descriptor was left: accept again when it rings */

	struct loop_timer *sweep;
	struct span sweep_every;

	/* One of each serves all connections, one after the other. */
	struct request request;
	struct response response;
	struct buf out;
	char date[40];
	int64_t date_second;
};

/* server.c */
/* Takes it off the list and releases its memory. */
void server_remove(struct server *s, struct conn *c);

/* conn.c */
struct conn *conn_new(struct server *s, int fd);
void conn_free(struct conn *c);
void conn_set_deadline(struct conn *c, struct span s);
/* To be freed by the conn_work() that follows, or is under way. */
void conn_die(struct conn *c);
/* Answers and closes, in place of a handler. */
void conn_refuse(struct conn *c, const struct request *q, enum err e, struct bytes why);
/* Now and then: ends what is late, or too slow. The connection may be freed afterwards. */
void conn_look_after(struct conn *c);
/* Every unsent byte has left, or all but the mark of conn_set_low(). */
void conn_on_sent(struct conn *c);
/* What is unsent is all of the answer. */
void conn_end_answer(struct conn *c);
/* The client sends no more: the rest of its requests is answered. */
void conn_on_end(struct conn *c);
/* The client is gone, and nobody waits for an answer. */
void conn_on_loss(struct conn *c);
/* The server is not paused any more. */
void conn_release(struct conn *c);
/* Closed as soon as nothing is under way. */
void conn_stop(struct conn *c);

/* conn_pieces.c */
/* As conn_on_sent(), between two pieces. */
void conn_on_flow(struct conn *c);

/* conn_input.c */
/* Does what can be done with what has arrived. The connection may be freed afterwards. */
void conn_work(struct conn *c);
/* As conn_refuse(), of a request whose head is not whole, or whose body is not. */
void conn_refuse_unread(struct conn *c, enum err e, const char *why);
void conn_refuse_body(struct conn *c, enum err e, const char *why);

/* conn_io.c */
void conn_open_io(struct conn *c, int fd);
void conn_close_io(struct conn *c);
/* Closing it will drop what has not been sent. */
void conn_reset(struct conn *c);
/* The rest of a request is wanted: what has come of it is acknowledged at once. */
void conn_acknowledge(struct conn *c);
/* What has arrived, in one piece; valid until it is dropped or more arrives. */
struct bytes conn_input(struct conn *c);
void conn_drop(struct conn *c, size_t size);
/* Appends to the body what has arrived of it, at most `size` bytes. */
void conn_take_body(struct conn *c, uint64_t size);
/* Reads, or reads no more, as `held` and `full` say. */
void conn_set_reading(struct conn *c);
/* Sends head and body; what does not leave at once waits. False when the connection is broken. */
bool conn_send(struct conn *c, struct bytes head, struct bytes body);
/* conn_on_sent() when no more than this is unsent; 0: when nothing is. */
void conn_set_low(struct conn *c, size_t unsent);
/* How many bytes of all the answers its client has acknowledged. */
uint64_t conn_taken(const struct conn *c);
/* Neither side sends any more, or the connection was reset. A client that sends no more may be half closed or gone; this
 * finds a gone one once its kernel has said so. */
bool conn_is_lost(const struct conn *c);
/* No more will be sent. */
void conn_shut(struct conn *c);
/* Counts what the connection holds; false when the server holds too much. */
bool conn_charge(struct conn *c);

/* compose.c: the head of an answer in s->out. */
void server_compose(struct server *s, const struct conn *c, const struct response *r);

#endif
