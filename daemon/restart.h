#ifndef DAEMON_RESTART_H
#define DAEMON_RESTART_H

#include <stdbool.h>

#include "common/clock.h"

/*
 * When a worker that died is started anew: at once the first time, then after a wait that doubles from 100 ms to
 * 5 s; a life of ten seconds at work makes it the first time again. Five deaths within a minute before a worker
 * was ever at work mean that no start will do. Pure.
 */
#define RESTART_FAILURES_MAX 5

struct restart {
	struct span wait; /* before the last start; zero: none */
	struct instant failures[RESTART_FAILURES_MAX];
	unsigned failure_count; /* the ring's next place is failure_count % RESTART_FAILURES_MAX */
	unsigned death_count; /* since the last good life */
};

/* A worker died that was started at `started`; `ready`: it had been at work. When to start the next, or
 * INSTANT_NEVER: give up. */
struct instant restart_after(struct restart *r, struct instant started, bool ready, struct instant now);

#endif
