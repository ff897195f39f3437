#define _GNU_SOURCE /* pthread_getname_np */
/* links: common/loop.c common/lane.c common/lane_thread.c common/clock.c common/mem.c common/log.c -levent_core */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/lane.h"
#include "common/loop.h"
#include "common/mem.h"

#define MOST 10000

struct task {
	struct job job;
	unsigned number;
	bool worked;
};

struct world {
	struct loop *loop;
	struct lane *lane;
	struct task *tasks;
	unsigned count, submitted, over;
	/* The lane's side. */
	pthread_mutex_t gate;
	unsigned turns, first_turn, worked;
	bool wrong_order, signals_open;
	char name[16];
	pthread_t thread;
};

static void turn(void *arg, struct jobs *jobs)
{
	struct world *w = arg;
	struct job *job;
	unsigned count = 0;
	sigset_t blocked;

	pthread_mutex_lock(&w->gate);
	pthread_mutex_unlock(&w->gate);
	STAILQ_FOREACH (job, jobs, link) {
		struct task *t = (struct task *)job;

		if (t->number != w->worked++)
			w->wrong_order = true;
		t->worked = true;
		count++;
	}
	if (w->turns++ == 0)
		w->first_turn = count;
	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	w->signals_open = !sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGHUP);
	pthread_getname_np(pthread_self(), w->name, sizeof(w->name));
	w->thread = pthread_self();
}

static void submit_next(struct world *w)
{
	struct task *t = &w->tasks[w->submitted];

	t->number = w->submitted++;
	lane_submit(w->lane, &t->job);
}

static void done(void *arg, struct job *job)
{
	struct world *w = arg;
	struct task *t = (struct task *)job;

	assert_true(t->worked);
	assert_int_equal(t->number, w->over);
	w->over++;
	if (w->submitted < w->count)
		submit_next(w);
	if (w->over == w->count)
		loop_stop(w->loop);
}

static void begin(struct world *w, unsigned count, const char *name)
{
	*w = (struct world){ .loop = loop_new(), .count = count };
	w->tasks = xcalloc(count, sizeof(*w->tasks));
	pthread_mutex_init(&w->gate, NULL);
	struct lane_maker *maker = loop_lane_maker(w->loop);
	w->lane = maker->make(maker, name, (struct lane_work){ turn, done, w });
}

static void end(struct world *w)
{
	lane_free(w->lane);
	loop_free(w->loop);
	pthread_mutex_destroy(&w->gate);
	free(w->tasks);
}

static void jobs_come_back_in_order(void **state)
{
	struct world w;

	(void)state;
	begin(&w, MOST, "order");
	while (w.submitted < 100)
		submit_next(&w);
	loop_run(w.loop);
	assert_int_equal(w.over, MOST);
	end(&w);
	assert_false(w.wrong_order);
	assert_int_equal(w.worked, MOST);
}

static void a_turn_takes_all_that_is_queued(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 1000, "turns");
	/* The first turn holds at the gate with at least one job; whatever it left makes exactly one more. */
	pthread_mutex_lock(&w.gate);
	while (w.submitted < w.count)
		submit_next(&w);
	pthread_mutex_unlock(&w.gate);
	loop_run(w.loop);
	end(&w);
	assert_int_equal(w.worked, 1000);
	assert_true(w.turns <= 2);
	assert_true(w.first_turn >= 1);
}

static void freeing_finishes_what_is_queued_and_calls_no_done(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 500, "end");
	while (w.submitted < w.count)
		submit_next(&w);
	lane_free(w.lane);
	w.lane = NULL;
	assert_int_equal(w.worked, 500);
	assert_int_equal(w.over, 0);
	end(&w);
}

static void freeing_an_idle_lane_ends_it(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 1, "idle");
	end(&w);
	lane_free(NULL);
}

static void a_lane_has_a_name_and_takes_no_signals(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 1, "a name that is too long");
	submit_next(&w);
	loop_run(w.loop);
	end(&w);
	assert_string_equal(w.name, "a name that is ");
	assert_false(w.signals_open);
	assert_false(pthread_equal(w.thread, pthread_self()));
}

static void two_lanes_work_side_by_side(void **state)
{
	struct world one, two;

	(void)state;
	begin(&one, 300, "one");
	begin(&two, 300, "two");
	pthread_mutex_lock(&one.gate); /* the first stands still, the second goes on */
	submit_next(&one);
	submit_next(&two);
	loop_run(two.loop);
	while (lane_thread_stuck(clock_now()).ns == 0) /* the first has begun by now, or will */
		sched_yield();
	assert_int_equal(two.over, 300);
	assert_int_equal(one.over, 0);
	pthread_mutex_unlock(&one.gate);
	loop_run(one.loop);
	assert_int_equal(one.over, 300);
	while (lane_thread_stuck(clock_now()).ns != 0)
		sched_yield();
	end(&one);
	end(&two);
}

static void a_lane_that_waits_for_another_machine_does_not_count_as_stuck(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 1, "outside");
	pthread_mutex_lock(&w.gate);
	submit_next(&w);
	while (lane_thread_stuck(clock_now()).ns == 0)
		sched_yield();
	lane_thread_waits_outside(w.lane);
	assert_int_equal(lane_thread_stuck(clock_now()).ns, 0);
	pthread_mutex_unlock(&w.gate);
	loop_run(w.loop);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs_come_back_in_order),
		cmocka_unit_test(a_turn_takes_all_that_is_queued),
		cmocka_unit_test(freeing_finishes_what_is_queued_and_calls_no_done),
		cmocka_unit_test(freeing_an_idle_lane_ends_it),
		cmocka_unit_test(a_lane_has_a_name_and_takes_no_signals),
		cmocka_unit_test(two_lanes_work_side_by_side),
		cmocka_unit_test(a_lane_that_waits_for_another_machine_does_not_count_as_stuck),
	};

	return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
