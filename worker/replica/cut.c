#include <inttypes.h>

#include "common/log.h"
#include "worker/replica/inside.h"

#define MIB ((uint64_t)1024 * 1024)
#define BUDGET (256 * MIB)
#define IMAGE_BUDGET (1024 * MIB)
/* One that is full and kept, the last, the next, and one that fills up while a checkpoint is under way. */
#define SEGMENTS_LEAST 4

uint64_t cut_budget(const struct replica *r)
{
	uint64_t budget = r->o.log_budget != 0 ? r->o.log_budget : BUDGET;
	uint64_t least = SEGMENTS_LEAST * r->o.segment_bytes;

	return budget > least ? budget : least;
}

uint64_t cut_budget_with_images(const struct replica *r)
{
	return cut_budget(r) + (r->o.image_budget != 0 ? r->o.image_budget : IMAGE_BUDGET);
}

/* Up to which index the log may be cut, 0: not at all. A state that is not trusted stands for nothing: what takes its
 * place will be of an index that is committed by now, and once that is on its way all behind it is needed. */
static uint64_t cut_limit(const struct replica *r)
{
	uint64_t keep = image_send_keeps(r);
	struct raft_view v = raft_view(r->raft);

	if (raft_is_frozen(r->raft) && r->receiving.phase != RECEIVING_NOTHING)
		return 0;
	if (raft_is_frozen(r->raft))
		return v.commit < v.durable ? v.commit : v.durable;
	if (r->cut.table != r->table)
		return 0;
	return r->cut.durable < keep ? r->cut.durable : keep - 1;
}

void cut_checkpointed(struct replica *r, const struct table *table, uint64_t index)
{
	r->cut.table = table;
	r->cut.durable = index;
}

/* With the next segment the log would take more than its budget. As long as images hold up the cut a checkpoint does not
 * help. */
bool cut_presses(const struct replica *r)
{
	return wal_disk_bytes(r->wal) + r->o.segment_bytes > cut_budget(r) &&
	       image_send_keeps(r) > r->cut.durable;
}

void cut_turn(struct replica *r)
{
	/* The next segment, and the one that fills up until the next cut. */
	uint64_t keep = cut_budget(r) - 2 * r->o.segment_bytes, limit;

	if (r->raft == NULL || r->cut.out || wal_disk_bytes(r->wal) <= keep)
		return;
	limit = cut_limit(r);
	if (limit <= r->cut.done)
		return;
	r->cut.done = limit;
	r->cut.out = true;
	log_cut(r, limit, keep);
}

void cut_done(struct replica *r, struct raft_pos base)
{
	uint64_t first = raft_view(r->raft).first;

	r->cut.out = false;
	raft_cut_before(r->raft, base);
	if (base.index + 1 == first)
		return;
	log_debug("the log was cut first=%" PRIu64 " bytes=%" PRIu64, base.index + 1, wal_disk_bytes(r->wal));
	upkeep_want(r, UPKEEP_SWEEP, span_ms(0));
}
