#ifndef TESTS_SIM_DICE_H
#define TESTS_SIM_DICE_H

#include "common/clock.h"
#include "common/random.h"

/* Draws of all sorts from a repeatable generator. */

/* True `in_million` times of a million. */
bool dice_chance(struct random *r, uint64_t in_million);
/* Evenly from `least` to `most`, both included. */
uint64_t dice_between(struct random *r, uint64_t least, uint64_t most);
/* From `least` (> 0) to `most`, every order of magnitude as likely as the next. */
uint64_t dice_skewed(struct random *r, uint64_t least, uint64_t most);
struct span dice_span(struct random *r, struct span least, struct span most);
struct span dice_span_skewed(struct random *r, struct span least, struct span most);
/* A generator of its own for one concern, so that its draws do not shift another's. */
struct random dice_fork(struct random *r);

#endif
