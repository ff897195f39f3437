#ifndef WORKER_REPLICA_MEASURE_H
#define WORKER_REPLICA_MEASURE_H

#include "common/ipc.h"
#include "common/metric.h"

/*
 * What a replica measures of itself: the node's metrics, and where the time of a slow request went. The time is that
 * of the turn; only the lanes read a clock, twice for each sync and each transaction. Nothing depends on any of it.
 */
struct replica;
struct pending;

/* A batch of entries on its way through this node's log. */
struct batch {
	uint64_t last; /* index */
	bool led; /* this node proposed it */
	struct instant given, durable, committed; /* to the log; on this disk; as known here */
};

#define BATCHES 256 /* remembered */

struct measure {
	struct metrics *metrics;
	struct metrics *own; /* when nobody wants to know */
	/* Batch n stands at n % BATCHES; first <= durable, committed <= next. */
	struct batch batches[BATCHES];
	uint64_t first, durable, committed, next;
	uint64_t seen_term;
	bool led;
	uint32_t log_jobs, state_jobs; /* with the lanes */
};

/* `metrics` may be NULL. */
void measure_init(struct measure *m, struct metrics *metrics);
void measure_fini(struct measure *m);
/* The log is open: what is in it was no election of this life. */
void measure_opened(struct replica *r);

/* A batch goes to the log lane; its entries are `from` to `last`. */
void measure_given(struct replica *r, uint64_t from, uint64_t last);
/* The log is durable up to here. */
void measure_durable(struct replica *r, uint64_t index);
/* At the end of each turn. */
void measure_turn(struct replica *r);

/* Fills in where the time went, if the request waited for long. */
void measure_answer(const struct replica *r, const struct pending *p, struct ipc_answer *a);

/* For the lanes: now, or always the same where no clock was handed in. */
struct instant measure_now(const struct replica *r);

#endif
