#ifndef WORKER_KV_VIEW_H
#define WORKER_KV_VIEW_H

#include "worker/kv/changes.h"

/* What is settled with the changes of the present entry on top: what a step sees. */
struct view {
	struct table *table;
	struct kv_changes *changes; /* NULL: none, a plain read */
	struct buf record, from; /* kept for their room */
};

void view_fini(struct view *v);

/* Borrows the record of a key until the next call or change. ERR_NOT_FOUND, or the table's error. */
enum err view_get(struct view *v, enum kv_table table, struct bytes key, struct bytes *record);

/* Visits the records whose key begins with `prefix` and lies behind `after` (empty: all), in key order, until
 * `visit` returns false. Key and record are borrowed for the call, which may begin and end a change of just this
 * key; it must not use them afterwards. */
enum err view_scan(struct view *v, enum kv_table table, struct bytes prefix, struct bytes after,
    bool (*visit)(void *arg, struct bytes key, struct bytes record), void *arg);

#endif
