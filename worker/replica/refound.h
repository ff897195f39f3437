#ifndef WORKER_REPLICA_REFOUND_H
#define WORKER_REPLICA_REFOUND_H

#include "common/disk.h"
#include "worker/kv/kv.h"
#include "worker/raft/entry.h"
#include "worker/replica/identity.h"

/*
 * A cluster that begins anew with one node, from a state that there was: the restored backup, or that of the one
 * survivor. It has another cluster id, so that nobody of the old one is ever heard again (M9, M12), and goes on so far
 * ahead that no revision is given out twice, whatever the old one had given out unknown to that state. Its log begins
 * behind that position, without entries; who belongs to it stands in the state.
 *
 * Before anything is touched, DATA/unfinished says what will be (refound_note()); as long as it is there no node starts,
 * and the work can be taken up again from any step. The identity is written last.
 */
enum refound_work {
	REFOUND_RESTORE = 1,
	REFOUND_RECOVER = 2,
};

/* More than a cluster can have written beyond what a state of it knows. */
#define REFOUND_AHEAD (UINT64_C(1) << 30)

struct refound {
	enum refound_work work;
	struct identity next; /* the incarnation, the cluster, and its members: this node alone */
	struct raft_pos base; /* where it begins: {0, 0} as long as that is not known */
	uint64_t time_ms; /* the log time there */
	/* RECOVER: what the names of the old files end in, and the members that the old cluster had. Else NULL. */
	char *aside;
	struct blob *others;
};

/* Another life of the node `id`, alone in a cluster of its own; ids are random. */
struct refound refound_new(enum refound_work work, const char *id, const char *peer, const char *http);
void refound_free(struct refound *r);
/* The new cluster begins beyond this position of the old one. */
void refound_begin_beyond(struct refound *r, struct raft_pos last, uint64_t time_ms);

/* Durably. */
enum err refound_note(const struct refound *r, struct disk *d);
/* What was noted. ERR_NOT_FOUND quietly: nothing; ERR_DAMAGED (logged). */
enum err refound_read(struct refound *out, struct disk *d);
/* For a node that starts: ERR_CONFLICT (logged: what was begun and what to do) as long as something is noted. */
enum err refound_check(struct disk *d);

/* Moves the state on to where the new cluster begins, if it is not there yet. Commits. */
enum err refound_state(const struct refound *r, struct kv *kv);
/* The state is there and durable: makes the log, writes the identity, and forgets the note. */
enum err refound_finish(struct refound *r, struct disk *d, uint64_t segment_bytes);

#endif
