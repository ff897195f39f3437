#ifndef WORKER_REACH_H
#define WORKER_REACH_H

#include "common/clock.h"
#include "common/mem.h"

/*
 * Asks once, from a process that is no node, who answers at the peer addresses of nodes.
 */
struct reached {
	const char *address; /* HOST:PORT; the caller's, borrowed */
	bool connected; /* something accepts connections there */
	bool greeted; /* it is a node: what its hello said */
	uint64_t cluster, incarnation;
	char *id; /* NULL: not known */
	char *why; /* it is not: a reason; NULL: none */
};

/* Dials all of them at once; blocks until each has said hello or its patience is over. reached_free() releases what
 * was filled in. */
void reach(struct reached *list, size_t count, struct span patience);
void reached_free(struct reached *list, size_t count);

#endif
