#ifndef TESTS_SIM_BACKUPS_H
#define TESTS_SIM_BACKUPS_H

#include "common/buf.h"
#include "common/ipc.h"
#include "common/random.h"

/*
 * Who takes backups, one at a time: now and then of a node that serves, as slowly as it likes, and does not always stay
 * to the end. What came whole loads, and is the state that the nodes had at its index. In the end each member gives one.
 */
struct universe;
struct node;

#define BACKUP_CLIENT 3000 /* as which it asks the replicas */

struct backups {
	struct random dice;
	uint64_t id; /* of the last one that was asked for */
	bool on; /* it is under way */
	bool begun; /* its first answer came */
	int node;
	unsigned life;
	uint64_t index;
	int64_t credit; /* less what came for it */
	bool misled; /* the node had a state that went wrong */
	struct buf image;
	bool resting; /* nobody wants one */
	bool ending; /* all is healed: no one is given up, and `left` has who is still to give one */
	uint64_t left; /* bit n: node n */
};

void backups_start(struct universe *u);
void backups_fini(struct universe *u);
void backups_on_answer(struct universe *u, struct node *n, const struct ipc_answer *a);
/* Nobody who takes his time with one holds up an image for another node any more. */
void backups_heal(struct universe *u);
/* After that: every member gives one. */
void backups_end(struct universe *u);
bool backups_ended(const struct universe *u);

#endif
