#ifndef WORKER_KV_CHANGES_H
#define WORKER_KV_CHANGES_H

#include "worker/kv/kv.h"

/*
 * The inside of the list of changes. Keys and records lie in one buffer, named by where they begin, so that a record
 * is read or built in its final place; an order by (table, key) finds the latest change of a key.
 *
 * A change is made in two steps: changes_begin() finds the old record, then the caller appends the new one (or
 * nothing) to `bytes` and calls changes_end(). What points into `bytes` is valid until something is appended.
 */
struct change {
	enum kv_table table;
	size_t key_at, key_size;
	size_t old_at, old_size;
	size_t new_at, new_size;
};

struct kv_changes {
	struct buf bytes;
	struct change *items;
	size_t count, room;
	uint32_t *order; /* the latest change of each key */
	size_t order_count, order_room;
	struct change draft; /* between begin and end: its new record begins at the end of bytes */
	size_t draft_place; /* where it belongs in the order */
	bool draft_known; /* the order has this key already */
};

/* Begins a change; *old borrows what it will replace, empty for nothing. The error is the table's. */
enum err changes_begin(
    struct kv_changes *c, struct table *t, enum kv_table table, struct bytes key, struct bytes *old);
/* The same where the caller has seen the record: `key` and `old` must not point into the list unless the list has
 * a change of this key. */
void changes_begin_known(struct kv_changes *c, enum kv_table table, struct bytes key, struct bytes old);
/* What was appended to c->bytes is the new record; nothing: the key goes. From nothing to nothing is no change. */
void changes_end(struct kv_changes *c);

/* The place in the order of the first key at or above `key`. */
size_t changes_seek(const struct kv_changes *c, enum kv_table table, struct bytes key);
/* The latest change at a place of the order; false where the table's keys end. */
bool changes_peek(const struct kv_changes *c, size_t place, enum kv_table table, struct kv_change *out);
/* The latest change of a key. */
bool changes_find(const struct kv_changes *c, enum kv_table table, struct bytes key, struct kv_change *out);

#endif
