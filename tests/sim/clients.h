#ifndef TESTS_SIM_CLIENTS_H
#define TESTS_SIM_CLIENTS_H

#include "tests/sim/history.h"
#include "tests/sim/plan.h"

/*
 * Those who use the cluster, one operation at a time each: unique keys that are put once, and a few registers that
 * all of them put, change under a condition, delete and read. They give up, try again at another node, cancel. A
 * request gets one answer, in time, unless its node died; what the answers say goes into the history.
 *
 * Beside the ordinary clients each node has a prober, which after healing asks it for one of everything, again and
 * again until it is given.
 */
struct universe;
struct node;

/* One request to one life of one node. */
struct ask {
	uint32_t op, client;
	int node;
	unsigned life;
	bool answered;
	bool cancelled; /* then it may still be answered, once */
	struct instant due; /* by the node's clock */
};

struct client {
	bool busy;
	uint32_t op;
	uint64_t ask; /* the one it waits for; 0: it is about to try again */
	uint64_t timer; /* what rings for an earlier one is void */
	uint64_t seen_modify[32]; /* of each register, for conditions */
	bool hasty; /* the next one reads what it has just written */
	int probes; /* a prober: what it has still to be given */
};

#define CLIENTS_MAX 8
#define PROBES 6 /* a put, a put under a condition, a delete, a read of each level */

struct clients {
	struct random dice;
	struct client list[CLIENTS_MAX + NODES_MAX];
	bool stopped; /* no new operations */
	struct ask *asks; /* by request id - 1 */
	size_t ask_count, ask_room, ask_checked;
};

void clients_start(struct universe *u);
void clients_fini(struct universe *u);
void clients_on_answer(struct universe *u, struct node *n, uint32_t client, const struct ipc_answer *a);
/* A node died with what was asked of it. */
void clients_on_crash(struct universe *u, struct node *n);
/* Fails the universe where a request waits longer than it may. */
void clients_check_waiting(struct universe *u);
/* After healing: the probers begin. */
void clients_probe(struct universe *u);
bool clients_probed(const struct universe *u);
void clients_stop(struct universe *u);
/* Nothing is asked any more, and nobody waits. */
bool clients_quiet(const struct universe *u);

#endif
