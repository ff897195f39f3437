#ifndef TESTS_SIM_NEMESIS_H
#define TESTS_SIM_NEMESIS_H

#include "common/random.h"
#include "tests/sim/plan.h"

/* Whoever breaks things: from time to time one of the faults that the plan has drawn, and its end after a while. */
struct universe;
struct node;

/* Moments at which a node has just promised something to somebody, or asked for a promise: the worst ones to die at. */
enum moment {
	MOMENT_STOOD,
	MOMENT_VOTED,
	MOMENT_LED,
	MOMENT_APPENDED,
	MOMENT_ACKED,
	MOMENT_ASKED, /* the leader, for the index of a read */
	MOMENTS
};

/* Springs at such a moment, so often, with pauses between. */
struct trap {
	enum fault fault; /* FAULTS: none is set */
	enum moment moment;
	uint64_t times;
	struct instant ready;
};

struct nemesis {
	struct random dice;
	bool stopped;
	bool partitioned;
	uint64_t partitions; /* so far */
	bool relay; /* at the next such moment another leader is cut off than the one that is */
	enum moment relay_moment;
	int relay_off;
	struct trap trap;
	uint64_t next; /* the fault whose turn it is */
};

void nemesis_start(struct universe *u);
/* Everything whole again, everybody up again soon; no new faults. */
void nemesis_heal(struct universe *u);
/* A node is at such a moment. */
void nemesis_on_moment(struct universe *u, const struct node *n, enum moment m);
/* Counts that a fault of the plan happened. */
void nemesis_count(struct universe *u, enum fault f);
struct node *nemesis_any_node(struct universe *u);
/* The leader more often than not. */
struct node *nemesis_victim(struct universe *u);

/* ---- partition.c ---- */

bool strike_isolate_leader(struct universe *u);
bool strike_isolate_any(struct universe *u);
bool strike_split(struct universe *u);
bool strike_one_way(struct universe *u);
bool strike_bridge(struct universe *u);
bool strike_ring(struct universe *u);
bool strike_flap(struct universe *u);
bool strike_relay(struct universe *u);
bool strike_lag(struct universe *u);
void partition_on_moment(struct universe *u, const struct node *n, enum moment m);
/* Cuts one node off for a while, if nothing else is cut. */
void partition_isolate(struct universe *u, int node);
void partition_heal(struct universe *u);

/* ---- machine.c ---- */

bool strike_handover(struct universe *u);
bool strike_kill(struct universe *u);
bool strike_power(struct universe *u);
bool strike_torn(struct universe *u);
bool strike_trap(struct universe *u);
bool strike_ambush(struct universe *u);
bool strike_sweep(struct universe *u);
bool strike_all_down(struct universe *u);
bool strike_pause(struct universe *u);
bool strike_suspend(struct universe *u);
bool strike_slow_disk(struct universe *u);
bool strike_full(struct universe *u);
bool strike_hang(struct universe *u);
bool strike_disk_error(struct universe *u);
bool strike_flip(struct universe *u);
bool strike_rot(struct universe *u);
bool strike_lost(struct universe *u);
void trap_on_moment(struct universe *u, const struct node *n, enum moment m);
void machines_heal(struct universe *u);

/* ---- churn.c ---- */

bool strike_members(struct universe *u);
bool strike_wipe(struct universe *u);
bool strike_copy(struct universe *u);
bool strike_clone(struct universe *u);

/* ---- upgrade.c ---- */

bool strike_upgrade(struct universe *u);

/* ---- moves.c ---- */

bool strike_move(struct universe *u);
/* What worker/join.c does for a node that has lost the others. */
void moves_tell(struct universe *u, struct node *n);

#endif
