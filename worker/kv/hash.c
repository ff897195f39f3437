/* For a hash state on the stack. */
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "common/wire.h"
#include "worker/kv/hash.h"

struct kv_hash hash_bytes(struct bytes b)
{
	XXH128_hash_t h = XXH3_128bits(b.data, b.size);

	return (struct kv_hash){ .high = h.high64, .low = h.low64 };
}

static XXH128_hash_t hash_record(enum kv_table table, struct bytes key, struct bytes record)
{
	XXH3_state_t state;
	uint8_t head[5];

	head[0] = (uint8_t)table;
	wire_store_u32(head + 1, (uint32_t)key.size);
	XXH3_128bits_reset(&state);
	XXH3_128bits_update(&state, head, sizeof(head));
	XXH3_128bits_update(&state, key.data, key.size);
	XXH3_128bits_update(&state, record.data, record.size);
	return XXH3_128bits_digest(&state);
}

void hash_add(struct kv_hash *sum, enum kv_table table, struct bytes key, struct bytes record)
{
	XXH128_hash_t h = hash_record(table, key, record);

	sum->low += h.low64;
	sum->high += h.high64 + (sum->low < h.low64 ? 1 : 0);
}

void hash_subtract(struct kv_hash *sum, enum kv_table table, struct bytes key, struct bytes record)
{
	XXH128_hash_t h = hash_record(table, key, record);

	sum->high -= h.high64 + (sum->low < h.low64 ? 1 : 0);
	sum->low -= h.low64;
}
