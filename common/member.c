#include "common/member.h"

#define WIRE_TABLE "common/member.def"
#define WIRE_PREFIX member
#include "common/wire_define.h"
