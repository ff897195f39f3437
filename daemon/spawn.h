#ifndef DAEMON_SPAWN_H
#define DAEMON_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#include "daemon/user.h"

/*
 * A new process of holdfast-worker: fork and exec.
 */
struct spawn {
	const char *const *argv; /* NULL at the end; argv[0] is a name, not the path */
	const int *sockets; /* listening sockets: descriptors 3 ... of the worker, LISTEN_FDS of them */
	size_t socket_count;
	int channel; /* the worker's end of the socketpair: HOLDFAST_CHANNEL names it there */
	int metrics; /* the board of metrics: HOLDFAST_METRICS names it there; or -1 */
	int lock; /* inherited without a word, or -1 */
	const struct user *user; /* whom it is to be */
};

/* The program beside this one, else the one of the installation. Ends the process with 69 where there is neither.
 * Static memory. */
const char *spawn_program(void);

/* Starts it; its pid, or -1 with errno. The worker inherits what is named and the standard streams, nothing else
 * (all else must be close-on-exec); has every signal in its default state; and is killed by the kernel when this
 * process dies, however it dies. */
pid_t spawn_worker(const struct spawn *s);

/* Becomes holdfast-worker itself, for work that ends: with the standard streams, the lock, and the descriptor `conf`, which
 * HOLDFAST_CONF names there. */
void spawn_instead(const char *const *argv, int conf, int lock, const struct user *user)
    __attribute__((noreturn));

#endif
