#ifndef TESTS_LINEAR_SEARCH_H
#define TESTS_LINEAR_SEARCH_H

#include "tests/linear/linear.h"

/*
 * The search on one register. It goes through the events in the order of time; an operation may be placed when it
 * was called before the earliest answer of those that are not yet placed. Beyond the well-known algorithm:
 *
 *	what only observes (a get, a refused compare-and-set) is placed as soon as it fits: it never stands in the way
 *	operations without an answer need not be placed. One is only when somebody who may come next wants the value
 *	    that it leaves; those that do the same are a class, of which the earliest called goes first
 *	a value is not overwritten while an answered operation needs it and nobody is left to write it again
 *	a configuration is given up when the same one failed before with no more used of each class that still matters
 *	values that nobody observes are one value
 */

/* Can it be done in this state with the answer that it got? */
bool linear_fits(const struct linear_op *o, uint64_t value);
/* The state after it. */
uint64_t linear_after(const struct linear_op *o, uint64_t value);

/*
 * Decides on count operations of one key, ops[numbers[i]]. Adds to the verdict's steps, not far beyond the limit, and
 * keeps the most of its bytes; for YES its order becomes the numbers in an order (there is room for count).
 */
enum linear_answer search_register(const struct linear_op *ops, const size_t *numbers, size_t count,
    const struct linear_limits *limits, struct linear_verdict *out);

#endif
