/* links: common/loop.c common/lane.c common/lane_thread.c common/clock.c common/mem.c common/log.c -levent_core */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/loop.h"
#include "common/mem.h"

/* What happened, in order, one letter each. */
struct world {
	struct loop *loop;
	struct loop_timer *timer;
	struct loop_batch *batch, *other;
	struct loop_io *io;
	char seen[64];
	size_t rounds;
	struct instant when, rang;
};

static void see(struct world *w, char what)
{
	size_t n = strlen(w->seen);

	assert_true(n + 1 < sizeof(w->seen));
	w->seen[n] = what;
}

static struct world begin(void)
{
	return (struct world){ .loop = loop_new() };
}

static void end(struct world *w)
{
	loop_timer_free(w->timer);
	loop_batch_free(w->batch);
	loop_batch_free(w->other);
	loop_io_free(w->io);
	loop_free(w->loop);
}

static struct instant in_ms(struct world *w, int64_t ms)
{
	return instant_add(loop_now(w->loop), span_ms(ms));
}

static void on_time_stop(void *arg)
{
	struct world *w = arg;

	see(w, 't');
	w->rang = loop_now(w->loop);
	loop_stop(w->loop);
}

static void a_timer_never_rings_early(void **state)
{
	struct world w = begin();

	(void)state;
	w.timer = loop_timer_new(w.loop, on_time_stop, &w);
	for (int i = 0; i < 10; i++) {
		w.when = instant_add(clock_now(), span_us(700 * i));
		loop_timer_set(w.timer, w.when);
		loop_run(w.loop);
		assert_true(instant_passed(w.when, w.rang));
	}
	assert_string_equal(w.seen, "tttttttttt");
	end(&w);
}

static void on_time_other(void *arg)
{
	struct world *w = arg;

	see(w, 'o');
}

static void a_timer_can_be_moved_and_unset(void **state)
{
	struct world w = begin();
	struct loop_timer *other = loop_timer_new(w.loop, on_time_other, &w);
	struct loop_timer *unset = loop_timer_new(w.loop, on_time_other, &w);

	(void)state;
	w.timer = loop_timer_new(w.loop, on_time_stop, &w);
	loop_timer_set(other, in_ms(&w, 100000));
	loop_timer_set(unset, in_ms(&w, 1));
	loop_timer_set(unset, INSTANT_NEVER);
	loop_timer_set(w.timer, in_ms(&w, 20));
	loop_timer_set(other, in_ms(&w, 1));
	loop_run(w.loop);
	assert_string_equal(w.seen, "ot");
	loop_timer_free(other);
	loop_timer_free(unset);
	end(&w);
}

static void on_time_free(void *arg)
{
	struct world *w = arg;

	loop_timer_free(w->timer);
	w->timer = NULL;
	loop_stop(w->loop);
}

static void a_timer_may_free_itself(void **state)
{
	struct world w = begin();

	(void)state;
	w.timer = loop_timer_new(w.loop, on_time_free, &w);
	loop_timer_set(w.timer, loop_now(w.loop));
	loop_run(w.loop);
	assert_null(w.timer);
	end(&w);
}

static void on_time_read_clock(void *arg)
{
	struct world *w = arg;
	struct instant before = loop_now(w->loop);

	usleep(2000);
	assert_int_equal(before.ns, loop_now(w->loop).ns);
	if (++w->rounds == 2) {
		assert_true(w->when.ns < before.ns);
		loop_stop(w->loop);
	}
	w->when = before;
	loop_timer_set(w->timer, before);
}

static void a_turn_has_one_time(void **state)
{
	struct world w = begin();

	(void)state;
	w.timer = loop_timer_new(w.loop, on_time_read_clock, &w);
	loop_timer_set(w.timer, loop_now(w.loop));
	loop_run(w.loop);
	end(&w);
}

static void on_end_1(void *arg)
{
	see(arg, '1');
}

static void on_end_2(void *arg)
{
	see(arg, '2');
}

static void on_batch(void *arg)
{
	see(arg, 'b');
}

static void on_time_ask(void *arg)
{
	struct world *w = arg;

	see(w, 't');
	loop_batch_ask(w->batch);
	loop_batch_ask(w->batch);
	loop_stop(w->loop);
}

static void a_turn_ends_in_order_with_each_batch_once(void **state)
{
	struct world w = begin();

	(void)state;
	loop_at_turn_end(w.loop, on_end_1, &w);
	loop_at_turn_end(w.loop, on_end_2, &w);
	w.batch = loop_batch_new(w.loop, on_batch, &w);
	w.timer = loop_timer_new(w.loop, on_time_ask, &w);
	loop_timer_set(w.timer, in_ms(&w, 1));
	loop_run(w.loop);
	/* The first pair is the end of what came before loop_run(). libevent's coarse clock may add empty turns. */
	assert_true(strlen(w.seen) >= 6);
	assert_string_equal(w.seen + strlen(w.seen) - 4, "t12b");
	end(&w);
}

static void what_is_asked_before_the_run_is_done_at_once(void **state)
{
	struct world w = begin();

	(void)state;
	w.batch = loop_batch_new(w.loop, on_batch, &w);
	w.timer = loop_timer_new(w.loop, on_time_stop, &w);
	loop_timer_set(w.timer, in_ms(&w, 1));
	loop_batch_ask(w.batch);
	loop_run(w.loop);
	assert_string_equal(w.seen, "bt");
	end(&w);
}

static void on_batch_ask_other(void *arg)
{
	struct world *w = arg;

	see(w, 'a');
	if (++w->rounds < 3)
		loop_batch_ask(w->other);
	else
		loop_stop(w->loop);
}

static void on_batch_ask_back(void *arg)
{
	struct world *w = arg;

	see(w, 'o');
	loop_batch_ask(w->batch);
}

static void what_a_batch_asks_for_does_not_wait_for_an_event(void **state)
{
	struct world w = begin();

	(void)state;
	w.batch = loop_batch_new(w.loop, on_batch_ask_other, &w);
	w.other = loop_batch_new(w.loop, on_batch_ask_back, &w);
	loop_at_turn_end(w.loop, on_end_1, &w);
	loop_batch_ask(w.batch);
	loop_run(w.loop); /* would hang here: nothing else is registered */
	assert_string_equal(w.seen, "1a1o1a1o1a");
	end(&w);
}

static void on_batch_free_other(void *arg)
{
	struct world *w = arg;

	see(w, 'f');
	loop_batch_free(w->other);
	w->other = NULL;
	loop_batch_free(w->batch);
	w->batch = NULL;
	loop_stop(w->loop);
}

static void a_batch_may_free_itself_and_another(void **state)
{
	struct world w = begin();

	(void)state;
	w.batch = loop_batch_new(w.loop, on_batch_free_other, &w);
	w.other = loop_batch_new(w.loop, on_batch, &w);
	w.timer = loop_timer_new(w.loop, on_time_stop, &w);
	loop_timer_set(w.timer, loop_now(w.loop));
	loop_batch_ask(w.batch);
	loop_batch_ask(w.other);
	loop_run(w.loop);
	assert_string_equal(w.seen, "f");
	end(&w);
}

static void on_end_set_timer(void *arg)
{
	struct world *w = arg;

	see(w, 'e');
	if (++w->rounds < 3)
		loop_timer_set(w->timer, loop_now(w->loop));
	else
		loop_stop(w->loop);
}

static void on_time(void *arg)
{
	see(arg, 't');
}

static void work_made_at_a_turn_end_has_a_turn_of_its_own(void **state)
{
	struct world w = begin();

	(void)state;
	w.timer = loop_timer_new(w.loop, on_time, &w);
	loop_at_turn_end(w.loop, on_end_set_timer, &w);
	loop_run(w.loop);
	assert_string_equal(w.seen, "etete");
	end(&w);
}

static void on_pipe_readable(void *arg)
{
	struct world *w = arg;

	see(w, 'r');
	if (++w->rounds == 3) {
		loop_io_read(w->io, false);
		loop_timer_set(w->timer, in_ms(w, 5));
	}
}

static void a_descriptor_is_watched_by_level_until_told_not_to(void **state)
{
	struct world w = begin();
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	w.timer = loop_timer_new(w.loop, on_time_stop, &w);
	w.io = loop_io_new(w.loop, fds[0], on_pipe_readable, NULL, &w);
	loop_run(w.loop);
	assert_string_equal(w.seen, "rrrt");
	end(&w);
	close(fds[0]);
	close(fds[1]);
}

static void on_pipe_writable(void *arg)
{
	struct world *w = arg;

	see(w, 'w');
	loop_io_free(w->io);
	w->io = NULL;
	loop_stop(w->loop);
}

static void writing_is_off_at_first_and_a_watch_may_free_itself(void **state)
{
	struct world w = begin();
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	w.timer = loop_timer_new(w.loop, on_time_stop, &w);
	w.io = loop_io_new(w.loop, fds[1], on_pipe_readable, on_pipe_writable, &w);
	loop_timer_set(w.timer, in_ms(&w, 2));
	loop_run(w.loop);
	assert_string_equal(w.seen, "t");
	loop_io_write(w.io, true);
	loop_run(w.loop);
	assert_string_equal(w.seen, "tw");
	end(&w);
	close(fds[0]);
	close(fds[1]);
}

static void on_signal(void *arg, int number)
{
	struct world *w = arg;

	assert_int_equal(number, SIGUSR1);
	see(w, 's');
	loop_stop(w->loop);
}

static void a_signal_arrives_in_the_loop(void **state)
{
	struct world w = begin();
	struct loop_signal *s = loop_signal_new(w.loop, SIGUSR1, on_signal, &w);

	(void)state;
	raise(SIGUSR1);
	loop_run(w.loop);
	assert_string_equal(w.seen, "s");
	loop_signal_free(s);
	end(&w);
}

static void stopped_before_it_runs_it_returns_at_once(void **state)
{
	struct world w = begin();

	(void)state;
	loop_at_turn_end(w.loop, on_end_1, &w);
	loop_stop(w.loop);
	loop_run(w.loop);
	assert_string_equal(w.seen, "");
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_never_rings_early),
		cmocka_unit_test(a_timer_can_be_moved_and_unset),
		cmocka_unit_test(a_timer_may_free_itself),
		cmocka_unit_test(a_turn_has_one_time),
		cmocka_unit_test(a_turn_ends_in_order_with_each_batch_once),
		cmocka_unit_test(what_is_asked_before_the_run_is_done_at_once),
		cmocka_unit_test(what_a_batch_asks_for_does_not_wait_for_an_event),
		cmocka_unit_test(a_batch_may_free_itself_and_another),
		cmocka_unit_test(work_made_at_a_turn_end_has_a_turn_of_its_own),
		cmocka_unit_test(a_descriptor_is_watched_by_level_until_told_not_to),
		cmocka_unit_test(writing_is_off_at_first_and_a_watch_may_free_itself),
		cmocka_unit_test(a_signal_arrives_in_the_loop),
		cmocka_unit_test(stopped_before_it_runs_it_returns_at_once),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
