#ifndef COMMON_LANE_H
#define COMMON_LANE_H

#include <stdbool.h>
#include <sys/queue.h>

/*
 * A lane: work that may block, done in order beside the loop. Its owner submits jobs; the lane takes *all* that
 * are queued as one turn (so one fdatasync or one transaction serves them), and hands each back when the turn is
 * over. In the worker a lane is a thread (lane_thread_new); in the simulator it is a queue that is worked off
 * inline, in a seeded order. A job is begun by the struct of whoever submits it, which also owns its memory.
 */
struct job {
	STAILQ_ENTRY(job) link;
};
STAILQ_HEAD(jobs, job);

struct lane_work {
	/* Does all of `jobs`, in order. Runs on the lane's thread; must leave the queue as it was. */
	void (*turn)(void *arg, struct jobs *jobs);
	/* A job is over; runs on the loop's thread, in the order of submission. */
	void (*done)(void *arg, struct job *job);
	void *arg;
};

struct lane {
	const struct lane_ops *ops;
};

struct lane_ops {
	void (*submit)(struct lane *, struct job *);
	void (*free)(struct lane *);
};

/* Never blocks. The job belongs to the lane until `done` was called with it. */
void lane_submit(struct lane *l, struct job *job);

/* Ends the lane: what is queued is still done, but `done` is not called any more for it. Waits for a turn under
 * way. Accepts NULL. */
void lane_free(struct lane *l);

/* Whoever owns a replica decides what its lanes are made of. */
struct lane_maker {
	struct lane *(*make)(struct lane_maker *, const char *name, struct lane_work work);
};

#endif
