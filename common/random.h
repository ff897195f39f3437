#ifndef COMMON_RANDOM_H
#define COMMON_RANDOM_H

#include <stdint.h>

/*
 * Random numbers. `struct random` is a small repeatable generator (SplitMix64): the same seed, the same numbers,
 * for timeouts and simulation. random_secret() comes from the kernel, for identities.
 */
struct random {
	uint64_t state;
};

uint64_t random_next(struct random *r);
/* Evenly from 0 to limit - 1; limit > 0. */
uint64_t random_below(struct random *r, uint64_t limit);
/* 64 unpredictable bits from the kernel; ends the process if there are none. */
uint64_t random_secret(void);

#endif
