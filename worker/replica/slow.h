#ifndef WORKER_REPLICA_SLOW_H
#define WORKER_REPLICA_SLOW_H

#include <sys/queue.h>

#include "common/clock.h"
#include "worker/replica/transport.h"

/*
 * Writes that have to wait. While the log is longer than its budget and what images may take of it (cut.h), the leader
 * proposes what it is asked for at a rate that falls the longer the log gets, so that the image that holds it up, or the
 * checkpoint, comes to its end. What waits is proposed in order and later, unless its time is over before; nothing is
 * refused for it. Writes of this node wait in STAGE_HELD, those that others passed on in a list of their own.
 */
struct replica;

struct held_write {
	uint64_t from, term, number; /* as it was forwarded */
	struct instant until;
	struct blob *command;
	TAILQ_ENTRY(held_write) link;
};

struct slow {
	bool on;
	struct instant since, filled;
	int64_t tokens; /* bytes that may be proposed; below 0: the last write took more than there was */
	uint64_t held; /* writes that had to wait since it began */
	TAILQ_HEAD(, held_write) forwarded;
	size_t count;
	uint64_t bytes; /* of those */
	struct instant late_at; /* when to look again for those whose time is up */
};

void slow_init(struct replica *r);
void slow_fini(struct replica *r);
/* This leader's writes wait. */
bool slow_holds(const struct replica *r);
/* A write that another node passed on waits, for so long at most; then it is refused. False: too many do. */
bool slow_hold_forward(struct replica *r, uint64_t from, const struct peer_forward *m, struct span left);
/* Once a turn: begins and ends, and proposes what may be. */
void slow_turn(struct replica *r);
/* Who passed writes to a leader that is none any more finds the next one by itself. */
void slow_leader_changed(struct replica *r);
struct instant slow_deadline(const struct replica *r);

#endif
