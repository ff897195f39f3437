#ifndef COMMON_IPC_INSIDE_H
#define COMMON_IPC_INSIDE_H

#include "common/ipc.h"

/*
 * What the two kinds of connection (ipc_pair.c, ipc_stream.c) share; for these and ipc.c only.
 *
 * A frame is a u32 length, a u8 of enum ipc_type and the fields; the length counts what follows it. Frames are
 * gathered here. Over a socketpair they leave in packets, which are cut only between frames; in a stream anywhere.
 */
#define IPC_FRAME_HEAD 5 /* length and type */

struct ipc_ops {
	/* Sends of the gathered frames what can leave now; goes on by itself when more can. */
	void (*send)(struct ipc *i);
	/* Ends the connection and frees it; calls ipc_fini(). */
	void (*close)(struct ipc *i);
};

struct ipc {
	const struct ipc_ops *ops;
	struct loop *loop;
	struct loop_batch *batch;
	const struct ipc_handlers *handlers;
	void *arg;
	enum ipc_direction in, out; /* of the messages that may come and go */
	size_t bytes_max; /* of one message */
	bool here; /* there is a peer that what is sent now will reach */
	bool owes_drained;
	struct buf gathered;
	size_t left; /* so many of its bytes have left already */
	size_t taken; /* bytes that ipc_take() handed over and that have not left */
};

/* Everything else in `i` is zero before. */
void ipc_init(
    struct ipc *i, const struct ipc_ops *ops, struct loop *l, const struct ipc_handlers *handlers, void *arg);
void ipc_fini(struct ipc *i);

/* Gathered frames that have not left, as many as fit into `most` bytes but at least one; empty if there are none.
 * Borrows, valid until something is sent. */
struct bytes ipc_next(const struct ipc *i, size_t most);
/* The first `size` of those bytes have left. */
void ipc_left(struct ipc *i, size_t size);
/* Hands over all gathered frames that have not left, into a buffer that is empty, without a copy; what is sent from now
 * on is gathered behind them. The caller counts `taken` down. Borrows from `into`. */
struct bytes ipc_take(struct ipc *i, struct buf *into);
/* Empties a buffer that was used for frames, and gives back its room where a burst has made it large. */
void ipc_clear(struct buf *b);
/* Sends, and calls `drained` if that was all. Not from within a handler. */
void ipc_send_waiting(struct ipc *i);

/* Calls the handler of each frame. False, and the rest is not looked at, if one is malformed or comes from the
 * wrong side; says why in the log. */
bool ipc_dispatch(struct ipc *i, struct bytes frames);
/* The same for the whole frames that `in` begins with, which were `taken` bytes. Of the frame behind them `next` bytes
 * must be there before it is worth to try again. False also where that frame is longer than any can be. */
bool ipc_dispatch_whole(struct ipc *i, struct bytes in, size_t *taken, size_t *next);
/* If the peer was here it is gone: what is gathered is dropped and the handler called. */
void ipc_lose(struct ipc *i);

#endif
