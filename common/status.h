#ifndef COMMON_STATUS_H
#define COMMON_STATUS_H

/* What a node says of itself, from the consensus worker to whoever shows it. */

enum node_role { ROLE_UNFORMED, ROLE_FOLLOWER, ROLE_CANDIDATE, ROLE_LEADER, ROLE_LEARNER };

/* "leader", "follower" ... Static memory. */
const char *node_role_name(enum node_role role);

#define WIRE_TABLE "common/status.def"
#define WIRE_PREFIX status
#include "common/wire_declare.h"

#endif
