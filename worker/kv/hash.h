#ifndef WORKER_KV_HASH_H
#define WORKER_KV_HASH_H

#include "worker/kv/kv.h"

/* XXH3 in 128 bits. It tells apart what differs by accident, not what an adversary makes equal. */

struct kv_hash hash_bytes(struct bytes b);

/* One record enters or leaves the state hash, a sum of the hashes of (table u8, size of the key u32, key, record). */
void hash_add(struct kv_hash *sum, enum kv_table table, struct bytes key, struct bytes record);
void hash_subtract(struct kv_hash *sum, enum kv_table table, struct bytes key, struct bytes record);

#endif
