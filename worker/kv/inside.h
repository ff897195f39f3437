#ifndef WORKER_KV_INSIDE_H
#define WORKER_KV_INSIDE_H

#include "worker/kv/view.h"

/* The inside of the state machine, for its own files and its tests. */
struct kv {
	struct table *table;
	struct kv_meta meta;
	bool unwritten; /* settled since the last commit */
	const struct kv_limits *limits; /* of the state's feature level */
	uint64_t tokens_max; /* that of the limits; less in tests */
	bool oldest_known; /* the log time of the oldest token is known: */
	uint64_t oldest_ms; /* UINT64_MAX: there are no tokens */
	struct image_scan *scan; /* under way, or NULL */
	bool has_image; /* the state came by one: */
	uint64_t image_index; /* as of here */
	char *distrust; /* why the state is not to be trusted; NULL: it is */
	struct view view; /* of the entry under way */
	struct buf scratch;
};

/* kv.c: what kv_open() finds in a table whose records came by an image; commits. */
enum err kv_write_image(struct table *t, const struct kv_meta *meta);

/* kv.c: the state's feature level rises to this one with the entry under way; a lower one changes nothing. */
enum err level_change(struct kv *kv, unsigned level, struct kv_changes *changes);
/* What the table says; 0 where it says nothing. */
enum err level_read(struct table *t, struct buf *room, unsigned *level);

/* check.c: kv_txn_check() but for the size of the whole, which is a matter of what lets it in: an entry that is in the
 * log means the same on every node, whatever its version would let in today. */
enum err check_rules(struct bytes txn, bool writes, unsigned level);

/* run.c: does the txn (checked) and appends its encoded kv_result. With `changes` NULL it only reads. ERR_TOO_LARGE:
 * a limit was met on the way; what was appended and changed so far must be dropped; *refused is the result instead. Else
 * the table's error. */
enum err run_txn(struct kv *kv, uint64_t revision, struct bytes txn, struct kv_changes *changes,
    struct buf *result, struct kv_result *refused);

/* tokens.c. The changes come from the caller's entry, which is at (index, time_ms). */
struct token_use {
	uint64_t principal;
	struct bytes token;
	struct kv_hash operation;
	uint64_t index, time_ms;
	bool absent; /* tokens_find() has seen that there is no record */
};
/* Removes a few tokens whose life is over; *alive is how many are left in the table then. */
enum err tokens_sweep(struct kv *kv, uint64_t time_ms, struct kv_changes *changes, uint64_t *alive);
/* ERR_OK: used before with this operation, *first borrows the first result (until the next call here).
 * ERR_TOKEN_REUSED: with another. ERR_NOT_FOUND: not in use, or no longer. Else the table's error. */
enum err tokens_find(struct kv *kv, struct token_use *use, struct kv_changes *changes, struct bytes *first);
enum err tokens_remember(
    struct kv *kv, const struct token_use *use, struct bytes result, struct kv_changes *changes);
/* Is this a key of TABLE_TOKENS that kv_meta counts? */
bool tokens_counts(struct bytes key);
/* A change of TABLE_TOKENS is settled: keeps the count and what is known of the oldest. */
enum err tokens_settle(struct kv *kv, const struct kv_change *change);

#endif
