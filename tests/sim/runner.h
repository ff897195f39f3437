#ifndef TESTS_SIM_RUNNER_H
#define TESTS_SIM_RUNNER_H

#include "tests/sim/universe.h"

/* Runs universes in processes of their own, so that one which dies of an assertion takes only itself along. */
enum verdict { VERDICT_HELD, VERDICT_IDLE, VERDICT_FAILED };

struct run {
	uint64_t seed;
	struct span length;
	uint64_t without; /* bit f: fault f stays off, whatever the seed draws */
	enum sabotage sabotage;
	bool aloud; /* the whole story, as it happens */
	bool mute; /* nothing at all, for what must fail */
};

struct report {
	enum verdict verdict;
	struct deeds deeds;
	char why[120]; /* IDLE: what did not happen; FAILED: what was wrong */
};

void runner_run(const struct run *r, struct report *out);

#endif
