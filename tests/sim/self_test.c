#include <stdio.h>

#include "tests/sim/runner.h"
#include "tests/sim/self_test.h"

#define LENGTH span_ms(60000)
#define SEEDS_MAX 40

static int tests;

static int result(bool good, const char *name)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, name);
	return good ? 0 : 1;
}

static int same_seed_same_universe(void)
{
	struct run run = { .seed = 12, .length = LENGTH };
	struct report first, second;

	runner_run(&run, &first);
	runner_run(&run, &second);
	return result(first.deeds.trace != 0 && first.deeds.trace == second.deeds.trace &&
			  first.deeds.events == second.deeds.events,
	    "the same seed is the same universe, event by event");
}

static int other_seed_other_universe(void)
{
	struct run run = { .seed = 12, .length = LENGTH };
	struct report first, second;

	runner_run(&run, &first);
	run.seed = 13;
	runner_run(&run, &second);
	return result(first.deeds.trace != second.deeds.trace, "another seed is another universe");
}

/* A control: one of a few ordinary seeds must find what is broken. */
static int catches(enum sabotage sabotage, const char *name)
{
	struct run run = { .length = LENGTH, .sabotage = sabotage, .mute = true };
	struct report report;

	for (run.seed = 1; run.seed <= SEEDS_MAX; run.seed++) {
		runner_run(&run, &report);
		if (report.verdict == VERDICT_FAILED) {
			printf("# caught by seed %d\n", (int)run.seed);
			return result(true, name);
		}
	}
	return result(false, name);
}

int self_test(void)
{
	int failed = 0;

	failed += same_seed_same_universe();
	failed += other_seed_other_universe();
	failed += catches(SABOTAGE_DISK, "a disk whose syncs are lies is caught");
	failed += catches(SABOTAGE_TABLE, "a table that loses a record is caught");
	failed += catches(SABOTAGE_ANSWER, "an answer given twice is caught");
	failed += catches(SABOTAGE_READ, "stale reads sold as linearizable are caught");
	failed += catches(SABOTAGE_FRAME, "an entry that changes on its way is caught");
	failed += catches(SABOTAGE_TWICE, "a write applied twice is caught");
	printf("1..%d\n", tests);
	return failed;
}
