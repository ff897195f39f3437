#ifndef WORKER_RAFT_CONFIG_H
#define WORKER_RAFT_CONFIG_H

#include "common/wire.h"
#include "worker/raft/quorum.h"

/*
 * Who belongs to the cluster (§4): an entry of the log, in force as soon as it is appended. Addresses are attributes
 * that raft itself never looks at; of the operator's names it knows that a new incarnation of one replaces the old.
 */
enum raft_roles {
	RAFT_VOTER = 1, /* votes in the (incoming) configuration */
	RAFT_OUTGOING = 2, /* votes in the one that a joint change leaves (§4.3) */
	RAFT_LEARNER = 4, /* gets the log, has no vote (§4.2.1) */
	RAFT_WANTED = 8, /* beside LEARNER: becomes a voter by itself once it has caught up */
	RAFT_GONE = 16, /* alone: no member any more; kept to be told so */
};

#define RAFT_GONE_MAX 32

/* Texts are borrowed from the data of the configuration. What a format does not hold is 0. */
struct raft_member {
	uint64_t incarnation; /* raft's name of the node */
	uint8_t roles; /* enum raft_roles */
	struct bytes id; /* the operator's name of it */
	struct bytes peer, http; /* host:port; with scheme */
	uint64_t start; /* its start counter when it said these addresses; 0: not known */
	unsigned level; /* the highest feature level that it has announced */
};

/* The data of an ENTRY_CONFIG is made by a beginning, which says the cluster's feature level, and one member behind the
 * other. At level 0 it has the format of the first version, in which members have no start and no level. */
void raft_config_begin(struct buf *b, unsigned level);
void raft_config_put(struct buf *b, unsigned level, const struct raft_member *m);
/* One in the format of level 0, whose configurations have no beginning. */
void raft_member_put(struct buf *b, const struct raft_member *m);

/* Reads such data: the beginning, and then one member after the other until false. */
struct raft_members {
	struct reader r; /* bad: malformed */
	unsigned level;
	bool later; /* a version made it whose format is not known here */
};
struct raft_members raft_members_of(struct bytes data);
bool raft_members_next(struct raft_members *of, struct raft_member *out);

struct raft_config {
	uint64_t index; /* of its entry */
	unsigned level; /* the cluster's feature level from this entry on (worker/kv/feature.h) */
	struct quorum quorum;
	uint64_t members[RAFT_MEMBERS_MAX]; /* everybody, learners included */
	size_t count;
	uint64_t gone[RAFT_GONE_MAX]; /* the last ones that were removed or replaced, oldest first */
	size_t gone_count;
	struct blob *data; /* the entry's, for its attributes; shared */
};

/* Reads an entry's data; takes a reference to it. False when it is malformed, or of a format that is not known here: too many members, one twice, an
 * incarnation 0, a role unknown, or no voter. */
bool raft_config_get(struct raft_config *c, uint64_t index, struct blob *data);
void raft_config_free(struct raft_config *c);
bool raft_config_has(const struct raft_config *c, uint64_t id);
bool raft_config_is_gone(const struct raft_config *c, uint64_t id);
/* The attributes of a member, or of one that is gone, borrowed from the configuration; false when it knows no such one. */
bool raft_config_find(const struct raft_config *c, uint64_t id, struct raft_member *out);

#endif
