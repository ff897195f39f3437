#ifndef TESTS_COMMON_KV_DRIVE_H
#define TESTS_COMMON_KV_DRIVE_H

#include "worker/kv/kv.h"

/*
 * A state machine under test: entries one behind the other, each applied, settled and committed, with log time as the
 * test sets it. Errors of the table fail the test.
 */
struct drive {
	struct table *table; /* borrowed */
	struct kv *kv;
	struct kv_changes *changes;
	uint64_t time_ms;
	struct buf txn, command, out;
	struct kv_result result; /* of the last entry or read; borrows from out */
};

void drive_start(struct drive *d, struct table *t);
void drive_stop(struct drive *d);
/* Opens the state machine anew, as after a restart. */
void drive_reopen(struct drive *d);

/* One entry with this command as it is; commits when asked. */
const struct kv_result *drive_command(struct drive *d, struct bytes command, bool commit);
/* One entry that says these members, which nobody reads, and raises the feature level. */
void drive_raise(struct drive *d, unsigned level);
/* One entry with these steps, guards and other steps. The buffers are cleared. `token` may be empty. */
const struct kv_result *drive_write(
    struct drive *d, struct bytes token, struct buf *guards, struct buf *steps, struct buf *otherwise);
const struct kv_result *drive_put(struct drive *d, const char *key, const char *value);
/* Reads with these steps; the buffer is cleared. */
const struct kv_result *drive_read(struct drive *d, struct buf *steps);
/* What GET says of a key: the record, and true if it is there. */
bool drive_get(struct drive *d, struct bytes key, struct kv_record *out);

/* The step results of a result, one after the other. */
struct kv_step_result drive_step(const struct kv_result *r, size_t number);

/* The keys of a page as "a b c", valid until the next call. */
const char *drive_keys(struct kv_step_result page);
/* Reads one page and gives its keys. */
const char *drive_range(struct drive *d, const char *prefix, const char *after, uint32_t limit, bool *more);
/* Appends a step that is a nested txn, and clears what it is made of. */
void drive_nest(struct buf *into, struct buf *guards, struct buf *steps);

/* The state hash as the records that lie in the table make it. */
struct kv_hash drive_hash(struct table *t);
/* Asserts that the kept hash is the same. */
void drive_check_hash(struct drive *d);

/* All records of a table of the state as bytes, to compare two. */
void drive_dump(struct table *t, enum kv_table number, struct buf *out);

#endif
