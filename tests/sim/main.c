#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/runner.h"
#include "tests/sim/self_test.h"
#include "tests/sim/shrink.h"

/* A universe that did too little is drawn anew, this often, under seeds that nobody else uses. */
#define REDRAWS 4
#define REDRAW_STEP (UINT64_C(1) << 40)
/* More idle ones than this say that the plans are badly drawn. */
#define IDLE_PERCENT_MOST 20
/* In so many universes each kind of fault happens. */
#define ALL_FAULTS_IN 1000

struct arguments {
	uint64_t seed, universes;
	int64_t seconds;
	uint64_t without;
	bool seed_given, aloud, self_test, shrink;
};

struct totals {
	struct deeds deeds;
	uint64_t held, idle, failed;
	uint64_t recovery_ms, recovery_most_ms; /* from the healing to the end */
};

static void usage(void)
{
	static const char text[] =
	    "usage: sim [--seed N] [--universes N] [--seconds S] [--without FAULTS | --only FAULTS] "
	    "[--verbose]\n"
	    "       sim --shrink --seed N [--seconds S] [--without FAULTS | --only FAULTS]\n"
	    "       sim --self-test\n"
	    "  Runs N universes (1 with --seed, else 200) of S simulated seconds (60), the first with the\n"
	    "  seed N (1), each further one with the next. FAULTS leaves out some of those that a seed "
	    "draws:\n"
	    "  names from tests/sim/fault.def with commas between, or none. --shrink leaves out one after "
	    "the\n"
	    "  other and shortens the time as long as the universe fails, and prints the command that is "
	    "left.\n";

	fputs(text, stderr);
	exit(64);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t v;

	if (text == NULL)
		usage();
	v = strtoull(text, &end, 10);
	if (*end != '\0' || end == text)
		usage();
	return v;
}

/* The bits of the faults in a list, "lose,kill". */
static uint64_t fault_set(char *list)
{
	uint64_t set = 0;
	enum fault f;

	if (list == NULL)
		usage();
	if (strcmp(list, "none") == 0)
		return 0;
	for (char *at = NULL, *name = strtok_r(list, ",", &at); name != NULL;
	     name = strtok_r(NULL, ",", &at)) {
		if (!fault_find(name, &f))
			usage();
		set |= UINT64_C(1) << f;
	}
	return set;
}

static void parse(struct arguments *a, char **argv)
{
	*a = (struct arguments){ .seed = 1, .seconds = 60 };
	for (argv++; *argv != NULL; argv++) {
		if (strcmp(*argv, "--verbose") == 0)
			a->aloud = true;
		else if (strcmp(*argv, "--self-test") == 0)
			a->self_test = true;
		else if (strcmp(*argv, "--shrink") == 0)
			a->shrink = true;
		else if (strcmp(*argv, "--universes") == 0)
			a->universes = number(*++argv);
		else if (strcmp(*argv, "--seconds") == 0)
			a->seconds = (int64_t)number(*++argv);
		else if (strcmp(*argv, "--seed") == 0)
			a->seed = number(*++argv), a->seed_given = true;
		else if (strcmp(*argv, "--without") == 0)
			a->without = fault_set(*++argv);
		else if (strcmp(*argv, "--only") == 0)
			a->without = ~fault_set(*++argv);
		else
			usage();
	}
	if (a->universes == 0)
		a->universes = a->seed_given ? 1 : 200;
	if (a->seconds < 1)
		usage();
}

static void add_deeds(struct totals *t, const struct deeds *d)
{
	uint64_t *to = (uint64_t *)&t->deeds;
	const uint64_t *from = (const uint64_t *)d;

	for (size_t i = 0; i < sizeof(*d) / sizeof(uint64_t); i++)
		to[i] += from[i];
}

static void add_recovery(struct totals *t, const struct run *r, const struct report *report)
{
	uint64_t ms = report->deeds.simulated_ms - (uint64_t)span_to_ms(r->length);

	if (report->verdict != VERDICT_HELD)
		return;
	t->held++;
	t->recovery_ms += ms;
	if (ms > t->recovery_most_ms)
		t->recovery_most_ms = ms;
}

static void print_result(uint64_t test, const struct run *r, const struct report *report)
{
	struct plan p;
	struct buf text = { 0 };

	plan_draw(&p, r->seed, r->length);
	plan_drop(&p, r->without);
	plan_tell(&p, &text);
	printf("%sok %" PRIu64 " - seed %" PRIu64 ": %s; %" PRIu64 " acked, %" PRIu64 " elections, %" PRIu64
	       " crashes\n",
	    report->verdict == VERDICT_HELD ? "" : "not ", test, r->seed, buf_text(&text),
	    report->deeds.acked, report->deeds.elections, report->deeds.crashes);
	buf_free(&text);
}

static void run_one(const struct arguments *a, uint64_t test, struct totals *t)
{
	struct run run = { .seed = a->seed + test - 1,
		.length = span_ms(a->seconds * 1000),
		.without = a->without,
		.aloud = a->aloud };
	struct report report;

	for (int draw = 0;; draw++, run.seed += REDRAW_STEP) {
		runner_run(&run, &report);
		add_deeds(t, &report.deeds);
		if (report.verdict != VERDICT_IDLE)
			break;
		t->idle++;
		printf("# seed %" PRIu64 " does not count: %s (%" PRIu64 " acked)\n", run.seed, report.why,
		    report.deeds.acked);
		if (a->universes == 1 || draw == REDRAWS)
			break;
	}
	print_result(test, &run, &report);
	add_recovery(t, &run, &report);
	t->failed += report.verdict != VERDICT_HELD;
}

static void print_totals(const struct totals *t)
{
	const struct deeds *d = &t->deeds;

	printf("# universes: %" PRIu64 " held, %" PRIu64 " failed, %" PRIu64
	       " more did too little to count\n",
	    t->held, t->failed, t->idle);
	printf("# simulated: %" PRIu64 " s, %" PRIu64 " events, %" PRIu64 " turns, %" PRIu64 " frames\n",
	    d->simulated_ms / 1000, d->events, d->turns, d->frames);
	printf("# clients: %" PRIu64 " requests, %" PRIu64 " writes acknowledged, %" PRIu64 " reads, %" PRIu64
	       " failed conditions, %" PRIu64 " retries, %" PRIu64 " answers repeated, %" PRIu64
	       " unknown, %" PRIu64 " refused\n",
	    d->asked, d->acked, d->reads, d->conditions, d->retried, d->replayed, d->unknown, d->refused);
	printf("# judged: %" PRIu64 " operations on registers are linearizable, %" PRIu64
	       " universes were too hard to decide\n",
	    d->judged, d->undecided);
	printf("# cluster: %" PRIu64 " elections, %" PRIu64 " crashes, %" PRIu64 " restarts, %" PRIu64
	       " entries applied, %" PRIu64 " times a log cut, %" PRIu64
	       " states taken over by image, %" PRIu64 " backups\n",
	    d->elections, d->crashes, d->restarts, d->applied, d->log_cuts, d->images, d->backups);
	printf("# disks: %" PRIu64 " writes lost, %" PRIu64 " torn, %" PRIu64 " names lost, %" PRIu64
	       " commits of the state lost, %" PRIu64 " times damage refused\n",
	    d->writes_lost, d->writes_torn, d->names_lost, d->commits_lost, d->refused_damage);
	if (t->held > 0)
		printf("# recovery: from the healing to equal states and everybody served %" PRIu64
		       " ms on average, %" PRIu64 " ms at most\n",
		    t->recovery_ms / t->held, t->recovery_most_ms);
	for (int f = 0; f < FAULTS; f++)
		printf("# fault: %" PRIu64 " %s\n", d->faults[f], fault_text((enum fault)f));
}

/* What is drawn often enough to happen in so many universes has happened. */
static bool faults_happened(const struct arguments *a, const struct totals *t)
{
	bool all = true;

	for (int f = 0; f < FAULTS; f++) {
		if (a->universes < ALL_FAULTS_IN || (a->without >> f & 1) != 0 || t->deeds.faults[f] > 0)
			continue;
		printf("# never: %s\n", fault_text((enum fault)f));
		all = false;
	}
	return all;
}

int main(int argc, char **argv)
{
	struct totals t = { 0 };
	struct arguments a;

	(void)argc;
	parse(&a, argv);
	if (a.self_test)
		return self_test() > 0 ? 1 : 0;
	if (a.shrink)
		return shrink(&(struct run){
			   .seed = a.seed, .length = span_ms(a.seconds * 1000), .without = a.without })
			   ? 1
			   : 0;
	printf("1..%" PRIu64 "\n", a.universes);
	for (uint64_t test = 1; test <= a.universes; test++)
		run_one(&a, test, &t);
	print_totals(&t);
	if (t.idle * 100 > (t.held + t.idle) * IDLE_PERCENT_MOST && a.universes > 10) {
		printf("# too many universes did too little\n");
		return 1;
	}
	return t.failed > 0 || !faults_happened(&a, &t) ? 1 : 0;
}
