#ifndef WORKER_REPLICA_OUTAGE_H
#define WORKER_REPLICA_OUTAGE_H

#include "common/clock.h"

/*
 * What an operator must see while a node can serve nothing by itself: its cluster has no leader, or is not formed, and who
 * is missing. One warning once that has lasted for some seconds; another when somebody else is missing, or after minutes.
 */
struct replica;

struct outage {
	struct instant since; /* INSTANT_NEVER: there is none */
	struct instant look_at; /* again */
	struct instant told_at;
	char *told; /* the last warning; NULL: none of this outage */
};

void outage_init(struct replica *r);
void outage_fini(struct replica *r);
/* A frame came from this node. */
void outage_heard(struct replica *r, uint64_t incarnation);
void outage_tick(struct replica *r);
struct instant outage_deadline(const struct replica *r);

#endif
