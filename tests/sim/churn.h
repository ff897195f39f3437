#ifndef TESTS_SIM_CHURN_H
#define TESTS_SIM_CHURN_H

#include "common/ipc.h"
#include "common/member.h"
#include "tests/sim/plan.h"

/*
 * Members come and go, one change at a time: whoever looks after the cluster asks any of its nodes to add or to remove
 * one, again and again until it is done or given up. Nodes that were removed get an empty disk before they are added
 * again; the disk of a member is lost, and its node added again in its own place. A change that is answered OK is there.
 * A node that takes the id of a member for its own is never added; it passes on what clients ask of it.
 */
struct universe;
struct node;

#define CHURN_CLIENT 1000

struct churn {
	struct random dice;
	bool busy; /* a change is wanted */
	bool clone; /* of a node with the id of a member */
	bool lost; /* of a node whose disk is lost: never given up */
	enum member_kind kind;
	int subject;
	int tries;
	uint64_t request; /* the last one made */
	bool waits; /* for its answer */
	int asked;
	unsigned life;
	struct instant due; /* by the clock of who was asked */
};

void churn_start(struct universe *u);
void churn_on_answer(struct universe *u, struct node *n, const struct ipc_answer *a);
/* Nothing is wanted any more; a leader has said the last word on who is a member, nobody is left half-way, and whoever is
 * out knows it. */
bool churn_settled(struct universe *u);

#endif
