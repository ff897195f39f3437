#include "worker/log/wal_private.h"

static enum err step(struct wal *w)
{
	uint64_t to = w->next_bytes + WAL_FILL_STEP, free;
	enum err e;

	/* What is ahead of its need asks no relief for space. */
	if ((e = disk_space(w->o.disk, &free)) != ERR_OK)
		return e;
	if (free < 2 * WAL_FILL_STEP)
		return ERR_NO_SPACE;
	if (w->next == NULL && (e = disk_open(w->o.disk, WAL_NEXT, DISK_CREATE, &w->next)) != ERR_OK)
		return e;
	if (to > w->o.segment_bytes)
		to = w->o.segment_bytes;
	e = wal_zero(w, w->next, &w->next_bytes, to);
	/* In small steps: one sync of it all would hold up the append side's syncs for its whole length. */
	return e != ERR_OK ? e : disk_sync(w->next);
}

enum err wal_fill(struct wal *w, bool *more)
{
	enum err e = ERR_OK;

	*more = true;
	if (atomic_exchange(&w->filling, true))
		return ERR_OK; /* the append side is just taking it */
	if (w->next == NULL || w->next_bytes < w->o.segment_bytes)
		e = step(w);
	*more = w->next_bytes < w->o.segment_bytes;
	atomic_store(&w->filling, false);
	return e;
}
