#ifndef TESTS_LINEAR_MEMO_H
#define TESTS_LINEAR_MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a search has tried: configurations, kept whole, so that none is taken for another. Zeroed memory is empty.
 */
struct memo {
	uint64_t *entries; /* one behind the other */
	size_t size, room; /* in words */
	size_t *buckets; /* where the first entry lies, plus 1 */
	size_t bucket_count, count;
};

struct memo_key {
	uint64_t value; /* of the register */
	size_t first; /* the first operation that is not placed */
	const uint64_t *placed; /* a bit for each of the next ones */
	size_t words;
	const uint32_t *used; /* by class of unanswered operations: how many are placed */
	size_t classes; /* the same for all keys */
};

/*
 * True when this one, or one that differs only in that it has used no more of each class, was there before;
 * else it is remembered. Counts what it looked at in steps.
 */
bool memo_seen(struct memo *m, const struct memo_key *k, uint64_t *steps);
size_t memo_bytes(const struct memo *m);
void memo_fini(struct memo *m);

#endif
