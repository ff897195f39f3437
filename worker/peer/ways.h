#ifndef WORKER_PEER_WAYS_H
#define WORKER_PEER_WAYS_H

#include "worker/replica/transport.h"

/*
 * The frames that wait on one connection, by their way, and the order in which they leave; and at the other end the
 * pieces in which long ones come.
 */

/* A longer frame is sent in pieces of this size, where the far end knows of them. */
#define WAYS_PIECE_BYTES ((size_t)32 * 1024)

struct way_queue {
	struct buf frames; /* each one behind a u32 with its length */
	size_t from; /* where the first one begins */
	size_t cut; /* so much of the first one has left in pieces */
};

struct ways {
	struct way_queue of[WAY_COUNT];
	size_t ahead; /* bytes of the log that have left while bulk waited, less its share */
	struct buf piece; /* reused */
};

void ways_free(struct ways *w);
/* Copies. */
void ways_put(struct ways *w, struct bytes frame);
size_t ways_unsent(const struct ways *w, enum peer_way way);
/* Appends what is to be sent next to `out`, as a frame with its head: a whole frame, or with `pieces` at most a piece.
 * False, and nothing is appended, when nothing waits. */
bool ways_next(struct ways *w, bool pieces, struct buf *out);

/* What has come of frames in pieces. */
struct way_parts {
	struct buf of[WAY_COUNT];
};

void parts_free(struct way_parts *p);
/* Takes a PIECE. *whole borrows the frame that it completes, until parts_drop(); it is empty while there is more to come.
 * False: it is malformed, or more than a frame. */
bool parts_take(struct way_parts *p, struct bytes piece, struct bytes *whole);
void parts_drop(struct way_parts *p, struct bytes whole);

#endif
