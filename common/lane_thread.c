#define _GNU_SOURCE /* pthread_setname_np */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/lane.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/mem.h"

/*
 * A lane as a thread. Jobs wait in `queued` for the thread and in `over` for the loop; both queues are handed over
 * whole, under the lock. The eventfd is kicked when `over` becomes non-empty.
 */
struct lane_thread {
	struct lane lane;
	struct lane_work work;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct jobs queued, over;
	bool ending;
	bool waits_outside;
	int over_fd;
	struct loop_io *io;
	atomic_int_least64_t turn_ns; /* the instant at which the turn under way began; 0: none is */
	LIST_ENTRY(lane_thread) link;
};

/* Of this process; the thread that makes and frees lanes is the only one to look at it. */
static LIST_HEAD(, lane_thread) lanes = LIST_HEAD_INITIALIZER(lanes);

static struct lane_thread *self(struct lane *lane)
{
	return (struct lane_thread *)(void *)((char *)lane - offsetof(struct lane_thread, lane));
}

/* pthread_* fail here only when the code is wrong. */
static void must(int error)
{
	assert(error == 0);
	(void)error;
}

/* Takes all that is queued, waiting for it; false at the end. */
static bool take_queued(struct lane_thread *t, struct jobs *jobs)
{
	must(pthread_mutex_lock(&t->lock));
	while (STAILQ_EMPTY(&t->queued) && !t->ending)
		must(pthread_cond_wait(&t->wake, &t->lock));
	STAILQ_CONCAT(jobs, &t->queued);
	must(pthread_mutex_unlock(&t->lock));
	return !STAILQ_EMPTY(jobs);
}

static void hand_over(struct lane_thread *t, struct jobs *jobs)
{
	bool first;

	must(pthread_mutex_lock(&t->lock));
	first = STAILQ_EMPTY(&t->over);
	STAILQ_CONCAT(&t->over, jobs);
	must(pthread_mutex_unlock(&t->lock));
	if (first)
		must(eventfd_write(t->over_fd, 1));
}

static void *run(void *arg)
{
	struct lane_thread *t = arg;
	struct jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);

	while (take_queued(t, &jobs)) {
		atomic_store(&t->turn_ns, clock_now().ns);
		t->work.turn(t->work.arg, &jobs);
		atomic_store(&t->turn_ns, 0);
		hand_over(t, &jobs);
	}
	return NULL;
}

static void on_over(void *arg)
{
	struct lane_thread *t = arg;
	struct jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);
	struct job *job;
	eventfd_t count;

	/* Before the queue is taken: what is kicked for afterwards rings again. */
	if (eventfd_read(t->over_fd, &count) != 0 && errno != EAGAIN)
		fatal(EX_OSERR, "cannot read the eventfd of a lane");
	must(pthread_mutex_lock(&t->lock));
	STAILQ_CONCAT(&jobs, &t->over);
	must(pthread_mutex_unlock(&t->lock));
	while ((job = STAILQ_FIRST(&jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(&jobs, link);
		t->work.done(t->work.arg, job);
	}
}

static void submit(struct lane *lane, struct job *job)
{
	struct lane_thread *t = self(lane);
	bool first;

	must(pthread_mutex_lock(&t->lock));
	first = STAILQ_EMPTY(&t->queued);
	STAILQ_INSERT_TAIL(&t->queued, job, link);
	must(pthread_mutex_unlock(&t->lock));
	if (first)
		must(pthread_cond_signal(&t->wake));
}

static void free_thread(struct lane *lane)
{
	struct lane_thread *t = self(lane);

	must(pthread_mutex_lock(&t->lock));
	t->ending = true;
	must(pthread_mutex_unlock(&t->lock));
	must(pthread_cond_signal(&t->wake));
	must(pthread_join(t->thread, NULL));
	LIST_REMOVE(t, link);
	loop_io_free(t->io);
	close(t->over_fd);
	must(pthread_cond_destroy(&t->wake));
	must(pthread_mutex_destroy(&t->lock));
	free(t);
}

static const struct lane_ops thread_ops = { submit, free_thread };

/* The thread inherits the mask: signals are the loop's business. */
static void start(struct lane_thread *t, const char *name)
{
	char short_name[16];
	sigset_t all, before;
	int error;

	sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before));
	error = pthread_create(&t->thread, NULL, run, t);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL));
	if (error != 0) {
		errno = error;
		fatal(EX_OSERR, "cannot start the thread %s", name);
	}
	snprintf(short_name, sizeof(short_name), "%s", name);
	must(pthread_setname_np(t->thread, short_name));
}

struct lane *lane_thread_new(struct loop *l, const char *name, struct lane_work work)
{
	struct lane_thread *t = xcalloc(1, sizeof(*t));

	t->lane.ops = &thread_ops;
	t->work = work;
	STAILQ_INIT(&t->queued);
	STAILQ_INIT(&t->over);
	must(pthread_mutex_init(&t->lock, NULL));
	must(pthread_cond_init(&t->wake, NULL));
	t->over_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->over_fd == -1)
		fatal(EX_OSERR, "cannot make an eventfd for the lane %s", name);
	t->io = loop_io_new(l, t->over_fd, on_over, NULL, t);
	start(t, name);
	LIST_INSERT_HEAD(&lanes, t, link);
	return &t->lane;
}

void lane_thread_waits_outside(struct lane *l)
{
	self(l)->waits_outside = true;
}

struct span lane_thread_stuck(struct instant now)
{
	struct span longest = span_ms(0);
	struct lane_thread *t;

	LIST_FOREACH (t, &lanes, link) {
		struct instant began = { atomic_load(&t->turn_ns) };

		if (!t->waits_outside && began.ns != 0 && instant_between(began, now).ns > longest.ns)
			longest = instant_between(began, now);
	}
	return longest;
}
