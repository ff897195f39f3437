#ifndef TESTS_SIM_NODE_H
#define TESTS_SIM_NODE_H

#include "common/lane.h"
#include "common/random.h"
#include "tests/sim/net.h"
#include "tests/sim/sim_tables.h"
#include "worker/kv/kv.h"
#include "worker/raft/config.h"
#include "worker/replica/replica.h"

/*
 * A machine with a disk that outlives its processes, and the process that runs on it, a life: a replica with
 * lanes, a clock of its own and a loop whose turns end in replica_flush().
 */
struct universe;
struct node;

#define LANES_MAX 8

/* Work beside the loop: everything that is queued when the lane gets to it is one turn. Its effect comes at one
 * moment of the time that it takes, its completions at the end of it. */
struct sim_lane {
	struct lane lane;
	struct node *node;
	unsigned number;
	struct lane_work work;
	struct jobs queued, running;
	bool busy;
};

struct node {
	struct universe *universe;
	int number; /* from 0; shown from 1 */
	char id[8], address[24], http[40];
	unsigned moves; /* how often its addresses have changed */
	bool formed; /* it was seen to belong to a cluster */
	bool told; /* where the others are, since it has lost them */
	struct random dice;
	struct disk *disk;
	struct ballast *ballast; /* of this life */
	struct disk_relief relief; /* the ballast's, and patience */
	struct disk_relief *ballast_relief;
	struct instant full_until; /* the filesystem, filled by somebody else */
	bool wiped; /* it is not the disk that it began with */
	bool rotten; /* its state is not what its log made of it */
	struct instant distrusted; /* the last moment at which it was quarantined */
	bool losing; /* at its next start its state is set aside */
	bool lost; /* it was, and no other has taken its place yet */
	bool unlisted; /* its command line names no members */
	unsigned level_most; /* the highest feature level that its program knows */
	unsigned announced; /* the highest that a program knew which ran on this disk */
	bool outdated; /* it has stopped because of what it does not know */
	struct sim_tables tables;

	unsigned life; /* of the process, from 1 */
	struct replica *replica; /* NULL: down */
	struct sim_transport transport;
	struct lane_maker lanes;
	struct sim_lane *lane[LANES_MAX];
	unsigned lane_count;
	bool in_lane; /* a lane is at work: a call that finds no space waits */
	bool turn_open; /* the turn's end is due */
	size_t unsent; /* bytes of results that its clients have not taken, as of then */
	struct instant taken_at;
	bool in_request; /* replica_request() is running: no answer may come */
	const char *doomed; /* the replica says that it cannot go on */
	struct instant tick_at;
	struct instant paused_until;
	struct instant slow_until, hung_until; /* the disk */
	uint64_t fuse; /* the disk call of its next life that it dies in; 0: none */
	uint64_t sweeps; /* how often that was asked for */
	bool burning; /* the fuse of its life is that one */
	int64_t clock_offset_ns;

	/* as last seen, for the laws */
	uint64_t incarnation, first, commit, applied, led_term, told_revision;
	struct raft_config config; /* of the leader, copied without its data */
};

void nodes_init(struct universe *u);
void nodes_fini(struct universe *u);

/* Starts a process; false when its disk died under it (the node is down again). */
bool node_start(struct node *n);
/* The process ends at once; with `power` the disk loses what was not synced, the table what was not flushed. */
void node_crash(struct node *n, bool power);
/* Another start of the process after a while. */
void node_restart_later(struct node *n, struct span delay);
/* Ends the process, if there is one, and puts an empty disk into the machine. */
void node_wipe(struct node *n);
/* Its next life has the name of that one, which may be itself. */
void node_name(struct node *n, const struct node *as);
/* What it answers may be wrong, for it does not know yet that its state is: whatever asks it bears that. */
bool node_misleads(const struct node *n);
/* It may be asked for keys: one that has no cluster, nor a list of others, would form one of its own. */
bool node_serves(const struct node *n);
/* Stops one that runs, for as long or until all is healed, unless it is stopped: what comes for it waits. By `clock_too`
 * its clock does not see that time pass. */
void node_pause(struct node *n, struct span length, bool clock_too);

bool node_up(const struct node *n);
/* Its filesystem has been filled by somebody else, and not emptied yet. */
bool node_is_filled(const struct node *n);
/* Its disk is dead: nothing that it does has an effect any more. */
bool node_dies(const struct node *n);
/* Its disk takes its time or hangs, or did a moment ago. */
bool node_is_slow(const struct node *n);
/* After work on its disk: buries the node if the disk died in it. */
void node_check_disk(struct node *n);
/* Its own clock. */
struct instant node_now(const struct node *n);
/* The replica was called: its turn ends soon. Call it after every call but replica_open(). */
void node_touch(struct node *n);
/* Lets a node make its lanes (lanes.c). */
void lanes_init(struct node *n);
/* Opens and closes the ballast of a life; in between lanes wait for space as the product's do (lanes.c). */
enum err ballast_begin(struct node *n);
void ballast_end(struct node *n);
/* The node that leads in the highest term, NULL when none believes so. */
struct node *node_leading(struct universe *u);

#endif
