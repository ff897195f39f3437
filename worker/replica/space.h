#ifndef WORKER_REPLICA_SPACE_H
#define WORKER_REPLICA_SPACE_H

#include "common/ballast.h"
#include "common/clock.h"
#include "common/lane.h"
#include "worker/raft/raft.h"

/*
 * How full the filesystem of the data directory is (DESIGN 4), looked at on a lane of its own: once a second, ten times as
 * often when space is short, and whenever much was written since. What comes of it is one word, enum raft_room.
 *
 *	free		     becomes
 *	below `full`	     SHORT: no more writes; the ballast is there for what is under way
 *	ballast and free
 *	  below `spent`	     NONE: nothing more is taken in, what was is finished by what is left
 *	`again` and the
 *	  ballast is whole   ENOUGH
 */
struct space_marks {
	uint64_t full; /* two segments of the log and one checkpoint of the state */
	uint64_t again; /* a quarter more, so that it does not go to and fro */
	uint64_t
	    spent; /* what a start may need: a segment, and a file of the state's own log, which recovery fills up */
	uint64_t ballast; /* that, and a checkpoint: what may be under way when the last byte goes */
};

/* What the state may write between two checkpoints, and the size of its own log's files: with a segment of 64 MiB as
 * much, with a smaller one less, from 4 MiB. */
uint64_t space_checkpoint_bytes(uint64_t segment_bytes);
struct space_marks space_marks(uint64_t segment_bytes);
enum raft_room space_judge(const struct space_marks *m, enum raft_room was, struct ballast_room seen);

struct space {
	struct job job;
	struct lane *lane; /* NULL: nobody looks, and there is room */
	struct space_marks marks;
	struct ballast_room looked; /* by the lane */
	struct ballast_room seen;
	enum raft_room room;
	enum err error;
	bool busy, over;
	struct instant at; /* when to look next */
	uint64_t written; /* since it was looked */
};

struct replica;

/* Looks for the first time; blocks. ERR_IO. */
enum err space_init(struct replica *r);
void space_start(struct replica *r);
/* Takes over what was seen, and looks when it is time. */
void space_run(struct replica *r);
struct instant space_deadline(const struct replica *r);
/* So many bytes went to the log. */
void space_written(struct replica *r, uint64_t bytes);

#endif
