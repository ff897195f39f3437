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

#define WIRE_TABLE "worker/raft/config.def"
#define WIRE_PREFIX raft
#include "common/wire_declare.h"

struct raft_config {
	uint64_t index; /* of its entry */
	struct quorum quorum;
	uint64_t members[RAFT_MEMBERS_MAX]; /* everybody, learners included */
	size_t count;
	uint64_t gone[RAFT_GONE_MAX]; /* the last ones that were removed or replaced, oldest first */
	size_t gone_count;
	struct blob *data; /* the entry's, for its attributes; shared */
};

/* Reads an entry's data; takes a reference to it. False when it is malformed: too many members, one twice, an
 * incarnation 0, a role unknown, or no voter. */
bool raft_config_get(struct raft_config *c, uint64_t index, struct blob *data);
void raft_config_free(struct raft_config *c);
bool raft_config_has(const struct raft_config *c, uint64_t id);
bool raft_config_is_gone(const struct raft_config *c, uint64_t id);
/* The attributes of a member, or of one that is gone, borrowed from the configuration; false when it knows no such one. */
bool raft_config_find(const struct raft_config *c, uint64_t id, struct raft_member *out);

#endif
