#ifndef WORKER_REPLICA_HEALTH_H
#define WORKER_REPLICA_HEALTH_H

#include "worker/raft/raft.h"

/*
 * Whether a client that comes now would be served, which load balancers ask (/readyz): a linearizable read is tried, and
 * the answer is no once none could be confirmed for two election timeouts. So a change of leaders empties no load
 * balancer. Probes share one read in each 100 ms. A node that cannot serve reads by its own state at all (unformed,
 * removed, quarantined) needs no read to know it, and answers at once.
 */
struct replica;

struct probe {
	uint32_t client;
	uint64_t id;
	struct instant deadline;
};

struct health {
	struct probe *probes; /* those that wait */
	size_t count, cap;
	uint64_t number; /* of the question for an index that is out; 0: none is */
	uint64_t index; /* it came, and is to be applied; 0: none */
	struct instant asked; /* the last one; {0}: never */
	struct instant since; /* all that was asked since then came to nothing; {0}: not so */
	struct instant served; /* a read that was asked for then could be served; {0}: none yet */
};

void health_fini(struct health *h);

/* A client asks; it is answered with the status, at its deadline at the latest. */
void health_ask(struct replica *r, uint32_t client, uint64_t id, struct instant deadline);
void health_cancel(struct replica *r, uint32_t client, uint64_t id);
/* All that this client asked. */
void health_forget(struct replica *r, uint32_t client);

/* Once a turn, before raft is run: asks for an index. */
void health_question(struct replica *r);
/* And behind it: answers those that can be. */
void health_answer(struct replica *r);
void health_read_done(struct replica *r, const struct raft_read_done *done);
struct instant health_deadline(const struct replica *r);

/* Could a read be confirmed within the last two election timeouts? Of a node that takes part. */
bool health_is_good(const struct replica *r);

#endif
