#ifndef WORKER_RAFT_DRAFT_H
#define WORKER_RAFT_DRAFT_H

#include "common/err.h"
#include "worker/raft/config.h"

/*
 * A configuration in the making: what a change makes of the one before it (§4). Pure: who may change what, and when,
 * is the core's to know (change.c).
 *
 * Voters change by joint configurations only (§4.3): draft_enter() begins one, the steps then move voters between its
 * halves, draft_leave() ends it. Outside of one, steps are for learners.
 */
struct raft_draft {
	struct raft_member members[RAFT_MEMBERS_MAX + RAFT_GONE_MAX]; /* texts are borrowed */
	size_t count;
	unsigned level; /* the cluster's feature level */
};

/* Its texts are the configuration's: it must outlive the draft. */
void draft_of(struct raft_draft *d, const struct raft_config *c);
struct raft_member *draft_find(struct raft_draft *d, uint64_t incarnation);
bool draft_is_joint(const struct raft_draft *d);

/* The voters become the outgoing half, too. ERR_CONFLICT: it is joint already, or has no voter. */
enum err draft_enter(struct raft_draft *d);
/* The outgoing half is over; who is in nothing else is gone. ERR_CONFLICT: it is not joint. */
enum err draft_leave(struct raft_draft *d);

/* Steps; the incarnation 0 is ignored. In a joint configuration a voter of the outgoing half stays one until it is left:
 * such a one that becomes a learner is both at once. ERR_TOO_LARGE: there is no room for another member. */
enum err draft_voter(struct raft_draft *d, const struct raft_member *m);
enum err draft_learner(struct raft_draft *d, const struct raft_member *m);
void draft_remove(struct raft_draft *d, uint64_t incarnation);

size_t draft_voters(const struct raft_draft *d);
/* The data of an ENTRY_CONFIG; the caller has the reference. */
struct blob *draft_blob(const struct raft_draft *d);

#endif
