#ifndef WORKER_REPLICA_REPLICA_H
#define WORKER_REPLICA_REPLICA_H

#include "common/ballast.h"
#include "common/clock.h"
#include "common/disk.h"
#include "common/ipc.h"
#include "common/lane.h"
#include "common/metric.h"
#include "worker/kv/tables.h"
#include "worker/replica/transport.h"

/*
 * A replica: raft core, log, state machine and the requests that wait for them, as one unit. Its only contacts
 * with the world are handed in: disk, tables, transport, lanes and the time. The consensus worker gives it real
 * ones, the simulator simulated ones; the code is the same.
 *
 * One thread (the loop) calls everything here; work on disk and tables happens on the lanes.
 */
struct replica;

/* What of a node lies on its disk. */
enum replica_part { PART_NONE, PART_IDENTITY, PART_LOG, PART_STATE };

struct unsent;

struct replica_env {
	struct disk *disk; /* the data directory; locked by the caller */
	struct ballast
	    *ballast; /* of that disk, as replica_ballast_bytes() says; NULL: there is always room */
	struct tables *tables; /* none of them open */
	struct transport *transport;
	struct lane_maker *lanes;
	/* Exactly one call for each request, several for a stream; the answer is borrowed for the call. Not called from within
	 * replica_request(). */
	void (*answer)(void *arg, uint32_t client, const struct ipc_answer *answer);
	/* What this client has been answered and not everybody who asked it has yet. NULL: answers are there at once. A turn
	 * of the loop follows when it gets less. */
	void (*unsent)(void *arg, uint32_t client, struct unsent *out);
	/* The node cannot go on (a sync failed, the state is damaged): called from the loop's thread, once. The worker
	 * ends with the status (sysexits.h); the simulator ends this life of the node. */
	void (*fatal)(void *arg, int status, const char *why);
	/* While replica_open() reads, how far it is; `doing` is static memory. NULL: nobody wants to know. */
	void (*progress)(void *arg, const char *doing, uint64_t done, uint64_t total);
	void *arg;
	enum replica_part *damaged; /* where replica_open() is ERR_DAMAGED: what is; NULL: nobody asks */
	uint64_t seed; /* for timeouts */
	struct metrics *metrics; /* what the replica counts; NULL: nobody wants to know */
	struct instant (*clock)(
	    void); /* for what is measured on lanes, from their threads; NULL: no time passes */
};

struct unsent {
	size_t all, here; /* bytes of results; of those the ones in this process */
};

/* Borrowed for replica_open(). */
struct replica_options {
	const char *id;
	const char *peer; /* advertised, host:port */
	const char *http; /* advertised, with scheme */
	const char *build; /* the version of the program, which other nodes are told */
	const char *members; /* [cluster] members, "n1=host:port, n2=..."; "" for none */
	bool joins; /* it is to be added to a cluster: it forms none, and has nothing to say until then */
	bool
	    repairs; /* damage that is found at work is noted (repair.h) where there are other voters, for the next start */
	const char
	    *state_lost; /* the state was set aside, and why: another node's is to come; NULL: it was not */
	struct span
	    replace_after; /* a member that was silent for this long may be replaced by a node of its id; 0: never */
	bool new_cluster; /* form a cluster of one although another cluster knows this id */
	struct span election, heartbeat;
	struct span request; /* the longest that a request may wait */
	uint64_t segment_bytes;
	/* What all files of the log take together, and so much more while images need it; 0: the default. */
	uint64_t log_budget, image_budget;
	uint32_t requests_max; /* in flight */
	uint64_t request_bytes_max;
	uint64_t result_bytes; /* of reads, on their way to whoever asked; 0: the default */
	size_t
	    lane_bytes; /* of reads, that the state lane makes before the loop takes them; 0: the default */
	uint64_t cache_bytes; /* entries kept in memory for lagging followers */
	uint64_t image_rate; /* bytes a second of an image to another node; 0: as fast as it goes */
	/* Of entries in one message, on their way to one follower, and not committed yet; 0: the default. */
	size_t message_bytes_max, window_bytes_max, uncommitted_bytes_max;
	/* The states of all nodes are compared at each index that this divides: the same on every node. 0: the default. */
	uint64_t hash_every;
	unsigned level_most; /* the highest feature level that this program knows (worker/kv/feature.h) */
};

/* What depends on the size of a segment: the ballast, and the files of the state's own log. */
uint64_t replica_ballast_bytes(uint64_t segment_bytes);
uint64_t replica_state_log_bytes(uint64_t segment_bytes);

/* Reads identity and log, raises the start counter, and stands ready. Blocks (it reads the disk). ERR_DAMAGED,
 * ERR_IO, ERR_BAD_REQUEST (options; logged). */
enum err replica_open(
    struct replica **out, const struct replica_options *o, const struct replica_env *env, struct instant now);
/* Frees it without answering what waits: for the end of a life. Lanes are freed first. */
void replica_close(struct replica *r);

/* A request; it is answered once, within its time (at most options.request), or by a stream of answers (`more`) that has
 * begun by then. `client` comes back with the answer; it names whoever asked, an http worker's life for instance. Fields
 * are borrowed for the call. */
void replica_request(struct replica *r, uint32_t client, const struct ipc_request *q, struct instant now);
/* So much more of the stream that answers this request may come. */
void replica_credit(struct replica *r, uint32_t client, uint64_t id, uint32_t bytes);
/* No answer is wanted for it any more. */
void replica_cancel(struct replica *r, uint32_t client, uint64_t id);
/* All requests of this client are forgotten. */
void replica_forget(struct replica *r, uint32_t client);

/* Before a stop: asks the voter that is furthest to lead in place of this node. ERR_NOT_LEADER where there is nothing to
 * hand over, ERR_NOT_FOUND where nobody can take it, ERR_BUSY while it is under way. */
enum err replica_hand_over(struct replica *r, struct instant now);

/* From the transport: the far end of a connection said hello. `dialed` is the address when this node dialed, NULL
 * when it accepted. */
void replica_on_hello(
    struct replica *r, const struct peer_hello *hello, const struct bytes *dialed, struct instant now);
/* Who answers at an address that this node dialed is refused; `why` ends a sentence that begins with that node, and is
 * static memory. */
void replica_on_refused(struct replica *r, const struct bytes *dialed, const char *why, struct instant now);
/* The far end of a connection was refused as it belongs to another cluster than this node. */
void replica_on_stranger(
    struct replica *r, const struct peer_hello *hello, const struct bytes *dialed, struct instant now);
/* A cluster refused to add this node, which has none, because its id is in use there. */
struct replica_refusal {
	uint64_t cluster;
	const char *why; /* a sentence */
	const struct bytes *peers; /* where its members listen for other nodes */
	size_t count;
};
/* From now on this node passes what it is asked on to those members, until it is added; copies. */
void replica_visit(struct replica *r, const struct replica_refusal *refusal, struct instant now);
/* A node that joins was told that there is nothing to join: from now on it may form a cluster of its own. */
void replica_may_found(struct replica *r, struct instant now);
/* An address that [cluster] join names belongs to another cluster than this node: said in its log and in its status. */
void replica_warn_of_cluster(struct replica *r, const char *address, uint64_t cluster);
/* Members may be found at these peer addresses, which somebody told; they are dialed while no leader is known. Copies. */
void replica_hint(struct replica *r, const struct bytes *peers, size_t count, struct instant now);
/* A frame from an accepted connection whose hello named this incarnation. */
void replica_on_frame(struct replica *r, uint64_t incarnation, struct bytes frame, struct instant now);
/* The accepted connection from this node closed: nothing comes from it until its next hello. */
void replica_on_lost(struct replica *r, uint64_t incarnation, struct instant now);
/* The dialed connection to this node closed. */
void replica_on_unreachable(struct replica *r, uint64_t incarnation, struct instant now);

/* Time passes; call it at replica_deadline() at the latest. */
void replica_tick(struct replica *r, struct instant now);
struct instant replica_deadline(const struct replica *r);

/* Does what the calls since the last time led to: sends, persists, applies. Once at the end of every turn in which
 * any of the functions above was called or a lane's job was done. */
void replica_flush(struct replica *r, struct instant now);

struct replica_view {
	uint64_t incarnation, cluster, term, leader, commit, applied, last;
	unsigned level; /* the feature level of its state */
	bool leads;
	bool visits; /* it passes requests on, being no member (replica_visit) */
	bool removed; /* it knows that it is no member any more */
	bool astray; /* it is a member, and has known no leader for some time */
	bool quarantined; /* its own state is not trusted, and answers nobody */
	size_t requests; /* not answered yet; those of other nodes included */
};
struct replica_view replica_view(const struct replica *r);
struct raft;
const struct raft *replica_raft(const struct replica *r); /* NULL while unformed */

#endif
