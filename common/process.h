#ifndef COMMON_PROCESS_H
#define COMMON_PROCESS_H

#include "common/metric.h"

/* What the kernel says of this process goes into its slot (process_... in metric.def). A few system calls, to be made every
 * few seconds. */
void process_measure(struct metrics *m);

#endif
