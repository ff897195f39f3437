#ifndef WORKER_REPLICA_IMAGE_SEND_H
#define WORKER_REPLICA_IMAGE_SEND_H

#include <sys/queue.h>

#include "common/clock.h"
#include "worker/raft/raft.h"
#include "worker/replica/scan.h"

/*
 * The leader's side of images: who needs one waits in a queue, and one at a time is sent. What was not acknowledged yet is
 * kept, so that a broken connection costs what was on its way and no more; the window bounds it, and with it what waits
 * in front of heartbeats on a slow connection. Everything ends with the term.
 */
struct replica;

/* Sent and not acknowledged, or not sent yet. */
struct image_piece {
	uint64_t sequence;
	bool last;
	struct buf frames;
	STAILQ_ENTRY(image_piece) link;
};

/* One that had an image and does not have all of the log since then. */
struct catching_up {
	uint64_t peer, from, to;
};

struct sending {
	struct scan_user user;
	uint64_t term; /* in which all of this is */
	uint64_t wanted[RAFT_MEMBERS_MAX]; /* peers, in order */
	size_t wanted_count;
	struct catching_up behind[RAFT_MEMBERS_MAX];
	size_t behind_count;
	uint64_t images; /* so many were begun in this life */

	uint64_t peer; /* whose turn it is; 0: nobody's */
	uint64_t number, index;
	STAILQ_HEAD(, image_piece) pieces;
	size_t waiting_bytes; /* of the pieces */
	uint64_t read, sent, acked; /* the next piece of each */
	uint64_t asked; /* what was acknowledged when it was asked last */
	bool complete; /* all was read */
	uint64_t bytes; /* read so far */
	struct instant begun, heard, progressed, ask_at, tell_at;
	struct instant rate_at; /* nothing is read before */
	struct instant again_at; /* after a failure: nothing is begun before */
	struct instant
	    held_up; /* since then a backup is read, and a node that is there waits; INSTANT_NEVER: no */
};

void image_send_init(struct replica *r);
void image_send_fini(struct replica *r);
/* Raft says that this peer needs an image. */
void image_send_wanted(struct replica *r, uint64_t peer);
/* Once a turn. */
void image_send_turn(struct replica *r);
struct instant image_send_deadline(const struct replica *r);
/* A new connection to this peer: what was on its way may be lost. */
void image_send_reconnected(struct replica *r, uint64_t peer);
/* The log is needed from this index on, by an image that is sent or by somebody who catches up after one;
 * UINT64_MAX: nobody needs it. */
uint64_t image_send_keeps(const struct replica *r);

#endif
