#include <assert.h>

#include "tests/sim/dice.h"

bool dice_chance(struct random *r, uint64_t in_million)
{
	return random_below(r, 1000000) < in_million;
}

uint64_t dice_between(struct random *r, uint64_t least, uint64_t most)
{
	assert(least <= most);
	return least + random_below(r, most - least + 1);
}

uint64_t dice_skewed(struct random *r, uint64_t least, uint64_t most)
{
	uint64_t doublings = 0, low;

	assert(0 < least && least <= most);
	while (least << doublings <= most / 2)
		doublings++;
	low = least << random_below(r, doublings + 1);
	return dice_between(r, low, low <= most / 2 ? low * 2 : most);
}

struct span dice_span(struct random *r, struct span least, struct span most)
{
	return (struct span){ (int64_t)dice_between(r, (uint64_t)least.ns, (uint64_t)most.ns) };
}

struct span dice_span_skewed(struct random *r, struct span least, struct span most)
{
	return (struct span){ (int64_t)dice_skewed(r, (uint64_t)least.ns, (uint64_t)most.ns) };
}

struct random dice_fork(struct random *r)
{
	return (struct random){ random_next(r) };
}
