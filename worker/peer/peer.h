#ifndef WORKER_PEER_PEER_H
#define WORKER_PEER_PEER_H

#include "common/err.h"
#include "common/loop.h"
#include "common/names.h"
#include "worker/replica/transport.h"

/*
 * The transport between real nodes: TCP. Each node dials every other and sends on what it dialed; it receives on
 * what it accepted. Both ends say hello first, the dialer begins. A connection is refused for the reasons of
 * hello.h, and ended at the first byte that is wrong; a dialed one comes back by itself.
 *
 * All of it happens on the loop's thread. Nothing is called back from within a function of struct transport: what
 * set_hello() or set_peers() ends is told in a later turn. What is sent during a turn leaves at its end, after the
 * calls of loop_at_turn_end().
 */
struct peer_events {
	/* The far end of a connection was welcomed. `dialed` is the address if this node dialed, else NULL. Borrowed
	 * for the call. Where a live connection of the same direction is replaced, its end is told before. */
	void (*hello)(void *arg, const struct peer_hello *hello, const struct bytes *dialed);
	/* The far end of a connection that this node dialed is refused: `why` ends a sentence that begins with the node. */
	void (*refused)(void *arg, const struct bytes *dialed, const char *why);
	/* Of either kind of connection: it is refused, as it belongs to another cluster. */
	void (*stranger)(void *arg, const struct peer_hello *hello, const struct bytes *dialed);
	/* A frame on the accepted connection of this incarnation; borrowed for the call. */
	void (*frame)(void *arg, uint64_t incarnation, struct bytes frame);
	void (*lost)(void *arg, uint64_t incarnation); /* the accepted connection ended */
	void (*unreachable)(void *arg, uint64_t incarnation); /* the dialed connection ended */
};

struct peer_options {
	struct span hello; /* connection and hello must be there within this time */
	struct span retry_least, retry_most; /* between attempts to reach an address: doubles, +-20 % */
	size_t queue_bytes_max; /* waiting on one connection, of each way */
	uint64_t seed; /* for the spread of attempts */
};

/* 3 s, 10 ms, 1 s, 16 MiB, seed 0. */
struct peer_options peer_options_preset(void);

/* Binds and listens, without accepting yet. 0 or an errno. */
int peer_listen(const struct address *a, int *out);

/* Takes over the listening socket. Nothing is accepted or dialed until the first set_hello(). The events and `arg`
 * must stay valid. */
struct transport *peer_open(
    struct loop *l, int listener, const struct peer_options *o, const struct peer_events *events, void *arg);

/* Closes everything without events. Waits for a name that is being resolved, which may take seconds: a process
 * that ends anyhow need not call it. Accepts NULL. */
void peer_close(struct transport *t);

#endif
