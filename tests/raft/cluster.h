#ifndef TESTS_RAFT_CLUSTER_H
#define TESTS_RAFT_CLUSTER_H

#include "worker/raft/raft.h"

/*
 * A handful of raft cores without disk and network: every message, every write and every millisecond moves only
 * when the script says so. What happens is told line by line into `out`.
 */
#define NODES_MAX 8
#define IMAGES_MAX 8
#define ELECTION_MS 1000
#define HEARTBEAT_MS 100

struct letter {
	struct buf bytes; /* encoded, so that every message passes through its codec */
	uint64_t from, to;
	enum raft_type type;
};

/* What came of applying everything up to a position, in place of keys and values. */
struct state {
	struct raft_pos pos;
	uint64_t time_ms, hash;
	uint64_t config_index;
	struct blob *config; /* NULL: not known */
	bool frozen; /* not to be trusted */
};

/* A write that was begun: durable when the script says so. */
struct save {
	uint64_t ticket;
	bool hard_changed;
	struct raft_hard hard;
	bool install, rebase; /* `image` takes the place of the state, and the log begins behind it */
	struct state image;
	struct entries entries;
	struct letter *promises; /* leave then */
	size_t promise_count;
};

struct node {
	uint64_t id, start;
	struct raft *raft; /* NULL: down */
	struct instant now;
	struct raft_hard hard; /* on disk */
	struct raft_pos base; /* on disk: the log begins behind it */
	struct entries log; /* on disk */
	struct state state, state_disk;
	struct state image; /* of raft_install(), until a ready gives it out */
	struct save *saves;
	size_t save_count;
	struct raft_fetch fetches[NODES_MAX];
	size_t fetch_count;
	bool stalled; /* its disk completes nothing by itself */
	unsigned unheard; /* a set of bits: letters to these nodes are lost */
	unsigned images; /* a set of bits: asked for, and not over */
};

/* As it was taken, with the term that its node knew then. */
struct image {
	struct state state;
	uint64_t term;
};

struct cluster {
	struct buf *out;
	struct node nodes[NODES_MAX + 1]; /* by id, from 1 */
	size_t count;
	struct letter *net;
	size_t net_count;
	struct image images[IMAGES_MAX];
	/* Called for each entry that was applied, and each image that came into force; NULL: nobody looks. */
	void (*on_state)(void *arg, const struct node *n);
	void *on_state_arg;
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
/* Encodes it; it is on its way when it is posted. */
struct letter letter_of(const struct raft_message *m);
/* Takes it over. */
void cluster_post(struct cluster *c, struct letter l);
/* Delivers the letters that match (0, -1: any); those that were there when the call began. Returns how many. */
size_t cluster_deliver(struct cluster *c, uint64_t from, uint64_t to, int type, bool keep);
size_t cluster_drop(struct cluster *c, uint64_t from, uint64_t to, int type);
/* Ready, persist, fetch and deliver among `ids` (a set of bits) until nothing moves; a stalled disk does not. */
void cluster_settle(struct cluster *c, unsigned ids);

/* node.c */
/* Releases what the copy of a state holds. */
void state_free(struct state *s);
/* A copy of its own. */
struct state state_of(const struct state *s);
/* Takes what the core gives out: messages into the net, writes begun, entries applied. Those that do not follow what was
 * applied before, or are not what is on disk, end the program. */
void node_ready(struct cluster *c, struct node *n);
/* The oldest write is durable; its promises leave. False: there is none. */
bool node_persist(struct cluster *c, struct node *n);
/* Power is lost: writes begun are gone, `keep` of them aside that reached the disk without anybody having been told;
 * with `half` the state of the next one, if that brings an image, but not its log. The state falls back to what was
 * durable. */
void node_crash(struct node *n, size_t keep, bool half);
void node_start(struct cluster *c, struct node *n);
void node_fini(struct node *n);
/* Gives the core what it asked to be read from the log. */
void node_fetch(struct cluster *c, struct node *n);
/* The log is cut on disk, too; only what the durable state holds. */
void node_compact(struct node *n, uint64_t index);
/* An image, known to be committed in this term, is complete on this node. False: it is no news. */
bool node_install(struct node *n, const struct state *image, uint64_t term);

/* tell.c */
void tell_message(struct cluster *c, const char *what, const struct raft_message *m);
void tell_entries(struct buf *out, const struct entry *e, size_t count);
void node_show(struct cluster *c, const struct node *n);

#endif
