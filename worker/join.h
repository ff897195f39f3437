#ifndef WORKER_JOIN_H
#define WORKER_JOIN_H

#include "common/conf.h"
#include "common/loop.h"

/*
 * A node without a cluster that was told to join one ([cluster] join), or that lost its place by damage, asks members of it, by POST /v1/members over HTTP,
 * to be added under its id and the addresses that it advertises: one after the other, its own address left out, and again
 * and again with growing pauses, until join_end(). Why nobody takes it in is logged, each reason once. The answer adds
 * nothing by itself: what makes the node a member comes from the leader, over the peers' network.
 *
 * Requests are made on a lane; all else happens on the loop's thread.
 */
struct join;

/* Asks at these addresses (HOST:PORT, HOST:PORT ...). Begins at once; what it needs of the configuration is copied. Ends the process where there is nobody to ask. */
struct join *join_start(struct loop *l, const struct conf *c, const char *addresses, uint64_t seed);
/* Asks no more. Does not wait for a request that is out: frees everything when that is over. Accepts NULL. */
void join_end(struct join *j);

#endif
