#ifndef WORKER_KV_FEATURE_H
#define WORKER_KV_FEATURE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Versions of the program that differ must do the same with the same log. So nothing in it is judged by the version: an
 * operation means what it means at the feature level of the state to which it is applied (features.def). Level 0 is
 * what the first version does.
 */

/* The highest level that this program knows; the one that brought it is the last row of the table. */
#define FEATURE_LEVEL_MOST 1

/* What a level brings, for people. Static memory. */
const char *feature_text(unsigned level);

/* The limits that matter in apply. What is over one of them is TOO_LARGE as a whole, and nothing of it is applied. */
struct kv_limits {
	size_t key_bytes, value_bytes, content_type_bytes, token_bytes;
	size_t delete_keys, delete_bytes; /* of one operation */
	size_t page_keys, page_bytes;
	size_t txn_steps; /* and as many guards, nested ones included */
	size_t txn_depth;
	size_t txn_visits; /* records that its RANGE and DELETE_PREFIX steps pass by */
	size_t result_bytes;
	uint64_t tokens, token_life_ms;
};

/* At a feature level. Static memory. */
const struct kv_limits *kv_limits(unsigned level);

#endif
