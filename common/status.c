#include "common/status.h"

#define WIRE_TABLE "common/status.def"
#define WIRE_PREFIX status
#include "common/wire_define.h"

const char *node_role_name(enum node_role role)
{
	switch (role) {
	case ROLE_UNFORMED:
		return "unformed";
	case ROLE_FOLLOWER:
		return "follower";
	case ROLE_CANDIDATE:
		return "candidate";
	case ROLE_LEADER:
		return "leader";
	case ROLE_LEARNER:
		return "learner";
	}
	return "?";
}
