#ifndef DAEMON_OPENING_H
#define DAEMON_OPENING_H

#include "common/binding.h"
#include "daemon/child.h"
#include "daemon/listen.h"

/*
 * What a node needs before its workers start, and may have to wait for: the lock of the data directory, up to five
 * seconds while a predecessor is dying, and the sockets for HTTP (common/binding.h). Signals are obeyed meanwhile. What is
 * impossible ends the process, as it does there and in daemon/datadir.h.
 */
struct opening {
	struct child_env *
	    env; /* whose lock and sockets this fills in; what is read of its configuration does not change */
	int *sockets;
	void (*over)(void *arg);
	void *arg;
	struct loop_timer *again;
	struct instant until; /* for the lock */
	bool told; /* that the lock is waited for */
	bool locked, run_made; /* the directories are this node's; and the run directory was not there */
	struct binding *binding; /* NULL: not yet, or not any more */
};

/* over() is called in a later turn, when all is there. Borrows `env` and `sockets`, which has room for LISTEN_MAX. */
void opening_start(
    struct opening *o, struct child_env *env, int *sockets, void (*over)(void *arg), void *arg);
/* Gives back what was opened, at any moment. */
void opening_fini(struct opening *o);

#endif
