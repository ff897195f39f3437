#ifndef WORKER_PEER_CHANNEL_H
#define WORKER_PEER_CHANNEL_H

#include "common/loop.h"
#include "common/names.h"
#include "worker/replica/transport.h"

/*
 * One TCP connection between two nodes, dialed or accepted: magic, hello, frames, and its end. Who may speak, and
 * what is said, is its owner's business.
 *
 * Frames wait by their way (enum peer_way). What is urgent goes first; of the other two the log has four parts of five
 * where both wait. To a far end that speaks version 2 a long frame is sent in pieces, so that what is urgent waits for a
 * piece and not for a frame; and little is left to the kernel, which has but one queue.
 *
 * Reading and writing are done here and not by a bufferevent: that reads 4 KiB a turn and writes only in the turn
 * after, and both cost a replicated write its latency.
 */
struct channel;

struct channel_events {
	/* A dialed connection stands: now channel_greet(). NULL for accepted ones. */
	void (*connected)(void *arg, struct channel *c);
	/* The far end said hello; borrowed for the call. The owner takes it, or calls channel_fail(). */
	void (*hello)(void *arg, struct channel *c, const struct peer_hello *hello);
	/* A frame after the hello, borrowed for the call. NULL where none may come. */
	void (*frame)(void *arg, struct channel *c, struct bytes frame);
	/* It is over; called once, from the loop and never from within a function of this header. Now channel_close(). */
	void (*over)(void *arg, struct channel *c);
};

/* Takes over the connected socket. Without a hello within `patience` it fails. */
struct channel *channel_accepted(
    struct loop *l, int fd, struct span patience, const struct channel_events *events, void *arg);
/* Connects; connection and hello must both be there within `patience`. */
struct channel *channel_dial(struct loop *l, const struct address *to, struct span patience,
    const struct channel_events *events, void *arg);
/* At once and without events; whatever is unsent is lost. Accepts NULL. */
void channel_close(struct channel *c);

/* Sends magic and hello. */
void channel_greet(struct channel *c, const struct peer_hello *hello);
/* Queues a frame, copied; false, and nothing happens, when more than `queue_most` bytes would wait on its way, or the
 * connection is over. One that nothing waits before finds room, however long it is. */
bool channel_send(struct channel *c, struct bytes frame, size_t queue_most);
/* Bytes of frames that wait on this way. */
size_t channel_unsent(const struct channel *c, enum peer_way way);
/* Writes what is queued, as far as the kernel takes it. The rest follows by itself. */
void channel_flush(struct channel *c);

/* Bytes that all channels of this process have read and written. */
struct channel_traffic {
	uint64_t received, sent;
};
struct channel_traffic channel_traffic(void);

/* Ends it: nothing is delivered any more, `over` follows in the next turn. The first reason stays. */
void channel_fail(struct channel *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Why it is over; valid until channel_close(). */
const char *channel_reason(const struct channel *c);
/* The far end's address, for log lines; valid until channel_close(). */
const char *channel_far(const struct channel *c);

#endif
