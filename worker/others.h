#ifndef WORKER_OTHERS_H
#define WORKER_OTHERS_H

#include "common/clock.h"
#include "common/mem.h"

/*
 * Can the other members do without this node? They can when one of them leads, confirmed by a majority, and so many voters
 * beside this node answer for themselves (GET /v1/status), not quarantined and with a leader, as a majority of all voters
 * is. Then whatever this node has forgotten is held by a majority that has not.
 */
struct others_question {
	const char *id, *http; /* of this node; its address is not asked */
	uint64_t cluster, incarnation; /* 0: not known any more */
	struct bytes members; /* a configuration that was in force once; may be empty */
	const char *more; /* HOST:PORT, HOST:PORT ... to ask as well */
};

/* True: they can; *join is where the members are: HOST:PORT, HOST:PORT ... Asks again and again until then or until
 * `patience` is over; blocks. False: *why. The caller frees what comes out. */
bool others_can_spare(const struct others_question *q, struct span patience, char **join, char **why);

#endif
