#ifndef DAEMON_PATIENCE_H
#define DAEMON_PATIENCE_H

/*
 * At a start, a predecessor that is just dying may still hold what this process needs: it is asked for again, every
 * 20 ms, up to five seconds. Blocks.
 */

/* Calls try(arg), which returns 0, or -1 with errno set, until it succeeds, fails with another error than `busy`, or
 * the time is over. Returns what the last call did. `what` is for the log line that tells of the waiting. */
int patience_try(int (*try)(void *arg), void *arg, int busy, const char *what);

#endif
