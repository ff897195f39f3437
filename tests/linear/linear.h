#ifndef TESTS_LINEAR_LINEAR_H
#define TESTS_LINEAR_LINEAR_H

#include "common/buf.h"

/*
 * Is a history linearizable? Each key is a register of its own, absent at first; a history is when it is so key by
 * key (Herlihy and Wing 1990, locality). The search is that of Wing and Gong with Lowe's memory of what was tried in
 * vain ("Testing for linearizability", 2017, the just-in-time variant), as in Porcupine; what it adds is said in
 * search.h.
 *
 * As a library: linear.c, search.c, memo.c and explain.c. The program that reads files is main.c.
 *
 * Keys and values are numbers that the caller gives out. Two values are the same if and only if their numbers are:
 * where a condition is on a revision, the number stands for value and revision together.
 */

#define LINEAR_ABSENT 0 /* as a value: there is no such key */
#define LINEAR_UNTOLD UINT64_MAX /* never a value */
#define LINEAR_NEVER INT64_MAX /* as a time: no answer came */

enum linear_kind { LINEAR_GET, LINEAR_PUT, LINEAR_DELETE, LINEAR_CAS };

/*
 * One operation. It takes effect once between call and ret, both included: operations that touch in one instant are
 * concurrent. Without an answer (ret is LINEAR_NEVER) it takes effect at any time after its call, or never, and
 * what would have been answered does not count. An operation that certainly had no effect and of which nothing was
 * learnt is left out by the caller.
 */
struct linear_op {
	enum linear_kind kind;
	uint64_t key;
	int64_t call, ret; /* of any clock that all of them share, or positions in a list of events */
	uint64_t expected; /* of a compare-and-set; LINEAR_ABSENT: to be created */
	uint64_t
	    value; /* of a get what it found, of a put and compare-and-set what it writes (ABSENT: deletes) */
	bool refused; /* a compare-and-set: answered that the register did not have the expected value */
	uint64_t found; /* of a refused one: what was there instead; LINEAR_UNTOLD */
};

/* What the search may cost. Zeros: what does for 10,000 operations and more. */
struct linear_limits {
	uint64_t steps; /* a step is a few nanoseconds */
	size_t bytes; /* of the memory of what was tried */
};

enum linear_answer {
	LINEAR_YES,
	LINEAR_NO,
	LINEAR_UNDECIDED, /* a limit was hit; for whoever tests a store this is a failure */
};

struct linear_verdict {
	enum linear_answer answer;
	uint64_t
	    key; /* NO: of the keys that offend the one with the fewest operations; UNDECIDED: the hard one */
	size_t keys; /* how many there are */
	uint64_t steps;
	size_t bytes; /* the most that was remembered at one time */

	/*
	 * NO: the first answer with which the key's history, cut behind it, is not linearizable (or a later one, when a
	 * limit was hit on the way to the first), and an order of what came before it, in numbers of operations.
	 */
	size_t misfit;
	size_t *order;
	size_t order_count;
};

/* Decides. The operations come in any order; limits may be NULL. The caller ends it with linear_fini(). */
void linear_check(const struct linear_op *ops, size_t count, const struct linear_limits *limits,
    struct linear_verdict *out);
void linear_fini(struct linear_verdict *v);

/* How keys and values are called; a text is valid until the next call. A missing function: by number. */
struct linear_names {
	const char *(*key)(void *arg, uint64_t key);
	const char *(*value)(void *arg, uint64_t value);
	void *arg;
};

/* Appends the verdict and, when it is not YES, why, as lines for a reader; names may be NULL. */
void linear_explain(const struct linear_op *ops, size_t count, const struct linear_verdict *v,
    const struct linear_names *names, struct buf *out);

#endif
