#ifndef WORKER_PEER_CONN_H
#define WORKER_PEER_CONN_H

#include "common/loop.h"
#include "worker/peer/names.h"
#include "worker/replica/transport.h"

/*
 * One TCP connection between two nodes, dialed or accepted: magic, hello, frames, and its end. Who may speak, and
 * what is said, is its owner's business.
 *
 * Reading and writing are done here and not by a bufferevent: that reads 4 KiB a turn and writes only in the turn
 * after, and both cost a replicated write its latency.
 */
struct conn;

struct conn_events {
	/* A dialed connection stands: now conn_greet(). NULL for accepted ones. */
	void (*connected)(void *arg, struct conn *c);
	/* The far end said hello; borrowed for the call. The owner takes it, or calls conn_fail(). */
	void (*hello)(void *arg, struct conn *c, const struct peer_hello *hello);
	/* A frame after the hello, borrowed for the call. NULL where none may come. */
	void (*frame)(void *arg, struct conn *c, struct bytes frame);
	/* It is over; called once, from the loop and never from within a function of this header. Now conn_close(). */
	void (*over)(void *arg, struct conn *c);
};

/* Takes over the connected socket. Without a hello within `patience` it fails. */
struct conn *conn_accepted(
    struct loop *l, int fd, struct span patience, const struct conn_events *events, void *arg);
/* Connects; connection and hello must both be there within `patience`. */
struct conn *conn_dial(struct loop *l, const struct address *to, struct span patience,
    const struct conn_events *events, void *arg);
/* At once and without events; whatever is unsent is lost. Accepts NULL. */
void conn_close(struct conn *c);

/* Sends magic and hello. */
void conn_greet(struct conn *c, const struct peer_hello *hello);
/* Queues a frame, copied; false, and nothing happens, when more than `queue_most` bytes would wait or it is over. */
bool conn_send(struct conn *c, struct bytes frame, size_t queue_most);
/* Writes what is queued, as far as the kernel takes it. The rest follows by itself. */
void conn_flush(struct conn *c);

/* Ends it: nothing is delivered any more, `over` follows in the next turn. The first reason stays. */
void conn_fail(struct conn *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Why it is over; valid until conn_close(). */
const char *conn_reason(const struct conn *c);
bool conn_is_over(const struct conn *c);
/* The far end's address, for log lines; valid until conn_close(). */
const char *conn_far(const struct conn *c);

#endif
