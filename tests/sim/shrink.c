#include <stdio.h>

#include "tests/sim/shrink.h"

struct shrinking {
	struct run run; /* the smallest that fails */
	struct report report; /* of it */
	int tries;
};

/* Takes it over if it fails, too. */
static bool fails(struct shrinking *s, uint64_t without, struct span length)
{
	struct run run = s->run;
	struct report report;

	run.without = without;
	run.length = length;
	runner_run(&run, &report);
	s->tries++;
	if (report.verdict != VERDICT_FAILED)
		return false;
	s->run = run;
	s->report = report;
	return true;
}

/* To the second in which it failed, and from there on by halves. */
static void shorten(struct shrinking *s)
{
	int64_t seconds = (int64_t)s->report.deeds.simulated_ms / 1000 + 1;

	if (seconds * 1000 < span_to_ms(s->run.length))
		fails(s, s->run.without, span_ms(seconds * 1000));
	do
		seconds = span_to_ms(s->run.length) / 2000;
	while (seconds > 0 && fails(s, s->run.without, span_ms(seconds * 1000)));
}

static bool leave_out(struct shrinking *s)
{
	struct plan p;
	bool any = false;

	plan_draw(&p, s->run.seed, s->run.length);
	for (int f = 0; f < FAULTS; f++)
		if (p.faults[f] && (s->run.without >> f & 1) == 0)
			any = fails(s, s->run.without | UINT64_C(1) << f, s->run.length) || any;
	return any;
}

bool shrink(const struct run *whole)
{
	struct shrinking s = { .run = *whole };
	struct buf command = { 0 };
	struct plan p;

	s.run.mute = true;
	if (!fails(&s, whole->without, whole->length)) {
		printf("# it does not fail\n");
		return false;
	}
	shorten(&s);
	while (leave_out(&s))
		shorten(&s);
	plan_draw(&p, s.run.seed, s.run.length);
	plan_drop(&p, s.run.without);
	plan_command(&p, &command);
	printf("# after %d tries: %s\n# %s\n", s.tries, s.report.why, buf_text(&command));
	buf_free(&command);
	return true;
}
