#ifndef COMMON_MEMORY_H
#define COMMON_MEMORY_H

#include <stdint.h>

/* How much memory this process may use: all of the machine's, or less where a control group that it is in, or one above
 * that, has a lower limit (memory.max and memory.high of cgroups(7) version 2, memory.limit_in_bytes of version 1). */
uint64_t memory_bytes(void);

/* The same below another root than /, where proc and sys are looked for, on a machine with so much memory. */
uint64_t memory_bytes_below(const char *root, uint64_t machine);

#endif
