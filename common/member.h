#ifndef COMMON_MEMBER_H
#define COMMON_MEMBER_H

/* A change of the cluster's members, as it is asked for (DESIGN 5). */

enum member_kind { MEMBER_ADD, MEMBER_REMOVE };

#define WIRE_TABLE "common/member.def"
#define WIRE_PREFIX member
#include "common/wire_declare.h"

#endif
