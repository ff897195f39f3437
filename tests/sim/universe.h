#ifndef TESTS_SIM_UNIVERSE_H
#define TESTS_SIM_UNIVERSE_H

#include "tests/sim/backups.h"
#include "tests/sim/churn.h"
#include "tests/sim/clients.h"
#include "tests/sim/laws.h"
#include "tests/sim/nemesis.h"
#include "tests/sim/net.h"
#include "tests/sim/node.h"
#include "tests/sim/plan.h"
#include "tests/sim/story.h"
#include "tests/sim/upgrade.h"

/*
 * One seed, one universe: nodes that are real replicas on simulated disks, tables, lanes, clocks and wires, clients
 * that use them, a nemesis that hurts them, and laws that must hold all the time. The same seed gives the same
 * universe, event by event.
 */

/* What a universe did, for the totals; plain numbers, so that it can be sent through a pipe. */
struct deeds {
	uint64_t simulated_ms, events, frames, elections, crashes, restarts, turns, refused_damage;
	uint64_t asked, acked, reads, unknown, refused, retried, replayed, conditions;
	uint64_t applied, log_cuts, images, backups, writes_lost, writes_torn, names_lost, commits_lost;
	uint64_t judged, undecided; /* operations on registers by the search for a linearization; universes */
	uint64_t faults[FAULTS];
	uint64_t trace; /* a hash of all events */
};

/* For the controls of the simulator: what is broken on purpose. */
enum sabotage {
	SABOTAGE_NONE,
	SABOTAGE_DISK, /* syncs are lies */
	SABOTAGE_TABLE, /* a loss of power takes a record that was flushed */
	SABOTAGE_ANSWER, /* an answer is given twice */
	SABOTAGE_READ, /* reads are answered with what was there before */
	SABOTAGE_FRAME, /* a byte of an entry changes on its way */
	SABOTAGE_TWICE, /* writes are asked twice */
	SABOTAGE_HASH, /* nobody hears of another's state */
};

struct universe {
	struct plan plan;
	enum sabotage sabotage;
	struct random dice;
	uint64_t secrets; /* state of what random_secret() gives */
	struct events events;
	struct instant now;
	void (*on_fail)(struct universe *u, const char *why); /* or NULL: it is about to end in failure */
	bool healed; /* nothing is broken any more */
	struct node nodes[NODES_MAX];
	struct net net;
	struct laws laws;
	struct clients clients;
	struct history history;
	struct nemesis nemesis;
	struct churn churn;
	struct backups backups;
	struct deeds deeds;
	struct story story;
};

/* The one that is running, for log_info() and random_secret(), which are not told; NULL before the first. */
extern struct universe *universe_running;

/* Runs one to its end; every law held when it returns, else it ends the process (universe_fail). */
void universe_run(struct universe *u, const struct plan *p, enum sabotage sabotage, bool aloud);
/* Without faults: forms a cluster, cuts the power of all nodes, starts them all at one moment, and returns the time from
 * there until one leads. */
struct span universe_time_to_leader(struct universe *u, const struct plan *p);
/* Why it does not count although nothing was wrong; NULL when it counts. */
const char *universe_idle(const struct universe *u);
void universe_free(struct universe *u);

/* Adds an event `delay` from now, to a node's present life or to NOBODY; takes `data`. */
void universe_add(struct universe *u, struct span delay, const struct event_kind *kind, int node, uint64_t a,
    uint64_t b, struct blob *data);

#endif
