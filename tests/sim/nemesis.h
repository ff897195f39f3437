#ifndef TESTS_SIM_NEMESIS_H
#define TESTS_SIM_NEMESIS_H

#include "common/random.h"
#include "tests/sim/plan.h"

/* Whoever breaks things: from time to time one of the faults that the plan has drawn, and its end after a while. */
struct universe;
struct node;

/* Moments at which a node has just promised something to somebody: the worst ones to die at. */
enum moment { MOMENT_STOOD, MOMENT_VOTED, MOMENT_APPENDED, MOMENT_LED, MOMENT_ACKED, MOMENTS };

struct nemesis {
	struct random dice;
	bool stopped;
	bool partitioned;
	uint64_t partitions; /* so far */
	bool trap_set;
	enum moment trap; /* springs at the next of these */
	uint64_t next; /* the fault whose turn it is */
};

void nemesis_start(struct universe *u);
/* Everything whole again, everybody up again soon; no new faults. */
void nemesis_heal(struct universe *u);
/* A node is at such a moment; springs the trap if one is set for it. */
void nemesis_on_moment(struct universe *u, const struct node *n, enum moment m);
/* Counts that a fault of the plan happened. */
void nemesis_count(struct universe *u, enum fault f);

#endif
