#ifndef WORKER_RAFT_QUORUM_H
#define WORKER_RAFT_QUORUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The arithmetic of majorities (§3.4, §3.6) and of joint majorities (§4.3): during a change of members a decision
 * needs a majority of the incoming and one of the outgoing voters. An empty half agrees with everything.
 */
#define RAFT_MEMBERS_MAX 32

struct quorum_half {
	uint64_t ids[RAFT_MEMBERS_MAX];
	size_t count;
};

struct quorum {
	struct quorum_half incoming, outgoing;
};

enum quorum_vote { VOTE_NONE, VOTE_YES, VOTE_NO };
enum quorum_verdict { QUORUM_PENDING, QUORUM_WON, QUORUM_LOST };

/* The largest value that a majority of each half has reached; UINT64_MAX for an empty quorum. */
uint64_t quorum_reached(const struct quorum *q, uint64_t (*value)(void *arg, uint64_t id), void *arg);

enum quorum_verdict quorum_decide(
    const struct quorum *q, enum quorum_vote (*vote)(void *arg, uint64_t id), void *arg);

bool quorum_half_has(const struct quorum_half *h, uint64_t id);
bool quorum_has(const struct quorum *q, uint64_t id);

#endif
