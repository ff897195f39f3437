#ifndef WORKER_REPLICA_PENDING_H
#define WORKER_REPLICA_PENDING_H

#include <sys/queue.h>
#include <uthash.h>

#include "common/clock.h"
#include "common/ipc.h"

/*
 * The requests that wait in a replica: each is in one stage at a time and leaves with its one answer.
 *
 *	a write	NEW -> WRITTEN -> answered when its entry is applied here; at times HELD before that (slow.h)
 *	a read	stale:		APPLIED -> QUEUED -> READING
 *		leader:		NEW -> APPLIED -> QUEUED -> READING on the leader; ASKED elsewhere, QUEUED before that at times
 *		linearizable:	INDEX -> INDEXING -> APPLIED -> QUEUED -> READING
 *	a hand-over	NEW -> HANDED -> answered when another leads
 *	a change of members	NEW -> CHANGING -> answered when this node knows it committed
 */
enum stage {
	STAGE_NEW, /* looks for its way in this turn */
	STAGE_ROUTE, /* found none: again when the leader changes, or in a while */
	STAGE_HELD, /* a write at the leader, whose writes are slowed: not proposed yet */
	STAGE_WRITTEN, /* proposed here or passed to the leader, in `term` */
	STAGE_ASKED, /* a read passed to the leader whole, in `term` */
	STAGE_INDEX, /* joins the next question for a read index */
	STAGE_INDEXING, /* the question `batch` is out */
	STAGE_APPLIED, /* waits until `index` is applied */
	STAGE_QUEUED, /* a read that waits until results of others have left (reads.h) */
	STAGE_READING, /* with the state lane */
	STAGE_HANDED, /* the leader of `term` was told to hand over */
	STAGE_PASSED, /* a write of a node that was removed: passed to a member, once */
	STAGE_CHANGING, /* the leader of `term` was told the change */
	STAGE_COUNT
};

TAILQ_HEAD(pending_list, pending);

struct pending {
	uint64_t number; /* of this attempt; names it in entries and messages */
	uint64_t client_key[2];
	uint32_t client;
	uint64_t id; /* the client's own */
	uint64_t remote; /* asked by this node instead of a client; 0: no */
	uint64_t remote_start;
	enum request_kind kind;
	enum read_level level;
	enum stage stage;
	struct instant deadline;
	struct instant begun;
	struct instant asked; /* WRITTEN, INDEXING, ASKED: when */
	struct instant known; /* a read's index: when */
	uint64_t term, index, batch,
	    min_revision; /* index: a read waits for it to be applied, a CHANGE for a configuration */
	bool unled; /* it found no way once, as a rule for want of a leader */
	bool big; /* READ: as reads_is_big() has it */
	bool may_ask; /* READ, in this turn: it has waited for that */
	struct pending_list *queued_in; /* QUEUED: of its account; NULL: in none */
	bool leader_only; /* not decided yet: elsewhere it is refused, and nothing was done for it */
	struct instant patience; /* the deadline once that is decided */
	bool accepted; /* CHANGE: a leader has it in its log */
	bool told_before; /* CHANGE: to a leader that fell, and may have begun it */
	unsigned needs; /* WRITE: a feature level that the state had not reached when it came; 0: none */
	uint64_t newcomer; /* CHANGE: the incarnation that is being added; 0: not known yet */
	struct blob *data; /* WRITE: the command; READ: the txn; TRANSFER: an id; CHANGE: a member_change */
	TAILQ_ENTRY(pending) in_stage, in_queue;
	LIST_ENTRY(pending) in_wheel;
	UT_hash_handle by_number, by_client;
};
LIST_HEAD(pending_slot, pending);

#define WHEEL_SLOTS 256
#define WHEEL_MS 64

struct pendings {
	struct pending *by_number, *by_client;
	struct pending_list stages[STAGE_COUNT];
	struct pending_slot wheel[WHEEL_SLOTS]; /* by deadline */
	struct pending_list free;
	int64_t wheel_at; /* the slot time up to which everything expired was taken */
	uint64_t next_number;
	uint32_t count;
	uint32_t big_asked; /* big ones in STAGE_ASKED */
	uint64_t bytes;
};

void pendings_init(struct pendings *s, struct instant now);
/* Frees all, answers nobody. */
void pendings_fini(struct pendings *s);

/* A new one with a number of its own, in STAGE_NEW. Takes over `data`. */
struct pending *pending_new(
    struct pendings *s, uint32_t client, uint64_t id, struct instant deadline, struct blob *data);
/* Gives it another number, so that nothing said of the former attempt reaches it. */
void pending_renumber(struct pendings *s, struct pending *p);
void pending_set_deadline(struct pendings *s, struct pending *p, struct instant deadline);
void pending_move(struct pendings *s, struct pending *p, enum stage stage);
void pending_free(struct pendings *s, struct pending *p);

/* NULL when there is none. */
struct pending *pending_find(const struct pendings *s, uint64_t number);
struct pending *pending_find_client(const struct pendings *s, uint32_t client, uint64_t id);
struct pending *pending_first(const struct pendings *s, enum stage stage);

/* One whose deadline has passed, or NULL. */
struct pending *pending_expired(struct pendings *s, struct instant now);
/* When to look for expired ones again; INSTANT_NEVER when nothing waits. */
struct instant pending_deadline(const struct pendings *s);

#endif
