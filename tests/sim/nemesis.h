#ifndef TESTS_SIM_NEMESIS_H
#define TESTS_SIM_NEMESIS_H

#include "common/random.h"
#include "tests/sim/plan.h"

/* Whoever breaks things: from time to time one of the faults that the plan has drawn, and its end after a while. */
struct universe;

struct nemesis {
	struct random dice;
	bool stopped;
	bool partitioned;
	uint64_t partitions; /* so far */
	uint64_t next; /* the fault whose turn it is */
};

void nemesis_start(struct universe *u);
/* Everything whole again, everybody up again soon; no new faults. */
void nemesis_heal(struct universe *u);
/* Counts that a fault of the plan happened. */
void nemesis_count(struct universe *u, enum fault f);

#endif
