#ifndef TESTS_RAFT_CLUSTER_H
#define TESTS_RAFT_CLUSTER_H

#include "worker/raft/raft.h"

/*
 * A handful of raft cores without disk and network: every message, every write and every millisecond moves only
 * when the script says so. What happens is told line by line into `out`.
 */
#define NODES_MAX 8
#define ELECTION_MS 1000
#define HEARTBEAT_MS 100

struct letter {
	struct buf bytes; /* encoded, so that every message passes through its codec */
	uint64_t from, to;
	enum raft_type type;
};

/* A write that was begun: durable when the script says so. */
struct save {
	uint64_t ticket;
	bool hard_changed;
	struct raft_hard hard;
	struct entries entries;
	struct letter *promises; /* leave then */
	size_t promise_count;
};

struct node {
	uint64_t id, start;
	struct raft *raft; /* NULL: down */
	struct instant now;
	struct raft_hard hard; /* on disk */
	struct entries log; /* on disk; index 1 first */
	uint64_t applied, applied_disk;
	struct save *saves;
	size_t save_count;
	struct raft_fetch fetches[NODES_MAX];
	size_t fetch_count;
	bool stalled; /* its disk completes nothing by itself */
	unsigned unheard; /* a set of bits: letters to these nodes are lost */
};

struct cluster {
	struct buf *out;
	struct node nodes[NODES_MAX + 1]; /* by id, from 1 */
	size_t count;
	struct letter *net;
	size_t net_count;
	size_t message_bytes_max, uncommitted_bytes_max, cache_bytes;
};

/* Nodes 1 .. count; the last `outside` of them are no members yet, the last `learners` before those have no vote. All
 * hold entry 1, the configuration, in term 1. */
void cluster_init(struct cluster *c, size_t count, size_t learners, size_t outside, struct buf *out);
/* What the operator calls node `id`: n1 ... Static memory. */
struct bytes cluster_name(uint64_t id);
void cluster_fini(struct cluster *c);
/* A node by number; ends the program when there is none. */
struct node *cluster_node(struct cluster *c, uint64_t id);

/* Takes what the core gives out: messages into the net, writes begun, entries applied. */
void node_ready(struct cluster *c, struct node *n);
/* The oldest write is durable; its promises leave. False: there is none. */
bool node_persist(struct cluster *c, struct node *n);
/* Power is lost: writes begun are gone, `keep` of them aside that reached the disk without anybody having been told.
 * The state falls back to `applied_disk`. */
void node_crash(struct node *n, size_t keep);
void node_start(struct cluster *c, struct node *n);
/* Gives the core what it asked to be read from the log. */
void node_fetch(struct cluster *c, struct node *n);

/* Delivers the letters that match (0, -1: any); those that were there when the call began. Returns how many. */
size_t cluster_deliver(struct cluster *c, uint64_t from, uint64_t to, int type, bool keep);
size_t cluster_drop(struct cluster *c, uint64_t from, uint64_t to, int type);
/* Ready, persist, fetch and deliver among `ids` (a set of bits) until nothing moves; a stalled disk does not. */
void cluster_settle(struct cluster *c, unsigned ids);

void node_show(struct cluster *c, const struct node *n);

#endif
