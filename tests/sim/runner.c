#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/runner.h"

/* An assertion of the product failed, or worse: the story is the best that can still be said. */
static void on_death(int number)
{
	signal(number, SIG_DFL);
	if (universe_running != NULL)
		universe_fail(universe_running, "died of signal %d (%s)", number, strsignal(number));
	raise(number);
}

static void be_quiet(void)
{
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(nowhere, STDOUT_FILENO);
	dup2(nowhere, STDERR_FILENO);
}

static int report_to = -1;

static void send_report(const struct report *r)
{
	ssize_t written = write(report_to, r, sizeof(*r));

	if (written != (ssize_t)sizeof(*r))
		_exit(1);
}

/* The last that the child says. */
static void on_fail(struct universe *u, const char *why)
{
	struct report report = { .verdict = VERDICT_FAILED, .deeds = u->deeds };

	report.deeds.simulated_ms = (uint64_t)span_to_ms((struct span){ u->now.ns });
	snprintf(report.why, sizeof(report.why), "%s", why);
	send_report(&report);
}

static void run_in_child(const struct run *r, int out)
{
	static const int deadly[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	const struct rlimit no_core = { 0, 0 };
	struct universe *u = xcalloc(1, sizeof(*u));
	struct report report = { 0 };
	struct plan plan;
	const char *idle;

	setrlimit(RLIMIT_CORE, &no_core);
	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		signal(deadly[i], on_death);
	if (r->mute)
		be_quiet();
	plan_draw(&plan, r->seed, r->length);
	plan_drop(&plan, r->without);
	report_to = out;
	u->on_fail = on_fail;
	universe_run(u, &plan, r->sabotage, r->aloud);
	idle = universe_idle(u);
	universe_free(u);
	report.deeds = u->deeds;
	if (idle != NULL) {
		report.verdict = VERDICT_IDLE;
		snprintf(report.why, sizeof(report.why), "%s", idle);
	}
	free(u);
	fflush(stdout);
	send_report(&report);
	_exit(0);
}

void runner_run(const struct run *r, struct report *out)
{
	int ends[2], status, failed;
	ssize_t got;
	pid_t pid;

	*out = (struct report){ .verdict = VERDICT_FAILED };
	fflush(stdout);
	failed = pipe2(ends, O_CLOEXEC);
	assert(!failed);
	pid = fork();
	assert(pid != -1);
	if (pid == 0)
		run_in_child(r, ends[1]);
	close(ends[1]);
	got = read(ends[0], out, sizeof(*out));
	close(ends[0]);
	while (waitpid(pid, &status, 0) == -1)
		assert(errno == EINTR);
	if (got != sizeof(*out) || status != 0)
		out->verdict = VERDICT_FAILED;
}
