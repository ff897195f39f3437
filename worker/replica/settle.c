#include <inttypes.h>

#include "common/log.h"
#include "worker/raft/config.h"
#include "worker/replica/settle.h"

enum err settle_entry(struct kv *kv, const struct entry *e, struct kv_changes *changes, struct buf *result)
{
	enum err error = ERR_VERSION;

	kv_changes_clear(changes);
	switch (e->type) {
	case ENTRY_NOOP:
		error = ERR_OK;
		break;
	case ENTRY_CONFIG:
		error = kv_apply_members(kv, e->pos.index, blob_bytes(e->data),
		    raft_members_of(blob_bytes(e->data)).level, changes);
		break;
	case ENTRY_WRITE:
		error = kv_apply_command(kv, e->pos.index, e->time_ms, blob_bytes(e->data), changes, result);
		break;
	}
	if (error == ERR_VERSION)
		log_errorx("an entry of the unknown type %d was committed index=%" PRIu64
			   ", which this version does not know; it must not be skipped: upgrade this node",
		    e->type, e->pos.index);
	if (error != ERR_OK)
		return error;
	return kv_settle(kv, e->pos.term, e->pos.index, e->time_ms, changes);
}
