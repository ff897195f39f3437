#ifndef WORKER_JOIN_H
#define WORKER_JOIN_H

#include "common/conf.h"
#include "common/loop.h"
#include "worker/replica/replica.h"

/*
 * What the addresses of [cluster] join are asked over HTTP, one after the other and this node's own left out, until
 * join_end(). Requests are made on a lane; all else happens on the loop's thread.
 */
enum join_purpose {
	/* To be added: a node without a cluster sends POST /v1/members with its id and the addresses that it advertises, again
	 * and again with growing pauses. Why nobody takes it in is logged, each reason once. The answer adds nothing by
	 * itself: what makes the node a member comes from the leader, over the peers' network. */
	JOIN_ADD,
	/* Whether any of them belongs to a cluster, by GET /v1/status. Where one does, to be added to it. Where none does, or
	 * none answers, this node may found one. */
	JOIN_FOUND,
	/* Whether they belong to the cluster that this node belongs to. Each is asked until it says so. */
	JOIN_COMPARE,
};

struct join_hooks {
	/* The id of this node is in use in the cluster that was asked. Borrowed for the call. */
	void (*refused)(void *arg, const struct replica_refusal *refusal);
	/* FOUND: none of them belongs to a cluster; nothing more is asked. */
	void (*alone)(void *arg);
	/* COMPARE: this address belongs to another cluster. */
	void (*elsewhere)(void *arg, const char *address, uint64_t cluster);
	/* COMPARE: a node of this cluster says where it listens for other nodes, and where the members do. Borrowed. */
	void (*told)(void *arg, const struct bytes *peers, size_t count);
};

struct join_wish {
	enum join_purpose purpose;
	const char *addresses; /* HOST:PORT, HOST:PORT ...; copied */
	uint64_t incarnation, cluster; /* of this node */
	uint64_t seed; /* for the pauses */
	const struct join_hooks *hooks;
	void *arg;
};

struct join;

/* Begins at once; what it needs of the configuration is copied. Ends the process where there is nobody to ask to be added by. */
struct join *join_start(struct loop *l, const struct conf *c, const struct join_wish *wish);
/* COMPARE: this node knows no leader (or does again), so that each address is asked again and again where the members are. */
void join_set_astray(struct join *j, bool astray);
/* Asks no more. Does not wait for a request that is out: frees everything when that is over. Accepts NULL. */
void join_end(struct join *j);

#endif
