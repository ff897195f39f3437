#ifndef WORKER_REPLICA_SETTLE_H
#define WORKER_REPLICA_SETTLE_H

#include "worker/kv/kv.h"
#include "worker/raft/entry.h"

/* What a committed entry does to the state, whoever applies it: kv_settle() with what follows from it. `changes` is
 * cleared first; an ENTRY_WRITE appends its result. ERR_VERSION (logged): a type that is not known and must not be
 * skipped; else the error of the table. */
enum err settle_entry(struct kv *kv, const struct entry *e, struct kv_changes *changes, struct buf *result);

#endif
