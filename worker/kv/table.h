#ifndef WORKER_KV_TABLE_H
#define WORKER_KV_TABLE_H

#include "common/buf.h"
#include "common/err.h"

/*
 * What the state machine needs of a store: numbered tables of records in key order, changed in atomic units. The
 * real one is store/ (Berkeley DB), the simulator's is in memory.
 *
 * One thread at a time uses a table (the state lane), except flush and checkpoint, which run on the maintenance
 * lane meanwhile. An error of any of these is the end of the process (DESIGN 4), ERR_NOT_FOUND of get aside.
 */

/* Numbers are on disk and in the state hash: never reused. */
enum kv_table {
	TABLE_META = 0, /* of this node alone: not in the hash */
	TABLE_KEYS = 1,
	TABLE_TOKENS = 2,
	TABLE_SETTINGS = 3,
	TABLE_MEMBERS = 4,
	TABLE_LEASES = 5, /* reserved */
	TABLE_SESSIONS = 6, /* reserved */
	TABLE_ACCESS = 7, /* reserved */
};

struct table {
	const struct table_ops *ops;
};

struct table_ops {
	enum err (*get)(struct table *, enum kv_table, struct bytes key, struct buf *record);
	enum err (*put)(struct table *, enum kv_table, struct bytes key, struct bytes record);
	enum err (*remove)(struct table *, enum kv_table, struct bytes key);
	enum err (*scan)(struct table *, enum kv_table, struct bytes from,
	    bool (*visit)(void *arg, struct bytes key, struct bytes record), void *arg);
	enum err (*commit)(struct table *);
	enum err (*flush)(struct table *);
	enum err (*checkpoint)(struct table *);
};

/* Appends the record of `key` to *record; sees what was put since the last commit. ERR_NOT_FOUND is quiet. */
enum err table_get(struct table *t, enum kv_table table, struct bytes key, struct buf *record);
enum err table_put(struct table *t, enum kv_table table, struct bytes key, struct bytes record);
/* Of a key that is there. */
enum err table_remove(struct table *t, enum kv_table table, struct bytes key);
/* Visits records in key order from the first key >= `from` until `visit` returns false; key and record are
 * borrowed for the call; `visit` must not change the table. */
enum err table_scan(struct table *t, enum kv_table table, struct bytes from,
    bool (*visit)(void *arg, struct bytes key, struct bytes record), void *arg);
/* All changes since the last commit become one atomic unit: after a crash all of them are there or none, and no
 * later unit without the earlier ones. Not durable yet. */
enum err table_commit(struct table *t);
/* Makes what is committed durable soon and cheaply (the store's own log). */
enum err table_flush(struct table *t);
/* Bounds what a start has to replay. */
enum err table_checkpoint(struct table *t);

#endif
