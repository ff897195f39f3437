#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/runner.h"
#include "tests/sim/self_test.h"

#define LENGTH PLAN_LENGTH
#define SEEDS_MAX 40
#define COLD_STARTS 1000
/* Two rounds of timeouts, of up to twice the configured time each. */
#define COLD_START_P99 span_ms(2000)

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

static int by_length(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return (x->ns > y->ns) - (x->ns < y->ns);
}

static void draw_cold_start(struct plan *p, uint64_t number)
{
	plan_draw(p, number + 1, LENGTH);
	plan_drop(p, ~UINT64_C(0));
	p->nodes = p->members = (int)(number % NODES_MAX) + 1;
	p->together = true;
	p->election = span_ms(500);
	p->heartbeat = span_ms(50);
	p->latency_least = span_us(20);
	p->latency_most = span_ms(5);
	memset(p->drift_ppm, 0, sizeof(p->drift_ppm));
}

/* E14: all timers are equal and begin at one moment; only the dice of the nodes keep them from standing together. */
static int cold_starts_elect_soon(void)
{
	struct universe *u = xcalloc(1, sizeof(*u));
	struct span took[COLD_STARTS];
	struct span most;

	for (uint64_t i = 0; i < COLD_STARTS; i++) {
		struct plan p;

		draw_cold_start(&p, i);
		took[i] = universe_time_to_leader(u, &p);
		universe_free(u);
	}
	free(u);
	qsort(took, COLD_STARTS, sizeof(*took), by_length);
	most = took[COLD_STARTS * 99 / 100];
	printf("# %d cold starts, election timeout 500 ms: half have a leader after %d ms, 99 %% after %d "
	       "ms, all "
	       "after %d ms\n",
	    COLD_STARTS, (int)span_to_ms(took[COLD_STARTS / 2]), (int)span_to_ms(most),
	    (int)span_to_ms(took[COLD_STARTS - 1]));
	return result(most.ns <= COLD_START_P99.ns, "e14: nodes that start at one moment soon have a leader");
}

int self_test(void)
{
	int failed = 0;

	failed += cold_starts_elect_soon();

	failed += same_seed_same_universe();
	failed += other_seed_other_universe();
	failed += catches(SABOTAGE_DISK, "a disk whose syncs are lies is caught");
	failed += catches(SABOTAGE_TABLE, "a table that loses a record is caught");
	failed += catches(SABOTAGE_ANSWER, "an answer given twice is caught");
	failed += catches(SABOTAGE_READ, "stale reads sold as linearizable are caught");
	failed += catches(SABOTAGE_FRAME, "an entry that changes on its way is caught");
	failed += catches(SABOTAGE_TWICE, "a write applied twice is caught");
	failed += catches(SABOTAGE_HASH, "a state that went wrong and is not compared is caught");
	printf("1..%d\n", tests);
	return failed;
}
