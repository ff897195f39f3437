#ifndef WORKER_RAFT_ENTRY_H
#define WORKER_RAFT_ENTRY_H

#include "common/wire.h"

/*
 * What the log is made of. Raft sees an entry's position, log time and type; what it says is a blob that only
 * the state machine (ENTRY_WRITE) or the configuration (ENTRY_CONFIG) reads.
 */
struct raft_pos {
	uint64_t term, index;
};

/* On disk and between nodes: numbers are never reused. A node that meets a type it does not know stops; it never
 * skips it. */
enum entry_type {
	ENTRY_NOOP = 1, /* the first of each term (§5.4.2, §6.4) */
	ENTRY_CONFIG = 2, /* the members of the cluster (§4) */
	ENTRY_WRITE = 3, /* an operation on the state, kv/ knows */
};

struct entry {
	struct raft_pos pos;
	uint64_t time_ms; /* log time: never falls from one entry to the next */
	enum entry_type type;
	struct blob *data; /* never NULL; shared */
};

/* An array of entries; each holds a reference to its blob. */
struct entries {
	struct entry *data;
	size_t count, room;
};
typedef struct entries wire_entries;

/* The durable promise of a node: the term it is in and whom it voted for in it (0: nobody). §5.1 */
struct raft_hard {
	uint64_t term, vote;
};

bool raft_pos_equal(struct raft_pos a, struct raft_pos b);
/* §5.4.1: more up to date is the later term, or in the same term the longer log. <0, 0, >0. */
int raft_pos_compare(struct raft_pos a, struct raft_pos b);

/* Appends; takes a reference of its own to the blob. */
void entries_add(struct entries *list, const struct entry *e);
/* Drops the references and the array; the list is empty and usable again. */
void entries_free(struct entries *list);
/* Bytes that an entry costs in a message or in the log, roughly. */
size_t entry_bytes(const struct entry *e);

void wire_put_entries(struct buf *b, struct entries list);
/* Copies into fresh blobs; the caller frees by entries_free(), also after an error. */
struct entries wire_get_entries(struct reader *r);

#endif
