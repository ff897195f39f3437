#include "worker/kv/kv.h"

#define WIRE_TABLE "worker/kv/kv.def"
#define WIRE_PREFIX kv
#include "common/wire_define.h"

void kv_put_step(struct buf *steps, struct bytes key, struct bytes value, struct bytes content_type)
{
	kv_step_put(steps,
	    &(struct kv_step){ .kind = STEP_PUT, .key = key, .value = value, .content_type = content_type });
}

void kv_delete_step(struct buf *steps, struct bytes key)
{
	kv_step_put(steps, &(struct kv_step){ .kind = STEP_DELETE, .key = key });
}

void kv_delete_prefix_step(struct buf *steps, struct bytes prefix)
{
	kv_step_put(steps, &(struct kv_step){ .kind = STEP_DELETE_PREFIX, .key = prefix });
}

void kv_delete_first_step(struct buf *steps, struct bytes prefix, uint32_t limit)
{
	kv_step_put(steps, &(struct kv_step){ .kind = STEP_DELETE_PREFIX, .key = prefix, .limit = limit });
}

void kv_get_step(struct buf *steps, struct bytes key)
{
	kv_step_put(steps, &(struct kv_step){ .kind = STEP_GET, .key = key });
}

void kv_range_step(struct buf *steps, struct bytes prefix, struct bytes after, uint32_t limit, bool keys_only)
{
	kv_step_put(steps,
	    &(struct kv_step){
		.kind = STEP_RANGE, .key = prefix, .after = after, .limit = limit, .keys_only = keys_only });
}

void kv_guard(struct buf *guards, enum kv_guard_kind kind, struct bytes key, uint64_t modify)
{
	kv_guard_put(guards, &(struct kv_guard){ .kind = (uint8_t)kind, .key = key, .modify = modify });
}
