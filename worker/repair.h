#ifndef WORKER_REPAIR_H
#define WORKER_REPAIR_H

#include "common/conf.h"
#include "worker/replica/repair.h"

/*
 * What the consensus worker does about damage (worker/replica/repair.h says what that means), before and around
 * replica_open(), as [node] repair says. Where a node must not repair itself the process ends with 74, every file is as
 * it was, and the log says why.
 */
struct repair {
	const struct conf *conf;
	struct disk *disk;
	struct tables *tables;
	char *join; /* the addresses at which this node is to join; NULL: it is not to */
	char *lost; /* why the state is not there; NULL: it is */
	bool noted; /* DATA/repair is over when this start has succeeded */
	bool tried[PART_STATE + 1];
};

/* Before the state is opened. Goes on with what an earlier life of the node has noted. */
void repair_begin(struct repair *r, const struct conf *c, struct disk *d, struct tables *ts);
/* replica_open() found this damaged: afterwards it is worth another try. */
void repair_damage(struct repair *r, enum replica_part part);
/* The replica is open. */
void repair_done(struct repair *r);

#endif
