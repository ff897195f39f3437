#ifndef WORKER_REPLICA_POINTS_H
#define WORKER_REPLICA_POINTS_H

#include "worker/kv/kv.h"
#include "worker/raft/quorum.h"

/*
 * Are the states of a cluster one? Every node notes what the hash of its state was at the same indexes, its points, and a
 * leader compares what the members say of theirs. A value that a majority of all voters holds is right. Pure: no time, no
 * messages.
 */
struct point {
	uint64_t index;
	struct kv_hash hash;
};

#define POINTS_KEPT 8

/* The last ones of one node, by index. */
struct points {
	struct point list[POINTS_KEPT];
	size_t count;
};

bool point_is(const struct point *p, struct kv_hash hash);
/* In the place of one with its index, if there is one; the lowest goes when there are too many. */
void points_add(struct points *s, struct point p);
/* NULL: none is kept. */
const struct point *points_find(const struct points *s, uint64_t index);
/* The last one, with the index 0 where there is none. */
struct point points_last(const struct points *s);

/* What members have said. Of a learner it is kept, and counts nothing. */
struct tally {
	struct {
		uint64_t id;
		struct points said;
	} members[RAFT_MEMBERS_MAX];
	size_t count;
};

/* A member says it, once more or anew; false when there is no place for one more member. */
bool tally_say(struct tally *t, uint64_t member, struct point p);
/* Forgets what those have said who are none of these. */
void tally_keep(struct tally *t, const uint64_t *members, size_t count);

enum tally_verdict {
	TALLY_OPEN, /* it depends on voters that have said nothing of this index yet */
	TALLY_AGREED, /* a majority of all voters, in a joint configuration of each half, holds the same */
	TALLY_SPLIT, /* no value can have such a majority any more */
};

/* AGREED: *right is what that majority holds. */
enum tally_verdict tally_judge(
    const struct tally *t, const struct quorum *q, uint64_t index, struct point *right);

struct tally_outcome {
	struct point agreed; /* the last AGREED one; index 0: none */
	uint64_t split; /* the last SPLIT one behind it; 0: none */
	uint64_t unclear; /* the last OPEN one behind it of which voters say different things; 0: none */
};
/* Of all indexes of which a voter has said anything. */
struct tally_outcome tally_outcome(const struct tally *t, const struct quorum *q);

#endif
