#ifndef WORKER_REPLICA_CUT_H
#define WORKER_REPLICA_CUT_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/raft/entry.h"

/*
 * How long the log may be, and when its oldest segments go: behind what a checkpoint has made durable in the state, and
 * behind what an image on its way still needs (DESIGN 4). All files of the log together stay within the budget, the
 * next segment that is being filled included; what is left of it is there for followers that lag.
 */
struct replica;
struct table;

struct cut {
	const struct table *table; /* which holds everything up to `durable` durably */
	uint64_t durable;
	uint64_t done; /* the index of the last cut that was begun */
	bool out; /* it is with the log lane */
};

/* The budget, which is never less than a few segments. */
uint64_t cut_budget(const struct replica *r);
/* What the log takes when images need it as well; beyond that writes are slowed (slow.h). */
uint64_t cut_budget_with_images(const struct replica *r);

/* A checkpoint of this table is complete that began when it held everything up to `index`. */
void cut_checkpointed(struct replica *r, const struct table *table, uint64_t index);
/* A checkpoint is wanted now, so that the log can be cut. */
bool cut_presses(const struct replica *r);
/* Once a turn: cuts what may be. */
void cut_turn(struct replica *r);
/* The log begins behind `base` now. */
void cut_done(struct replica *r, struct raft_pos base);

#endif
